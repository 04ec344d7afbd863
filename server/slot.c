/* Slots of a variable: found by name, made beside the running updates, put in place at once. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/slot.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "server/variable.h"

/* A slot's chunks and name, made before a place for them is known. */
struct new_slot {
    char *name;
    struct ps_chunk **chunks;
    uint64_t size_bytes;
};

static void clean_new_slot(struct new_slot *slot, struct ps_variable *variable)
{
    if (slot->chunks != NULL) {
        ps_chunks_destroy(slot->chunks, ps_chunk_count(slot->size_bytes));
        ps_budget_give_back(variable->budget, slot->size_bytes);
    }
    ps_free(slot->name);
    *slot = (struct new_slot){ 0 };
}

static void fill_chunks(const struct ps_variable *variable, const struct new_slot *slot,
                        double initial)
{
    if (initial == 0.0) { return; } /* new chunks are zeros */
    for (size_t i = 0; i < ps_chunk_count(slot->size_bytes); i++) {
        int64_t count = (int64_t)(slot->chunks[i]->size / variable->element_bytes);
        for (int64_t j = 0; j < count; j++) {
            ps_element_set(variable->definition.dtype, slot->chunks[i]->data, j, initial);
        }
    }
}

static enum ps_code make_slot(struct ps_variable *variable, const char *name, double initial,
                              struct new_slot *slot, struct ps_error *err)
{
    char what[PS_BUDGET_WHAT_BYTES];
    snprintf(what, sizeof what, "slot '%s' of '%s'", name, variable->definition.name);
    slot->name = ps_strdup(name);
    if (slot->name == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for %s", what);
    }
    enum ps_code rc = ps_budget_take(variable->budget, slot->size_bytes, what, err);
    if (rc != PS_OK) { return rc; }
    rc = ps_chunks_create(variable->pool, slot->size_bytes, &slot->chunks, err);
    if (rc != PS_OK) {
        ps_budget_give_back(variable->budget, slot->size_bytes);
        ps_wrap(err, "%s", what);
        return rc;
    }
    fill_chunks(variable, slot, initial);
    return PS_OK;
}

/* The plane of that name; plane_count if there is none. */
static int find_slot_locked(const struct ps_variable *variable, const char *name)
{
    int plane = PS_PLANE_VALUE + 1;
    while (plane < variable->guarded.plane_count &&
           strcmp(variable->guarded.planes[plane].name, name) != 0) {
        plane++;
    }
    return plane;
}

static enum ps_code check_slot_locked(const struct ps_variable *variable, int plane,
                                      const char *name, uint32_t purpose, struct ps_error *err)
{
    if (plane == PS_MAX_PLANES) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "variable '%s' has %d slots already, so it cannot have '%s' too; use fewer "
                       "optimizers on it",
                       variable->definition.name, PS_MAX_SLOTS, name);
    }
    uint32_t known = plane < variable->guarded.plane_count ? variable->guarded.planes[plane].purpose
                                                           : 0;
    if (known != 0 && purpose != 0 && known != purpose) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "slot '%s/%s' belongs to another kind of optimizer; give one of the two "
                       "optimizers another name",
                       variable->definition.name, name);
    }
    return PS_OK;
}

/* Puts the slot in place if what it was made for still stands; empties slot if it was taken. */
static bool install_slot_locked(struct ps_variable *variable, int plane, double initial,
                                uint32_t purpose, struct new_slot *slot)
{
    bool in_use = plane < variable->guarded.plane_count &&
                  variable->guarded.planes[plane].chunks != NULL;
    struct ps_plane *place = &variable->guarded.planes[plane];
    if (in_use && place->purpose == 0) { place->purpose = purpose; } /* restored from a file */
    if (in_use || slot->chunks == NULL || slot->size_bytes != variable->guarded.size_bytes) {
        return in_use;
    }
    if (plane == variable->guarded.plane_count) {
        *place = (struct ps_plane){ .name = slot->name };
        slot->name = NULL;
        variable->guarded.plane_count++;
    }
    place->chunks = slot->chunks;
    variable->guarded.slot_bytes += slot->size_bytes;
    place->initial = initial;
    slot->chunks = NULL;
    if (place->purpose == 0) { place->purpose = purpose; }
    return true;
}

enum ps_code ps_slot_open(struct ps_variable *variable, const char *name, double initial,
                          uint32_t purpose, int *plane_out, struct ps_error *err)
{
    struct new_slot slot = { 0 };
    enum ps_code rc;
    *plane_out = -1;
    for (;;) { /* again only if the shape changed or another thread came first */
        ps_mutex_lock(&variable->lock);
        int plane = find_slot_locked(variable, name);
        rc = check_slot_locked(variable, plane, name, purpose, err);
        bool done = rc == PS_OK && install_slot_locked(variable, plane, initial, purpose, &slot);
        uint64_t size_bytes = variable->guarded.size_bytes;
        ps_mutex_unlock(&variable->lock);

        clean_new_slot(&slot, variable);
        if (done) { *plane_out = plane; }
        if (done || rc != PS_OK) { return rc; }
        slot.size_bytes = size_bytes;
        rc = make_slot(variable, name, initial, &slot, err);
        if (rc != PS_OK) {
            clean_new_slot(&slot, variable);
            return rc;
        }
    }
}
