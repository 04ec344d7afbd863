/* A restore of the whole cluster, as ps task 0 conducts it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_RESTORE_H
#define PARAMD_SERVER_RESTORE_H

#include "proto/checkpoint_messages.h"

struct ps_arena;
struct ps_checkpointer;

/* Answers Restore: everything is found, read and checked on every task before anything is changed
 * on any. Variables need no value before; whatever way they were sliced when they were saved, each
 * task reads its own part, or is fed where it does not see the file. The caller sees to it that
 * nobody pushes meanwhile. Of a directory the latest checkpoint that is not damaged is taken, and
 * what was passed over told in the reply, whose texts live in arena. Errors: those of
 * ps_restore_plan_make, ps_bundle_reader_open, ps_checkpointer_claim; DATA_LOSS; UNAVAILABLE (a
 * task does not answer); then nothing has changed, unless the message says so. */
PS_MUST_CHECK enum ps_code ps_restore_run(struct ps_checkpointer *checkpointer,
                                          const struct ps_restore_request *request,
                                          int64_t deadline_ms, struct ps_arena *arena,
                                          struct ps_restore_reply *reply_out, struct ps_error *err);

#endif
