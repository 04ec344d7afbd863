/* Rows of an index: what a data file holds, gathered while it is written, merged, and sent. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_BUNDLE_ROWS_H
#define PARAMD_CHECKPOINT_BUNDLE_ROWS_H

#include "checkpoint/bundle_entry.h"

struct ps_bundle_row {
    struct ps_buf key; /* a NUL follows its last byte */
    struct ps_bundle_entry entry;
    size_t order; /* of addition: slices of a tensor keep it */
};

/* Zero-initialise; ps_bundle_rows_clean. Threads: one at a time. */
struct ps_bundle_rows {
    struct ps_bundle_row *items;
    size_t count;
    size_t capacity;
};

void ps_bundle_rows_clean(struct ps_bundle_rows *rows); /* takes NULL */

/* Adds a row; takes entry_take's slices, also when it fails. */
PS_MUST_CHECK enum ps_code ps_bundle_rows_add(struct ps_bundle_rows *rows, struct ps_span key,
                                              struct ps_bundle_entry *entry_take,
                                              struct ps_error *err);

/* Sorts by key and folds the slice lists of one partitioned tensor into one row, in the order of
 * addition. Errors: INVALID_ARGUMENT "Duplicate tensor keyed by ..."; INTERNAL "Overlapping
 * slices" or one tensor with two dtypes or shapes; RESOURCE_EXHAUSTED. Rows stay cleanable. */
PS_MUST_CHECK enum ps_code ps_bundle_rows_fold(struct ps_bundle_rows *rows, struct ps_error *err);

/* Rows as bytes for a message, and back: (varint size, key, varint size, BundleEntryProto)*.
 * decode appends to rows. Errors of decode: DATA_LOSS, RESOURCE_EXHAUSTED, UNIMPLEMENTED. */
PS_MUST_CHECK enum ps_code ps_bundle_rows_encode(const struct ps_bundle_rows *rows,
                                                 struct ps_buf *out, struct ps_error *err);
PS_MUST_CHECK enum ps_code ps_bundle_rows_decode(struct ps_span bytes, struct ps_bundle_rows *rows,
                                                 struct ps_error *err);

/* "emb" or "emb (slice 3,2:0,2)" for messages; cut to text. */
enum { PS_BUNDLE_KEY_TEXT_BYTES = 320 };
const char *ps_bundle_key_format(struct ps_span key, char text[PS_BUNDLE_KEY_TEXT_BYTES]);

#endif
