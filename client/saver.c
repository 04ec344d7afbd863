/* Savers: which variables, under which names; saving and restoring are calls to ps task 0. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/saver_priv.h"

#include <inttypes.h>
#include <string.h>

#include "client/call_priv.h"
#include "client/transfer_priv.h"
#include "core/alloc.h"

enum { DEFAULT_MAX_TO_KEEP = 5, TIMEOUT_MS = 3600000 };

struct ps_saver {
    struct ps_saver *next;
    struct ps_session *session;
    ps_saver_options options;  /* its texts are owned */
    struct ps_rename *renames; /* owned, with their texts */
    size_t rename_count;
    struct ps_named_variable *names; /* owned; name too, variable belongs to the session */
    size_t name_count;               /* 0: all */
    char *written;                   /* by the last save */
};

/* ---- Made and freed ---- */

static void saver_destroy(struct ps_saver *saver)
{
    for (size_t i = 0; saver->names != NULL && i < saver->name_count; i++) {
        ps_free((void *)(uintptr_t)saver->names[i].name);
    }
    for (size_t i = 0; saver->renames != NULL && i < saver->rename_count; i++) {
        ps_free((void *)(uintptr_t)saver->renames[i].from);
        ps_free((void *)(uintptr_t)saver->renames[i].to);
    }
    ps_free((void *)(uintptr_t)saver->options.state_name);
    ps_free(saver->renames);
    ps_free(saver->names);
    ps_free(saver->written);
    ps_free(saver);
}

void psi_savers_clean(struct ps_session *session)
{
    while (session->savers != NULL) {
        struct ps_saver *saver = session->savers;
        session->savers = saver->next;
        saver_destroy(saver);
    }
    ps_free(session->latest_checkpoint);
}

static enum ps_code fail_memory(struct ps_error *err)
{
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a saver");
}

static enum ps_code copy_list(struct ps_saver *saver, const ps_named *list, size_t count,
                              struct ps_error *err)
{
    if (list == NULL) { return PS_OK; }
    if (count == 0) { return ps_fail(err, PS_INVALID_ARGUMENT, "No variables to save"); }
    saver->names = ps_alloc_zero(count, sizeof *saver->names);
    if (saver->names == NULL) { return fail_memory(err); }
    for (; saver->name_count < count; saver->name_count++) {
        const ps_named *named = &list[saver->name_count];
        struct ps_named_variable *copy = &saver->names[saver->name_count];
        if (named->var == NULL || named->var->session != saver->session) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "entry %zu of a saver's list is no variable of this session",
                           saver->name_count);
        }
        copy->variable = named->var->definition.name;
        copy->name = ps_strdup(named->name != NULL ? named->name : copy->variable);
        if (copy->name == NULL) { return fail_memory(err); }
    }
    return PS_OK;
}

static enum ps_code copy_options(struct ps_saver *saver, const ps_saver_options *options,
                                 struct ps_error *err)
{
    saver->options = *options;
    saver->options.renamings = NULL;
    saver->options.state_name = ps_strdup(options->state_name != NULL ? options->state_name : "");
    saver->renames = ps_alloc_zero(options->renaming_count + 1, sizeof *saver->renames);
    if (saver->options.state_name == NULL || saver->renames == NULL) { return fail_memory(err); }
    for (; saver->rename_count < options->renaming_count; saver->rename_count++) {
        const ps_renaming *from = &options->renamings[saver->rename_count];
        struct ps_rename *to = &saver->renames[saver->rename_count];
        if (from->from == NULL || from->to == NULL) {
            return ps_fail(err, PS_INVALID_ARGUMENT, "renaming %zu of a saver lacks a name",
                           saver->rename_count);
        }
        *to = (struct ps_rename){ ps_strdup(from->from), ps_strdup(from->to), from->pattern != 0 };
        if (to->from == NULL || to->to == NULL) {
            saver->rename_count++;
            return fail_memory(err);
        }
    }
    return PS_OK;
}

ps_saver *ps_saver_new(ps_session *session, const ps_named *list, size_t count,
                       const ps_saver_options *options)
{
    static const ps_saver_options defaults = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    enum ps_code rc;
    if (!psi_usable(session)) { return NULL; }
    struct ps_saver *saver = ps_alloc_zero(1, sizeof *saver);
    if (saver == NULL) {
        fail_memory(&err);
        psi_fail(session, &err);
        return NULL;
    }
    saver->session = session;
    PS_TRY(fail, rc, copy_options(saver, options != NULL ? options : &defaults, &err));
    PS_TRY(fail, rc, copy_list(saver, list, count, &err));
    saver->next = session->savers;
    session->savers = saver;
    return saver;
fail:
    psi_fail(session, &err);
    saver_destroy(saver);
    return NULL;
}

/* ---- Save ---- */

static int64_t timeout_of(const struct ps_saver *saver)
{
    return saver->options.timeout_ms > 0 ? saver->options.timeout_ms : TIMEOUT_MS;
}

/* What this session pushed must have taken effect everywhere, on every ps task. */
static bool settle(struct ps_session *session)
{
    ps_wait_all(session);
    if (!psi_usable(session)) { return false; }
    if (psi_drain(session, session->settings.call_timeout_ms)) { return psi_usable(session); }
    struct ps_error err = PS_ERROR_INIT;
    ps_fail(&err, PS_UNAVAILABLE,
            "not every ps task confirmed the pushes of this worker within %" PRId64 " s",
            session->settings.call_timeout_ms / 1000);
    psi_fail(session, &err);
    return false;
}

static enum ps_code save(struct ps_saver *saver, const char *prefix, int64_t step,
                         struct ps_error *err)
{
    struct ps_session *session = saver->session;
    const ps_saver_options *options = &saver->options;
    struct ps_save_reply reply;
    const struct ps_save_request request = {
        .header = session->header,
        .prefix = prefix,
        .has_step = step >= 0,
        .step = step >= 0 ? step : 0,
        .pad_step = options->pad_step_number != 0,
        .names = saver->names,
        .name_count = saver->name_count,
        .max_to_keep = options->max_to_keep != 0 ? options->max_to_keep : DEFAULT_MAX_TO_KEEP,
        .keep_every_hours = options->keep_checkpoint_every_n_hours,
        .state_name = options->state_name,
        .absolute_paths = options->absolute_paths != 0,
    };
    enum ps_code rc = psi_call_save(&session->peers[0], &request, timeout_of(saver), &reply, err);
    if (rc != PS_OK) { return rc; }
    ps_free(saver->written);
    saver->written = ps_strdup(reply.prefix);
    return saver->written != NULL ? PS_OK : fail_memory(err);
}

const char *ps_save(ps_saver *saver, const char *prefix, int64_t step)
{
    struct ps_error err = PS_ERROR_INIT;
    if (saver == NULL || !psi_usable(saver->session)) { return NULL; }
    if (prefix == NULL) { prefix = ""; }
    if (!settle(saver->session)) { return NULL; }
    if (save(saver, prefix, step, &err) == PS_OK) { return saver->written; }
    if (saver->options.tolerant) {
        ps_log(PS_LOG_WARN, "saver", "'%s' was not saved: %s", prefix, err.message);
    } else {
        psi_fail(saver->session, &err);
    }
    return NULL;
}

/* ---- Restore ---- */

/* Variables that may have another shape now. */
static enum ps_code refresh_shapes(struct ps_session *session, struct ps_error *err)
{
    for (struct ps_var *var = session->vars; var != NULL; var = var->next) {
        if (!var->definition.free_shape) { continue; }
        struct ps_list_reply reply;
        const struct ps_list_request request = { .header = session->header,
                                                 .name = var->definition.name };
        enum ps_code rc = psi_call_list(&session->peers[var->slices[0].peer], &request, 0, &reply,
                                        err);
        if (rc != PS_OK) { return rc; }
        if (reply.variable_count == 0) { continue; }
        var->shape = reply.variables[0].definition.shape;
        var->size_bytes = (size_t)reply.variables[0].bytes;
        var->slices[0].rows.count = ps_shape_rows(&var->shape);
        var->slices[0].size_bytes = reply.variables[0].bytes;
    }
    return PS_OK;
}

static enum ps_code restore(struct ps_saver *saver, const char *path, struct ps_error *err)
{
    struct ps_session *session = saver->session;
    struct ps_restore_reply reply;
    const struct ps_restore_request request = {
        .header = session->header,
        .path = path,
        .names = saver->names,
        .name_count = saver->name_count,
        .renames = saver->renames,
        .rename_count = saver->rename_count,
        .partial = saver->options.partial != 0,
        .reshape = saver->options.reshape != 0,
        .state_name = saver->options.state_name,
    };
    enum ps_code rc = psi_call_restore(&session->peers[0], &request, timeout_of(saver), &reply,
                                       err);
    if (rc != PS_OK) { return rc; }
    if (reply.warning[0] != '\0') { ps_log(PS_LOG_WARN, "saver", "%s", reply.warning); }
    if (!session->settings.quiet) {
        ps_log(PS_LOG_INFO, "saver",
               "restored %" PRIu64 " variables from '%s', global step %" PRId64 "; %" PRIu64
               " were not in it",
               reply.variable_count, reply.prefix, reply.step, reply.missing_count);
    }
    ps_mutex_lock(&session->lock);
    session->step = reply.step;
    session->pull_step = reply.step;
    ps_mutex_unlock(&session->lock);
    return refresh_shapes(session, err);
}

void ps_restore(ps_saver *saver, const char *path)
{
    struct ps_error err = PS_ERROR_INIT;
    if (saver == NULL || !psi_usable(saver->session) || !settle(saver->session)) { return; }
    if (restore(saver, path != NULL ? path : "", &err) != PS_OK) { psi_fail(saver->session, &err); }
}

const char *ps_latest_checkpoint(ps_session *session, const char *directory)
{
    struct ps_error err = PS_ERROR_INIT;
    struct ps_restore_reply reply;
    if (!psi_usable(session)) { return NULL; }
    const struct ps_restore_request request = { .header = session->header,
                                                .path = directory != NULL ? directory : "",
                                                .state_name = "",
                                                .find_only = true };
    ps_free(session->latest_checkpoint);
    session->latest_checkpoint = NULL;
    if (psi_call_restore(&session->peers[0], &request, 0, &reply, &err) != PS_OK) {
        psi_fail(session, &err);
        return NULL;
    }
    if (reply.prefix[0] == '\0') { return NULL; }
    session->latest_checkpoint = ps_strdup(reply.prefix);
    return session->latest_checkpoint;
}
