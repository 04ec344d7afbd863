/* A temporary directory with IDX files, good and bad, for the tests of data readers. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/worker/idx_fixture.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

void idx_fixture_init(struct idx_fixture *fixture)
{
    const char *root = getenv("TMPDIR");
    snprintf(fixture->directory, sizeof fixture->directory, "%.200s/paramd-idx-XXXXXX",
             root != NULL ? root : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(fixture->directory));
}

void idx_fixture_clean(struct idx_fixture *fixture)
{
    DIR *directory = opendir(fixture->directory);
    if (directory == NULL) { return; }
    const struct dirent *entry = NULL;
    while ((entry = readdir(directory)) != NULL) { unlinkat(dirfd(directory), entry->d_name, 0); }
    closedir(directory);
    rmdir(fixture->directory);
}

const char *idx_fixture_path(const struct idx_fixture *fixture, const char *name,
                             char path[IDX_PATH_BYTES])
{
    int length = snprintf(path, IDX_PATH_BYTES, "%s/%s", fixture->directory, name);
    ck_assert_int_lt(length, IDX_PATH_BYTES);
    return path;
}

void idx_fixture_write(const struct idx_fixture *fixture, const char *name, const void *data,
                       size_t size)
{
    char path[IDX_PATH_BYTES];
    FILE *file = fopen(idx_fixture_path(fixture, name, path), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

void idx_fixture_write_gzip(const struct idx_fixture *fixture, const char *name, const void *data,
                            size_t size)
{
    char path[IDX_PATH_BYTES];
    gzFile file = gzopen(idx_fixture_path(fixture, name, path), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(gzwrite(file, data, (unsigned)size), (int)size);
    ck_assert_int_eq(gzclose(file), Z_OK);
}

size_t idx_fixture_read(const struct idx_fixture *fixture, const char *name,
                        uint8_t out[IDX_BUFFER_BYTES])
{
    char path[IDX_PATH_BYTES];
    FILE *file = fopen(idx_fixture_path(fixture, name, path), "rb");
    ck_assert_ptr_nonnull(file);
    size_t size = fread(out, 1, IDX_BUFFER_BYTES, file);
    fclose(file);
    return size;
}

static size_t put_u32(uint8_t *out, size_t at, uint32_t value)
{
    for (int i = 0; i < 4; i++) { out[at + (size_t)i] = (uint8_t)(value >> (24 - 8 * i)); }
    return at + 4;
}

size_t idx_make_header(uint8_t out[IDX_BUFFER_BYTES], uint32_t count, uint32_t rows,
                       uint32_t columns)
{
    size_t at = put_u32(out, 0, 0x803);
    at = put_u32(out, at, count);
    at = put_u32(out, at, rows);
    return put_u32(out, at, columns);
}

size_t idx_make_images(uint8_t out[IDX_BUFFER_BYTES], uint32_t count, uint32_t rows,
                       uint32_t columns)
{
    size_t header = idx_make_header(out, count, rows, columns);
    size_t size = (size_t)count * rows * columns;
    ck_assert_uint_le(header + size, IDX_BUFFER_BYTES);
    for (size_t i = 0; i < size; i++) { out[header + i] = (uint8_t)(i * 7); }
    return header + size;
}

size_t idx_make_labels(uint8_t out[IDX_BUFFER_BYTES], const uint8_t *labels, uint32_t count)
{
    size_t at = put_u32(out, 0, 0x801);
    at = put_u32(out, at, count);
    memcpy(out + at, labels, count);
    return at + count;
}

void idx_fixture_write_set(const struct idx_fixture *fixture, bool gzip)
{
    static const uint8_t train[] = { 0, 1, 2, 1, 0 };
    static const uint8_t test[] = { 2, 0 };
    void (*write)(const struct idx_fixture *, const char *, const void *,
                  size_t) = gzip ? idx_fixture_write_gzip : idx_fixture_write;
    uint8_t bytes[IDX_BUFFER_BYTES];

    write(fixture, gzip ? "train-images-idx3-ubyte.gz" : "train-images-idx3-ubyte", bytes,
          idx_make_images(bytes, sizeof train, 2, 3));
    write(fixture, gzip ? "train-labels-idx1-ubyte.gz" : "train-labels-idx1-ubyte", bytes,
          idx_make_labels(bytes, train, sizeof train));
    write(fixture, gzip ? "t10k-images-idx3-ubyte.gz" : "t10k-images-idx3-ubyte", bytes,
          idx_make_images(bytes, sizeof test, 2, 3));
    write(fixture, gzip ? "t10k-labels-idx1-ubyte.gz" : "t10k-labels-idx1-ubyte", bytes,
          idx_make_labels(bytes, test, sizeof test));
}
