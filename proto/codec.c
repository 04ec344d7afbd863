/* The codec's tools: packing, unpacking under a ceiling, and the checks that every field uses. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/codec.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/tensor.h"
#include "proto/codec_priv.h"
#include "proto/definition.h"
#include "proto/text_priv.h"
#include "proto/wire.h"

/* ---- Out ---- */

void psi_codec_out_init(struct psi_codec_out *out)
{
    out->arena = (struct ps_arena){ 0 };
    out->failed = false;
    ps_arena_lend(&out->arena, out->memory, sizeof out->memory);
}

void *psi_codec_out_take(struct psi_codec_out *out, size_t count, size_t size_bytes)
{
    if (count == 0 || out->failed) { return NULL; }
    uint64_t total_bytes = 0;
    void *memory = NULL;
    if (ps_mul_u64(count, size_bytes, &total_bytes)) {
        memory = ps_arena_alloc(&out->arena, (size_t)total_bytes);
    }
    if (memory == NULL) { out->failed = true; }
    return memory;
}

static enum ps_code pack(const ProtobufCMessage *wire, size_t most_bytes, struct ps_buf *buf,
                         struct ps_error *err)
{
    size_t size = protobuf_c_message_get_packed_size(wire);
    if (size > most_bytes) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED,
                       "%s: %zu bytes without its tensors, at most %zu; ask for less at once",
                       wire->descriptor->short_name, size, most_bytes);
    }
    /* With room for what announces the tensor bytes, to spare the transport a reallocation. */
    enum ps_code rc = ps_buf_reserve(buf, buf->size + size + PS_WIRE_TAIL_BYTES, err);
    if (rc != PS_OK) { return rc; }
    buf->size += protobuf_c_message_pack(wire, buf->data + buf->size);
    return PS_OK;
}

enum ps_code psi_codec_pack(struct psi_codec_out *out, const ProtobufCMessage *wire,
                            size_t most_bytes, struct ps_buf *buf, struct ps_error *err)
{
    enum ps_code rc =
        out->failed ? ps_fail(err, PS_RESOURCE_EXHAUSTED,
                              "%s: encoding needs more memory than there is, or more than %d bytes",
                              wire->descriptor->short_name, PS_ARENA_LIMIT_BYTES)
                    : pack(wire, most_bytes, buf, err);
    ps_arena_clean(&out->arena);
    return rc;
}

Paramd__Header *psi_codec_header_to_wire(struct psi_codec_out *out, const struct ps_header *header)
{
    if (header->job == 0 && header->generation == 0) { return NULL; }
    Paramd__Header *wire = psi_codec_out_take(out, 1, sizeof *wire);
    if (wire == NULL) { return NULL; }
    paramd__header__init(wire);
    wire->job = header->job;
    wire->generation = header->generation;
    return wire;
}

ProtobufCBinaryData psi_codec_bytes_to_wire(struct ps_span span)
{
    return (ProtobufCBinaryData){ .len = span.size, .data = PSI_UNCONST(uint8_t *, span.data) };
}

/* ---- In ---- */

/* protobuf-c's allocator over an arena. It frees what it gives up on; an arena need not know. */
struct ceiling {
    struct ps_arena *arena;
    bool reached;
};

static void *ceiling_alloc(void *ctx, size_t size_bytes)
{
    struct ceiling *ceiling = ctx;
    void *memory = ps_arena_alloc(ceiling->arena, size_bytes);
    if (memory == NULL) { ceiling->reached = true; }
    return memory;
}

static void ceiling_free(void *ctx, void *memory)
{
    (void)ctx;
    (void)memory;
}

static void no_memory(struct psi_codec_in *in)
{
    if (in->rc != PS_OK) { return; }
    in->rc = ps_fail(in->err, PS_RESOURCE_EXHAUSTED,
                     "%s: decoding needs more memory than there is, or more than %d bytes",
                     in->path, PS_ARENA_LIMIT_BYTES);
}

const void *psi_codec_unpack(struct psi_codec_in *in, const ProtobufCMessageDescriptor *descriptor,
                             struct ps_span head, size_t most_bytes)
{
    if (head.size > most_bytes) {
        in->rc = ps_fail(in->err, PS_INVALID_ARGUMENT,
                         "%s: %zu bytes without its tensors, at most %zu", in->path, head.size,
                         most_bytes);
        return NULL;
    }
    struct ceiling ceiling = { in->arena, false };
    ProtobufCAllocator allocator = { ceiling_alloc, ceiling_free, &ceiling };
    const void *wire = protobuf_c_message_unpack(descriptor, &allocator, head.size, head.data);
    if (wire != NULL) { return wire; }
    if (ceiling.reached) {
        no_memory(in);
    } else {
        in->rc = ps_fail(in->err, PS_INVALID_ARGUMENT,
                         "%s: its %zu bytes are no such protobuf message; is the peer a paramd?",
                         in->path, head.size);
    }
    return NULL;
}

/* ---- Faults ---- */

/* Puts "path[index].field: " before a fault that is in in->err already. */
static void locate(struct psi_codec_in *in, const char *field)
{
    if (in->index < 0) {
        (void)ps_wrap(in->err, "%s.%s", in->path, field);
    } else {
        (void)ps_wrap(in->err, "%s[%ld].%s", in->path, in->index, field);
    }
}

/* For a check of another module that may have failed with rc. */
static void adopt(struct psi_codec_in *in, const char *field, enum ps_code rc)
{
    if (rc == PS_OK) { return; }
    in->rc = rc;
    locate(in, field);
}

void psi_codec_fault(struct psi_codec_in *in, const char *field, const char *format, ...)
{
    if (in->rc != PS_OK) { return; }
    char message[PS_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    adopt(in, field, ps_fail(in->err, PS_INVALID_ARGUMENT, "%s", message));
}

/* ---- Checks ---- */

uint32_t psi_codec_range(struct psi_codec_in *in, const char *field, uint32_t number,
                         uint32_t first, uint32_t last)
{
    if (number >= first && number <= last) { return number; }
    psi_codec_fault(in, field, "%" PRIu32 " is none of %" PRIu32 " to %" PRIu32, number, first,
                    last);
    return first;
}

size_t psi_codec_count(struct psi_codec_in *in, const char *field, const char *noun, size_t count,
                       size_t most)
{
    if (count > most) { psi_codec_fault(in, field, "%zu %s, at most %zu", count, noun, most); }
    return in->rc == PS_OK ? count : 0;
}

double psi_codec_finite(struct psi_codec_in *in, const char *field, double number)
{
    if (!isfinite(number)) { psi_codec_fault(in, field, "%g is not a finite number", number); }
    return number;
}

const char *psi_codec_name(struct psi_codec_in *in, const char *field, const char *text)
{
    if (in->rc == PS_OK) { adopt(in, field, ps_name_check(text, in->err)); }
    return text;
}

const char *psi_codec_maybe_name(struct psi_codec_in *in, const char *field, const char *text)
{
    return text[0] == '\0' ? text : psi_codec_name(in, field, text);
}

const char *psi_codec_label(struct psi_codec_in *in, const char *field, const char *text)
{
    if (in->rc == PS_OK) { adopt(in, field, psi_text_check(text, PSI_MAX_LABEL_BYTES, in->err)); }
    return text;
}

enum ps_dtype psi_codec_dtype(struct psi_codec_in *in, const char *field, uint32_t number)
{
    enum ps_dtype dtype = PS_DTYPE_INVALID;
    if (number == PS_STRING) { psi_codec_fault(in, field, "no variable is of type string"); }
    if (in->rc == PS_OK) { adopt(in, field, ps_dtype_from_number((long)number, &dtype, in->err)); }
    return dtype;
}

struct ps_span psi_codec_bytes(struct psi_codec_in *in, const char *field,
                               ProtobufCBinaryData bytes, size_t most_bytes)
{
    size_t size = psi_codec_count(in, field, "bytes", bytes.len, most_bytes);
    return (struct ps_span){ .data = bytes.data, .size = size };
}

struct ps_shape psi_codec_shape(struct psi_codec_in *in, const char *field, const int64_t *dims,
                                size_t dim_count)
{
    struct ps_shape shape = { 0 };
    shape.rank = (int)psi_codec_count(in, field, "dimensions", dim_count, PS_MAX_RANK);
    for (int i = 0; i < shape.rank; i++) { shape.dims[i] = dims[i]; }
    if (in->rc == PS_OK) { adopt(in, field, ps_shape_check(&shape, in->err)); }
    return shape;
}

void psi_codec_extent(struct psi_codec_in *in, const char *field, uint64_t offset, uint64_t size)
{
    uint64_t end = 0;
    if (!ps_add_u64(offset, size, &end)) {
        psi_codec_fault(in, field,
                        "offset %" PRIu64 " and size %" PRIu64 " are more than 64 bits can count",
                        offset, size);
    }
}

size_t psi_codec_touched(struct psi_codec_in *in, const char *field, const uint32_t *tasks,
                         size_t task_count)
{
    size_t count = psi_codec_count(in, field, "tasks", task_count, PS_MAX_TASKS);
    if (count == 0) { psi_codec_fault(in, field, "empty; a push touches at least one task"); }
    for (size_t i = 0; i < count; i++) {
        if (tasks[i] >= PS_MAX_TASKS) {
            psi_codec_fault(in, field, "task %" PRIu32 ", at most %d", tasks[i], PS_MAX_TASKS - 1);
        }
        if (i > 0 && tasks[i] <= tasks[i - 1]) {
            psi_codec_fault(in, field, "task %" PRIu32 " follows %" PRIu32 "; they must rise",
                            tasks[i], tasks[i - 1]);
        }
    }
    return count;
}

void *psi_codec_array(struct psi_codec_in *in, size_t count, size_t size_bytes)
{
    if (count == 0 || in->rc != PS_OK) { return NULL; }
    void *memory = NULL;
    if (count <= SIZE_MAX / size_bytes) { memory = ps_arena_alloc(in->arena, count * size_bytes); }
    if (memory == NULL) {
        no_memory(in);
        return NULL;
    }
    return memset(memory, 0, count * size_bytes);
}

struct ps_header psi_codec_header(const Paramd__Header *wire)
{
    if (wire == NULL) { return (struct ps_header){ 0 }; }
    return (struct ps_header){ .job = wire->job, .generation = wire->generation };
}
