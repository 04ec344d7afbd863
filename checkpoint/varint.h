/* Base-128 varints and little-endian words: the smallest bricks of the index file. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_VARINT_H
#define PARAMD_CHECKPOINT_VARINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"

enum { PS_VARINT64_BYTES = 10 };

/* Behind the last byte; a span of nothing may have no address to add to. */
static inline const uint8_t *ps_span_end(struct ps_span span)
{
    return span.size == 0 ? span.data : span.data + span.size;
}

/* Writes value to out (room for PS_VARINT64_BYTES) and returns how many bytes it took. */
static inline size_t ps_varint_put(uint8_t *out, uint64_t value)
{
    size_t size = 0;
    while (value >= 0x80) {
        out[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[size++] = (uint8_t)value;
    return size;
}

/* Reads one varint at *at and advances. False, *at untouched, if it does not end before end or
 * does not fit 64 bits. */
static inline bool ps_varint_get(const uint8_t **at, const uint8_t *end, uint64_t *value_out)
{
    const uint8_t *from = *at;
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && from < end; shift += 7) {
        uint8_t byte = *from++;
        if (shift == 63 && byte > 1) { return false; }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *at = from;
            *value_out = value;
            return true;
        }
    }
    return false;
}

/* As ps_varint_get, for values that fit 32 bits. */
static inline bool ps_varint_get32(const uint8_t **at, const uint8_t *end, uint32_t *value_out)
{
    const uint8_t *from = *at;
    uint64_t value;
    if (!ps_varint_get(&from, end, &value) || value > UINT32_MAX) { return false; }
    *at = from;
    *value_out = (uint32_t)value;
    return true;
}

static inline void ps_fixed32_put(uint8_t out[4], uint32_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
    out[2] = (uint8_t)(value >> 16);
    out[3] = (uint8_t)(value >> 24);
}

static inline uint32_t ps_fixed32_get(const uint8_t in[4])
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

/* A CRC stored beside the bytes it covers is masked, because the CRC of a string that contains its
 * own CRC says nothing. */
static inline uint32_t ps_crc_mask(uint32_t crc)
{
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

static inline uint32_t ps_crc_unmask(uint32_t masked)
{
    uint32_t rotated = masked - 0xa282ead8u;
    return (rotated >> 17) | (rotated << 15);
}

#endif
