/* RestoreShard as ps task 0 calls it on any task, itself included; and feeding one chunk by chunk.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_SHARD_FEEDER_H
#define PARAMD_SERVER_SHARD_FEEDER_H

#include "server/restore_plan.h"
#include "server/shard_loader.h"

struct ps_feeder {
    struct ps_checkpointer *checkpointer;
    uint32_t task;
    int64_t deadline_ms;
};

/* Sends request, whose header it fills in; chunk: FEED's bytes, else NULL. Errors: the task's;
 * UNAVAILABLE. Threads: any, one at a time for one task. */
PS_MUST_CHECK enum ps_code ps_feeder_send(const struct ps_feeder *feeder,
                                          struct ps_restore_shard_request *request,
                                          const struct ps_span *chunk,
                                          struct ps_restore_shard_reply *reply_out,
                                          struct ps_error *err);

/* Reads what the task has prepared as restore id, and sends it there. prefix: a path of this
 * process. Errors: those of ps_feeder_send and ps_bundle_reader_read. */
PS_MUST_CHECK enum ps_code ps_feeder_feed(const struct ps_feeder *feeder, const char *prefix,
                                          uint64_t id, const struct ps_restore_share *share,
                                          struct ps_error *err);

#endif
