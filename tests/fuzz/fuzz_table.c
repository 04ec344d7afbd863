/* Fuzzes the table reader, the decompressor and slice keys with raw bytes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "checkpoint/bundle_rows.h"
#include "checkpoint/snappy.h"
#include "checkpoint/table_reader.h"
#include "tests/checkpoint/memory_files.h"
#include "tests/fuzz/fuzz_driver.h"

const char *const ps_fuzz_seeds[] = {
    /* a whole index file */
    "00 00 06 08 01 1a 02 08 01 00 01 0f 77 08 01 12 04 12 02 08 02 28 08 35 59 3c e5 35 00 00 00 "
    "00 01 00 00 00 00 09 21 ad c3 00 00 00 00 01 00 00 00 00 c0 f2 a1 b0 00 01 02 78 00 24 00 00 "
    "00 00 01 00 00 00 00 ab 30 70 7f 29 08 36 0e +36 57 fb 80 8b 24 75 47 db",
    /* compressed blocks */
    "0a 04 61 62 11 02", "03 fc 02 00 00 00 61 62 63", "06 04 61 62 0f 02 00 00 00",
    /* a slice key */
    "00 61 00 ff ff 00 62 00 01 01 02 83 82 80 7f",
    /* index rows as a task sends them */
    "03 65 6d 62 17 08 01 12 08 12 02 08 05 12 02 08 02 3a 0a 0a 04 08 03 10 02 0a 02 10 02", NULL
};

static void read_table(struct ps_span bytes)
{
    struct ps_memory_files *memory = ps_memory_files_create();
    const struct ps_files *files = ps_memory_files_table(memory);
    struct ps_file *file;
    struct ps_table_reader *reader;
    struct ps_span key, value;
    bool has_entry = true;
    ps_memory_files_put(memory, "d/t", bytes);
    if (files->open(files->ctx, "d/t", &file, NULL) != PS_OK) { abort(); }
    enum ps_code rc = ps_table_reader_create(file, "d/t", &reader, NULL);
    while (rc == PS_OK && has_entry) {
        rc = ps_table_reader_next(reader, &key, &value, &has_entry, NULL);
    }
    ps_table_reader_destroy(reader);
    ps_files_drop(&file);
    ps_memory_files_destroy(memory);
}

/* What can be taken apart comes out the same when it is put together again. */
static void parse_slice_key(struct ps_span bytes)
{
    struct ps_buf name = { 0 }, again = { 0 };
    struct ps_slice slice;
    if (ps_ordered_slice_key_parse(bytes, &name, &slice, NULL) == PS_OK) {
        struct ps_span text = { name.data, name.size };
        if (ps_ordered_slice_key(&again, text, &slice, NULL) != PS_OK) { abort(); }
        if (again.size != bytes.size || memcmp(again.data, bytes.data, bytes.size) != 0) {
            abort();
        }
    }
    ps_buf_clean(&name);
    ps_buf_clean(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ps_span bytes = { data, size };
    struct ps_buf out = { 0 };
    struct ps_bundle_rows rows = { 0 };
    read_table(bytes);
    (void)!ps_snappy_decompress(bytes, 1 << 20, &out, NULL);
    parse_slice_key(bytes);
    if (ps_bundle_rows_decode(bytes, &rows, NULL) == PS_OK) {
        (void)!ps_bundle_rows_fold(&rows, NULL);
    }
    ps_bundle_rows_clean(&rows);
    ps_buf_clean(&out);
    return 0;
}
