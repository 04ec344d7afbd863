/* Powers of Adam's betas, one pair for each optimizer of a ps task, by the optimizer's name. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_OPTIMIZER_STATE_H
#define PARAMD_SERVER_OPTIMIZER_STATE_H

#include <stddef.h>

#include "proto/messages.h"

struct ps_optimizer_state;

/* beta to the power t, where t is the number of the next step, by repeated multiplication: in
 * float for variables up to float, as TensorFlow's beta1_power variable, and in double. */
struct ps_beta_powers {
    float float1, float2;
    double double1, double2;
};

struct ps_optimizer_state *ps_optimizer_state_create(void); /* NULL when out of memory */
void ps_optimizer_state_destroy(struct ps_optimizer_state *state);

/* Makes a place for update's optimizer, powers at the betas themselves (t = 1), if there is none
 * yet: what comes later then cannot fail. Other kinds than Adam need none.
 * Errors: RESOURCE_EXHAUSTED. Threads: any, for all of them. */
PS_MUST_CHECK enum ps_code ps_optimizer_state_prepare(struct ps_optimizer_state *state,
                                                      const struct ps_update *update,
                                                      struct ps_error *err);

/* The powers for the step to come; ones for other kinds than Adam. Prepared. */
struct ps_beta_powers ps_optimizer_state_powers(struct ps_optimizer_state *state,
                                                const struct ps_update *update);

/* Once a committed push, after all its variables were applied. Prepared. */
void ps_optimizer_state_advance(struct ps_optimizer_state *state, const struct ps_update *update);

/* For checkpoints: the index-th optimizer's name (NULL past the last) and powers; and back. Names
 * live as long as state. */
const char *ps_optimizer_state_at(struct ps_optimizer_state *state, size_t index,
                                  struct ps_beta_powers *powers_out);
/* Every optimizer begins anew when it is prepared next. No push is being staged or applied. */
void ps_optimizer_state_forget(struct ps_optimizer_state *state);
PS_MUST_CHECK enum ps_code ps_optimizer_state_set(struct ps_optimizer_state *state,
                                                  const char *name,
                                                  const struct ps_beta_powers *powers,
                                                  struct ps_error *err);

#endif
