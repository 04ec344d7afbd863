/* Reader for one IDX file, plain or gzip: the format of MNIST and of the sets modelled on it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/idx_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "worker/dataset.h"

enum {
    HEADER_MAX_BYTES = 16,
    READ_BYTES = 1 << 24,     /* one gzread: it counts in int */
    UNPACK_BYTES = 128 << 10, /* zlib's buffer: its manual's advice for speed */
    DEFLATE_MAX_RATIO = 1032  /* deflate packs no better: 258 bytes in two bits */
};

/* Far above any image set of this format (MNIST's largest relative has 0.6 GB). */
static const uint64_t MAX_BYTES = UINT64_C(8) << 30;

struct source {
    const char *path;
    gzFile stream;      /* reads plain files as they are */
    uint64_t disk_size; /* bytes on disk */
    bool packed;        /* gzip */
    uint64_t position;  /* unpacked bytes read so far */
};

static void close_source(struct source *source)
{
    if (source->stream != NULL) { gzclose_r(source->stream); }
    source->stream = NULL;
}

static enum ps_code open_source(const char *path, struct source *source, struct ps_error *err)
{
    *source = (struct source){ .path = path };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) { return ps_fail_errno(err, errno, "cannot open %s", path); }

    struct stat info;
    enum ps_code rc = PS_OK;
    if (fstat(fd, &info) != 0) {
        rc = ps_fail_errno(err, errno, "cannot read %s", path);
    } else if (!S_ISREG(info.st_mode)) {
        rc = ps_fail(err, PS_INVALID_ARGUMENT, "%s is not a regular file", path);
    } else if ((source->stream = gzdopen(fd, "rb")) == NULL) {
        rc = ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to read %s", path);
    }
    if (rc != PS_OK) {
        close(fd);
        return rc;
    }
    gzbuffer(source->stream, UNPACK_BYTES);
    source->disk_size = (uint64_t)info.st_size;
    source->packed = gzdirect(source->stream) == 0;
    return PS_OK;
}

static enum ps_code fail_truncated(const struct source *source, uint64_t expected,
                                   struct ps_error *err)
{
    return ps_fail(err, PS_DATA_LOSS,
                   "%s is truncated: %llu bytes expected%s, %llu found. Fetch it again",
                   source->path, (unsigned long long)expected, source->packed ? " unpacked" : "",
                   (unsigned long long)source->position);
}

/* After a short read: PS_OK at the end of the data, also where that end came too early. */
static enum ps_code check_stream(const struct source *source, struct ps_error *err)
{
    int code = Z_OK;
    const char *text = gzerror(source->stream, &code);
    switch (code) {
    case Z_OK:
    case Z_STREAM_END:
    case Z_BUF_ERROR: return PS_OK;
    case Z_ERRNO: return ps_fail_errno(err, errno, "cannot read %s", source->path);
    case Z_MEM_ERROR:
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to unpack %s", source->path);
    default:
        return ps_fail(err, PS_DATA_LOSS, "%s is damaged: %s. Fetch it again", source->path, text);
    }
}

/* Reads size bytes of a file that should have expected bytes in all. */
static enum ps_code read_exactly(struct source *source, void *out, uint64_t size, uint64_t expected,
                                 struct ps_error *err)
{
    uint64_t done = 0;
    while (done < size) {
        uint64_t left = size - done;
        unsigned part = left < READ_BYTES ? (unsigned)left : READ_BYTES;
        int got = gzread(source->stream, (uint8_t *)out + done, part);
        if (got <= 0) {
            enum ps_code rc = check_stream(source, err);
            return rc != PS_OK ? rc : fail_truncated(source, expected, err);
        }
        done += (uint64_t)got;
        source->position += (uint64_t)got;
    }
    return PS_OK;
}

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static enum ps_code check_magic(const char *path, enum ps_idx_kind kind, uint32_t magic,
                                struct ps_error *err)
{
    if (magic == (uint32_t)kind) { return PS_OK; }
    bool swapped = magic == PS_IDX_LABELS || magic == PS_IDX_IMAGES;
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "%s is not an IDX file of %s: it begins with 0x%08x, expected 0x%08x%s", path,
                   kind == PS_IDX_IMAGES ? "images" : "labels", magic, (unsigned)kind,
                   swapped ? ". Are the image file and the label file swapped?" : "");
}

static enum ps_code check_dimensions(const char *path, const uint32_t dims[3], uint64_t *size_out,
                                     struct ps_error *err)
{
    uint64_t features = (uint64_t)dims[1] * dims[2];
    uint64_t size = 0;
    if (dims[0] == 0 || features == 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "%s is empty: its header says %u x %u x %u", path,
                       dims[0], dims[1], dims[2]);
    }
    if (dims[0] > PS_DATASET_MAX_EXAMPLES || features > PS_DATASET_MAX_FEATURES ||
        !ps_mul_u64(dims[0], features, &size) || size > MAX_BYTES) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "%s is too large: its header says %u x %u x %u; the limit is %llu bytes, "
                       "%d examples, %d features each",
                       path, dims[0], dims[1], dims[2], (unsigned long long)MAX_BYTES,
                       PS_DATASET_MAX_EXAMPLES, PS_DATASET_MAX_FEATURES);
    }
    *size_out = size;
    return PS_OK;
}

/* Whether the file on disk can hold what its header promises. */
static enum ps_code check_disk_size(const struct source *source, uint64_t expected,
                                    struct ps_error *err)
{
    uint64_t most = source->packed ? source->disk_size * DEFLATE_MAX_RATIO : source->disk_size;
    if (expected > most) {
        return ps_fail(err, PS_DATA_LOSS,
                       "%s is truncated: %llu bytes expected%s, %llu found%s. Fetch it again",
                       source->path, (unsigned long long)expected,
                       source->packed ? " unpacked" : "", (unsigned long long)source->disk_size,
                       source->packed ? " packed" : "");
    }
    if (!source->packed && expected < source->disk_size) {
        return ps_fail(
            err, PS_DATA_LOSS,
            "%s has %llu trailing bytes: %llu bytes expected, %llu found. Fetch it again",
            source->path, (unsigned long long)(source->disk_size - expected),
            (unsigned long long)expected, (unsigned long long)source->disk_size);
    }
    return PS_OK;
}

static enum ps_code read_header(struct source *source, enum ps_idx_kind kind,
                                struct ps_idx_file *file, struct ps_error *err)
{
    uint8_t header[HEADER_MAX_BYTES];
    uint32_t dims[3] = { 0, 1, 1 };
    uint64_t size = 0;
    unsigned rank = kind == PS_IDX_IMAGES ? 3 : 1;
    unsigned header_size = 4 + 4 * rank;
    enum ps_code rc = PS_OK;

    PS_TRY(done, rc, read_exactly(source, header, 4, header_size, err));
    PS_TRY(done, rc, check_magic(source->path, kind, big_endian(header), err));
    PS_TRY(done, rc, read_exactly(source, header + 4, 4 * rank, header_size, err));
    for (unsigned i = 0; i < rank; i++) { dims[i] = big_endian(header + 4 + 4 * i); }
    PS_TRY(done, rc, check_dimensions(source->path, dims, &size, err));
    PS_TRY(done, rc, check_disk_size(source, header_size + size, err));
    file->count = (int32_t)dims[0];
    file->rows = (int32_t)dims[1];
    file->columns = (int32_t)dims[2];
    file->size = (size_t)size;
done:
    return rc;
}

/* Reads past the last byte: makes zlib check its checksum, and finds what should not be there. */
static enum ps_code check_end(struct source *source, struct ps_error *err)
{
    uint8_t byte = 0;
    int code = Z_OK;
    int got = gzread(source->stream, &byte, 1);
    if (got > 0) {
        return ps_fail(err, PS_DATA_LOSS,
                       "%s has trailing bytes: %llu bytes expected unpacked, more found. "
                       "Fetch it again",
                       source->path, (unsigned long long)source->position);
    }
    enum ps_code rc = check_stream(source, err);
    if (rc != PS_OK) { return rc; }
    gzerror(source->stream, &code);
    if (code == Z_BUF_ERROR) {
        return ps_fail(err, PS_DATA_LOSS,
                       "%s is truncated: its %llu bytes unpack, the checksum after them is cut. "
                       "Fetch it again",
                       source->path, (unsigned long long)source->position);
    }
    return PS_OK;
}

enum ps_code ps_idx_file_read(const char *path, enum ps_idx_kind kind, struct ps_idx_file *file_out,
                              struct ps_error *err)
{
    struct source source;
    enum ps_code rc = PS_OK;
    *file_out = (struct ps_idx_file){ .data = NULL };

    PS_TRY(done, rc, open_source(path, &source, err));
    PS_TRY(done, rc, read_header(&source, kind, file_out, err));
    file_out->data = ps_alloc(file_out->size);
    if (file_out->data == NULL) {
        rc = ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for the %zu bytes of %s",
                     file_out->size, path);
        goto done;
    }
    PS_TRY(done, rc,
           read_exactly(&source, file_out->data, file_out->size, source.position + file_out->size,
                        err));
    PS_TRY(done, rc, check_end(&source, err));
done:
    close_source(&source);
    if (rc != PS_OK) { ps_idx_file_clean(file_out); }
    return rc;
}

void ps_idx_file_clean(struct ps_idx_file *file)
{
    if (file == NULL) { return; }
    ps_free(file->data);
    *file = (struct ps_idx_file){ .data = NULL };
}
