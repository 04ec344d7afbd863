/* Applying bytes to chunks: in place where nobody else looks, on a copy where somebody may. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/update_session.h"

#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"
#include "server/slot.h"
#include "server/variable.h"

/* Copies of one chunk of each plane, worked on aside. */
struct ps_update_pending {
    struct ps_update_pending *next;
    size_t index;
    size_t covered_bytes;
    struct ps_chunk *chunks[PS_KERNEL_MAX_PLANES];
};

static enum ps_code open_slots(struct ps_update_session *session, struct ps_error *err)
{
    const struct ps_update_rule *rule = session->rule;
    for (size_t i = 0; i < rule->slot_count; i++) {
        char name[PS_SLOT_NAME_BYTES];
        uint32_t purpose = (uint32_t)rule->kind << 8 | (uint32_t)i;
        enum ps_code rc = ps_slot_open(
            session->variable, ps_update_slot_name(session->update, i, name), rule->slot_initial[i],
            purpose, &session->planes[1 + i], err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

/* An assign works on a value of its own where there is none, or where the shape may be another by
 * the time it begins. */
static enum ps_code open_fresh(struct ps_update_session *session, struct ps_error *err)
{
    struct ps_variable *variable = session->variable;
    const struct ps_update *update = session->update;
    if (!session->rule->is_assign) { return PS_OK; }
    struct ps_variable_state state = ps_variable_state(variable);
    if (state.initialized && !update->has_shape) { return PS_OK; }
    const struct ps_shape *shape = update->has_shape ? &update->shape : &state.shape;
    return ps_fresh_init(&session->fresh, variable, shape, update->has_shape, err);
}

enum ps_code ps_update_open(struct ps_update_session *session, struct ps_variable *variable,
                            const struct ps_update *update, struct ps_error *err)
{
    enum ps_code rc;
    *session = (struct ps_update_session){ .variable = variable, .update = update };
    session->rule = ps_update_rule(update->kind);
    PS_ASSERT(session->rule != NULL);
    session->kernel = ps_update_kernel(update, variable->definition.dtype);
    PS_ASSERT(session->kernel != NULL);
    session->planes[0] = PS_PLANE_VALUE;
    session->plane_count = 1 + (int)session->rule->slot_count;

    /* Before the slots: if the layout changes from here on, begin notices. */
    ps_mutex_lock(&variable->lock);
    session->layout = variable->guarded.layout;
    ps_mutex_unlock(&variable->lock);
    PS_TRY(fail, rc, open_slots(session, err));
    PS_TRY(fail, rc, open_fresh(session, err));
    return PS_OK;
fail:
    *session = (struct ps_update_session){ 0 };
    return rc;
}

void ps_update_begin(struct ps_update_session *session, const struct ps_beta_powers *powers)
{
    struct ps_variable *variable = session->variable;
    PS_ASSERT(!session->holds);
    ps_mutex_lock(&variable->update);
    session->holds = true;
    session->scalars = ps_update_scalars(session->update, variable->definition.dtype, powers);
    ps_mutex_lock(&variable->lock);
    bool moved = variable->guarded.layout != session->layout && !session->update->has_shape;
    bool needless = session->rule->only_initializes && variable->guarded.initialized;
    ps_mutex_unlock(&variable->lock);
    session->superseded = session->superseded || moved || needless;
}

/* Runs the kernel over size bytes at cursor, into one chunk of each plane from byte within on. */
static void run_kernel(const struct ps_update_session *session, struct ps_chunk *const chunks[],
                       size_t within, struct ps_cursor *cursor, size_t size)
{
    size_t element_bytes = session->variable->element_bytes;
    uint8_t carry[PS_CARRY_BYTES];
    while (size > 0) {
        struct ps_span run = ps_update_next_elements(cursor, size, element_bytes, carry);
        struct ps_kernel_run kernel_run = { .operand = run.data,
                                            .count = run.size / element_bytes,
                                            .scalars = &session->scalars };
        for (int i = 0; i < session->plane_count; i++) {
            kernel_run.planes[i] = chunks[i]->data + within;
        }
        session->kernel(&kernel_run);
        within += run.size;
        size -= run.size;
    }
}

/* The variable's own chunks at index; the update lock keeps their places. */
static void chunks_at(const struct ps_update_session *session, size_t index,
                      struct ps_chunk *chunks_out[PS_KERNEL_MAX_PLANES])
{
    for (int i = 0; i < session->plane_count; i++) {
        chunks_out[i] = session->variable->guarded.planes[session->planes[i]].chunks[index];
    }
}

/* A whole chunk that only the variable refers to; readers wait for it. false: it is shared. */
static bool update_in_place(struct ps_update_session *session, size_t index,
                            struct ps_cursor *cursor, size_t size)
{
    struct ps_variable *variable = session->variable;
    struct ps_chunk *chunks[PS_KERNEL_MAX_PLANES];
    chunks_at(session, index, chunks);
    bool sole = true;
    ps_mutex_lock(&variable->lock);
    for (int i = 0; i < session->plane_count; i++) { sole = sole && ps_chunk_is_sole(chunks[i]); }
    if (sole) { run_kernel(session, chunks, 0, cursor, size); }
    ps_mutex_unlock(&variable->lock);
    return sole;
}

static struct ps_update_pending *find_pending(const struct ps_update_session *session, size_t index)
{
    struct ps_update_pending *pending = session->pending;
    while (pending != NULL && pending->index != index) { pending = pending->next; }
    return pending;
}

/* overwrites: the bytes to come are the whole chunk, whatever it held. */
static struct ps_update_pending *make_pending(struct ps_update_session *session, size_t index,
                                              bool overwrites)
{
    struct ps_chunk_pool *pool = session->variable->pool;
    struct ps_chunk *chunks[PS_KERNEL_MAX_PLANES];
    struct ps_update_pending *pending = ps_chunk_pool_alloc_wait(pool, sizeof *pending);
    *pending = (struct ps_update_pending){ .next = session->pending, .index = index };
    session->pending = pending;
    chunks_at(session, index, chunks);
    for (int i = 0; i < session->plane_count; i++) {
        pending->chunks[i] = ps_chunk_create_wait(pool, chunks[i]->size);
        if (!overwrites) { memcpy(pending->chunks[i]->data, chunks[i]->data, chunks[i]->size); }
    }
    return pending;
}

/* Shows the copies to readers, all planes at once, and lets the originals go. */
static void publish(struct ps_update_session *session, struct ps_update_pending *pending)
{
    struct ps_variable *variable = session->variable;
    struct ps_update_pending **link = &session->pending;
    while (*link != pending) { link = &(*link)->next; }
    *link = pending->next;

    ps_mutex_lock(&variable->lock);
    for (int i = 0; i < session->plane_count; i++) {
        struct ps_chunk **place =
            &variable->guarded.planes[session->planes[i]].chunks[pending->index];
        struct ps_chunk *original = *place;
        *place = pending->chunks[i];
        pending->chunks[i] = original;
    }
    ps_mutex_unlock(&variable->lock);
    for (int i = 0; i < session->plane_count; i++) { ps_chunk_release(pending->chunks[i]); }
    ps_free(pending);
}

/* size bytes at cursor into chunk index, from byte within on. */
static void apply_to_chunk(struct ps_update_session *session, size_t index, size_t within,
                           struct ps_cursor *cursor, size_t size)
{
    if (session->fresh.chunks != NULL) { /* nobody else sees it yet */
        run_kernel(session, &session->fresh.chunks[index], within, cursor, size);
        return;
    }
    size_t chunk_size = ps_chunk_size_at(session->variable->guarded.size_bytes, index);
    bool whole = size == chunk_size;
    struct ps_update_pending *pending = find_pending(session, index);
    if (pending == NULL && whole && update_in_place(session, index, cursor, size)) { return; }
    if (pending == NULL) {
        pending = make_pending(session, index, whole && session->rule->op == PS_KERNEL_ASSIGN);
    }
    run_kernel(session, pending->chunks, within, cursor, size);
    pending->covered_bytes += size;
    if (pending->covered_bytes >= chunk_size) { publish(session, pending); }
}

static void discard(struct ps_cursor *cursor, uint64_t size)
{
    while (size > 0) { size -= ps_cursor_next(cursor, (size_t)size).size; }
}

/* A piece that was checked fits, unless the variable was given a smaller shape before open. */
static bool fits(const struct ps_update_session *session, uint64_t offset, uint64_t size)
{
    uint64_t size_bytes = session->fresh.chunks != NULL ? session->fresh.size_bytes
                                                        : session->variable->guarded.size_bytes;
    return offset <= size_bytes && size <= size_bytes - offset;
}

void ps_update_apply(struct ps_update_session *session, uint64_t offset, struct ps_cursor *cursor,
                     uint64_t size)
{
    PS_ASSERT(session->holds && cursor->remaining >= size);
    if (!fits(session, offset, size)) { session->superseded = true; }
    if (session->superseded) {
        discard(cursor, size);
        return;
    }
    session->applied_bytes += size;
    while (size > 0) {
        size_t within = (size_t)(offset % PS_CHUNK_BYTES);
        size_t room = PS_CHUNK_BYTES - within;
        size_t run = size < room ? (size_t)size : room;
        apply_to_chunk(session, (size_t)(offset / PS_CHUNK_BYTES), within, cursor, run);
        offset += run;
        size -= run;
    }
}

void ps_update_end(struct ps_update_session *session)
{
    struct ps_variable *variable = session->variable;
    PS_ASSERT(session->holds);
    while (session->pending != NULL) { publish(session, session->pending); }
    bool complete = session->applied_bytes >= session->fresh.size_bytes;
    if (session->fresh.chunks != NULL && complete && !session->superseded) {
        ps_fresh_install(&session->fresh, variable, false);
    } else if (session->fresh.chunks == NULL && !session->superseded) {
        ps_mutex_lock(&variable->lock);
        variable->guarded.version++;
        ps_mutex_unlock(&variable->lock);
    }
    session->holds = false;
    ps_mutex_unlock(&variable->update);
}

enum ps_code ps_update_close(struct ps_update_session *session, struct ps_error *err)
{
    struct ps_variable *variable = session->variable;
    enum ps_code rc = PS_OK;
    if (variable == NULL) { return PS_OK; }
    PS_ASSERT(!session->holds && session->pending == NULL);
    if (session->fresh.chunks != NULL) {
        if (session->applied_bytes > 0 && !session->superseded) {
            rc = ps_fail(err, PS_FAILED_PRECONDITION,
                         "%s to '%s' brought %" PRIu64 " of %" PRIu64
                         " bytes; a first value or a new shape must come whole, so nothing has "
                         "changed",
                         session->rule->name, variable->definition.name, session->applied_bytes,
                         session->fresh.size_bytes);
        }
        ps_fresh_clean(&session->fresh, variable);
    } else if (session->applied_bytes > 0) {
        ps_mutex_lock(&variable->lock);
        variable->guarded.update_count++;
        ps_mutex_unlock(&variable->lock);
    }
    *session = (struct ps_update_session){ 0 };
    return rc;
}
