/* Writes a zip file of stored members, with 64-bit records where they are needed. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/zip_writer.h"

#include <string.h>
#include <zlib.h>

#include "deploy/output_file.h"
#include "deploy/zip_format.h"

enum {
    VERSION = 20,      /* of the format; what is stored needs 2.0 */
    VERSION_WIDE = 45, /* 64-bit records need 4.5 */
    MADE_ON_UNIX = 3 << 8,
    MODE = 0100644,            /* a plain file */
    DATE = 1 << 5 | 1,         /* 1980-01-01, the first there is: the same tensors, the same file */
    WIDE_EXTRA_BYTES_MAX = 28, /* tag, size, three numbers */
    COUNT_WIDE_FROM = 0xffff,
    CRC_ROUND_BYTES = 1 << 30 /* zlib counts in 32 bits */
};
#define ONES32 0xffffffffu

enum ps_code ps_zip_writer_init(struct ps_zip_writer *writer, const char *path,
                                const struct ps_zip_writer_options *options, struct ps_error *err)
{
    *writer = (struct ps_zip_writer){ .wide_from = ONES32 };
    if (options != NULL && options->wide_from != 0) { writer->wide_from = options->wide_from; }
    return ps_output_file_create(path, &writer->file, err);
}

void ps_zip_writer_clean(struct ps_zip_writer *writer)
{
    ps_output_file_destroy(writer->file);
    ps_buf_clean(&writer->directory);
    *writer = (struct ps_zip_writer){ .file = NULL };
}

static bool is_wide(const struct ps_zip_writer *writer, uint64_t number)
{
    return number >= writer->wide_from;
}

/* A number's place in a record of 32 bits. */
static uint32_t narrow(const struct ps_zip_writer *writer, uint64_t number)
{
    return is_wide(writer, number) ? ONES32 : (uint32_t)number;
}

static uint32_t flags_of(const char *name)
{
    for (; *name != '\0'; name++) {
        if ((unsigned char)*name >= 0x80) { return PS_ZIP_FLAG_UTF8; }
    }
    return 0;
}

/* The local header; its checksum is known when the data is. */
static uint8_t *put_local(const struct ps_zip_writer *writer, const char *name, uint8_t *out)
{
    bool wide = is_wide(writer, writer->size_bytes);
    out = ps_zip_put(out, PS_ZIP_LOCAL_SIGNATURE, 4);
    out = ps_zip_put(out, wide ? VERSION_WIDE : VERSION, 2);
    out = ps_zip_put(out, flags_of(name), 2);
    out = ps_zip_put(out, PS_ZIP_STORED, 2);
    out = ps_zip_put(out, 0, 2); /* time */
    out = ps_zip_put(out, DATE, 2);
    out = ps_zip_put(out, writer->crc, 4);
    out = ps_zip_put(out, narrow(writer, writer->size_bytes), 4);
    out = ps_zip_put(out, narrow(writer, writer->size_bytes), 4);
    out = ps_zip_put(out, strlen(name), 2);
    return ps_zip_put(out, wide ? 20 : 0, 2);
}

/* The extra field: sizes in the order that both headers share, then the directory's offset. */
static uint8_t *put_extra(const struct ps_zip_writer *writer, bool with_offset, uint8_t *out)
{
    uint64_t numbers[3];
    int count = 0;
    if (is_wide(writer, writer->size_bytes)) {
        numbers[count++] = writer->size_bytes;
        numbers[count++] = writer->size_bytes;
    }
    if (with_offset && is_wide(writer, writer->header_offset)) {
        numbers[count++] = writer->header_offset;
    }
    if (count == 0) { return out; }
    out = ps_zip_put(out, PS_ZIP_EXTRA64, 2);
    out = ps_zip_put(out, (uint64_t)count * 8, 2);
    for (int i = 0; i < count; i++) { out = ps_zip_put(out, numbers[i], 8); }
    return out;
}

static enum ps_code write_on(struct ps_zip_writer *writer, const void *data, size_t size,
                             struct ps_error *err)
{
    enum ps_code rc = ps_output_file_write(writer->file, writer->offset, data, size, err);
    writer->offset += size;
    return rc;
}

enum ps_code ps_zip_writer_begin(struct ps_zip_writer *writer, const char *name,
                                 uint64_t size_bytes, struct ps_error *err)
{
    uint8_t header[PS_ZIP_LOCAL_BYTES], extra[WIDE_EXTRA_BYTES_MAX];
    enum ps_code rc;
    writer->header_offset = writer->offset;
    writer->size_bytes = size_bytes;
    writer->crc = 0;
    PS_ASSERT(strlen(name) <= UINT16_MAX);
    (void)put_local(writer, name, header);
    size_t extra_size = (size_t)(put_extra(writer, false, extra) - extra);
    PS_TRY(done, rc, write_on(writer, header, sizeof header, err));
    PS_TRY(done, rc, write_on(writer, name, strlen(name), err));
    PS_TRY(done, rc, write_on(writer, extra, extra_size, err));
    writer->data_offset = writer->offset;
done:
    return rc;
}

enum ps_code ps_zip_writer_append(struct ps_zip_writer *writer, const void *data, size_t size_bytes,
                                  struct ps_error *err)
{
    const uint8_t *from = data;
    for (size_t at = 0; at < size_bytes; at += CRC_ROUND_BYTES) {
        size_t round = size_bytes - at < CRC_ROUND_BYTES ? size_bytes - at : CRC_ROUND_BYTES;
        writer->crc = (uint32_t)crc32(writer->crc, from + at, (uInt)round);
    }
    return write_on(writer, data, size_bytes, err);
}

static enum ps_code add_to_directory(struct ps_zip_writer *writer, const char *name,
                                     struct ps_error *err)
{
    uint8_t record[PS_ZIP_CENTRAL_BYTES], extra[WIDE_EXTRA_BYTES_MAX];
    size_t extra_size = (size_t)(put_extra(writer, true, extra) - extra);
    uint32_t version = extra_size > 0 ? VERSION_WIDE : VERSION;
    uint8_t *out = ps_zip_put(record, PS_ZIP_CENTRAL_SIGNATURE, 4);
    out = ps_zip_put(out, MADE_ON_UNIX | version, 2);
    out = ps_zip_put(out, version, 2);
    out = ps_zip_put(out, flags_of(name), 2);
    out = ps_zip_put(out, PS_ZIP_STORED, 2);
    out = ps_zip_put(out, 0, 2); /* time */
    out = ps_zip_put(out, DATE, 2);
    out = ps_zip_put(out, writer->crc, 4);
    out = ps_zip_put(out, narrow(writer, writer->size_bytes), 4);
    out = ps_zip_put(out, narrow(writer, writer->size_bytes), 4);
    out = ps_zip_put(out, strlen(name), 2);
    out = ps_zip_put(out, extra_size, 2);
    out = ps_zip_put(out, 0, 2); /* comment */
    out = ps_zip_put(out, 0, 2); /* disk */
    out = ps_zip_put(out, 0, 2); /* attributes: not text */
    out = ps_zip_put(out, (uint64_t)MODE << 16, 4);
    (void)ps_zip_put(out, narrow(writer, writer->header_offset), 4);
    enum ps_code rc = ps_buf_append(&writer->directory, record, sizeof record, err);
    if (rc == PS_OK) { rc = ps_buf_append(&writer->directory, name, strlen(name), err); }
    if (rc == PS_OK) { rc = ps_buf_append(&writer->directory, extra, extra_size, err); }
    return rc;
}

enum ps_code ps_zip_writer_end(struct ps_zip_writer *writer, const char *name, struct ps_error *err)
{
    uint8_t header[PS_ZIP_LOCAL_BYTES];
    PS_ASSERT(writer->offset - writer->data_offset == writer->size_bytes);
    (void)put_local(writer, name, header); /* once more, now with the checksum */
    enum ps_code rc = ps_output_file_write(writer->file, writer->header_offset, header,
                                           sizeof header, err);
    if (rc == PS_OK) { rc = add_to_directory(writer, name, err); }
    writer->count++;
    return rc;
}

/* The 64-bit end record and its locator. */
static enum ps_code write_end64(struct ps_zip_writer *writer, uint64_t directory_offset,
                                struct ps_error *err)
{
    uint8_t record[PS_ZIP_END64_BYTES + PS_ZIP_LOCATOR_BYTES];
    uint64_t offset = writer->offset;
    uint8_t *out = ps_zip_put(record, PS_ZIP_END64_SIGNATURE, 4);
    out = ps_zip_put(out, PS_ZIP_END64_BYTES - 12, 8); /* what follows this number */
    out = ps_zip_put(out, MADE_ON_UNIX | VERSION_WIDE, 2);
    out = ps_zip_put(out, VERSION_WIDE, 2);
    out = ps_zip_put(out, 0, 8); /* disks */
    out = ps_zip_put(out, writer->count, 8);
    out = ps_zip_put(out, writer->count, 8);
    out = ps_zip_put(out, writer->directory.size, 8);
    out = ps_zip_put(out, directory_offset, 8);
    out = ps_zip_put(out, PS_ZIP_LOCATOR_SIGNATURE, 4);
    out = ps_zip_put(out, 0, 4); /* disk */
    out = ps_zip_put(out, offset, 8);
    (void)ps_zip_put(out, 1, 4); /* disks */
    return write_on(writer, record, sizeof record, err);
}

enum ps_code ps_zip_writer_finish(struct ps_zip_writer *writer, struct ps_error *err)
{
    uint8_t record[PS_ZIP_END_BYTES];
    uint64_t directory_offset = writer->offset;
    bool wide_count = writer->count >= COUNT_WIDE_FROM;
    enum ps_code rc;
    PS_TRY(done, rc, write_on(writer, writer->directory.data, writer->directory.size, err));
    if (wide_count || is_wide(writer, directory_offset) ||
        is_wide(writer, writer->directory.size)) {
        PS_TRY(done, rc, write_end64(writer, directory_offset, err));
    }
    uint64_t count = wide_count ? COUNT_WIDE_FROM : writer->count;
    uint8_t *out = ps_zip_put(record, PS_ZIP_END_SIGNATURE, 4);
    out = ps_zip_put(out, 0, 4); /* disks */
    out = ps_zip_put(out, count, 2);
    out = ps_zip_put(out, count, 2);
    out = ps_zip_put(out, narrow(writer, writer->directory.size), 4);
    out = ps_zip_put(out, narrow(writer, directory_offset), 4);
    (void)ps_zip_put(out, 0, 2); /* comment */
    PS_TRY(done, rc, write_on(writer, record, sizeof record, err));
    PS_TRY(done, rc, ps_output_file_finish(writer->file, err));
done:
    return rc;
}
