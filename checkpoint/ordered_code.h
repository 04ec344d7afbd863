/* Slice keys: (tensor name, slice) as bytes whose order is the order of what they encode. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_ORDERED_CODE_H
#define PARAMD_CHECKPOINT_ORDERED_CODE_H

#include <stdbool.h>

#include "checkpoint/slice.h"
#include "core/bytes.h"

/* Appends the key of slice of the tensor called name (any bytes). RESOURCE_EXHAUSTED only. */
PS_MUST_CHECK enum ps_code ps_ordered_slice_key(struct ps_buf *key, struct ps_span name,
                                                const struct ps_slice *slice, struct ps_error *err);

/* Takes a slice key apart: appends the name to name and fills slice_out. DATA_LOSS if key is no
 * slice key, whatever its bytes; UNIMPLEMENTED for a rank above PS_MAX_RANK. */
PS_MUST_CHECK enum ps_code ps_ordered_slice_key_parse(struct ps_span key, struct ps_buf *name,
                                                      struct ps_slice *slice_out,
                                                      struct ps_error *err);

/* The bricks, for tests and for those who need order-preserving keys. At most 9 and 10 bytes. */
enum { PS_ORDERED_NUMBER_BYTES = 10 };
size_t ps_ordered_put_number(uint8_t out[PS_ORDERED_NUMBER_BYTES], uint64_t value);
size_t ps_ordered_put_signed(uint8_t out[PS_ORDERED_NUMBER_BYTES], int64_t value);
/* Advance *at; false if the bytes before end are no such number in its shortest form. */
bool ps_ordered_get_number(const uint8_t **at, const uint8_t *end, uint64_t *value_out);
bool ps_ordered_get_signed(const uint8_t **at, const uint8_t *end, int64_t *value_out);

#endif
