/* Slices: boxes of a tensor, how they meet, and how they are told to people. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_SLICE_H
#define PARAMD_CHECKPOINT_SLICE_H

#include <stdbool.h>

#include "core/tensor.h"

/* A box of a tensor: in each dimension `length` indices from `start` on. */
struct ps_slice {
    int rank;
    struct {
        int64_t start;
        int64_t length; /* PS_SLICE_FULL: the whole dimension, and then start is 0 */
    } extents[PS_MAX_RANK];
};

enum { PS_SLICE_FULL = -1, PS_SLICE_TEXT_BYTES = 384 };

/* All of shape, with explicit lengths; and rows of it (rank 1 or more). */
struct ps_slice ps_slice_whole(const struct ps_shape *shape);
struct ps_slice ps_slice_of_rows(const struct ps_shape *shape, struct ps_rows rows);

/* INVALID_ARGUMENT unless slice has shape's rank and lies inside it, with no empty extent but where
 * the dimension itself is empty. */
PS_MUST_CHECK enum ps_code ps_slice_check(const struct ps_slice *slice,
                                          const struct ps_shape *shape, struct ps_error *err);

/* The same box with every length explicit. The slice was checked against shape. */
struct ps_slice ps_slice_resolve(const struct ps_slice *slice, const struct ps_shape *shape);

/* For resolved slices. */
bool ps_slice_covers(const struct ps_slice *slice, const struct ps_shape *shape);
struct ps_shape ps_slice_shape(const struct ps_slice *slice);
/* False, and *common_out untouched, if they share no element. */
bool ps_slice_intersect(const struct ps_slice *a, const struct ps_slice *b,
                        struct ps_slice *common_out);

/* INTERNAL "Overlapping slices: ..." if two of the slices share an element. Takes memory for an
 * array of count pointers, and time of count * log(count) for slices along one axis. */
PS_MUST_CHECK enum ps_code ps_slice_check_disjoint(const struct ps_slice *slices, size_t count,
                                                   const struct ps_shape *shape,
                                                   struct ps_error *err);

/* TensorFlow's form: "3,2:0,2", "-" for a full dimension; returns text. */
const char *ps_slice_format(const struct ps_slice *slice, char text[PS_SLICE_TEXT_BYTES]);

#endif
