/* Cuts in a row on one disk, or kills in one folder, each followed by an inspection. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_TRIAL_H
#define PARAMD_TESTS_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

struct disk_kind;
struct sync_mutant;

struct trial_options {
    const struct disk_kind *kind; /* NULL: no power cut, the process is killed */
    const char *folder;           /* for kills: an existing one, filled and emptied */
    uint64_t seed;
    long cut_count;
    const struct sync_mutant *mutant; /* NULL: none */
};

struct trial_result {
    bool is_possible; /* false: there is no such disk here */
    long cut_count;   /* done; the last one is the one that failed */
    long saved_count; /* checkpoints reported durable before them */
};

/* DATA_LOSS: a promise was broken. Other codes: the trial itself failed. */
PS_MUST_CHECK enum ps_code trial_run(const struct trial_options *options,
                                     struct trial_result *result_out, struct ps_error *err);

#endif
