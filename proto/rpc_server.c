/* The serving side: binds, accepts calls of every kind, and stops in the order gRPC needs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "proto/rpc_address.h"
#include "proto/rpc_health_wire.h"
#include "proto/rpc_server_priv.h"

enum {
    POLLING_THREADS_MAX = 4, /* more gain nothing where one connection keeps one thread busy */
    CONTROL_THREADS = 2,
    /* A connection that is polled by another loop than the one with a free slot costs a hop. */
    SLOTS_A_KIND = 4,
    /* Calls of one connection at a time; further ones wait in the client. This, not the quota, is
     * what bounds memory. */
    CALLS_A_CONNECTION = 64,
    PING_INTERVAL_MS = 10000, /* clients ping every 20 s */
    METHOD_SHOWN_BYTES = 200
};

/* A stream that the server ends when it stops. */
struct psi_served_stream {
    struct psi_served_stream *next;
    struct psi_served_stream **link;
    struct ps_rpc_server *server;
    struct ps_stream *stream;
    bool ended;
};

static const char stopping_text[] = "the server is stopping";

void psi_call_free(struct psi_call *call)
{
    if (call->call != NULL) { grpc_call_unref(call->call); }
    if (call->request != NULL) { grpc_byte_buffer_destroy(call->request); }
    if (call->reply != NULL) { grpc_byte_buffer_destroy(call->reply); }
    psi_status_clean(&call->status);
    ps_free(call);
}

void psi_server_leave(struct ps_rpc_server *server)
{
    ps_mutex_lock(&server->lock);
    server->running--;
    /* Under the lock: once it is free, destroy may go on and the server be gone. */
    if (server->running == 0) { ps_cond_broadcast(&server->changed); }
    ps_mutex_unlock(&server->lock);
}

/* ---- Streams ---- */

static void served_done(void *owner)
{
    struct psi_served_stream *served = owner;
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
static bool enlist(struct psi_served_stream *served)
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

struct ps_stream *psi_server_stream(struct psi_call *call, bool outlives_input)
{
    struct psi_served_stream *served = ps_alloc_zero(1, sizeof *served);
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

static void serve_data(struct psi_call *call)
{
    const struct ps_rpc_handlers *handlers = &call->server->handlers;
    struct ps_stream *stream = psi_server_stream(call, false);
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
    struct psi_served_stream *served = server->streams;
    while (served != NULL && served->ended) { served = served->next; }
    if (served != NULL) {
        served->ended = true;
        stream = ps_stream_acquire(served->stream);
    }
    ps_mutex_unlock(&server->lock);
    return stream;
}

static void end_streams(struct ps_rpc_server *server)
{
    struct ps_stream *stream;
    while ((stream = first_stream(server)) != NULL) {
        ps_stream_end(stream, PS_UNAVAILABLE, stopping_text);
        ps_stream_release(stream);
    }
}

/* ---- Accepting ---- */

/* Wants the next call of this kind on this loop. */
static void request_call(struct psi_slot *slot)
{
    grpc_server *server = slot->server->server;
    grpc_completion_queue *queue = slot->loop->queue;
    grpc_metadata_array_init(&slot->metadata);
    slot->call = NULL;
    slot->request = NULL;
    PSI_TSAN_RELEASE(&slot->accepted);
    grpc_call_error refused;
    if (slot->kind == PSI_KIND_UNKNOWN) {
        grpc_call_details_init(&slot->details);
        refused = grpc_server_request_call(server, &slot->call, &slot->details, &slot->metadata,
                                           queue, queue, &slot->accepted);
    } else {
        bool streams = slot->kind == PSI_KIND_DATA || slot->kind == PSI_KIND_HEALTH_WATCH;
        refused = grpc_server_request_registered_call(
            server, slot->server->registered[slot->kind], &slot->call, &slot->deadline,
            &slot->metadata, streams ? NULL : &slot->request, queue, queue, &slot->accepted);
    }
    PS_ASSERT(refused == GRPC_CALL_OK);
}

/* Moves the call out of its slot. NULL when out of memory: the call is cut off then. */
static struct psi_call *take_call(struct psi_slot *slot)
{
    struct psi_call *call = ps_alloc_zero(1, sizeof *call);
    if (call == NULL) {
        if (slot->request != NULL) { grpc_byte_buffer_destroy(slot->request); }
        grpc_call_cancel_with_status(slot->call, GRPC_STATUS_RESOURCE_EXHAUSTED,
                                     "the server has no memory for the call", NULL);
        grpc_call_unref(slot->call);
        return NULL;
    }
    call->server = slot->server;
    call->loop = slot->loop;
    call->kind = slot->kind;
    call->call = slot->call;
    call->deadline = slot->deadline;
    call->request = slot->request;
    return call;
}

static void answer_unknown(struct psi_call *call, const char *method)
{
    char text[METHOD_SHOWN_BYTES + 128];
    snprintf(text, sizeof text,
             "paramd " PS_VERSION " has no method '%.*s'. Run one version at both ends",
             METHOD_SHOWN_BYTES, method);
    psi_unary_answer(call, NULL, PS_UNIMPLEMENTED, text);
}

static void dispatch(struct psi_call *call)
{
    switch (call->kind) {
    case PSI_KIND_DATA: serve_data(call); return;
    case PSI_KIND_HEALTH_CHECK: psi_health_check(call); return;
    case PSI_KIND_HEALTH_WATCH: psi_health_watch(call); return;
    default: psi_unary_serve(call); return;
    }
}

static void on_accepted(struct psi_event *event, bool ok)
{
    struct psi_slot *slot = PSI_OWNER(event, struct psi_slot, accepted);
    struct ps_rpc_server *server = slot->server;
    grpc_metadata_array_destroy(&slot->metadata); /* none of ours travels there */
    char *method = NULL;
    if (slot->kind == PSI_KIND_UNKNOWN) {
        if (ok) { method = grpc_slice_to_c_string(slot->details.method); }
        grpc_call_details_destroy(&slot->details);
    }
    if (!ok) { return; } /* the server stops */

    ps_mutex_lock(&server->lock);
    server->running++; /* before the next request: destroy waits for it */
    ps_mutex_unlock(&server->lock);
    struct psi_call *call = take_call(slot);
    request_call(slot);
    if (call == NULL) {
        psi_server_leave(server);
    } else if (method != NULL) {
        answer_unknown(call, method);
    } else {
        dispatch(call);
    }
    gpr_free(method);
}

/* ---- Creating ---- */

static void register_methods(struct ps_rpc_server *server)
{
    static const char *const paths[PSI_KIND_COUNT] = {
#define METHOD_PATH(id, name, slow) [PS_METHOD_##id] = "/" PSI_SERVICE "/" name,
        PS_METHODS(METHOD_PATH)
#undef METHOD_PATH
        [PSI_KIND_DATA] = PSI_DATA_PATH,
        [PSI_KIND_HEALTH_CHECK] = PSI_HEALTH_CHECK_PATH,
        [PSI_KIND_HEALTH_WATCH] = PSI_HEALTH_WATCH_PATH,
    };
    for (int kind = 0; kind < PSI_KIND_UNKNOWN; kind++) {
        bool streams = kind == PSI_KIND_DATA || kind == PSI_KIND_HEALTH_WATCH;
        server->registered[kind] = grpc_server_register_method(
            server->server, paths[kind], NULL,
            streams ? GRPC_SRM_PAYLOAD_NONE : GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
        PS_ASSERT(server->registered[kind] != NULL);
    }
}

/* The last fuse before the kernel's out-of-memory killer. Received bytes count as long as anybody
 * holds them, staged pushes too, so it lies far above what they may take. */
static size_t quota_bytes(void)
{
    const size_t least = (size_t)1 << 30;
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_bytes = sysconf(_SC_PAGESIZE);
    if (pages <= 0 || page_bytes <= 0) { return least; }
    size_t most = (size_t)pages / 4 * 3 * (size_t)page_bytes;
    return most > least ? most : least;
}

static grpc_server *new_server(size_t lookahead_bytes)
{
    grpc_arg args[PSI_COMMON_ARGS + 4];
    size_t count = psi_common_args(args, lookahead_bytes);
    args[count++] = psi_int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0); /* a port in use is an error */
    args[count++] = psi_int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, CALLS_A_CONNECTION);
    args[count++] =
        psi_int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, PING_INTERVAL_MS);

    grpc_resource_quota *quota = grpc_resource_quota_create("paramd");
    grpc_resource_quota_resize(quota, quota_bytes());
    args[count++] = (grpc_arg){ .type = GRPC_ARG_POINTER,
                                .key = (char *)(uintptr_t)GRPC_ARG_RESOURCE_QUOTA,
                                .value.pointer = { .p = quota,
                                                   .vtable = grpc_resource_quota_arg_vtable() } };
    const grpc_channel_args all = { .num_args = count, .args = args };
    grpc_server *server = grpc_server_create(&all, NULL);
    grpc_resource_quota_unref(quota);
    return server;
}

static int polling_threads(int wanted)
{
    if (wanted > 0) { return wanted; }
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > POLLING_THREADS_MAX ? POLLING_THREADS_MAX : (int)cores;
}

static enum ps_code start_loops(struct ps_rpc_server *server, int loop_count, struct ps_error *err)
{
    server->loops = ps_alloc_zero((size_t)loop_count, sizeof *server->loops);
    if (server->loops == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for %d threads", loop_count);
    }
    server->loop_count = loop_count;
    for (int i = 0; i < loop_count; i++) {
        char name[32];
        snprintf(name, sizeof name, "ps-poll-%d", i);
        server->loops[i].tick = psi_health_tick;
        server->loops[i].tick_ctx = server;
        enum ps_code rc = psi_loop_start(&server->loops[i], name, err);
        if (rc != PS_OK) { return rc; }
        grpc_server_register_completion_queue(server->server, server->loops[i].queue, NULL);
    }
    return PS_OK;
}

static enum ps_code make_slots(struct ps_rpc_server *server, struct ps_error *err)
{
    size_t count = (size_t)server->loop_count * PSI_KIND_COUNT * SLOTS_A_KIND;
    server->slots = ps_alloc_zero(count, sizeof *server->slots);
    if (server->slots == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to accept calls");
    }
    for (size_t i = 0; i < count; i++) {
        struct psi_slot *slot = &server->slots[i];
        slot->accepted.run = on_accepted;
        slot->server = server;
        slot->kind = (int)(i % PSI_KIND_COUNT);
        slot->loop = &server->loops[i / PSI_KIND_COUNT % (size_t)server->loop_count];
    }
    return PS_OK;
}

/* Last of all: a server that was bound but never started cannot be destroyed. */
static enum ps_code listen_at(struct ps_rpc_server *server, const char *address,
                              struct ps_error *err)
{
    struct psi_address parsed;
    enum ps_code rc = psi_address_parse(address, &parsed, err);
    if (rc != PS_OK) { return rc; }
    grpc_server_credentials *credentials = grpc_insecure_server_credentials_create();
    server->port = grpc_server_add_http2_port(server->server, address, credentials);
    grpc_server_credentials_release(credentials);
    if (server->port == 0) { return psi_address_explain_bind(address, &parsed, err); }
    grpc_server_start(server->server);
    size_t count = (size_t)server->loop_count * PSI_KIND_COUNT * SLOTS_A_KIND;
    for (size_t i = 0; i < count; i++) { request_call(&server->slots[i]); }
    return PS_OK;
}

enum ps_code ps_rpc_server_create(const struct ps_rpc_server_options *options,
                                  struct ps_rpc_server **server_out, struct ps_error *err)
{
    enum ps_code rc;
    *server_out = NULL;
    struct ps_rpc_server *server = ps_alloc_zero(1, sizeof *server);
    if (server == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a server"); }
    server->handlers = options->handlers;
    ps_mutex_init(&server->lock, "rpc server", PS_RANK_POOL);
    ps_cond_init(&server->changed);
    psi_debt_init(&server->debt);
    server->server = new_server(options->lookahead_bytes);
    register_methods(server);

    int control_count =
        options->control_thread_count > 0 ? options->control_thread_count : CONTROL_THREADS;
    PS_TRY(fail, rc, start_loops(server, polling_threads(options->thread_count), err));
    PS_TRY(fail, rc, psi_control_start(&server->control, control_count, err));
    PS_TRY(fail, rc, make_slots(server, err));
    PS_TRY(fail, rc, listen_at(server, options->address, err));
    *server_out = server;
    return PS_OK;
fail:
    ps_rpc_server_destroy(server, 0);
    return rc;
}

int ps_rpc_server_port(const struct ps_rpc_server *server)
{
    return server->port;
}

/* ---- Stopping ---- */

static void on_shutdown(struct psi_event *event, bool ok)
{
    struct ps_rpc_server *server = PSI_OWNER(event, struct ps_rpc_server, shutdown);
    (void)ok;
    ps_mutex_lock(&server->lock);
    server->stopped = true;
    ps_cond_broadcast(&server->changed);
    ps_mutex_unlock(&server->lock);
}

static void wait_for_calls(struct ps_rpc_server *server, int64_t grace_ms)
{
    int64_t until_ns = ps_clock_now_ns(ps_clock_monotonic()) + grace_ms * 1000000;
    ps_mutex_lock(&server->lock);
    while (server->running > 0 &&
           ps_cond_wait_until(&server->changed, &server->lock, until_ns)) {}
    server->abandoned = true;
    ps_mutex_unlock(&server->lock);
}

static void wait_until_stopped(struct ps_rpc_server *server)
{
    ps_mutex_lock(&server->lock);
    while (server->running > 0 || !server->stopped) {
        ps_cond_wait(&server->changed, &server->lock);
    }
    ps_mutex_unlock(&server->lock);
}

static void drain(struct ps_rpc_server *server, int64_t grace_ms)
{
    ps_mutex_lock(&server->lock);
    server->stopping = true;
    ps_mutex_unlock(&server->lock);
    server->shutdown.run = on_shutdown;
    PSI_TSAN_RELEASE(&server->shutdown);
    grpc_server_shutdown_and_notify(server->server, server->loops[0].queue, &server->shutdown);
    end_streams(server);
    wait_for_calls(server, grace_ms);
    grpc_server_cancel_all_calls(server->server);
    wait_until_stopped(server);
    psi_debt_settle(&server->debt);
}

void ps_rpc_server_destroy(struct ps_rpc_server *server, int64_t grace_ms)
{
    if (server == NULL) { return; }
    if (server->port != 0) { drain(server, grace_ms); }
    psi_control_stop(&server->control);
    for (int i = 0; i < server->loop_count; i++) { psi_loop_stop(&server->loops[i]); }
    grpc_server_destroy(server->server);
    for (int i = 0; i < server->loop_count; i++) { psi_loop_clean(&server->loops[i]); }
    ps_free(server->slots);
    ps_free(server->loops);
    psi_debt_clean(&server->debt);
    ps_cond_clean(&server->changed);
    ps_mutex_clean(&server->lock);
    ps_free(server);
}
