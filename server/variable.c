/* Slices of variables: made, read, described. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/variable.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "proto/definition.h"
#include "server/initializer.h"

uint64_t ps_variable_slice_bytes(const struct ps_variable *variable, const struct ps_shape *shape)
{
    bool whole = variable->slice_count == 1;
    int64_t rows = whole ? ps_shape_rows(shape)
                         : variable->slices[variable->slice_index].rows.count;
    return (uint64_t)rows * (uint64_t)ps_shape_row_elements(shape) * variable->element_bytes;
}

/* The slices are the rows of the variable, in order and without gaps. */
static enum ps_code check_slices(const struct ps_create_request *request, struct ps_error *err)
{
    const struct ps_definition *definition = &request->definition;
    int64_t next = 0;
    for (size_t i = 0; i < request->slice_count; i++) {
        const struct ps_rows *rows = &request->slices[i].rows;
        if (rows->start != next || rows->count < 0 || rows->count > INT64_MAX - next) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "variable '%s': slice %zu has %" PRId64 " rows from %" PRId64
                           "; expected them from %" PRId64,
                           definition->name, i, rows->count, rows->start, next);
        }
        next += rows->count;
    }
    if (next != ps_shape_rows(&definition->shape)) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "variable '%s': its slices have %" PRId64 " rows, its shape %" PRId64,
                       definition->name, next, ps_shape_rows(&definition->shape));
    }
    if (request->slice_index >= request->slice_count) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "variable '%s' has %zu slices; there is no %u",
                       definition->name, request->slice_count, request->slice_index);
    }
    if (definition->free_shape && request->slice_count != 1) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "variable '%s' may change its shape, so it cannot be split in %zu slices; "
                       "use no partitioner",
                       definition->name, request->slice_count);
    }
    return PS_OK;
}

static enum ps_code check_request(const struct ps_create_request *request, struct ps_error *err)
{
    const struct ps_definition *definition = &request->definition;
    if (ps_dtype_size(definition->dtype) == 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "variable '%s' cannot have the type %s",
                       definition->name, ps_dtype_name((int)definition->dtype));
    }
    enum ps_code rc = ps_shape_check(&definition->shape, err);
    if (rc != PS_OK) {
        ps_wrap(err, "variable '%s'", definition->name);
        return rc;
    }
    rc = check_slices(request, err);
    return rc != PS_OK ? rc : ps_initializer_check(definition, err);
}

static enum ps_code copy_request(const struct ps_create_request *request,
                                 struct ps_variable *variable, struct ps_error *err)
{
    enum ps_code rc = ps_definition_copy(&request->definition, &variable->definition, err);
    if (rc != PS_OK) { return rc; }
    size_t slices_bytes = request->slice_count * sizeof *variable->slices;
    variable->slices = ps_alloc(slices_bytes);
    variable->guarded.planes[PS_PLANE_VALUE].name = ps_strdup("");
    if (variable->slices == NULL || variable->guarded.planes[PS_PLANE_VALUE].name == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for variable '%s'",
                       request->definition.name);
    }
    memcpy(variable->slices, request->slices, slices_bytes);
    return PS_OK;
}

enum ps_code ps_variable_create(const struct ps_create_request *request, struct ps_chunk_pool *pool,
                                struct ps_budget *budget, struct ps_variable **variable_out,
                                struct ps_error *err)
{
    enum ps_code rc;
    *variable_out = NULL;
    rc = check_request(request, err);
    if (rc != PS_OK) { return rc; }
    struct ps_variable *variable = ps_alloc_zero(1, sizeof *variable);
    if (variable == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for variable '%s'",
                       request->definition.name);
    }
    ps_mutex_init(&variable->update, "variable update", PS_RANK_UPDATE);
    ps_mutex_init(&variable->lock, "variable chunks", PS_RANK_CHUNKS);
    variable->slice_count = request->slice_count;
    variable->slice_index = request->slice_index;
    variable->defined_by = request->worker;
    variable->element_bytes = (size_t)ps_dtype_size(request->definition.dtype);
    variable->pool = pool;
    variable->budget = budget;
    variable->guarded.plane_count = 1;
    PS_TRY(fail, rc, copy_request(request, variable, err));

    const struct ps_shape *shape = &variable->definition.shape;
    uint64_t size_bytes = ps_variable_slice_bytes(variable, shape);
    char what[PS_BUDGET_WHAT_BYTES];
    snprintf(what, sizeof what, "'%s'", variable->definition.name);
    PS_TRY(fail, rc, ps_budget_take(budget, size_bytes, what, err));
    variable->guarded.shape = *shape;
    variable->guarded.size_bytes = size_bytes;
    variable->guarded.chunk_count = ps_chunk_count(size_bytes);
    *variable_out = variable;
    return PS_OK;
fail:
    ps_variable_destroy(variable);
    return rc;
}

void ps_variable_destroy(struct ps_variable *variable)
{
    if (variable == NULL) { return; }
    ps_budget_give_back(variable->budget,
                        variable->guarded.size_bytes + variable->guarded.slot_bytes);
    for (int i = 0; i < variable->guarded.plane_count; i++) {
        ps_chunks_destroy(variable->guarded.planes[i].chunks, variable->guarded.chunk_count);
        ps_free(variable->guarded.planes[i].name);
    }
    ps_definition_clean(&variable->definition);
    ps_free(variable->slices);
    ps_mutex_clean(&variable->lock);
    ps_mutex_clean(&variable->update);
    ps_free(variable);
}

struct ps_variable_state ps_variable_state(struct ps_variable *variable)
{
    ps_mutex_lock(&variable->lock);
    struct ps_variable_state state = {
        .shape = variable->guarded.shape,
        .size_bytes = variable->guarded.size_bytes,
        .slot_bytes = variable->guarded.slot_bytes,
        .initialized = variable->guarded.initialized,
        .plane_count = variable->guarded.plane_count,
        .update_count = variable->guarded.update_count,
        .version = variable->guarded.version,
    };
    ps_mutex_unlock(&variable->lock);
    return state;
}

int64_t ps_variable_first_element(const struct ps_variable *variable)
{
    const struct ps_rows *rows = &variable->slices[variable->slice_index].rows;
    return rows->start * ps_shape_row_elements(&variable->definition.shape);
}

int ps_variable_plane(struct ps_variable *variable, const char *slot)
{
    int found = -1;
    ps_mutex_lock(&variable->lock);
    for (int i = PS_PLANE_VALUE; i < variable->guarded.plane_count && found < 0; i++) {
        const struct ps_plane *plane = &variable->guarded.planes[i];
        bool is_used = i == PS_PLANE_VALUE || plane->chunks != NULL;
        if (is_used && strcmp(plane->name, slot) == 0) { found = i; }
    }
    ps_mutex_unlock(&variable->lock);
    return found;
}

/* Why there is no such chunk. */
static enum ps_code no_chunk(const struct ps_variable *variable, const struct ps_plane *plane,
                             size_t index, struct ps_error *err)
{
    const char *name = variable->definition.name;
    if (plane != NULL && plane->chunks == NULL) {
        return ps_fail(err, PS_FAILED_PRECONDITION, "Attempting to use uninitialized value %s%s%s",
                       name, plane->name[0] == '\0' ? "" : "/", plane->name);
    }
    return ps_fail(err, PS_OUT_OF_RANGE, "variable '%s' has no chunk %zu of plane %s", name, index,
                   plane == NULL ? "unknown" : plane->name);
}

enum ps_code ps_variable_chunk_acquire(struct ps_variable *variable, int plane, size_t index,
                                       struct ps_chunk **chunk_out, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    *chunk_out = NULL;
    ps_mutex_lock(&variable->lock);
    bool known = plane >= 0 && plane < variable->guarded.plane_count;
    const struct ps_plane *found = known ? &variable->guarded.planes[plane] : NULL;
    if (found != NULL && found->chunks != NULL && index < variable->guarded.chunk_count) {
        *chunk_out = ps_chunk_acquire(found->chunks[index]);
    } else {
        rc = no_chunk(variable, found, index, err);
    }
    ps_mutex_unlock(&variable->lock);
    return rc;
}

enum ps_code ps_variable_read(struct ps_variable *variable, int plane, uint64_t offset,
                              struct ps_buf *out, size_t size, struct ps_error *err)
{
    while (size > 0) {
        struct ps_chunk *chunk;
        size_t within = (size_t)(offset % PS_CHUNK_BYTES);
        enum ps_code rc = ps_variable_chunk_acquire(variable, plane,
                                                    (size_t)(offset / PS_CHUNK_BYTES), &chunk, err);
        if (rc != PS_OK) { return rc; }
        size_t run = 0;
        if (within < chunk->size) {
            run = chunk->size - within < size ? chunk->size - within : size;
            rc = ps_buf_append(out, chunk->data + within, run, err);
        } else {
            rc = ps_fail(err, PS_OUT_OF_RANGE, "variable '%s': byte %" PRIu64 " is past its end",
                         variable->definition.name, offset);
        }
        ps_chunk_release(chunk);
        if (rc != PS_OK) { return rc; }
        offset += run;
        size -= run;
    }
    return PS_OK;
}

void ps_variable_describe(struct ps_variable *variable, struct ps_variable_info *info_out,
                          const char *slots[PS_MAX_SLOTS])
{
    size_t slot_count = 0;
    ps_mutex_lock(&variable->lock);
    for (int i = PS_PLANE_VALUE + 1; i < variable->guarded.plane_count; i++) {
        const struct ps_plane *plane = &variable->guarded.planes[i];
        if (plane->chunks != NULL) { slots[slot_count++] = plane->name; }
    }
    *info_out = (struct ps_variable_info){
        .definition = variable->definition,
        .slice_index = variable->slice_index,
        .slices = variable->slices,
        .slice_count = variable->slice_count,
        .handle = variable->handle,
        .initialized = variable->guarded.initialized,
        .bytes = variable->guarded.size_bytes,
        .slot_bytes = variable->guarded.slot_bytes,
        .update_count = variable->guarded.update_count,
        .slots = slots,
        .slot_count = slot_count,
    };
    info_out->definition.shape = variable->guarded.shape;
    ps_mutex_unlock(&variable->lock);
}
