/* The checkpoints of a directory: which is the latest, and which stay after a save. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_KEPT_H
#define PARAMD_SERVER_KEPT_H

#include <stdbool.h>

#include "checkpoint/retention.h"

/* A save that is complete. */
struct ps_kept_save {
    const struct ps_files *files;
    const char *prefix;     /* path of the checkpoint */
    const char *stem;       /* the same without its step */
    const char *state_name; /* of the state file beside it */
    bool absolute_paths;    /* keep absolute paths in the state file as they are */
    struct ps_retention_options options;
};

/* Enters the save in the state file, then removes what the options no longer keep. They count the
 * checkpoints of this stem ("STEM", "STEM-100"); those of other savers in the directory stay
 * listed. The list is the state file's, so it survives any restart. What cannot be removed is only
 * logged. Errors: the files'; the checkpoint is complete nevertheless, but not the latest. */
PS_MUST_CHECK enum ps_code ps_kept_enter(const struct ps_kept_save *save, struct ps_error *err);

/* Prefixes of the checkpoints that the state file of directory lists, the latest first: all of
 * found_out->all, as paths joined to directory. Whether they are there is not looked at.
 * Errors: NOT_FOUND (no state file, or an empty one); INVALID_ARGUMENT (malformed); the files'. */
PS_MUST_CHECK enum ps_code ps_kept_list(const struct ps_files *files, const char *directory,
                                        const char *state_name, struct ps_state *found_out,
                                        struct ps_error *err);

#endif
