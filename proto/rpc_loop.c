/* Threads that poll: one completion queue each, because two threads on one queue are slower. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "proto/rpc_grpc.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

enum { TICK_MS = 500, THREAD_NAME_BYTES = 16 };

struct thread_start {
    void *(*run)(void *);
    void *argument;
    char name[THREAD_NAME_BYTES];
};

/* Optimizer kernels run in these threads, and slots decay into denormals, which cost a hundred
 * times as much as zero. */
static void flush_denormals(void)
{
#if defined(__SSE__)
    enum { FLUSH_TO_ZERO = 0x8000, DENORMALS_ARE_ZERO = 0x0040 };
    _mm_setcsr(_mm_getcsr() | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
#elif defined(__aarch64__)
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    control |= UINT64_C(1) << 24;
    __asm__ volatile("msr fpcr, %0" : : "r"(control));
#endif
}

static void *thread_main(void *argument)
{
    struct thread_start start = *(struct thread_start *)argument;
    ps_free(argument);
    pthread_setname_np(pthread_self(), start.name);
    flush_denormals();
    return start.run(start.argument);
}

enum ps_code psi_thread_start(pthread_t *thread_out, const char *name, void *(*run)(void *),
                              void *argument, struct ps_error *err)
{
    struct thread_start *start = ps_alloc_zero(1, sizeof *start);
    if (start == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a thread"); }
    start->run = run;
    start->argument = argument;
    memcpy(start->name, name, strnlen(name, sizeof start->name - 1));

    sigset_t all, before; /* signals are for the program's own threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(thread_out, NULL, thread_main, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed == 0) { return PS_OK; }
    ps_free(start);
    return ps_fail_errno(err, failed, "cannot start thread %s", name);
}

void psi_start(grpc_call *call, const grpc_op *ops, size_t op_count, struct psi_event *event)
{
    PSI_TSAN_RELEASE(event);
    grpc_call_error refused = grpc_call_start_batch(call, ops, op_count, event, NULL);
    PS_ASSERT(refused == GRPC_CALL_OK);
}

static int64_t now_ms(void)
{
    return ps_clock_now_ms(ps_clock_monotonic());
}

/* How long to wait for the next event; runs the tick when it is due. */
static gpr_timespec wait_until(struct psi_loop *loop, int64_t *next_tick_ms)
{
    if (atomic_load_explicit(&loop->ticking, memory_order_acquire) == 0) {
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    }
    int64_t now = now_ms();
    if (now >= *next_tick_ms) {
        loop->tick(loop->tick_ctx);
        *next_tick_ms = now + TICK_MS;
    }
    return psi_deadline(*next_tick_ms - now);
}

static void *poll_queue(void *argument)
{
    struct psi_loop *loop = argument;
    int64_t next_tick_ms = 0;
    for (;;) {
        gpr_timespec until = wait_until(loop, &next_tick_ms);
        grpc_event event = grpc_completion_queue_next(loop->queue, until, NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN) { return NULL; }
        if (event.type != GRPC_OP_COMPLETE) { continue; }
        struct psi_event *ours = event.tag;
        PSI_TSAN_ACQUIRE(ours);
        ours->run(ours, event.success != 0);
    }
}

enum ps_code psi_loop_start(struct psi_loop *loop, const char *thread_name, struct ps_error *err)
{
    if (loop->queue == NULL) { loop->queue = grpc_completion_queue_create_for_next(NULL); }
    enum ps_code rc = psi_thread_start(&loop->thread, thread_name, poll_queue, loop, err);
    loop->started = rc == PS_OK;
    return rc;
}

void psi_loop_stop(struct psi_loop *loop)
{
    if (loop->queue == NULL) { return; }
    grpc_completion_queue_shutdown(loop->queue);
    if (loop->started) {
        pthread_join(loop->thread, NULL);
    } else { /* nobody else drains it */
        while (grpc_completion_queue_next(loop->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL)
                   .type != GRPC_QUEUE_SHUTDOWN) {}
    }
}

void psi_loop_clean(struct psi_loop *loop)
{
    if (loop->queue != NULL) { grpc_completion_queue_destroy(loop->queue); }
    loop->queue = NULL;
}
