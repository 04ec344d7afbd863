/* What becomes of the pushes that a dead incarnation left open. Pure. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_RESOLUTION_H
#define PARAMD_CHECKPOINT_RESOLUTION_H

#include <stddef.h>
#include <stdint.h>

#include "proto/messages.h"

/* What one ps task knows of the worker, asked for after older incarnations were fenced there. */
struct ps_survey {
    uint64_t committed;
    const struct ps_open_push *open; /* by rising seq */
    size_t open_count;
};

struct ps_resolution {
    uint64_t commit_through;            /* every number up to here counts, above it nothing does */
    uint64_t burnt[PS_MAX_OPEN_PUSHES]; /* except these, which are empty pushes; rising */
    size_t burnt_count;
};

/* surveys: one a ps task, by task number, task_count of them, all tasks of the cluster.
 * The rule, number after number from the highest committed one: committed anywhere, it counts
 * (its worker had decided it); burnt anywhere, it is an empty push (it can never be decided
 * otherwise) and is passed; staged on all tasks that it touched, it counts; otherwise it was never
 * acknowledged, nor was any later one: it and all after it are discarded. */
struct ps_resolution ps_resolve(const struct ps_survey *surveys, uint32_t task_count);

#endif
