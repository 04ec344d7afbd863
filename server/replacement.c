/* Swapping everything that a variable remembers under its two locks. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/replacement.h"

#include <stdio.h>
#include <string.h>

#include "core/alloc.h"

enum ps_code ps_replacement_init(struct ps_replacement *replacement, struct ps_variable *variable,
                                 const struct ps_shape *shape, const char *const *slots,
                                 size_t slot_count, struct ps_error *err)
{
    char what[PS_BUDGET_WHAT_BYTES];
    *replacement = (struct ps_replacement){ 0 };
    if (slot_count > PS_MAX_SLOTS) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "variable '%s' would have %zu slots, at most %d",
                       variable->definition.name, slot_count, PS_MAX_SLOTS);
    }
    /* A variable without a value has room for one already. */
    bool is_extra = ps_variable_state(variable).initialized || variable->definition.free_shape;
    uint64_t size_bytes = ps_variable_slice_bytes(variable, shape);
    uint64_t promised_bytes = (slot_count + is_extra) * size_bytes;
    snprintf(what, sizeof what, "restoring '%s' beside its old value", variable->definition.name);
    enum ps_code rc = ps_budget_take(variable->budget, promised_bytes, what, err);
    if (rc != PS_OK) { return rc; }
    replacement->shape = *shape;
    replacement->size_bytes = size_bytes;
    replacement->promised_bytes = promised_bytes;
    for (size_t i = 0; i <= slot_count && rc == PS_OK; i++) {
        struct ps_plane *plane = &replacement->planes[replacement->plane_count++];
        plane->name = ps_strdup(i == PS_PLANE_VALUE ? "" : slots[i - 1]);
        if (plane->name == NULL) {
            rc = ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to restore '%s'",
                         variable->definition.name);
        } else {
            rc = ps_chunks_create(variable->pool, size_bytes, &plane->chunks, err);
        }
    }
    if (rc != PS_OK) { ps_replacement_clean(replacement, variable); }
    return rc;
}

void ps_replacement_clean(struct ps_replacement *replacement, struct ps_variable *variable)
{
    if (replacement->plane_count == 0) { return; }
    size_t chunk_count = ps_chunk_count(replacement->size_bytes);
    for (int i = 0; i < replacement->plane_count; i++) {
        ps_chunks_destroy(replacement->planes[i].chunks, chunk_count);
        ps_free(replacement->planes[i].name);
    }
    ps_budget_give_back(variable->budget, replacement->promised_bytes);
    *replacement = (struct ps_replacement){ 0 };
}

/* What was in place, to be let go when no lock is held. */
struct removed {
    struct ps_chunk **chunks[PS_MAX_PLANES];
    size_t chunk_count;
    uint64_t bytes; /* that were promised for it */
};

static void take_out_locked(struct ps_variable *variable, struct removed *removed)
{
    *removed = (struct removed){ .chunk_count = variable->guarded.chunk_count,
                                 .bytes = variable->guarded.slot_bytes };
    for (int i = 0; i < variable->guarded.plane_count; i++) {
        removed->chunks[i] = variable->guarded.planes[i].chunks;
        variable->guarded.planes[i].chunks = NULL;
    }
    variable->guarded.slot_bytes = 0;
    variable->guarded.initialized = false;
    variable->guarded.layout++;
    variable->guarded.version++;
}

static void let_go(struct removed *removed, struct ps_variable *variable)
{
    for (int i = 0; i < PS_MAX_PLANES; i++) {
        ps_chunks_destroy(removed->chunks[i], removed->chunk_count);
    }
    ps_budget_give_back(variable->budget, removed->bytes);
}

/* The plane of that name, or a new one, which takes the name; NULL: there is no place. */
static struct ps_plane *find_plane_locked(struct ps_variable *variable, char **name)
{
    for (int i = 0; i < variable->guarded.plane_count; i++) {
        struct ps_plane *plane = &variable->guarded.planes[i];
        if (strcmp(plane->name, *name) == 0) { return plane; }
    }
    if (variable->guarded.plane_count == PS_MAX_PLANES) { return NULL; }
    struct ps_plane *plane = &variable->guarded.planes[variable->guarded.plane_count++];
    *plane = (struct ps_plane){ .name = *name };
    *name = NULL;
    return plane;
}

/* Places for all of them; an unused one is no harm to a variable. */
static bool make_places_locked(struct ps_replacement *replacement, struct ps_variable *variable,
                               struct ps_plane *places[PS_MAX_PLANES])
{
    for (int i = 0; i < replacement->plane_count; i++) {
        places[i] = find_plane_locked(variable, &replacement->planes[i].name);
        if (places[i] == NULL) { return false; }
    }
    return true;
}

enum ps_code ps_replacement_install(struct ps_replacement *replacement,
                                    struct ps_variable *variable, struct ps_error *err)
{
    struct ps_plane *places[PS_MAX_PLANES];
    struct removed removed = { .chunk_count = 0 };
    PS_ASSERT(replacement->plane_count > 0);
    ps_mutex_lock(&variable->update);
    ps_mutex_lock(&variable->lock);
    bool fits = make_places_locked(replacement, variable, places);
    if (fits) {
        uint64_t slot_bytes = (uint64_t)(replacement->plane_count - 1) * replacement->size_bytes;
        take_out_locked(variable, &removed);
        removed.bytes += variable->guarded.size_bytes + replacement->promised_bytes -
                         replacement->size_bytes - slot_bytes;
        for (int i = 0; i < replacement->plane_count; i++) {
            places[i]->chunks = replacement->planes[i].chunks;
            replacement->planes[i].chunks = NULL;
        }
        variable->guarded.shape = replacement->shape;
        variable->guarded.size_bytes = replacement->size_bytes;
        variable->guarded.slot_bytes = slot_bytes;
        variable->guarded.chunk_count = ps_chunk_count(replacement->size_bytes);
        variable->guarded.initialized = true;
        replacement->promised_bytes = 0;
    }
    ps_mutex_unlock(&variable->lock);
    ps_mutex_unlock(&variable->update);
    if (!fits) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "variable '%s' has slots of other optimizers in all of its %d places",
                       variable->definition.name, PS_MAX_SLOTS);
    }
    let_go(&removed, variable);
    ps_replacement_clean(replacement, variable);
    return PS_OK;
}

void ps_replacement_vacate(struct ps_variable *variable)
{
    struct removed removed;
    ps_mutex_lock(&variable->update);
    ps_mutex_lock(&variable->lock);
    take_out_locked(variable, &removed);
    ps_mutex_unlock(&variable->lock);
    ps_mutex_unlock(&variable->update);
    let_go(&removed, variable);
}
