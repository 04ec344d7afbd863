/* Damaged checkpoints: every byte and every length; and every refusal by its text. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/table_writer.h"
#include "checkpoint/varint.h"
#include "tests/checkpoint/bundle_fixture.h"
#include "tests/checkpoint/memory_files.h"

enum { VALUE = 41, FOOTER = PS_TABLE_FOOTER_BYTES };

static struct ps_error error;
static struct ps_memory_files *memory;
static const struct ps_files *files;

static void setup(void)
{
    memory = ps_memory_files_create();
    files = ps_memory_files_table(memory);
    const struct fixture_save save = {
        .files = files, .prefix = "d/m", .id = 1, .value = VALUE, .part_count = 2
    };
    ck_ok(fixture_save(&save, &error));
}

static void teardown(void)
{
    ps_memory_files_destroy(memory);
}

static struct ps_buf copy_of(const char *path)
{
    struct ps_buf copy = { 0 };
    struct ps_span bytes = ps_memory_files_get(memory, path);
    ck_assert_ptr_nonnull(bytes.data);
    ck_ok(ps_buf_append(&copy, bytes.data, bytes.size, &error));
    return copy;
}

/* Either a clear refusal or the values that were saved. */
static void expect_honest(const char *what, size_t at)
{
    long value = -1;
    enum ps_code rc = fixture_load(files, "d/m", &value, &error);
    bool is_refusal = rc == PS_DATA_LOSS || rc == PS_INVALID_ARGUMENT;
    ck_assert_msg(is_refusal || (rc == PS_OK && value == VALUE), "%s %zu: %s: %s", what, at,
                  ps_code_name(rc), error.message);
    ck_assert_msg(rc == PS_OK || error.message[0] != '\0', "%s %zu: no message", what, at);
}

static const char *const damaged[] = { "d/m.index", "d/m.data-00000-of-00002",
                                       "d/m.data-00001-of-00002" };

START_TEST(test_every_byte_flipped)
{
    static const uint8_t masks[] = { 0x01, 0x08, 0x80, 0xff };
    struct ps_buf good = copy_of(damaged[_i]);
    for (size_t at = 0; at < good.size; at++) {
        for (size_t mask = 0; mask < sizeof masks; mask++) {
            good.data[at] ^= masks[mask];
            ps_memory_files_put(memory, damaged[_i], (struct ps_span){ good.data, good.size });
            expect_honest("byte", at);
            good.data[at] ^= masks[mask];
        }
    }
    ps_buf_clean(&good);
}
END_TEST

START_TEST(test_every_length)
{
    struct ps_buf good = copy_of(damaged[_i]);
    for (size_t size = 0; size < good.size; size++) {
        ps_memory_files_put(memory, damaged[_i], (struct ps_span){ good.data, size });
        long value;
        enum ps_code rc = fixture_load(files, "d/m", &value, &error);
        ck_assert_msg(rc == PS_DATA_LOSS, "length %zu: %s", size, error.message);
    }
    ps_buf_clean(&good);
}
END_TEST

START_TEST(test_missing_data_file)
{
    long value;
    struct ps_bundle_reader *reader;
    ck_ok(files->unlink(files->ctx, damaged[2], &error));
    ck_ok(ps_bundle_reader_open(files, "d/m", &reader, &error)); /* listing still works */
    ck_assert_uint_eq(ps_bundle_reader_count(reader), 3);
    ck_ok(ps_bundle_reader_verify(reader, "step", &error));
    ps_bundle_reader_close(reader);
    ck_assert_int_eq(fixture_load(files, "d/m", &value, &error), PS_DATA_LOSS);
    ck_assert_ptr_nonnull(strstr(error.message, "d/m.data-00001-of-00002' is missing"));
}
END_TEST

/* Reads whatever there is, as a restore would; only that it returns matters. */
static void read_everything(const char *prefix)
{
    static uint8_t out[1 << 16];
    struct ps_bundle_reader *reader;
    if (ps_bundle_reader_open(files, prefix, &reader, &error) != PS_OK) { return; }
    for (size_t i = 0; i < ps_bundle_reader_count(reader); i++) {
        struct ps_bundle_info info = ps_bundle_reader_info(reader, i);
        struct ps_bundle_strings strings;
        const struct ps_bundle_request request = { .name = info.name };
        if (info.size_bytes <= sizeof out) {
            (void)!ps_bundle_reader_read(reader, &request, out, (size_t)info.size_bytes, NULL);
        }
        if (ps_bundle_reader_read_strings(reader, info.name, &strings, NULL) == PS_OK) {
            ps_bundle_strings_clean(&strings);
        }
        (void)!ps_bundle_reader_verify(reader, info.name, NULL);
    }
    ps_bundle_reader_close(reader);
}

/* Damage under a checksum that fits: what a crafted file can do. */
START_TEST(test_crafted_blocks)
{
    struct ps_buf good = copy_of("d/m.index");
    /* The only data block ends before the empty block, its trailer, and the index block of 14. */
    size_t end = good.size - FOOTER - (14 + 5) - (8 + 5) - 5;
    for (size_t at = 0; at < end; at++) {
        uint8_t keep = good.data[at];
        for (int step = 1; step < 256; step += 7) {
            good.data[at] = (uint8_t)(keep + step);
            ps_fixed32_put(good.data + end + 1, ps_crc_mask(ps_crc32c(0, good.data, end + 1)));
            ps_memory_files_put(memory, "d/m.index", (struct ps_span){ good.data, good.size });
            read_everything("d/m");
        }
        good.data[at] = keep;
    }
    ps_buf_clean(&good);
}
END_TEST

/* ---- refusals ---- */

/* A checkpoint "d/x" with a header and one entry, both as hex. */
static void put_index(const char *header, const char *key, const char *entry)
{
    struct ps_file *file;
    struct ps_table_writer writer;
    struct ps_buf header_bytes = fixture_hex(header), entry_bytes = fixture_hex(entry);
    (void)files->unlink(files->ctx, "d/x.index", NULL);
    ck_ok(files->create(files->ctx, "d/x.index", &file, &error));
    ps_table_writer_init(&writer, file, PS_TABLE_BLOCK_BYTES);
    struct ps_span name = { (const uint8_t *)"", 0 };
    struct ps_span value = { header_bytes.data, header_bytes.size };
    ck_ok(ps_table_writer_add(&writer, name, value, &error));
    name = (struct ps_span){ (const uint8_t *)key, strlen(key) };
    value = (struct ps_span){ entry_bytes.data, entry_bytes.size };
    ck_ok(ps_table_writer_add(&writer, name, value, &error));
    ck_ok(ps_table_writer_finish(&writer, &error));
    ps_table_writer_clean(&writer);
    ps_files_drop(&file);
    ps_memory_files_put(memory, "d/x.data-00000-of-00001",
                        (struct ps_span){ (const uint8_t *)"\0\0\x80\x3f\0\0\0\x40", 8 });
    ps_buf_clean(&header_bytes);
    ps_buf_clean(&entry_bytes);
}

#define GOOD_HEADER "08 01 1a 02 08 01"
#define GOOD_ENTRY  "08 01 12 04 12 02 08 02 28 08 35 59 3c e5 35"

static const struct {
    const char *header;
    const char *entry;
    enum ps_code code; /* of open, or of reading "w" */
    const char *part;
} refusals[] = {
    { GOOD_HEADER, GOOD_ENTRY, PS_OK, "" },
    { "08 01", GOOD_ENTRY, PS_OK, "" }, /* before versions were written */
    { "08 01 1a 04 08 01 10 01 22 01 00 2d 01 02 03 04 31 01 02 03 04 05 06 07 08", GOOD_ENTRY,
      PS_OK, "" }, /* unknown fields of every kind */
    { "08 01 1a 02 10 02", GOOD_ENTRY, PS_INVALID_ARGUMENT, "min consumer version 2" },
    { "08 01 1a 02 18 01", GOOD_ENTRY, PS_INVALID_ARGUMENT, "Please upgrade" },
    { "08 01 1a 03 1a 01 01", GOOD_ENTRY, PS_INVALID_ARGUMENT, "disallows consumer version 1" },
    { "08 01 10 01", GOOD_ENTRY, PS_UNIMPLEMENTED,
      "Reading a bundle with different endianness from the reader" },
    { "08 ff ff ff ff 0f", GOOD_ENTRY, PS_RESOURCE_EXHAUSTED, "shards" },
    { "08", GOOD_ENTRY, PS_DATA_LOSS, "malformed header" },
    { GOOD_HEADER, "08 15 12 00 28 08", PS_UNIMPLEMENTED, "variant" },
    { GOOD_HEADER, "08 14 12 00", PS_UNIMPLEMENTED, "resource" },
    { GOOD_HEADER, "08 08 12 00 28 08", PS_UNIMPLEMENTED, "complex64" },
    { GOOD_HEADER, "08 01 12 04 12 02 08 03 28 08 35 59 3c e5 35", PS_DATA_LOSS,
      "Invalid size in bundle entry: key w; stored size 8; expected size 12" },
    { GOOD_HEADER, "08 01 12 04 12 02 08 02 28 08 35 58 3c e5 35", PS_DATA_LOSS,
      "Checksum does not match: stored 683690417 vs. calculated on the restored bytes 683723185" },
    { GOOD_HEADER, "08 01 12 04 12 02 08 02 20 01 28 08 35 59 3c e5 35", PS_DATA_LOSS, "was cut" },
    { GOOD_HEADER, "08 01 12 04 12 02 08 02 18 01 28 08 35 59 3c e5 35", PS_DATA_LOSS,
      "data file 1 of 1" },
    { GOOD_HEADER, "08 01 12 02 18 01 28 08", PS_UNIMPLEMENTED, "unknown rank" },
    { GOOD_HEADER, "08 01 12 12 12 00 12 00 12 00 12 00 12 00 12 00 12 00 12 00 12 00",
      PS_UNIMPLEMENTED, "rank above 8" },
    { GOOD_HEADER, "08 01 12 0d 12 0b 08 ff ff ff ff ff ff ff ff ff 01", PS_DATA_LOSS,
      "malformed entry" }, /* a dimension of -1 */
    { GOOD_HEADER, "08 01 12 04 12 02 08 02 28 ff ff ff ff ff ff ff ff ff 01", PS_DATA_LOSS,
      "out of range" }, /* size -1 */
    { GOOD_HEADER, "08 01 12 04 12 02 08 04 3a 04 0a 02 10 02", PS_DATA_LOSS, "not stored" },
    { GOOD_HEADER, "08 01 12 04 12 02 08 04 3a 04 0a 02 10 05", PS_DATA_LOSS,
      "outside the tensor" },
    { GOOD_HEADER, "08 01 12 04 12 02 08 04 3a 00", PS_DATA_LOSS, "rank" },
    { GOOD_HEADER, "08 01 12 04 12 02 08 04 3a 04 0a 02 10 02 3a 06 0a 04 08 01 10 02", PS_INTERNAL,
      "Overlapping slices" },
    { GOOD_HEADER, "ff", PS_DATA_LOSS, "entry 'w': malformed entry" },
    { GOOD_HEADER, "0b", PS_DATA_LOSS, "malformed entry" }, /* a group */
};
enum { REFUSALS = sizeof refusals / sizeof refusals[0] };

START_TEST(test_refusals)
{
    float data[8];
    struct ps_bundle_reader *reader;
    struct ps_bundle_info info = { 0 };
    const struct ps_bundle_request request = { .name = "w" };
    put_index(refusals[_i].header, "w", refusals[_i].entry);
    error.message[0] = '\0';
    enum ps_code rc = ps_bundle_reader_open(files, "d/x", &reader, &error);
    if (rc == PS_OK) {
        ck_ok(ps_bundle_reader_find(reader, "w", &info, &error));
        size_t size = 4 * (size_t)ps_shape_elements(&info.shape);
        rc = ps_bundle_reader_read(reader, &request, data, size, &error);
    }
    ps_bundle_reader_close(reader);
    ck_assert_msg(rc == refusals[_i].code && strstr(error.message, refusals[_i].part) != NULL,
                  "%s: %s", ps_code_name(rc), error.message);
}
END_TEST

START_TEST(test_insufficient_slices)
{
    float data[18];
    struct ps_bundle_reader *reader;
    const struct ps_bundle_request request = { .name = "emb" };
    struct ps_bundle_part *part;
    const struct ps_bundle_rows *rows;
    const struct ps_bundle_ticket ticket = { .files = files, .prefix = "d/y", .id = 3 };
    const struct ps_slice slice = { 2, { { 2, 4 }, { 0, 3 } } };
    const struct ps_bundle_tensor tensor = {
        .name = "emb", .dtype = PS_FLOAT, .shape = { 2, { 6, 3 } }, .slice = &slice
    };
    memset(data, 0, sizeof data);
    ck_ok(ps_bundle_part_create(&ticket, 0, &part, &error));
    ck_ok(ps_bundle_part_begin(part, &tensor, &error));
    ck_ok(ps_bundle_part_append(part, data, 48, &error));
    ck_ok(ps_bundle_part_end(part, &error));
    ck_ok(ps_bundle_part_finish(part, &error));
    rows = ps_bundle_part_rows(part);
    ck_ok(ps_bundle_merge(&ticket, &rows, 1, &error));
    ck_ok(ps_bundle_commit(&ticket, &error));
    ps_bundle_part_destroy(part);
    ck_ok(ps_bundle_reader_open(files, "d/y", &reader, &error));
    ck_assert_int_eq(ps_bundle_reader_read(reader, &request, data, sizeof data, &error),
                     PS_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "Does not have sufficient slices for partitioned tensor emb to "
                                    "restore in slice_spec: 0,6:0,3");
    ck_assert_int_eq(ps_bundle_reader_verify(reader, "emb", &error), PS_INVALID_ARGUMENT);
    ps_bundle_reader_close(reader);
}
END_TEST

START_TEST(test_expectations)
{
    struct ps_bundle_reader *reader;
    struct ps_bundle_info info;
    const struct ps_shape good = { 2, { 6, 3 } }, bad = { 2, { 6, 4 } }, scalar = { 0, { 0 } };
    ck_ok(ps_bundle_reader_open(files, "d/m", &reader, &error));
    ck_assert_int_eq(ps_bundle_reader_find(reader, "nope", &info, &error), PS_NOT_FOUND);
    ck_assert_str_eq(error.message, "Key nope not found in checkpoint");
    ck_ok(ps_bundle_reader_expect(reader, "emb", PS_FLOAT, &good, &error));
    ck_assert_int_eq(ps_bundle_reader_expect(reader, "emb", PS_INT32, &good, &error),
                     PS_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message,
                     "tensor_name = emb; Expected dtype int32 does not equal restored dtype float");
    ck_assert_int_eq(ps_bundle_reader_expect(reader, "emb", PS_FLOAT, &bad, &error),
                     PS_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "tensor_name = emb; Shape in shape_and_slice spec [6,4] does "
                                    "not match the shape stored in checkpoint: [6,3]");
    ck_ok(ps_bundle_reader_expect(reader, "step", PS_INT64, &scalar, &error));
    ck_assert_int_eq(ps_bundle_reader_expect(reader, "step", PS_INT64, &good, &error),
                     PS_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "variable 'step': Assign requires shapes of both tensors to "
                                    "match. lhs shape= [6,3] rhs shape= []");
    int64_t step;
    const struct ps_bundle_request request = { .name = "step", .dtype = PS_DOUBLE };
    ck_assert_int_eq(ps_bundle_reader_read(reader, &request, &step, 8, &error),
                     PS_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "Expected dtype double does not equal"));
    ps_bundle_reader_close(reader);
}
END_TEST

START_TEST(test_wrong_paths)
{
    static const struct {
        const char *prefix;
        enum ps_code code;
        const char *part;
    } cases[] = {
        { "d/none", PS_NOT_FOUND, "Failed to get matching files on d/none" },
        { "d/m.index", PS_DATA_LOSS, "give the prefix, 'd/m'" },
        { "d/m.data-00000-of-00002", PS_DATA_LOSS, "not an sstable (bad magic number)" },
        { "d/v1", PS_UNIMPLEMENTED, "V1 checkpoint (single-file) is not supported" },
        { "d", PS_NOT_FOUND, "Failed to get matching files on d" },
        { "d/", PS_INVALID_ARGUMENT, "no checkpoint prefix" },
        { "", PS_INVALID_ARGUMENT, "no checkpoint prefix" },
    };
    ps_memory_files_put(memory, "d/v1", (struct ps_span){ (const uint8_t *)"x", 1 });
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ps_bundle_reader *reader;
        enum ps_code rc = ps_bundle_reader_open(files, cases[i].prefix, &reader, &error);
        ck_assert_msg(rc == cases[i].code && strstr(error.message, cases[i].part) != NULL,
                      "'%s': %s", cases[i].prefix, error.message);
        ck_assert_ptr_null(reader);
    }
}
END_TEST

/* A checkpoint stays readable for those who have it open, whatever happens to its names. */
START_TEST(test_open_reader_outlives_replacement)
{
    float data[18];
    struct ps_bundle_reader *reader;
    const struct ps_bundle_request request = { .name = "emb" };
    const struct fixture_save save = {
        .files = files, .prefix = "d/m", .id = 2, .value = 1000, .part_count = 2
    };
    ck_ok(ps_bundle_reader_open(files, "d/m", &reader, &error));
    ck_ok(fixture_save(&save, &error));
    ck_ok(ps_bundle_reader_read(reader, &request, data, sizeof data, &error));
    ck_assert(data[0] == (float)VALUE);
    ps_bundle_reader_close(reader);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bundle_damage");
    TCase *tcase = tcase_create("damage");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_every_byte_flipped, 0, 3);
    tcase_add_loop_test(tcase, test_every_length, 0, 3);
    tcase_add_test(tcase, test_missing_data_file);
    tcase_add_test(tcase, test_crafted_blocks);
    tcase_add_loop_test(tcase, test_refusals, 0, REFUSALS);
    tcase_add_test(tcase, test_insufficient_slices);
    tcase_add_test(tcase, test_expectations);
    tcase_add_test(tcase, test_wrong_paths);
    tcase_add_test(tcase, test_open_reader_outlives_replacement);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
