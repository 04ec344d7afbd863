/* The serving side: binds, and stops in the order gRPC needs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "proto/rpc_address.h"
#include "proto/rpc_server_priv.h"

enum {
    POLLING_THREADS_MAX = 4, /* more gain nothing where one connection keeps one thread busy */
    CONTROL_THREADS = 2,
    /* Calls of one connection at a time; further ones wait in the client. This, not the quota, is
     * what bounds memory. */
    CALLS_A_CONNECTION = 64,
    PING_INTERVAL_MS = 10000 /* clients ping every 20 s */
};

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
    args[count++] = psi_int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                                PING_INTERVAL_MS);

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
    long half = sysconf(_SC_NPROCESSORS_ONLN) / 2;
    return half < 1 ? 1 : half > POLLING_THREADS_MAX ? POLLING_THREADS_MAX : (int)half;
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
    psi_accept_begin(server);
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
    psi_accept_register(server);

    int control_count = options->control_thread_count > 0 ? options->control_thread_count
                                                          : CONTROL_THREADS;
    PS_TRY(fail, rc, start_loops(server, polling_threads(options->thread_count), err));
    PS_TRY(fail, rc, psi_control_start(&server->control, control_count, err));
    PS_TRY(fail, rc, psi_accept_prepare(server, err));
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
    while (server->running > 0 && ps_cond_wait_until(&server->changed, &server->lock, until_ns)) {}
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
    psi_served_end_all(server);
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
