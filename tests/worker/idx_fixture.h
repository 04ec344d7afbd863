/* A temporary directory with IDX files, good and bad, for the tests of data readers. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_WORKER_IDX_FIXTURE_H
#define PARAMD_TESTS_WORKER_IDX_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { IDX_PATH_BYTES = 256, IDX_BUFFER_BYTES = 4096 };

struct idx_fixture {
    char directory[IDX_PATH_BYTES];
};

void idx_fixture_init(struct idx_fixture *fixture);
void idx_fixture_clean(struct idx_fixture *fixture);

/* directory/name in path; returns path. */
const char *idx_fixture_path(const struct idx_fixture *fixture, const char *name,
                             char path[IDX_PATH_BYTES]);
/* Writes bytes as they are, or through gzip. */
void idx_fixture_write(const struct idx_fixture *fixture, const char *name, const void *data,
                       size_t size);
void idx_fixture_write_gzip(const struct idx_fixture *fixture, const char *name, const void *data,
                            size_t size);
/* The file's bytes on disk; returns how many. */
size_t idx_fixture_read(const struct idx_fixture *fixture, const char *name,
                        uint8_t out[IDX_BUFFER_BYTES]);

/* Builds a file in out; returns its size. Pixel i is i * 7 mod 256; labels are copied. */
size_t idx_make_images(uint8_t out[IDX_BUFFER_BYTES], uint32_t count, uint32_t rows,
                       uint32_t columns);
size_t idx_make_labels(uint8_t out[IDX_BUFFER_BYTES], const uint8_t *labels, uint32_t count);
/* Only a header of images, promising what it likes. Returns 16. */
size_t idx_make_header(uint8_t out[IDX_BUFFER_BYTES], uint32_t count, uint32_t rows,
                       uint32_t columns);

/* Writes a set: train images 2x3 with labels 0 1 2 1 0, test images with labels 2 0. */
void idx_fixture_write_set(const struct idx_fixture *fixture, bool gzip);

#endif
