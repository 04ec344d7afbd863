/* Slice keys: order-preserving encodings of numbers and strings, both directions. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/ordered_code.h"

#include <string.h>

#include "checkpoint/varint.h"

/* Number: how many significant bytes, then those bytes, highest first. */
size_t ps_ordered_put_number(uint8_t out[PS_ORDERED_NUMBER_BYTES], uint64_t value)
{
    size_t count = 0;
    for (uint64_t rest = value; rest != 0; rest >>= 8) { count++; }
    out[0] = (uint8_t)count;
    for (size_t i = 0; i < count; i++) { out[count - i] = (uint8_t)(value >> (8 * i)); }
    return count + 1;
}

bool ps_ordered_get_number(const uint8_t **at, const uint8_t *end, uint64_t *value_out)
{
    const uint8_t *from = *at;
    if (from == end) { return false; }
    size_t count = *from++;
    if (count > 8 || (size_t)(end - from) < count) { return false; }
    if (count > 0 && from[0] == 0) { return false; } /* not the shortest form: order would break */
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) { value = value << 8 | from[i]; }
    *at = from + count;
    *value_out = value;
    return true;
}

/* Signed number of L bytes: two's complement, highest byte first, with the L highest bits below the
 * sign flipped, so that a longer positive number is greater and a longer negative one smaller. L is
 * the least for which the value's bits and its sign fit beside that prefix. */
static const uint8_t signed_prefix[PS_ORDERED_NUMBER_BYTES + 1][2] = {
    { 0, 0 },    { 0x80, 0 }, { 0xc0, 0 }, { 0xe0, 0 },    { 0xf0, 0 },    { 0xf8, 0 },
    { 0xfc, 0 }, { 0xfe, 0 }, { 0xff, 0 }, { 0xff, 0x80 }, { 0xff, 0xc0 },
};

static size_t signed_size(int64_t value)
{
    uint64_t magnitude = value < 0 ? ~(uint64_t)value : (uint64_t)value;
    size_t bits = 1;
    for (; magnitude != 0; magnitude >>= 1) { bits++; }
    return (bits + 6) / 7;
}

size_t ps_ordered_put_signed(uint8_t out[PS_ORDERED_NUMBER_BYTES], int64_t value)
{
    size_t size = signed_size(value);
    for (size_t i = 0; i < size; i++) {
        size_t shift = 8 * (size - 1 - i);
        uint64_t bits = value < 0 ? UINT64_MAX : 0;
        if (shift < 64) { bits = (uint64_t)value >> shift; }
        out[i] = (uint8_t)bits;
    }
    out[0] ^= signed_prefix[size][0];
    if (size > 1) { out[1] ^= signed_prefix[size][1]; }
    return size;
}

/* Counts the prefix's bits to learn the size; anything but the shortest form is refused, so that
 * decoding and encoding are inverse to one another on every byte string. */
bool ps_ordered_get_signed(const uint8_t **at, const uint8_t *end, int64_t *value_out)
{
    const uint8_t *from = *at;
    size_t left = (size_t)(end - from);
    if (left == 0) { return false; }
    uint8_t flip = (from[0] & 0x80) != 0 ? 0 : 0xff; /* negative: the prefix is inverted */
    uint32_t head = (uint32_t)(uint8_t)(from[0] ^ flip) << 8;
    if (left > 1) { head |= (uint8_t)(from[1] ^ flip); }
    size_t size = 0;
    while (size < 10 && (head & (0x8000u >> size)) != 0) { size++; }
    if (size == 0 || size > left) { return false; }

    uint64_t value = flip == 0 ? 0 : UINT64_MAX;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = from[i];
        if (i < 2) { byte ^= signed_prefix[size][i]; }
        value = value << 8 | byte;
    }
    uint8_t again[PS_ORDERED_NUMBER_BYTES];
    if (ps_ordered_put_signed(again, (int64_t)value) != size || memcmp(again, from, size) != 0) {
        return false;
    }
    *at = from + size;
    *value_out = (int64_t)value;
    return true;
}

/* String: 00 and ff are escaped, 00 01 ends it. */
static enum ps_code put_string(struct ps_buf *key, struct ps_span text, struct ps_error *err)
{
    enum ps_code rc;
    size_t run = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte != 0x00 && byte != 0xff) { continue; }
        const uint8_t escape[2] = { byte, byte ^ 0xff };
        PS_TRY(done, rc, ps_buf_append(key, text.data + run, i - run, err));
        PS_TRY(done, rc, ps_buf_append(key, escape, 2, err));
        run = i + 1;
    }
    if (run < text.size) {
        PS_TRY(done, rc, ps_buf_append(key, text.data + run, text.size - run, err));
    }
    PS_TRY(done, rc, ps_buf_append(key, "\x00\x01", 2, err));
done:
    return rc;
}

/* *at behind the terminator, or the text is no such string: DATA_LOSS. */
static enum ps_code get_string(const uint8_t **at, const uint8_t *end, struct ps_buf *text,
                               struct ps_error *err)
{
    const uint8_t *from = *at;
    while (from < end) {
        uint8_t byte = *from++;
        bool is_special = byte == 0x00 || byte == 0xff;
        if (is_special) {
            if (from == end) { break; }
            uint8_t next = *from++;
            if (byte == 0x00 && next == 0x01) {
                *at = from;
                return PS_OK;
            }
            if ((next ^ byte) != 0xff) { break; }
        }
        enum ps_code rc = ps_buf_append(text, &byte, 1, err);
        if (rc != PS_OK) { return rc; }
    }
    return ps_fail(err, PS_DATA_LOSS, "malformed name in a slice key");
}

enum ps_code ps_ordered_slice_key(struct ps_buf *key, struct ps_span name,
                                  const struct ps_slice *slice, struct ps_error *err)
{
    enum ps_code rc;
    uint8_t number[PS_ORDERED_NUMBER_BYTES];
    PS_ASSERT(slice->rank >= 0 && slice->rank <= PS_MAX_RANK);
    PS_TRY(done, rc, ps_buf_append(key, number, ps_ordered_put_number(number, 0), err));
    PS_TRY(done, rc, put_string(key, name, err));
    size_t size = ps_ordered_put_number(number, (uint64_t)slice->rank);
    PS_TRY(done, rc, ps_buf_append(key, number, size, err));
    for (int i = 0; i < slice->rank; i++) {
        size = ps_ordered_put_signed(number, slice->extents[i].start);
        PS_TRY(done, rc, ps_buf_append(key, number, size, err));
        size = ps_ordered_put_signed(number, slice->extents[i].length);
        PS_TRY(done, rc, ps_buf_append(key, number, size, err));
    }
done:
    return rc;
}

enum ps_code ps_ordered_slice_key_parse(struct ps_span key, struct ps_buf *name,
                                        struct ps_slice *slice_out, struct ps_error *err)
{
    const uint8_t *at = key.data;
    const uint8_t *end = ps_span_end(key);
    uint64_t number;
    *slice_out = (struct ps_slice){ .rank = 0 };
    if (!ps_ordered_get_number(&at, end, &number) || number != 0) {
        return ps_fail(err, PS_DATA_LOSS, "not a slice key");
    }
    enum ps_code rc = get_string(&at, end, name, err);
    if (rc != PS_OK) { return rc; }
    if (!ps_ordered_get_number(&at, end, &number)) {
        return ps_fail(err, PS_DATA_LOSS, "malformed rank in a slice key");
    }
    if (number > PS_MAX_RANK) {
        return ps_fail(err, PS_UNIMPLEMENTED, "slice key of rank %llu; at most %d is supported",
                       (unsigned long long)number, PS_MAX_RANK);
    }
    slice_out->rank = (int)number;
    for (int i = 0; i < slice_out->rank; i++) {
        if (!ps_ordered_get_signed(&at, end, &slice_out->extents[i].start) ||
            !ps_ordered_get_signed(&at, end, &slice_out->extents[i].length)) {
            return ps_fail(err, PS_DATA_LOSS, "malformed extent %d in a slice key", i);
        }
    }
    if (at != end) { return ps_fail(err, PS_DATA_LOSS, "bytes left over in a slice key"); }
    return PS_OK;
}
