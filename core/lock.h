/* Mutexes with a name and a rank: a thread takes them in rising rank only, and debug builds check
 * it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CORE_LOCK_H
#define PARAMD_CORE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* The order of every lock of the project; the table with duties is in server/README.md. */
enum ps_rank {
    PS_RANK_ROW = 10,     /* one worker's row of the ledger, held while its message is handled */
    PS_RANK_TASK = 20,    /* a ps task's tables: variables by name, worker rows, directory */
    PS_RANK_STEP = 25,    /* a training step takes its optimizer's powers */
    PS_RANK_UPDATE = 30,  /* one variable's turn to be updated */
    PS_RANK_CHUNKS = 40,  /* one variable's chunk pointers */
    PS_RANK_SESSION = 50, /* a client session */
    PS_RANK_STREAM = 60,  /* one stream or call of the transport */
    PS_RANK_POOL = 70,    /* free lists, work queues */
    PS_RANK_LOG = 90      /* the log sink */
};

struct ps_mutex {
    pthread_mutex_t mutex;
    const char *name;
    int rank;
};

struct ps_cond {
    pthread_cond_t cond;
};

#if defined(__clang__) && defined(PS_THREAD_SAFETY)
#define PS_ACQUIRES(m) __attribute__((acquire_capability(m)))
#define PS_RELEASES(m) __attribute__((release_capability(m)))
#else
#define PS_ACQUIRES(m)
#define PS_RELEASES(m)
#endif

/* name is kept, not copied. Two locks of one rank are never held together by one thread. */
void ps_mutex_init(struct ps_mutex *mutex, const char *name, enum ps_rank rank);
void ps_mutex_clean(struct ps_mutex *mutex);
void ps_mutex_lock(struct ps_mutex *mutex);
void ps_mutex_unlock(struct ps_mutex *mutex);

void ps_cond_init(struct ps_cond *cond);
void ps_cond_clean(struct ps_cond *cond);
void ps_cond_signal(struct ps_cond *cond);
void ps_cond_broadcast(struct ps_cond *cond);
/* mutex is held on entry and on return. */
void ps_cond_wait(struct ps_cond *cond, struct ps_mutex *mutex);
/* Until deadline_ns on the monotonic clock; false when it has passed. May wake early: check the
 * predicate in a loop. */
bool ps_cond_wait_until(struct ps_cond *cond, struct ps_mutex *mutex, int64_t deadline_ns);

#endif
