/* Reader for one IDX file, plain or gzip: the format of MNIST and of the sets modelled on it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_WORKER_IDX_FILE_H
#define PARAMD_WORKER_IDX_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

/* A file begins with four big-endian bytes: 0, 0, type (8: unsigned byte), number of dimensions;
 * then each dimension as a big-endian uint32; then the bytes. */
enum ps_idx_kind {
    PS_IDX_LABELS = 0x801, /* [count] */
    PS_IDX_IMAGES = 0x803  /* [count, rows, columns] */
};

/* Zero-initialise; ps_idx_file_clean when done. data may be taken by setting it to NULL. */
struct ps_idx_file {
    int32_t count;
    int32_t rows;    /* 1 for labels */
    int32_t columns; /* 1 for labels */
    size_t size;     /* count * rows * columns */
    uint8_t *data;   /* owned */
};

/* Reads all of path and checks its length to the byte; a header that promises more than the file
 * can hold is refused before memory is taken.
 * Errors: PS_NOT_FOUND and other codes of errno (open), PS_INVALID_ARGUMENT (not an IDX file of
 * this kind, or a size beyond the limits), PS_DATA_LOSS (truncated, trailing bytes, damaged gzip),
 * PS_RESOURCE_EXHAUSTED (memory). Each message names path.
 * Threads: any. */
PS_MUST_CHECK enum ps_code ps_idx_file_read(const char *path, enum ps_idx_kind kind,
                                            struct ps_idx_file *file_out, struct ps_error *err);
void ps_idx_file_clean(struct ps_idx_file *file);

#endif
