/* One data file of a checkpoint, streamed: tensors and slices in, bytes and index rows out. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_BUNDLE_PART_H
#define PARAMD_CHECKPOINT_BUNDLE_PART_H

#include "checkpoint/bundle_rows.h"

struct ps_files;
struct ps_bundle_part;

/* A tensor or a slice of one about to be written. */
struct ps_bundle_tensor {
    const char *name;             /* UTF-8, 1 to PS_BUNDLE_NAME_BYTES_MAX bytes */
    enum ps_dtype dtype;          /* not PS_STRING, for which there is a call of its own */
    struct ps_shape shape;        /* of the whole tensor */
    const struct ps_slice *slice; /* which part of it; NULL: all */
};

/* What a save is called until it is complete: see bundle_names.h. */
struct ps_bundle_ticket {
    const struct ps_files *files;
    const char *prefix;
    uint64_t id; /* > 0; no other save of this prefix has or had it */
};

/* Creates PREFIX.part-NNNNN.tempstateID, in a directory that exists. ticket->files is borrowed
 * until the destroy. Threads: one at a time; different parts are independent. */
PS_MUST_CHECK enum ps_code ps_bundle_part_create(const struct ps_bundle_ticket *ticket,
                                                 uint32_t part_index,
                                                 struct ps_bundle_part **part_out,
                                                 struct ps_error *err);
/* Closes the file but leaves it: ps_bundle_abandon or the next sweep removes it. Takes NULL. */
void ps_bundle_part_destroy(struct ps_bundle_part *part);

/* A tensor: begin, any number of appends in row-major order, end. Memory does not depend on its
 * size. Errors: INVALID_ARGUMENT (name, dtype, shape, slice; more or fewer bytes than they say);
 * the file's. After an error the part is of no use. */
PS_MUST_CHECK enum ps_code ps_bundle_part_begin(struct ps_bundle_part *part,
                                                const struct ps_bundle_tensor *tensor,
                                                struct ps_error *err);
PS_MUST_CHECK enum ps_code ps_bundle_part_append(struct ps_bundle_part *part, const void *data,
                                                 size_t size_bytes, struct ps_error *err);
PS_MUST_CHECK enum ps_code ps_bundle_part_end(struct ps_bundle_part *part, struct ps_error *err);

/* A whole tensor of strings (any bytes), as many as shape has elements. */
PS_MUST_CHECK enum ps_code ps_bundle_part_strings(struct ps_bundle_part *part, const char *name,
                                                  const struct ps_shape *shape,
                                                  const struct ps_span *strings,
                                                  struct ps_error *err);

/* Writes out, syncs and closes: the bytes are then durable under the temporary name, and the rows
 * sorted and folded. */
PS_MUST_CHECK enum ps_code ps_bundle_part_finish(struct ps_bundle_part *part, struct ps_error *err);

/* Rows so far; borrowed. A part without rows must not become a shard. */
const struct ps_bundle_rows *ps_bundle_part_rows(const struct ps_bundle_part *part);
/* Bytes so far, for progress reports. */
uint64_t ps_bundle_part_size_bytes(const struct ps_bundle_part *part);

#endif
