/* Reads a run of a tensor's elements, counted row-major, whatever way it was sliced. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_BUNDLE_RANGE_H
#define PARAMD_CHECKPOINT_BUNDLE_RANGE_H

#include "checkpoint/bundle_reader.h"

/* The largest box of a tensor of this shape that begins with element first and has at most count
 * elements, one after another in row-major order. first < elements of the shape, count > 0.
 * Returns how many elements it has, at least 1. */
int64_t ps_bundle_range_box(const struct ps_shape *shape, int64_t first, int64_t count,
                            struct ps_slice *box_out);

/* Reads elements [first, first + count) of name, whose full shape and dtype are these, to out.
 * A tensor can be read so in pieces of any size, each box of which is one ps_bundle_reader_read.
 * Errors: OUT_OF_RANGE; those of ps_bundle_reader_read. */
PS_MUST_CHECK enum ps_code ps_bundle_range_read(struct ps_bundle_reader *reader,
                                                const struct ps_bundle_info *tensor, int64_t first,
                                                int64_t count, void *out, struct ps_error *err);

#endif
