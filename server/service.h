/* What the parts of one ps task share: its identity, its tables, its counters. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_SERVICE_H
#define PARAMD_SERVER_SERVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/lock.h"
#include "proto/messages.h"

struct ps_store;
struct ps_optimizer_state;
struct ps_workers;
struct ps_directory;
struct ps_checkpointer;

struct ps_counters {
    atomic_uint_fast64_t pulls, pushes, refused, duplicates;
    atomic_uint_fast64_t received_bytes, sent_bytes;
    atomic_uint_fast64_t staleness[PS_STALENESS_BUCKETS];
};

/* Built by ps_task.c before the first request; the pointers never change. */
struct ps_service {
    /* set by create */
    uint32_t task_index;
    uint32_t ps_count;
    uint32_t worker_count; /* expected; 0: not known */
    uint64_t boot;
    int64_t started_ms;
    uint64_t staged_limit_bytes;
    struct ps_store *store;
    struct ps_optimizer_state *optimizers;
    struct ps_workers *workers;
    struct ps_directory *directory; /* on ps task 0 only */
    struct ps_checkpointer *checkpointer;
    struct ps_mutex claim_lock; /* PS_RANK_STEP: a step's beta powers are taken once */
    /* atomic */
    atomic_uint_fast64_t job; /* 0: not joined yet */
    atomic_uint_fast64_t generation;
    atomic_int state;         /* enum ps_task_state */
    atomic_int_fast64_t step; /* committed training pushes */
    atomic_uint_fast64_t staged_bytes;
    atomic_int open_streams;
    atomic_int_fast64_t heard_ms; /* last word from a worker */
    struct ps_counters counters;
    /* The last worker that we expect has finished: ends the task. Any thread, no lock held. */
    void (*complete)(void *ctx);
    void *complete_ctx;
};

/* Whether a request of this header may be served: UNAVAILABLE while joining, ABORTED for another
 * job or generation, each with what this task knows. */
enum ps_code ps_service_admit(const struct ps_service *service, const struct ps_header *header,
                              struct ps_error *err);

#endif
