/* A save of the whole cluster: plan, parts of all tasks, one index, commit, and the state file. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/save.h"

#include <inttypes.h>
#include <string.h>

#include "checkpoint/bundle_merge.h"
#include "checkpoint/bundle_names.h"
#include "checkpoint/recover.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "proto/codec_checkpoint.h"
#include "server/catalog.h"
#include "server/checkpointer.h"
#include "server/job_state.h"
#include "server/kept.h"
#include "server/peers.h"
#include "server/service.h"
#include "server/shard_writer.h"

static const char DEFAULT_STATE_NAME[] = "checkpoint";

/* What one task brings. Its own thread fills it. */
struct contribution {
    struct ps_arena arena; /* of its reply */
    struct ps_committed_table committed;
    struct ps_bundle_part *part; /* written here: this task's own, or of one that was fetched */
    struct ps_bundle_rows rows;  /* of a part written elsewhere */
    uint64_t bytes;
};

struct saving {
    struct ps_checkpointer *checkpointer;
    const struct ps_save_request *request;
    int64_t deadline_ms;
    const char *state_name;
    bool is_whole;         /* the state of the job too */
    struct ps_path shown;  /* the prefix as clients name it, with its step */
    struct ps_path prefix; /* as a path of this process */
    struct ps_path stem;   /* the same without the step */
    struct ps_bundle_ticket ticket;
    bool is_begun; /* there may be files to abandon */
    struct ps_catalog catalog;
    struct ps_save_plan plan;
    struct contribution *contributions; /* one a task */
    uint32_t task_count;
    uint64_t tensor_count; /* of the state of the job */
};

static enum ps_code fail_memory(struct ps_error *err)
{
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to save");
}

/* ---- Names and files before the first byte ---- */

static enum ps_code name_it(struct saving *saving, struct ps_error *err)
{
    const struct ps_save_request *request = saving->request;
    const struct ps_checkpointer *checkpointer = saving->checkpointer;
    enum ps_code rc;
    if (request->has_step) {
        rc = ps_path_set(&saving->shown, err, request->pad_step ? "%s-%08" PRId64 : "%s-%" PRId64,
                         request->prefix, request->step);
    } else {
        rc = ps_path_set(&saving->shown, err, "%s", request->prefix);
    }
    if (rc != PS_OK) { return rc; }
    PS_TRY(done, rc, ps_checkpointer_path(checkpointer, saving->shown.text, &saving->prefix, err));
    PS_TRY(done, rc, ps_checkpointer_path(checkpointer, request->prefix, &saving->stem, err));
    PS_TRY(done, rc, ps_bundle_prefix_check(saving->stem.text, err));
    PS_TRY(done, rc, ps_bundle_prefix_check(saving->prefix.text, err));
    saving->state_name = request->state_name[0] != '\0' ? request->state_name : DEFAULT_STATE_NAME;
    if (strcmp(ps_path_base(saving->prefix.text), saving->state_name) == 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "'latest_filename' collides with 'save_path': '%s' and '%s'",
                       saving->state_name, saving->shown.text);
    }
    saving->ticket = (struct ps_bundle_ticket){ checkpointer->files, saving->prefix.text,
                                                ps_checkpointer_new_id() };
done:
    return rc;
}

static enum ps_code write_nonce(const struct ps_bundle_ticket *ticket, struct ps_error *err)
{
    struct ps_path path;
    struct ps_file *file;
    enum ps_code rc = ps_shard_nonce_path(ticket, &path, err);
    if (rc == PS_OK) { rc = ticket->files->create(ticket->files->ctx, path.text, &file, err); }
    return rc == PS_OK ? file->ops->close(file, err) : rc;
}

static enum ps_code prepare_directory(struct saving *saving, struct ps_error *err)
{
    struct ps_path directory;
    const struct ps_files *files = saving->ticket.files;
    ps_path_directory(saving->prefix.text, &directory);
    enum ps_code rc = ps_files_mkdirs(files, directory.text, err);
    if (rc != PS_OK) {
        (void)ps_wrap(err, "Parent directory of %s doesn't exist, can't save", saving->shown.text);
        return rc;
    }
    rc = ps_recover_sweep(files, saving->prefix.text, err);
    saving->is_begun = rc == PS_OK;
    if (rc == PS_OK && saving->task_count > 1) { rc = write_nonce(&saving->ticket, err); }
    return rc;
}

/* ---- Parts ---- */

/* A part that is written by this task, whosever planes it holds. */
static enum ps_code open_part(struct saving *saving, uint32_t task, struct ps_error *err)
{
    return ps_bundle_part_create(&saving->ticket, task, &saving->contributions[task].part, err);
}

/* Left open: the state of the job follows. */
static enum ps_code save_own(struct saving *saving, uint32_t task, struct ps_error *err)
{
    const struct ps_save_share *share = &saving->plan.shares[task];
    struct contribution *own = &saving->contributions[task];
    enum ps_code rc;
    if (share->count == 0 && !saving->is_whole) { return PS_OK; }
    PS_TRY(done, rc, open_part(saving, task, err));
    PS_TRY(done, rc,
           ps_shard_write(saving->checkpointer, share->planes, share->count, own->part, err));
    if (!saving->is_whole) { return PS_OK; }
    rc = ps_committed_collect(saving->checkpointer->service->workers, &own->arena, &own->committed,
                              err);
done:
    return rc;
}

/* The task does not see the directory: its planes come here. */
static enum ps_code save_fetched(struct saving *saving, uint32_t task, struct ps_error *err)
{
    const struct ps_save_share *share = &saving->plan.shares[task];
    struct contribution *fetched = &saving->contributions[task];
    enum ps_code rc;
    if (share->count == 0) { return PS_OK; }
    PS_TRY(done, rc, open_part(saving, task, err));
    PS_TRY(
        done, rc,
        ps_shard_fetch(saving->checkpointer, task, share, saving->deadline_ms, fetched->part, err));
    PS_TRY(done, rc, ps_bundle_part_finish(fetched->part, err));
    fetched->bytes = ps_bundle_part_size_bytes(fetched->part);
done:
    return rc;
}

static enum ps_code call_shard(struct saving *saving, uint32_t task,
                               struct ps_save_shard_reply *reply, struct ps_error *err)
{
    struct contribution *its = &saving->contributions[task];
    const struct ps_service *service = saving->checkpointer->service;
    const struct ps_save_shard_request request = {
        .header = { atomic_load(&service->job), atomic_load(&service->generation) },
        .prefix = saving->shown.text,
        .id = saving->ticket.id,
        .part = task,
        .planes = saving->plan.shares[task].planes,
        .plane_count = saving->plan.shares[task].count,
    };
    struct ps_outgoing out = { 0 };
    struct ps_answer answer = { 0 };
    enum ps_code rc;
    PS_TRY(done, rc, ps_encode_save_shard_request(&request, &out.head, err));
    PS_TRY(done, rc,
           ps_peers_call(saving->checkpointer->peers, task, PS_METHOD_SAVE_SHARD, &out,
                         saving->deadline_ms, &answer, err));
    PS_TRY(done, rc, ps_decode_save_shard_reply(answer.message.head, &its->arena, reply, err));
    PS_TRY(done, rc, ps_bundle_rows_decode(reply->rows, &its->rows, err));
    its->committed = (struct ps_committed_table){ reply->workers, reply->worker_count };
    its->bytes = reply->bytes;
done:
    ps_answer_clean(&answer);
    return rc;
}

static enum ps_code save_one(void *ctx, uint32_t task, struct ps_error *err)
{
    struct saving *saving = ctx;
    struct ps_save_shard_reply reply;
    if (task == saving->checkpointer->service->task_index) { return save_own(saving, task, err); }
    if (saving->plan.shares[task].count == 0 && !saving->is_whole) { return PS_OK; }
    enum ps_code rc = call_shard(saving, task, &reply, err);
    if (rc != PS_OK || reply.seen) { return rc; }
    ps_log(PS_LOG_INFO, "save", "ps/%" PRIu32 " does not see '%s'; its shard is written here", task,
           saving->shown.text);
    return save_fetched(saving, task, err);
}

/* ---- The end of it ---- */

static enum ps_code write_job_state(struct saving *saving, struct ps_arena *arena,
                                    struct ps_job_state *state, struct ps_error *err)
{
    struct ps_service *service = saving->checkpointer->service;
    struct ps_committed_table *tables = ps_arena_alloc(arena, saving->task_count * sizeof *tables);
    enum ps_code rc;
    if (tables == NULL) { return fail_memory(err); }
    for (uint32_t i = 0; i < saving->task_count; i++) {
        tables[i] = saving->contributions[i].committed;
    }
    PS_TRY(done, rc, ps_job_state_collect(service, arena, state, err));
    PS_TRY(done, rc, ps_committed_merge(tables, saving->task_count, arena, &state->committed, err));
    if (saving->is_whole) {
        struct ps_bundle_part *part = saving->contributions[service->task_index].part;
        const struct ps_bundle_rows *rows = ps_bundle_part_rows(part);
        uint64_t before = rows->count;
        PS_TRY(done, rc, ps_job_state_write(state, &saving->plan, part, err));
        saving->tensor_count += rows->count - before;
    }
done:
    return rc;
}

static enum ps_code finish_own(struct saving *saving, struct ps_error *err)
{
    struct contribution *own = &saving->contributions[saving->checkpointer->service->task_index];
    if (own->part == NULL) { return PS_OK; }
    enum ps_code rc = ps_bundle_part_finish(own->part, err);
    own->bytes = ps_bundle_part_size_bytes(own->part);
    return rc;
}

static enum ps_code commit(struct saving *saving, struct ps_save_reply *reply, struct ps_error *err)
{
    enum ps_code rc;
    const struct ps_bundle_rows **rows = ps_alloc_zero(saving->task_count, sizeof *rows);
    if (rows == NULL) { return fail_memory(err); }
    for (uint32_t i = 0; i < saving->task_count; i++) {
        struct contribution *from = &saving->contributions[i];
        rows[i] = from->part != NULL ? ps_bundle_part_rows(from->part) : &from->rows;
        reply->bytes += from->bytes;
        reply->shard_count += rows[i]->count > 0;
    }
    PS_TRY(done, rc, ps_bundle_merge(&saving->ticket, rows, saving->task_count, err));
    PS_TRY(done, rc, ps_bundle_commit(&saving->ticket, err));
done:
    ps_free(rows);
    return rc;
}

static enum ps_code enter(struct saving *saving, struct ps_error *err)
{
    const struct ps_save_request *request = saving->request;
    const struct ps_kept_save kept = {
        .files = saving->ticket.files,
        .prefix = saving->prefix.text,
        .stem = saving->stem.text,
        .state_name = saving->state_name,
        .absolute_paths = request->absolute_paths,
        .options = { .max_to_keep = request->max_to_keep,
                     .keep_every_hours = request->keep_every_hours },
    };
    enum ps_code rc = ps_kept_enter(&kept, err);
    if (rc != PS_OK) {
        (void)ps_wrap(err, "checkpoint '%s' is complete, but not entered in '%s'",
                      saving->shown.text, saving->state_name);
    }
    return rc;
}

static enum ps_code run(struct saving *saving, struct ps_arena *arena, struct ps_save_reply *reply,
                        struct ps_error *err)
{
    enum ps_code rc;
    struct ps_job_state state;
    struct ps_checkpointer *checkpointer = saving->checkpointer;
    PS_TRY(done, rc, name_it(saving, err));
    PS_TRY(done, rc, ps_catalog_gather(checkpointer, saving->deadline_ms, &saving->catalog, err));
    PS_TRY(done, rc, ps_save_plan_make(&saving->catalog, saving->request, &saving->plan, err));
    PS_TRY(done, rc, prepare_directory(saving, err));
    PS_TRY(done, rc, ps_peers_each(saving->task_count, save_one, saving, err));
    PS_TRY(done, rc, write_job_state(saving, arena, &state, err));
    PS_TRY(done, rc, finish_own(saving, err));
    PS_TRY(done, rc, commit(saving, reply, err));
    saving->is_begun = false;
    PS_TRY(done, rc, enter(saving, err));
    reply->step = state.step;
    reply->tensor_count = saving->plan.name_count + saving->tensor_count;
    size_t prefix_size = strlen(saving->shown.text) + 1;
    char *prefix = ps_arena_alloc(arena, prefix_size);
    if (prefix == NULL) { return fail_memory(err); }
    reply->prefix = memcpy(prefix, saving->shown.text, prefix_size);
done:
    return rc;
}

static void clean(struct saving *saving)
{
    for (uint32_t i = 0; saving->contributions != NULL && i < saving->task_count; i++) {
        struct contribution *each = &saving->contributions[i];
        ps_bundle_part_destroy(each->part);
        ps_bundle_rows_clean(&each->rows);
        ps_arena_clean(&each->arena);
    }
    if (saving->is_begun) { ps_bundle_abandon(&saving->ticket); }
    ps_free(saving->contributions);
    ps_save_plan_clean(&saving->plan);
    ps_catalog_clean(&saving->catalog);
    ps_free(saving);
}

enum ps_code ps_save_run(struct ps_checkpointer *checkpointer,
                         const struct ps_save_request *request, int64_t deadline_ms,
                         struct ps_arena *arena, struct ps_save_reply *reply_out,
                         struct ps_error *err)
{
    int64_t started_ms = ps_clock_now_ms(ps_clock_monotonic());
    *reply_out = (struct ps_save_reply){ 0 };
    enum ps_code rc = ps_checkpointer_claim(checkpointer, err);
    if (rc != PS_OK) { return rc; }
    struct saving *saving = ps_alloc_zero(1,
                                          sizeof *saving); /* three paths: too much for a stack */
    if (saving != NULL) {
        saving->checkpointer = checkpointer;
        saving->request = request;
        saving->deadline_ms = deadline_ms;
        saving->is_whole = request->name_count == 0;
        saving->task_count = ps_peers_count(checkpointer->peers);
        saving->contributions = ps_alloc_zero(saving->task_count, sizeof *saving->contributions);
    }
    rc = saving == NULL || saving->contributions == NULL ? fail_memory(err)
                                                         : run(saving, arena, reply_out, err);
    if (rc == PS_OK) {
        ps_log(PS_LOG_INFO, "save",
               "saved '%s' at step %" PRId64 ": %" PRIu64 " tensors, %" PRIu64 " bytes, %" PRIu32
               " files, %" PRId64 " ms",
               reply_out->prefix, reply_out->step, reply_out->tensor_count, reply_out->bytes,
               reply_out->shard_count, ps_clock_now_ms(ps_clock_monotonic()) - started_ms);
    }
    if (saving != NULL) { clean(saving); }
    ps_checkpointer_release(checkpointer);
    return rc;
}
