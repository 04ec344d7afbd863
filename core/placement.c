/* Rows into slices by TensorFlow's partitioner rules, and slices onto ps tasks. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/placement.h"

#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"
#include "core/device.h"

struct ps_partitioner ps_partition_none(void)
{
    return (struct ps_partitioner){ .kind = PS_PARTITION_NONE };
}

struct ps_partitioner ps_partition_fixed(int64_t slice_count)
{
    return (struct ps_partitioner){ .kind = PS_PARTITION_FIXED, .slice_count = slice_count };
}

struct ps_partitioner ps_partition_variable_axis_size(int64_t max_shard_bytes, int64_t max_shards)
{
    return (struct ps_partitioner){ .kind = PS_PARTITION_VARIABLE_AXIS_SIZE,
                                    .slice_count = max_shards,
                                    .size_bytes = max_shard_bytes };
}

struct ps_partitioner ps_partition_min_max(int64_t max_partitions, int64_t min_slice_bytes)
{
    return (struct ps_partitioner){ .kind = PS_PARTITION_MIN_MAX,
                                    .slice_count = max_partitions,
                                    .size_bytes = min_slice_bytes };
}

struct ps_partitioner ps_partition_automatic(int64_t threshold_bytes, int ps_count)
{
    return (struct ps_partitioner){ .kind = PS_PARTITION_AUTOMATIC,
                                    .slice_count = ps_count,
                                    .size_bytes = threshold_bytes };
}

static int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

static enum ps_code check_partitioner(const struct ps_partitioner *partitioner,
                                      struct ps_error *err)
{
    enum ps_partition_kind kind = partitioner->kind;
    bool counts = kind != PS_PARTITION_NONE;
    int64_t least_count = kind == PS_PARTITION_VARIABLE_AXIS_SIZE ? 0 : 1;
    if (counts && partitioner->slice_count < least_count) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "cannot cut a variable into %" PRId64 " slices",
                       partitioner->slice_count);
    }
    if (counts && kind != PS_PARTITION_FIXED && partitioner->size_bytes <= 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "cannot cut a variable by a slice size of %" PRId64
                       " bytes; expected more than 0",
                       partitioner->size_bytes);
    }
    return PS_OK;
}

/* Slices of a variable that has rows; may come out as 0, which means one. */
static int64_t wanted_slices(const struct ps_partitioner *partitioner, int64_t row_count,
                             int64_t row_bytes)
{
    int64_t limit = partitioner->slice_count;
    int64_t size_bytes = partitioner->size_bytes;
    int64_t total_bytes = row_count * row_bytes;
    switch (partitioner->kind) {
    case PS_PARTITION_FIXED: return limit;
    case PS_PARTITION_VARIABLE_AXIS_SIZE: {
        if (row_bytes == 0) { return 1; }
        int64_t rows_each = size_bytes < row_bytes ? 1 : size_bytes / row_bytes;
        int64_t count = ceil_div(row_count, rows_each);
        return limit == 0 ? count : min_i64(count, limit);
    }
    case PS_PARTITION_MIN_MAX:
    case PS_PARTITION_AUTOMATIC: return min_i64(limit, ceil_div(total_bytes, size_bytes));
    case PS_PARTITION_NONE: break;
    }
    return 1;
}

static void cut_rows(struct ps_rows *rows, int64_t slice_count, int64_t row_count)
{
    int64_t start = 0;
    for (int64_t i = 0; i < slice_count; i++) {
        int64_t count = row_count / slice_count + (i < row_count % slice_count);
        rows[i] = (struct ps_rows){ .start = start, .count = count };
        start += count;
    }
}

enum ps_code ps_partition_rows(const struct ps_partitioner *partitioner, enum ps_dtype dtype,
                               const struct ps_shape *shape, struct ps_rows **rows_out,
                               int *count_out, struct ps_error *err)
{
    *rows_out = NULL;
    *count_out = 0;
    enum ps_code rc;
    PS_TRY(done, rc, ps_shape_check(shape, err));
    PS_TRY(done, rc, check_partitioner(partitioner, err));
    int64_t element_bytes = ps_dtype_size(dtype);
    if (element_bytes == 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "a variable cannot have the type %s",
                       ps_dtype_name((int)dtype));
    }
    int64_t row_count = ps_shape_rows(shape);
    int64_t row_bytes = ps_shape_row_elements(shape) * element_bytes;
    int64_t slice_count = min_i64(wanted_slices(partitioner, row_count, row_bytes), row_count);
    if (slice_count < 1) { slice_count = 1; }
    if (slice_count > PS_MAX_SLICES) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "the partitioner cuts %" PRId64 " rows into %" PRId64
                       " slices; at most %d are supported: allow larger or fewer slices",
                       row_count, slice_count, PS_MAX_SLICES);
    }
    struct ps_rows *rows = ps_alloc((size_t)slice_count * sizeof *rows);
    if (rows == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for %" PRId64 " slices", slice_count);
    }
    cut_rows(rows, slice_count, row_count);
    *rows_out = rows;
    *count_out = (int)slice_count;
done:
    return rc;
}

enum ps_code ps_placer_init(struct ps_placer *placer, enum ps_strategy strategy, int task_count,
                            struct ps_error *err)
{
    *placer = (struct ps_placer){ 0 };
    if (task_count <= 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "the cluster has no ps task, so variables have nowhere to live");
    }
    int64_t *load_bytes = ps_alloc_zero((size_t)task_count, sizeof *load_bytes);
    if (load_bytes == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for the loads of %d ps tasks",
                       task_count);
    }
    *placer = (struct ps_placer){ .strategy = strategy,
                                  .task_count = task_count,
                                  .load_bytes = load_bytes };
    return PS_OK;
}

void ps_placer_clean(struct ps_placer *placer)
{
    if (placer == NULL) { return; }
    ps_free(placer->load_bytes);
    *placer = (struct ps_placer){ 0 };
}

void ps_placer_add_load(struct ps_placer *placer, int task, int64_t size_bytes)
{
    PS_ASSERT(task >= 0 && task < placer->task_count);
    int64_t *load_bytes = &placer->load_bytes[task];
    /* Many variables of the largest size are more bytes than exist: stay at the top. */
    *load_bytes = size_bytes > INT64_MAX - *load_bytes ? INT64_MAX : *load_bytes + size_bytes;
}

static enum ps_code fail_device(const struct ps_device *device, const char *why,
                                struct ps_error *err)
{
    char text[PS_DEVICE_TEXT_BYTES];
    return ps_fail(err, PS_INVALID_ARGUMENT, "a variable cannot live on '%s': %s",
                   ps_device_format(device, text), why);
}

/* Whether variables may live there. Only ps tasks hold them, in host memory. */
static enum ps_code check_device(const struct ps_device *device, int task_count,
                                 struct ps_error *err)
{
    if (device->has_job && strcmp(device->job, "ps") != 0) {
        return fail_device(device, "only tasks of job ps hold variables, as in /job:ps/task:0",
                           err);
    }
    if (device->has_replica && device->replica != 0) {
        return fail_device(device, "the only replica is 0", err);
    }
    bool cpu = !device->has_type || strcmp(device->type, "CPU") == 0;
    if (!cpu || (device->has_id && device->id != 0)) {
        return fail_device(device, "the only device of a ps task is /cpu:0", err);
    }
    if (device->has_task && device->task >= task_count) {
        return task_count == 1
                   ? ps_fail(err, PS_INVALID_ARGUMENT,
                             "/job:ps/task:%d is not in the cluster: its only ps task is 0",
                             device->task)
                   : ps_fail(err, PS_INVALID_ARGUMENT,
                             "/job:ps/task:%d is not in the cluster: it has ps tasks 0 to %d",
                             device->task, task_count - 1);
    }
    return PS_OK;
}

static int least_loaded(const struct ps_placer *placer)
{
    int best = 0;
    for (int task = 1; task < placer->task_count; task++) {
        if (placer->load_bytes[task] < placer->load_bytes[best]) { best = task; }
    }
    return best;
}

static int take_turn(struct ps_placer *placer)
{
    int task = placer->next_task;
    placer->next_task = task + 1 == placer->task_count ? 0 : task + 1;
    return task;
}

enum ps_code ps_placer_place(struct ps_placer *placer, const struct ps_placement *placement,
                             int *tasks_out, struct ps_error *err)
{
    const struct ps_device *device = placement->device;
    if (device != NULL) {
        enum ps_code rc = check_device(device, placer->task_count, err);
        if (rc != PS_OK) { return rc; }
    }
    bool pinned = device != NULL && device->has_task;
    bool in_turn = placer->strategy == PS_STRATEGY_ROUND_ROBIN;
    for (int i = 0; i < placement->slice_count; i++) {
        int task = in_turn ? take_turn(placer) : least_loaded(placer);
        tasks_out[i] = pinned ? device->task : task;
        ps_placer_add_load(placer, tasks_out[i], placement->rows[i].count * placement->row_bytes);
    }
    return PS_OK;
}
