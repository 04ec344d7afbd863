/* Joining a cluster: hello to every ps task, and taking this worker's place among the writers. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/join_priv.h"

#include <inttypes.h>
#include <string.h>

#include "checkpoint/resolution.h"
#include "client/call_priv.h"
#include "core/alloc.h"
#include "core/clock.h"

enum {
    HELLO_TIMEOUT_MS = 2000,
    POLL_MS = 100, /* between two rounds of hellos to who is missing */
    FIRST_LINE_MS = 3000,
    SECOND_LINE_MS = 10000,
    LATER_LINES_MS = 30000,
    MOST_ATTACH_ROUNDS = 20 /* against another process that wants the same place */
};

static int64_t now_ms(void)
{
    return ps_clock_now_ms(ps_clock_monotonic());
}

/* ---- Hello ---- */

static enum ps_code check_version(const struct psi_peer *peer, const struct ps_hello_reply *reply,
                                  struct ps_error *err)
{
    if (reply->protocol == PS_PROTOCOL) { return PS_OK; }
    return ps_fail(err, PS_UNIMPLEMENTED,
                   "version mismatch: ps/%" PRIu32 " at %s is %s (protocol %" PRIu32
                   "), I am %s (protocol %d). Run the same version of paramd on both",
                   peer->index, peer->address, reply->version, reply->protocol, PS_VERSION,
                   PS_PROTOCOL);
}

static enum ps_code check_identity(const struct psi_peer *peer, const struct ps_hello_reply *reply,
                                   struct ps_error *err)
{
    const struct ps_session *session = peer->session;
    if (reply->task_index != peer->index || reply->ps_count != session->peer_count) {
        return ps_fail(err, PS_FAILED_PRECONDITION,
                       "%s says that it is /job:ps/task:%" PRIu32 " of %" PRIu32
                       ", but my cluster has it as /job:ps/task:%" PRIu32 " of %" PRIu32
                       ". Give every task the same --ps_hosts in the same order",
                       peer->address, reply->task_index, reply->ps_count, peer->index,
                       session->peer_count);
    }
    return PS_OK;
}

/* The job of ps task 0 is ours; every other task must belong to it. */
static enum ps_code check_job(struct psi_peer *peer, const struct ps_hello_reply *reply,
                              struct ps_error *err)
{
    struct ps_session *session = peer->session;
    if (peer->index == 0) {
        session->header = reply->header;
        return PS_OK;
    }
    if (reply->header.job == session->header.job) { return PS_OK; }
    return ps_fail(err, PS_FAILED_PRECONDITION,
                   "ps/%" PRIu32 " at %s belongs to job %016" PRIx64
                   ", ps/0 at %s to job %016" PRIx64
                   ": two clusters mixed up, or a ps task that outlived its job. Check --ps_hosts",
                   peer->index, peer->address, reply->header.job, session->peers[0].address,
                   session->header.job);
}

/* UNAVAILABLE: not there yet. Any other failure will not pass by waiting. */
static enum ps_code say_hello(struct psi_peer *peer, struct ps_error *err)
{
    struct ps_hello_request request = {
        .protocol = PS_PROTOCOL,
        .version = PS_VERSION,
        .job_name = "worker",
        .task_index = peer->session->settings.task_index,
    };
    struct ps_hello_reply reply;
    enum ps_code rc = psi_call_hello(peer, &request, HELLO_TIMEOUT_MS, &reply, err);
    if (rc == PS_DEADLINE_EXCEEDED) { err->code = rc = PS_UNAVAILABLE; }
    if (rc != PS_OK) { return rc; }
    PS_TRY(done, rc, check_version(peer, &reply, err));
    PS_TRY(done, rc, check_identity(peer, &reply, err));
    if (reply.state == PS_TASK_JOINING) {
        return ps_fail(err, PS_UNAVAILABLE, "it is up, but has not heard from ps/0 yet");
    }
    if (reply.state == PS_TASK_ENDING) {
        return ps_fail(err, PS_UNAVAILABLE, "it is ending: its job is over");
    }
    rc = check_job(peer, &reply, err);
done:
    return rc;
}

static void say_whom_we_wait_for(const struct ps_session *session, uint32_t next, int64_t waited_ms,
                                 const struct ps_error *err)
{
    const struct psi_peer *peer = &session->peers[next];
    ps_log(PS_LOG_WARN, "session",
           "waiting for %" PRIu32 " of %" PRIu32 " ps tasks (%" PRId64 " s of %" PRId64
           " s): /job:ps/task:%" PRIu32 " at %s - %s",
           session->peer_count - next, session->peer_count, waited_ms / 1000,
           session->settings.start_timeout_ms / 1000, peer->index, peer->address, err->message);
}

static void pause_ms(struct ps_session *session, int64_t pause)
{
    ps_mutex_lock(&session->lock);
    ps_cond_wait_until(&session->changed, &session->lock,
                       ps_clock_now_ns(ps_clock_monotonic()) + pause * 1000000);
    ps_mutex_unlock(&session->lock);
}

static enum ps_code greet_all(struct ps_session *session, struct ps_error *err)
{
    int64_t started = now_ms(), next_line = FIRST_LINE_MS;
    for (uint32_t next = 0; next < session->peer_count;) {
        enum ps_code rc = say_hello(&session->peers[next], err);
        if (rc == PS_OK) {
            next++;
            continue;
        }
        if (rc != PS_UNAVAILABLE) { return rc; }
        int64_t waited = now_ms() - started;
        if (waited >= session->settings.start_timeout_ms) {
            struct psi_peer *peer = &session->peers[next];
            char reason[PS_ERROR_MESSAGE_BYTES];
            memcpy(reason, err->message, sizeof reason);
            return ps_fail(err, PS_DEADLINE_EXCEEDED,
                           "gave up after %" PRId64 " s: %" PRIu32 " of %" PRIu32
                           " ps tasks are missing, /job:ps/task:%" PRIu32 " at %s - %s",
                           waited / 1000, session->peer_count - next, session->peer_count,
                           peer->index, peer->address, reason);
        }
        if (waited >= next_line) {
            say_whom_we_wait_for(session, next, waited, err);
            next_line = waited < SECOND_LINE_MS ? SECOND_LINE_MS : waited + LATER_LINES_MS;
        }
        pause_ms(session, POLL_MS);
    }
    return PS_OK;
}

/* ---- Attach ---- */

/* What the ps tasks know of this worker, kept beyond the replies. */
struct surveys {
    struct ps_survey *surveys;
    struct ps_arena *arenas;
    uint64_t *credit_bytes;
    uint32_t count;
};

static void surveys_clean(struct surveys *all)
{
    for (uint32_t i = 0; all->arenas != NULL && i < all->count; i++) {
        ps_arena_clean(&all->arenas[i]);
    }
    ps_free(all->arenas);
    ps_free(all->surveys);
    ps_free(all->credit_bytes);
}

static enum ps_code surveys_init(struct surveys *all, uint32_t count, struct ps_error *err)
{
    all->count = count;
    all->surveys = ps_alloc_zero(count, sizeof *all->surveys);
    all->arenas = ps_alloc_zero(count, sizeof *all->arenas);
    all->credit_bytes = ps_alloc_zero(count, sizeof *all->credit_bytes);
    bool ok = all->surveys != NULL && all->arenas != NULL && all->credit_bytes != NULL;
    return ok ? PS_OK : ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to join the cluster");
}

static enum ps_code keep_survey(struct surveys *all, uint32_t index,
                                const struct ps_attach_reply *reply, struct ps_error *err)
{
    struct ps_arena *arena = &all->arenas[index];
    ps_arena_reset(arena);
    struct ps_open_push *open = ps_arena_alloc(arena, (reply->open_count + 1) * sizeof *open);
    if (open == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory"); }
    for (size_t i = 0; i < reply->open_count; i++) {
        size_t bytes = reply->open[i].touched_count * sizeof *reply->open[i].touched;
        uint32_t *touched = ps_arena_alloc(arena, bytes + sizeof *touched);
        if (touched == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory"); }
        if (bytes > 0) { memcpy(touched, reply->open[i].touched, bytes); }
        open[i] = reply->open[i];
        open[i].touched = touched;
    }
    all->surveys[index] = (struct ps_survey){ reply->committed, open, reply->open_count };
    all->credit_bytes[index] = reply->credit_bytes;
    return PS_OK;
}

static enum ps_code keep_home(struct ps_session *session, const struct ps_attach_reply *reply,
                              struct ps_error *err)
{
    session->step = session->pull_step = reply->step;
    session->first_position.size = 0;
    return ps_buf_append(&session->first_position, reply->position.data, reply->position.size, err);
}

/* One round over all ps tasks with this incarnation (0: only asks). *highest_out: the highest that
 * any of them knows. */
static enum ps_code attach_round(struct ps_session *session, uint64_t incarnation,
                                 struct surveys *all, bool *accepted_out, uint64_t *highest_out,
                                 struct ps_error *err)
{
    struct ps_attach_request request = {
        .header = session->header,
        .worker = (uint32_t)session->settings.task_index,
        .incarnation = incarnation,
        .process = session->process,
    };
    uint32_t home = psi_home(session);
    *accepted_out = incarnation > 0;
    for (uint32_t i = 0; i < session->peer_count; i++) {
        struct ps_attach_reply reply;
        enum ps_code rc = psi_call_attach(&session->peers[i], &request, 0, &reply, err);
        if (rc == PS_OK) { rc = keep_survey(all, i, &reply, err); }
        if (rc == PS_OK && i == home) { rc = keep_home(session, &reply, err); }
        if (rc != PS_OK) { return rc; }
        if (reply.incarnation > *highest_out) { *highest_out = reply.incarnation; }
        *accepted_out = *accepted_out && reply.accepted;
    }
    return PS_OK;
}

static enum ps_code take_place(struct ps_session *session, struct surveys *all,
                               struct ps_error *err)
{
    uint64_t highest = 0;
    bool accepted = false;
    enum ps_code rc = attach_round(session, 0, all, &accepted, &highest, err);
    for (int round = 0; rc == PS_OK && round < MOST_ATTACH_ROUNDS; round++) {
        uint64_t incarnation = highest + 1;
        rc = attach_round(session, incarnation, all, &accepted, &highest, err);
        if (rc == PS_OK && accepted) {
            session->incarnation = incarnation;
            return PS_OK;
        }
    }
    if (rc != PS_OK) { return rc; }
    return ps_fail(err, PS_ABORTED,
                   "another process keeps taking the place of worker %d. Give each worker a "
                   "--task_index of its own",
                   session->settings.task_index);
}

static enum ps_code resolve_all(struct ps_session *session, const struct surveys *all,
                                uint64_t *committed_out, struct ps_error *err)
{
    struct ps_resolution resolution = ps_resolve(all->surveys, all->count);
    struct ps_resolve_request request = {
        .header = session->header,
        .worker = (uint32_t)session->settings.task_index,
        .incarnation = session->incarnation,
        .commit_through = resolution.commit_through,
        .burnt = resolution.burnt,
        .burnt_count = resolution.burnt_count,
    };
    for (uint32_t i = 0; i < session->peer_count; i++) {
        struct ps_resolve_reply reply;
        enum ps_code rc = psi_call_resolve(&session->peers[i], &request, 0, &reply, err);
        if (rc != PS_OK) { return rc; }
    }
    *committed_out = resolution.commit_through;
    return PS_OK;
}

/* The home's position and step, as they are after the resolution committed what it did. */
static enum ps_code ask_home(struct ps_session *session, struct ps_error *err)
{
    struct ps_attach_request request = {
        .header = session->header,
        .worker = (uint32_t)session->settings.task_index,
    };
    struct ps_attach_reply reply;
    struct psi_peer *home = &session->peers[psi_home(session)];
    enum ps_code rc = psi_call_attach(home, &request, 0, &reply, err);
    return rc == PS_OK ? keep_home(session, &reply, err) : rc;
}

static enum ps_code start_pusher(struct ps_session *session, const struct surveys *all,
                                 uint64_t committed, struct ps_error *err)
{
    ps_mutex_lock(&session->lock);
    enum ps_code rc = ps_pusher_init(&session->pusher, session->peer_count, committed, err);
    session->has_pusher = rc == PS_OK;
    session->staleness_seq = committed;
    for (uint32_t i = 0; rc == PS_OK && i < all->count; i++) {
        ps_pusher_set_credit(&session->pusher, i, all->credit_bytes[i]);
    }
    ps_mutex_unlock(&session->lock);
    return rc;
}

enum ps_code psi_join(struct ps_session *session, struct ps_error *err)
{
    struct surveys all = { 0 };
    uint64_t committed = 0;
    enum ps_code rc;
    PS_TRY(done, rc, greet_all(session, err));
    PS_TRY(done, rc, surveys_init(&all, session->peer_count, err));
    PS_TRY(done, rc, take_place(session, &all, err));
    PS_TRY(done, rc, resolve_all(session, &all, &committed, err));
    PS_TRY(done, rc, ask_home(session, err));
    rc = start_pusher(session, &all, committed, err);
done:
    surveys_clean(&all);
    return rc;
}
