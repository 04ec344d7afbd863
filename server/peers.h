/* The other ps tasks, as ps task 0 calls them: one at a time, or all at once. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_PEERS_H
#define PARAMD_SERVER_PEERS_H

#include <stdint.h>

#include "proto/rpc.h"

struct ps_cluster;
struct ps_peers;

/* Knows the ps tasks of cluster by their addresses; connects to none before the first call.
 * Errors: INVALID_ARGUMENT, RESOURCE_EXHAUSTED. */
PS_MUST_CHECK enum ps_code ps_peers_create(const struct ps_cluster *cluster,
                                           struct ps_peers **peers_out, struct ps_error *err);
/* No call is under way. Takes NULL. */
void ps_peers_destroy(struct ps_peers *peers);

uint32_t ps_peers_count(const struct ps_peers *peers);

/* A task says that it is to be found at another address than the cluster tells. Threads: any. */
void ps_peers_move(struct ps_peers *peers, uint32_t index, const char *address);

/* Calls task index, as ps_channel_call does; takes request. Errors name the task. Threads: any. */
PS_MUST_CHECK enum ps_code ps_peers_call(struct ps_peers *peers, uint32_t index,
                                         enum ps_method method, struct ps_outgoing *request,
                                         int64_t deadline_ms, struct ps_answer *answer_out,
                                         struct ps_error *err);

/* Runs work(ctx, i) for every i below count, on several threads, and returns when all have
 * returned: the first failure, the others' work being done nevertheless. */
typedef enum ps_code ps_peers_work_fn(void *ctx, uint32_t index, struct ps_error *err);
PS_MUST_CHECK enum ps_code ps_peers_each(uint32_t count, ps_peers_work_fn *work, void *ctx,
                                         struct ps_error *err);

#endif
