/* Which variables the cluster has and where: decided once, on ps task 0, by who asks first. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/directory.h"

#include <inttypes.h>
#include <string.h>

#include <uthash.h>

#include "core/alloc.h"
#include "core/device.h"
#include "core/lock.h"
#include "core/placement.h"
#include "proto/definition.h"

/* Variables above this are split by rows over the ps tasks, unless told otherwise: far above what
 * one task serves at once, far below what would unbalance a cluster. */
static const int64_t AUTOMATIC_SPLIT_BYTES = 16 << 20;

struct entry {
    struct ps_definition definition;
    uint32_t defined_by;
    struct ps_slice_place *slices;
    size_t slice_count;
    UT_hash_handle hh;
};

struct ps_directory {
    struct ps_mutex lock; /* PS_RANK_TASK: everything below */
    uint32_t ps_count;
    struct ps_placer placer;
    struct entry *entries;
};

struct ps_directory *ps_directory_create(uint32_t ps_count)
{
    struct ps_directory *directory = ps_alloc_zero(1, sizeof *directory);
    if (directory == NULL) { return NULL; }
    ps_mutex_init(&directory->lock, "directory", PS_RANK_TASK);
    directory->ps_count = ps_count;
    enum ps_code rc = ps_placer_init(&directory->placer, PS_STRATEGY_BALANCED, (int)ps_count, NULL);
    if (rc != PS_OK) {
        ps_directory_destroy(directory);
        return NULL;
    }
    return directory;
}

static void entry_free(struct entry *entry)
{
    ps_definition_clean(&entry->definition);
    ps_free(entry->slices);
    ps_free(entry);
}

void ps_directory_destroy(struct ps_directory *directory)
{
    if (directory == NULL) { return; }
    struct entry *entry, *next;
    HASH_ITER (hh, directory->entries, entry, next) {
        HASH_DEL(directory->entries, entry);
        entry_free(entry);
    }
    ps_placer_clean(&directory->placer);
    ps_mutex_clean(&directory->lock);
    ps_free(directory);
}

static struct ps_partitioner partitioner_of(const struct ps_directory *directory,
                                            const struct ps_partitioner_spec *spec)
{
    int64_t a = (int64_t)spec->a, b = (int64_t)spec->b;
    switch (spec->kind) {
    case PS_PARTITION_NONE: return ps_partition_none();
    case PS_PARTITION_FIXED: return ps_partition_fixed(a);
    case PS_PARTITION_VARIABLE_AXIS_SIZE: return ps_partition_variable_axis_size(a, b);
    case PS_PARTITION_MIN_MAX: return ps_partition_min_max(b, a);
    case PS_PARTITION_AUTOMATIC: break;
    }
    return ps_partition_automatic(a > 0 ? a : AUTOMATIC_SPLIT_BYTES, (int)directory->ps_count);
}

static enum ps_code place(struct ps_directory *directory, struct entry *entry, struct ps_error *err)
{
    const struct ps_definition *definition = &entry->definition;
    struct ps_partitioner partitioner = partitioner_of(directory, &definition->partitioner);
    struct ps_device device;
    struct ps_rows *rows = NULL;
    int *tasks = NULL;
    int count = 0;
    enum ps_code rc;
    PS_TRY(done, rc, ps_device_parse(definition->device, &device, err));
    if (definition->free_shape) { partitioner = ps_partition_none(); }
    PS_TRY(
        done, rc,
        ps_partition_rows(&partitioner, definition->dtype, &definition->shape, &rows, &count, err));
    tasks = ps_alloc_zero((size_t)count, sizeof *tasks);
    entry->slices = ps_alloc_zero((size_t)count, sizeof *entry->slices);
    if (tasks == NULL || entry->slices == NULL) {
        rc = ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to place a variable");
        goto done;
    }
    struct ps_placement placement = {
        .device = &device,
        .rows = rows,
        .slice_count = count,
        .row_bytes = ps_shape_row_elements(&definition->shape) * ps_dtype_size(definition->dtype),
    };
    directory->placer.strategy = definition->strategy;
    PS_TRY(done, rc, ps_placer_place(&directory->placer, &placement, tasks, err));
    entry->slice_count = (size_t)count;
    for (int i = 0; i < count; i++) {
        entry->slices[i] = (struct ps_slice_place){ (uint32_t)tasks[i], rows[i] };
    }
done:
    ps_free(rows);
    ps_free(tasks);
    if (rc != PS_OK) { ps_wrap(err, "variable '%s'", definition->name); }
    return rc;
}

static enum ps_code add(struct ps_directory *directory, const struct ps_declare_request *request,
                        struct entry **entry_out, struct ps_error *err)
{
    struct entry *entry = ps_alloc_zero(1, sizeof *entry);
    enum ps_code rc;
    if (entry == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a variable"); }
    entry->defined_by = request->worker;
    PS_TRY(fail, rc, ps_definition_copy(&request->definition, &entry->definition, err));
    PS_TRY(fail, rc, place(directory, entry, err));
    HASH_ADD_KEYPTR(hh, directory->entries, entry->definition.name, strlen(entry->definition.name),
                    entry);
    *entry_out = entry;
    return PS_OK;
fail:
    entry_free(entry);
    return rc;
}

static enum ps_code refuse(const struct entry *entry, const struct ps_declare_request *request,
                           struct ps_error *err)
{
    char have[PS_DEFINITION_TEXT_BYTES], want[PS_DEFINITION_TEXT_BYTES];
    return ps_fail(err, PS_ALREADY_EXISTS,
                   "variable '%s' is %s on /job:ps/task:%" PRIu32 " (defined by worker %" PRIu32
                   "); worker %" PRIu32 " asks for %s. Same program on all workers?",
                   entry->definition.name,
                   ps_definition_format(&entry->definition, have, sizeof have),
                   entry->slices[0].task, entry->defined_by, request->worker,
                   ps_definition_format(&request->definition, want, sizeof want));
}

enum ps_code ps_directory_declare(struct ps_directory *directory,
                                  const struct ps_declare_request *request,
                                  struct ps_declare_reply *reply_out, struct ps_error *err)
{
    struct entry *entry;
    const char *name = request->definition.name;
    enum ps_code rc = PS_OK;
    ps_mutex_lock(&directory->lock);
    HASH_FIND(hh, directory->entries, name, strlen(name), entry);
    reply_out->created = entry == NULL;
    if (entry == NULL) {
        rc = add(directory, request, &entry, err);
    } else if (!ps_definition_equal(&entry->definition, &request->definition)) {
        rc = refuse(entry, request, err);
    }
    ps_mutex_unlock(&directory->lock);
    if (rc != PS_OK) { return rc; }
    reply_out->definition = entry->definition;
    reply_out->slices = entry->slices;
    reply_out->slice_count = entry->slice_count;
    return PS_OK;
}
