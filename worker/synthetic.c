/* A generated image set, for training with nothing installed: class patterns, shifted and noisy. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/synthetic.h"

#include <stddef.h>
#include <stdio.h>

#include "core/philox.h"
#include "worker/dataset.h"

/* A pattern is a grid of grey cells; the image shows it shifted by a few pixels, round the edge,
 * under noise nearly as strong. Shifts make neighbouring pixels worth learning from; without them
 * one layer and a handful of steps would do. */
enum {
    SIDE = 28,
    CELL = 4, /* pixels a side */
    GRID = SIDE / CELL,
    FEATURES = SIDE * SIDE,
    CLASSES = 10,
    SHIFT = 2,              /* -2 to 2 pixels either way */
    PATTERN_CONTRAST = 110, /* cells lie within 128 +- 55 */
    NOISE_SPAN = 200,       /* a pixel moves by up to +- 100 */
    BLOCK_BYTES = 16,       /* random bytes a Philox block gives */
    BLOCKS = 64             /* of an example: 49 for noise, the last for its shift */
};

/* Where each use begins in the stream; the gaps are wider than any use. */
static const uint64_t TEST_INDEX = UINT64_C(1) << 40;
static const uint64_t PATTERN_INDEX = UINT64_C(1) << 41;

static int random_byte(const struct ps_philox_block *block, int index)
{
    return (int)(block->word[index / 4] >> (8 * (index % 4)) & 0xff);
}

static void make_patterns(uint64_t seed, int patterns[CLASSES][GRID][GRID])
{
    uint64_t index = PATTERN_INDEX;
    for (int label = 0; label < CLASSES; label++) {
        for (int cell = 0; cell < GRID * GRID; cell++) {
            struct ps_philox_block block = ps_philox(seed, PS_STREAM_SYNTHETIC, index++);
            patterns[label][cell / GRID][cell % GRID] = 128 + (random_byte(&block, 0) - 128) *
                                                                  PATTERN_CONTRAST / 256;
        }
    }
}

static uint8_t clamp(int value)
{
    if (value < 0) { return 0; }
    return value > 255 ? 255 : (uint8_t)value;
}

/* pattern's cell under a pixel that shift moved: positions wrap round. */
static int shifted_cell(int position, int shift)
{
    return (position + shift + SIDE) % SIDE / CELL;
}

static void make_image(uint64_t seed, uint64_t first_block, int pattern[GRID][GRID],
                       uint8_t *pixels)
{
    struct ps_philox_block block = ps_philox(seed, PS_STREAM_SYNTHETIC, first_block + BLOCKS - 1);
    int down = random_byte(&block, 0) % (2 * SHIFT + 1) - SHIFT;
    int right = random_byte(&block, 4) % (2 * SHIFT + 1) - SHIFT;
    for (int i = 0; i < FEATURES; i++) {
        if (i % BLOCK_BYTES == 0) {
            uint64_t index = first_block + (uint64_t)(i / BLOCK_BYTES);
            block = ps_philox(seed, PS_STREAM_SYNTHETIC, index);
        }
        int grey = pattern[shifted_cell(i / SIDE, down)][shifted_cell(i % SIDE, right)];
        int noise = (random_byte(&block, i % BLOCK_BYTES) - 128) * NOISE_SPAN / 256;
        pixels[i] = clamp(grey + noise);
    }
}

static void fill(uint64_t seed, uint64_t first_index, int patterns[CLASSES][GRID][GRID],
                 struct ps_examples *examples)
{
    for (int32_t i = 0; i < examples->count; i++) {
        int label = i % CLASSES;
        examples->labels[i] = (uint8_t)label;
        make_image(seed, first_index + (uint64_t)i * BLOCKS, patterns[label],
                   examples->pixels + (size_t)i * FEATURES);
    }
}

static enum ps_code check_count(const char *part, int32_t count, struct ps_error *err)
{
    if (count >= 1 && count <= PS_SYNTHETIC_MAX_EXAMPLES) { return PS_OK; }
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "synthetic data: %d %s examples asked for; give 1 to %d", (int)count, part,
                   PS_SYNTHETIC_MAX_EXAMPLES);
}

enum ps_code ps_synthetic_create(const struct ps_synthetic_options *options,
                                 struct ps_dataset **dataset_out, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    int patterns[CLASSES][GRID][GRID];
    struct ps_dataset *dataset = NULL;
    *dataset_out = NULL;

    PS_TRY(fail, rc, check_count("train", options->train_count, err));
    PS_TRY(fail, rc, check_count("test", options->test_count, err));
    dataset = ps_dataset_create("synthetic");
    if (dataset == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a data set"); }
    PS_TRY(fail, rc, ps_examples_init(&dataset->train, options->train_count, FEATURES, err));
    PS_TRY(fail, rc, ps_examples_init(&dataset->test, options->test_count, FEATURES, err));

    dataset->rows = SIDE;
    dataset->columns = SIDE;
    dataset->feature_count = FEATURES;
    dataset->class_count = CLASSES;
    snprintf(dataset->note, sizeof dataset->note, "seed %llu", (unsigned long long)options->seed);
    make_patterns(options->seed, patterns);
    fill(options->seed, 0, patterns, &dataset->train);
    fill(options->seed, TEST_INDEX, patterns, &dataset->test);
    *dataset_out = dataset;
    return PS_OK;
fail:
    ps_dataset_destroy(dataset);
    return rc;
}
