/* What this machine does without any network: memcpy, y += a*x, and the kernels of a ps task. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_BENCH_LOCAL_PRIV_H
#define PARAMD_DEPLOY_BENCH_LOCAL_PRIV_H

#include <stddef.h>

#include "core/status.h"
#include "deploy/bench_row_priv.h"

enum psi_bench_local_kind {
    PSI_BENCH_MEMCPY,
    PSI_BENCH_AXPY, /* OpenBLAS, one thread */
    PSI_BENCH_APPLY_SGD,
    PSI_BENCH_APPLY_MOMENTUM,
    PSI_BENCH_APPLY_ADAM,
    PSI_BENCH_LOCAL_COUNT
};

/* A variable with its slots, in this process. */
struct psi_bench_memory {
    size_t size_bytes;
    void *planes[3];
    const void *gradient; /* borrowed, size_bytes */
};

/* psi_bench_memory_clean when done, also after a failure. */
PS_MUST_CHECK enum ps_code psi_bench_memory_init(struct psi_bench_memory *memory,
                                                 const void *gradient, size_t size_bytes,
                                                 struct ps_error *err);
void psi_bench_memory_clean(struct psi_bench_memory *memory);

struct psi_bench_op psi_bench_local_op(struct psi_bench_memory *memory,
                                       enum psi_bench_local_kind kind);

#endif
