/* Snappy's raw block format, decompression only: some index files of TensorFlow 1.1 need it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_SNAPPY_H
#define PARAMD_CHECKPOINT_SNAPPY_H

#include "core/bytes.h"

/* Replaces out with what compressed holds. Nothing outside compressed is read whatever its bytes
 * are, and no more than limit_bytes are allocated.
 * Errors: DATA_LOSS (malformed), RESOURCE_EXHAUSTED (claims more than limit_bytes; no memory). */
PS_MUST_CHECK enum ps_code ps_snappy_decompress(struct ps_span compressed, size_t limit_bytes,
                                                struct ps_buf *out, struct ps_error *err);

#endif
