/* What one push will do to the variables of this task: checked and paid for before it is staged. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_STAGING_H
#define PARAMD_SERVER_STAGING_H

#include <stddef.h>

#include "core/bytes.h"
#include "proto/messages.h"
#include "server/optimizer_state.h"
#include "server/update.h"

struct ps_store;
struct ps_staging;

/* One push of origin with update, which outlives the staging. NULL when out of memory.
 * Threads: one at a time, for all functions. */
struct ps_staging *ps_staging_create(struct ps_store *store, const struct ps_update *update,
                                     struct ps_update_origin origin);
/* Also of a push that was not applied: then nothing has changed. Takes NULL. */
void ps_staging_destroy(struct ps_staging *staging);

/* Checks a frame's pieces against the variables and its bytes, makes slots and memory for new
 * values: after this, applying it cannot fail. payload may be NULL if the pieces are empty.
 * Errors: those of ps_update_check, ps_update_check_finite and ps_update_open; NOT_FOUND for a
 * handle; INVALID_ARGUMENT if the pieces are not the size of the payload. */
PS_MUST_CHECK enum ps_code ps_staging_check(struct ps_staging *staging,
                                            const struct ps_piece *pieces, size_t piece_count,
                                            const struct ps_payload *payload, struct ps_error *err);

/* Remembers a checked frame for ps_staging_commit; payload stays until then (the caller's). */
PS_MUST_CHECK enum ps_code ps_staging_keep(struct ps_staging *staging,
                                           const struct ps_piece *pieces, size_t piece_count,
                                           const struct ps_payload *payload, struct ps_error *err);

/* Powers of the step that a push applied on arrival takes; ones until then. */
void ps_staging_set_powers(struct ps_staging *staging, const struct ps_beta_powers *powers);

/* Applies a checked frame now. */
void ps_staging_apply(struct ps_staging *staging, const struct ps_piece *pieces, size_t piece_count,
                      const struct ps_payload *payload);

/* Applies every frame that was kept, variable after variable. */
void ps_staging_commit(struct ps_staging *staging, const struct ps_beta_powers *powers);

/* After the last frame of a push that was applied on arrival: FAILED_PRECONDITION if a variable
 * got only a part of its first value. */
PS_MUST_CHECK enum ps_code ps_staging_finish(struct ps_staging *staging, struct ps_error *err);

#endif
