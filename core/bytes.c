/* Growing buffers, counted payloads and cursors over them, crc32c. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bytes.h"

#include <isa-l/crc.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"

enum { BUF_FIRST_CAPACITY = 64 };

/* A payload and its bytes in one allocation. */
struct copied_payload {
    struct ps_payload payload;
    struct ps_span span;
    uint8_t bytes[];
};

enum ps_code ps_buf_reserve(struct ps_buf *buf, size_t capacity, struct ps_error *err)
{
    if (capacity <= buf->capacity) { return PS_OK; }
    uint8_t *data = ps_realloc(buf->data, capacity);
    if (data == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a buffer of %zu bytes", capacity);
    }
    buf->data = data;
    buf->capacity = capacity;
    return PS_OK;
}

/* Room for extra more bytes. Doubles, so that n appends copy O(n) bytes. */
static enum ps_code grow(struct ps_buf *buf, size_t extra, struct ps_error *err)
{
    if (extra > SIZE_MAX - buf->size) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED,
                       "a buffer of %zu bytes cannot grow by %zu: no address is that large",
                       buf->size, extra);
    }
    size_t need = buf->size + extra;
    if (need <= buf->capacity) { return PS_OK; }
    size_t twice = buf->capacity > SIZE_MAX / 2 ? SIZE_MAX : buf->capacity * 2;
    if (twice < BUF_FIRST_CAPACITY) { twice = BUF_FIRST_CAPACITY; }
    return ps_buf_reserve(buf, need > twice ? need : twice, err);
}

enum ps_code ps_buf_append(struct ps_buf *buf, const void *data, size_t size, struct ps_error *err)
{
    if (size == 0) { return PS_OK; }
    enum ps_code rc = grow(buf, size, err);
    if (rc != PS_OK) { return rc; }
    memcpy(buf->data + buf->size, data, size);
    buf->size += size;
    return PS_OK;
}

enum ps_code ps_buf_printf(struct ps_buf *buf, struct ps_error *err, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) { return ps_fail(err, PS_INTERNAL, "cannot format '%s'", format); }

    size_t size_with_nul = (size_t)length + 1;
    enum ps_code rc = grow(buf, size_with_nul, err);
    if (rc != PS_OK) { return rc; }
    va_start(arguments, format);
    vsnprintf((char *)buf->data + buf->size, size_with_nul, format, arguments);
    va_end(arguments);
    buf->size += (size_t)length;
    return PS_OK;
}

void ps_buf_clean(struct ps_buf *buf)
{
    if (buf == NULL) { return; }
    ps_free(buf->data);
    *buf = (struct ps_buf){ 0 };
}

struct ps_payload *ps_payload_acquire(struct ps_payload *payload)
{
    __atomic_fetch_add(&payload->reference_count, 1, __ATOMIC_RELAXED);
    return payload;
}

struct ps_payload *ps_payload_release(struct ps_payload *payload)
{
    if (payload == NULL) { return NULL; }
    /* Release our reads of the bytes; acquire everybody's before they are freed. */
    int before = __atomic_fetch_sub(&payload->reference_count, 1, __ATOMIC_ACQ_REL);
    PS_ASSERT(before > 0);
    if (before == 1) { payload->free_owner(payload->owner); }
    return NULL;
}

struct ps_payload *ps_payload_copy(const void *data, size_t size)
{
    if (size > SIZE_MAX - sizeof(struct copied_payload)) { return NULL; }
    struct copied_payload *copy = ps_alloc(sizeof *copy + size);
    if (copy == NULL) { return NULL; }
    if (size > 0) { memcpy(copy->bytes, data, size); }
    copy->span = (struct ps_span){ .data = copy->bytes, .size = size };
    copy->payload = (struct ps_payload){ .spans = &copy->span,
                                         .span_count = 1,
                                         .size = size,
                                         .owner = copy,
                                         .free_owner = ps_free,
                                         .reference_count = 1 };
    return &copy->payload;
}

struct ps_cursor ps_cursor_at(const struct ps_payload *payload, size_t offset)
{
    PS_ASSERT(offset <= payload->size);
    struct ps_cursor cursor = { .payload = payload, .remaining = payload->size - offset };
    while (cursor.span_index < payload->span_count &&
           offset >= payload->spans[cursor.span_index].size) {
        offset -= payload->spans[cursor.span_index].size;
        cursor.span_index++;
    }
    cursor.span_offset = offset;
    return cursor;
}

struct ps_span ps_cursor_next(struct ps_cursor *cursor, size_t limit)
{
    struct ps_span run = { 0 };
    if (cursor->remaining == 0 || limit == 0) { return run; }
    const struct ps_span *span = &cursor->payload->spans[cursor->span_index];
    while (cursor->span_offset == span->size) { /* the end of one, or an empty one */
        span = &cursor->payload->spans[++cursor->span_index];
        cursor->span_offset = 0;
    }
    size_t left = span->size - cursor->span_offset;
    run.data = span->data + cursor->span_offset;
    run.size = left < limit ? left : limit;
    cursor->span_offset += run.size;
    cursor->remaining -= run.size;
    return run;
}

bool ps_cursor_copy(struct ps_cursor *cursor, void *out, size_t size)
{
    if (size > cursor->remaining) { return false; }
    uint8_t *to = out;
    while (size > 0) {
        struct ps_span run = ps_cursor_next(cursor, size);
        memcpy(to, run.data, run.size);
        to += run.size;
        size -= run.size;
    }
    return true;
}

uint32_t ps_crc32c(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *from = data;
    uint32_t state = ~crc;
    while (size > 0) { /* isa-l counts in int */
        size_t piece = size < INT_MAX ? size : INT_MAX;
        /* isa-l's prototype lacks the const; it only reads. */
        state = crc32_iscsi((unsigned char *)(uintptr_t)from, (int)piece, state);
        from += piece;
        size -= piece;
    }
    return ~state;
}
