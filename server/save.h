/* A save of the whole cluster, as ps task 0 conducts it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_SAVE_H
#define PARAMD_SERVER_SAVE_H

#include "proto/checkpoint_messages.h"

struct ps_arena;
struct ps_checkpointer;

/* Answers Save: a complete, durable checkpoint, entered in the state file. Every task writes its
 * own slices; those of a task that does not see the directory are fetched and written here. The
 * caller sees to it that nobody pushes meanwhile. reply's text lives in arena. After a failure the
 * latest checkpoint is the one before, and temporary files are gone. Errors: those of
 * ps_save_plan_make, ps_checkpointer_claim; INVALID_ARGUMENT (prefix, state_name); UNAVAILABLE (a
 * task does not answer); the files'. */
PS_MUST_CHECK enum ps_code ps_save_run(struct ps_checkpointer *checkpointer,
                                       const struct ps_save_request *request, int64_t deadline_ms,
                                       struct ps_arena *arena, struct ps_save_reply *reply_out,
                                       struct ps_error *err);

#endif
