/* Writes .safetensors files: a JSON header of types, shapes and offsets, then the bytes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/safetensors_writer.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/varint.h"
#include "core/alloc.h"
#include "deploy/output_file.h"
#include "deploy/safetensors_format.h"

struct writer {
    struct ps_archive_writer base;
    const struct ps_archive_list *tensors; /* borrowed */
    struct ps_output_file *file;
    struct ps_safetensors_place *places; /* one a tensor */
    uint64_t data_offset;
    uint64_t at; /* where the next byte of the tensor being written goes */
    uint64_t end;
};

static const char *name_of(enum ps_dtype dtype)
{
#define NAME(number, name) \
    if (dtype == number) { return name; }
    PS_SAFETENSORS_TYPES(NAME)
#undef NAME
    ps_assert_failed("a type that can be exported", __FILE__, __LINE__);
}

static int compare_width(const void *a, const void *b, void *ctx)
{
    const struct ps_safetensors_place *x = a, *y = b;
    const struct ps_archive_list *tensors = ctx;
    int wide_x = ps_dtype_size(tensors->items[x->index].dtype);
    int wide_y = ps_dtype_size(tensors->items[y->index].dtype);
    if (wide_x != wide_y) { return wide_x > wide_y ? -1 : 1; }
    return (x->index > y->index) - (x->index < y->index);
}

/* Gives every tensor its place, and appends its line to the header. */
static enum ps_code lay_out(struct writer *writer, json_t *header, struct ps_error *err)
{
    const struct ps_archive_list *tensors = writer->tensors;
    uint64_t at = 0;
    struct ps_safetensors_place *sorted = ps_alloc_zero(tensors->count + 1, sizeof *sorted);
    writer->places = ps_alloc_zero(tensors->count + 1, sizeof *writer->places);
    if (sorted == NULL || writer->places == NULL) {
        ps_free(sorted);
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for %zu tensors", tensors->count);
    }
    for (size_t i = 0; i < tensors->count; i++) { sorted[i].index = i; }
    qsort_r(sorted, tensors->count, sizeof *sorted, compare_width, (void *)(uintptr_t)tensors);
    bool good = true;
    for (size_t i = 0; i < tensors->count; i++) {
        const struct ps_archive_tensor *tensor = &tensors->items[sorted[i].index];
        struct ps_safetensors_place place = { sorted[i].index, at,
                                              at + ps_archive_size_bytes(tensor) };
        json_t *shape = json_array();
        for (int d = 0; d < tensor->shape.rank; d++) {
            good = json_array_append_new(shape, json_integer(tensor->shape.dims[d])) == 0 && good;
        }
        json_t *item = json_pack("{s:s, s:o, s:[I, I]}", "dtype", name_of(tensor->dtype), "shape",
                                 shape, "data_offsets", (json_int_t)place.begin,
                                 (json_int_t)place.end);
        good = json_object_set_new(header, tensor->name, item) == 0 && good;
        writer->places[place.index] = place;
        at = place.end;
    }
    ps_free(sorted);
    return good ? PS_OK : ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a header");
}

static enum ps_code check_names(const struct ps_archive_list *tensors, struct ps_error *err)
{
    for (size_t i = 0; i < tensors->count; i++) {
        if (strcmp(tensors->items[i].name, PS_SAFETENSORS_METADATA) == 0) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "a .safetensors file cannot hold a tensor called "
                           "'%s': leave it out with --tensors, or export to npz",
                           PS_SAFETENSORS_METADATA);
        }
    }
    return PS_OK;
}

static enum ps_code write_header(struct writer *writer, const char *text, struct ps_error *err)
{
    size_t size = strlen(text);
    size_t padding = (PS_SAFETENSORS_ALIGNMENT - size % PS_SAFETENSORS_ALIGNMENT) %
                     PS_SAFETENSORS_ALIGNMENT;
    uint8_t start[PS_SAFETENSORS_SIZE_BYTES];
    enum ps_code rc;
    if (size + padding > PS_SAFETENSORS_HEADER_BYTES_MAX) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "the header for %zu tensors takes %zu bytes; the limit "
                       "is %d: choose fewer with --tensors, or export to npz",
                       writer->tensors->count, size, PS_SAFETENSORS_HEADER_BYTES_MAX);
    }
    writer->data_offset = PS_SAFETENSORS_SIZE_BYTES + size + padding;
    uint64_t header_bytes = size + padding;
    ps_fixed32_put(start, (uint32_t)header_bytes);
    ps_fixed32_put(start + 4, (uint32_t)(header_bytes >> 32));
    PS_TRY(done, rc, ps_output_file_write(writer->file, 0, start, PS_SAFETENSORS_SIZE_BYTES, err));
    PS_TRY(done, rc,
           ps_output_file_write(writer->file, PS_SAFETENSORS_SIZE_BYTES, text, size, err));
    PS_TRY(done, rc,
           ps_output_file_write(writer->file, PS_SAFETENSORS_SIZE_BYTES + size, "       ", padding,
                                err));
done:
    return rc;
}

static enum ps_code begin(struct ps_archive_writer *base, size_t index, struct ps_error *err)
{
    struct writer *writer = (struct writer *)base;
    (void)err;
    writer->at = writer->places[index].begin;
    writer->end = writer->places[index].end;
    return PS_OK;
}

static enum ps_code append(struct ps_archive_writer *base, const void *data, size_t size_bytes,
                           struct ps_error *err)
{
    struct writer *writer = (struct writer *)base;
    PS_ASSERT(size_bytes <= writer->end - writer->at);
    uint64_t offset = writer->data_offset + writer->at;
    writer->at += size_bytes;
    return ps_output_file_write(writer->file, offset, data, size_bytes, err);
}

static enum ps_code end(struct ps_archive_writer *base, struct ps_error *err)
{
    struct writer *writer = (struct writer *)base;
    (void)err;
    PS_ASSERT(writer->at == writer->end);
    return PS_OK;
}

static enum ps_code finish(struct ps_archive_writer *base, struct ps_error *err)
{
    struct writer *writer = (struct writer *)base;
    return ps_output_file_finish(writer->file, err);
}

static void destroy(struct ps_archive_writer *base)
{
    struct writer *writer = (struct writer *)base;
    ps_output_file_destroy(writer->file);
    ps_free(writer->places);
    ps_free(writer);
}

static const struct ps_archive_writer_ops writer_ops = {
    .begin = begin, .append = append, .end = end, .finish = finish, .destroy = destroy
};

enum ps_code ps_safetensors_writer_create(const char *path, const struct ps_archive_list *tensors,
                                          struct ps_archive_writer **writer_out,
                                          struct ps_error *err)
{
    char *text = NULL;
    enum ps_code rc;
    *writer_out = NULL;
    json_t *header = json_object();
    struct writer *writer = ps_alloc_zero(1, sizeof *writer);
    if (writer == NULL || header == NULL) {
        rc = ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for '%s'", path);
        goto done;
    }
    writer->base.ops = &writer_ops;
    writer->tensors = tensors;
    PS_TRY(done, rc, check_names(tensors, err));
    PS_TRY(done, rc, lay_out(writer, header, err));
    text = json_dumps(header, JSON_COMPACT);
    if (text == NULL) {
        rc = ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a header");
        goto done;
    }
    PS_TRY(done, rc, ps_output_file_create(path, &writer->file, err));
    PS_TRY(done, rc, write_header(writer, text, err));
    *writer_out = &writer->base;
    writer = NULL;
done:
    free(text);
    json_decref(header);
    if (writer != NULL) { destroy(&writer->base); }
    return rc;
}
