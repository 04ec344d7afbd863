/* The `checkpoint` state file: the checkpoints of a directory, in TensorFlow's text form. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_STATE_FILE_H
#define PARAMD_CHECKPOINT_STATE_FILE_H

#include "checkpoint/files.h"
#include "core/bytes.h"

/* Larger ones are refused: at 100 bytes a path this is 160,000 checkpoints. */
enum { PS_STATE_FILE_MAX_BYTES = 16 << 20 };

struct ps_state_checkpoint {
    char *path;         /* owned; as in the file, so possibly relative to its directory */
    double timestamp_s; /* wall clock; 0: not known */
};

/* Zero-initialise; ps_state_clean. */
struct ps_state {
    char *latest;                    /* owned; NULL: none */
    struct ps_state_checkpoint *all; /* oldest first */
    size_t count;
    double last_preserved_s; /* see retention.h; 0: not known */
};

void ps_state_clean(struct ps_state *state); /* takes NULL */

/* Adds to the end of all; path is copied. RESOURCE_EXHAUSTED only. */
PS_MUST_CHECK enum ps_code ps_state_add(struct ps_state *state, const char *path,
                                        double timestamp_s, struct ps_error *err);
PS_MUST_CHECK enum ps_code ps_state_set_latest(struct ps_state *state, const char *path,
                                               struct ps_error *err);

/* Text and back. Fields other than the four known ones are skipped, whatever they hold.
 * parse: INVALID_ARGUMENT names line and column; state_out is then clean. */
PS_MUST_CHECK enum ps_code ps_state_format(const struct ps_state *state, struct ps_buf *text,
                                           struct ps_error *err);
PS_MUST_CHECK enum ps_code ps_state_parse(struct ps_span text, struct ps_state *state_out,
                                          struct ps_error *err);

/* Reads PATH ("run/checkpoint"). NOT_FOUND if there is none; RESOURCE_EXHAUSTED above the limit. */
PS_MUST_CHECK enum ps_code ps_state_read(const struct ps_files *files, const char *path,
                                         struct ps_state *state_out, struct ps_error *err);
/* Replaces PATH so that after a crash the old or the new one is there. One writer at a time. */
PS_MUST_CHECK enum ps_code ps_state_write(const struct ps_files *files, const char *path,
                                          const struct ps_state *state, struct ps_error *err);

/* A path of the file as a path of the process: joined to the file's directory if relative. */
PS_MUST_CHECK enum ps_code ps_state_resolve(const char *directory, const char *path,
                                            struct ps_path *path_out, struct ps_error *err);
/* The way back: relative if prefix lies in directory, so that the directory can be moved. A pointer
 * into prefix. */
const char *ps_state_relative(const char *directory, const char *prefix);

/* Drops what has no index file any more and fills unknown timestamps with the index files' times.
 * Completes decided saves on the way. Errors: the files'. */
PS_MUST_CHECK enum ps_code ps_state_refresh(const struct ps_files *files, const char *directory,
                                            struct ps_state *state, struct ps_error *err);

#endif
