/* Where variables live: rows cut into slices, slices given to ps tasks. Pure and deterministic. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CORE_PLACEMENT_H
#define PARAMD_CORE_PLACEMENT_H

#include <stdint.h>

#include "core/dtype.h"
#include "core/status.h"
#include "core/tensor.h"

struct ps_device;

/* A slice is a catalogue entry and a row of each checkpoint's index; more of them than tasks that a
 * cluster can have (PS_MAX_TASKS) spread nothing further. */
enum { PS_MAX_SLICES = 4096 };

/* The numbers are those of the wire, here and for the strategies. */
enum ps_partition_kind {
    PS_PARTITION_AUTOMATIC = 0,
    PS_PARTITION_NONE = 1,
    PS_PARTITION_FIXED = 2,
    PS_PARTITION_VARIABLE_AXIS_SIZE = 3,
    PS_PARTITION_MIN_MAX = 4,
};

/* How to cut a variable by rows; make one with a function below. */
struct ps_partitioner {
    enum ps_partition_kind kind;
    int64_t slice_count; /* exact for FIXED, the most for the others; 0: no such limit */
    int64_t size_bytes;  /* of a slice: largest (VARIABLE_AXIS_SIZE), smallest (MIN_MAX), AUTOMATIC:
                            the size up to which a variable stays whole */
};

/* One slice, whatever the size. */
struct ps_partitioner ps_partition_none(void);
/* min(slice_count, rows) slices. */
struct ps_partitioner ps_partition_fixed(int64_t slice_count);
/* As many as keep each slice within max_shard_bytes (one row at least), at most max_shards
 * (0: no limit). */
struct ps_partitioner ps_partition_variable_axis_size(int64_t max_shard_bytes, int64_t max_shards);
/* As many as keep each slice at min_slice_bytes or more, at most max_partitions. */
struct ps_partitioner ps_partition_min_max(int64_t max_partitions, int64_t min_slice_bytes);
/* One slice up to threshold_bytes; above, min(ps_count, ceil(bytes / threshold_bytes), rows). */
struct ps_partitioner ps_partition_automatic(int64_t threshold_bytes, int ps_count);

/* Cuts a variable. The slices cover the rows in order; the first rows % count of them have one row
 * more. A scalar, or a variable without rows, is one slice.
 * rows_out: allocated, ps_free.
 * Errors: INVALID_ARGUMENT (shape, type, a limit that is not positive, more than PS_MAX_SLICES),
 * RESOURCE_EXHAUSTED. */
PS_MUST_CHECK enum ps_code ps_partition_rows(const struct ps_partitioner *partitioner,
                                             enum ps_dtype dtype, const struct ps_shape *shape,
                                             struct ps_rows **rows_out, int *count_out,
                                             struct ps_error *err);

enum ps_strategy {
    PS_STRATEGY_BALANCED = 0,   /* to the task with the fewest bytes, the lowest on ties */
    PS_STRATEGY_ROUND_ROBIN = 1 /* 0, 1, 2, ...; pinned slices use up turns, as in TensorFlow */
};

/* What each ps task holds so far. Not thread-safe. */
struct ps_placer {
    enum ps_strategy strategy;
    int task_count;
    int64_t *load_bytes; /* task_count of them */
    int next_task;       /* round robin */
};

/* task_count: ps tasks 0 to task_count - 1. ps_placer_clean when done. */
PS_MUST_CHECK enum ps_code ps_placer_init(struct ps_placer *placer, enum ps_strategy strategy,
                                          int task_count, struct ps_error *err);
void ps_placer_clean(struct ps_placer *placer);

/* Counts what is already on a task (0 <= task < task_count). */
void ps_placer_add_load(struct ps_placer *placer, int task, int64_t size_bytes);

/* One variable to place. */
struct ps_placement {
    const struct ps_device *device; /* pins to its task if it has one; NULL: anywhere */
    const struct ps_rows *rows;     /* from ps_partition_rows */
    int slice_count;
    int64_t row_bytes; /* elements of a row times the element's size */
};

/* Gives one task to each slice and counts its bytes there; on failure nothing is counted.
 * tasks_out: slice_count of them. Errors: INVALID_ARGUMENT for a task that is not in the cluster,
 * and for a device that can hold no variable; the message names it. */
PS_MUST_CHECK enum ps_code ps_placer_place(struct ps_placer *placer,
                                           const struct ps_placement *placement, int *tasks_out,
                                           struct ps_error *err);

#endif
