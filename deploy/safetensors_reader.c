/* Reads .safetensors files: a JSON header of types, shapes and offsets, then the bytes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/safetensors_reader.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/files.h"
#include "checkpoint/varint.h"
#include "core/alloc.h"
#include "core/bytes.h"
#include "deploy/safetensors_format.h"

enum { PIECE_BYTES = 1 << 20 };

struct reader {
    struct ps_archive_reader base;
    struct ps_file *file;
    char *path;
    uint64_t data_offset;
    uint64_t data_bytes;
    struct ps_buf places; /* struct place, one a tensor */
    uint8_t *piece;       /* PIECE_BYTES */
};

static enum ps_code damaged(const struct reader *reader, const char *what, struct ps_error *err)
{
    return ps_fail(err, PS_DATA_LOSS, "'%s' is no .safetensors file, or a damaged one: %s",
                   reader->path, what);
}

static struct ps_safetensors_place *places_of(const struct reader *reader)
{
    return (struct ps_safetensors_place *)(void *)reader->places.data;
}

static enum ps_code parse_dtype(const char *text, enum ps_dtype *dtype_out, struct ps_error *err)
{
#define PARSE(dtype, name)         \
    if (strcmp(text, name) == 0) { \
        *dtype_out = dtype;        \
        return PS_OK;              \
    }
    PS_SAFETENSORS_TYPES(PARSE)
#undef PARSE
    return ps_fail(err, PS_INVALID_ARGUMENT, "no variable can have the type '%.16s'", text);
}

static enum ps_code parse_shape(const json_t *list, struct ps_shape *shape, struct ps_error *err)
{
    size_t rank = json_array_size(list);
    if (rank > PS_MAX_RANK) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "more than %d dimensions", PS_MAX_RANK);
    }
    *shape = (struct ps_shape){ .rank = (int)rank };
    for (size_t i = 0; i < rank; i++) {
        const json_t *dim = json_array_get(list, i);
        if (!json_is_integer(dim)) {
            return ps_fail(err, PS_DATA_LOSS, "its shape is not made of whole numbers");
        }
        shape->dims[i] = json_integer_value(dim);
    }
    return ps_shape_check(shape, err);
}

static enum ps_code parse_place(const json_t *list, uint64_t expected,
                                struct ps_safetensors_place *place, struct ps_error *err)
{
    const json_t *begin = json_array_get(list, 0), *end = json_array_get(list, 1);
    if (json_array_size(list) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin)) {
        return ps_fail(err, PS_DATA_LOSS, "data_offsets are not two rising numbers");
    }
    place->begin = (uint64_t)json_integer_value(begin);
    place->end = (uint64_t)json_integer_value(end);
    if (place->end - place->begin == expected) { return PS_OK; }
    return ps_fail(err, PS_DATA_LOSS, "%" PRIu64 " bytes of data, but its shape takes %" PRIu64,
                   place->end - place->begin, expected);
}

static enum ps_code add_tensor(struct reader *reader, const char *name, json_t *item,
                               struct ps_error *err)
{
    struct ps_archive_tensor tensor = { .name = NULL };
    struct ps_safetensors_place place = { .index = reader->base.tensors.count };
    json_t *shape = json_object_get(item, "shape");
    json_t *offsets = json_object_get(item, "data_offsets");
    const char *dtype = json_string_value(json_object_get(item, "dtype"));
    enum ps_code rc;
    if (dtype == NULL || !json_is_array(shape) || !json_is_array(offsets)) {
        return ps_fail(err, PS_DATA_LOSS, "'%s': '%.200s' lacks dtype, shape or data_offsets",
                       reader->path, name);
    }
    tensor.name = ps_strdup(name);
    if (tensor.name == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a name"); }
    PS_TRY(done, rc, parse_dtype(dtype, &tensor.dtype, err));
    PS_TRY(done, rc, parse_shape(shape, &tensor.shape, err));
    PS_TRY(done, rc, parse_place(offsets, ps_archive_size_bytes(&tensor), &place, err));
    PS_TRY(done, rc, ps_archive_list_add(&reader->base.tensors, &tensor, err));
    PS_TRY(done, rc, ps_buf_append(&reader->places, &place, sizeof place, err));
done:
    if (rc != PS_OK) { (void)ps_wrap(err, "'%s': '%.200s'", reader->path, name); }
    ps_free(tensor.name);
    return rc;
}

static int compare_places(const void *a, const void *b)
{
    const struct ps_safetensors_place *x = a, *y = b;
    if (x->begin != y->begin) { return x->begin < y->begin ? -1 : 1; }
    return (x->end > y->end) - (x->end < y->end);
}

/* The tensors are the data, without overlaps and without gaps. */
static enum ps_code check_places(const struct reader *reader, struct ps_error *err)
{
    size_t count = reader->base.tensors.count;
    uint64_t at = 0;
    struct ps_safetensors_place *sorted = ps_alloc(count * sizeof *sorted + 1);
    if (sorted == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for offsets"); }
    if (count > 0) {
        memcpy(sorted, reader->places.data, count * sizeof *sorted);
        qsort(sorted, count, sizeof *sorted, compare_places);
    }
    size_t i = 0;
    while (i < count && sorted[i].begin == at) { at = sorted[i++].end; }
    enum ps_code rc = PS_OK;
    if (i < count) {
        rc = ps_fail(err, PS_DATA_LOSS,
                     "'%s': '%.200s' begins at %" PRIu64 " of the data, where %" PRIu64
                     " was due: tensors overlap, or leave a gap",
                     reader->path, reader->base.tensors.items[sorted[i].index].name,
                     sorted[i].begin, at);
    } else if (at != reader->data_bytes) {
        rc = ps_fail(err, PS_DATA_LOSS,
                     "'%s' has %" PRIu64 " bytes of data, but its tensors take %" PRIu64
                     "; was it copied completely?",
                     reader->path, reader->data_bytes, at);
    }
    ps_free(sorted);
    return rc;
}

static enum ps_code parse_header(struct reader *reader, const char *text, size_t size,
                                 struct ps_error *err)
{
    json_error_t detail;
    const char *name;
    json_t *item;
    enum ps_code rc = PS_OK;
    if (size == 0 || text[0] != '{') {
        return damaged(reader, "its header is no JSON object", err);
    }
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &detail);
    if (root == NULL) {
        return ps_fail(err, PS_DATA_LOSS,
                       "'%s' is no .safetensors file, or a damaged one: its header, "
                       "column %d: %s",
                       reader->path, detail.column, detail.text);
    }
    json_object_foreach(root, name, item)
    {
        if (strcmp(name, PS_SAFETENSORS_METADATA) == 0) { continue; }
        PS_TRY(done, rc, add_tensor(reader, name, item, err));
    }
    PS_TRY(done, rc, check_places(reader, err));
done:
    json_decref(root);
    return rc;
}

static enum ps_code read_file(struct reader *reader, struct ps_error *err)
{
    struct ps_file_info info;
    uint8_t start[PS_SAFETENSORS_SIZE_BYTES];
    char *text = NULL;
    enum ps_code rc;
    PS_TRY(done, rc, reader->file->ops->info(reader->file, &info, err));
    if (info.size_bytes < PS_SAFETENSORS_SIZE_BYTES) {
        return damaged(reader, "it is too short", err);
    }
    PS_TRY(done, rc, reader->file->ops->read_at(reader->file, 0, start, sizeof start, err));
    uint64_t size = (uint64_t)ps_fixed32_get(start + 4) << 32 | ps_fixed32_get(start);
    if (size > info.size_bytes - PS_SAFETENSORS_SIZE_BYTES) {
        return damaged(reader, "its header is said to be longer than the file", err);
    }
    if (size > PS_SAFETENSORS_HEADER_BYTES_MAX) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED,
                       "'%s' has a header of %" PRIu64 " bytes; the limit is %d", reader->path,
                       size, PS_SAFETENSORS_HEADER_BYTES_MAX);
    }
    reader->data_offset = PS_SAFETENSORS_SIZE_BYTES + size;
    reader->data_bytes = info.size_bytes - reader->data_offset;
    text = ps_alloc((size_t)size + 1);
    if (text == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a header"); }
    PS_TRY(done, rc,
           reader->file->ops->read_at(reader->file, PS_SAFETENSORS_SIZE_BYTES, text, (size_t)size,
                                      err));
    PS_TRY(done, rc, parse_header(reader, text, (size_t)size, err));
done:
    ps_free(text);
    return rc;
}

static enum ps_code stream_tensor(struct ps_archive_reader *base, size_t index,
                                  ps_archive_sink_fn *sink, void *ctx, struct ps_error *err)
{
    struct reader *reader = (struct reader *)base;
    const struct ps_safetensors_place *place = &places_of(reader)[index];
    for (uint64_t at = place->begin; at < place->end; at += PIECE_BYTES) {
        uint64_t left = place->end - at;
        size_t size = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        enum ps_code rc = reader->file->ops->read_at(reader->file, reader->data_offset + at,
                                                     reader->piece, size, err);
        if (rc == PS_OK) { rc = sink(ctx, reader->piece, size, err); }
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

static void close_reader(struct ps_archive_reader *base)
{
    struct reader *reader = (struct reader *)base;
    ps_archive_list_clean(&base->tensors);
    ps_files_drop(&reader->file);
    ps_buf_clean(&reader->places);
    ps_free(reader->path);
    ps_free(reader->piece);
    ps_free(reader);
}

static const struct ps_archive_reader_ops reader_ops = { .stream = stream_tensor,
                                                         .close = close_reader };

enum ps_code ps_safetensors_reader_open(const char *path, struct ps_archive_reader **reader_out,
                                        struct ps_error *err)
{
    const struct ps_files *files = ps_files_posix();
    enum ps_code rc;
    *reader_out = NULL;
    struct reader *reader = ps_alloc_zero(1, sizeof *reader);
    if (reader == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for '%s'", path); }
    reader->base.ops = &reader_ops;
    reader->path = ps_strdup(path);
    reader->piece = ps_alloc(PIECE_BYTES);
    if (reader->path == NULL || reader->piece == NULL) {
        rc = ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for '%s'", path);
        goto fail;
    }
    PS_TRY(fail, rc, files->open(files->ctx, path, &reader->file, err));
    PS_TRY(fail, rc, read_file(reader, err));
    *reader_out = &reader->base;
    return PS_OK;
fail:
    close_reader(&reader->base);
    return rc;
}
