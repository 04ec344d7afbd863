/* Initialization: initializers run on the ps tasks, given tensors are pushed. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "client/call_priv.h"
#include "client/transfer_priv.h"
#include "core/alloc.h"
#include "core/clock.h"

enum { POLL_MS = 50 };

/* Handles of the listed variables' slices on one peer. given: only those whose value is pushed by
 * the client, or only the others. */
static size_t collect_handles(ps_var *const *vars, size_t count, uint32_t peer, uint32_t *handles)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (vars[i]->tensor != NULL) { continue; }
        for (size_t k = 0; k < vars[i]->slice_count; k++) {
            if (vars[i]->slices[k].peer == peer) { handles[used++] = vars[i]->slices[k].handle; }
        }
    }
    return used;
}

static enum ps_code run_initializers(struct ps_session *session, ps_var *const *vars, size_t count,
                                     bool force, struct ps_error *err)
{
    size_t capacity = 1;
    for (size_t i = 0; i < count; i++) { capacity += vars[i]->slice_count; }
    uint32_t *handles = ps_alloc_zero(capacity, sizeof *handles);
    if (handles == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory"); }
    enum ps_code rc = PS_OK;
    for (uint32_t i = 0; i < session->peer_count && rc == PS_OK; i++) {
        struct ps_initialize_request request = {
            .header = session->header,
            .handles = handles,
            .handle_count = collect_handles(vars, count, i, handles),
            .force = force,
        };
        if (request.handle_count == 0) { continue; }
        struct ps_initialize_reply reply;
        rc = psi_call_initialize(&session->peers[i], &request, 0, &reply, err);
    }
    ps_free(handles);
    return rc;
}

static void push_given(struct ps_session *session, ps_var *const *vars, size_t count, bool force)
{
    struct ps_update update = { .kind = force ? PS_UPDATE_ASSIGN : PS_UPDATE_INITIALIZE,
                                .name = "" };
    for (size_t i = 0; i < count && psi_usable(session); i++) {
        if (vars[i]->tensor == NULL) { continue; }
        ps_binding binding = { vars[i], vars[i]->tensor, 0 };
        psi_push_wait(session, &update, &binding, 1);
    }
}

static enum ps_code check_list(struct ps_session *session, ps_var *const *vars, size_t count,
                               struct ps_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (vars[i] == NULL || vars[i]->session != session) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "entry %zu of a list of variables is not of this session", i);
        }
    }
    return PS_OK;
}

static void initialize(struct ps_session *session, ps_var *const *vars, size_t count, bool force)
{
    struct ps_error err = PS_ERROR_INIT;
    if (check_list(session, vars, count, &err) != PS_OK ||
        run_initializers(session, vars, count, force, &err) != PS_OK) {
        psi_fail(session, &err);
        return;
    }
    push_given(session, vars, count, force);
}

void ps_initialize_list(ps_session *session, ps_var *const *vars, size_t count)
{
    if (psi_usable(session)) { initialize(session, vars, count, false); }
}

void ps_reinitialize(ps_session *session, ps_var *const *vars, size_t count)
{
    if (psi_usable(session)) { initialize(session, vars, count, true); }
}

/* All variables of the session as an array; *count_out of them. ps_free. NULL: no memory. */
static ps_var **list_all(struct ps_session *session, size_t *count_out)
{
    size_t count = 0;
    for (struct ps_var *v = session->vars; v != NULL; v = v->next) { count++; }
    ps_var **list = ps_alloc_zero(count + 1, sizeof *list);
    *count_out = 0;
    for (struct ps_var *v = session->vars; v != NULL && list != NULL; v = v->next) {
        list[(*count_out)++] = v;
    }
    if (list == NULL) {
        struct ps_error err = PS_ERROR_INIT;
        ps_fail(&err, PS_RESOURCE_EXHAUSTED, "no memory for a list of variables");
        psi_fail(session, &err);
    }
    return list;
}

void ps_initialize(ps_session *session)
{
    if (!psi_usable(session)) { return; }
    size_t count;
    ps_var **all = list_all(session, &count);
    if (all != NULL) { initialize(session, all, count, false); }
    ps_free(all);
}

/* ---- Queries ---- */

/* Whether the slice with this handle has a value, by a peer's list. */
static bool has_value(const struct ps_list_reply *reply, uint32_t handle)
{
    for (size_t i = 0; i < reply->variable_count; i++) {
        if (reply->variables[i].handle == handle) { return reply->variables[i].initialized; }
    }
    return false;
}

/* Counts slices of var without a value on the peer that reply lists. */
static size_t count_missing(const struct ps_var *var, uint32_t peer,
                            const struct ps_list_reply *reply)
{
    size_t missing = 0;
    for (size_t k = 0; k < var->slice_count; k++) {
        const struct psi_slice *slice = &var->slices[k];
        if (slice->peer == peer && !has_value(reply, slice->handle)) { missing++; }
    }
    return missing;
}

int ps_is_initialized(ps_var *var)
{
    if (var == NULL || !psi_usable(var->session)) { return 0; }
    struct ps_session *session = var->session;
    struct ps_error err = PS_ERROR_INIT;
    struct ps_list_request request = { .header = session->header, .name = var->definition.name };
    for (size_t k = 0; k < var->slice_count; k++) {
        struct ps_list_reply reply;
        uint32_t peer = var->slices[k].peer;
        if (psi_call_list(&session->peers[peer], &request, 0, &reply, &err) != PS_OK) {
            psi_fail(session, &err);
            return 0;
        }
        if (count_missing(var, peer, &reply) > 0) { return 0; }
    }
    return 1;
}

/* For each listed variable, whether a slice has no value. */
static enum ps_code find_missing(struct ps_session *session, ps_var *const *vars, size_t count,
                                 bool *missing, struct ps_error *err)
{
    struct ps_list_request request = { .header = session->header, .name = "" };
    for (uint32_t peer = 0; peer < session->peer_count; peer++) {
        struct ps_list_reply reply;
        enum ps_code rc = psi_call_list(&session->peers[peer], &request, 0, &reply, err);
        if (rc != PS_OK) { return rc; }
        for (size_t i = 0; i < count; i++) {
            if (count_missing(vars[i], peer, &reply) > 0) { missing[i] = true; }
        }
    }
    return PS_OK;
}

size_t ps_report_uninitialized(ps_session *session, const char **names, size_t capacity)
{
    if (!psi_usable(session)) { return 0; }
    struct ps_error err = PS_ERROR_INIT;
    size_t count, found = 0;
    ps_var **all = list_all(session, &count);
    bool *missing = ps_alloc_zero(count + 1, sizeof *missing);
    if (all == NULL || missing == NULL) {
        ps_fail(&err, PS_RESOURCE_EXHAUSTED, "no memory for a list of variables");
        psi_fail(session, &err);
    } else if (find_missing(session, all, count, missing, &err) != PS_OK) {
        psi_fail(session, &err);
    } else {
        for (size_t i = 0; i < count; i++) {
            if (!missing[i]) { continue; }
            if (names != NULL && found < capacity) { names[found] = all[i]->definition.name; }
            found++;
        }
    }
    ps_free(missing);
    ps_free(all);
    return found;
}

static void pause_ms(struct ps_session *session, int64_t pause)
{
    ps_mutex_lock(&session->lock);
    ps_cond_wait_until(&session->changed, &session->lock,
                       ps_clock_now_ns(ps_clock_monotonic()) + pause * 1000000);
    ps_mutex_unlock(&session->lock);
}

void ps_wait_initialized(ps_session *session)
{
    if (session == NULL) { return; }
    int64_t started = ps_clock_now_ms(ps_clock_monotonic());
    while (psi_usable(session)) {
        const char *name = "";
        size_t missing = ps_report_uninitialized(session, &name, 1);
        int64_t waited = ps_clock_now_ms(ps_clock_monotonic()) - started;
        if (missing == 0) { return; }
        if (waited >= session->settings.call_timeout_ms) {
            struct ps_error err = PS_ERROR_INIT;
            ps_fail(&err, PS_DEADLINE_EXCEEDED,
                    "%zu variables have no value after %" PRId64
                    " s, e.g. '%s'. Does another worker call ps_initialize?",
                    missing, waited / 1000, name);
            psi_fail(session, &err);
            return;
        }
        pause_ms(session, POLL_MS);
    }
}
