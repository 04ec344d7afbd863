/* Writes a zip file of stored members, with 64-bit records where they are needed. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_ZIP_WRITER_H
#define PARAMD_DEPLOY_ZIP_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"

struct ps_output_file;

struct ps_zip_writer_options {
    /* Sizes and offsets from here on are written with 64 bits; 0: where 32 do not suffice. For
     * tests, which have no files of 4 GiB. */
    uint64_t wide_from;
};

/* The caller's memory; the fields are the writer's own. */
struct ps_zip_writer {
    struct ps_output_file *file; /* owned */
    uint64_t wide_from;
    uint64_t offset; /* where the next byte goes */
    uint64_t count;
    struct ps_buf directory;
    /* The member being written. */
    uint64_t header_offset;
    uint64_t data_offset;
    uint64_t size_bytes;
    uint32_t crc;
};

/* options: or NULL. Errors of all calls: the file's, RESOURCE_EXHAUSTED. */
PS_MUST_CHECK enum ps_code ps_zip_writer_init(struct ps_zip_writer *writer, const char *path,
                                              const struct ps_zip_writer_options *options,
                                              struct ps_error *err);

/* A member: begin, appends of exactly size_bytes, end. name: UTF-8 of less than 64 KiB. */
PS_MUST_CHECK enum ps_code ps_zip_writer_begin(struct ps_zip_writer *writer, const char *name,
                                               uint64_t size_bytes, struct ps_error *err);
PS_MUST_CHECK enum ps_code ps_zip_writer_append(struct ps_zip_writer *writer, const void *data,
                                                size_t size_bytes, struct ps_error *err);
PS_MUST_CHECK enum ps_code ps_zip_writer_end(struct ps_zip_writer *writer, const char *name,
                                             struct ps_error *err);

/* Writes the directory, syncs, and gives the file its name. Then only clean. */
PS_MUST_CHECK enum ps_code ps_zip_writer_finish(struct ps_zip_writer *writer, struct ps_error *err);
void ps_zip_writer_clean(struct ps_zip_writer *writer); /* without a finish leaves no file */

#endif
