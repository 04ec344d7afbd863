/* A labelled image set in memory: bytes as they came from the file, floats only batch by batch. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_WORKER_DATASET_H
#define PARAMD_WORKER_DATASET_H

#include <stdint.h>

#include "core/status.h"

enum {
    PS_DATASET_MAX_CLASSES = 256,        /* labels are bytes */
    PS_DATASET_MAX_FEATURES = 1 << 24,   /* also the widest layer of a model */
    PS_DATASET_MAX_EXAMPLES = INT32_MAX, /* indices are int32_t */
    PS_DATASET_SOURCE_BYTES = 256,
    PS_DATASET_NOTE_BYTES = 32,
    PS_DATASET_TEXT_BYTES = 512
};

/* One part of a set. pixels: count rows of feature_count bytes, 0 black to 255 white. */
struct ps_examples {
    uint8_t *pixels;
    uint8_t *labels;
    int32_t count;
};

struct ps_dataset {
    struct ps_examples train;
    struct ps_examples test;
    int rows;
    int columns;
    int feature_count;                    /* rows * columns */
    int class_count;                      /* every label is below it */
    char source[PS_DATASET_SOURCE_BYTES]; /* "fashion-mnist", "synthetic" or a directory */
    char note[PS_DATASET_NOTE_BYTES];     /* "checked", "seed 7" or "" */
};

/* An empty set from source (copied, cut to the field). NULL when out of memory. */
struct ps_dataset *ps_dataset_create(const char *source);
void ps_dataset_destroy(struct ps_dataset *dataset);

/* Room for count examples in an empty part. RESOURCE_EXHAUSTED when out of memory.
 * count and feature_count are within the limits above. */
PS_MUST_CHECK enum ps_code ps_examples_init(struct ps_examples *examples, int32_t count,
                                            int feature_count, struct ps_error *err);
void ps_examples_clean(struct ps_examples *examples);

/* Example index as feature_count floats in [0,1]. Threads: any, while nobody writes the set. */
void ps_examples_row(const struct ps_examples *examples, int feature_count, int32_t index,
                     float *row);

/* "fashion-mnist: 60,000 train + 10,000 test images 28x28, 10 classes (checked)"; returns text. */
const char *ps_dataset_describe(const struct ps_dataset *dataset, char text[PS_DATASET_TEXT_BYTES]);

#endif
