/* One worker's batches: its share of the examples, shuffled anew each epoch, from any position. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_WORKER_BATCHES_H
#define PARAMD_WORKER_BATCHES_H

#include <stdint.h>

#include "core/bytes.h"
#include "core/status.h"

struct ps_examples;

/* An encoded position: little-endian. Part of what checkpoints hold, so an order of bytes, or of
 * examples, that changes takes a new version. */
enum { PS_BATCHES_POSITION_BYTES = 48 };

struct ps_batches_options {
    const struct ps_examples *examples; /* borrowed until ps_batches_destroy */
    int feature_count;
    int worker;       /* 0 <= worker < worker_count */
    int worker_count; /* at most one worker an example */
    uint64_t seed;    /* the same in every worker */
};

/* Each epoch shuffles all examples and deals them out: worker i of n has every n-th from the i-th
 * on. So in each epoch the shares are disjoint, together they are all examples, and their sizes
 * differ by one at most; which examples a worker sees changes from epoch to epoch. Workers need
 * not be in the same epoch. Threads: one at a time. */
struct ps_batches;

/* Starts before the first batch of epoch 0.
 * Errors: PS_INVALID_ARGUMENT (worker, counts), PS_RESOURCE_EXHAUSTED. */
PS_MUST_CHECK enum ps_code ps_batches_create(const struct ps_batches_options *options,
                                             struct ps_batches **batches_out, struct ps_error *err);
void ps_batches_destroy(struct ps_batches *batches);

/* The next count examples: rows takes count * feature_count floats in [0,1], labels count bytes.
 * Batches are always full: one that reaches the end of an epoch goes on into the next. */
void ps_batches_next(struct ps_batches *batches, int count, float *rows, uint8_t *labels);

/* Where the next batch begins, i.e. the position after the last one. Travels with the push of that
 * batch's gradients; ps_batches_seek to it gives the very next batch. Batch sizes may differ. */
void ps_batches_position(const struct ps_batches *batches,
                         uint8_t position[PS_BATCHES_POSITION_BYTES]);

/* Goes on at a position; no bytes at all mean the beginning. On failure nothing changes.
 * Errors: PS_DATA_LOSS (not a position), PS_UNIMPLEMENTED (a newer version's),
 * PS_FAILED_PRECONDITION (of another worker, worker count, seed or data set). */
PS_MUST_CHECK enum ps_code ps_batches_seek(struct ps_batches *batches, struct ps_span position,
                                           struct ps_error *err);

/* Epochs completed so far, and examples an epoch has for this worker. */
uint64_t ps_batches_epoch(const struct ps_batches *batches);
int32_t ps_batches_share(const struct ps_batches *batches);

#endif
