/* Walks protobuf fields over scattered bytes: the only wire code that is not generated. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/wire.h"

#include <string.h>

/* Wire types of protobuf; 3 and 4 (groups) have left the language and are refused. */
enum { TYPE_VARINT = 0, TYPE_FIXED64 = 1, TYPE_LENGTH = 2, TYPE_FIXED32 = 5 };

enum { TYPE_BITS = 3, TYPE_MASK = 7, VARINT_BYTES_MAX = 10 };

enum { DATA_TAG = PS_WIRE_DATA_FIELD << TYPE_BITS | TYPE_LENGTH };

/* Largest field number protobuf allows. */
#define FIELD_MAX ((UINT64_C(1) << 29) - 1)

/* Reads forward; the current run is held as two pointers so that a head of many small fields,
 * which lies in the first piece as a rule, is walked at memory speed. */
struct reader {
    struct ps_cursor cursor; /* stands behind the run */
    const uint8_t *at;
    const uint8_t *end;
    size_t offset; /* of `at` in the message */
};

/* One outermost field: tag and length before the content, and the content. */
struct field {
    uint64_t tag;
    size_t start;   /* offset of the tag */
    size_t content; /* offset of the content */
    size_t size;    /* of the content */
};

static struct reader reader_over(const struct ps_payload *message)
{
    return (struct reader){ .cursor = ps_cursor_at(message, 0) };
}

static size_t remaining(const struct reader *reader)
{
    return (size_t)(reader->end - reader->at) + reader->cursor.remaining;
}

static bool refill(struct reader *reader)
{
    struct ps_span run = ps_cursor_next(&reader->cursor, SIZE_MAX);
    if (run.size == 0) { return false; }
    reader->at = run.data;
    reader->end = run.data + run.size;
    return true;
}

static bool read_byte(struct reader *reader, uint8_t *byte_out)
{
    if (reader->at == reader->end && !refill(reader)) { return false; }
    *byte_out = *reader->at++;
    reader->offset++;
    return true;
}

/* At most ten bytes, of which the last carries one bit. */
static bool read_varint(struct reader *reader, uint64_t *value_out)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < VARINT_BYTES_MAX; i++) {
        uint8_t byte;
        if (!read_byte(reader, &byte)) { return false; }
        if (i == VARINT_BYTES_MAX - 1 && byte > 1) { return false; }
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *value_out = value;
            return true;
        }
    }
    return false;
}

/* The caller checked that size bytes remain. */
static void skip(struct reader *reader, size_t size)
{
    reader->offset += size;
    for (;;) {
        size_t left = (size_t)(reader->end - reader->at);
        if (size <= left) {
            if (size > 0) { reader->at += size; }
            return;
        }
        size -= left;
        reader->at = reader->end;
        if (!refill(reader)) { return; }
    }
}

/* Size of the content for everything but a varint, which is its own end. */
static bool read_content_size(struct reader *reader, unsigned type, uint64_t *size_out)
{
    switch (type) {
    case TYPE_FIXED64: *size_out = 8; return true;
    case TYPE_FIXED32: *size_out = 4; return true;
    case TYPE_LENGTH: return read_varint(reader, size_out);
    default: return false;
    }
}

/* Steps over one field. False for bytes that are none. */
static bool next_field(struct reader *reader, struct field *field_out)
{
    field_out->start = reader->offset;
    if (!read_varint(reader, &field_out->tag)) { return false; }
    uint64_t number = field_out->tag >> TYPE_BITS;
    if (number == 0 || number > FIELD_MAX) { return false; }

    unsigned type = (unsigned)(field_out->tag & TYPE_MASK);
    if (type == TYPE_VARINT) {
        uint64_t value;
        field_out->content = reader->offset;
        if (!read_varint(reader, &value)) { return false; }
        field_out->size = reader->offset - field_out->content;
        return true;
    }
    uint64_t size;
    if (!read_content_size(reader, type, &size) || size > remaining(reader)) { return false; }
    field_out->content = reader->offset;
    field_out->size = (size_t)size;
    skip(reader, field_out->size);
    return true;
}

size_t ps_wire_tail(uint64_t data_size, uint8_t tail[PS_WIRE_TAIL_BYTES])
{
    size_t size = 0;
    tail[size++] = DATA_TAG;
    while (data_size >= 0x80) {
        tail[size++] = (uint8_t)(data_size | 0x80);
        data_size >>= 7;
    }
    tail[size++] = (uint8_t)data_size;
    return size;
}

enum ps_code ps_wire_find(const struct ps_payload *message, struct ps_wire_cut *cut_out,
                          struct ps_error *err)
{
    struct reader reader = reader_over(message);
    struct field field;
    bool seen = false;
    *cut_out = (struct ps_wire_cut){ .tidy = true };
    while (remaining(&reader) > 0) {
        if (!next_field(&reader, &field)) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "no protobuf message: the field at byte %zu of %zu is cut short or "
                           "damaged",
                           field.start, message->size);
        }
        if (seen) { cut_out->tidy = false; } /* data was not the last */
        if (field.tag == DATA_TAG) {
            seen = true;
            cut_out->data_offset = field.content;
            cut_out->data_size = field.size;
        } else {
            cut_out->head_size += field.content + field.size - field.start;
        }
    }
    return PS_OK;
}

void ps_wire_copy_apart(const struct ps_payload *message, const struct ps_wire_cut *cut,
                        uint8_t *head, uint8_t *data)
{
    struct reader reader = reader_over(message);
    struct ps_cursor from = ps_cursor_at(message, 0);
    size_t head_size = 0;
    struct field field;
    while (remaining(&reader) > 0 && next_field(&reader, &field)) {
        size_t field_size = field.content + field.size - field.start;
        if (field.tag == DATA_TAG) {
            from = ps_cursor_at(message, field.content + field.size);
            continue;
        }
        PS_ASSERT(head_size + field_size <= cut->head_size); /* the cut is of this message */
        bool copied = ps_cursor_copy(&from, head + head_size, field_size);
        PS_ASSERT(copied);
        head_size += field_size;
    }
    PS_ASSERT(head_size == cut->head_size);
    from = ps_cursor_at(message, cut->data_offset);
    bool copied = ps_cursor_copy(&from, data, cut->data_size);
    PS_ASSERT(copied);
}

bool ps_wire_lookup(struct ps_span message, uint64_t tag, struct ps_span *content_out)
{
    const struct ps_payload payload = { .spans = &message, .span_count = 1, .size = message.size };
    struct reader reader = reader_over(&payload);
    struct field field;
    bool found = false;
    while (remaining(&reader) > 0) {
        if (!next_field(&reader, &field)) { return false; }
        if (field.tag == tag) {
            *content_out = (struct ps_span){ message.data + field.content, field.size };
            found = true;
        }
    }
    return found;
}
