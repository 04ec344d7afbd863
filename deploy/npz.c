/* NumPy's .npz archives: a zip file with an .npy file for each tensor. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/npz.h"

#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"
#include "deploy/npy_header.h"
#include "deploy/zip_reader.h"
#include "deploy/zip_stream.h"
#include "deploy/zip_writer.h"

static const char suffix[] = ".npy";
enum { SUFFIX_BYTES = sizeof suffix - 1, PIECE_BYTES = 1 << 20 };

/* ---- Reading ---- */

struct npz_reader {
    struct ps_archive_reader base;
    struct ps_zip_reader zip; /* member i is tensor i */
    uint8_t *piece;           /* PIECE_BYTES */
};

/* Reads the header at the beginning of a member. */
static enum ps_code read_header(struct ps_zip_stream *stream, struct ps_buf *header,
                                struct ps_error *err)
{
    uint8_t start[PS_NPY_START_BYTES];
    size_t size;
    enum ps_code rc;
    PS_TRY(done, rc, ps_zip_stream_read(stream, start, sizeof start, err));
    PS_TRY(done, rc, ps_npy_header_size(start, &size, err));
    PS_TRY(done, rc, ps_buf_reserve(header, size, err));
    PS_TRY(done, rc, ps_buf_append(header, start, sizeof start, err));
    PS_TRY(done, rc,
           ps_zip_stream_read(stream, header->data + sizeof start, size - sizeof start, err));
    header->size = size;
done:
    return rc;
}

/* The tensor's name: the member's without ".npy". */
static enum ps_code cut_name(const struct ps_zip_member *member, struct ps_buf *name,
                             struct ps_error *err)
{
    size_t size = strlen(member->name);
    if (size < SUFFIX_BYTES || strcmp(member->name + size - SUFFIX_BYTES, suffix) != 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "it is no .npy file; numpy.savez writes nothing "
                       "else");
    }
    enum ps_code rc = ps_buf_append(name, member->name, size - SUFFIX_BYTES, err);
    return rc == PS_OK ? ps_buf_append(name, "", 1, err) : rc;
}

static enum ps_code check_size(const struct ps_zip_member *member, size_t header_bytes,
                               const struct ps_archive_tensor *tensor, struct ps_error *err)
{
    char text[PS_SHAPE_TEXT_BYTES];
    uint64_t expected = ps_archive_size_bytes(tensor);
    uint64_t found = member->size_bytes - header_bytes; /* the header was read, so it is inside */
    if (found == expected) { return PS_OK; }
    return ps_fail(err, PS_DATA_LOSS, "%" PRIu64 " bytes of data, but %s%s takes %" PRIu64, found,
                   ps_dtype_name((int)tensor->dtype), ps_shape_format(&tensor->shape, text),
                   expected);
}

static enum ps_code add_member(struct npz_reader *reader, size_t index, struct ps_error *err)
{
    const struct ps_zip_member *member = &reader->zip.members[index];
    struct ps_archive_tensor tensor = { .name = NULL };
    struct ps_zip_stream *stream = NULL;
    struct ps_buf header = { 0 }, name = { 0 };
    enum ps_code rc;
    PS_TRY(done, rc, cut_name(member, &name, err));
    PS_TRY(done, rc, ps_zip_stream_open(&reader->zip, index, &stream, err));
    PS_TRY(done, rc, read_header(stream, &header, err));
    struct ps_span bytes = { header.data, header.size };
    PS_TRY(done, rc, ps_npy_header_parse(bytes, &tensor.dtype, &tensor.shape, err));
    PS_TRY(done, rc, check_size(member, header.size, &tensor, err));
    tensor.name = (char *)name.data;
    PS_TRY(done, rc, ps_archive_list_add(&reader->base.tensors, &tensor, err));
done:
    if (rc != PS_OK) { (void)ps_wrap(err, "'%s': '%.200s'", reader->zip.path, member->name); }
    ps_zip_stream_close(stream);
    ps_buf_clean(&header);
    ps_buf_clean(&name);
    return rc;
}

static enum ps_code stream_tensor(struct ps_archive_reader *base, size_t index,
                                  ps_archive_sink_fn *sink, void *ctx, struct ps_error *err)
{
    struct npz_reader *reader = (struct npz_reader *)base;
    struct ps_zip_stream *stream = NULL;
    struct ps_buf header = { 0 };
    uint64_t left = ps_archive_size_bytes(&base->tensors.items[index]);
    enum ps_code rc;
    PS_TRY(done, rc, ps_zip_stream_open(&reader->zip, index, &stream, err));
    PS_TRY(done, rc, read_header(stream, &header, err));
    while (left > 0) {
        size_t size = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        PS_TRY(done, rc, ps_zip_stream_read(stream, reader->piece, size, err));
        PS_TRY(done, rc, sink(ctx, reader->piece, size, err));
        left -= size;
    }
done:
    ps_zip_stream_close(stream);
    ps_buf_clean(&header);
    return rc;
}

static void close_reader(struct ps_archive_reader *base)
{
    struct npz_reader *reader = (struct npz_reader *)base;
    ps_archive_list_clean(&base->tensors);
    ps_zip_reader_close(&reader->zip);
    ps_free(reader->piece);
    ps_free(reader);
}

static const struct ps_archive_reader_ops reader_ops = { .stream = stream_tensor,
                                                         .close = close_reader };

enum ps_code ps_npz_reader_open(const char *path, struct ps_archive_reader **reader_out,
                                struct ps_error *err)
{
    enum ps_code rc;
    *reader_out = NULL;
    struct npz_reader *reader = ps_alloc_zero(1, sizeof *reader);
    if (reader == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for '%s'", path); }
    reader->base.ops = &reader_ops;
    reader->piece = ps_alloc(PIECE_BYTES);
    if (reader->piece == NULL) {
        rc = ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for '%s'", path);
        goto fail;
    }
    PS_TRY(fail, rc, ps_zip_reader_open(path, &reader->zip, err));
    for (size_t i = 0; i < reader->zip.count; i++) { PS_TRY(fail, rc, add_member(reader, i, err)); }
    *reader_out = &reader->base;
    return PS_OK;
fail:
    close_reader(&reader->base);
    return rc;
}

/* ---- Writing ---- */

struct npz_writer {
    struct ps_archive_writer base;
    const struct ps_archive_list *tensors; /* borrowed */
    struct ps_zip_writer zip;
    struct ps_buf name; /* of the member being written, with a NUL */
    struct ps_buf header;
};

static enum ps_code begin(struct ps_archive_writer *base, size_t index, struct ps_error *err)
{
    struct npz_writer *writer = (struct npz_writer *)base;
    const struct ps_archive_tensor *tensor = &writer->tensors->items[index];
    enum ps_code rc;
    writer->name.size = 0;
    writer->header.size = 0;
    PS_TRY(done, rc, ps_buf_printf(&writer->name, err, "%s%s", tensor->name, suffix));
    PS_TRY(done, rc, ps_npy_header_format(tensor->dtype, &tensor->shape, &writer->header, err));
    uint64_t size = writer->header.size + ps_archive_size_bytes(tensor);
    PS_TRY(done, rc, ps_zip_writer_begin(&writer->zip, (const char *)writer->name.data, size, err));
    PS_TRY(done, rc,
           ps_zip_writer_append(&writer->zip, writer->header.data, writer->header.size, err));
done:
    return rc;
}

static enum ps_code append(struct ps_archive_writer *base, const void *data, size_t size_bytes,
                           struct ps_error *err)
{
    struct npz_writer *writer = (struct npz_writer *)base;
    return ps_zip_writer_append(&writer->zip, data, size_bytes, err);
}

static enum ps_code end(struct ps_archive_writer *base, struct ps_error *err)
{
    struct npz_writer *writer = (struct npz_writer *)base;
    return ps_zip_writer_end(&writer->zip, (const char *)writer->name.data, err);
}

static enum ps_code finish(struct ps_archive_writer *base, struct ps_error *err)
{
    struct npz_writer *writer = (struct npz_writer *)base;
    return ps_zip_writer_finish(&writer->zip, err);
}

static void destroy(struct ps_archive_writer *base)
{
    struct npz_writer *writer = (struct npz_writer *)base;
    ps_zip_writer_clean(&writer->zip);
    ps_buf_clean(&writer->name);
    ps_buf_clean(&writer->header);
    ps_free(writer);
}

static const struct ps_archive_writer_ops writer_ops = {
    .begin = begin, .append = append, .end = end, .finish = finish, .destroy = destroy
};

enum ps_code ps_npz_writer_create(const char *path, const struct ps_archive_list *tensors,
                                  const struct ps_zip_writer_options *options,
                                  struct ps_archive_writer **writer_out, struct ps_error *err)
{
    *writer_out = NULL;
    struct npz_writer *writer = ps_alloc_zero(1, sizeof *writer);
    if (writer == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for '%s'", path); }
    writer->base.ops = &writer_ops;
    writer->tensors = tensors;
    enum ps_code rc = ps_zip_writer_init(&writer->zip, path, options, err);
    if (rc != PS_OK) {
        destroy(&writer->base);
        return rc;
    }
    *writer_out = &writer->base;
    return PS_OK;
}
