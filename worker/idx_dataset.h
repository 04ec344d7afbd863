/* An image set from the four IDX files of a directory: Fashion-MNIST, MNIST, or the user's own. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_WORKER_IDX_DATASET_H
#define PARAMD_WORKER_IDX_DATASET_H

#include <stdint.h>

#include "core/status.h"

struct ps_dataset;

/* What the files must hold; 0 asks for nothing. */
struct ps_idx_expected {
    int32_t train_count;
    int32_t test_count;
    int32_t rows;
    int32_t columns;
    int class_count; /* 0: one more than the largest training label */
};

/* Where the files are. All texts are borrowed for the call. */
struct ps_idx_location {
    const char *directory;
    const char *name;         /* what the set is called in the log */
    const char *missing_hint; /* what to do, said where a file is missing */
};

/* Reads {train,t10k}-{images-idx3,labels-idx1}-ubyte, or the same with .gz, from directory.
 * expected may be NULL. The set is the caller's: ps_dataset_destroy.
 * Errors: PS_NOT_FOUND (a file is missing), PS_INVALID_ARGUMENT (files that do not belong together,
 * a label out of range, not what was expected), and those of ps_idx_file_read. */
PS_MUST_CHECK enum ps_code ps_idx_dataset_load(const struct ps_idx_location *location,
                                               const struct ps_idx_expected *expected,
                                               struct ps_dataset **dataset_out,
                                               struct ps_error *err);

#endif
