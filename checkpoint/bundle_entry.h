/* The two messages of an index file, header and entry, as plain structs and as exact bytes. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_BUNDLE_ENTRY_H
#define PARAMD_CHECKPOINT_BUNDLE_ENTRY_H

#include "checkpoint/ordered_code.h"
#include "core/bytes.h"
#include "core/tensor.h"

/* Limits on what a file may claim. Shards: one a ps task. Slices: one a ps task and variable, with
 * room for TensorFlow's finest partitioners. Names: a line of an error message stays readable. */
enum {
    PS_BUNDLE_SHARDS_MAX = 65536,
    PS_BUNDLE_SLICES_MAX = 65536,
    PS_BUNDLE_NAME_BYTES_MAX = 4096
};

/* BundleHeaderProto, under the empty key. */
struct ps_bundle_header {
    int32_t shard_count;
};

/* Byte-exact as TensorFlow writes it: little-endian, producer 1. */
PS_MUST_CHECK enum ps_code ps_bundle_header_encode(const struct ps_bundle_header *header,
                                                   struct ps_buf *out, struct ps_error *err);

/* Errors: DATA_LOSS (malformed); INVALID_ARGUMENT (written for newer readers only); UNIMPLEMENTED
 * (big-endian); RESOURCE_EXHAUSTED (shards above the limit). Unknown fields are skipped. */
PS_MUST_CHECK enum ps_code ps_bundle_header_decode(struct ps_span bytes,
                                                   struct ps_bundle_header *header_out,
                                                   struct ps_error *err);

/* BundleEntryProto: a whole tensor, one slice's bytes, or (slice_count > 0) the list of slices of a
 * partitioned tensor, which has no bytes itself. Zero-initialise; ps_bundle_entry_clean. */
struct ps_bundle_entry {
    int32_t dtype; /* TensorFlow's number, also one that is no ps_dtype */
    struct ps_shape shape;
    int32_t shard_index;
    uint64_t offset; /* both in the shard's data file; the sum fits int64 */
    uint64_t size_bytes;
    uint32_t masked_crc;
    struct ps_slice *slices; /* owned */
    size_t slice_count;
};

void ps_bundle_entry_clean(struct ps_bundle_entry *entry); /* takes NULL */

PS_MUST_CHECK enum ps_code ps_bundle_entry_encode(const struct ps_bundle_entry *entry,
                                                  struct ps_buf *out, struct ps_error *err);

/* Memory taken is below 100 times bytes.size. entry_out is clean after a failure. Errors: DATA_LOSS
 * (malformed, negative sizes, slices outside the shape); UNIMPLEMENTED (unknown rank, rank above
 * PS_MAX_RANK); RESOURCE_EXHAUSTED. */
PS_MUST_CHECK enum ps_code ps_bundle_entry_decode(struct ps_span bytes,
                                                  struct ps_bundle_entry *entry_out,
                                                  struct ps_error *err);

/* Appends one slice to entry's list. RESOURCE_EXHAUSTED only. */
PS_MUST_CHECK enum ps_code ps_bundle_entry_add_slice(struct ps_bundle_entry *entry,
                                                     const struct ps_slice *slice,
                                                     struct ps_error *err);

#endif
