/* A restore of the whole cluster: find, plan, prepare everywhere, then load everywhere. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/restore.h"

#include <inttypes.h>
#include <string.h>

#include "checkpoint/bundle_names.h"
#include "checkpoint/bundle_reader.h"
#include "checkpoint/recover.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "proto/arena.h"
#include "server/catalog.h"
#include "server/checkpointer.h"
#include "server/index_print.h"
#include "server/job_state.h"
#include "server/kept.h"
#include "server/peers.h"
#include "server/restore_plan.h"
#include "server/service.h"
#include "server/shard_feeder.h"

struct restoring {
    struct ps_checkpointer *checkpointer;
    const struct ps_restore_request *request;
    int64_t deadline_ms;
    struct ps_arena *arena;
    bool is_directory;
    struct ps_path path;        /* request->path as a path of this process */
    struct ps_state candidates; /* prefixes, the latest first */
    struct ps_buf warnings;
    struct ps_catalog catalog;
    /* of one attempt */
    const char *prefix;
    struct ps_index_print print;
    uint64_t id;
    struct ps_restore_plan plan;
    struct ps_job_state state;
    uint64_t *bytes; /* one a task */
};

static enum ps_code fail_memory(struct ps_error *err)
{
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to restore");
}

/* ---- Which checkpoint ---- */

static enum ps_code find_candidates(struct restoring *restoring, struct ps_error *err)
{
    struct ps_file_info info;
    const struct ps_restore_request *request = restoring->request;
    const struct ps_files *files = restoring->checkpointer->files;
    const char *state_name = request->state_name[0] != '\0' ? request->state_name : "checkpoint";
    enum ps_code rc = ps_checkpointer_path(restoring->checkpointer, request->path, &restoring->path,
                                           err);
    if (rc != PS_OK) { return rc; }
    restoring->is_directory = files->stat(files->ctx, restoring->path.text, &info, NULL) == PS_OK &&
                              info.is_directory;
    if (!restoring->is_directory) {
        return ps_state_add(&restoring->candidates, restoring->path.text, 0, err);
    }
    size_t size = strlen(restoring->path.text);
    while (size > 1 && restoring->path.text[size - 1] == '/') {
        restoring->path.text[--size] = '\0';
    }
    return ps_kept_list(files, restoring->path.text, state_name, &restoring->candidates, err);
}

/* The text in the reply's arena; NULL: no memory. */
static const char *keep_text(const struct restoring *restoring, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = ps_arena_alloc(restoring->arena, size);
    return copy == NULL ? NULL : memcpy(copy, text, size);
}

static bool is_there(const struct ps_files *files, const char *prefix)
{
    struct ps_path path;
    struct ps_file_info info;
    const struct ps_bundle_name name = { .kind = PS_BUNDLE_INDEX };
    return ps_recover_roll_forward(files, prefix, NULL) == PS_OK &&
           ps_bundle_path(&path, prefix, &name, NULL) == PS_OK &&
           files->stat(files->ctx, path.text, &info, NULL) == PS_OK;
}

/* As tf.train.latest_checkpoint: what is listed and there, or nothing. */
static enum ps_code only_find(struct restoring *restoring, struct ps_restore_reply *reply,
                              struct ps_error *err)
{
    struct ps_error detail = PS_ERROR_INIT;
    const struct ps_checkpointer *checkpointer = restoring->checkpointer;
    enum ps_code rc = find_candidates(restoring, &detail);
    reply->prefix = reply->warning = "";
    if (rc == PS_NOT_FOUND) { return PS_OK; }
    if (rc != PS_OK) {
        if (err != NULL) { *err = detail; }
        return rc;
    }
    for (size_t i = 0; i < restoring->candidates.count; i++) {
        const char *prefix = restoring->candidates.all[i].path;
        if (!is_there(checkpointer->files, prefix)) { continue; }
        reply->prefix = keep_text(restoring, ps_checkpointer_shown(checkpointer, prefix));
        return reply->prefix == NULL ? fail_memory(err) : PS_OK;
    }
    return PS_OK;
}

/* ---- One attempt ---- */

static struct ps_restore_shard_request phase_of(const struct restoring *restoring,
                                                enum ps_restore_phase phase)
{
    return (struct ps_restore_shard_request){ .phase = phase, .id = restoring->id, .prefix = "" };
}

static enum ps_code prepare_one(void *ctx, uint32_t task, struct ps_error *err)
{
    struct restoring *restoring = ctx;
    const struct ps_restore_share *share = &restoring->plan.shares[task];
    struct ps_restore_shard_request request = phase_of(restoring, PS_RESTORE_PREPARE);
    struct ps_restore_shard_reply reply;
    const struct ps_feeder feeder = { restoring->checkpointer, task, restoring->deadline_ms };
    request.prefix = ps_checkpointer_shown(restoring->checkpointer, restoring->prefix);
    request.index_bytes = restoring->print.size_bytes;
    request.index_crc32c = restoring->print.crc32c;
    request.variables = share->variables;
    request.variable_count = share->count;
    enum ps_code rc = ps_feeder_send(&feeder, &request, NULL, &reply, err);
    if (rc != PS_OK) { return rc; }
    restoring->bytes[task] = reply.bytes;
    if (reply.seen) { return PS_OK; }
    ps_log(PS_LOG_INFO, "restore", "ps/%" PRIu32 " does not see '%s'; it is fed from here", task,
           request.prefix);
    return ps_feeder_feed(&feeder, restoring->prefix, restoring->id, share, err);
}

static enum ps_code load_one(void *ctx, uint32_t task, struct ps_error *err)
{
    struct restoring *restoring = ctx;
    const struct ps_job_state *state = &restoring->state;
    struct ps_restore_shard_request request = phase_of(restoring, PS_RESTORE_LOAD);
    struct ps_restore_shard_reply reply;
    const struct ps_feeder feeder = { restoring->checkpointer, task, restoring->deadline_ms };
    request.whole = restoring->request->name_count == 0;
    request.powers = state->powers;
    request.power_count = state->power_count;
    request.has_step = state->has_step;
    request.step = state->step;
    return ps_feeder_send(&feeder, &request, NULL, &reply, err);
}

/* Whoever cannot be told forgets it at the next restore. */
static enum ps_code abandon_one(void *ctx, uint32_t task, struct ps_error *err)
{
    struct restoring *restoring = ctx;
    struct ps_restore_shard_request request = phase_of(restoring, PS_RESTORE_ABANDON);
    struct ps_restore_shard_reply reply;
    const struct ps_feeder feeder = { restoring->checkpointer, task, restoring->deadline_ms };
    return ps_feeder_send(&feeder, &request, NULL, &reply, err);
}

static enum ps_code load_all(struct restoring *restoring, struct ps_error *err)
{
    enum ps_code rc = ps_peers_each(restoring->plan.task_count, load_one, restoring, err);
    if (rc != PS_OK) {
        (void)ps_wrap(err, "the restore was broken off half-way, so that old and restored values "
                           "are mixed now; restore again");
    }
    return rc;
}

/* Everything up to the moment when values begin to change. is_damaged_out: the file is to blame. */
static enum ps_code prepare(struct restoring *restoring, bool *is_damaged_out, struct ps_error *err)
{
    struct ps_bundle_reader *reader = NULL;
    struct ps_checkpointer *checkpointer = restoring->checkpointer;
    uint32_t task_count = restoring->catalog.task_count;
    enum ps_code rc = ps_bundle_reader_open(checkpointer->files, restoring->prefix, &reader, err);
    *is_damaged_out = rc == PS_NOT_FOUND || rc == PS_DATA_LOSS || rc == PS_UNIMPLEMENTED;
    if (rc != PS_OK) { return rc; }
    PS_TRY(done, rc,
           ps_index_print_take(checkpointer->files, restoring->prefix, &restoring->print, err));
    PS_TRY(done, rc,
           ps_restore_plan_make(&restoring->catalog, reader, restoring->request, &restoring->plan,
                                err));
    PS_TRY(
        done, rc,
        ps_job_state_read(reader, &restoring->catalog, restoring->arena, &restoring->state, err));
    restoring->id = ps_checkpointer_new_id();
    rc = ps_peers_each(task_count, prepare_one, restoring, err);
    if (rc != PS_OK) { (void)!ps_peers_each(task_count, abandon_one, restoring, NULL); }
done:
    *is_damaged_out = rc == PS_DATA_LOSS;
    if (rc != PS_OK) { ps_restore_plan_clean(&restoring->plan); }
    /* The plan points into the reader, but the names are needed no more. */
    ps_bundle_reader_close(reader);
    return rc;
}

/* ---- The restore ---- */

static enum ps_code note_damage(struct restoring *restoring, const struct ps_error *detail,
                                struct ps_error *err)
{
    const char *shown = ps_checkpointer_shown(restoring->checkpointer, restoring->prefix);
    ps_log(PS_LOG_WARN, "restore", "checkpoint '%s' is passed over: %s", shown, detail->message);
    return ps_buf_printf(&restoring->warnings, err, "%scheckpoint '%s' was passed over: %s",
                         restoring->warnings.size > 0 ? "\n" : "", shown, detail->message);
}

static enum ps_code prepare_latest(struct restoring *restoring, struct ps_error *err)
{
    struct ps_error first = PS_ERROR_INIT;
    size_t count = restoring->candidates.count;
    for (size_t i = 0; i < count; i++) {
        bool is_damaged;
        struct ps_error detail = PS_ERROR_INIT;
        restoring->prefix = restoring->candidates.all[i].path;
        enum ps_code rc = prepare(restoring, &is_damaged, &detail);
        if (rc == PS_OK) { return PS_OK; }
        if (!is_damaged || !restoring->is_directory) {
            if (err != NULL) { *err = detail; }
            return rc;
        }
        if (i == 0) { first = detail; }
        rc = note_damage(restoring, &detail, err);
        if (rc != PS_OK) { return rc; }
    }
    return ps_fail(err, first.code,
                   "none of the %zu checkpoints listed in '%s' can be restored. "
                   "The latest: %s",
                   count, restoring->request->path, first.message);
}

static enum ps_code fill_reply(const struct restoring *restoring, struct ps_restore_reply *reply,
                               struct ps_error *err)
{
    const struct ps_checkpointer *checkpointer = restoring->checkpointer;
    const char *warnings = restoring->warnings.data == NULL
                               ? ""
                               : (const char *)restoring->warnings.data;
    reply->prefix = keep_text(restoring, ps_checkpointer_shown(checkpointer, restoring->prefix));
    reply->warning = keep_text(restoring, warnings);
    reply->step = atomic_load(&checkpointer->service->step);
    reply->variable_count = restoring->plan.variable_count;
    reply->missing_count = restoring->plan.missing_count;
    for (uint32_t i = 0; i < restoring->catalog.task_count; i++) {
        reply->bytes += restoring->bytes[i];
    }
    return reply->prefix == NULL || reply->warning == NULL ? fail_memory(err) : PS_OK;
}

static enum ps_code run(struct restoring *restoring, struct ps_restore_reply *reply,
                        struct ps_error *err)
{
    enum ps_code rc;
    if (restoring->request->find_only) { return only_find(restoring, reply, err); }
    PS_TRY(done, rc, find_candidates(restoring, err));
    PS_TRY(done, rc,
           ps_catalog_gather(restoring->checkpointer, restoring->deadline_ms, &restoring->catalog,
                             err));
    restoring->bytes = ps_alloc_zero(restoring->catalog.task_count, sizeof *restoring->bytes);
    if (restoring->bytes == NULL) { return fail_memory(err); }
    PS_TRY(done, rc, prepare_latest(restoring, err));
    PS_TRY(done, rc, load_all(restoring, err));
    PS_TRY(done, rc, fill_reply(restoring, reply, err));
done:
    return rc;
}

static void clean(struct restoring *restoring)
{
    ps_restore_plan_clean(&restoring->plan);
    ps_catalog_clean(&restoring->catalog);
    ps_state_clean(&restoring->candidates);
    ps_buf_clean(&restoring->warnings);
    ps_free(restoring->bytes);
    ps_free(restoring);
}

enum ps_code ps_restore_run(struct ps_checkpointer *checkpointer,
                            const struct ps_restore_request *request, int64_t deadline_ms,
                            struct ps_arena *arena, struct ps_restore_reply *reply_out,
                            struct ps_error *err)
{
    int64_t started_ms = ps_clock_now_ms(ps_clock_monotonic());
    *reply_out = (struct ps_restore_reply){ 0 };
    enum ps_code rc = ps_checkpointer_claim(checkpointer, err);
    if (rc != PS_OK) { return rc; }
    struct restoring *restoring = ps_alloc_zero(1, sizeof *restoring);
    if (restoring == NULL) {
        rc = fail_memory(err);
    } else {
        restoring->checkpointer = checkpointer;
        restoring->request = request;
        restoring->deadline_ms = deadline_ms;
        restoring->arena = arena;
        rc = run(restoring, reply_out, err);
    }
    if (rc == PS_OK && !request->find_only) {
        ps_log(PS_LOG_INFO, "restore",
               "restored '%s' at step %" PRId64 ": %" PRIu64 " variables, %" PRIu64
               " bytes, %" PRId64 " ms",
               reply_out->prefix, reply_out->step, reply_out->variable_count, reply_out->bytes,
               ps_clock_now_ms(ps_clock_monotonic()) - started_ms);
    }
    if (restoring != NULL) { clean(restoring); }
    ps_checkpointer_release(checkpointer);
    return rc;
}
