/* BundleHeaderProto and BundleEntryProto by hand: few fields, exact bytes, bounded memory. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/bundle_entry.h"

#include <string.h>

#include "checkpoint/protobuf_wire.h"
#include "core/alloc.h"

/* Field numbers, by message. */
enum { HEADER_NUM_SHARDS = 1, HEADER_ENDIANNESS = 2, HEADER_VERSION = 3 };
enum { VERSION_PRODUCER = 1, VERSION_MIN_CONSUMER = 2, VERSION_BAD_CONSUMERS = 3 };
enum {
    ENTRY_DTYPE = 1,
    ENTRY_SHAPE = 2,
    ENTRY_SHARD_ID = 3,
    ENTRY_OFFSET = 4,
    ENTRY_SIZE = 5,
    ENTRY_CRC32C = 6,
    ENTRY_SLICES = 7
};
enum { SHAPE_DIM = 2, SHAPE_UNKNOWN_RANK = 3, DIM_SIZE = 1 };
enum { SLICE_EXTENT = 1, EXTENT_START = 1, EXTENT_LENGTH = 2 };

enum { FORMAT_VERSION = 1, LARGEST_DTYPE = 1000 };

static enum ps_code malformed(const char *what, struct ps_error *err)
{
    return ps_fail(err, PS_DATA_LOSS, "malformed %s", what);
}

/* ---- header ---- */

enum ps_code ps_bundle_header_encode(const struct ps_bundle_header *header, struct ps_buf *out,
                                     struct ps_error *err)
{
    static const uint8_t version[] = { VERSION_PRODUCER << 3, FORMAT_VERSION };
    enum ps_code rc;
    PS_TRY(done, rc,
           ps_wire_put_varint(out, HEADER_NUM_SHARDS, (uint64_t)header->shard_count, err));
    PS_TRY(
        done, rc,
        ps_wire_put_bytes(out, HEADER_VERSION, (struct ps_span){ version, sizeof version }, err));
done:
    return rc;
}

static enum ps_code refuse_consumer(struct ps_error *err)
{
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "Checkpoint disallows consumer version %d: this version is likely buggy. "
                   "Please upgrade",
                   FORMAT_VERSION);
}

/* bad_consumers, packed as proto3 writes it. */
static enum ps_code check_bad_consumers(struct ps_span packed, struct ps_error *err)
{
    const uint8_t *at = packed.data;
    const uint8_t *end = ps_span_end(packed);
    while (at < end) {
        uint64_t consumer;
        if (!ps_varint_get(&at, end, &consumer)) { return malformed("version", err); }
        if (consumer == FORMAT_VERSION) { return refuse_consumer(err); }
    }
    return PS_OK;
}

static enum ps_code check_version(struct ps_span bytes, struct ps_error *err)
{
    const uint8_t *at = bytes.data;
    const uint8_t *end = ps_span_end(bytes);
    while (at < end) {
        struct ps_wire_field field;
        if (!ps_wire_next(&at, end, &field)) { return malformed("version", err); }
        int64_t number = (int64_t)field.number;
        if (field.field == VERSION_BAD_CONSUMERS && field.type == PS_WIRE_BYTES) {
            enum ps_code rc = check_bad_consumers(field.bytes, err);
            if (rc != PS_OK) { return rc; }
        }
        if (field.type != PS_WIRE_VARINT) { continue; }
        if (field.field == VERSION_PRODUCER && number < 0) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "Checkpoint producer version %lld below min producer 0 supported. "
                           "Please regenerate your checkpoint",
                           (long long)number);
        }
        if (field.field == VERSION_MIN_CONSUMER && number > FORMAT_VERSION) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "Checkpoint min consumer version %lld above current version %d: it was "
                           "written for a newer reader. Please upgrade",
                           (long long)number, FORMAT_VERSION);
        }
        if (field.field == VERSION_BAD_CONSUMERS && number == FORMAT_VERSION) {
            return refuse_consumer(err);
        }
    }
    return PS_OK;
}

static enum ps_code take_header_number(const struct ps_wire_field *field,
                                       struct ps_bundle_header *header, struct ps_error *err)
{
    if (field->field == HEADER_ENDIANNESS && field->number != 0) {
        return ps_fail(err, PS_UNIMPLEMENTED,
                       "Reading a bundle with different endianness from the reader: this one is "
                       "big-endian; load and save it again on a little-endian machine");
    }
    if (field->field != HEADER_NUM_SHARDS) { return PS_OK; }
    if ((int64_t)field->number < 0) { return malformed("header: negative shard count", err); }
    if (field->number > PS_BUNDLE_SHARDS_MAX) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "header claims %llu shards; the limit is %d",
                       (unsigned long long)field->number, PS_BUNDLE_SHARDS_MAX);
    }
    header->shard_count = (int32_t)field->number;
    return PS_OK;
}

enum ps_code ps_bundle_header_decode(struct ps_span bytes, struct ps_bundle_header *header_out,
                                     struct ps_error *err)
{
    const uint8_t *at = bytes.data;
    const uint8_t *end = ps_span_end(bytes);
    *header_out = (struct ps_bundle_header){ 0 };
    while (at < end) {
        struct ps_wire_field field;
        enum ps_code rc = PS_OK;
        if (!ps_wire_next(&at, end, &field)) { return malformed("header", err); }
        if (field.field == HEADER_VERSION && field.type == PS_WIRE_BYTES) {
            rc = check_version(field.bytes, err);
        } else if (field.type == PS_WIRE_VARINT) {
            rc = take_header_number(&field, header_out, err);
        }
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

/* ---- entry: encoding ---- */

static enum ps_code encode_shape(const struct ps_shape *shape, struct ps_buf *out,
                                 struct ps_error *err)
{
    struct ps_buf dims = { 0 };
    enum ps_code rc = PS_OK;
    for (int i = 0; i < shape->rank && rc == PS_OK; i++) {
        uint8_t dim[1 + PS_VARINT64_BYTES] = { DIM_SIZE << 3 };
        size_t size = 0; /* a dimension of size 0 is an empty message */
        if (shape->dims[i] != 0) { size = 1 + ps_varint_put(dim + 1, (uint64_t)shape->dims[i]); }
        rc = ps_wire_put_bytes(&dims, SHAPE_DIM, (struct ps_span){ dim, size }, err);
    }
    if (rc == PS_OK) {
        rc = ps_wire_put_bytes(out, ENTRY_SHAPE, (struct ps_span){ dims.data, dims.size }, err);
    }
    ps_buf_clean(&dims);
    return rc;
}

static enum ps_code encode_slice(const struct ps_slice *slice, struct ps_buf *out,
                                 struct ps_error *err)
{
    struct ps_buf extents = { 0 };
    enum ps_code rc = PS_OK;
    for (int i = 0; i < slice->rank && rc == PS_OK; i++) {
        uint8_t extent[2 * (1 + PS_VARINT64_BYTES)];
        size_t size = 0; /* a full extent is an empty message */
        if (slice->extents[i].start != 0) {
            extent[size++] = EXTENT_START << 3;
            size += ps_varint_put(extent + size, (uint64_t)slice->extents[i].start);
        }
        if (slice->extents[i].length != PS_SLICE_FULL) {
            extent[size++] = EXTENT_LENGTH << 3;
            size += ps_varint_put(extent + size, (uint64_t)slice->extents[i].length);
        }
        rc = ps_wire_put_bytes(&extents, SLICE_EXTENT, (struct ps_span){ extent, size }, err);
    }
    if (rc == PS_OK) {
        rc = ps_wire_put_bytes(out, ENTRY_SLICES, (struct ps_span){ extents.data, extents.size },
                               err);
    }
    ps_buf_clean(&extents);
    return rc;
}

enum ps_code ps_bundle_entry_encode(const struct ps_bundle_entry *entry, struct ps_buf *out,
                                    struct ps_error *err)
{
    enum ps_code rc;
    PS_TRY(done, rc, ps_wire_put_varint(out, ENTRY_DTYPE, (uint64_t)entry->dtype, err));
    PS_TRY(done, rc, encode_shape(&entry->shape, out, err));
    PS_TRY(done, rc, ps_wire_put_varint(out, ENTRY_SHARD_ID, (uint64_t)entry->shard_index, err));
    PS_TRY(done, rc, ps_wire_put_varint(out, ENTRY_OFFSET, entry->offset, err));
    PS_TRY(done, rc, ps_wire_put_varint(out, ENTRY_SIZE, entry->size_bytes, err));
    PS_TRY(done, rc, ps_wire_put_fixed32(out, ENTRY_CRC32C, entry->masked_crc, err));
    for (size_t i = 0; i < entry->slice_count; i++) {
        PS_TRY(done, rc, encode_slice(&entry->slices[i], out, err));
    }
done:
    return rc;
}

/* ---- entry: decoding ---- */

static enum ps_code decode_dim(struct ps_span bytes, struct ps_shape *shape, struct ps_error *err)
{
    const uint8_t *at = bytes.data;
    const uint8_t *end = ps_span_end(bytes);
    int64_t size = 0;
    while (at < end) {
        struct ps_wire_field field;
        if (!ps_wire_next(&at, end, &field)) { return malformed("dimension", err); }
        if (field.field == DIM_SIZE && field.type == PS_WIRE_VARINT) {
            size = (int64_t)field.number;
        }
    }
    if (shape->rank == PS_MAX_RANK) {
        return ps_fail(err, PS_UNIMPLEMENTED, "rank above %d is not supported", PS_MAX_RANK);
    }
    shape->dims[shape->rank++] = size;
    return PS_OK;
}

static enum ps_code decode_shape(struct ps_span bytes, struct ps_shape *shape, struct ps_error *err)
{
    const uint8_t *at = bytes.data;
    const uint8_t *end = ps_span_end(bytes);
    while (at < end) {
        struct ps_wire_field field;
        if (!ps_wire_next(&at, end, &field)) { return malformed("shape", err); }
        if (field.field == SHAPE_UNKNOWN_RANK && field.type == PS_WIRE_VARINT && field.number) {
            return ps_fail(err, PS_UNIMPLEMENTED, "a shape of unknown rank is not supported");
        }
        if (field.field != SHAPE_DIM || field.type != PS_WIRE_BYTES) { continue; }
        enum ps_code rc = decode_dim(field.bytes, shape, err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

static enum ps_code decode_extent(struct ps_span bytes, struct ps_slice *slice,
                                  struct ps_error *err)
{
    const uint8_t *at = bytes.data;
    const uint8_t *end = ps_span_end(bytes);
    int64_t start = 0;
    int64_t length = PS_SLICE_FULL;
    while (at < end) {
        struct ps_wire_field field;
        if (!ps_wire_next(&at, end, &field)) { return malformed("slice extent", err); }
        if (field.type != PS_WIRE_VARINT) { continue; }
        if (field.field == EXTENT_START) { start = (int64_t)field.number; }
        if (field.field == EXTENT_LENGTH) { length = (int64_t)field.number; }
    }
    bool is_full = length == PS_SLICE_FULL && start == 0;
    if (slice->rank == PS_MAX_RANK || (!is_full && (start < 0 || length <= 0))) {
        return malformed("slice extent", err);
    }
    slice->extents[slice->rank].start = start;
    slice->extents[slice->rank].length = length;
    slice->rank++;
    return PS_OK;
}

static enum ps_code decode_slice(struct ps_span bytes, struct ps_slice *slice, struct ps_error *err)
{
    const uint8_t *at = bytes.data;
    const uint8_t *end = ps_span_end(bytes);
    while (at < end) {
        struct ps_wire_field field;
        if (!ps_wire_next(&at, end, &field)) { return malformed("slice", err); }
        if (field.field != SLICE_EXTENT || field.type != PS_WIRE_BYTES) { continue; }
        enum ps_code rc = decode_extent(field.bytes, slice, err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

static enum ps_code take_entry_number(const struct ps_wire_field *field,
                                      struct ps_bundle_entry *entry, struct ps_error *err)
{
    uint64_t number = field->number;
    uint64_t limit = INT64_MAX;
    if (field->field == ENTRY_DTYPE) { limit = LARGEST_DTYPE; }
    if (field->field == ENTRY_SHARD_ID) { limit = PS_BUNDLE_SHARDS_MAX - 1; }
    if (field->field >= ENTRY_DTYPE && field->field <= ENTRY_SIZE && number > limit) {
        return malformed("entry: a number out of range", err);
    }
    switch (field->field) {
    case ENTRY_DTYPE: entry->dtype = (int32_t)number; break;
    case ENTRY_SHARD_ID: entry->shard_index = (int32_t)number; break;
    case ENTRY_OFFSET: entry->offset = number; break;
    case ENTRY_SIZE: entry->size_bytes = number; break;
    default: break;
    }
    return PS_OK;
}

static enum ps_code take_slice(struct ps_span bytes, struct ps_bundle_entry *entry,
                               struct ps_error *err)
{
    struct ps_slice slice = { .rank = 0 };
    if (entry->slice_count == PS_BUNDLE_SLICES_MAX) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "a tensor of more than %d slices",
                       PS_BUNDLE_SLICES_MAX);
    }
    enum ps_code rc = decode_slice(bytes, &slice, err);
    return rc == PS_OK ? ps_bundle_entry_add_slice(entry, &slice, err) : rc;
}

static enum ps_code decode_fields(struct ps_span bytes, struct ps_bundle_entry *entry,
                                  struct ps_error *err)
{
    const uint8_t *at = bytes.data;
    const uint8_t *end = ps_span_end(bytes);
    while (at < end) {
        struct ps_wire_field field;
        enum ps_code rc = PS_OK;
        if (!ps_wire_next(&at, end, &field)) { return malformed("entry", err); }
        if (field.field == ENTRY_SLICES && field.type == PS_WIRE_BYTES) {
            rc = take_slice(field.bytes, entry, err);
        } else if (field.field == ENTRY_SHAPE && field.type == PS_WIRE_BYTES) {
            rc = decode_shape(field.bytes, &entry->shape, err);
        } else if (field.field == ENTRY_CRC32C && field.type == PS_WIRE_FIXED32) {
            entry->masked_crc = (uint32_t)field.number;
        } else if (field.type == PS_WIRE_VARINT) {
            rc = take_entry_number(&field, entry, err);
        }
        if (rc != PS_OK) { return rc; }
    }
    if (entry->offset > INT64_MAX - entry->size_bytes) { return malformed("entry: offset", err); }
    return PS_OK;
}

static enum ps_code check_slice(const struct ps_bundle_entry *entry, const struct ps_slice *slice,
                                struct ps_error *err)
{
    if (slice->rank != entry->shape.rank) {
        return malformed("entry: a slice's rank is not the tensor's", err);
    }
    for (int i = 0; i < slice->rank; i++) {
        if (slice->extents[i].length == PS_SLICE_FULL) { continue; }
        if (slice->extents[i].start > entry->shape.dims[i] - slice->extents[i].length) {
            return malformed("entry: a slice lies outside the tensor", err);
        }
    }
    return PS_OK;
}

enum ps_code ps_bundle_entry_decode(struct ps_span bytes, struct ps_bundle_entry *entry_out,
                                    struct ps_error *err)
{
    enum ps_code rc;
    struct ps_error detail = PS_ERROR_INIT;
    *entry_out = (struct ps_bundle_entry){ 0 };
    PS_TRY(fail, rc, decode_fields(bytes, entry_out, err));
    if (ps_shape_check(&entry_out->shape, &detail) != PS_OK) {
        rc = ps_fail(err, PS_DATA_LOSS, "malformed entry: %s", detail.message);
        goto fail;
    }
    for (size_t i = 0; i < entry_out->slice_count; i++) {
        PS_TRY(fail, rc, check_slice(entry_out, &entry_out->slices[i], err));
    }
    return PS_OK;
fail:
    ps_bundle_entry_clean(entry_out);
    return rc;
}

void ps_bundle_entry_clean(struct ps_bundle_entry *entry)
{
    if (entry == NULL) { return; }
    ps_free(entry->slices);
    *entry = (struct ps_bundle_entry){ 0 };
}

enum ps_code ps_bundle_entry_add_slice(struct ps_bundle_entry *entry, const struct ps_slice *slice,
                                       struct ps_error *err)
{
    /* Grows at powers of two; the count alone says how much is there. */
    size_t count = entry->slice_count;
    if ((count & (count - 1)) == 0) {
        size_t capacity = count == 0 ? 1 : 2 * count;
        struct ps_slice *grown = ps_realloc(entry->slices, capacity * sizeof *grown);
        if (grown == NULL) {
            return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for %zu slices", capacity);
        }
        entry->slices = grown;
    }
    entry->slices[entry->slice_count++] = *slice;
    return PS_OK;
}
