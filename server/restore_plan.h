/* Which tensors of a checkpoint become which slices: decided and checked before anything is read.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_RESTORE_PLAN_H
#define PARAMD_SERVER_RESTORE_PLAN_H

#include "proto/arena.h"
#include "proto/checkpoint_messages.h"

struct ps_bundle_reader;
struct ps_catalog;

/* What one ps task restores. */
struct ps_restore_share {
    struct ps_restored_variable *variables;
    const struct ps_variable_info **infos; /* of their slices, in the same order */
    size_t count;
};

/* Zero-initialise; ps_restore_plan_clean. Points into catalog, reader and request. */
struct ps_restore_plan {
    struct ps_restore_share *shares; /* one a task */
    uint32_t task_count;
    size_t variable_count; /* that are restored */
    size_t missing_count;
    struct ps_arena arena;
};

/* Finds every variable under the name the saver and the rules give it, and its slots beside it:
 * what is called as TensorFlow's optimizers call theirs, or as a slot in use, and has the
 * variable's type and shape. Errors: NOT_FOUND (one message for all that is missing, with counts
 * and the closest name); INVALID_ARGUMENT (type or shape; the rules); FAILED_PRECONDITION (a
 * variable of which a slice was never created). */
PS_MUST_CHECK enum ps_code ps_restore_plan_make(const struct ps_catalog *catalog,
                                                const struct ps_bundle_reader *reader,
                                                const struct ps_restore_request *request,
                                                struct ps_restore_plan *plan_out,
                                                struct ps_error *err);
void ps_restore_plan_clean(struct ps_restore_plan *plan); /* takes NULL */

#endif
