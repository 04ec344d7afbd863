/* grpc.health.v1 by hand, for Kubernetes and load balancers: Check answers, Watch keeps telling. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/alloc.h"
#include "proto/rpc_health_wire.h"
#include "proto/rpc_server_priv.h"

enum { NOTHING_TOLD = -1 };

/* One open Watch. A change is noticed at the next tick of the loop that accepted it. */
struct psi_watcher {
    /* guarded by server->lock */
    struct psi_watcher *next;
    uint64_t round; /* last tick that woke it */
    /* set before the stream begins, never changed */
    struct ps_rpc_server *server;
    struct psi_loop *loop;
    struct ps_stream *stream;
    /* guarded by lock: reads and sends run on different threads */
    struct ps_mutex lock;
    bool asked;
    char service[PSI_HEALTH_SERVICE_BYTES];
    /* the sender's */
    int told;
};

static enum psi_health look_up(struct ps_rpc_server *server, const char *service)
{
    bool known = false;
    bool serving = server->handlers.healthy(server->handlers.ctx, service, &known);
    if (!known) { return PSI_HEALTH_SERVICE_UNKNOWN; }
    return serving ? PSI_HEALTH_SERVING : PSI_HEALTH_NOT_SERVING;
}

/* ---- Check ---- */

static enum ps_code check(struct psi_call *call, grpc_byte_buffer **reply_out, struct ps_error *err)
{
    *reply_out = NULL;
    if (call->request == NULL) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "the health check carries no message");
    }
    struct psi_received *received;
    grpc_byte_buffer *request = call->request;
    call->request = NULL;
    enum ps_code rc = psi_unpack_take(request, PSI_HEALTH_SERVICE_BYTES * 2, &received, err);
    if (rc != PS_OK) { return rc; }
    char service[PSI_HEALTH_SERVICE_BYTES];
    bool is_request = psi_health_decode_request(received->incoming.head, service);
    psi_received_release(received);
    if (!is_request) { return ps_fail(err, PS_INVALID_ARGUMENT, "no health check request"); }

    enum psi_health health = look_up(call->server, service);
    if (health == PSI_HEALTH_SERVICE_UNKNOWN) {
        return ps_fail(err, PS_NOT_FOUND, "no service '%s' here", service);
    }
    struct ps_outgoing reply = { 0 };
    rc = psi_health_encode_reply(health, &reply.head, err);
    if (rc == PS_OK) { *reply_out = psi_pack_take(&reply, &call->server->debt); }
    return rc;
}

void psi_health_check(struct psi_call *call)
{
    grpc_byte_buffer *reply;
    struct ps_error err = PS_ERROR_INIT;
    enum ps_code rc = check(call, &reply, &err);
    psi_unary_answer(call, reply, rc, err.message);
}

/* ---- Watch ---- */

static bool watch_produce(void *ctx, struct ps_outgoing *out)
{
    struct psi_watcher *watcher = ctx;
    char service[PSI_HEALTH_SERVICE_BYTES];
    ps_mutex_lock(&watcher->lock);
    bool asked = watcher->asked;
    memcpy(service, watcher->service, sizeof service);
    ps_mutex_unlock(&watcher->lock);
    if (!asked) { return false; }

    enum psi_health health = look_up(watcher->server, service);
    if ((int)health == watcher->told) { return false; }
    if (psi_health_encode_reply(health, &out->head, NULL) != PS_OK) { return false; }
    watcher->told = (int)health;
    return true;
}

static void watch_consume(void *ctx, const struct ps_incoming *message)
{
    struct psi_watcher *watcher = ctx;
    char service[PSI_HEALTH_SERVICE_BYTES];
    if (!psi_health_decode_request(message->head, service)) {
        ps_stream_end(watcher->stream, PS_INVALID_ARGUMENT, "no health check request");
        return;
    }
    ps_mutex_lock(&watcher->lock);
    watcher->asked = true;
    memcpy(watcher->service, service, sizeof service);
    ps_mutex_unlock(&watcher->lock);
    ps_stream_wake(watcher->stream);
}

static void watch_closed(void *ctx, enum ps_code code, const char *message)
{
    struct psi_watcher *watcher = ctx;
    struct ps_rpc_server *server = watcher->server;
    (void)code;
    (void)message;
    ps_mutex_lock(&server->lock);
    struct psi_watcher **link = &server->watchers;
    while (*link != watcher) { link = &(*link)->next; }
    *link = watcher->next;
    ps_mutex_unlock(&server->lock);
    atomic_fetch_sub(&watcher->loop->ticking, 1);
    ps_stream_release(watcher->stream);
    ps_mutex_clean(&watcher->lock);
    ps_free(watcher);
}

static const struct ps_stream_events watch_events = { .produce = watch_produce,
                                                      .consume = watch_consume,
                                                      .closed = watch_closed };

void psi_health_watch(struct psi_call *call)
{
    struct psi_loop *loop = call->loop;
    struct ps_rpc_server *server = call->server;
    struct ps_stream *stream = psi_served_stream(call, true);
    if (stream == NULL) { return; }
    struct psi_watcher *watcher = ps_alloc_zero(1, sizeof *watcher);
    if (watcher == NULL) {
        psi_stream_refuse(stream, PS_RESOURCE_EXHAUSTED, "no memory for a health watch");
        return;
    }
    watcher->server = server;
    watcher->loop = loop;
    watcher->stream = ps_stream_acquire(stream);
    watcher->told = NOTHING_TOLD;
    ps_mutex_init(&watcher->lock, "health watcher", PS_RANK_STREAM);
    ps_mutex_lock(&server->lock);
    watcher->next = server->watchers;
    server->watchers = watcher;
    ps_mutex_unlock(&server->lock);
    atomic_fetch_add(&loop->ticking, 1);
    psi_stream_begin(stream, &watch_events, watcher);
}

/* One that was not woken in this round yet, acquired. */
static struct ps_stream *next_stream(struct ps_rpc_server *server, uint64_t round)
{
    struct ps_stream *stream = NULL;
    ps_mutex_lock(&server->lock);
    struct psi_watcher *watcher = server->watchers;
    while (watcher != NULL && watcher->round >= round) { watcher = watcher->next; }
    if (watcher != NULL) {
        watcher->round = round;
        stream = ps_stream_acquire(watcher->stream);
    }
    ps_mutex_unlock(&server->lock);
    return stream;
}

void psi_health_tick(void *ctx)
{
    struct ps_rpc_server *server = ctx;
    ps_mutex_lock(&server->lock);
    uint64_t round = ++server->health_round;
    ps_mutex_unlock(&server->lock);
    struct ps_stream *stream;
    while ((stream = next_stream(server, round)) != NULL) {
        ps_stream_wake(stream);
        ps_stream_release(stream);
    }
}
