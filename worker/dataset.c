/* A labelled image set in memory: bytes as they came from the file, floats only batch by batch. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/dataset.h"

#include <stddef.h>
#include <stdio.h>

#include "core/alloc.h"

enum { GROUPED_BYTES = 16 }; /* "2,147,483,647" */

struct ps_dataset *ps_dataset_create(const char *source)
{
    struct ps_dataset *dataset = ps_alloc_zero(1, sizeof *dataset);
    if (dataset != NULL) { snprintf(dataset->source, sizeof dataset->source, "%s", source); }
    return dataset;
}

void ps_dataset_destroy(struct ps_dataset *dataset)
{
    if (dataset == NULL) { return; }
    ps_examples_clean(&dataset->train);
    ps_examples_clean(&dataset->test);
    ps_free(dataset);
}

enum ps_code ps_examples_init(struct ps_examples *examples, int32_t count, int feature_count,
                              struct ps_error *err)
{
    PS_ASSERT(count > 0 && feature_count > 0 && feature_count <= PS_DATASET_MAX_FEATURES);
    examples->pixels = ps_alloc_zero((size_t)count, (size_t)feature_count);
    examples->labels = ps_alloc_zero((size_t)count, 1);
    if (examples->pixels == NULL || examples->labels == NULL) {
        ps_examples_clean(examples);
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for %d examples of %d features",
                       (int)count, feature_count);
    }
    examples->count = count;
    return PS_OK;
}

void ps_examples_clean(struct ps_examples *examples)
{
    if (examples == NULL) { return; }
    ps_free(examples->pixels);
    ps_free(examples->labels);
    *examples = (struct ps_examples){ NULL, NULL, 0 };
}

void ps_examples_row(const struct ps_examples *examples, int feature_count, int32_t index,
                     float *row)
{
    PS_ASSERT(index >= 0 && index < examples->count);
    const uint8_t *pixels = examples->pixels + (size_t)index * (size_t)feature_count;
    for (int i = 0; i < feature_count; i++) { row[i] = (float)pixels[i] * (1.0F / 255.0F); }
}

/* 60000 as "60,000". */
static const char *group_thousands(int32_t count, char text[GROUPED_BYTES])
{
    char digits[GROUPED_BYTES];
    int length = snprintf(digits, sizeof digits, "%d", (int)count);
    int at = 0;
    for (int i = 0; i < length && at < GROUPED_BYTES - 2; i++) {
        if (i > 0 && (length - i) % 3 == 0) { text[at++] = ','; }
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

const char *ps_dataset_describe(const struct ps_dataset *dataset, char text[PS_DATASET_TEXT_BYTES])
{
    char train[GROUPED_BYTES];
    char test[GROUPED_BYTES];
    const char *open = dataset->note[0] == '\0' ? "" : " (";
    const char *close = dataset->note[0] == '\0' ? "" : ")";
    snprintf(text, PS_DATASET_TEXT_BYTES, "%s: %s train + %s test images %dx%d, %d classes%s%s%s",
             dataset->source, group_thousands(dataset->train.count, train),
             group_thousands(dataset->test.count, test), dataset->rows, dataset->columns,
             dataset->class_count, open, dataset->note, close);
    return text;
}
