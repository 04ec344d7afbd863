/* A ps task in a process of its own, started from this very executable. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_BENCH_PS_PRIV_H
#define PARAMD_DEPLOY_BENCH_PS_PRIV_H

#include <stdio.h>
#include <sys/types.h>

#include "core/status.h"

struct psi_bench_ps {
    pid_t pid; /* 0: none */
    char address[64];
    FILE *log; /* what it said, shown when it fails */
};

/* Runs `paramd ps` for that many workers on a free port of loopback, and waits until it listens.
 * Before gRPC is started in this process. Errors: UNAVAILABLE with the last thing it said. */
PS_MUST_CHECK enum ps_code psi_bench_ps_start(int worker_count, struct psi_bench_ps *ps_out,
                                              struct ps_error *err);

/* Gives it a moment to end by itself, as it does when every worker has finished; then ends it.
 * Zeroes ps. */
void psi_bench_ps_stop(struct psi_bench_ps *ps);

#endif
