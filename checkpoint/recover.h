/* What a crash leaves behind: decided saves are completed, undecided ones swept away. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_RECOVER_H
#define PARAMD_CHECKPOINT_RECOVER_H

#include <stdint.h>

#include "core/status.h"

struct ps_files;

/* Completes every decided save of prefix (PREFIX.index.commitID): data files get their names, then
 * the index. Any process may do so at any time, also while the save's own writer is at it. A marker
 * whose files are not all there is reported in the log and left alone. */
PS_MUST_CHECK enum ps_code ps_recover_roll_forward(const struct ps_files *files, const char *prefix,
                                                   struct ps_error *err);

/* The above; then removes temporary files of prefix, completes a decided removal, and drops data
 * files of another shard count than PREFIX.index has. Only for the one that owns the prefix, with
 * no save of it under way: what is swept may be the file another process is writing. */
PS_MUST_CHECK enum ps_code ps_recover_sweep(const struct ps_files *files, const char *prefix,
                                            struct ps_error *err);

/* Removes the temporary files of one undecided save, as far as that is possible. */
void ps_recover_drop_save(const struct ps_files *files, const char *prefix, uint64_t id);

/* Sweeps every prefix of a directory. Only for the directory's owner, at start. */
PS_MUST_CHECK enum ps_code ps_recover_directory(const struct ps_files *files, const char *directory,
                                                struct ps_error *err);

/* Removes a checkpoint: after a crash it is either whole or gone. NOT_FOUND if there is none.
 * Only for the owner. */
PS_MUST_CHECK enum ps_code ps_recover_remove(const struct ps_files *files, const char *prefix,
                                             struct ps_error *err);

#endif
