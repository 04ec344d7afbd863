/* The directory of a zip file, with every number in it checked against the file. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_ZIP_READER_H
#define PARAMD_DEPLOY_ZIP_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

struct ps_file;

/* Largest directory that is read: a million members with names of 80 bytes. */
enum { PS_ZIP_DIRECTORY_BYTES_MAX = 128 << 20 };

struct ps_zip_member {
    char *name; /* UTF-8 if the file says so, else ASCII */
    bool is_deflated;
    uint32_t crc;
    uint64_t packed_bytes; /* in the file, from data_offset on */
    uint64_t size_bytes;
    uint64_t header_offset;
    uint64_t data_offset;
};

struct ps_zip_reader {
    struct ps_file *file;
    char *path;
    struct ps_zip_member *members; /* in the order of their data */
    size_t count;
    uint64_t directory_offset;
};

/* Opens a file and reads its directory; members neither overlap each other nor leave the file.
 * Errors name the path: NOT_FOUND; DATA_LOSS (no zip file, damaged, lies about sizes);
 * INVALID_ARGUMENT (encrypted, another method than store and deflate); RESOURCE_EXHAUSTED. */
PS_MUST_CHECK enum ps_code ps_zip_reader_open(const char *path, struct ps_zip_reader *reader_out,
                                              struct ps_error *err);
void ps_zip_reader_close(struct ps_zip_reader *reader); /* takes NULL and what failed to open */

#endif
