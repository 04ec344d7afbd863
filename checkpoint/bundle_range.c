/* A run of elements as few boxes: part of a row, whole rows, part of a row, in each dimension. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/bundle_range.h"

#include <inttypes.h>

int64_t ps_bundle_range_box(const struct ps_shape *shape, int64_t first, int64_t count,
                            struct ps_slice *box_out)
{
    struct ps_slice box = { .rank = shape->rank };
    int64_t inner = ps_shape_elements(shape); /* elements under one index of dimension dim */
    int dim = 0;
    for (; dim < shape->rank; dim++) {
        inner /= shape->dims[dim];
        box.extents[dim].start = first / inner % shape->dims[dim];
        box.extents[dim].length = 1;
        if (first % inner == 0 && count >= inner) { break; }
    }
    if (dim == shape->rank) { /* a scalar */
        *box_out = box;
        return 1;
    }
    int64_t room = shape->dims[dim] - box.extents[dim].start;
    box.extents[dim].length = count / inner < room ? count / inner : room;
    int64_t taken = box.extents[dim].length * inner;
    for (dim++; dim < shape->rank; dim++) {
        box.extents[dim].start = 0;
        box.extents[dim].length = shape->dims[dim];
    }
    *box_out = box;
    return taken;
}

enum ps_code ps_bundle_range_read(struct ps_bundle_reader *reader,
                                  const struct ps_bundle_info *tensor, int64_t first, int64_t count,
                                  void *out, struct ps_error *err)
{
    int64_t all = ps_shape_elements(&tensor->shape);
    size_t element_bytes = (size_t)ps_dtype_size((enum ps_dtype)tensor->dtype);
    uint8_t *at = out;
    if (first < 0 || count < 0 || first > all || count > all - first) {
        return ps_fail(err, PS_OUT_OF_RANGE,
                       "elements %" PRId64 " to %" PRId64 " of '%s', which has %" PRId64, first,
                       first + count, tensor->name, all);
    }
    while (count > 0) {
        struct ps_slice box;
        int64_t taken = ps_bundle_range_box(&tensor->shape, first, count, &box);
        const struct ps_bundle_request request = { .name = tensor->name,
                                                   .dtype = (enum ps_dtype)tensor->dtype,
                                                   .slice = &box };
        size_t size_bytes = (size_t)taken * element_bytes;
        enum ps_code rc = ps_bundle_reader_read(reader, &request, at, size_bytes, err);
        if (rc != PS_OK) { return rc; }
        at += size_bytes;
        first += taken;
        count -= taken;
    }
    return PS_OK;
}
