/* A short list of named powers behind one lock: a task has one or two optimizers. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/optimizer_state.h"

#include <string.h>

#include "core/alloc.h"
#include "core/lock.h"

struct optimizer {
    struct optimizer *next;
    bool is_set; /* not since it was forgotten */
    struct ps_beta_powers powers;
    char name[];
};

struct ps_optimizer_state {
    struct ps_mutex lock;
    struct optimizer *first; /* guarded by lock; never removed */
};

struct ps_optimizer_state *ps_optimizer_state_create(void)
{
    struct ps_optimizer_state *state = ps_alloc_zero(1, sizeof *state);
    if (state != NULL) { ps_mutex_init(&state->lock, "optimizer state", PS_RANK_POOL); }
    return state;
}

void ps_optimizer_state_destroy(struct ps_optimizer_state *state)
{
    if (state == NULL) { return; }
    while (state->first != NULL) {
        struct optimizer *optimizer = state->first;
        state->first = optimizer->next;
        ps_free(optimizer);
    }
    ps_mutex_clean(&state->lock);
    ps_free(state);
}

static struct optimizer *find_locked(struct ps_optimizer_state *state, const char *name)
{
    struct optimizer *optimizer = state->first;
    while (optimizer != NULL && strcmp(optimizer->name, name) != 0) { optimizer = optimizer->next; }
    return optimizer;
}

/* Finds or appends; NULL when out of memory. */
static struct optimizer *get_locked(struct ps_optimizer_state *state, const char *name)
{
    struct optimizer *optimizer = find_locked(state, name);
    if (optimizer != NULL) { return optimizer; }
    size_t name_size = strlen(name) + 1;
    optimizer = ps_alloc(sizeof *optimizer + name_size);
    if (optimizer == NULL) { return NULL; }
    optimizer->next = NULL;
    optimizer->is_set = false;
    memcpy(optimizer->name, name, name_size);
    struct optimizer **end = &state->first;
    while (*end != NULL) { end = &(*end)->next; }
    *end = optimizer;
    return optimizer;
}

static struct ps_beta_powers betas_of(const struct ps_update *update)
{
    double beta1 = update->parameters[0], beta2 = update->parameters[1];
    return (struct ps_beta_powers){ (float)beta1, (float)beta2, beta1, beta2 };
}

void ps_optimizer_state_forget(struct ps_optimizer_state *state)
{
    ps_mutex_lock(&state->lock);
    for (struct optimizer *o = state->first; o != NULL; o = o->next) { o->is_set = false; }
    ps_mutex_unlock(&state->lock);
}

enum ps_code ps_optimizer_state_set(struct ps_optimizer_state *state, const char *name,
                                    const struct ps_beta_powers *powers, struct ps_error *err)
{
    ps_mutex_lock(&state->lock);
    struct optimizer *optimizer = get_locked(state, name);
    if (optimizer != NULL) {
        optimizer->powers = *powers;
        optimizer->is_set = true;
    }
    ps_mutex_unlock(&state->lock);
    if (optimizer != NULL) { return PS_OK; }
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for the state of optimizer '%s'", name);
}

enum ps_code ps_optimizer_state_prepare(struct ps_optimizer_state *state,
                                        const struct ps_update *update, struct ps_error *err)
{
    if (update->kind != PS_UPDATE_ADAM) { return PS_OK; }
    ps_mutex_lock(&state->lock);
    struct optimizer *optimizer = get_locked(state, update->name);
    if (optimizer != NULL && !optimizer->is_set) {
        optimizer->powers = betas_of(update);
        optimizer->is_set = true;
    }
    ps_mutex_unlock(&state->lock);
    if (optimizer != NULL) { return PS_OK; }
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for the state of optimizer '%s'",
                   update->name);
}

struct ps_beta_powers ps_optimizer_state_powers(struct ps_optimizer_state *state,
                                                const struct ps_update *update)
{
    if (update->kind != PS_UPDATE_ADAM) { return (struct ps_beta_powers){ 1, 1, 1, 1 }; }
    ps_mutex_lock(&state->lock);
    const struct optimizer *optimizer = find_locked(state, update->name);
    PS_ASSERT(optimizer != NULL); /* prepared */
    struct ps_beta_powers powers = optimizer->powers;
    ps_mutex_unlock(&state->lock);
    return powers;
}

void ps_optimizer_state_advance(struct ps_optimizer_state *state, const struct ps_update *update)
{
    if (update->kind != PS_UPDATE_ADAM) { return; }
    struct ps_beta_powers betas = betas_of(update);
    ps_mutex_lock(&state->lock);
    struct optimizer *optimizer = find_locked(state, update->name);
    PS_ASSERT(optimizer != NULL); /* prepared */
    optimizer->powers.float1 *= betas.float1;
    optimizer->powers.float2 *= betas.float2;
    optimizer->powers.double1 *= betas.double1;
    optimizer->powers.double2 *= betas.double2;
    ps_mutex_unlock(&state->lock);
}

const char *ps_optimizer_state_at(struct ps_optimizer_state *state, size_t index,
                                  struct ps_beta_powers *powers_out)
{
    ps_mutex_lock(&state->lock);
    const struct optimizer *optimizer = state->first;
    while (optimizer != NULL && (index > 0 || !optimizer->is_set)) {
        index -= optimizer->is_set;
        optimizer = optimizer->next;
    }
    if (optimizer != NULL) { *powers_out = optimizer->powers; }
    ps_mutex_unlock(&state->lock);
    return optimizer == NULL ? NULL : optimizer->name;
}
