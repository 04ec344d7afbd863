/* Mutexes that check their order: each thread remembers what it holds, in the order it took it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/lock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/status.h"

/* Ranks rise strictly, so a thread holds at most one lock a rank; there are eight. */
enum { HELD_MAX = 16 };

/* Kept in release builds too: a push and a pop cost far less than the lock itself. The last one
 * held has the highest rank, because removing from the middle keeps the order. */
static _Thread_local struct {
    const struct ps_mutex *locks[HELD_MAX];
    int count;
} held;

static void __attribute__((noreturn))
order_violation(const char *what, const struct ps_mutex *mutex, const struct ps_mutex *holding)
{
    fprintf(stderr, "paramd: lock order: %s '%s' (rank %d) while holding '%s' (rank %d)\n", what,
            mutex->name, mutex->rank, holding->name, holding->rank);
    abort();
}

static void remember(const struct ps_mutex *mutex)
{
    if (held.count > 0) {
        const struct ps_mutex *top = held.locks[held.count - 1];
        if (top->rank >= mutex->rank) { order_violation("taking", mutex, top); }
    }
    PS_ASSERT(held.count < HELD_MAX);
    held.locks[held.count++] = mutex;
}

static void forget(const struct ps_mutex *mutex)
{
    int i = held.count - 1;
    while (i >= 0 && held.locks[i] != mutex) { i--; }
    PS_ASSERT(i >= 0); /* a thread unlocks what it locked */
    held.count--;
    memmove(&held.locks[i], &held.locks[i + 1], (size_t)(held.count - i) * sizeof held.locks[0]);
}

void ps_mutex_init(struct ps_mutex *mutex, const char *name, enum ps_rank rank)
{
    mutex->name = name;
    mutex->rank = (int)rank;
    int failed = pthread_mutex_init(&mutex->mutex, NULL);
    PS_ASSERT(failed == 0);
}

void ps_mutex_clean(struct ps_mutex *mutex)
{
    if (mutex == NULL || mutex->name == NULL) { return; } /* never initialised */
    int failed = pthread_mutex_destroy(&mutex->mutex);
    PS_ASSERT(failed == 0);
    mutex->name = NULL;
}

void ps_mutex_lock(struct ps_mutex *mutex)
{
    remember(mutex); /* before blocking: a wrong order speaks up instead of hanging */
    int failed = pthread_mutex_lock(&mutex->mutex);
    PS_ASSERT(failed == 0);
}

void ps_mutex_unlock(struct ps_mutex *mutex)
{
    forget(mutex);
    int failed = pthread_mutex_unlock(&mutex->mutex);
    PS_ASSERT(failed == 0);
}

void ps_cond_init(struct ps_cond *cond)
{
    pthread_condattr_t attributes;
    int failed = pthread_condattr_init(&attributes);
    PS_ASSERT(failed == 0);
    failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    PS_ASSERT(failed == 0);
    failed = pthread_cond_init(&cond->cond, &attributes);
    PS_ASSERT(failed == 0);
    pthread_condattr_destroy(&attributes);
}

void ps_cond_clean(struct ps_cond *cond)
{
    if (cond == NULL) { return; }
    int failed = pthread_cond_destroy(&cond->cond);
    PS_ASSERT(failed == 0);
}

void ps_cond_signal(struct ps_cond *cond)
{
    pthread_cond_signal(&cond->cond);
}

void ps_cond_broadcast(struct ps_cond *cond)
{
    pthread_cond_broadcast(&cond->cond);
}

/* Waiting takes the mutex again, so a higher lock kept meanwhile would break the order. */
static void check_wait(const struct ps_mutex *mutex)
{
    PS_ASSERT(held.count > 0);
    const struct ps_mutex *top = held.locks[held.count - 1];
    if (top != mutex) { order_violation("waiting with", mutex, top); }
}

void ps_cond_wait(struct ps_cond *cond, struct ps_mutex *mutex)
{
    check_wait(mutex);
    int failed = pthread_cond_wait(&cond->cond, &mutex->mutex);
    PS_ASSERT(failed == 0);
}

bool ps_cond_wait_until(struct ps_cond *cond, struct ps_mutex *mutex, int64_t deadline_ns)
{
    check_wait(mutex);
    if (deadline_ns < 0) { deadline_ns = 0; }
    struct timespec deadline = { .tv_sec = (time_t)(deadline_ns / 1000000000),
                                 .tv_nsec = (long)(deadline_ns % 1000000000) };
    int failed = pthread_cond_timedwait(&cond->cond, &mutex->mutex, &deadline);
    PS_ASSERT(failed == 0 || failed == ETIMEDOUT);
    return failed == 0;
}
