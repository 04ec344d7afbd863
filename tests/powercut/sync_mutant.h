/* A file system that forgets one kind of fsync: what the power cuts must find out. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_SYNC_MUTANT_H
#define PARAMD_TESTS_SYNC_MUTANT_H

#include "checkpoint/files.h"

/* Which calls are skipped, while success is reported. */
struct sync_mutant {
    const char *name;
    const char *what;
    bool is_directory;   /* sync_dir; else a file's sync */
    const char *pattern; /* a file's: in its name when it was created; a directory's: the end of the
                          * last name that was given in it */
};

enum { SYNC_MUTANTS = 6 };
extern const struct sync_mutant sync_mutants[SYNC_MUTANTS];

/* NULL if there is none of that name. */
const struct sync_mutant *sync_mutant_find(const char *name);

/* The caller's memory. */
struct sync_mutant_files {
    struct ps_files files; /* hand this out */
    const struct ps_files *under;
    const struct sync_mutant *mutant;
    struct ps_path last_name; /* of the last rename */
};

void sync_mutant_init(struct sync_mutant_files *mutated, const struct ps_files *under,
                      const struct sync_mutant *mutant);

#endif
