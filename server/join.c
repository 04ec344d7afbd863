/* How a ps task other than the first learns which job it belongs to. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/join.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/cluster.h"
#include "core/log.h"
#include "proto/codec.h"
#include "proto/rpc.h"

enum { HELLO_TIMEOUT_MS = 2000, PAUSE_MS = 100, FIRST_LINE_MS = 3000, LATER_LINES_MS = 30000 };

struct ps_join {
    struct ps_service *service;
    struct ps_rpc_client *client;
    struct ps_channel *channel;
    pthread_t thread;
    bool has_thread;
    struct ps_mutex lock; /* PS_RANK_POOL: stopping */
    struct ps_cond wake;
    bool stopping;
    char own_address[PS_ADDRESS_BYTES]; /* set by start */
};

static enum ps_code check_reply(const struct ps_join *join, const struct ps_hello_reply *reply,
                                struct ps_error *err)
{
    const struct ps_service *service = join->service;
    const char *address = ps_channel_address(join->channel);
    if (reply->protocol != PS_PROTOCOL) {
        return ps_fail(err, PS_UNIMPLEMENTED,
                       "version mismatch: ps/0 at %s is %s (protocol %" PRIu32
                       "), I am %s (protocol %d). Run the same version of paramd on both",
                       address, reply->version, reply->protocol, PS_VERSION, PS_PROTOCOL);
    }
    if (reply->task_index != 0 || reply->ps_count != service->ps_count) {
        return ps_fail(err, PS_FAILED_PRECONDITION,
                       "%s says that it is ps/%" PRIu32 " of %" PRIu32
                       ", but in my cluster it is ps/0 of %" PRIu32
                       ". Give every task the same --ps_hosts in the same order",
                       address, reply->task_index, reply->ps_count, service->ps_count);
    }
    if (reply->header.job == 0) { return ps_fail(err, PS_UNAVAILABLE, "it has no job yet"); }
    return PS_OK;
}

static enum ps_code ask(struct ps_join *join, struct ps_error *err)
{
    struct ps_hello_request request = {
        .protocol = PS_PROTOCOL,
        .version = PS_VERSION,
        .job_name = "ps",
        .task_index = (int32_t)join->service->task_index,
        .address = join->own_address,
    };
    struct ps_outgoing out = { 0 };
    struct ps_answer answer = { 0 };
    struct ps_arena arena = { 0 };
    struct ps_hello_reply reply;
    enum ps_code rc;
    PS_TRY(done, rc, ps_encode_hello_request(&request, &out.head, err));
    PS_TRY(done, rc,
           ps_channel_call(join->channel, PS_METHOD_HELLO, &out, HELLO_TIMEOUT_MS, false, &answer,
                           err));
    PS_TRY(done, rc, ps_decode_hello_reply(answer.message.head, &arena, &reply, err));
    PS_TRY(done, rc, check_reply(join, &reply, err));
    atomic_store(&join->service->generation, reply.header.generation);
    atomic_store(&join->service->state, PS_TASK_SERVING);
    atomic_store(&join->service->job, reply.header.job);
done:
    ps_arena_clean(&arena);
    ps_answer_clean(&answer);
    return rc;
}

/* False when the task stops meanwhile. */
static bool pause_a_little(struct ps_join *join)
{
    int64_t deadline_ns = ps_clock_now_ns(ps_clock_monotonic()) + PAUSE_MS * (int64_t)1000000;
    ps_mutex_lock(&join->lock);
    while (!join->stopping && ps_cond_wait_until(&join->wake, &join->lock, deadline_ns)) {}
    bool stopping = join->stopping;
    ps_mutex_unlock(&join->lock);
    return !stopping;
}

static void *run(void *ctx)
{
    struct ps_join *join = ctx;
    int64_t started = ps_clock_now_ms(ps_clock_monotonic()), next_line = FIRST_LINE_MS;
    for (;;) {
        struct ps_error err = PS_ERROR_INIT;
        if (ask(join, &err) == PS_OK) {
            ps_log(PS_LOG_INFO, "join", "joined job %016" PRIx64 " of ps/0 at %s",
                   (uint64_t)atomic_load(&join->service->job), ps_channel_address(join->channel));
            return NULL;
        }
        int64_t waited = ps_clock_now_ms(ps_clock_monotonic()) - started;
        if (waited >= next_line) {
            ps_log(PS_LOG_WARN, "join", "waiting for ps/0 at %s (%" PRId64 " s): %s",
                   ps_channel_address(join->channel), waited / 1000, err.message);
            next_line = waited + LATER_LINES_MS;
        }
        if (!pause_a_little(join)) { return NULL; }
    }
}

enum ps_code ps_join_start(struct ps_service *service, const char *address, const char *own_address,
                           struct ps_join **join_out, struct ps_error *err)
{
    *join_out = NULL;
    struct ps_join *join = ps_alloc_zero(1, sizeof *join);
    if (join == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to join"); }
    join->service = service;
    snprintf(join->own_address, sizeof join->own_address, "%s", own_address);
    ps_mutex_init(&join->lock, "join", PS_RANK_POOL);
    ps_cond_init(&join->wake);
    enum ps_code rc;
    PS_TRY(fail, rc, ps_rpc_client_create(&join->client, err));
    PS_TRY(fail, rc, ps_channel_create(join->client, address, 0, &join->channel, err));
    if (pthread_create(&join->thread, NULL, run, join) != 0) {
        rc = ps_fail(err, PS_RESOURCE_EXHAUSTED, "cannot start a thread to join the job");
        goto fail;
    }
    join->has_thread = true;
    *join_out = join;
    return PS_OK;
fail:
    ps_join_stop(join);
    return rc;
}

void ps_join_stop(struct ps_join *join)
{
    if (join == NULL) { return; }
    ps_mutex_lock(&join->lock);
    join->stopping = true;
    ps_cond_broadcast(&join->wake);
    ps_mutex_unlock(&join->lock);
    if (join->has_thread) { pthread_join(join->thread, NULL); }
    ps_channel_destroy(join->channel);
    ps_rpc_client_destroy(join->client);
    ps_cond_clean(&join->wake);
    ps_mutex_clean(&join->lock);
    ps_free(join);
}
