/* The data stream of one ps task: opened when needed, taken up again when it breaks. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/peer_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/pull_wire_priv.h"
#include "client/push_wire_priv.h"
#include "core/clock.h"

enum {
    FIRST_BACKOFF_MS = 50,
    MOST_BACKOFF_MS = 2000,
    STREAM_WINDOW_BYTES = 0,     /* the default */
    MOST_DOUBLINGS = 10,         /* of the resend time-out */
    MOST_UNREAD_BYTES = 32 << 20 /* more than windows and sockets between us and a peer can hold */
};

static int64_t now_of_clock(void)
{
    return ps_clock_now_ns(ps_clock_monotonic());
}

enum ps_code psi_peer_init(struct psi_peer *peer, struct ps_session *session, uint32_t index,
                           const char *address, struct ps_error *err)
{
    memset(peer, 0, sizeof *peer);
    peer->session = session;
    peer->index = index;
    peer->address = address;
    enum ps_code rc = ps_channel_create(session->rpc, address, STREAM_WINDOW_BYTES, &peer->control,
                                        err);
    if (rc != PS_OK) { return rc; }
    return ps_channel_create(session->rpc, address, STREAM_WINDOW_BYTES, &peer->data, err);
}

void psi_peer_clean(struct psi_peer *peer)
{
    PS_ASSERT(peer->stream == NULL);
    ps_channel_destroy(peer->data);
    ps_channel_destroy(peer->control);
    ps_arena_clean(&peer->arena);
}

bool psi_peer_awaits_locked(const struct psi_peer *peer)
{
    const struct ps_session *session = peer->session;
    if (psi_pull_awaits_locked(peer)) { return true; }
    return session->has_pusher && ps_pusher_awaits(&session->pusher, peer->index);
}

/* A long push is not answered before its last frame, but what no buffer holds has been read. */
static void note_sending(struct psi_peer *peer, const struct ps_outgoing *out)
{
    peer->active_ns = now_of_clock();
    peer->unheard += out->head.size + out->data_size;
    if (peer->unheard > MOST_UNREAD_BYTES) { peer->heard_ns = peer->active_ns; }
}

static bool produce(void *ctx, struct ps_outgoing *out)
{
    struct psi_peer *peer = ctx;
    struct ps_session *session = peer->session;
    ps_mutex_lock(&session->lock);
    bool sends = peer->state != PSI_PEER_ENDING &&
                 ((!session->failed && psi_pull_produce_locked(peer, out)) ||
                  psi_push_produce_locked(peer, out));
    if (sends) { note_sending(peer, out); }
    ps_mutex_unlock(&session->lock);
    return sends;
}

static void fence(struct psi_peer *peer, const struct ps_data_reply *reply)
{
    struct ps_error err = PS_ERROR_INIT;
    ps_fail(&err, reply->code, "ps/%" PRIu32 " at %s: %s", peer->index, peer->address,
            reply->message);
    err.task = (int)peer->index;
    psi_fail_locked(peer->session, &err);
}

static void consume(void *ctx, const struct ps_incoming *message)
{
    struct psi_peer *peer = ctx;
    struct ps_session *session = peer->session;
    struct ps_error err = PS_ERROR_INIT;
    struct ps_data_reply reply;
    ps_arena_reset(&peer->arena);
    enum ps_code rc = ps_decode_data_reply(message->head, &peer->arena, &reply, &err);

    ps_mutex_lock(&session->lock);
    bool wake = false;
    peer->heard_ns = peer->active_ns = now_of_clock();
    peer->awaited = false; /* whatever else is, is awaited anew */
    peer->unheard = 0;
    peer->silences = 0;
    peer->backoff_ms = FIRST_BACKOFF_MS;
    if (rc != PS_OK) {
        ps_wrap(&err, "ps/%" PRIu32 " at %s", peer->index, peer->address);
        psi_fail_locked(session, &err);
    } else if (reply.kind == PS_REPLY_FENCED) {
        fence(peer, &reply);
    } else {
        wake = psi_push_consume_locked(peer, &reply);
        if (reply.kind == PS_REPLY_PULLED || reply.kind == PS_REPLY_PULL_FAILED) {
            wake |= psi_pull_consume_locked(peer, &reply, message->payload);
        }
    }
    ps_mutex_unlock(&session->lock);
    if (wake) { psi_peers_wake(session); }
}

static void closed(void *ctx, enum ps_code code, const char *message)
{
    struct psi_peer *peer = ctx;
    struct ps_session *session = peer->session;
    ps_mutex_lock(&session->lock);
    struct ps_stream *stream = peer->stream;
    bool expected = peer->state == PSI_PEER_ENDING;
    peer->stream = NULL;
    peer->state = PSI_PEER_DOWN;
    int64_t now = now_of_clock();
    if (peer->backoff_ms == 0) { peer->backoff_ms = FIRST_BACKOFF_MS; }
    peer->retry_at_ns = now + (expected ? 0 : peer->backoff_ms * 1000000);
    peer->backoff_ms *= 2;
    if (peer->backoff_ms > MOST_BACKOFF_MS) { peer->backoff_ms = MOST_BACKOFF_MS; }
    if (!expected) {
        snprintf(peer->reason, sizeof peer->reason, "%s",
                 message != NULL && message[0] != '\0' ? message : ps_code_text(code));
        session->stats.retries++;
    }
    if (session->has_pusher) { ps_pusher_lost(&session->pusher, peer->index); }
    psi_pull_lost_locked(peer);
    ps_cond_broadcast(&session->changed);
    ps_mutex_unlock(&session->lock);
    ps_stream_release(stream);
}

static const struct ps_stream_events stream_events = { produce, consume, closed };

static void wake(struct psi_peer *peer)
{
    struct ps_session *session = peer->session;
    ps_mutex_lock(&session->lock);
    struct ps_stream *stream = NULL;
    if (peer->state == PSI_PEER_UP) { stream = ps_stream_acquire(peer->stream); }
    ps_mutex_unlock(&session->lock);
    if (stream == NULL) { return; }
    ps_stream_wake(stream);
    ps_stream_release(stream);
}

void psi_peers_wake(struct ps_session *session)
{
    for (uint32_t i = 0; i < session->peer_count; i++) { wake(&session->peers[i]); }
}

/* The state is OPENING. A stream may close before open has returned: closed() then has set DOWN. */
static void open_stream(struct psi_peer *peer)
{
    struct ps_session *session = peer->session;
    struct ps_stream *stream = NULL;
    struct ps_error err = PS_ERROR_INIT;
    enum ps_code rc = session->link.open(session->link.ctx, peer->data, &stream_events, peer,
                                         &stream, &err);
    if (rc != PS_OK) {
        closed(peer, rc, err.message);
        return;
    }
    ps_mutex_lock(&session->lock);
    bool open = peer->state == PSI_PEER_OPENING;
    if (open) {
        peer->state = PSI_PEER_UP;
        peer->stream = stream;
        peer->active_ns = now_of_clock();
        peer->unheard = 0;
    }
    ps_mutex_unlock(&session->lock);
    if (!open) {
        ps_stream_release(stream);
        return;
    }
    ps_stream_wake(stream);
}

/* Takes the stream for ending; NULL if there is none to end. */
static struct ps_stream *take_for_ending_locked(struct psi_peer *peer)
{
    if (peer->state != PSI_PEER_UP) { return NULL; }
    peer->state = PSI_PEER_ENDING;
    return ps_stream_acquire(peer->stream);
}

/* Doubled while no reply comes at all, so that a slow peer is not asked in vain for ever. */
static int64_t resend_timeout_ns(const struct psi_peer *peer)
{
    uint32_t doublings = peer->silences < MOST_DOUBLINGS ? peer->silences : MOST_DOUBLINGS;
    return (peer->session->settings.resend_timeout_ms * 1000000) << doublings;
}

static void note_waiting_locked(struct psi_peer *peer, int64_t now_ns)
{
    bool awaits = psi_peer_awaits_locked(peer);
    if (awaits && !peer->awaited) { peer->heard_ns = peer->active_ns = now_ns; }
    peer->awaited = awaits;
}

int64_t psi_peer_maintain(struct psi_peer *peer, int64_t now_ns)
{
    struct ps_session *session = peer->session;
    int64_t next_ns = INT64_MAX;
    bool open = false;
    struct ps_stream *silent = NULL;

    ps_mutex_lock(&session->lock);
    note_waiting_locked(peer, now_ns);
    int64_t resend_ns = resend_timeout_ns(peer);
    if (peer->awaited && peer->state == PSI_PEER_DOWN) {
        open = now_ns >= peer->retry_at_ns;
        next_ns = peer->retry_at_ns;
        if (open) { peer->state = PSI_PEER_OPENING; }
    } else if (peer->awaited && peer->state == PSI_PEER_UP) {
        next_ns = peer->active_ns + resend_ns;
        if (now_ns >= next_ns) {
            silent = take_for_ending_locked(peer);
            snprintf(peer->reason, sizeof peer->reason, "it does not answer");
            peer->silences++;
            session->stats.retries++;
        }
    }
    ps_mutex_unlock(&session->lock);

    if (open) {
        open_stream(peer);
        next_ns = now_ns + resend_ns;
    }
    if (silent != NULL) {
        ps_stream_end(silent, PS_CANCELLED, "no answer in time");
        ps_stream_release(silent);
        next_ns = now_ns + FIRST_BACKOFF_MS * (int64_t)1000000;
    }
    return next_ns;
}

bool psi_peer_stop(struct psi_peer *peer)
{
    struct ps_session *session = peer->session;
    ps_mutex_lock(&session->lock);
    bool down = peer->state == PSI_PEER_DOWN;
    struct ps_stream *stream = take_for_ending_locked(peer);
    ps_mutex_unlock(&session->lock);
    if (stream != NULL) {
        ps_stream_end(stream, PS_CANCELLED, "the session ends");
        ps_stream_release(stream);
    }
    return down;
}
