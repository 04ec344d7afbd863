/* What --data names: Fashion-MNIST as Debian installs it, the user's IDX files, or synthetic. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_WORKER_DATA_SOURCE_H
#define PARAMD_WORKER_DATA_SOURCE_H

#include "core/status.h"
#include "worker/synthetic.h"

struct ps_dataset;

struct ps_data_options {
    const char *source;            /* "fashion-mnist", "synthetic", or a directory */
    const char *fashion_mnist_dir; /* where "fashion-mnist" is looked for */
    int class_count;               /* of a directory's labels; 0: as many as they use */
    struct ps_synthetic_options synthetic;
};

/* Fashion-MNIST from /usr/share/datasets/fashion-mnist; synthetic: the usual sizes, seed 1. */
struct ps_data_options ps_data_options_default(void);

/* Loads and checks the set: Fashion-MNIST must have its 60,000 + 10,000 images of 28x28 in 10
 * classes; the files of a directory must agree with each other. A directory called like a word
 * above is reached as ./fashion-mnist. The set is the caller's: ps_dataset_destroy.
 * Errors: PS_NOT_FOUND with what to install or give instead, and those of ps_idx_dataset_load and
 * ps_synthetic_create. */
PS_MUST_CHECK enum ps_code ps_data_source_load(const struct ps_data_options *options,
                                               struct ps_dataset **dataset_out,
                                               struct ps_error *err);

#endif
