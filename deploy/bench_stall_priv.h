/* Readers that ask for much and consume nothing, while pushes go on: what that costs a ps task. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_BENCH_STALL_PRIV_H
#define PARAMD_DEPLOY_BENCH_STALL_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

struct psi_bench_ps;

struct psi_bench_stall_options {
    size_t variable_bytes;
    double seconds; /* of pushes, before and while the readers stand still */
};

struct psi_bench_stall_result {
    int stream_count;
    size_t lookahead_bytes; /* of each stream */
    uint64_t push_count;    /* while they stood still */
    int64_t before_bytes;   /* resident memory of the ps task, at most, without readers */
    int64_t peak_bytes;     /* the same with them */
    int64_t allowed_bytes;  /* growth: streams * lookahead + 32 MB */
    bool within;
};

/* ps: a task for one worker, fresh, so that no memory of an earlier test hides the growth. */
PS_MUST_CHECK enum ps_code psi_bench_stall_measure(const struct psi_bench_ps *ps,
                                                   const struct psi_bench_stall_options *options,
                                                   struct psi_bench_stall_result *result_out,
                                                   struct ps_error *err);

#endif
