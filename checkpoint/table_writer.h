/* Writes a LevelDB-format table (sorted keys and values), byte for byte as TensorFlow does. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_TABLE_WRITER_H
#define PARAMD_CHECKPOINT_TABLE_WRITER_H

#include "core/bytes.h"

struct ps_file;

/* TensorFlow's block size, and what every table ends with. */
enum { PS_TABLE_BLOCK_BYTES = 262144, PS_TABLE_FOOTER_BYTES = 48, PS_TABLE_TRAILER_BYTES = 5 };

/* One block being filled. */
struct ps_table_block {
    struct ps_buf bytes;
    struct ps_buf restarts; /* 4 bytes each, little-endian */
    struct ps_buf last_key;
    int entries_since_restart;
    int restart_interval;
};

/* The caller's memory; the fields are the writer's own. */
struct ps_table_writer {
    struct ps_file *file; /* borrowed; everything is appended to it */
    size_t block_size_bytes;
    uint64_t offset; /* bytes appended so far */
    struct ps_table_block data;
    struct ps_table_block index;
    uint64_t entry_count;
    /* The last flushed block waits for the next key: its index entry is a key between the two. */
    bool has_pending;
    uint64_t pending_offset;
    uint64_t pending_size;
};

/* block_size_bytes: PS_TABLE_BLOCK_BYTES unless a test wants many blocks. Allocates nothing. */
void ps_table_writer_init(struct ps_table_writer *writer, struct ps_file *file,
                          size_t block_size_bytes);
/* Takes NULL. */
void ps_table_writer_clean(struct ps_table_writer *writer);

/* Adds an entry. Keys come in strictly rising unsigned-byte order: PS_ASSERTed.
 * Errors: the file's, and RESOURCE_EXHAUSTED; the table is then of no use. */
PS_MUST_CHECK enum ps_code ps_table_writer_add(struct ps_table_writer *writer, struct ps_span key,
                                               struct ps_span value, struct ps_error *err);

/* Writes what is left, the index and the footer. Neither syncs nor closes the file. */
PS_MUST_CHECK enum ps_code ps_table_writer_finish(struct ps_table_writer *writer,
                                                  struct ps_error *err);

/* Unsigned-byte order, a prefix before what it begins: <0, 0, >0. */
int ps_table_key_compare(struct ps_span a, struct ps_span b);

#endif
