/* The bytes of one member of a zip file, stored or deflated, from its first to its last. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/zip_stream.h"

#include <inttypes.h>
#include <zlib.h>

#include "checkpoint/files.h"
#include "core/alloc.h"
#include "deploy/zip_reader.h"

/* zlib counts in 32 bits, so larger reads go in rounds. */
enum { INPUT_BYTES = 64 << 10, ROUND_BYTES = 1 << 30 };

struct ps_zip_stream {
    const struct ps_zip_reader *zip;
    const struct ps_zip_member *member;
    uint64_t packed_read; /* bytes of the file */
    uint64_t read;        /* bytes handed out */
    uint32_t crc;
    bool is_at_end; /* the packed data said so */
    z_stream inflate;
    uint8_t input[INPUT_BYTES];
};

static enum ps_code damaged(const struct ps_zip_stream *stream, const char *what,
                            struct ps_error *err)
{
    return ps_fail(err, PS_DATA_LOSS, "'%s': '%.200s' is damaged: %s", stream->zip->path,
                   stream->member->name, what);
}

enum ps_code ps_zip_stream_open(const struct ps_zip_reader *zip, size_t index,
                                struct ps_zip_stream **stream_out, struct ps_error *err)
{
    *stream_out = NULL;
    struct ps_zip_stream *stream = ps_alloc_zero(1, sizeof *stream);
    if (stream == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to unpack"); }
    stream->zip = zip;
    stream->member = &zip->members[index];
    /* Negative: deflate's bits alone, without zlib's own header. */
    if (stream->member->is_deflated && inflateInit2(&stream->inflate, -MAX_WBITS) != Z_OK) {
        ps_free(stream);
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to unpack");
    }
    *stream_out = stream;
    return PS_OK;
}

void ps_zip_stream_close(struct ps_zip_stream *stream)
{
    if (stream == NULL) { return; }
    if (stream->member->is_deflated) { inflateEnd(&stream->inflate); }
    ps_free(stream);
}

static enum ps_code read_file(struct ps_zip_stream *stream, void *out, size_t size,
                              struct ps_error *err)
{
    struct ps_file *file = stream->zip->file;
    uint64_t offset = stream->member->data_offset + stream->packed_read;
    stream->packed_read += size;
    return file->ops->read_at(file, offset, out, size, err);
}

static enum ps_code refill(struct ps_zip_stream *stream, struct ps_error *err)
{
    uint64_t left = stream->member->packed_bytes - stream->packed_read;
    size_t size = left < INPUT_BYTES ? (size_t)left : INPUT_BYTES;
    stream->inflate.next_in = stream->input;
    stream->inflate.avail_in = (uInt)size;
    if (size == 0) { return damaged(stream, "its packed data ends early", err); }
    return read_file(stream, stream->input, size, err);
}

static enum ps_code read_inflated(struct ps_zip_stream *stream, void *out, size_t size,
                                  struct ps_error *err)
{
    z_stream *z = &stream->inflate;
    z->next_out = out;
    z->avail_out = (uInt)size;
    while (z->avail_out > 0) {
        if (stream->is_at_end) { return damaged(stream, "it unpacks to less than it says", err); }
        if (z->avail_in == 0) {
            enum ps_code rc = refill(stream, err);
            if (rc != PS_OK) { return rc; }
        }
        int result = inflate(z, Z_NO_FLUSH);
        if (result != Z_OK && result != Z_STREAM_END) {
            return damaged(stream, z->msg != NULL ? z->msg : "its packed data is malformed", err);
        }
        stream->is_at_end = result == Z_STREAM_END;
    }
    return PS_OK;
}

/* All bytes are out: nothing may follow, neither packed nor unpacked. */
static enum ps_code check_end(struct ps_zip_stream *stream, struct ps_error *err)
{
    uint8_t more;
    z_stream *z = &stream->inflate;
    while (stream->member->is_deflated && !stream->is_at_end) {
        z->next_out = &more;
        z->avail_out = 1;
        if (z->avail_in == 0) {
            enum ps_code rc = refill(stream, err);
            if (rc != PS_OK) { return rc; }
        }
        int result = inflate(z, Z_NO_FLUSH);
        if ((result != Z_OK && result != Z_STREAM_END) || z->avail_out == 0) {
            return damaged(stream, "it unpacks to more than it says", err);
        }
        stream->is_at_end = result == Z_STREAM_END;
    }
    if (stream->packed_read - z->avail_in != stream->member->packed_bytes) {
        return damaged(stream, "bytes follow its packed data", err);
    }
    if (stream->crc == stream->member->crc) { return PS_OK; }
    return ps_fail(err, PS_DATA_LOSS,
                   "'%s': '%.200s' is damaged: its checksum should be %08" PRIx32
                   ", but its bytes have "
                   "%08" PRIx32,
                   stream->zip->path, stream->member->name, stream->member->crc, stream->crc);
}

enum ps_code ps_zip_stream_read(struct ps_zip_stream *stream, void *out, size_t size_bytes,
                                struct ps_error *err)
{
    uint8_t *to = out;
    enum ps_code rc;
    if (size_bytes > stream->member->size_bytes - stream->read) {
        return damaged(stream, "it is shorter than its contents should be", err);
    }
    while (size_bytes > 0) {
        size_t round = size_bytes < ROUND_BYTES ? size_bytes : ROUND_BYTES;
        rc = stream->member->is_deflated ? read_inflated(stream, to, round, err)
                                         : read_file(stream, to, round, err);
        if (rc != PS_OK) { return rc; }
        stream->crc = (uint32_t)crc32(stream->crc, to, (uInt)round);
        stream->read += round;
        to += round;
        size_bytes -= round;
    }
    return stream->read == stream->member->size_bytes ? check_end(stream, err) : PS_OK;
}
