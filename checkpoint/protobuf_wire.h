/* Just enough of protobuf's wire format for a few flat messages: bounded, without recursion. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_PROTOBUF_WIRE_H
#define PARAMD_CHECKPOINT_PROTOBUF_WIRE_H

#include "checkpoint/varint.h"
#include "core/bytes.h"

enum ps_wire_type {
    PS_WIRE_VARINT = 0,
    PS_WIRE_FIXED64 = 1,
    PS_WIRE_BYTES = 2,
    PS_WIRE_FIXED32 = 5
};

/* One field as it was read: number for the scalar types, bytes for PS_WIRE_BYTES. */
struct ps_wire_field {
    uint32_t field;
    enum ps_wire_type type;
    uint64_t number;
    struct ps_span bytes;
};

/* Takes the next field off *at; false if the bytes are no field (groups are none of ours). */
static inline bool ps_wire_next(const uint8_t **at, const uint8_t *end, struct ps_wire_field *out)
{
    uint32_t tag;
    if (!ps_varint_get32(at, end, &tag) || tag >> 3 == 0) { return false; }
    *out = (struct ps_wire_field){ .field = tag >> 3, .type = (enum ps_wire_type)(tag & 7) };
    size_t left = (size_t)(end - *at);
    switch (tag & 7) {
    case PS_WIRE_VARINT: return ps_varint_get(at, end, &out->number);
    case PS_WIRE_FIXED32:
        if (left < 4) { return false; }
        out->number = ps_fixed32_get(*at);
        *at += 4;
        return true;
    case PS_WIRE_FIXED64:
        if (left < 8) { return false; }
        out->number = ps_fixed32_get(*at) | (uint64_t)ps_fixed32_get(*at + 4) << 32;
        *at += 8;
        return true;
    case PS_WIRE_BYTES:
        if (!ps_varint_get(at, end, &out->number)) { return false; }
        if (out->number > (size_t)(end - *at)) { return false; }
        out->bytes = (struct ps_span){ .data = *at, .size = (size_t)out->number };
        *at += out->number;
        return true;
    default: return false;
    }
}

/* Writers. A zero scalar is not written, as in proto3. */
static inline enum ps_code ps_wire_put_varint(struct ps_buf *out, uint32_t field, uint64_t value,
                                              struct ps_error *err)
{
    if (value == 0) { return PS_OK; }
    uint8_t bytes[2 * PS_VARINT64_BYTES];
    size_t size = ps_varint_put(bytes, (uint64_t)field << 3 | PS_WIRE_VARINT);
    size += ps_varint_put(bytes + size, value);
    return ps_buf_append(out, bytes, size, err);
}

static inline enum ps_code ps_wire_put_fixed32(struct ps_buf *out, uint32_t field, uint32_t value,
                                               struct ps_error *err)
{
    if (value == 0) { return PS_OK; }
    uint8_t bytes[PS_VARINT64_BYTES + 4];
    size_t size = ps_varint_put(bytes, (uint64_t)field << 3 | PS_WIRE_FIXED32);
    ps_fixed32_put(bytes + size, value);
    return ps_buf_append(out, bytes, size + 4, err);
}

/* A submessage, written even when it is empty. */
static inline enum ps_code ps_wire_put_bytes(struct ps_buf *out, uint32_t field,
                                             struct ps_span value, struct ps_error *err)
{
    uint8_t bytes[2 * PS_VARINT64_BYTES];
    size_t size = ps_varint_put(bytes, (uint64_t)field << 3 | PS_WIRE_BYTES);
    size += ps_varint_put(bytes + size, value.size);
    enum ps_code rc = ps_buf_append(out, bytes, size, err);
    return rc == PS_OK ? ps_buf_append(out, value.data, value.size, err) : rc;
}

#endif
