/* Snappy's raw block format: a length, then literals and copies from what was already written. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/snappy.h"

#include <string.h>

#include "checkpoint/varint.h"

static const char *const corrupted = "corrupted compressed block contents";

/* Takes `count` bytes (1 to 4) of a little-endian number. */
static bool take_number(const uint8_t **at, const uint8_t *end, size_t count, uint32_t *value_out)
{
    if ((size_t)(end - *at) < count) { return false; }
    uint32_t value = 0;
    for (size_t i = 0; i < count; i++) { value |= (uint32_t)(*at)[i] << (8 * i); }
    *at += count;
    *value_out = value;
    return true;
}

/* Tag 00: the length minus one sits in the tag's upper six bits, or in the 1 to 4 bytes behind. */
static bool take_literal(const uint8_t **at, const uint8_t *end, uint8_t tag, struct ps_buf *out,
                         size_t total)
{
    uint32_t length = tag >> 2;
    if (length >= 60 && !take_number(at, end, length - 59, &length)) { return false; }
    size_t size = (size_t)length + 1;
    if ((size_t)(end - *at) < size || total - out->size < size) { return false; }
    memcpy(out->data + out->size, *at, size);
    out->size += size;
    *at += size;
    return true;
}

/* Tags 01, 10, 11: copy from 1 or more bytes back; source and destination may overlap. */
static bool take_copy(const uint8_t **at, const uint8_t *end, uint8_t tag, struct ps_buf *out,
                      size_t total)
{
    uint32_t offset;
    size_t size = (size_t)(tag >> 2) + 1;
    if ((tag & 3) == 1) {
        size = (size_t)((tag >> 2) & 7) + 4;
        if (!take_number(at, end, 1, &offset)) { return false; }
        offset |= (uint32_t)(tag >> 5) << 8;
    } else if (!take_number(at, end, (tag & 3) == 2 ? 2 : 4, &offset)) {
        return false;
    }
    if (offset == 0 || offset > out->size || total - out->size < size) { return false; }
    const uint8_t *from = out->data + out->size - offset;
    uint8_t *to = out->data + out->size;
    for (size_t i = 0; i < size; i++) { to[i] = from[i]; }
    out->size += size;
    return true;
}

enum ps_code ps_snappy_decompress(struct ps_span compressed, size_t limit_bytes, struct ps_buf *out,
                                  struct ps_error *err)
{
    const uint8_t *at = compressed.data;
    const uint8_t *end = ps_span_end(compressed);
    uint32_t total;
    out->size = 0;
    if (!ps_varint_get32(&at, end, &total)) { return ps_fail(err, PS_DATA_LOSS, "%s", corrupted); }
    if (total > limit_bytes) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED,
                       "compressed block claims %u bytes; the limit is %zu", total, limit_bytes);
    }
    enum ps_code rc = ps_buf_reserve(out, total, err);
    if (rc != PS_OK) { return rc; }
    while (at < end) {
        uint8_t tag = *at++;
        bool is_good = (tag & 3) == 0 ? take_literal(&at, end, tag, out, total)
                                      : take_copy(&at, end, tag, out, total);
        if (!is_good) { return ps_fail(err, PS_DATA_LOSS, "%s", corrupted); }
    }
    if (out->size != total) { return ps_fail(err, PS_DATA_LOSS, "%s", corrupted); }
    return PS_OK;
}
