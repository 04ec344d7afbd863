/* Which planes of which slices a save consists of, under which names: decided before a byte moves.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_SAVE_PLAN_H
#define PARAMD_SERVER_SAVE_PLAN_H

#include "proto/arena.h"
#include "proto/checkpoint_messages.h"

struct ps_catalog;

/* What one ps task saves. */
struct ps_save_share {
    struct ps_saved_plane *planes;
    const struct ps_variable_info **infos; /* of the planes' slices, in the same order */
    size_t count;
};

/* Zero-initialise; ps_save_plan_clean. Points into the catalog and the request. */
struct ps_save_plan {
    struct ps_save_share *shares; /* one a task */
    uint32_t task_count;
    const char **names; /* of the tensors, sorted */
    size_t name_count;
    struct ps_arena arena;
};

/* A variable's slots go under its own name in the checkpoint, and only those that all of its slices
 * have: a push that was refused may have left one on some.
 * Errors: INVALID_ARGUMENT "No variables to save", "At least two variables have the same name: X",
 * "The same saveable will be restored with two names: X"; NOT_FOUND (a variable that is not there);
 * FAILED_PRECONDITION "Attempting to use uninitialized value X". */
PS_MUST_CHECK enum ps_code ps_save_plan_make(const struct ps_catalog *catalog,
                                             const struct ps_save_request *request,
                                             struct ps_save_plan *plan_out, struct ps_error *err);
void ps_save_plan_clean(struct ps_save_plan *plan); /* takes NULL */

/* Whether a tensor of that name is part of the plan. */
bool ps_save_plan_has(const struct ps_save_plan *plan, const char *name);

#endif
