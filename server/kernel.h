/* Elementwise kernels: one pass over memory, the same values on every machine. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_KERNEL_H
#define PARAMD_SERVER_KERNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "core/dtype.h"

/* Planes: the value, then slots in the order of the formula. g is the operand. */
enum ps_kernel_op {
    PS_KERNEL_ASSIGN,   /* w = g */
    PS_KERNEL_ADD,      /* w += g; integers wrap */
    PS_KERNEL_SUB,      /* w -= g; integers wrap */
    PS_KERNEL_SGD,      /* w -= g * rate */
    PS_KERNEL_MOMENTUM, /* a = a * momentum + g; w -= a * rate */
    PS_KERNEL_NESTEROV, /* a = a * momentum + g; w -= g * rate + a * momentum * rate */
    PS_KERNEL_ADAM,     /* m += (g - m) * gain1; v += (g * g - v) * gain2;
                         * w -= m * rate / (sqrt(v) + epsilon) */
    PS_KERNEL_OP_COUNT
};

enum { PS_KERNEL_MAX_PLANES = 3 };

/* Values that the element's own arithmetic gave (float for half and bfloat16 too); a double holds
 * each exactly. */
struct ps_kernel_scalars {
    double rate; /* Adam: learning rate corrected by the powers of the betas */
    double momentum;
    double gain1; /* 1 - beta1 */
    double gain2; /* 1 - beta2 */
    double epsilon;
};

struct ps_kernel_run {
    void *planes[PS_KERNEL_MAX_PLANES]; /* aligned to their element; distinct */
    const void *operand;                /* at any address; overlaps no plane */
    size_t count;                       /* elements */
    const struct ps_kernel_scalars *scalars;
};

typedef void ps_kernel_fn(const struct ps_kernel_run *run);

/* NULL if the type does not support the operation: bool only assigns, integers also add and
 * subtract, the four floating types do all; half and bfloat16 compute in float.
 * Values are a pure function of the arguments on every machine (the payload of a NaN aside).
 * Threads: any; the function too, on distinct planes. */
ps_kernel_fn *ps_kernel_find(enum ps_kernel_op op, enum ps_dtype dtype);

/* Index of the first element that is infinite or NaN; count if there is none. dtype is floating;
 * data may stand at any address. */
size_t ps_kernel_first_nonfinite(enum ps_dtype dtype, const void *data, size_t count);

/* The same kernels compiled for several instruction sets, fastest first; the two above take the
 * first one this machine can run. For tests and measurements. */
int ps_kernel_variant_count(void);
const char *ps_kernel_variant_name(int variant);
bool ps_kernel_variant_runs_here(int variant);
ps_kernel_fn *ps_kernel_variant_find(int variant, enum ps_kernel_op op, enum ps_dtype dtype);
size_t ps_kernel_variant_first_nonfinite(int variant, enum ps_dtype dtype, const void *data,
                                         size_t count);

#endif
