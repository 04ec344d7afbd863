/* Spans, growing buffers, scattered payloads, and arithmetic that says when it overflows. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CORE_BYTES_H
#define PARAMD_CORE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

/* Borrowed bytes. */
struct ps_span {
    const uint8_t *data;
    size_t size;
};

/* Owned bytes that grow. Zero-initialise, ps_buf_clean when done. */
struct ps_buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

PS_MUST_CHECK enum ps_code ps_buf_reserve(struct ps_buf *buf, size_t capacity,
                                          struct ps_error *err);
PS_MUST_CHECK enum ps_code ps_buf_append(struct ps_buf *buf, const void *data, size_t size,
                                         struct ps_error *err);
/* Appends formatted text; buf->data stays NUL-terminated (the NUL is not counted). */
PS_MUST_CHECK enum ps_code ps_buf_printf(struct ps_buf *buf, struct ps_error *err,
                                         const char *format, ...) PS_PRINTF(3, 4);
void ps_buf_clean(struct ps_buf *buf);

/* Immutable bytes in pieces, as they were received, counted by reference. The last release
 * calls free_owner(owner) on whatever thread drops it; free_owner must not block. */
struct ps_payload {
    const struct ps_span *spans;
    size_t span_count;
    size_t size; /* sum of the spans */
    void *owner;
    void (*free_owner)(void *owner);
    int reference_count; /* atomic; 1 when made */
};

struct ps_payload *ps_payload_acquire(struct ps_payload *payload);
struct ps_payload *ps_payload_release(struct ps_payload *payload); /* returns NULL; takes NULL */

/* One payload over a copy of data. NULL when out of memory. */
struct ps_payload *ps_payload_copy(const void *data, size_t size);

/* A reading position in a payload. */
struct ps_cursor {
    const struct ps_payload *payload;
    size_t span_index;
    size_t span_offset;
    size_t remaining;
};

/* A cursor at byte offset (<= payload->size). */
struct ps_cursor ps_cursor_at(const struct ps_payload *payload, size_t offset);
/* Next run of at most limit contiguous bytes; size 0 only at the end. Advances. */
struct ps_span ps_cursor_next(struct ps_cursor *cursor, size_t limit);
/* Copies exactly size bytes out and advances; false (nothing copied) if fewer remain. */
bool ps_cursor_copy(struct ps_cursor *cursor, void *out, size_t size);

/* a+b and a*b; false (and *out untouched) when the result does not fit. */
static inline bool ps_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    if (a > UINT64_MAX - b) { return false; }
    *out = a + b;
    return true;
}

static inline bool ps_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    if (b != 0 && a > UINT64_MAX / b) { return false; }
    *out = a * b;
    return true;
}

/* CRC-32C (Castagnoli): crc of nothing is 0; extend by passing the last result. */
uint32_t ps_crc32c(uint32_t crc, const void *data, size_t size);

#endif
