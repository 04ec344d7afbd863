/* What this machine does without any network: memcpy, y += a*x, and the kernels of a ps task. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/bench_local_priv.h"

#include <cblas.h>
#include <string.h>

#include "core/alloc.h"
#include "deploy/bench_meter_priv.h"
#include "server/kernel.h"

enum { PLANE_COUNT = 3 };

/* So small that no value leaves the normal numbers, however often it is applied. */
static const double RATE = 1e-6;

static const struct ps_kernel_scalars SCALARS = {
    .rate = RATE, .momentum = 0.9, .gain1 = 0.1, .gain2 = 0.001, .epsilon = 1e-8
};

enum ps_code psi_bench_memory_init(struct psi_bench_memory *memory, const void *gradient,
                                   size_t size_bytes, struct ps_error *err)
{
    *memory = (struct psi_bench_memory){ .size_bytes = size_bytes, .gradient = gradient };
    for (int i = 0; i < PLANE_COUNT; i++) {
        memory->planes[i] = ps_alloc_aligned(size_bytes);
        if (memory->planes[i] == NULL) {
            return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for %zu bytes", size_bytes);
        }
        /* Values and slots that could have come from training: no zeros, no denormals. */
        memcpy(memory->planes[i], gradient, size_bytes);
    }
    for (size_t i = 0; i < size_bytes / sizeof(float); i++) {
        float *second_moments = memory->planes[PLANE_COUNT - 1];
        second_moments[i] *= second_moments[i];
    }
    return PS_OK;
}

void psi_bench_memory_clean(struct psi_bench_memory *memory)
{
    for (int i = 0; i < PLANE_COUNT; i++) {
        ps_free(memory->planes[i]);
        memory->planes[i] = NULL;
    }
}

static enum ps_code run_memcpy(void *ctx, double *seconds_out, struct ps_error *err)
{
    const struct psi_bench_memory *memory = ctx;
    (void)err;
    double start = psi_bench_now();
    memcpy(memory->planes[0], memory->gradient, memory->size_bytes);
    __asm__ volatile("" : : "r"(memory->planes[0]) : "memory"); /* the copy is not dead */
    *seconds_out = psi_bench_now() - start;
    return PS_OK;
}

static enum ps_code run_axpy(void *ctx, double *seconds_out, struct ps_error *err)
{
    const struct psi_bench_memory *memory = ctx;
    (void)err;
    double start = psi_bench_now();
    cblas_saxpy((int)(memory->size_bytes / sizeof(float)), (float)RATE, memory->gradient, 1,
                memory->planes[0], 1);
    *seconds_out = psi_bench_now() - start;
    return PS_OK;
}

static enum ps_code apply(const struct psi_bench_memory *memory, enum ps_kernel_op op,
                          double *seconds_out, struct ps_error *err)
{
    const struct ps_kernel_run kernel_run = {
        .planes = { memory->planes[0], memory->planes[1], memory->planes[2] },
        .operand = memory->gradient,
        .count = memory->size_bytes / sizeof(float),
        .scalars = &SCALARS,
    };
    ps_kernel_fn *kernel = ps_kernel_find(op, PS_FLOAT);
    if (kernel == NULL) { return ps_fail(err, PS_INTERNAL, "no kernel for float"); }
    double start = psi_bench_now();
    kernel(&kernel_run);
    *seconds_out = psi_bench_now() - start;
    return PS_OK;
}

static enum ps_code run_sgd(void *ctx, double *seconds_out, struct ps_error *err)
{
    return apply(ctx, PS_KERNEL_SGD, seconds_out, err);
}

static enum ps_code run_momentum(void *ctx, double *seconds_out, struct ps_error *err)
{
    return apply(ctx, PS_KERNEL_MOMENTUM, seconds_out, err);
}

static enum ps_code run_adam(void *ctx, double *seconds_out, struct ps_error *err)
{
    return apply(ctx, PS_KERNEL_ADAM, seconds_out, err);
}

struct psi_bench_op psi_bench_local_op(struct psi_bench_memory *memory,
                                       enum psi_bench_local_kind kind)
{
    static const struct {
        const char *name;
        enum ps_code (*run)(void *ctx, double *seconds_out, struct ps_error *err);
    } kinds[PSI_BENCH_LOCAL_COUNT] = {
        [PSI_BENCH_MEMCPY] = { "memcpy", run_memcpy },
        [PSI_BENCH_AXPY] = { "y += a*x", run_axpy },
        [PSI_BENCH_APPLY_SGD] = { "apply sgd", run_sgd },
        [PSI_BENCH_APPLY_MOMENTUM] = { "apply momentum", run_momentum },
        [PSI_BENCH_APPLY_ADAM] = { "apply adam", run_adam },
    };
    return (struct psi_bench_op){
        .name = kinds[kind].name,
        .size_bytes = memory->size_bytes,
        .ctx = memory,
        .run = kinds[kind].run,
    };
}
