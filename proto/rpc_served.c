/* Streams at the server: counted among its calls, and ended when it stops. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/alloc.h"
#include "proto/rpc_server_priv.h"

/* A stream that the server ends when it stops. */
struct psi_served {
    struct psi_served *next;
    struct psi_served **link;
    struct ps_rpc_server *server;
    struct ps_stream *stream;
    bool ended;
};

static const char stopping_text[] = "the server is stopping";

static void served_done(void *owner)
{
    struct psi_served *served = owner;
    struct ps_rpc_server *server = served->server;
    ps_mutex_lock(&server->lock);
    *served->link = served->next;
    if (served->next != NULL) { served->next->link = served->link; }
    ps_mutex_unlock(&server->lock);
    ps_stream_release(served->stream);
    ps_free(served);
    psi_server_leave(server);
}

/* False when the server stops. */
static bool enlist(struct psi_served *served)
{
    struct ps_rpc_server *server = served->server;
    ps_mutex_lock(&server->lock);
    bool open = !server->stopping;
    served->next = server->streams;
    served->link = &server->streams;
    if (served->next != NULL) { served->next->link = &served->next; }
    server->streams = served;
    ps_mutex_unlock(&server->lock);
    return open;
}

struct ps_stream *psi_served_stream(struct psi_call *call, bool outlives_input)
{
    struct psi_served *served = ps_alloc_zero(1, sizeof *served);
    char *peer = grpc_call_get_peer(call->call);
    const struct psi_stream_options options = { .call = call->call,
                                                .outlives_input = outlives_input,
                                                .address = peer,
                                                .debt = &call->server->debt,
                                                .done = served_done,
                                                .owner = served };
    struct ps_stream *stream = served == NULL ? NULL : psi_stream_create(&options);
    gpr_free(peer);
    if (stream == NULL) {
        ps_free(served);
        psi_unary_answer(call, NULL, PS_RESOURCE_EXHAUSTED, "no memory for a stream");
        return NULL;
    }
    served->server = call->server;
    served->stream = ps_stream_acquire(stream);
    call->call = NULL; /* the stream's now */
    psi_call_free(call);
    if (enlist(served)) { return stream; }
    psi_stream_refuse(stream, PS_UNAVAILABLE, stopping_text);
    return NULL;
}

void psi_served_data(struct psi_call *call)
{
    const struct ps_rpc_handlers *handlers = &call->server->handlers;
    struct ps_stream *stream = psi_served_stream(call, false);
    if (stream == NULL) { return; }
    void *ctx = NULL;
    struct ps_error err = PS_ERROR_INIT;
    const struct ps_stream_events *events = handlers->open(handlers->ctx, stream, &ctx, &err);
    if (events != NULL) {
        psi_stream_begin(stream, events, ctx);
    } else {
        enum ps_code code = err.code == PS_OK ? PS_UNAVAILABLE : err.code;
        psi_stream_refuse(stream, code, err.message);
    }
}

/* One open stream that was not ended yet, acquired. */
static struct ps_stream *first_stream(struct ps_rpc_server *server)
{
    struct ps_stream *stream = NULL;
    ps_mutex_lock(&server->lock);
    struct psi_served *served = server->streams;
    while (served != NULL && served->ended) { served = served->next; }
    if (served != NULL) {
        served->ended = true;
        stream = ps_stream_acquire(served->stream);
    }
    ps_mutex_unlock(&server->lock);
    return stream;
}

void psi_served_end_all(struct ps_rpc_server *server)
{
    struct ps_stream *stream;
    while ((stream = first_stream(server)) != NULL) {
        ps_stream_end(stream, PS_UNAVAILABLE, stopping_text);
        ps_stream_release(stream);
    }
}
