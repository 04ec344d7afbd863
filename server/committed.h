/* The exactly-once table of a ps task as a list: what a checkpoint keeps of it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_COMMITTED_H
#define PARAMD_SERVER_COMMITTED_H

#include "proto/arena.h"
#include "proto/checkpoint_messages.h"

struct ps_workers;

/* A table of committed workers, by number. Zero-initialise. */
struct ps_committed_table {
    const struct ps_committed_worker *rows;
    size_t count;
};

/* Copies the rows of this task, positions and all, into arena. RESOURCE_EXHAUSTED only. */
PS_MUST_CHECK enum ps_code ps_committed_collect(struct ps_workers *workers, struct ps_arena *arena,
                                                struct ps_committed_table *table_out,
                                                struct ps_error *err);

/* One table of several, into arena: of each worker the furthest push, and the position that its
 * home keeps. RESOURCE_EXHAUSTED only. */
PS_MUST_CHECK enum ps_code ps_committed_merge(const struct ps_committed_table *tables,
                                              size_t table_count, struct ps_arena *arena,
                                              struct ps_committed_table *table_out,
                                              struct ps_error *err);

#endif
