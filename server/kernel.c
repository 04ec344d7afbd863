/* Chooses the kernels for the machine at hand. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/kernel.h"

#include "server/kernel_priv.h"

/* Fastest first; the last one runs everywhere. */
static const struct psi_kernel_set *const sets[] = {
#if defined(__x86_64__)
    &psi_kernel_avx512,
    &psi_kernel_avx2,
#endif
    &psi_kernel_baseline,
};

enum { SET_COUNT = sizeof sets / sizeof sets[0] };

int ps_kernel_variant_count(void)
{
    return SET_COUNT;
}

const char *ps_kernel_variant_name(int variant)
{
    return sets[variant]->name;
}

bool ps_kernel_variant_runs_here(int variant)
{
#if defined(__x86_64__)
    if (sets[variant] == &psi_kernel_avx512) {
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    }
    if (sets[variant] == &psi_kernel_avx2) { return __builtin_cpu_supports("avx2"); }
#endif
    return variant == SET_COUNT - 1;
}

static int best_variant(void)
{
    int variant = 0;
    while (!ps_kernel_variant_runs_here(variant)) { variant++; }
    return variant;
}

ps_kernel_fn *ps_kernel_variant_find(int variant, enum ps_kernel_op op, enum ps_dtype dtype)
{
    return (int)dtype < PSI_KERNEL_DTYPES ? sets[variant]->ops[op][dtype] : NULL;
}

size_t ps_kernel_variant_first_nonfinite(int variant, enum ps_dtype dtype, const void *data,
                                         size_t count)
{
    PS_ASSERT(ps_dtype_is_floating(dtype));
    return sets[variant]->first_nonfinite[dtype](data, count);
}

ps_kernel_fn *ps_kernel_find(enum ps_kernel_op op, enum ps_dtype dtype)
{
    return ps_kernel_variant_find(best_variant(), op, dtype);
}

size_t ps_kernel_first_nonfinite(enum ps_dtype dtype, const void *data, size_t count)
{
    return ps_kernel_variant_first_nonfinite(best_variant(), dtype, data, count);
}
