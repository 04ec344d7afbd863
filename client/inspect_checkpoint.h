/* Saving and restoring a running cluster from outside. For tools. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CLIENT_INSPECT_CHECKPOINT_H
#define PARAMD_CLIENT_INSPECT_CHECKPOINT_H

#include "client/inspect.h"
#include "proto/checkpoint_messages.h"

/* Says hello and has ps task 0 save or restore; request's header is filled in here. What reply_out
 * points to lives in arena. timeout_ms: of the whole. Errors: those of ps_inspect_hello, of every
 * task, since all have a part in it; the peer's own. */
PS_MUST_CHECK enum ps_code ps_inspect_save(struct ps_inspector *inspector,
                                           struct ps_save_request *request, int64_t timeout_ms,
                                           struct ps_arena *arena, struct ps_save_reply *reply_out,
                                           struct ps_error *err);
PS_MUST_CHECK enum ps_code ps_inspect_restore(struct ps_inspector *inspector,
                                              struct ps_restore_request *request,
                                              int64_t timeout_ms, struct ps_arena *arena,
                                              struct ps_restore_reply *reply_out,
                                              struct ps_error *err);

#endif
