/* Several data files become one checkpoint: merged index, commit, or nothing at all. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_BUNDLE_MERGE_H
#define PARAMD_CHECKPOINT_BUNDLE_MERGE_H

#include "checkpoint/bundle_part.h"

/* Turns the parts of a save (written and synced as PREFIX.part-NNNNN.tempstateID by whomever) into
 * data files with final numbers and one index, all still under temporary names and synced. Shards
 * are numbered in the order of the parts; parts[i] is the rows of part i, NULL or empty where there
 * is no such file. Nothing is decided yet.
 * Errors: those of ps_bundle_rows_fold; INVALID_ARGUMENT if no part has rows; the files'. */
PS_MUST_CHECK enum ps_code ps_bundle_merge(const struct ps_bundle_ticket *ticket,
                                           const struct ps_bundle_rows *const *parts,
                                           size_t part_count, struct ps_error *err);

/* Decides the save, after ps_bundle_merge, and gives all files their final names. If PREFIX
 * existed, it stays readable until the new one is durable and decided. After a failure the save may
 * be decided nevertheless: ps_bundle_abandon finds out. Errors: the files'. */
PS_MUST_CHECK enum ps_code ps_bundle_commit(const struct ps_bundle_ticket *ticket,
                                            struct ps_error *err);

/* Removes the files of a save that failed, unless it is decided: then they are left for whoever
 * opens PREFIX next. Failures are of no interest, the next sweep meets them again. */
void ps_bundle_abandon(const struct ps_bundle_ticket *ticket);

#endif
