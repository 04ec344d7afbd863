/* max_to_keep and keep_checkpoint_every_n_hours, surviving restarts through the state file. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/retention.h"

#include <string.h>

#include "core/alloc.h"

enum { SECONDS_AN_HOUR = 3600 };

void ps_retention_init(struct ps_retention *retention, const struct ps_retention_options *options,
                       double now_s)
{
    *retention = (struct ps_retention){ .options = *options };
    retention->state.last_preserved_s = now_s;
}

void ps_retention_clean(struct ps_retention *retention)
{
    if (retention == NULL) { return; }
    ps_state_clean(&retention->state);
}

void ps_retention_recover(struct ps_retention *retention, struct ps_state *state_take)
{
    double start_s = retention->state.last_preserved_s;
    ps_state_clean(&retention->state);
    retention->state = *state_take;
    *state_take = (struct ps_state){ 0 };
    /* A time in the future (a clock set back since) would keep nothing for ever: begin anew. */
    double last_s = retention->state.last_preserved_s;
    if (last_s == 0 || last_s > start_s) { retention->state.last_preserved_s = start_s; }
}

static size_t find(const struct ps_state *state, const char *path)
{
    size_t i = 0;
    while (i < state->count && strcmp(state->all[i].path, path) != 0) { i++; }
    return i;
}

/* Takes an item out of the list; its path is the caller's then. */
static struct ps_state_checkpoint take_out(struct ps_state *state, size_t index)
{
    struct ps_state_checkpoint taken = state->all[index];
    memmove(&state->all[index], &state->all[index + 1],
            (state->count - index - 1) * sizeof *state->all);
    state->count--;
    return taken;
}

static bool is_kept_for_ever(const struct ps_retention *retention, double timestamp_s)
{
    double period_s = retention->options.keep_every_hours * SECONDS_AN_HOUR;
    return period_s > 0 && timestamp_s - retention->state.last_preserved_s >= period_s;
}

/* Takes the oldest out; it is kept for ever, and forgotten, or appended to remove. */
static enum ps_code retire_oldest(struct ps_retention *retention, struct ps_state *remove,
                                  struct ps_error *err)
{
    const struct ps_state_checkpoint *oldest = &retention->state.all[0];
    double timestamp_s = oldest->timestamp_s;
    if (is_kept_for_ever(retention, timestamp_s)) {
        retention->state.last_preserved_s = timestamp_s;
    } else {
        enum ps_code rc = ps_state_add(remove, oldest->path, timestamp_s, err);
        if (rc != PS_OK) { return rc; }
    }
    struct ps_state_checkpoint taken = take_out(&retention->state, 0);
    ps_free(taken.path);
    return PS_OK;
}

enum ps_code ps_retention_saved(struct ps_retention *retention, const char *path, double now_s,
                                struct ps_state *remove, struct ps_error *err)
{
    struct ps_state *state = &retention->state;
    enum ps_code rc;
    PS_TRY(done, rc, ps_state_add(state, path, now_s, err));
    rc = ps_state_set_latest(state, path, err);
    size_t same = find(state, path);
    size_t drop = rc == PS_OK ? same : state->count - 1;
    if (rc != PS_OK || same < state->count - 1) {
        struct ps_state_checkpoint taken = take_out(state, drop);
        ps_free(taken.path);
    }
    if (rc != PS_OK || retention->options.max_to_keep <= 0) { return rc; }
    while (state->count > (size_t)retention->options.max_to_keep) {
        PS_TRY(done, rc, retire_oldest(retention, remove, err));
    }
done:
    return rc;
}
