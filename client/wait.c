/* The one place where a session waits for its peers: with a deadline, and saying for whom. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/wait_priv.h"

#include <inttypes.h>

#include "client/peer_priv.h"
#include "core/clock.h"

enum { FIRST_LINE_MS = 3000, SECOND_LINE_MS = 10000, LATER_LINES_MS = 30000, LOOK_AGAIN_MS = 500 };

static int64_t now_of_clock(void)
{
    return ps_clock_now_ns(ps_clock_monotonic());
}

/* The awaited peer that has been gone, or silent, the longest; NULL: none. */
static struct psi_peer *find_culprit_locked(struct ps_session *session, int64_t *since_ns_out)
{
    struct psi_peer *culprit = NULL;
    *since_ns_out = INT64_MAX;
    for (uint32_t i = 0; i < session->peer_count; i++) {
        struct psi_peer *peer = &session->peers[i];
        if (!psi_peer_awaits_locked(peer)) { continue; }
        if (peer->awaited && peer->heard_ns < *since_ns_out) {
            *since_ns_out = peer->heard_ns;
            culprit = peer;
        }
    }
    return culprit;
}

static void describe(const struct psi_peer *peer, const char *what, int64_t silent_ms,
                     struct ps_error *err)
{
    const char *reason = peer->reason[0] != '\0' ? peer->reason : "it does not answer";
    ps_fail(err, PS_UNAVAILABLE,
            "/job:ps/task:%" PRIu32 " at %s is lost (%" PRId64 " s, waiting for %s): %s. "
            "Is it running? Try: paramd health %s",
            peer->index, peer->address, silent_ms / 1000, what, reason, peer->address);
    err->task = (int)peer->index;
}

/* Says for whom we wait, after 3 s, 10 s, and every 30 s; fails the session at its time-out. Time
 * that the program spent elsewhere is not the peer's fault: only what passed since begun_ns counts.
 */
static void complain(struct ps_session *session, const char *what, int64_t begun_ns, int64_t now_ns,
                     int64_t *next_line_ms)
{
    struct ps_error err = PS_ERROR_INIT;
    ps_mutex_lock(&session->lock);
    int64_t since_ns;
    struct psi_peer *culprit = find_culprit_locked(session, &since_ns);
    if (since_ns < begun_ns) { since_ns = begun_ns; }
    int64_t silent_ms = culprit != NULL ? (now_ns - since_ns) / 1000000 : 0;
    bool lost = culprit != NULL && silent_ms >= session->settings.call_timeout_ms;
    bool line = culprit != NULL && !lost && silent_ms >= *next_line_ms;
    if (lost || line) { describe(culprit, what, silent_ms, &err); }
    if (lost) { psi_fail_locked(session, &err); }
    ps_mutex_unlock(&session->lock);
    if (!line) { return; }
    ps_log(PS_LOG_WARN, "session", "%s; giving up after %" PRId64 " s", err.message,
           session->settings.call_timeout_ms / 1000);
    *next_line_ms = *next_line_ms < SECOND_LINE_MS ? SECOND_LINE_MS : silent_ms + LATER_LINES_MS;
}

static int64_t maintain_peers(struct ps_session *session, int64_t now_ns)
{
    int64_t next_ns = now_ns + LOOK_AGAIN_MS * (int64_t)1000000;
    for (uint32_t i = 0; i < session->peer_count; i++) {
        int64_t peer_ns = psi_peer_maintain(&session->peers[i], now_ns);
        if (peer_ns < next_ns) { next_ns = peer_ns; }
    }
    return next_ns;
}

bool psi_wait(struct ps_session *session, const struct psi_wait *wait)
{
    int64_t limit_ms = wait->limit_ms > 0 ? wait->limit_ms : session->settings.call_timeout_ms;
    int64_t begun_ns = now_of_clock();
    int64_t limit_ns = begun_ns + limit_ms * 1000000;
    int64_t next_line_ms = FIRST_LINE_MS;
    for (;;) {
        int64_t now_ns = now_of_clock();
        int64_t next_ns = maintain_peers(session, now_ns);
        if (!wait->even_failed) { complain(session, wait->what, begun_ns, now_ns, &next_line_ms); }

        ps_mutex_lock(&session->lock);
        bool ready = wait->ready(session, wait->ctx);
        bool over = ready || (wait->even_failed ? now_ns >= limit_ns : session->failed);
        if (!over) { ps_cond_wait_until(&session->changed, &session->lock, next_ns); }
        if (!over) { ready = wait->ready(session, wait->ctx); }
        ps_mutex_unlock(&session->lock);
        if (ready || over) { return ready; }
    }
}
