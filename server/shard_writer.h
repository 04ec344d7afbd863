/* One ps task's planes into one part of a checkpoint: its own, or another's over the wire. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_SHARD_WRITER_H
#define PARAMD_SERVER_SHARD_WRITER_H

#include "checkpoint/bundle_part.h"
#include "checkpoint/files.h"
#include "proto/checkpoint_messages.h"
#include "server/save_plan.h"

struct ps_checkpointer;

/* Writes planes of this task's slices to an open part, a chunk at a time: memory does not depend on
 * their sizes, and training goes on meanwhile.
 * Errors: NOT_FOUND (handle), FAILED_PRECONDITION (a plane without a value), CANCELLED (the task
 * is stopping), those of ps_bundle_part_begin. */
PS_MUST_CHECK enum ps_code ps_shard_write(struct ps_checkpointer *checkpointer,
                                          const struct ps_saved_plane *planes, size_t plane_count,
                                          struct ps_bundle_part *part, struct ps_error *err);

/* The same with the planes of another task, which does not see the directory: asks it for one chunk
 * after the other. On ps task 0. */
PS_MUST_CHECK enum ps_code ps_shard_fetch(struct ps_checkpointer *checkpointer, uint32_t task,
                                          const struct ps_save_share *share, int64_t deadline_ms,
                                          struct ps_bundle_part *part, struct ps_error *err);

/* The file by which the tasks of a save find out whether they see one directory. It counts as a
 * temporary file of the save, so that whoever sweeps those sweeps it too. */
PS_MUST_CHECK enum ps_code ps_shard_nonce_path(const struct ps_bundle_ticket *ticket,
                                               struct ps_path *path_out, struct ps_error *err);

/* Answers SaveShard: finishes a part of this task's own, unless it does not see the directory.
 * rows: of the part, appended; reply->rows and workers are the caller's to fill. */
PS_MUST_CHECK enum ps_code ps_shard_save(struct ps_checkpointer *checkpointer,
                                         const struct ps_save_shard_request *request,
                                         struct ps_save_shard_reply *reply, struct ps_buf *rows,
                                         struct ps_error *err);

#endif
