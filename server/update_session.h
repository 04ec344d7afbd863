/* One update of one variable: everything that can fail first, then the bytes, which cannot. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_UPDATE_SESSION_H
#define PARAMD_SERVER_UPDATE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "proto/messages.h"
#include "server/fresh.h"
#include "server/update.h"

struct ps_variable;
struct ps_update_pending;

/* A commit opens a session for each of its variables, and only when all are open runs them one by
 * one (begin, apply for each of its pieces, end, close): so a push is applied whole or not at all.
 * Fields are the session's own. Not for two threads at once. */
struct ps_update_session {
    struct ps_variable *variable; /* NULL: closed */
    const struct ps_update_rule *rule;
    ps_kernel_fn *kernel;
    const struct ps_update *update; /* borrowed until close */
    int planes[PS_KERNEL_MAX_PLANES];
    int plane_count;
    uint64_t layout;       /* the variable's, when planes were made */
    struct ps_fresh fresh; /* an assign's new value, while it arrives; no chunks: in place */
    struct ps_update_pending *pending; /* copies of chunks that have arrived in part */
    struct ps_kernel_scalars scalars;
    uint64_t applied_bytes;
    bool holds;      /* the update lock */
    bool superseded; /* the bytes have no effect (see begin) */
};

/* Makes what the update needs: its slots; for an assign that gives the first value or a new shape,
 * the memory of that value. The update was checked against the variable (ps_update_check); it and
 * the variable outlive the session. On failure the value and all that readers see is as before
 * (a slot may have been made, at its initial value), and session is closed.
 * Errors: RESOURCE_EXHAUSTED, INVALID_ARGUMENT (slots; a shape that no longer fits). */
PS_MUST_CHECK enum ps_code ps_update_open(struct ps_update_session *session,
                                          struct ps_variable *variable,
                                          const struct ps_update *update, struct ps_error *err);

/* Takes and gives back the variable's update lock. From begin to end no other update of the
 * variable runs. A push that arrives while it is applied may have several such turns.
 * powers: of the step to come (ps_optimizer_state_powers).
 * If the variable was given a new shape or initialized anew meanwhile, or an INITIALIZE finds a
 * value, the bytes that follow have no effect: the outcome is as if this update had come first. */
void ps_update_begin(struct ps_update_session *session, const struct ps_beta_powers *powers);
void ps_update_end(struct ps_update_session *session);

/* Applies size bytes at cursor to the slice from byte offset on; both are multiples of the element
 * and within the slice (a checked piece), the cursor has that many left and advances. A piece may
 * span chunks; readers see each chunk before or after, never between: a chunk of which only a part
 * has come is worked on aside and shown when it is complete, or at end. Cannot fail. */
void ps_update_apply(struct ps_update_session *session, uint64_t offset, struct ps_cursor *cursor,
                     uint64_t size);

/* Ends the session, applied or not (then nothing has changed); not between begin and end. Takes a
 * closed one. FAILED_PRECONDITION: a first value or new shape has arrived in part only, so the
 * variable is as before. */
enum ps_code ps_update_close(struct ps_update_session *session, struct ps_error *err);

#endif
