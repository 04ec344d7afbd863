/* The table of kernels that one instruction set gives. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_KERNEL_PRIV_H
#define PARAMD_SERVER_KERNEL_PRIV_H

#include "server/kernel.h"

enum { PSI_KERNEL_DTYPES = PS_UINT64 + 1 };

typedef size_t psi_kernel_finite_fn(const void *data, size_t count);

struct psi_kernel_set {
    const char *name;
    ps_kernel_fn *ops[PS_KERNEL_OP_COUNT][PSI_KERNEL_DTYPES]; /* NULL: not supported */
    psi_kernel_finite_fn *first_nonfinite[PSI_KERNEL_DTYPES];
};

extern const struct psi_kernel_set psi_kernel_baseline;
#if defined(__x86_64__)
extern const struct psi_kernel_set psi_kernel_avx2;
extern const struct psi_kernel_set psi_kernel_avx512;
#endif

#endif
