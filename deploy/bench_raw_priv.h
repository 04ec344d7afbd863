/* Raw TCP over loopback between two processes: what the transport is compared with. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_BENCH_RAW_PRIV_H
#define PARAMD_DEPLOY_BENCH_RAW_PRIV_H

#include <stddef.h>
#include <sys/types.h>

#include "core/status.h"
#include "deploy/bench_row_priv.h"

/* A process that receives into its buffer, then answers. */
struct psi_bench_raw_peer {
    pid_t pid; /* 0: none */
    int port;
    size_t largest_bytes; /* of one message */
};

/* Forks the peer. Before any thread is started in this process. */
PS_MUST_CHECK enum ps_code psi_bench_raw_start(size_t largest_bytes,
                                               struct psi_bench_raw_peer *peer_out,
                                               struct ps_error *err);
void psi_bench_raw_stop(struct psi_bench_raw_peer *peer);

/* One connection, which sends size_bytes and waits for answer_bytes (at most 8), in turn. The peer
 * serves one at a time. */
struct psi_bench_raw {
    int fd;
    pid_t server;
    size_t size_bytes;
    size_t answer_bytes;
    const void *data; /* borrowed */
};

/* psi_bench_raw_close when done, also after a failure. */
PS_MUST_CHECK enum ps_code psi_bench_raw_open(const struct psi_bench_raw_peer *peer,
                                              const void *data, size_t size_bytes,
                                              size_t answer_bytes, struct psi_bench_raw *raw_out,
                                              struct ps_error *err);
void psi_bench_raw_close(struct psi_bench_raw *raw);

/* The op that measures it; raw is borrowed. */
struct psi_bench_op psi_bench_raw_op(struct psi_bench_raw *raw, const char *name);

#endif
