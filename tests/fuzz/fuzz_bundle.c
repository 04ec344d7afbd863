/* Fuzzes the bundle reader with the contents of an index block, under a checksum that fits. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "checkpoint/bundle_reader.h"
#include "checkpoint/varint.h"
#include "tests/checkpoint/memory_files.h"
#include "tests/fuzz/fuzz_driver.h"

enum { DATA_BYTES = 64, OUT_BYTES = 4096 };

const char *const ps_fuzz_seeds[] = {
    /* one variable */
    "00 00 06 08 01 1a 02 08 01 00 01 0f 77 08 01 12 04 12 02 08 02 28 08 35 59 3c e5 35 "
    "00 00 00 00 01 00 00 00",
    /* a partitioned one: two slices, the tensor, a scalar */
    "00 00 06 08 01 1a 02 08 01 "
    "00 0c 13 00 65 6d 62 00 01 01 02 80 83 80 82 08 01 12 08 12 02 08 03 12 02 08 02 28 18 35 c0 "
    "db 3d 17 08 04 15 83 82 80 82 08 01 12 08 12 02 08 02 12 02 08 02 20 01 28 10 35 50 0f 12 bc "
    "00 03 22 65 6d 62 08 01 12 08 12 02 08 05 12 02 08 02 3a 08 0a 02 10 03 0a 02 10 02 3a 0a 0a "
    "04 08 03 10 02 0a 02 10 02 00 0b 0d 67 6c 6f 62 61 6c 5f 73 74 65 70 08 09 12 00 20 18 28 08 "
    "35 bb d7 9f 11 00 00 00 00 01 00 00 00",
    /* strings, at offset 40 */
    "00 00 06 08 01 1a 02 08 01 00 01 11 74 08 07 12 04 12 02 08 02 20 28 28 0a 35 60 5c 3c 8e "
    "00 00 00 00 01 00 00 00",
    NULL
};

static void must(enum ps_code rc)
{
    if (rc != PS_OK) { abort(); }
}

static void append(struct ps_buf *out, const void *data, size_t size)
{
    must(ps_buf_append(out, data, size, NULL));
}

/* Type byte and checksum behind the block that began at start. */
static void end_block(struct ps_buf *out, size_t start)
{
    uint8_t word[4];
    append(out, "", 1);
    ps_fixed32_put(word, ps_crc_mask(ps_crc32c(0, out->data + start, out->size - start)));
    append(out, word, sizeof word);
}

/* A table of one data block; every key is below the index key ff. */
static void wrap(struct ps_span block, struct ps_buf *out)
{
    static const uint8_t restarts[8] = { 0, 0, 0, 0, 1 };
    uint8_t handle[2 * PS_VARINT64_BYTES], footer[48] = { 0 };
    append(out, block.data, block.size);
    end_block(out, 0);
    size_t index = out->size;
    size_t size = ps_varint_put(handle, 0);
    size += ps_varint_put(handle + size, block.size);
    const uint8_t head[4] = { 0, 1, (uint8_t)size, 0xff };
    append(out, head, sizeof head);
    append(out, handle, size);
    append(out, restarts, sizeof restarts);
    size_t index_size = out->size - index;
    end_block(out, index);
    size = 2;
    size += ps_varint_put(footer + size, index);
    ps_varint_put(footer + size, index_size);
    memcpy(footer + 40, "\x57\xfb\x80\x8b\x24\x75\x47\xdb", 8);
    append(out, footer, sizeof footer);
}

static void read_tensor(struct ps_bundle_reader *reader, struct ps_bundle_info info)
{
    static uint8_t out[OUT_BYTES];
    struct ps_bundle_strings strings;
    enum ps_dtype dtype;
    struct ps_bundle_request request = { .name = info.name };
    if (ps_dtype_from_number(info.dtype, &dtype, NULL) != PS_OK) { return; }
    uint64_t elements = (uint64_t)ps_shape_elements(&info.shape);
    uint64_t width = (uint64_t)ps_dtype_size(dtype);
    if (width > 0 && elements <= OUT_BYTES / width) {
        (void)!ps_bundle_reader_read(reader, &request, out, (size_t)(elements * width), NULL);
    }
    if (info.shape.rank > 0 && info.shape.dims[0] > 1 && width > 0) {
        struct ps_slice row = ps_slice_of_rows(&info.shape, (struct ps_rows){ 1, 1 });
        uint64_t row_bytes = (uint64_t)ps_shape_row_elements(&info.shape) * width;
        request.slice = &row;
        if (row_bytes <= OUT_BYTES) {
            (void)!ps_bundle_reader_read(reader, &request, out, (size_t)row_bytes, NULL);
        }
    }
    (void)!ps_bundle_reader_verify(reader, info.name, NULL);
    if (ps_bundle_reader_read_strings(reader, info.name, &strings, NULL) == PS_OK) {
        ps_bundle_strings_clean(&strings);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t values[DATA_BYTES] = "\x00\x00\x80\x3f\x00\x00\x00\x40";
    struct ps_memory_files *memory = ps_memory_files_create();
    struct ps_buf table = { 0 };
    struct ps_bundle_reader *reader;
    memcpy(values + 40, "\x01\x03\x44\x39\xac\x2f\x61\x62\x63\x64", 10);
    wrap((struct ps_span){ data, size }, &table);
    ps_memory_files_put(memory, "d/m.index", (struct ps_span){ table.data, table.size });
    ps_memory_files_put(memory, "d/m.data-00000-of-00001", (struct ps_span){ values, DATA_BYTES });
    if (ps_bundle_reader_open(ps_memory_files_table(memory), "d/m", &reader, NULL) == PS_OK) {
        for (size_t i = 0; i < ps_bundle_reader_count(reader); i++) {
            read_tensor(reader, ps_bundle_reader_info(reader, i));
        }
    }
    ps_bundle_reader_close(reader);
    ps_buf_clean(&table);
    ps_memory_files_destroy(memory);
    return 0;
}
