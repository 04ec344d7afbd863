/* What each kind of update needs and means, and the checks before anything changes. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_UPDATE_H
#define PARAMD_SERVER_UPDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"
#include "proto/messages.h"
#include "server/kernel.h"
#include "server/optimizer_state.h"

struct ps_variable;

enum { PS_UPDATE_MAX_SLOTS = PS_KERNEL_MAX_PLANES - 1 };

/* One kind of update: assigns and optimizers differ in nothing but this row. */
struct ps_update_rule {
    enum ps_update_kind kind;
    const char *name; /* "assign_add", "Momentum"; in messages */
    size_t parameter_count;
    bool is_assign;        /* takes a variable that has no value yet */
    bool only_initializes; /* changes nothing where there is a value */
    size_t slot_count;
    double slot_initial[PS_UPDATE_MAX_SLOTS];
    enum ps_kernel_op op;
    /* Checks parameters beyond being finite; NULL: nothing to check. */
    enum ps_code (*check)(const struct ps_update *update, struct ps_error *err);
};

/* NULL for a number that is no kind. */
const struct ps_update_rule *ps_update_rule(enum ps_update_kind kind);

/* Whether piece of an update with this head may be applied to variable: kind, parameters, learning
 * rate, type, initialized value, new shape, place of the piece. Nothing changes.
 * Errors: INVALID_ARGUMENT, OUT_OF_RANGE (the piece), FAILED_PRECONDITION
 * `Attempting to use uninitialized value NAME`. Threads: any. */
PS_MUST_CHECK enum ps_code ps_update_check(const struct ps_update *update,
                                           struct ps_variable *variable,
                                           const struct ps_piece *piece, struct ps_error *err);

/* Who sent it, for messages. */
struct ps_update_origin {
    uint32_t worker;
    uint64_t seq;
};

/* Whether the piece's bytes, of which cursor stands at the first, are finite numbers; of types
 * that have others, and unless update lets them through. The piece was checked.
 * INVALID_ARGUMENT: "gradient of 'out/w' has NaN at element 411 (worker 2, push 17); refused. ...",
 * elements counted in the whole variable. */
PS_MUST_CHECK enum ps_code ps_update_check_finite(const struct ps_update *update,
                                                  const struct ps_variable *variable,
                                                  const struct ps_piece *piece,
                                                  struct ps_cursor cursor,
                                                  const struct ps_update_origin *origin,
                                                  struct ps_error *err);

/* The kernel's scalars for a type, in that type's arithmetic. powers matter to Adam only. */
struct ps_kernel_scalars ps_update_scalars(const struct ps_update *update, enum ps_dtype dtype,
                                           const struct ps_beta_powers *powers);
/* The kernel; NULL if the type does not support the update. */
ps_kernel_fn *ps_update_kernel(const struct ps_update *update, enum ps_dtype dtype);

/* "Adam", "Adam_1": what TensorFlow calls slot index of an optimizer of that name. Returns text. */
enum { PS_SLOT_NAME_BYTES = PS_MAX_NAME_BYTES + 16 };
const char *ps_update_slot_name(const struct ps_update *update, size_t index,
                                char text[PS_SLOT_NAME_BYTES]);

/* The next run of whole elements at cursor, at most limit bytes (a multiple of element_bytes, and
 * no more than remain): it points into the payload, or to carry where two spans share an element.
 * Never empty unless limit is 0. */
enum { PS_CARRY_BYTES = 8 };
struct ps_span ps_update_next_elements(struct ps_cursor *cursor, size_t limit, size_t element_bytes,
                                       uint8_t carry[PS_CARRY_BYTES]);

#endif
