/* Which checkpoints stay: pure decisions over a list, without clock or files. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_RETENTION_H
#define PARAMD_CHECKPOINT_RETENTION_H

#include "checkpoint/state_file.h"

struct ps_retention_options {
    long max_to_keep;        /* 0 or less: keep all */
    double keep_every_hours; /* one checkpoint in so many hours is kept for ever; 0 or less: none */
};

/* The list is a state as it goes to the state file: all that may still be removed, oldest first. */
struct ps_retention {
    struct ps_retention_options options;
    struct ps_state state;
};

/* now_s: wall clock; the first period of keep_every_hours begins then. */
void ps_retention_init(struct ps_retention *retention, const struct ps_retention_options *options,
                       double now_s);
void ps_retention_clean(struct ps_retention *retention); /* takes NULL */

/* After a restart: goes on with what the state file said (refreshed, so that every checkpoint
 * exists and has a time). Takes state's contents. A period that was running goes on. */
void ps_retention_recover(struct ps_retention *retention, struct ps_state *state_take);

/* A checkpoint was saved at now_s: it becomes the latest. What is to be removed now is appended to
 * remove, oldest first: all above max_to_keep, not only one. A prefix saved again moves to the end.
 * Write retention->state to the state file before removing anything. RESOURCE_EXHAUSTED only: then
 * the list may be longer than it should be, which the next call makes good. */
PS_MUST_CHECK enum ps_code ps_retention_saved(struct ps_retention *retention, const char *path,
                                              double now_s, struct ps_state *remove,
                                              struct ps_error *err);

#endif
