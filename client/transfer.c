/* Pulls and pushes as calls: started, waited for, timed. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/transfer_priv.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/peer_priv.h"
#include "client/ticket_priv.h"
#include "client/wait_priv.h"
#include "core/alloc.h"
#include "core/clock.h"

static int64_t now_of_clock(void)
{
    return ps_clock_now_ns(ps_clock_monotonic());
}

/* ---- Waiting ---- */

static bool is_over(struct ps_session *session, void *ctx)
{
    (void)session;
    const struct psi_ticket *ticket = ctx;
    return ticket->done && ticket->pin_count == 0;
}

static bool is_unpinned(struct ps_session *session, void *ctx)
{
    (void)session;
    return ((const struct psi_ticket *)ctx)->pin_count == 0;
}

static bool nothing_is_pinned(struct ps_session *session, void *ctx)
{
    (void)ctx;
    for (const struct psi_ticket *t = session->tickets; t != NULL; t = t->next) {
        if (t->pin_count > 0) { return false; }
    }
    return true;
}

static bool is_down(struct ps_session *session, void *ctx)
{
    (void)session;
    return ((const struct psi_peer *)ctx)->state == PSI_PEER_DOWN;
}

bool psi_stop_streams(struct ps_session *session, int64_t limit_ms)
{
    bool stopped = true;
    for (uint32_t i = 0; i < session->peer_count; i++) { psi_peer_stop(&session->peers[i]); }
    ps_mutex_lock(&session->lock);
    int64_t deadline_ns = now_of_clock() + limit_ms * 1000000;
    for (uint32_t i = 0; i < session->peer_count; i++) {
        while (!is_down(session, &session->peers[i]) && now_of_clock() < deadline_ns) {
            ps_cond_wait_until(&session->changed, &session->lock, deadline_ns);
        }
        stopped = stopped && is_down(session, &session->peers[i]);
    }
    while (!nothing_is_pinned(session, NULL) && now_of_clock() < deadline_ns) {
        ps_cond_wait_until(&session->changed, &session->lock, deadline_ns);
    }
    stopped = stopped && nothing_is_pinned(session, NULL);
    ps_mutex_unlock(&session->lock);
    return stopped;
}

/* Waits for one ticket and drops it. In a failed session nothing more will come of it: it is
 * dropped as soon as nobody uses the caller's memory any more. */
static void wait_for(struct ps_session *session, struct psi_ticket *ticket)
{
    char what[64];
    snprintf(what, sizeof what, ticket->kind == PSI_TICKET_PULL ? "a pull" : "a push to be staged");
    struct psi_wait wait = { .ready = is_over, .ctx = ticket, .what = what };
    bool over = psi_wait(session, &wait);
    if (!over) {
        wait = (struct psi_wait){ is_unpinned, ticket, what, true, 1000 };
        over = psi_wait(session, &wait);
        if (!over) { over = psi_stop_streams(session, session->settings.call_timeout_ms); }
    }
    if (!over) {
        /* The library still refers to the caller's memory: leaking the ticket is the lesser evil.
         */
        ps_log(PS_LOG_WARN, "session", "the transport still holds data of a failed call");
        return;
    }
    ps_mutex_lock(&session->lock);
    if (ticket->done || ticket->kind == PSI_TICKET_PULL) {
        psi_ticket_drop_locked(session, ticket);
    }
    ps_mutex_unlock(&session->lock);
}

static void enter(struct ps_session *session, int64_t *entered_ns)
{
    *entered_ns = now_of_clock();
    if (session->first_pull_ns == 0) { session->first_pull_ns = *entered_ns; }
}

static void leave(struct ps_session *session, int64_t entered_ns)
{
    session->inside_ns += now_of_clock() - entered_ns;
}

void ps_wait(ps_session *session, ps_ticket id)
{
    if (session == NULL || id == 0) { return; }
    int64_t entered;
    enter(session, &entered);
    ps_mutex_lock(&session->lock);
    struct psi_ticket *ticket = psi_ticket_find_locked(session, id);
    ps_mutex_unlock(&session->lock);
    if (ticket != NULL) { wait_for(session, ticket); }
    leave(session, entered);
}

/* The first ticket after id; 0: none. */
static ps_ticket ticket_after(struct ps_session *session, ps_ticket id)
{
    ps_mutex_lock(&session->lock);
    const struct psi_ticket *ticket = session->tickets;
    while (ticket != NULL && ticket->id <= id) { ticket = ticket->next; }
    ps_ticket next = ticket != NULL ? ticket->id : 0;
    ps_mutex_unlock(&session->lock);
    return next;
}

void ps_wait_all(ps_session *session)
{
    if (session == NULL) { return; }
    for (ps_ticket id = 0; (id = ticket_after(session, id)) != 0;) { ps_wait(session, id); }
}

/* ---- Pull ---- */

ps_ticket ps_pull_async(ps_session *session, const ps_binding *bindings, size_t count)
{
    if (!psi_usable(session)) { return 0; }
    struct ps_error err = PS_ERROR_INIT;
    struct psi_ticket *ticket;
    int64_t entered;
    enter(session, &entered);
    enum ps_code rc = psi_ticket_create(session, PSI_TICKET_PULL, bindings, count, PSI_REACH_DATA,
                                        &ticket, &err);
    if (rc != PS_OK) {
        psi_fail(session, &err);
        return 0;
    }
    ticket->done = ticket->share_count == 0;
    session->stats.pulls++;
    session->stats.pulled_bytes += ticket->size_bytes;
    ps_mutex_lock(&session->lock);
    ticket->after_push = session->pusher.last_seq;
    psi_ticket_link_locked(session, ticket);
    ps_ticket id = ticket->id;
    ps_mutex_unlock(&session->lock);
    int64_t now = now_of_clock();
    for (uint32_t i = 0; i < session->peer_count; i++) {
        psi_peer_maintain(&session->peers[i], now);
    }
    psi_peers_wake(session);
    leave(session, entered);
    return id;
}

void ps_pull(ps_session *session, const ps_binding *bindings, size_t count)
{
    ps_wait(session, ps_pull_async(session, bindings, count));
}

/* ---- Push ---- */

struct admission {
    const struct ps_part *parts;
    uint32_t part_count;
    bool eager;
    uint32_t blocking_peer;
    enum ps_admission answer;
};

static bool is_admitted(struct ps_session *session, void *ctx)
{
    struct admission *admission = ctx;
    admission->answer = ps_pusher_admits(&session->pusher, admission->parts, admission->part_count,
                                         admission->eager, &admission->blocking_peer);
    return admission->answer != PS_ADMIT_LATER;
}

/* Waits, visibly, until every peer has credit for the parts. */
static enum ps_code wait_for_credit(struct ps_session *session, struct admission *admission,
                                    struct ps_error *err)
{
    int64_t entered = now_of_clock();
    struct psi_wait wait = { .ready = is_admitted,
                             .ctx = admission,
                             .what = "credit for another push" };
    bool ready = psi_wait(session, &wait);
    session->wait_ns += now_of_clock() - entered;
    if (!ready) { return ps_fail(err, PS_CANCELLED, "the session has failed"); }
    if (admission->answer == PS_ADMIT_NOW) { return PS_OK; }
    uint32_t peer = admission->blocking_peer;
    uint64_t needed = 0;
    for (uint32_t i = 0; i < admission->part_count; i++) {
        if (admission->parts[i].peer == peer) { needed = admission->parts[i].size_bytes; }
    }
    ps_mutex_lock(&session->lock);
    uint64_t credit = session->pusher.peers[peer].credit_bytes;
    ps_mutex_unlock(&session->lock);
    return ps_fail(err, PS_RESOURCE_EXHAUSTED,
                   "this push needs %" PRIu64 " bytes of staging memory on ps/%" PRIu32
                   ", which grants %" PRIu64
                   " to this worker. Raise --staging_limit of the ps tasks, use more of them, or "
                   "push eagerly (--eager)",
                   needed, peer, credit);
}

static enum ps_code fill_header(struct psi_ticket *ticket, const struct ps_update *update,
                                struct ps_error *err)
{
    struct ps_session *session = ticket->session;
    ticket->touched = ps_alloc((ticket->share_count + 1u) * sizeof *ticket->touched);
    if (ticket->touched == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory"); }
    for (uint32_t i = 0; i < ticket->share_count; i++) {
        ticket->touched[i] = ticket->shares[i].peer;
    }
    ps_mutex_lock(&session->lock);
    int64_t base_step = session->pull_step;
    ps_mutex_unlock(&session->lock);
    ticket->header = (struct ps_push_header){
        .touched = ticket->touched,
        .touched_count = ticket->share_count,
        .update = *update,
        .eager = session->settings.eager,
        .base_step = base_step,
    };
    if (ps_update_is_step(update->kind)) {
        ticket->position = session->next_position;
        session->next_position = (struct ps_buf){ NULL, 0, 0 };
    }
    return PS_OK;
}

static enum ps_code launch(struct ps_session *session, struct psi_ticket *ticket,
                           struct ps_part *parts, struct ps_error *err)
{
    for (uint32_t i = 0; i < ticket->share_count; i++) {
        const struct psi_share *share = &ticket->shares[i];
        parts[i] = (struct ps_part){ .peer = share->peer,
                                     .frame_count = share->frame_count,
                                     .size_bytes = share->size_bytes };
    }
    struct admission admission = { parts, ticket->share_count, ticket->header.eager, 0,
                                   PS_ADMIT_LATER };
    enum ps_code rc = wait_for_credit(session, &admission, err);
    if (rc != PS_OK) { return rc; }
    ps_mutex_lock(&session->lock);
    struct ps_flight *flight;
    rc = ps_pusher_add(&session->pusher, parts, ticket->share_count, ticket, &flight, err);
    if (rc == PS_OK) { psi_ticket_link_locked(session, ticket); }
    ps_mutex_unlock(&session->lock);
    return rc;
}

ps_ticket psi_push_start(struct ps_session *session, const struct ps_update *update,
                         const ps_binding *bindings, size_t count)
{
    struct ps_error err = PS_ERROR_INIT;
    struct psi_ticket *ticket = NULL;
    struct ps_part *parts = NULL;
    bool step = ps_update_is_step(update->kind);
    int64_t entered;
    enum ps_code rc;
    enter(session, &entered);
    PS_TRY(fail, rc,
           psi_ticket_create(session, PSI_TICKET_PUSH, bindings, count,
                             step ? PSI_REACH_ALL : PSI_REACH_HOME, &ticket, &err));
    PS_TRY(fail, rc, fill_header(ticket, update, &err));
    parts = ps_alloc_zero(ticket->share_count + 1u, sizeof *parts);
    if (parts == NULL) {
        ps_fail(&err, PS_RESOURCE_EXHAUSTED, "no memory for a push");
        goto fail;
    }
    PS_TRY(fail, rc, launch(session, ticket, parts, &err));
    ps_free(parts);
    session->stats.pushes++;
    session->stats.steps += step;
    session->stats.pushed_bytes += ticket->size_bytes;
    int64_t now = now_of_clock();
    ps_ticket id = ticket->id;
    for (uint32_t i = 0; i < session->peer_count; i++) {
        psi_peer_maintain(&session->peers[i], now);
    }
    psi_peers_wake(session);
    leave(session, entered);
    return id;
fail:
    psi_fail(session, &err);
    ps_free(parts);
    psi_ticket_destroy(ticket);
    return 0;
}

void psi_push_wait(struct ps_session *session, const struct ps_update *update,
                   const ps_binding *bindings, size_t count)
{
    ps_wait(session, psi_push_start(session, update, bindings, count));
}

static bool is_drained(struct ps_session *session, void *ctx)
{
    (void)ctx;
    if (!session->has_pusher) { return true; }
    for (uint32_t i = 0; i < session->peer_count; i++) {
        if (ps_pusher_awaits(&session->pusher, i)) { return false; }
    }
    return true;
}

bool psi_drain(struct ps_session *session, int64_t limit_ms)
{
    psi_peers_wake(session);
    struct psi_wait wait = { is_drained, NULL, "pushes to be committed", true, limit_ms };
    return psi_wait(session, &wait);
}

/* ---- Position ---- */

void ps_set_position(ps_session *session, const void *data, size_t size)
{
    if (!psi_usable(session)) { return; }
    struct ps_error err = PS_ERROR_INIT;
    if (size > PS_MAX_POSITION_BYTES) {
        ps_fail(&err, PS_INVALID_ARGUMENT, "a position has at most %d bytes, not %zu",
                (int)PS_MAX_POSITION_BYTES, size);
        psi_fail(session, &err);
        return;
    }
    session->next_position.size = 0;
    if (ps_buf_append(&session->next_position, data, size, &err) != PS_OK) {
        psi_fail(session, &err);
    }
}

size_t ps_position(const ps_session *session, const void **data_out)
{
    *data_out = NULL;
    if (session == NULL) { return 0; }
    *data_out = session->first_position.data;
    return session->first_position.size;
}
