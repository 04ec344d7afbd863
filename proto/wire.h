/* The cut of a message: small protobuf fields in front, tensor bytes as its last field, 15. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_PROTO_WIRE_H
#define PARAMD_PROTO_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/status.h"

/* Number of the field `data` in every message that carries tensor bytes. */
enum { PS_WIRE_DATA_FIELD = 15 };

/* Tag (1) and length (at most 10 bytes) in front of the tensor bytes. */
enum { PS_WIRE_TAIL_BYTES = 11 };

/* Writes the tag and the length that announce data_size bytes; returns how many bytes that took.
 * head, these bytes and the data make one canonical protobuf message. */
size_t ps_wire_tail(uint64_t data_size, uint8_t tail[PS_WIRE_TAIL_BYTES]);

/* Where the data of a message lies. */
struct ps_wire_cut {
    bool tidy;        /* at most one data field, and nothing after it */
    size_t head_size; /* bytes of every other field; if tidy, the first head_size of the message */
    size_t data_offset; /* of the (last) data field's bytes */
    size_t data_size;   /* 0: absent or empty, which protobuf does not tell apart */
};

/* Walks the fields of a message, outermost level only, and touches no byte of a field's content.
 * Errors: INVALID_ARGUMENT for what is no protobuf message, naming the offset. */
PS_MUST_CHECK enum ps_code ps_wire_find(const struct ps_payload *message,
                                        struct ps_wire_cut *cut_out, struct ps_error *err);

/* Copies a message for which ps_wire_find gave this cut apart: head_size bytes to head, data_size
 * bytes to data. For messages that are not tidy; the order of the other fields is kept. */
void ps_wire_copy_apart(const struct ps_payload *message, const struct ps_wire_cut *cut,
                        uint8_t *head, uint8_t *data);

/* The content of the last outermost field with this tag (number << 3 | wire type). False when
 * there is none or the bytes are no protobuf message. For messages of one field or two. */
bool ps_wire_lookup(struct ps_span message, uint64_t tag, struct ps_span *content_out);

#endif
