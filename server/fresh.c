/* Fresh values: the memory for one, the swap, and initializers as one use of them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/fresh.h"

#include <stdio.h>

#include "server/initializer.h"
#include "server/variable.h"

enum ps_code ps_fresh_init(struct ps_fresh *fresh, struct ps_variable *variable,
                           const struct ps_shape *shape, bool promise, struct ps_error *err)
{
    enum ps_code rc;
    uint64_t size_bytes = ps_variable_slice_bytes(variable, shape);
    *fresh = (struct ps_fresh){ 0 };

    char what[PS_BUDGET_WHAT_BYTES];
    snprintf(what, sizeof what, "a new value of '%s'", variable->definition.name);
    rc = ps_budget_take(variable->budget, promise ? size_bytes : 0, what, err);
    if (rc != PS_OK) { return rc; }
    struct ps_chunk **chunks;
    rc = ps_chunks_create(variable->pool, size_bytes, &chunks, err);
    if (rc != PS_OK) {
        ps_budget_give_back(variable->budget, promise ? size_bytes : 0);
        ps_wrap(err, "variable '%s'", variable->definition.name);
        return rc;
    }
    *fresh = (struct ps_fresh){
        .shape = *shape, .size_bytes = size_bytes, .chunks = chunks, .promised = promise
    };
    return PS_OK;
}

void ps_fresh_clean(struct ps_fresh *fresh, struct ps_variable *variable)
{
    ps_chunks_destroy(fresh->chunks, ps_chunk_count(fresh->size_bytes));
    ps_budget_give_back(variable->budget, fresh->promised ? fresh->size_bytes : 0);
    *fresh = (struct ps_fresh){ 0 };
}

void ps_fresh_install(struct ps_fresh *fresh, struct ps_variable *variable, bool drop_slots)
{
    struct ps_chunk **dropped[PS_MAX_PLANES] = { NULL };
    ps_mutex_lock(&variable->lock);
    size_t old_chunk_count = variable->guarded.chunk_count;
    uint64_t given_back = fresh->promised ? variable->guarded.size_bytes : 0;
    if (drop_slots || !ps_shape_equal(&variable->guarded.shape, &fresh->shape)) {
        given_back += variable->guarded.slot_bytes;
        variable->guarded.slot_bytes = 0;
        for (int i = PS_PLANE_VALUE + 1; i < variable->guarded.plane_count; i++) {
            dropped[i] = variable->guarded.planes[i].chunks;
            variable->guarded.planes[i].chunks = NULL;
        }
        variable->guarded.layout++;
    }
    dropped[PS_PLANE_VALUE] = variable->guarded.planes[PS_PLANE_VALUE].chunks;
    variable->guarded.planes[PS_PLANE_VALUE].chunks = fresh->chunks;
    variable->guarded.shape = fresh->shape;
    variable->guarded.size_bytes = fresh->size_bytes;
    variable->guarded.chunk_count = ps_chunk_count(fresh->size_bytes);
    variable->guarded.initialized = true;
    variable->guarded.version++;
    ps_mutex_unlock(&variable->lock);

    ps_budget_give_back(variable->budget, given_back);
    for (int i = 0; i < PS_MAX_PLANES; i++) { ps_chunks_destroy(dropped[i], old_chunk_count); }
    *fresh = (struct ps_fresh){ 0 };
}

static void run_initializer(const struct ps_variable *variable, const struct ps_fresh *fresh)
{
    int64_t first = ps_variable_first_element(variable);
    for (size_t i = 0; i < ps_chunk_count(fresh->size_bytes); i++) {
        struct ps_chunk *chunk = fresh->chunks[i];
        int64_t count = (int64_t)(chunk->size / variable->element_bytes);
        ps_initializer_fill(&variable->definition, first, chunk->data, count);
        first += count;
    }
}

enum ps_code ps_fresh_initialize(struct ps_variable *variable, bool force, bool *initialized_out,
                                 struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    struct ps_fresh fresh = { 0 };
    *initialized_out = false;
    if (variable->definition.initializer.kind == PS_INIT_TENSOR) { return PS_OK; }

    ps_mutex_lock(&variable->update);
    if (force || !ps_variable_state(variable).initialized) {
        /* Only a free shape can differ from the definition's, so only then is there anything new
         * to promise. */
        rc = ps_fresh_init(&fresh, variable, &variable->definition.shape,
                           variable->definition.free_shape, err);
        if (rc == PS_OK) {
            run_initializer(variable, &fresh);
            ps_fresh_install(&fresh, variable, true);
            *initialized_out = true;
        }
    }
    ps_mutex_unlock(&variable->update);
    return rc;
}
