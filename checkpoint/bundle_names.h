/* Every file name of a checkpoint, made and taken apart in one place. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_BUNDLE_NAMES_H
#define PARAMD_CHECKPOINT_BUNDLE_NAMES_H

#include "checkpoint/files.h"

/* A checkpoint is a prefix, "dir/model.ckpt-100"; a save of it has an id, greater than 0, that no
 * other save of that prefix uses. Names, in the order in which they come to be:
 *   PREFIX.part-00000.tempstateID             a part's data, being written, before it has a number
 *   PREFIX.data-00000-of-00002.tempstateID    the same, complete and with its final number
 *   PREFIX.index.tempstateID                  the index, being written
 *   PREFIX.index.commitID                     the index, complete: from here on the save is decided
 *   PREFIX.data-00000-of-00002, PREFIX.index  TensorFlow's names
 *   PREFIX.index.removed                      the index of a checkpoint whose removal is decided */
enum ps_bundle_kind {
    PS_BUNDLE_OTHER, /* no file of this prefix */
    PS_BUNDLE_INDEX,
    PS_BUNDLE_INDEX_TEMPORARY,
    PS_BUNDLE_INDEX_COMMIT,
    PS_BUNDLE_INDEX_REMOVED,
    PS_BUNDLE_DATA,
    PS_BUNDLE_DATA_TEMPORARY,
    PS_BUNDLE_PART_TEMPORARY
};

struct ps_bundle_name {
    enum ps_bundle_kind kind;
    uint64_t id;          /* temporary and commit */
    uint32_t shard;       /* data; the part's number for a part */
    uint32_t shard_count; /* data */
};

/* The path of what name describes. INVALID_ARGUMENT if it is too long. */
PS_MUST_CHECK enum ps_code ps_bundle_path(struct ps_path *path, const char *prefix,
                                          const struct ps_bundle_name *name, struct ps_error *err);

/* What file_name, a name in the directory of prefix, is to prefix. */
struct ps_bundle_name ps_bundle_name_parse(const char *prefix, const char *file_name);

/* The prefix's last component of any temporary or commit file ("model.ckpt-1" for
 * "model.ckpt-1.index.commit7"): its length, 0 if file_name is none. */
size_t ps_bundle_leftover_prefix(const char *file_name);

/* INVALID_ARGUMENT if prefix is no name for a checkpoint (empty, ends in '/', too long). */
PS_MUST_CHECK enum ps_code ps_bundle_prefix_check(const char *prefix, struct ps_error *err);

#endif
