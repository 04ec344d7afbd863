/* One variable reached below the public interface: by unary calls of a channel of its own. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_BENCH_UNARY_PRIV_H
#define PARAMD_DEPLOY_BENCH_UNARY_PRIV_H

#include <stdint.h>
#include <sys/types.h>

#include "core/status.h"
#include "deploy/bench_row_priv.h"
#include "proto/arena.h"
#include "proto/messages.h"

struct ps_channel;
struct ps_rpc_client;

/* What a request has to name. */
struct psi_bench_target {
    const char *address; /* of the ps task; borrowed */
    struct ps_header header;
    uint32_t handle;
    uint64_t size_bytes;
};

/* Asks the ps task at address for a variable that is there. Errors: NOT_FOUND, UNAVAILABLE. */
PS_MUST_CHECK enum ps_code psi_bench_target_find(const char *address, const char *variable,
                                                 struct psi_bench_target *target_out,
                                                 struct ps_error *err);

struct psi_bench_unary {
    struct psi_bench_target target;
    pid_t server;
    struct ps_rpc_client *client;
    struct ps_channel *channel;
    struct ps_arena arena;
};

/* psi_bench_unary_close when done, also after a failure. */
PS_MUST_CHECK enum ps_code psi_bench_unary_open(const struct psi_bench_target *target, pid_t server,
                                                struct psi_bench_unary *unary_out,
                                                struct ps_error *err);
void psi_bench_unary_close(struct psi_bench_unary *unary);

/* The op that reads the target's first 4 bytes; unary is borrowed. */
struct psi_bench_op psi_bench_unary_op(struct psi_bench_unary *unary, const char *name);

#endif
