/* Boxes of a tensor: whole, rows, intersections, overlaps. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/slice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

struct ps_slice ps_slice_whole(const struct ps_shape *shape)
{
    struct ps_slice slice = { .rank = shape->rank };
    for (int i = 0; i < shape->rank; i++) { slice.extents[i].length = shape->dims[i]; }
    return slice;
}

struct ps_slice ps_slice_of_rows(const struct ps_shape *shape, struct ps_rows rows)
{
    struct ps_slice slice = ps_slice_whole(shape);
    if (slice.rank > 0) {
        slice.extents[0].start = rows.start;
        slice.extents[0].length = rows.count;
    }
    return slice;
}

enum ps_code ps_slice_check(const struct ps_slice *slice, const struct ps_shape *shape,
                            struct ps_error *err)
{
    char slice_text[PS_SLICE_TEXT_BYTES], shape_text[PS_SHAPE_TEXT_BYTES];
    bool is_good = slice->rank == shape->rank;
    for (int i = 0; is_good && i < slice->rank; i++) {
        int64_t start = slice->extents[i].start;
        int64_t length = slice->extents[i].length;
        int64_t dim = shape->dims[i];
        bool is_full = start == 0 && (length == PS_SLICE_FULL || length == dim);
        is_good = is_full || (start >= 0 && length > 0 && length <= dim && start <= dim - length);
    }
    if (is_good) { return PS_OK; }
    return ps_fail(err, PS_INVALID_ARGUMENT, "slice %s does not lie in shape %s",
                   ps_slice_format(slice, slice_text), ps_shape_format(shape, shape_text));
}

struct ps_slice ps_slice_resolve(const struct ps_slice *slice, const struct ps_shape *shape)
{
    struct ps_slice resolved = *slice;
    for (int i = 0; i < slice->rank; i++) {
        if (slice->extents[i].length == PS_SLICE_FULL) {
            resolved.extents[i].length = shape->dims[i];
        }
    }
    return resolved;
}

bool ps_slice_covers(const struct ps_slice *slice, const struct ps_shape *shape)
{
    for (int i = 0; i < slice->rank; i++) {
        if (slice->extents[i].length != shape->dims[i]) { return false; }
    }
    return true;
}

struct ps_shape ps_slice_shape(const struct ps_slice *slice)
{
    struct ps_shape shape = { .rank = slice->rank };
    for (int i = 0; i < slice->rank; i++) { shape.dims[i] = slice->extents[i].length; }
    return shape;
}

bool ps_slice_intersect(const struct ps_slice *a, const struct ps_slice *b,
                        struct ps_slice *common_out)
{
    struct ps_slice common = { .rank = a->rank };
    for (int i = 0; i < a->rank; i++) {
        int64_t a_end = a->extents[i].start + a->extents[i].length;
        int64_t b_end = b->extents[i].start + b->extents[i].length;
        int64_t start = a->extents[i].start;
        if (b->extents[i].start > start) { start = b->extents[i].start; }
        common.extents[i].start = start;
        common.extents[i].length = (a_end < b_end ? a_end : b_end) - start;
        if (common.extents[i].length <= 0) { return false; }
    }
    *common_out = common;
    return true;
}

/* The axis along which the slices begin at different places; 0 if there is none. */
static int sweep_axis(const struct ps_slice *slices, size_t count)
{
    for (int axis = 0; axis < slices[0].rank; axis++) {
        for (size_t i = 1; i < count; i++) {
            if (slices[i].extents[axis].start != slices[0].extents[axis].start) { return axis; }
        }
    }
    return 0;
}

struct sweep_item {
    int64_t start;
    const struct ps_slice *slice;
};

static int compare_items(const void *a, const void *b)
{
    int64_t left = ((const struct sweep_item *)a)->start;
    int64_t right = ((const struct sweep_item *)b)->start;
    return (left > right) - (left < right);
}

static enum ps_code overlap(const struct ps_slice *a, const struct ps_slice *b,
                            struct ps_error *err)
{
    char a_text[PS_SLICE_TEXT_BYTES], b_text[PS_SLICE_TEXT_BYTES];
    return ps_fail(err, PS_INTERNAL, "Overlapping slices: existing slice = %s, new slice = %s",
                   ps_slice_format(a, a_text), ps_slice_format(b, b_text));
}

/* Sweeps along axis: a slice can meet only those that begin before it ends. */
static enum ps_code sweep(const struct sweep_item *items, size_t count,
                          const struct ps_shape *shape, int axis, struct ps_error *err)
{
    struct ps_slice common;
    for (size_t i = 0; i < count; i++) {
        struct ps_slice a = ps_slice_resolve(items[i].slice, shape);
        int64_t end = a.rank == 0 ? 1 : a.extents[axis].start + a.extents[axis].length;
        for (size_t j = i + 1; j < count && items[j].start < end; j++) {
            struct ps_slice b = ps_slice_resolve(items[j].slice, shape);
            if (ps_slice_intersect(&a, &b, &common)) { return overlap(&a, &b, err); }
        }
    }
    return PS_OK;
}

enum ps_code ps_slice_check_disjoint(const struct ps_slice *slices, size_t count,
                                     const struct ps_shape *shape, struct ps_error *err)
{
    if (count < 2) { return PS_OK; }
    struct sweep_item *items = ps_alloc_zero(count, sizeof *items);
    if (items == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to compare %zu slices", count);
    }
    int axis = sweep_axis(slices, count);
    for (size_t i = 0; i < count; i++) {
        items[i].start = slices[i].rank == 0 ? 0 : slices[i].extents[axis].start;
        items[i].slice = &slices[i];
    }
    qsort(items, count, sizeof *items, compare_items);
    enum ps_code rc = sweep(items, count, shape, axis, err);
    ps_free(items);
    return rc;
}

const char *ps_slice_format(const struct ps_slice *slice, char text[PS_SLICE_TEXT_BYTES])
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < slice->rank; i++) {
        const char *colon = i == 0 ? "" : ":";
        char *at = text + used;
        size_t left = PS_SLICE_TEXT_BYTES - used;
        int length = slice->extents[i].length == PS_SLICE_FULL
                         ? snprintf(at, left, "%s-", colon)
                         : snprintf(at, left, "%s%lld,%lld", colon,
                                    (long long)slice->extents[i].start,
                                    (long long)slice->extents[i].length);
        used += (size_t)length; /* 8 dimensions of 2 * 20 digits fit */
    }
    return text;
}
