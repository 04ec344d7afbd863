/* The IDX reader: good files plain and gzip, and every way in which one can be wrong. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "tests/worker/idx_fixture.h"
#include "worker/idx_file.h"

static struct idx_fixture fixture;

static void setup(void)
{
    idx_fixture_init(&fixture);
}

static void teardown(void)
{
    idx_fixture_clean(&fixture);
}

static enum ps_code read_images(const char *name, struct ps_idx_file *file, struct ps_error *err)
{
    char path[IDX_PATH_BYTES];
    return ps_idx_file_read(idx_fixture_path(&fixture, name, path), PS_IDX_IMAGES, file, err);
}

/* Reading name as images must fail with code, and say so in these words, naming the file. */
static void expect_failure(const char *name, enum ps_code code, const char *words)
{
    struct ps_idx_file file;
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_int_eq(read_images(name, &file, &err), code);
    ck_assert_msg(strstr(err.message, words) != NULL, "'%s' lacks '%s'", err.message, words);
    ck_assert_msg(strstr(err.message, name) != NULL, "'%s' lacks '%s'", err.message, name);
    ck_assert_ptr_null(file.data);
}

static void check_images(const struct ps_idx_file *file, const uint8_t *bytes)
{
    ck_assert_int_eq(file->count, 5);
    ck_assert_int_eq(file->rows, 2);
    ck_assert_int_eq(file->columns, 3);
    ck_assert_uint_eq(file->size, 30);
    ck_assert_mem_eq(file->data, bytes + 16, 30);
}

START_TEST(reads_plain_and_gzip)
{
    struct ps_idx_file file;
    uint8_t bytes[IDX_BUFFER_BYTES];
    size_t size = idx_make_images(bytes, 5, 2, 3);
    idx_fixture_write(&fixture, "plain", bytes, size);
    idx_fixture_write_gzip(&fixture, "packed", bytes, size);

    ck_assert_int_eq(read_images("plain", &file, NULL), PS_OK);
    check_images(&file, bytes);
    ps_idx_file_clean(&file);
    ck_assert_int_eq(read_images("packed", &file, NULL), PS_OK);
    check_images(&file, bytes);
    ps_idx_file_clean(&file);
}
END_TEST

START_TEST(reads_labels)
{
    static const uint8_t labels[] = { 3, 1, 4, 1, 5 };
    struct ps_idx_file file;
    uint8_t bytes[IDX_BUFFER_BYTES];
    char path[IDX_PATH_BYTES];
    idx_fixture_write(&fixture, "labels", bytes, idx_make_labels(bytes, labels, sizeof labels));
    idx_fixture_path(&fixture, "labels", path);
    ck_assert_int_eq(ps_idx_file_read(path, PS_IDX_LABELS, &file, NULL), PS_OK);
    ck_assert_int_eq(file.count, 5);
    ck_assert_uint_eq(file.size, 5);
    ck_assert_mem_eq(file.data, labels, sizeof labels);
    ps_idx_file_clean(&file);
}
END_TEST

START_TEST(missing_file_and_directory)
{
    expect_failure("absent", PS_NOT_FOUND, "cannot open");
    expect_failure(".", PS_INVALID_ARGUMENT, "not a regular file");
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    uint8_t bytes[IDX_BUFFER_BYTES];
    uint8_t packed[IDX_BUFFER_BYTES];
    size_t size = idx_make_images(bytes, 5, 2, 3);
    idx_fixture_write_gzip(&fixture, "whole", bytes, size);
    size_t packed_size = idx_fixture_read(&fixture, "whole", packed);

    for (size_t cut = 0; cut < size; cut++) {
        idx_fixture_write(&fixture, "cut", bytes, cut);
        expect_failure("cut", PS_DATA_LOSS, "truncated");
    }
    for (size_t cut = 0; cut < packed_size; cut++) {
        idx_fixture_write(&fixture, "cut", packed, cut);
        expect_failure("cut", PS_DATA_LOSS, "truncated");
    }
}
END_TEST

START_TEST(truncation_says_what_was_expected)
{
    uint8_t bytes[IDX_BUFFER_BYTES];
    idx_make_images(bytes, 5, 2, 3);
    idx_fixture_write(&fixture, "plain", bytes, 40);
    expect_failure("plain", PS_DATA_LOSS, "46 bytes expected, 40 found");
    idx_fixture_write_gzip(&fixture, "packed", bytes, 40);
    expect_failure("packed", PS_DATA_LOSS, "46 bytes expected unpacked, 40 found");
    idx_fixture_write(&fixture, "header", bytes, 9);
    expect_failure("header", PS_DATA_LOSS, "16 bytes expected, 9 found");
}
END_TEST

START_TEST(trailing_bytes_are_refused)
{
    uint8_t bytes[IDX_BUFFER_BYTES];
    size_t size = idx_make_images(bytes, 5, 2, 3);
    bytes[size] = 0;
    idx_fixture_write(&fixture, "plain", bytes, size + 1);
    expect_failure("plain", PS_DATA_LOSS, "has 1 trailing bytes: 46 bytes expected, 47 found");
    idx_fixture_write_gzip(&fixture, "packed", bytes, size + 1);
    expect_failure("packed", PS_DATA_LOSS, "trailing bytes");
}
END_TEST

START_TEST(wrong_magic_is_refused)
{
    static const uint8_t labels[20] = { 0 };
    uint8_t bytes[IDX_BUFFER_BYTES];
    size_t size = idx_make_images(bytes, 5, 2, 3);
    bytes[2] = 0x0d; /* floats */
    idx_fixture_write(&fixture, "floats", bytes, size);
    expect_failure("floats", PS_INVALID_ARGUMENT, "begins with 0x00000d03, expected 0x00000803");
    idx_fixture_write(&fixture, "labels", bytes, idx_make_labels(bytes, labels, sizeof labels));
    expect_failure("labels", PS_INVALID_ARGUMENT, "swapped?");
}
END_TEST

/* Reads a bare header and sees that nothing was allocated on its word. */
static void expect_refused_unread(enum ps_code code, const char *words)
{
    ps_alloc_fail_at(0);
    expect_failure("liar", code, words);
    ck_assert_int_eq(ps_alloc_fail_at(0), 0);
}

START_TEST(impossible_sizes_take_no_memory)
{
    uint8_t bytes[IDX_BUFFER_BYTES] = { 0 };
    idx_fixture_write(&fixture, "liar", bytes, idx_make_header(bytes, 1000000, 28, 28));
    expect_refused_unread(PS_DATA_LOSS, "784000016 bytes expected, 16 found");
    idx_make_header(bytes, 1000000, 28, 28);
    idx_fixture_write_gzip(&fixture, "liar", bytes, IDX_BUFFER_BYTES);
    expect_refused_unread(PS_DATA_LOSS, "784000016 bytes expected unpacked");
    idx_fixture_write(&fixture, "liar", bytes, idx_make_header(bytes, UINT32_MAX, 1, 1));
    expect_refused_unread(PS_INVALID_ARGUMENT, "too large");
    idx_make_header(bytes, UINT32_MAX, UINT32_MAX, UINT32_MAX);
    idx_fixture_write(&fixture, "liar", bytes, 16);
    expect_refused_unread(PS_INVALID_ARGUMENT, "too large");
    idx_fixture_write(&fixture, "liar", bytes, idx_make_header(bytes, 2000000000, 1000, 1000));
    expect_refused_unread(PS_INVALID_ARGUMENT, "too large");
    idx_fixture_write(&fixture, "liar", bytes, idx_make_header(bytes, 0, 28, 28));
    expect_refused_unread(PS_INVALID_ARGUMENT, "is empty");
    idx_fixture_write(&fixture, "liar", bytes, idx_make_header(bytes, 5, 0, 28));
    expect_refused_unread(PS_INVALID_ARGUMENT, "is empty");
}
END_TEST

START_TEST(every_flipped_byte_of_gzip_is_found_or_harmless)
{
    uint8_t bytes[IDX_BUFFER_BYTES];
    uint8_t packed[IDX_BUFFER_BYTES];
    int refused = 0;
    idx_fixture_write_gzip(&fixture, "whole", bytes, idx_make_images(bytes, 5, 2, 3));
    size_t packed_size = idx_fixture_read(&fixture, "whole", packed);
    for (size_t i = 0; i < packed_size; i++) {
        struct ps_idx_file file;
        packed[i] ^= 0xff;
        idx_fixture_write(&fixture, "flipped", packed, packed_size);
        packed[i] ^= 0xff;
        if (read_images("flipped", &file, NULL) == PS_OK) {
            check_images(&file, bytes); /* a time stamp, or the like */
        } else {
            refused++;
        }
        ps_idx_file_clean(&file);
    }
    ck_assert_int_gt(refused, (int)packed_size / 2);
}
END_TEST

START_TEST(out_of_memory_is_reported)
{
    uint8_t bytes[IDX_BUFFER_BYTES];
    idx_fixture_write(&fixture, "plain", bytes, idx_make_images(bytes, 5, 2, 3));
    ps_alloc_fail_at(1);
    expect_failure("plain", PS_RESOURCE_EXHAUSTED, "no memory for the 30 bytes");
    ps_alloc_fail_at(0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("idx_file");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, reads_plain_and_gzip);
    tcase_add_test(tests, reads_labels);
    tcase_add_test(tests, missing_file_and_directory);
    tcase_add_test(tests, every_truncation_is_refused);
    tcase_add_test(tests, truncation_says_what_was_expected);
    tcase_add_test(tests, trailing_bytes_are_refused);
    tcase_add_test(tests, wrong_magic_is_refused);
    tcase_add_test(tests, impossible_sizes_take_no_memory);
    tcase_add_test(tests, every_flipped_byte_of_gzip_is_found_or_harmless);
    tcase_add_test(tests, out_of_memory_is_reported);
    suite_add_tcase(suite, tests);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
