/* Golden vectors: files compared byte for byte with what TensorFlow writes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

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

static void expect_bytes(const char *path, const char *hex)
{
    struct ps_buf expected = fixture_hex(hex);
    struct ps_span found = ps_memory_files_get(memory, path);
    ck_assert_ptr_nonnull(found.data);
    ck_assert_uint_eq(found.size, expected.size);
    ck_assert_mem_eq(found.data, expected.data, expected.size);
    ps_buf_clean(&expected);
}

static void save_floats(const char *prefix, const char *name, struct ps_shape shape,
                        const float *data)
{
    struct ps_bundle_writer *writer;
    const struct ps_bundle_writer_options options = { .files = files, .id = 1 };
    const struct ps_bundle_tensor tensor = { .name = name, .dtype = PS_FLOAT, .shape = shape };
    size_t size = (size_t)ps_shape_elements(&shape) * sizeof *data;
    ck_ok(ps_bundle_writer_create(prefix, &options, &writer, &error));
    ck_ok(ps_bundle_writer_add(writer, &tensor, data, size, &error));
    ck_ok(ps_bundle_writer_finish(writer, &error));
    ps_bundle_writer_destroy(writer);
}

START_TEST(test_one_variable)
{
    const float data[] = { 1, 2 };
    save_floats("d/m", "w", (struct ps_shape){ 1, { 2 } }, data);
    expect_bytes("d/m.data-00000-of-00001", "00 00 80 3f 00 00 00 40");
    expect_bytes("d/m.index", "00 00 06 08 01 1a 02 08 01 00 01 0f 77 08 01 12 "
                              "04 12 02 08 02 28 08 35 59 3c e5 35 00 00 00 00 "
                              "01 00 00 00 00 09 21 ad c3 00 00 00 00 01 00 00 "
                              "00 00 c0 f2 a1 b0 00 01 02 78 00 24 00 00 00 00 "
                              "01 00 00 00 00 ab 30 70 7f 29 08 36 0e +36 "
                              "57 fb 80 8b 24 75 47 db");
    ck_assert_int_eq(ps_memory_files_count(memory, ""), 2);
}
END_TEST

START_TEST(test_embedding_of_tensorflow)
{
    const float data[] = { 1, 2, 3, 5, 7, 11 };
    save_floats("d/e", "my_embedding", (struct ps_shape){ 2, { 3, 2 } }, data);
    expect_bytes("d/e.index",
                 "00 00 06 08 01 1a 02 08 01 00 0c 13 6d 79 5f 65 6d 62 65 64 64 69 6e 67 08 01 "
                 "12 08 12 02 08 03 12 02 08 02 28 18 35 1e 37 4f f4 00 00 00 00 01 00 00 00 00 "
                 "df aa b2 85 00 00 00 00 01 00 00 00 00 c0 f2 a1 b0 00 01 02 6e 00 33 00 00 00 "
                 "00 01 00 00 00 00 2d bf 04 d1 38 08 45 0e +36 57 fb 80 8b 24 75 47 db");
}
END_TEST

static void append_rows(struct ps_bundle_part *part, const float *data, struct ps_rows rows)
{
    struct ps_bundle_tensor tensor = { .name = "emb", .dtype = PS_FLOAT, .shape = { 2, { 5, 2 } } };
    struct ps_slice slice = ps_slice_of_rows(&tensor.shape, rows);
    tensor.slice = &slice;
    ck_ok(ps_bundle_part_begin(part, &tensor, &error));
    /* In pieces that cut through elements: a stream knows no boundaries. */
    const char *bytes = (const char *)(data + 2 * rows.start);
    size_t size = (size_t)rows.count * 8;
    ck_ok(ps_bundle_part_append(part, bytes, 3, &error));
    ck_ok(ps_bundle_part_append(part, bytes + 3, size - 3, &error));
    ck_ok(ps_bundle_part_end(part, &error));
}

/* 'emb' [5,2] in rows 0-2 on shard 0 and 3-4 on shard 1, 'global_step' behind it on shard 0, and a
 * part between the two that has nothing and so becomes no shard. */
static void save_partitioned(const struct ps_bundle_ticket *ticket)
{
    float data[10];
    const int64_t step = 7;
    struct ps_bundle_part *parts[3];
    const struct ps_bundle_rows *rows[3];
    const struct ps_bundle_tensor counter = { .name = "global_step", .dtype = PS_INT64 };
    for (int i = 0; i < 10; i++) { data[i] = (float)i; }
    for (uint32_t i = 0; i < 3; i++) {
        ck_ok(ps_bundle_part_create(ticket, i, &parts[i], &error));
        rows[i] = ps_bundle_part_rows(parts[i]);
    }
    append_rows(parts[0], data, (struct ps_rows){ 0, 3 });
    append_rows(parts[2], data, (struct ps_rows){ 3, 2 });
    ck_ok(ps_bundle_part_begin(parts[0], &counter, &error));
    ck_ok(ps_bundle_part_append(parts[0], &step, sizeof step, &error));
    ck_ok(ps_bundle_part_end(parts[0], &error));
    for (int i = 0; i < 3; i++) { ck_ok(ps_bundle_part_finish(parts[i], &error)); }
    ck_ok(ps_bundle_merge(ticket, rows, 3, &error));
    ck_ok(ps_bundle_commit(ticket, &error));
    for (int i = 0; i < 3; i++) { ps_bundle_part_destroy(parts[i]); }
}

START_TEST(test_partitioned_over_two_shards)
{
    const struct ps_bundle_ticket ticket = { .files = files, .prefix = "d/p", .id = 9 };
    save_partitioned(&ticket);
    ck_assert_int_eq(ps_memory_files_count(memory, ""), 3);
    ck_assert_uint_eq(ps_memory_files_get(memory, "d/p.data-00000-of-00002").size, 32);
    ck_assert_uint_eq(ps_memory_files_get(memory, "d/p.data-00001-of-00002").size, 16);
    ck_assert_uint_eq(ps_memory_files_get(memory, "d/p.index").size, 232);
    /* Entries: shared, non-shared and value sizes in front of each; shared with the key before. */
    struct ps_buf entries = fixture_hex(
        "00 00 06 08 02 1a 02 08 01 "
        "00 0c 13 00 65 6d 62 00 01 01 02 80 83 80 82 "
        "08 01 12 08 12 02 08 03 12 02 08 02 28 18 35 c0 db 3d 17 "
        "08 04 15 83 82 80 82 "
        "08 01 12 08 12 02 08 02 12 02 08 02 18 01 28 10 35 50 0f 12 bc "
        "00 03 22 65 6d 62 "
        "08 01 12 08 12 02 08 05 12 02 08 02 3a 08 0a 02 10 03 0a 02 10 02 "
        "3a 0a 0a 04 08 03 10 02 0a 02 10 02 "
        "00 0b 0d 67 6c 6f 62 61 6c 5f 73 74 65 70 08 09 12 00 20 18 28 08 35 bb d7 9f 11 "
        "00 00 00 00 01 00 00 00 00");
    struct ps_span found = ps_memory_files_get(memory, "d/p.index");
    ck_assert_mem_eq(found.data, entries.data, entries.size);
    ps_buf_clean(&entries);
}
END_TEST

START_TEST(test_partitioned_reads_back)
{
    float data[10];
    int64_t step = 0;
    struct ps_bundle_reader *reader;
    const struct ps_bundle_ticket ticket = { .files = files, .prefix = "d/p", .id = 9 };
    const struct ps_bundle_request emb = { .name = "emb" };
    const struct ps_bundle_request counter = { .name = "global_step", .dtype = PS_INT64 };
    save_partitioned(&ticket);
    ck_ok(ps_bundle_reader_open(files, "d/p", &reader, &error));
    ck_assert_uint_eq(ps_bundle_reader_count(reader), 2);
    ck_assert_str_eq(ps_bundle_reader_info(reader, 0).name, "emb");
    ck_assert_uint_eq(ps_bundle_reader_info(reader, 0).slice_count, 2);
    ck_assert_uint_eq(ps_bundle_reader_info(reader, 0).size_bytes, 40);
    ck_ok(ps_bundle_reader_read(reader, &emb, data, sizeof data, &error));
    for (int i = 0; i < 10; i++) { ck_assert(data[i] == (float)i); }
    ck_ok(ps_bundle_reader_read(reader, &counter, &step, sizeof step, &error));
    ck_assert_int_eq(step, 7);
    ps_bundle_reader_close(reader);
}
END_TEST

START_TEST(test_strings)
{
    struct ps_bundle_writer *writer;
    const struct ps_bundle_writer_options options = { .files = files, .id = 1 };
    const struct ps_shape shape = { 1, { 2 } };
    const struct ps_span strings[] = { { (const uint8_t *)"a", 1 }, { (const uint8_t *)"bcd", 3 } };
    ck_ok(ps_bundle_writer_create("d/s", &options, &writer, &error));
    ck_ok(ps_bundle_part_strings(ps_bundle_writer_part(writer), "t", &shape, strings, &error));
    ck_assert_uint_eq(ps_bundle_part_rows(ps_bundle_writer_part(writer))->items[0].entry.masked_crc,
                      0x8e3c5c60u);
    ck_ok(ps_bundle_writer_finish(writer, &error));
    ps_bundle_writer_destroy(writer);
    expect_bytes("d/s.data-00000-of-00001", "01 03 44 39 ac 2f 61 62 63 64");
}
END_TEST

START_TEST(test_zero_elements_have_a_checksum)
{
    save_floats("d/z", "z", (struct ps_shape){ 2, { 0, 4 } }, NULL);
    struct ps_buf entry = fixture_hex("00 01 0f 7a 08 01 12 06 12 00 12 02 08 04 35 d8 ea 82 a2");
    struct ps_span index = ps_memory_files_get(memory, "d/z.index");
    ck_assert_mem_eq(index.data + 9, entry.data, entry.size);
    ck_assert_uint_eq(ps_memory_files_get(memory, "d/z.data-00000-of-00001").size, 0);
    ps_buf_clean(&entry);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bundle_golden");
    TCase *tcase = tcase_create("golden");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_one_variable);
    tcase_add_test(tcase, test_embedding_of_tensorflow);
    tcase_add_test(tcase, test_partitioned_over_two_shards);
    tcase_add_test(tcase, test_partitioned_reads_back);
    tcase_add_test(tcase, test_strings);
    tcase_add_test(tcase, test_zero_elements_have_a_checksum);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
