/* Shapes, tensors in memory, and single elements as doubles. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/tensor.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"

/* Sixteen bytes is TensorFlow's widest element, so every size in bytes then fits int64. */
enum { WIDEST_ELEMENT_BYTES = 16 };

static int64_t product(const struct ps_shape *shape, int first)
{
    int64_t elements = 1;
    for (int i = first; i < shape->rank; i++) { elements *= shape->dims[i]; }
    return elements;
}

enum ps_code ps_shape_check(const struct ps_shape *shape, struct ps_error *err)
{
    char text[PS_SHAPE_TEXT_BYTES];
    if (shape->rank < 0 || shape->rank > PS_MAX_RANK) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "a shape has %d dimensions; 0 to %d are supported",
                       shape->rank, PS_MAX_RANK);
    }
    int64_t limit = INT64_MAX / WIDEST_ELEMENT_BYTES;
    for (int i = 0; i < shape->rank; i++) {
        int64_t dim = shape->dims[i];
        if (dim < 0) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "shape %s: dimension %d is negative; every size must be known",
                           ps_shape_format(shape, text), i);
        }
        /* A zero counts as one, so that no product of some of the dimensions overflows either. */
        limit /= dim == 0 ? 1 : dim;
    }
    if (limit == 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "shape %s has more elements than 64 bits can count",
                       ps_shape_format(shape, text));
    }
    return PS_OK;
}

int64_t ps_shape_elements(const struct ps_shape *shape)
{
    return product(shape, 0);
}

int64_t ps_shape_row_elements(const struct ps_shape *shape)
{
    return product(shape, 1);
}

int64_t ps_shape_rows(const struct ps_shape *shape)
{
    return shape->rank == 0 ? 1 : shape->dims[0];
}

bool ps_shape_equal(const struct ps_shape *a, const struct ps_shape *b)
{
    return a->rank == b->rank &&
           (a->rank == 0 || memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0);
}

const char *ps_shape_format(const struct ps_shape *shape, char text[PS_SHAPE_TEXT_BYTES])
{
    int rank = shape->rank < PS_MAX_RANK ? shape->rank : PS_MAX_RANK;
    int used = snprintf(text, PS_SHAPE_TEXT_BYTES, "[");
    for (int i = 0; i < rank; i++) { /* at most 8 * 21 bytes: always fits */
        used += snprintf(text + used, (size_t)(PS_SHAPE_TEXT_BYTES - used), "%s%" PRId64,
                         i == 0 ? "" : ",", shape->dims[i]);
    }
    snprintf(text + used, (size_t)(PS_SHAPE_TEXT_BYTES - used), "]");
    return text;
}

static const char *skip_spaces(const char *text)
{
    while (*text == ' ') { text++; }
    return text;
}

/* Reads decimal digits; NULL if there are none or they do not fit. */
static const char *read_dim(const char *text, int64_t *dim_out)
{
    int64_t dim = 0;
    if (!isdigit((unsigned char)*text)) { return NULL; }
    for (; isdigit((unsigned char)*text); text++) {
        int digit = *text - '0';
        if (dim > (INT64_MAX - digit) / 10) { return NULL; }
        dim = dim * 10 + digit;
    }
    *dim_out = dim;
    return skip_spaces(text);
}

/* "784,200" up to closing (']' or the end); NULL if it is no such list. */
static const char *read_dims(const char *at, char closing, struct ps_shape *shape)
{
    for (;;) {
        if (shape->rank == PS_MAX_RANK) { return NULL; }
        at = read_dim(skip_spaces(at), &shape->dims[shape->rank]);
        if (at == NULL) { return NULL; }
        shape->rank++;
        if (*at == closing) { return at; }
        if (*at++ != ',') { return NULL; }
    }
}

enum ps_code ps_shape_parse(const char *text, struct ps_shape *shape_out, struct ps_error *err)
{
    struct ps_shape shape = { 0 };
    *shape_out = shape;
    const char *at = skip_spaces(text);
    bool bracketed = *at == '[';
    if (bracketed) { at = skip_spaces(at + 1); }
    bool scalar = bracketed && *at == ']';
    if (!scalar) { at = read_dims(at, bracketed ? ']' : '\0', &shape); }
    if (at != NULL && bracketed) { at = skip_spaces(at + 1); }
    if (at == NULL || *at != '\0') {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "'%s' is no shape; expected up to %d sizes as in [784,200], or [] for a "
                       "scalar",
                       text, PS_MAX_RANK);
    }
    enum ps_code rc = ps_shape_check(&shape, err);
    if (rc == PS_OK) { *shape_out = shape; }
    return rc;
}

enum ps_code ps_tensor_init(struct ps_tensor *tensor, enum ps_dtype dtype,
                            const struct ps_shape *shape, struct ps_error *err)
{
    *tensor = (struct ps_tensor){ 0 };
    enum ps_code rc = ps_shape_check(shape, err);
    if (rc != PS_OK) { return rc; }
    int element_bytes = ps_dtype_size(dtype);
    if (element_bytes == 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "a tensor in memory cannot have the type %s",
                       ps_dtype_name((int)dtype));
    }
    size_t size_bytes = (size_t)ps_shape_elements(shape) * (size_t)element_bytes;
    void *data = NULL;
    if (size_bytes > 0) {
        char text[PS_SHAPE_TEXT_BYTES];
        data = ps_alloc_aligned(size_bytes);
        if (data == NULL) {
            return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a tensor %s%s of %zu bytes",
                           ps_dtype_name((int)dtype), ps_shape_format(shape, text), size_bytes);
        }
        memset(data, 0, size_bytes);
    }
    *tensor = (struct ps_tensor){
        .dtype = dtype, .shape = *shape, .size_bytes = size_bytes, .data = data
    };
    return PS_OK;
}

void ps_tensor_clean(struct ps_tensor *tensor)
{
    if (tensor == NULL) { return; }
    ps_free(tensor->data);
    *tensor = (struct ps_tensor){ 0 };
}

/* One row a type: C type, how it becomes a double, how a double becomes it. */
#define ELEMENT_TYPES(X)                                                                    \
    X(PS_FLOAT, float, (double)element, (float)value)                                       \
    X(PS_DOUBLE, double, element, value)                                                    \
    X(PS_HALF, uint16_t, (double)ps_half_to_float(element), ps_float_to_half((float)value)) \
    X(PS_BFLOAT16, uint16_t, (double)ps_bfloat16_to_float(element),                         \
      ps_float_to_bfloat16((float)value))                                                   \
    X(PS_INT8, int8_t, (double)element, (int8_t)to_signed(value, 7))                        \
    X(PS_INT16, int16_t, (double)element, (int16_t)to_signed(value, 15))                    \
    X(PS_INT32, int32_t, (double)element, (int32_t)to_signed(value, 31))                    \
    X(PS_INT64, int64_t, (double)element, to_signed(value, 63))                             \
    X(PS_UINT8, uint8_t, (double)element, (uint8_t)to_unsigned(value, 8))                   \
    X(PS_UINT16, uint16_t, (double)element, (uint16_t)to_unsigned(value, 16))               \
    X(PS_UINT32, uint32_t, (double)element, (uint32_t)to_unsigned(value, 32))               \
    X(PS_UINT64, uint64_t, (double)element, to_unsigned(value, 64))                         \
    X(PS_BOOL, uint8_t, element != 0 ? 1.0 : 0.0, value != 0.0)

/* To the nearest integer within [-2^bits, 2^bits); NaN becomes 0. */
static int64_t to_signed(double value, int bits)
{
    double limit = ldexp(1.0, bits);
    double nearest = rint(value);
    int64_t highest = (int64_t)(UINT64_MAX >> (64 - bits));
    if (isnan(value)) { return 0; }
    if (nearest >= limit) { return highest; }
    return nearest < -limit ? -highest - 1 : (int64_t)nearest;
}

/* To the nearest integer within [0, 2^bits); NaN becomes 0. */
static uint64_t to_unsigned(double value, int bits)
{
    double nearest = rint(value);
    if (!(nearest > 0.0)) { return 0; }
    return nearest >= ldexp(1.0, bits) ? UINT64_MAX >> (64 - bits) : (uint64_t)nearest;
}

double ps_element_get(enum ps_dtype dtype, const void *data, int64_t index)
{
    switch (dtype) {
#define ELEMENT_GET(number, type, as_double, as_element)                                          \
    case number: {                                                                                \
        type element;                                                                             \
        memcpy(&element, (const uint8_t *)data + (size_t)index * sizeof element, sizeof element); \
        return as_double;                                                                         \
    }
        ELEMENT_TYPES(ELEMENT_GET)
#undef ELEMENT_GET
    case PS_DTYPE_INVALID:
    case PS_STRING: break;
    }
    PS_ASSERT(ps_dtype_size(dtype) > 0); /* no such element exists */
    return 0.0;
}

void ps_element_set(enum ps_dtype dtype, void *data, int64_t index, double value)
{
    switch (dtype) {
#define ELEMENT_SET(number, type, as_double, as_element)                                    \
    case number: {                                                                          \
        type element = as_element;                                                          \
        memcpy((uint8_t *)data + (size_t)index * sizeof element, &element, sizeof element); \
        return;                                                                             \
    }
        ELEMENT_TYPES(ELEMENT_SET)
#undef ELEMENT_SET
    case PS_DTYPE_INVALID:
    case PS_STRING: break;
    }
    PS_ASSERT(ps_dtype_size(dtype) > 0); /* no such element exists */
}
