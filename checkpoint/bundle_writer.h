/* Writes a checkpoint of one data file: create, add, finish. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_BUNDLE_WRITER_H
#define PARAMD_CHECKPOINT_BUNDLE_WRITER_H

#include "checkpoint/bundle_part.h"

struct ps_bundle_writer;

struct ps_bundle_writer_options {
    const struct ps_files *files; /* NULL: POSIX. Borrowed until the destroy */
    uint64_t id;                  /* of this save, see bundle_names.h; 0: a random one */
};

/* Begins a save to prefix, creating its directory. What an earlier crash left of this prefix is
 * completed or swept away, so the caller must be the only one that saves to it. options: or NULL.
 * Errors: INVALID_ARGUMENT (prefix); the files'. Threads: one at a time. */
PS_MUST_CHECK enum ps_code ps_bundle_writer_create(const char *prefix,
                                                   const struct ps_bundle_writer_options *options,
                                                   struct ps_bundle_writer **writer_out,
                                                   struct ps_error *err);

/* Without a finish, or after one that failed before the save was decided, removes what was
 * written; the checkpoint that prefix had is untouched. Takes NULL. */
void ps_bundle_writer_destroy(struct ps_bundle_writer *writer);

/* Where tensors go: ps_bundle_part_begin, _append, _end and _strings, not _finish. Borrowed. */
struct ps_bundle_part *ps_bundle_writer_part(struct ps_bundle_writer *writer);

/* begin, one append and end: a tensor (or slice) that lies in memory. */
PS_MUST_CHECK enum ps_code ps_bundle_writer_add(struct ps_bundle_writer *writer,
                                                const struct ps_bundle_tensor *tensor,
                                                const void *data, size_t size_bytes,
                                                struct ps_error *err);

/* Returns when the checkpoint would survive a power cut, under its final names. Then only destroy.
 * After a failure prefix has the previous checkpoint or, if the save was decided by then, this one;
 * either is complete for the next reader. */
PS_MUST_CHECK enum ps_code ps_bundle_writer_finish(struct ps_bundle_writer *writer,
                                                   struct ps_error *err);

#endif
