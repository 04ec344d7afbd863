/* A generated image set, for training with nothing installed: class patterns, shifted and noisy. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_WORKER_SYNTHETIC_H
#define PARAMD_WORKER_SYNTHETIC_H

#include <stdint.h>

#include "core/status.h"

struct ps_dataset;

enum {
    PS_SYNTHETIC_MAX_EXAMPLES = 10000000, /* 7.8 GB of pixels */
    PS_SYNTHETIC_TRAIN_COUNT = 20000,     /* the usual sizes: made in well under a second */
    PS_SYNTHETIC_TEST_COUNT = 4000
};

struct ps_synthetic_options {
    int32_t train_count; /* 1 to PS_SYNTHETIC_MAX_EXAMPLES, as test_count */
    int32_t test_count;
    uint64_t seed;
};

/* Images of 28x28 in 10 classes, as many of each as the counts allow. An example is a pure
 * function of seed, part and index: a larger set begins with the smaller one.
 * The set is the caller's: ps_dataset_destroy.
 * Errors: PS_INVALID_ARGUMENT (counts), PS_RESOURCE_EXHAUSTED. */
PS_MUST_CHECK enum ps_code ps_synthetic_create(const struct ps_synthetic_options *options,
                                               struct ps_dataset **dataset_out,
                                               struct ps_error *err);

#endif
