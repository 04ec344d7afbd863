/* Reads a checkpoint: what it holds, and any part of it from whatever slices were stored. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_BUNDLE_READER_H
#define PARAMD_CHECKPOINT_BUNDLE_READER_H

#include "checkpoint/bundle_entry.h"

struct ps_files;
struct ps_bundle_reader;

/* Memory for an index: names, slices and their bookkeeping. An honest one of a million variables
 * takes about 300 MB; a crafted one of a few megabytes could ask for anything. */
enum { PS_BUNDLE_INDEX_BUDGET_BYTES = 1 << 30, PS_BUNDLE_STRINGS_MAX_BYTES = 1 << 30 };

/* One logical tensor. */
struct ps_bundle_info {
    const char *name; /* borrowed from the reader */
    int32_t dtype;    /* TensorFlow's number; may be one that cannot be read here */
    struct ps_shape shape;
    size_t slice_count;  /* 0: stored whole */
    uint64_t size_bytes; /* stored, over all slices */
};

/* Opens PREFIX.index and the data files it names, completing a decided save first. The files stay
 * open: a checkpoint that is replaced or removed later is still readable here. files NULL: POSIX.
 * Errors: NOT_FOUND (no such checkpoint); DATA_LOSS (damaged; a file of it given for its prefix);
 * UNIMPLEMENTED (V1, big-endian); INVALID_ARGUMENT (too new); RESOURCE_EXHAUSTED; UNAVAILABLE
 * (replaced again and again while being opened). A missing data file is reported when it is read.
 * Threads: one reader, one thread at a time. */
PS_MUST_CHECK enum ps_code ps_bundle_reader_open(const struct ps_files *files, const char *prefix,
                                                 struct ps_bundle_reader **reader_out,
                                                 struct ps_error *err);
void ps_bundle_reader_close(struct ps_bundle_reader *reader); /* takes NULL */

/* Tensors, sorted by name (unsigned bytes). index < count. */
size_t ps_bundle_reader_count(const struct ps_bundle_reader *reader);
struct ps_bundle_info ps_bundle_reader_info(const struct ps_bundle_reader *reader, size_t index);

/* NOT_FOUND "Key NAME not found in checkpoint". */
PS_MUST_CHECK enum ps_code ps_bundle_reader_find(const struct ps_bundle_reader *reader,
                                                 const char *name, struct ps_bundle_info *info_out,
                                                 struct ps_error *err);

/* Whether a variable of this type and full shape can be restored from name. Errors: NOT_FOUND;
 * INVALID_ARGUMENT (dtype, shape); UNIMPLEMENTED (a type that cannot be read here). */
PS_MUST_CHECK enum ps_code ps_bundle_reader_expect(const struct ps_bundle_reader *reader,
                                                   const char *name, enum ps_dtype dtype,
                                                   const struct ps_shape *shape,
                                                   struct ps_error *err);

/* What to read. */
struct ps_bundle_request {
    const char *name;
    enum ps_dtype dtype;          /* PS_DTYPE_INVALID: whatever is stored */
    const struct ps_slice *slice; /* NULL: all of it */
};

/* Reads a box, row-major, into exactly size_bytes at out. Every stored entry it touches is checked
 * against its CRC before the first use of a part of it; that is remembered, so a tensor can be read
 * in pieces of any size, in memory that does not depend on the tensor's.
 * Errors: NOT_FOUND; INVALID_ARGUMENT (dtype, slice, size, slices missing); DATA_LOSS (checksum,
 * sizes, files cut or missing); UNIMPLEMENTED (type). out then holds anything. */
PS_MUST_CHECK enum ps_code ps_bundle_reader_read(struct ps_bundle_reader *reader,
                                                 const struct ps_bundle_request *request, void *out,
                                                 size_t size_bytes, struct ps_error *err);

/* A tensor of strings in row-major order. Zero-initialise; ps_bundle_strings_clean. */
struct ps_bundle_strings {
    struct ps_span *items; /* into bytes */
    size_t count;
    struct ps_buf bytes;
};

void ps_bundle_strings_clean(struct ps_bundle_strings *strings); /* takes NULL */

/* Errors: as above; RESOURCE_EXHAUSTED above PS_BUNDLE_STRINGS_MAX_BYTES; UNIMPLEMENTED if name is
 * partitioned. */
PS_MUST_CHECK enum ps_code ps_bundle_reader_read_strings(struct ps_bundle_reader *reader,
                                                         const char *name,
                                                         struct ps_bundle_strings *strings_out,
                                                         struct ps_error *err);

/* Reads every byte of a tensor and keeps none: DATA_LOSS or INVALID_ARGUMENT (slices missing) if a
 * later read of it could fail. */
PS_MUST_CHECK enum ps_code ps_bundle_reader_verify(struct ps_bundle_reader *reader,
                                                   const char *name, struct ps_error *err);

#endif
