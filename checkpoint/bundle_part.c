/* One data file: tensors back to back, checksummed on the way through one aligned buffer. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/bundle_part.h"

#include <string.h>

#include "checkpoint/bundle_names.h"
#include "checkpoint/files.h"
#include "checkpoint/varint.h"
#include "core/alloc.h"

/* Large enough for a disk to run at full speed, aligned so that writes can bypass the page
 * cache. */
enum { BUFFER_BYTES = 1 << 20, BUFFER_ALIGN = 4096 };

struct ps_bundle_part {
    struct ps_file *file; /* NULL once finished */
    struct ps_path path;
    uint8_t *memory;
    uint8_t *buffer; /* in memory, aligned */
    size_t buffered_bytes;
    uint64_t size_bytes; /* of everything appended */
    struct ps_bundle_rows rows;
    /* the tensor that is being written */
    bool is_open;
    struct ps_buf name;
    enum ps_dtype dtype;
    struct ps_shape shape;
    struct ps_slice slice;
    uint64_t expected_bytes;
    uint64_t start; /* offset of its first byte */
    uint32_t crc;
};

static struct ps_span span_of(const struct ps_buf *buf)
{
    return (struct ps_span){ .data = buf->data, .size = buf->size };
}

enum ps_code ps_bundle_part_create(const struct ps_bundle_ticket *ticket, uint32_t part_index,
                                   struct ps_bundle_part **part_out, struct ps_error *err)
{
    const struct ps_files *files = ticket->files;
    const struct ps_bundle_name name = { .kind = PS_BUNDLE_PART_TEMPORARY,
                                         .id = ticket->id,
                                         .shard = part_index };
    enum ps_code rc;
    *part_out = NULL;
    struct ps_bundle_part *part = ps_alloc_zero(1, sizeof *part);
    if (part == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to save"); }
    part->memory = ps_alloc(BUFFER_BYTES + BUFFER_ALIGN);
    if (part->memory == NULL) {
        rc = ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to save: %d bytes", BUFFER_BYTES);
        goto fail;
    }
    part->buffer = part->memory + (BUFFER_ALIGN - (uintptr_t)part->memory % BUFFER_ALIGN);
    PS_TRY(fail, rc, ps_bundle_prefix_check(ticket->prefix, err));
    PS_TRY(fail, rc, ps_bundle_path(&part->path, ticket->prefix, &name, err));
    PS_TRY(fail, rc, files->create(files->ctx, part->path.text, &part->file, err));
    *part_out = part;
    return PS_OK;
fail:
    ps_bundle_part_destroy(part);
    return rc;
}

void ps_bundle_part_destroy(struct ps_bundle_part *part)
{
    if (part == NULL) { return; }
    ps_files_drop(&part->file);
    ps_bundle_rows_clean(&part->rows);
    ps_buf_clean(&part->name);
    ps_free(part->memory);
    ps_free(part);
}

/* Writes the buffer out; with more to come only whole buffers, so that all but the last write of a
 * file are aligned. */
static enum ps_code flush(struct ps_bundle_part *part, struct ps_error *err)
{
    size_t size = part->buffered_bytes;
    part->buffered_bytes = 0;
    if (size == 0) { return PS_OK; }
    return part->file->ops->append(part->file, part->buffer, size, err);
}

static enum ps_code put(struct ps_bundle_part *part, const void *data, size_t size_bytes,
                        struct ps_error *err)
{
    const uint8_t *from = data;
    while (size_bytes > 0) {
        size_t run = BUFFER_BYTES - part->buffered_bytes;
        if (run > size_bytes) { run = size_bytes; }
        /* The copy is what gets the CRC: the caller's bytes may belong to someone who writes. */
        uint8_t *to = part->buffer + part->buffered_bytes;
        memcpy(to, from, run);
        part->crc = ps_crc32c(part->crc, to, run);
        part->buffered_bytes += run;
        part->size_bytes += run;
        from += run;
        size_bytes -= run;
        if (part->buffered_bytes < BUFFER_BYTES) { continue; }
        enum ps_code rc = flush(part, err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

static enum ps_code check_name(const char *name, struct ps_error *err)
{
    size_t size = strlen(name);
    if (size >= 1 && size <= PS_BUNDLE_NAME_BYTES_MAX) { return PS_OK; }
    return ps_fail(err, PS_INVALID_ARGUMENT, "a tensor's name has 1 to %d bytes; '%.100s' has %zu",
                   PS_BUNDLE_NAME_BYTES_MAX, name, size);
}

static enum ps_code open_tensor(struct ps_bundle_part *part, const char *name,
                                const struct ps_shape *shape, struct ps_error *err)
{
    enum ps_code rc;
    PS_ASSERT(!part->is_open && part->file != NULL);
    PS_TRY(done, rc, check_name(name, err));
    rc = ps_shape_check(shape, err);
    if (rc != PS_OK) { return ps_wrap(err, "tensor '%s'", name); }
    part->name.size = 0;
    PS_TRY(done, rc, ps_buf_append(&part->name, name, strlen(name) + 1, err));
    part->name.size--; /* the NUL stays behind it, for messages */
    part->shape = *shape;
    part->slice = ps_slice_whole(shape);
    part->start = part->size_bytes;
    part->crc = 0;
    part->is_open = true;
done:
    return rc;
}

enum ps_code ps_bundle_part_begin(struct ps_bundle_part *part,
                                  const struct ps_bundle_tensor *tensor, struct ps_error *err)
{
    int element_bytes = ps_dtype_size(tensor->dtype);
    if (element_bytes == 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "tensor '%s': type %s cannot be saved from bytes",
                       tensor->name, ps_dtype_name((int)tensor->dtype));
    }
    enum ps_code rc = open_tensor(part, tensor->name, &tensor->shape, err);
    if (rc != PS_OK) { return rc; }
    if (tensor->slice != NULL) {
        rc = ps_slice_check(tensor->slice, &tensor->shape, err);
        if (rc != PS_OK) { return ps_wrap(err, "tensor '%s'", tensor->name); }
        part->slice = ps_slice_resolve(tensor->slice, &tensor->shape);
        /* Keep TensorFlow's two spellings of a full dimension apart, byte for byte. */
        if (!ps_slice_covers(&part->slice, &part->shape)) { part->slice = *tensor->slice; }
    }
    struct ps_slice resolved = ps_slice_resolve(&part->slice, &part->shape);
    struct ps_shape stored = ps_slice_shape(&resolved);
    part->dtype = tensor->dtype;
    part->expected_bytes = (uint64_t)ps_shape_elements(&stored) * (uint64_t)element_bytes;
    return PS_OK;
}

enum ps_code ps_bundle_part_append(struct ps_bundle_part *part, const void *data, size_t size_bytes,
                                   struct ps_error *err)
{
    PS_ASSERT(part->is_open);
    if (size_bytes > part->expected_bytes - (part->size_bytes - part->start)) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "tensor '%s': more than its %llu bytes",
                       (const char *)part->name.data, (unsigned long long)part->expected_bytes);
    }
    return put(part, data, size_bytes, err);
}

/* The row of the bytes just written, under key. */
static enum ps_code add_row(struct ps_bundle_part *part, struct ps_span key, struct ps_error *err)
{
    struct ps_slice resolved = ps_slice_resolve(&part->slice, &part->shape);
    struct ps_bundle_entry entry = {
        .dtype = (int32_t)part->dtype,
        .shape = ps_slice_shape(&resolved),
        .size_bytes = part->size_bytes - part->start,
        .offset = part->start,
        .masked_crc = ps_crc_mask(part->crc),
    };
    return ps_bundle_rows_add(&part->rows, key, &entry, err);
}

/* The two rows of a slice: the tensor's with one slice more, and the slice's own. */
static enum ps_code add_slice_rows(struct ps_bundle_part *part, struct ps_error *err)
{
    struct ps_buf key = { 0 };
    struct ps_bundle_entry whole = { .dtype = (int32_t)part->dtype, .shape = part->shape };
    enum ps_code rc;
    PS_TRY(done, rc, ps_bundle_entry_add_slice(&whole, &part->slice, err));
    PS_TRY(done, rc, ps_bundle_rows_add(&part->rows, span_of(&part->name), &whole, err));
    PS_TRY(done, rc, ps_ordered_slice_key(&key, span_of(&part->name), &part->slice, err));
    PS_TRY(done, rc, add_row(part, span_of(&key), err));
done:
    ps_bundle_entry_clean(&whole);
    ps_buf_clean(&key);
    return rc;
}

enum ps_code ps_bundle_part_end(struct ps_bundle_part *part, struct ps_error *err)
{
    PS_ASSERT(part->is_open);
    part->is_open = false;
    if (part->size_bytes - part->start != part->expected_bytes) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "tensor '%s': %llu bytes of %llu",
                       (const char *)part->name.data,
                       (unsigned long long)(part->size_bytes - part->start),
                       (unsigned long long)part->expected_bytes);
    }
    struct ps_slice resolved = ps_slice_resolve(&part->slice, &part->shape);
    if (ps_slice_covers(&resolved, &part->shape)) {
        return add_row(part, span_of(&part->name), err);
    }
    return add_slice_rows(part, err);
}

/* The lengths of the strings, as varints; their checksum covers them as plain little-endian words
 * instead: 4 bytes, or 8 for a length above 32 bits. */
static enum ps_code put_lengths(struct ps_bundle_part *part, const struct ps_span *strings,
                                size_t count, uint32_t *crc_out, struct ps_error *err)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t varint[PS_VARINT64_BYTES], word[8];
        uint64_t size = strings[i].size;
        ps_fixed32_put(word, (uint32_t)size);
        ps_fixed32_put(word + 4, (uint32_t)(size >> 32));
        crc = ps_crc32c(crc, word, size > UINT32_MAX ? 8 : 4);
        enum ps_code rc = put(part, varint, ps_varint_put(varint, size), err);
        if (rc != PS_OK) { return rc; }
    }
    *crc_out = crc;
    return PS_OK;
}

enum ps_code ps_bundle_part_strings(struct ps_bundle_part *part, const char *name,
                                    const struct ps_shape *shape, const struct ps_span *strings,
                                    struct ps_error *err)
{
    uint32_t crc;
    uint8_t checksum[4];
    enum ps_code rc;
    PS_TRY(done, rc, open_tensor(part, name, shape, err));
    part->dtype = PS_STRING;
    part->is_open = false;
    size_t count = (size_t)ps_shape_elements(shape);
    PS_TRY(done, rc, put_lengths(part, strings, count, &crc, err));
    part->crc = crc; /* from here on every byte counts as it is */
    ps_fixed32_put(checksum, ps_crc_mask(crc));
    PS_TRY(done, rc, put(part, checksum, sizeof checksum, err));
    for (size_t i = 0; i < count; i++) {
        PS_TRY(done, rc, put(part, strings[i].data, strings[i].size, err));
    }
    PS_TRY(done, rc, add_row(part, span_of(&part->name), err));
done:
    return rc;
}

enum ps_code ps_bundle_part_finish(struct ps_bundle_part *part, struct ps_error *err)
{
    enum ps_code rc;
    PS_ASSERT(!part->is_open && part->file != NULL);
    PS_TRY(done, rc, flush(part, err));
    PS_TRY(done, rc, part->file->ops->sync(part->file, err));
    struct ps_file *file = part->file;
    part->file = NULL;
    PS_TRY(done, rc, file->ops->close(file, err));
    PS_TRY(done, rc, ps_bundle_rows_fold(&part->rows, err));
done:
    return rc;
}

const struct ps_bundle_rows *ps_bundle_part_rows(const struct ps_bundle_part *part)
{
    return &part->rows;
}

uint64_t ps_bundle_part_size_bytes(const struct ps_bundle_part *part)
{
    return part->size_bytes;
}
