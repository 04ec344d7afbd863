/* Reads a LevelDB-format table in key order, checking every byte it uses. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_TABLE_READER_H
#define PARAMD_CHECKPOINT_TABLE_READER_H

#include "core/bytes.h"

struct ps_file;
struct ps_table_reader;

/* What a table may ask of us. Blocks: TensorFlow's are 256 KiB plus one entry, and an entry grows
 * only with the slices of its tensor. Keys: a name of 4 KiB, every byte escaped, fits often. */
enum { PS_TABLE_BLOCK_LIMIT_BYTES = 64 << 20, PS_TABLE_KEY_LIMIT_BYTES = 64 << 10 };

/* Reads footer and index. file and path (for messages) are borrowed until the destroy.
 * Errors: DATA_LOSS (not a table, cut, damaged: the message names path and place);
 * RESOURCE_EXHAUSTED (a block above the limit; no memory). Threads: one at a time. */
PS_MUST_CHECK enum ps_code ps_table_reader_create(struct ps_file *file, const char *path,
                                                  struct ps_table_reader **reader_out,
                                                  struct ps_error *err);
void ps_table_reader_destroy(struct ps_table_reader *reader); /* takes NULL */

/* The next entry in key order, starting with the first: borrowed until the next call.
 * *has_entry_out is false behind the last. Errors: as above; the reader is then of no use. */
PS_MUST_CHECK enum ps_code ps_table_reader_next(struct ps_table_reader *reader, struct ps_span *key,
                                                struct ps_span *value, bool *has_entry_out,
                                                struct ps_error *err);

#endif
