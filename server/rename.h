/* Under which name of a checkpoint a variable is looked for. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_RENAME_H
#define PARAMD_SERVER_RENAME_H

#include "proto/arena.h"
#include "proto/checkpoint_messages.h"

struct ps_bundle_reader;

struct ps_renamed {
    const char *to;   /* as the saver has it */
    const char *from; /* in the file */
    size_t rule;
};

/* Zero-initialise; ps_rename_map_clean. */
struct ps_rename_map {
    struct ps_renamed *items; /* by to */
    size_t count;
    struct ps_arena arena;
};

/* Applies the rules to every name of the checkpoint; the first rule that fits a name decides, and
 * of several names that become one, that of the earliest rule. A pattern fits whole names. Errors:
 * INVALID_ARGUMENT (a pattern that is none; two names that one pattern makes one);
 * RESOURCE_EXHAUSTED. */
PS_MUST_CHECK enum ps_code ps_rename_map_make(const struct ps_bundle_reader *reader,
                                              const struct ps_rename *rules, size_t rule_count,
                                              struct ps_rename_map *map_out, struct ps_error *err);
void ps_rename_map_clean(struct ps_rename_map *map); /* takes NULL */

/* The name in the file for what the saver calls name: name itself unless a rule says otherwise. */
const char *ps_rename_map_find(const struct ps_rename_map *map, const char *name);

#endif
