/* What one push will do to the variables of this task: checked and paid for before it is staged. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/staging.h"

#include <inttypes.h>

#include <uthash.h>

#include "core/alloc.h"
#include "server/store.h"
#include "server/update_session.h"

/* A kept piece: where its bytes are, and where they go. */
struct kept_piece {
    struct kept_piece *next;
    struct ps_piece piece;
    const struct ps_payload *payload;
    size_t payload_offset;
};

/* One variable of the push. */
struct target {
    uint32_t handle;
    struct ps_update_session session;
    struct kept_piece *first;
    struct kept_piece **last;
    UT_hash_handle hh;
};

struct ps_staging {
    struct ps_store *store;
    const struct ps_update *update;
    struct ps_update_origin origin;
    struct ps_beta_powers powers;
    struct target *targets; /* by handle, in the order of arrival */
};

struct ps_staging *ps_staging_create(struct ps_store *store, const struct ps_update *update,
                                     struct ps_update_origin origin)
{
    struct ps_staging *staging = ps_alloc_zero(1, sizeof *staging);
    if (staging == NULL) { return NULL; }
    staging->store = store;
    staging->update = update;
    staging->origin = origin;
    staging->powers = (struct ps_beta_powers){ 1.0f, 1.0f, 1.0, 1.0 };
    return staging;
}

void ps_staging_set_powers(struct ps_staging *staging, const struct ps_beta_powers *powers)
{
    staging->powers = *powers;
}

static void target_free(struct target *target)
{
    (void)(ps_update_close(&target->session, NULL) == PS_OK);
    while (target->first != NULL) {
        struct kept_piece *kept = target->first;
        target->first = kept->next;
        ps_free(kept);
    }
    ps_free(target);
}

void ps_staging_destroy(struct ps_staging *staging)
{
    if (staging == NULL) { return; }
    struct target *target, *next;
    HASH_ITER (hh, staging->targets, target, next) {
        HASH_DEL(staging->targets, target);
        target_free(target);
    }
    ps_free(staging);
}

static struct target *find_target(struct ps_staging *staging, uint32_t handle)
{
    struct target *target;
    HASH_FIND(hh, staging->targets, &handle, sizeof handle, target);
    return target;
}

static enum ps_code open_target(struct ps_staging *staging, uint32_t handle, struct ps_error *err)
{
    if (find_target(staging, handle) != NULL) { return PS_OK; }
    struct ps_variable *variable;
    enum ps_code rc = ps_store_get(staging->store, handle, &variable, err);
    if (rc != PS_OK) { return rc; }
    struct target *target = ps_alloc_zero(1, sizeof *target);
    if (target == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to stage a push"); }
    target->handle = handle;
    target->last = &target->first;
    rc = ps_update_open(&target->session, variable, staging->update, err);
    if (rc != PS_OK) {
        ps_free(target);
        return rc;
    }
    HASH_ADD(hh, staging->targets, handle, sizeof target->handle, target);
    return PS_OK;
}

static enum ps_code check_piece(struct ps_staging *staging, const struct ps_piece *piece,
                                struct ps_cursor cursor, struct ps_error *err)
{
    struct ps_variable *variable;
    enum ps_code rc;
    PS_TRY(done, rc, ps_store_get(staging->store, piece->handle, &variable, err));
    PS_TRY(done, rc, ps_update_check(staging->update, variable, piece, err));
    rc = ps_update_check_finite(staging->update, variable, piece, cursor, &staging->origin, err);
done:
    return rc;
}

static enum ps_code check_size(const struct ps_piece *pieces, size_t piece_count,
                               const struct ps_payload *payload, struct ps_error *err)
{
    uint64_t sum = 0, size = payload != NULL ? payload->size : 0;
    for (size_t i = 0; i < piece_count; i++) {
        if (!ps_add_u64(sum, pieces[i].size, &sum)) { break; }
    }
    if (sum == size) { return PS_OK; }
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "a frame brings %" PRIu64 " bytes, but its pieces ask for %" PRIu64, size, sum);
}

static const struct ps_payload nothing = { .reference_count = 1 };

enum ps_code ps_staging_check(struct ps_staging *staging, const struct ps_piece *pieces,
                              size_t piece_count, const struct ps_payload *payload,
                              struct ps_error *err)
{
    enum ps_code rc = check_size(pieces, piece_count, payload, err);
    size_t offset = 0;
    for (size_t i = 0; i < piece_count && rc == PS_OK; i++) {
        struct ps_cursor cursor = ps_cursor_at(payload != NULL ? payload : &nothing, offset);
        rc = check_piece(staging, &pieces[i], cursor, err);
        offset += pieces[i].size;
    }
    for (size_t i = 0; i < piece_count && rc == PS_OK; i++) {
        rc = open_target(staging, pieces[i].handle, err);
    }
    return rc;
}

enum ps_code ps_staging_keep(struct ps_staging *staging, const struct ps_piece *pieces,
                             size_t piece_count, const struct ps_payload *payload,
                             struct ps_error *err)
{
    size_t offset = 0;
    for (size_t i = 0; i < piece_count; i++) {
        struct target *target = find_target(staging, pieces[i].handle);
        struct kept_piece *kept = ps_alloc_zero(1, sizeof *kept);
        if (kept == NULL) {
            return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to stage a push");
        }
        kept->piece = pieces[i];
        kept->payload = payload != NULL ? payload : &nothing;
        kept->payload_offset = offset;
        *target->last = kept;
        target->last = &kept->next;
        offset += pieces[i].size;
    }
    return PS_OK;
}

void ps_staging_apply(struct ps_staging *staging, const struct ps_piece *pieces, size_t piece_count,
                      const struct ps_payload *payload)
{
    struct ps_cursor cursor = ps_cursor_at(payload != NULL ? payload : &nothing, 0);
    for (size_t i = 0; i < piece_count; i++) {
        struct target *target = find_target(staging, pieces[i].handle);
        ps_update_begin(&target->session, &staging->powers);
        ps_update_apply(&target->session, pieces[i].offset, &cursor, pieces[i].size);
        ps_update_end(&target->session);
    }
}

void ps_staging_commit(struct ps_staging *staging, const struct ps_beta_powers *powers)
{
    struct target *target, *next;
    HASH_ITER (hh, staging->targets, target, next) {
        ps_update_begin(&target->session, powers);
        for (const struct kept_piece *kept = target->first; kept != NULL; kept = kept->next) {
            struct ps_cursor cursor = ps_cursor_at(kept->payload, kept->payload_offset);
            ps_update_apply(&target->session, kept->piece.offset, &cursor, kept->piece.size);
        }
        ps_update_end(&target->session);
        (void)(ps_update_close(&target->session, NULL) == PS_OK);
    }
}

enum ps_code ps_staging_finish(struct ps_staging *staging, struct ps_error *err)
{
    enum ps_code first = PS_OK;
    struct target *target, *next;
    HASH_ITER (hh, staging->targets, target, next) {
        struct ps_error *detail = first == PS_OK ? err : NULL;
        enum ps_code rc = ps_update_close(&target->session, detail);
        if (first == PS_OK) { first = rc; }
    }
    return first;
}
