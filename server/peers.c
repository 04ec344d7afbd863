/* Channels to the other ps tasks, made when first needed; and a crowd of threads for one round. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/peers.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "core/alloc.h"
#include "core/cluster.h"
#include "core/lock.h"

/* A thread waits for one task at a time; more of them than this at once would only queue up at the
 * disk or the network that they share. */
enum { MOST_THREADS = 64 };

struct peer {
    char *address;
    struct ps_channel *channel; /* NULL: not connected to this address yet */
};

/* A channel to an address that is no longer the task's; a call may still be using it. */
struct retired {
    struct retired *next;
    struct ps_channel *channel;
};

struct ps_peers {
    struct ps_mutex lock; /* PS_RANK_TASK: everything below but count */
    uint32_t count;
    struct ps_rpc_client *client; /* NULL until the first call */
    struct peer *peers;
    struct retired *retired;
};

enum ps_code ps_peers_create(const struct ps_cluster *cluster, struct ps_peers **peers_out,
                             struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    *peers_out = NULL;
    struct ps_peers *peers = ps_alloc_zero(1, sizeof *peers);
    if (peers == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for peers"); }
    ps_mutex_init(&peers->lock, "peers", PS_RANK_TASK);
    uint32_t count = (uint32_t)ps_cluster_task_count(cluster, "ps");
    peers->peers = ps_alloc_zero(count, sizeof *peers->peers);
    if (peers->peers == NULL) {
        rc = ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for peers");
        goto fail;
    }
    for (; peers->count < count; peers->count++) {
        const char *address;
        PS_TRY(fail, rc, ps_cluster_address(cluster, "ps", (int)peers->count, &address, err));
        peers->peers[peers->count].address = ps_strdup(address);
        if (peers->peers[peers->count].address == NULL) {
            rc = ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for peers");
            goto fail;
        }
    }
    *peers_out = peers;
    return PS_OK;
fail:
    ps_peers_destroy(peers);
    return rc;
}

void ps_peers_destroy(struct ps_peers *peers)
{
    if (peers == NULL) { return; }
    for (uint32_t i = 0; i < peers->count; i++) {
        ps_channel_destroy(peers->peers[i].channel);
        ps_free(peers->peers[i].address);
    }
    while (peers->retired != NULL) {
        struct retired *retired = peers->retired;
        peers->retired = retired->next;
        ps_channel_destroy(retired->channel);
        ps_free(retired);
    }
    ps_rpc_client_destroy(peers->client);
    ps_free(peers->peers);
    ps_mutex_clean(&peers->lock);
    ps_free(peers);
}

uint32_t ps_peers_count(const struct ps_peers *peers)
{
    return peers->count;
}

void ps_peers_move(struct ps_peers *peers, uint32_t index, const char *address)
{
    if (index >= peers->count) { return; }
    char *copy = ps_strdup(address);
    struct retired *retired = ps_alloc_zero(1, sizeof *retired);
    ps_mutex_lock(&peers->lock);
    struct peer *peer = &peers->peers[index];
    if (copy != NULL && retired != NULL && strcmp(peer->address, address) != 0) {
        char *old = peer->address;
        peer->address = copy;
        copy = old;
        if (peer->channel != NULL) {
            *retired = (struct retired){ peers->retired, peer->channel };
            peers->retired = retired;
            peer->channel = NULL;
            retired = NULL;
        }
    }
    ps_mutex_unlock(&peers->lock);
    ps_free(retired);
    ps_free(copy);
}

static enum ps_code connect_locked(struct ps_peers *peers, uint32_t index, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    struct peer *peer = &peers->peers[index];
    if (peers->client == NULL) { rc = ps_rpc_client_create(&peers->client, err); }
    if (rc != PS_OK || peer->channel != NULL) { return rc; }
    return ps_channel_create(peers->client, peer->address, 0, &peer->channel, err);
}

enum ps_code ps_peers_call(struct ps_peers *peers, uint32_t index, enum ps_method method,
                           struct ps_outgoing *request, int64_t deadline_ms,
                           struct ps_answer *answer_out, struct ps_error *err)
{
    PS_ASSERT(index < peers->count);
    ps_mutex_lock(&peers->lock);
    enum ps_code rc = connect_locked(peers, index, err);
    struct ps_channel *channel = peers->peers[index].channel;
    ps_mutex_unlock(&peers->lock);
    if (rc == PS_OK) {
        rc = ps_channel_call(channel, method, request, deadline_ms, false, answer_out, err);
    } else {
        ps_outgoing_clean(request);
    }
    if (rc != PS_OK && err != NULL) {
        (void)ps_wrap(err, "/job:ps/task:%" PRIu32, index);
        err->task = (int)index;
    }
    return rc;
}

/* ---- All at once ---- */

struct round {
    ps_peers_work_fn *work;
    void *ctx;
    uint32_t count;
    atomic_uint_fast32_t next;
    struct ps_mutex lock; /* PS_RANK_POOL: the error */
    struct ps_error error;
};

static void *work_off(void *argument)
{
    struct round *round = argument;
    for (;;) {
        uint32_t index = (uint32_t)atomic_fetch_add(&round->next, 1);
        if (index >= round->count) { return NULL; }
        struct ps_error error = PS_ERROR_INIT;
        enum ps_code rc = round->work(round->ctx, index, &error);
        if (rc == PS_OK) { continue; }
        error.code = rc;
        ps_mutex_lock(&round->lock);
        if (round->error.code == PS_OK) { round->error = error; }
        ps_mutex_unlock(&round->lock);
    }
}

enum ps_code ps_peers_each(uint32_t count, ps_peers_work_fn *work, void *ctx, struct ps_error *err)
{
    pthread_t threads[MOST_THREADS];
    uint32_t thread_count = 0;
    struct round round = { .work = work, .ctx = ctx, .count = count, .error = PS_ERROR_INIT };
    ps_mutex_init(&round.lock, "round of calls", PS_RANK_POOL);
    /* This thread works too; fewer threads than wanted are only slower. */
    while (thread_count + 1 < count && thread_count < MOST_THREADS &&
           pthread_create(&threads[thread_count], NULL, work_off, &round) == 0) {
        thread_count++;
    }
    (void)work_off(&round);
    for (uint32_t i = 0; i < thread_count; i++) { pthread_join(threads[i], NULL); }
    ps_mutex_clean(&round.lock);
    if (round.error.code != PS_OK && err != NULL) { *err = round.error; }
    return round.error.code;
}
