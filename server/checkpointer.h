/* What saving and restoring need on a ps task: the file system, the peers, what is under way. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_CHECKPOINTER_H
#define PARAMD_SERVER_CHECKPOINTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "checkpoint/files.h"
#include "core/lock.h"
#include "core/status.h"

struct ps_cluster;
struct ps_peers;
struct ps_service;
struct ps_shard_loader;

struct ps_checkpointer_options {
    const struct ps_cluster *cluster; /* borrowed for the create */
    const struct ps_files *files;     /* NULL: POSIX; outlives the checkpointer */
    const char *root; /* relative paths are below it; NULL or "": the working directory */
};

struct ps_checkpointer {
    /* set by create */
    struct ps_service *service;
    const struct ps_files *files;
    char *root;
    struct ps_peers *peers; /* on ps task 0 only */
    /* atomic */
    atomic_bool stopping; /* whatever takes long ends at the next chunk */
    /* guarded by lock */
    struct ps_mutex lock; /* PS_RANK_TASK */
    bool is_busy;         /* ps task 0: a save or restore of the whole cluster is under way */
    struct ps_shard_loader *loader; /* prepared, not loaded yet; NULL: none, or in use */
};

PS_MUST_CHECK enum ps_code ps_checkpointer_create(struct ps_service *service,
                                                  const struct ps_checkpointer_options *options,
                                                  struct ps_checkpointer **checkpointer_out,
                                                  struct ps_error *err);
/* Before the server that serves it is stopped: what is under way ends soon. Takes NULL. */
void ps_checkpointer_stop(struct ps_checkpointer *checkpointer);
/* Nothing is under way, and no loader prepared any more. Takes NULL. */
void ps_checkpointer_destroy(struct ps_checkpointer *checkpointer);

/* CANCELLED once the task is stopping: asked once a chunk. */
PS_MUST_CHECK enum ps_code ps_checkpointer_check(struct ps_checkpointer *checkpointer,
                                                 struct ps_error *err);

/* A path as a client names it, as a path of this process. */
PS_MUST_CHECK enum ps_code ps_checkpointer_path(const struct ps_checkpointer *checkpointer,
                                                const char *path, struct ps_path *path_out,
                                                struct ps_error *err);

/* The way back, for messages and replies: a pointer into path. */
const char *ps_checkpointer_shown(const struct ps_checkpointer *checkpointer, const char *path);

/* Saves and restores of the whole cluster come one at a time: UNAVAILABLE while another is under
 * way, FAILED_PRECONDITION on another task than ps task 0. */
PS_MUST_CHECK enum ps_code ps_checkpointer_claim(struct ps_checkpointer *checkpointer,
                                                 struct ps_error *err);
void ps_checkpointer_release(struct ps_checkpointer *checkpointer);

/* A number that no other save or restore has or had; greater than 0. */
uint64_t ps_checkpointer_new_id(void);

#endif
