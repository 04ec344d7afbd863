/* Shapes, row slices of them, and tensors in memory: row-major, contiguous, little-endian. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CORE_TENSOR_H
#define PARAMD_CORE_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/dtype.h"
#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PS_MAX_RANK = 8, PS_SHAPE_TEXT_BYTES = 192 };

struct ps_shape {
    int rank; /* 0: a scalar, one element */
    int64_t dims[PS_MAX_RANK];
};

/* Checks rank and dimensions (0 <= each) and that elements * 16 fits int64.
 * INVALID_ARGUMENT names the shape. */
PS_MUST_CHECK enum ps_code ps_shape_check(const struct ps_shape *shape, struct ps_error *err);

/* Product of the dimensions; 1 for a scalar. The shape was checked. */
int64_t ps_shape_elements(const struct ps_shape *shape);
/* Elements of one row (all dimensions but the first); 1 for rank 0 and 1. */
int64_t ps_shape_row_elements(const struct ps_shape *shape);
/* First dimension; 1 for a scalar. */
int64_t ps_shape_rows(const struct ps_shape *shape);
bool ps_shape_equal(const struct ps_shape *a, const struct ps_shape *b);

/* "[784,200]", "[]"; returns text. */
const char *ps_shape_format(const struct ps_shape *shape, char text[PS_SHAPE_TEXT_BYTES]);
/* Reads "[784,200]" or "784,200". */
PS_MUST_CHECK enum ps_code ps_shape_parse(const char *text, struct ps_shape *shape_out,
                                          struct ps_error *err);

/* Rows [start, start + count) of a whole variable: one slice on one ps task. A scalar has
 * start 0, count 1. */
struct ps_rows {
    int64_t start;
    int64_t count;
};

/* A tensor that owns its bytes (64-byte aligned). Zero-initialise; ps_tensor_clean when done. */
struct ps_tensor {
    enum ps_dtype dtype;
    struct ps_shape shape;
    size_t size_bytes;
    void *data; /* NULL only if size_bytes is 0 */
};

PS_MUST_CHECK enum ps_code ps_tensor_init(struct ps_tensor *tensor, enum ps_dtype dtype,
                                          const struct ps_shape *shape, struct ps_error *err);
void ps_tensor_clean(struct ps_tensor *tensor);

/* Element at index as a double, and a double stored as an element (rounded, saturated to the
 * type's range). For tools and initializers, not for hot paths. data may be unaligned. */
double ps_element_get(enum ps_dtype dtype, const void *data, int64_t index);
void ps_element_set(enum ps_dtype dtype, void *data, int64_t index, double value);

#ifdef __cplusplus
}
#endif

#endif
