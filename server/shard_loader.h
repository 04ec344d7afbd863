/* A ps task's part of a restore: its slices read and checked aside, then put in place. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_SHARD_LOADER_H
#define PARAMD_SERVER_SHARD_LOADER_H

#include "core/bytes.h"
#include "proto/checkpoint_messages.h"

struct ps_checkpointer;

/* Answers RestoreShard.
 * PREPARE: makes memory for the new values and slots; reads every byte of them and checks it. Where
 * there is no memory for old and new side by side, it only checks, and LOAD reads again. A task
 * that does not see the same checkpoint answers seen = false, and is fed. LOAD: puts everything in
 * place; where nothing has to be read again, it cannot fail. payload: FEED's bytes. Errors:
 * INVALID_ARGUMENT, NOT_FOUND, DATA_LOSS, RESOURCE_EXHAUSTED, CANCELLED; FAILED_PRECONDITION for an
 * id that is not prepared here, or not fed completely. */
PS_MUST_CHECK enum ps_code ps_shard_restore(struct ps_checkpointer *checkpointer,
                                            const struct ps_restore_shard_request *request,
                                            const struct ps_payload *payload,
                                            struct ps_restore_shard_reply *reply_out,
                                            struct ps_error *err);

/* Gives up what was prepared and never loaded. Takes NULL. */
void ps_shard_restore_forget(struct ps_checkpointer *checkpointer);

#endif
