/* Tables: many blocks, the cut rule, index keys, snappy, and refusals by name. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/snappy.h"
#include "checkpoint/table_reader.h"
#include "checkpoint/table_writer.h"
#include "checkpoint/varint.h"
#include "core/philox.h"
#include "tests/checkpoint/bundle_fixture.h"
#include "tests/checkpoint/memory_files.h"

static struct ps_error error;
static struct ps_memory_files *memory;
static const struct ps_files *files;

static void setup(void)
{
    memory = ps_memory_files_create();
    files = ps_memory_files_table(memory);
}

static void teardown(void)
{
    ps_memory_files_destroy(memory);
}

static struct ps_span text_span(const char *text)
{
    return (struct ps_span){ (const uint8_t *)text, strlen(text) };
}

/* Reads all of d/t: entry i must be key_of(i) and value_of(i) of the test's making. */
static enum ps_code walk(size_t *count_out)
{
    struct ps_file *file;
    struct ps_table_reader *reader = NULL;
    struct ps_span key, value;
    bool has_entry = true;
    *count_out = 0;
    enum ps_code rc = files->open(files->ctx, "d/t", &file, &error);
    if (rc == PS_OK) { rc = ps_table_reader_create(file, "d/t", &reader, &error); }
    while (rc == PS_OK && has_entry) {
        rc = ps_table_reader_next(reader, &key, &value, &has_entry, &error);
        *count_out += rc == PS_OK && has_entry;
    }
    ps_table_reader_destroy(reader);
    ps_files_drop(&file);
    return rc;
}

static void make_key(char out[64], int i)
{
    snprintf(out, 64, "layer_%03d/weights/part_%d", i / 7, i % 7);
}

static void write_many(int count, size_t block_size)
{
    struct ps_file *file;
    struct ps_table_writer writer;
    char key[64], value[300];
    struct ps_rng rng = ps_rng_make(3, PS_STREAM_TEST);
    (void)files->unlink(files->ctx, "d/t", NULL);
    ck_ok(files->create(files->ctx, "d/t", &file, &error));
    ps_table_writer_init(&writer, file, block_size);
    for (int i = 0; i < count; i++) {
        make_key(key, i);
        memset(value, 'a' + i % 26, sizeof value);
        value[ps_rng_below(&rng, sizeof value)] = '\0';
        ck_ok(ps_table_writer_add(&writer, text_span(key), text_span(value), &error));
    }
    ck_ok(ps_table_writer_finish(&writer, &error));
    ck_assert_uint_eq(writer.offset, ps_memory_files_get(memory, "d/t").size);
    ps_table_writer_clean(&writer);
    ps_files_drop(&file);
}

START_TEST(test_many_blocks_round_trip)
{
    static const size_t block_sizes[] = { 1, 64, 1000, 4096, PS_TABLE_BLOCK_BYTES };
    size_t count;
    for (size_t i = 0; i < sizeof block_sizes / sizeof block_sizes[0]; i++) {
        write_many(2000, block_sizes[i]);
        ck_ok(walk(&count));
        ck_assert_uint_eq(count, 2000);
    }
    write_many(0, 4096);
    ck_ok(walk(&count));
    ck_assert_uint_eq(count, 0);
}
END_TEST

/* Index keys are the shortest separators, and a huge entry starts a block of its own. */
START_TEST(test_cut_rule_and_separators)
{
    struct ps_file *file;
    struct ps_table_writer writer;
    char large[200];
    memset(large, 'x', sizeof large);
    large[sizeof large - 1] = '\0';
    ck_ok(files->create(files->ctx, "d/t", &file, &error));
    ps_table_writer_init(&writer, file, 100);
    ck_ok(ps_table_writer_add(&writer, text_span("abcde"), text_span("1"), &error));
    ck_ok(ps_table_writer_add(&writer, text_span("abxyz"), text_span(large), &error));
    ck_ok(ps_table_writer_add(&writer, text_span("abxyzz"), text_span("2"), &error));
    ck_ok(ps_table_writer_finish(&writer, &error));
    ps_table_writer_clean(&writer);
    ps_files_drop(&file);
    /* Block 1 "abcde" (separator "abd"), block 2 "abxyz" (a prefix of the next: kept whole), block
     * 3 "abxyzz" (successor "b"). Handles: sizes 17, 216, 18, each with a trailer of 5. */
    struct ps_buf index = fixture_hex("00 03 02 61 62 64 00 11 "
                                      "00 05 03 61 62 78 79 7a 16 d8 01 "
                                      "00 01 03 62 f3 01 12 "
                                      "00 00 00 00 08 00 00 00 13 00 00 00 03 00 00 00");
    struct ps_span whole = ps_memory_files_get(memory, "d/t");
    const uint8_t *found = whole.data + whole.size - PS_TABLE_FOOTER_BYTES - 5 - index.size;
    ck_assert_mem_eq(found, index.data, index.size);
    ps_buf_clean(&index);
}
END_TEST

/* One block, stored with a type byte of the test's choice, in a table around it. */
static void put_table(struct ps_span stored, uint8_t type)
{
    struct ps_buf out = { 0 };
    uint8_t word[4], footer[PS_TABLE_FOOTER_BYTES] = { 0 };
    struct ps_buf index = fixture_hex("00 01 02 7a 00");
    uint8_t size = (uint8_t)stored.size;
    struct ps_buf rest = fixture_hex("00 00 00 00 01 00 00 00 00");
    ck_ok(ps_buf_append(&out, stored.data, stored.size, &error));
    ck_ok(ps_buf_append(&out, &type, 1, &error));
    ps_fixed32_put(word, ps_crc_mask(ps_crc32c(0, out.data, out.size)));
    ck_ok(ps_buf_append(&out, word, 4, &error));
    size_t index_at = out.size;
    ck_ok(ps_buf_append(&out, index.data, index.size, &error));
    ck_ok(ps_buf_append(&out, &size, 1, &error));
    ck_ok(ps_buf_append(&out, rest.data, rest.size, &error));
    ps_fixed32_put(word, ps_crc_mask(ps_crc32c(0, out.data + index_at, out.size - index_at)));
    ck_ok(ps_buf_append(&out, word, 4, &error));
    footer[2] = (uint8_t)index_at;
    footer[3] = 14;
    memcpy(footer + 40, "\x57\xfb\x80\x8b\x24\x75\x47\xdb", 8);
    ck_ok(ps_buf_append(&out, footer, sizeof footer, &error));
    ps_memory_files_put(memory, "d/t", (struct ps_span){ out.data, out.size });
    ps_buf_clean(&out);
    ps_buf_clean(&index);
    ps_buf_clean(&rest);
}

START_TEST(test_blocks_are_checked)
{
    static const struct {
        const char *block;
        uint8_t type;
        enum ps_code code;
        const char *part;
    } cases[] = {
        { "00 01 01 61 62 00 00 00 00 01 00 00 00", 0, PS_OK, "" },
        { "00 01 01 61 62 00 00 00 00 01 00 00 00", 2, PS_DATA_LOSS, "bad block type" },
        { "0d 30 00 01 01 61 62 00 00 00 00 01 00 00 00", 1, PS_OK, "" },
        { "0d 34 00 01 01 61 62 00 00 00 00 01 00 00 00", 1, PS_DATA_LOSS, "corrupted compressed" },
        { "00 01 01 61 62 00 00 00 00 05 00 00 00", 0, PS_DATA_LOSS, "bad block contents" },
        { "01 00 00", 0, PS_DATA_LOSS, "bad block contents" },
        { "00 00 00 00 01 00 00 00", 0, PS_DATA_LOSS, "without entries" },
        { "01 01 01 61 62 00 00 00 00 01 00 00 00", 0, PS_DATA_LOSS, "bad entry" },
        { "00 09 01 61 62 00 00 00 00 01 00 00 00", 0, PS_DATA_LOSS, "bad entry" },
        { "00 01 09 61 62 00 00 00 00 01 00 00 00", 0, PS_DATA_LOSS, "bad entry" },
        { "00 01 00 62 00 01 00 61 00 00 00 00 01 00 00 00", 0, PS_DATA_LOSS, "out of order" },
        { "00 01 00 61 01 00 00 00 00 00 00 01 00 00 00", 0, PS_DATA_LOSS, "out of order" },
        { "00 01 01 7b 62 00 00 00 00 01 00 00 00", 0, PS_DATA_LOSS, "outside its block" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t count;
        struct ps_buf block = fixture_hex(cases[i].block);
        put_table((struct ps_span){ block.data, block.size }, cases[i].type);
        error.message[0] = '\0';
        enum ps_code rc = walk(&count);
        ck_assert_msg(rc == cases[i].code && strstr(error.message, cases[i].part) != NULL,
                      "case %zu: %s: %s", i, ps_code_name(rc), error.message);
        ps_buf_clean(&block);
    }
}
END_TEST

START_TEST(test_footers_are_checked)
{
    static const struct {
        size_t from_end; /* where hex replaces what is there */
        const char *hex;
        const char *part;
    } cases[] = { { 1, "da", "not an sstable (bad magic number)" },
                  { 48, "ff ff ff ff ff ff ff ff ff ff ff", "bad block handle" },
                  { 48, "00 00 ff ff 7f 08", "truncated block read" },
                  { 48, "00 00 00 ff ff 7f", "truncated block read" },
                  { 48, "00 00 00 08", "block checksum mismatch" } };
    size_t count;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_many(3, 4096);
        struct ps_span good = ps_memory_files_get(memory, "d/t");
        struct ps_buf bytes = { 0 }, patch = fixture_hex(cases[i].hex);
        ck_ok(ps_buf_append(&bytes, good.data, good.size, &error));
        memcpy(bytes.data + bytes.size - cases[i].from_end, patch.data, patch.size);
        ps_memory_files_put(memory, "d/t", (struct ps_span){ bytes.data, bytes.size });
        ck_assert_int_eq(walk(&count), PS_DATA_LOSS);
        ck_assert_msg(strstr(error.message, cases[i].part) != NULL, "%s", error.message);
        ps_buf_clean(&bytes);
        ps_buf_clean(&patch);
    }
    ps_memory_files_put(memory, "d/t", (struct ps_span){ (const uint8_t *)"short", 5 });
    ck_assert_int_eq(walk(&count), PS_DATA_LOSS);
    ck_assert_ptr_nonnull(strstr(error.message, "file is too short to be an sstable"));
}
END_TEST

START_TEST(test_snappy)
{
    static const struct {
        const char *hex;
        const char *text; /* NULL: DATA_LOSS */
    } cases[] = {
        { "00", "" },
        { "03 08 61 62 63", "abc" },
        { "0a 04 61 62 1d 02", NULL },              /* copy of 11 bytes: too long */
        { "0a 04 61 62 11 02", "ababababab" },      /* overlapping copy, one-byte offset */
        { "06 04 61 62 0e 02 00", "ababab" },       /* two-byte offset */
        { "06 04 61 62 0f 02 00 00 00", "ababab" }, /* four-byte offset */
        { "03 f0 02 61 62 63", "abc" },             /* length in a byte of its own */
        { "03 f4 02 00 61 62 63", "abc" },          /* in two */
        { "03 fc 02 00 00 00 61 62 63", "abc" },    /* in four */
        { "04 08 61 62 63", NULL },                 /* shorter than said */
        { "02 08 61 62 63", NULL },                 /* longer */
        { "06 04 61 62 0e 03 00", NULL },           /* reaches before the start */
        { "06 04 61 62 0e 00 00", NULL },           /* offset 0 */
        { "03 08 61 62", NULL },                    /* literal cut */
        { "06 04 61 62 0e 02", NULL },              /* offset cut */
        { "03 fc ff ff ff ff 61", NULL },           /* a literal of 4 GiB */
        { "80", NULL },
        { "", NULL },
    };
    struct ps_buf out = { 0 };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ps_buf in = fixture_hex(cases[i].hex);
        enum ps_code rc = ps_snappy_decompress((struct ps_span){ in.data, in.size }, 1000, &out,
                                               &error);
        ck_assert_msg(rc == (cases[i].text == NULL ? PS_DATA_LOSS : PS_OK), "case %zu", i);
        if (rc == PS_OK) {
            ck_assert_uint_eq(out.size, strlen(cases[i].text));
            ck_assert(out.size == 0 || memcmp(out.data, cases[i].text, out.size) == 0);
        }
        ps_buf_clean(&in);
    }
    struct ps_buf bomb = fixture_hex("e9 07 00");
    ck_assert_int_eq(ps_snappy_decompress((struct ps_span){ bomb.data, 3 }, 1000, &out, &error),
                     PS_RESOURCE_EXHAUSTED);
    ps_buf_clean(&bomb);
    ps_buf_clean(&out);
}
END_TEST

START_TEST(test_varints)
{
    static const uint64_t values[] = { 0, 1, 127, 128, 300, UINT32_MAX, UINT64_MAX };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        uint8_t out[PS_VARINT64_BYTES];
        uint64_t back;
        size_t size = ps_varint_put(out, values[i]);
        const uint8_t *at = out;
        ck_assert(ps_varint_get(&at, out + size, &back));
        ck_assert_uint_eq(back, values[i]);
        at = out;
        ck_assert(!ps_varint_get(&at, out + size - 1, &back));
    }
    const uint8_t long_one[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02 };
    const uint8_t *at = long_one;
    uint64_t value;
    uint32_t small;
    ck_assert(!ps_varint_get(&at, long_one + 10, &value));
    ck_assert(!ps_varint_get32(&at, long_one + 10, &small));
    ck_assert_uint_eq(ps_crc_mask(0xe3069283u), 0xc78ab0e5u);
    ck_assert_uint_eq(ps_crc_unmask(0xc78ab0e5u), 0xe3069283u);
    ck_assert_uint_eq(ps_crc_mask(0), 0xa282ead8u);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("table");
    TCase *tcase = tcase_create("table");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_many_blocks_round_trip);
    tcase_add_test(tcase, test_cut_rule_and_separators);
    tcase_add_test(tcase, test_blocks_are_checked);
    tcase_add_test(tcase, test_footers_are_checked);
    tcase_add_test(tcase, test_snappy);
    tcase_add_test(tcase, test_varints);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
