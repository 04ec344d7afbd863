/* One worker's batches: its share of the examples, shuffled anew each epoch, from any position. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/batches.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "core/alloc.h"
#include "core/philox.h"
#include "worker/dataset.h"

enum {
    POSITION_VERSION = 1,
    EPOCH_INDEX_BITS = 40 /* random numbers an epoch may draw: far above one an example */
};

static const uint8_t POSITION_MAGIC[4] = { 'P', 'S', 'B', POSITION_VERSION };

struct ps_batches {
    /* set by create, never changed */
    struct ps_examples examples; /* borrowed pointers */
    int feature_count;
    int32_t worker;
    int32_t worker_count;
    int32_t share;
    uint64_t seed;
    /* moves with the batches */
    uint64_t epoch;
    int32_t offset; /* examples of this epoch's share already given; below share */
    bool shuffled;  /* order is that of epoch */
    int32_t *order; /* all examples, shuffled; this worker's are at worker + k * worker_count */
};

static enum ps_code check_options(const struct ps_batches_options *options, struct ps_error *err)
{
    if (options->worker_count < 1 || options->worker < 0 ||
        options->worker >= options->worker_count) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "batches: worker %d of %d; workers are numbered from 0 to their count - 1",
                       options->worker, options->worker_count);
    }
    if (options->examples->count < options->worker_count) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "batches: %d examples cannot be shared by %d workers. Start fewer workers",
                       (int)options->examples->count, options->worker_count);
    }
    return PS_OK;
}

enum ps_code ps_batches_create(const struct ps_batches_options *options,
                               struct ps_batches **batches_out, struct ps_error *err)
{
    *batches_out = NULL;
    enum ps_code rc = check_options(options, err);
    if (rc != PS_OK) { return rc; }

    struct ps_batches *batches = ps_alloc_zero(1, sizeof *batches);
    int32_t count = options->examples->count;
    int32_t *order = ps_alloc_zero((size_t)count, sizeof *order);
    if (batches == NULL || order == NULL) {
        ps_free(batches);
        ps_free(order);
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to shuffle %d examples", (int)count);
    }
    batches->examples = *options->examples;
    batches->feature_count = options->feature_count;
    batches->worker = options->worker;
    batches->worker_count = options->worker_count;
    batches->share = (count - 1 - options->worker) / options->worker_count + 1;
    batches->seed = options->seed;
    batches->order = order;
    *batches_out = batches;
    return PS_OK;
}

void ps_batches_destroy(struct ps_batches *batches)
{
    if (batches == NULL) { return; }
    ps_free(batches->order);
    ps_free(batches);
}

/* Fisher and Yates, always from the identity: an epoch's order does not depend on the one before,
 * so that a position leads straight to it. */
static void shuffle(struct ps_batches *batches)
{
    struct ps_rng rng = ps_rng_make(batches->seed, PS_STREAM_SHUFFLE);
    rng.next_index = batches->epoch << EPOCH_INDEX_BITS;
    int32_t *order = batches->order;
    for (int32_t i = 0; i < batches->examples.count; i++) { order[i] = i; }
    for (int32_t i = batches->examples.count - 1; i > 0; i--) {
        int32_t other = (int32_t)ps_rng_below(&rng, (uint64_t)i + 1);
        int32_t kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
    batches->shuffled = true;
}

static int32_t next_example(struct ps_batches *batches)
{
    if (!batches->shuffled) { shuffle(batches); }
    size_t at = (size_t)batches->offset * (size_t)batches->worker_count + (size_t)batches->worker;
    int32_t example = batches->order[at];
    batches->offset++;
    if (batches->offset == batches->share) {
        batches->offset = 0;
        batches->epoch++;
        batches->shuffled = false;
    }
    return example;
}

void ps_batches_next(struct ps_batches *batches, int count, float *rows, uint8_t *labels)
{
    for (int i = 0; i < count; i++) {
        int32_t example = next_example(batches);
        ps_examples_row(&batches->examples, batches->feature_count, example,
                        rows + (size_t)i * (size_t)batches->feature_count);
        labels[i] = batches->examples.labels[example];
    }
}

static uint8_t *put(uint8_t *out, uint64_t value, int size)
{
    for (int i = 0; i < size; i++) { out[i] = (uint8_t)(value >> (8 * i)); }
    return out + size;
}

static uint64_t get(const uint8_t **in, int size)
{
    uint64_t value = 0;
    for (int i = 0; i < size; i++) { value |= (uint64_t)(*in)[i] << (8 * i); }
    *in += size;
    return value;
}

void ps_batches_position(const struct ps_batches *batches,
                         uint8_t position[PS_BATCHES_POSITION_BYTES])
{
    uint8_t *out = position;
    memcpy(out, POSITION_MAGIC, sizeof POSITION_MAGIC);
    out = put(out + sizeof POSITION_MAGIC, (uint64_t)batches->worker, 4);
    out = put(out, (uint64_t)batches->worker_count, 4);
    out = put(out, (uint64_t)batches->examples.count, 8);
    out = put(out, batches->seed, 8);
    out = put(out, batches->epoch, 8);
    out = put(out, (uint64_t)batches->offset, 8);
    uint32_t crc = ps_crc32c(0, position, (size_t)(out - position));
    out = put(out, crc, 4);
    PS_ASSERT(out == position + PS_BATCHES_POSITION_BYTES);
}

/* Whether the bytes are a position of this version at all. */
static enum ps_code check_position(struct ps_span position, struct ps_error *err)
{
    size_t name_size = sizeof POSITION_MAGIC - 1;
    if (position.size < sizeof POSITION_MAGIC ||
        memcmp(position.data, POSITION_MAGIC, name_size) != 0) {
        return ps_fail(err, PS_DATA_LOSS, "data position: %zu bytes that are no position of ours",
                       position.size);
    }
    if (position.data[name_size] != POSITION_VERSION) {
        return ps_fail(err, PS_UNIMPLEMENTED,
                       "data position: version %d; this program reads version %d",
                       position.data[name_size], POSITION_VERSION);
    }
    if (position.size != PS_BATCHES_POSITION_BYTES) {
        return ps_fail(err, PS_DATA_LOSS, "data position: %d bytes expected, %zu found",
                       PS_BATCHES_POSITION_BYTES, position.size);
    }
    const uint8_t *crc = position.data + PS_BATCHES_POSITION_BYTES - 4;
    if (ps_crc32c(0, position.data, PS_BATCHES_POSITION_BYTES - 4) != get(&crc, 4)) {
        return ps_fail(err, PS_DATA_LOSS, "data position: its checksum does not match");
    }
    return PS_OK;
}

static void move_to(struct ps_batches *batches, uint64_t epoch, int32_t offset)
{
    batches->shuffled = batches->shuffled && batches->epoch == epoch;
    batches->epoch = epoch;
    batches->offset = offset;
}

enum ps_code ps_batches_seek(struct ps_batches *batches, struct ps_span position,
                             struct ps_error *err)
{
    if (position.size == 0) {
        move_to(batches, 0, 0);
        return PS_OK;
    }
    enum ps_code rc = check_position(position, err);
    if (rc != PS_OK) { return rc; }

    const uint8_t *in = position.data + sizeof POSITION_MAGIC;
    uint64_t worker = get(&in, 4);
    uint64_t worker_count = get(&in, 4);
    uint64_t count = get(&in, 8);
    uint64_t seed = get(&in, 8);
    uint64_t epoch = get(&in, 8);
    uint64_t offset = get(&in, 8);
    if (worker != (uint64_t)batches->worker || worker_count != (uint64_t)batches->worker_count ||
        count != (uint64_t)batches->examples.count || seed != batches->seed) {
        return ps_fail(err, PS_FAILED_PRECONDITION,
                       "data position: it is of worker %llu of %llu with %llu examples and seed "
                       "%llu, but this is worker %d of %d with %d examples and seed %llu. Start "
                       "with the same data, seed and number of workers",
                       (unsigned long long)worker, (unsigned long long)worker_count,
                       (unsigned long long)count, (unsigned long long)seed, (int)batches->worker,
                       (int)batches->worker_count, (int)batches->examples.count,
                       (unsigned long long)batches->seed);
    }
    if (offset >= (uint64_t)batches->share) {
        return ps_fail(err, PS_DATA_LOSS, "data position: offset %llu in a share of %d examples",
                       (unsigned long long)offset, (int)batches->share);
    }
    move_to(batches, epoch, (int32_t)offset);
    return PS_OK;
}

uint64_t ps_batches_epoch(const struct ps_batches *batches)
{
    return batches->epoch;
}

int32_t ps_batches_share(const struct ps_batches *batches)
{
    return batches->share;
}
