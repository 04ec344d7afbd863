/* What the codec's files share: one message going out, one coming in, and the checks of fields. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_PROTO_CODEC_PRIV_H
#define PARAMD_PROTO_CODEC_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/status.h"
#include "paramd.pb-c.h"
#include "proto/arena.h"
#include "proto/codec.h"
#include "proto/messages.h"

/* Limits that concern the codec alone. */
enum {
    PSI_MAX_SLOTS = 64,        /* of one variable: a few for each optimizer it ever met */
    PSI_MAX_LABEL_BYTES = 1024 /* versions, devices, slots: a name and something around it */
};

/* ---- Out: plain structs to protobuf-c's ---- */

/* Memory of the structures of one message that is being encoded; most need only the stack. */
struct psi_codec_out {
    struct ps_arena arena;
    bool failed; /* memory was lacking: what was built is incomplete, pack will say so */
    _Alignas(max_align_t) uint8_t memory[4096];
};

void psi_codec_out_init(struct psi_codec_out *out);
/* Memory for count elements, not zeroed. NULL if count is 0 or out has failed. */
void *psi_codec_out_take(struct psi_codec_out *out, size_t count, size_t size_bytes);
/* Appends the packed wire to buf, and cleans out in any case. */
PS_MUST_CHECK enum ps_code psi_codec_pack(struct psi_codec_out *out, const ProtobufCMessage *wire,
                                          size_t most_bytes, struct ps_buf *buf,
                                          struct ps_error *err);

/* protobuf-c's pointers are not to const, though packing only reads. */
#define PSI_UNCONST(type, pointer) ((type)(uintptr_t)(pointer))
#define PSI_TEXT(text)             PSI_UNCONST(char *, text)

/* NULL for a header that says nothing. */
Paramd__Header *psi_codec_header_to_wire(struct psi_codec_out *out, const struct ps_header *header);
ProtobufCBinaryData psi_codec_bytes_to_wire(struct ps_span span);

/* ---- In: protobuf-c's structs to plain ones ---- */

/* One message that is being decoded. The first fault is kept; after it checks are silent and
 * arrays are empty, so that the code that names the fields needs no branches. */
struct psi_codec_in {
    struct ps_arena *arena;
    const char *path; /* for texts: "DataRequest", "ListReply.variables" */
    long index;       /* of the element of path that is being read; -1: path is no list */
    struct ps_error *err;
    enum ps_code rc;
};

/* Unpacks head into the arena; NULL and a fault if it is too large, malformed or too costly. */
const void *psi_codec_unpack(struct psi_codec_in *in, const ProtobufCMessageDescriptor *descriptor,
                             struct ps_span head, size_t most_bytes);

/* Records INVALID_ARGUMENT "path.field: ..." unless there is a fault already. */
void psi_codec_fault(struct psi_codec_in *in, const char *field, const char *format, ...)
    PS_PRINTF(3, 4);

/* Each of the following passes one field on and records a fault where it is not as it must be;
 * what comes back is of use only if none was recorded. */

/* first <= number <= last */
uint32_t psi_codec_range(struct psi_codec_in *in, const char *field, uint32_t number,
                         uint32_t first, uint32_t last);
/* At most most of what the plural noun says. 0 after any fault. */
size_t psi_codec_count(struct psi_codec_in *in, const char *field, const char *noun, size_t count,
                       size_t most);
double psi_codec_finite(struct psi_codec_in *in, const char *field, double number);
/* A variable's name. */
const char *psi_codec_name(struct psi_codec_in *in, const char *field, const char *text);
/* A variable's name or "". */
const char *psi_codec_maybe_name(struct psi_codec_in *in, const char *field, const char *text);
/* Printable text up to PSI_MAX_LABEL_BYTES, perhaps "". */
const char *psi_codec_label(struct psi_codec_in *in, const char *field, const char *text);
enum ps_dtype psi_codec_dtype(struct psi_codec_in *in, const char *field, uint32_t number);
struct ps_span psi_codec_bytes(struct psi_codec_in *in, const char *field,
                               ProtobufCBinaryData bytes, size_t most_bytes);
struct ps_shape psi_codec_shape(struct psi_codec_in *in, const char *field, const int64_t *dims,
                                size_t dim_count);
/* offset + size, where neither may wrap around. */
void psi_codec_extent(struct psi_codec_in *in, const char *field, uint64_t offset, uint64_t size);
/* The ps tasks of a push: at least one, rising, each below PS_MAX_TASKS. Returns their count. */
size_t psi_codec_touched(struct psi_codec_in *in, const char *field, const uint32_t *tasks,
                         size_t task_count);
/* Zeroed memory for count elements. NULL if count is 0 and, with a fault, if there is none. */
void *psi_codec_array(struct psi_codec_in *in, size_t count, size_t size_bytes);
struct ps_header psi_codec_header(const Paramd__Header *wire);

/* ---- Both ---- */

/* Defines ps_encode_<name> and ps_decode_<name> over <name>_to_wire and <name>_from_wire. */
#define PSI_CODEC(name, Name, most_bytes)                                                       \
    enum ps_code ps_encode_##name(const struct ps_##name *message, struct ps_buf *out,          \
                                  struct ps_error *err)                                         \
    {                                                                                           \
        struct psi_codec_out building;                                                          \
        Paramd__##Name wire;                                                                    \
        psi_codec_out_init(&building);                                                          \
        paramd__##name##__init(&wire);                                                          \
        name##_to_wire(&building, message, &wire);                                              \
        return psi_codec_pack(&building, &wire.base, most_bytes, out, err);                     \
    }                                                                                           \
                                                                                                \
    enum ps_code ps_decode_##name(struct ps_span head, struct ps_arena *arena,                  \
                                  struct ps_##name *message_out, struct ps_error *err)          \
    {                                                                                           \
        struct psi_codec_in in = { arena, #Name, -1, err, PS_OK };                              \
        const Paramd__##Name *wire = psi_codec_unpack(&in, &paramd__##name##__descriptor, head, \
                                                      most_bytes);                              \
        *message_out = (struct ps_##name){ 0 };                                                 \
        if (wire != NULL) { name##_from_wire(&in, wire, message_out); }                         \
        if (in.rc != PS_OK) { *message_out = (struct ps_##name){ 0 }; }                         \
        return in.rc;                                                                           \
    }

#endif
