/* Pushes and pulls through the public interface, for whatever variables are measured. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/bench_tensor_priv.h"

#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "deploy/bench_meter_priv.h"

enum {
    NAME_BYTES = 64,
    CALL_TIMEOUT_MS = 15000 /* nobody restarts a ps task of the bench */
};

/* So small that no value leaves the normal numbers, however often it is pushed. */
static const double LEARNING_RATE = 1e-6;

enum ps_code psi_bench_worker_check(const struct psi_bench_worker *worker, struct ps_error *err)
{
    if (worker->session != NULL && ps_ok(worker->session)) { return PS_OK; }
    if (worker->session == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a session");
    }
    return ps_fail(err, ps_status(worker->session), "%s", ps_message(worker->session));
}

enum ps_code psi_bench_worker_open(const struct psi_bench_worker_options *options,
                                   struct psi_bench_worker *worker_out, struct ps_error *err)
{
    const ps_options session = {
        .ps_hosts = options->address,
        .job_name = "worker",
        .task_index = options->index,
        .worker_count = options->worker_count,
        .call_timeout_ms = CALL_TIMEOUT_MS,
        .eager = options->eager,
        .no_environment = 1,
        .quiet = 1,
    };
    *worker_out = (struct psi_bench_worker){ .server = options->server };
    worker_out->session = ps_connect(&session);
    worker_out->optimizer = ps_sgd(worker_out->session, LEARNING_RATE);
    worker_out->fence = ps_variable(worker_out->session, "fence", PS_FLOAT, PS_SHAPE(1),
                                    ps_zeros());
    ps_initialize(worker_out->session);
    return psi_bench_worker_check(worker_out, err);
}

void psi_bench_worker_close(struct psi_bench_worker *worker)
{
    if (worker->session != NULL) { ps_finish(worker->session); }
    memset(worker, 0, sizeof *worker);
}

/* Workers that declare the same names share the variables. */
static enum ps_code declare(struct psi_bench_tensors *tensors,
                            const struct psi_bench_tensors_options *options, struct ps_error *err)
{
    const ps_variable_options whole = { .partition = PS_SPLIT_NONE };
    int64_t elements = (int64_t)(options->each_bytes / sizeof(float));
    for (size_t i = 0; i < options->count && ps_ok(tensors->worker->session); i++) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "%s%zu", options->name, i);
        ps_var *var = ps_variable_with(tensors->worker->session, name, PS_FLOAT, PS_SHAPE(elements),
                                       ps_ones(), &whole);
        size_t offset = i * options->each_bytes;
        /* The session only reads what is pushed. */
        char *gradient = (char *)(uintptr_t)options->gradient + offset;
        tensors->gradients[i] = (ps_binding){ var, gradient, (size_t)elements };
        for (int w = 0; w < tensors->window; w++) {
            char *value = tensors->memory + (size_t)w * options->count * options->each_bytes;
            tensors->values[w][i] = (ps_binding){ var, value + offset, (size_t)elements };
        }
    }
    ps_initialize(tensors->worker->session);
    return psi_bench_worker_check(tensors->worker, err);
}

enum ps_code psi_bench_tensors_init(struct psi_bench_tensors *tensors,
                                    struct psi_bench_worker *worker,
                                    const struct psi_bench_tensors_options *options,
                                    struct ps_error *err)
{
    size_t total = options->count * options->each_bytes;
    PS_ASSERT(options->window >= 1 && options->window <= PSI_BENCH_MAX_WINDOW);
    *tensors = (struct psi_bench_tensors){ .worker = worker,
                                           .count = options->count,
                                           .each_bytes = options->each_bytes,
                                           .window = options->window };
    tensors->gradients = ps_alloc_zero(options->count, sizeof(ps_binding));
    tensors->memory = ps_alloc_aligned(total * (size_t)options->window);
    bool complete = tensors->gradients != NULL && tensors->memory != NULL;
    for (int w = 0; w < options->window; w++) {
        tensors->values[w] = ps_alloc_zero(options->count, sizeof(ps_binding));
        complete = complete && tensors->values[w] != NULL;
    }
    if (!complete) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for %d times %zu bytes",
                       options->window, total);
    }
    memset(tensors->memory, 0, total * (size_t)options->window);
    return declare(tensors, options, err);
}

void psi_bench_tensors_clean(struct psi_bench_tensors *tensors)
{
    if (tensors->worker != NULL && tensors->worker->session != NULL) {
        /* A session that failed waits for nothing: only its end lets go of the memory. */
        ps_wait_all(tensors->worker->session);
        if (!ps_ok(tensors->worker->session)) { psi_bench_worker_close(tensors->worker); }
    }
    ps_free(tensors->gradients);
    for (int w = 0; w < PSI_BENCH_MAX_WINDOW; w++) { ps_free(tensors->values[w]); }
    ps_free(tensors->memory);
    memset(tensors, 0, sizeof *tensors);
}

/* Waits for the oldest call in flight; how long it took. */
static double wait_oldest(struct psi_bench_mover *mover)
{
    int oldest = mover->oldest;
    ps_wait(mover->tensors->worker->session, mover->tickets[oldest]);
    mover->oldest = (oldest + 1) % mover->window;
    mover->flight_count--;
    return psi_bench_now() - mover->started[oldest];
}

static enum ps_code run(void *ctx, double *seconds_out, struct ps_error *err)
{
    struct psi_bench_mover *mover = ctx;
    struct psi_bench_tensors *tensors = mover->tensors;
    int turn = (mover->oldest + mover->flight_count) % mover->window;
    ps_ticket ticket = 0;
    mover->started[turn] = psi_bench_now();
    if (mover->move != PSI_BENCH_PULL) {
        ticket = ps_push_async(tensors->worker->optimizer, tensors->gradients, tensors->count);
    }
    if (mover->move != PSI_BENCH_PUSH) {
        /* With a push before it, its answer tells that the push has been applied. */
        ticket = ps_pull_async(tensors->worker->session, tensors->values[turn], tensors->count);
    }
    mover->tickets[turn] = ticket;
    mover->flight_count++;
    *seconds_out = mover->flight_count == mover->window ? wait_oldest(mover) : -1.0;
    return psi_bench_worker_check(tensors->worker, err);
}

static enum ps_code finish(void *ctx, struct ps_error *err)
{
    struct psi_bench_mover *mover = ctx;
    struct psi_bench_worker *worker = mover->tensors->worker;
    float fence = 0.0F;
    ps_binding binding = { worker->fence, &fence, 1 };
    while (mover->flight_count > 0) { wait_oldest(mover); }
    ps_wait_all(worker->session);
    if (mover->move == PSI_BENCH_PUSH) { ps_pull(worker->session, &binding, 1); }
    return psi_bench_worker_check(worker, err);
}

struct psi_bench_op psi_bench_mover_op(struct psi_bench_mover *mover, const char *name,
                                       struct psi_bench_tensors *tensors, enum psi_bench_move move,
                                       int window)
{
    PS_ASSERT(window >= 1 && window <= tensors->window);
    *mover = (struct psi_bench_mover){ .tensors = tensors, .move = move, .window = window };
    size_t bytes = tensors->count * tensors->each_bytes;
    return (struct psi_bench_op){
        .name = name,
        .size_bytes = move == PSI_BENCH_PUSH_PULL ? 2 * bytes : bytes,
        .server = tensors->worker->server,
        .ctx = mover,
        .run = run,
        .finish = finish,
    };
}
