/* Tests of spans, buffers, payloads, cursors and crc32c. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/bytes.h"

START_TEST(a_buffer_grows_and_keeps_its_bytes)
{
    struct ps_buf buf = { 0 };
    for (int i = 0; i < 1000; i++) {
        uint8_t byte = (uint8_t)i;
        ck_assert_int_eq(ps_buf_append(&buf, &byte, 1, NULL), PS_OK);
    }
    ck_assert_uint_eq(buf.size, 1000);
    ck_assert_uint_ge(buf.capacity, 1000);
    for (int i = 0; i < 1000; i++) { ck_assert_uint_eq(buf.data[i], (uint8_t)i); }
    ck_assert_int_eq(ps_buf_append(&buf, NULL, 0, NULL), PS_OK);
    ps_buf_clean(&buf);
    ck_assert_ptr_null(buf.data);
    ps_buf_clean(&buf);
    ps_buf_clean(NULL);
}
END_TEST

START_TEST(printf_appends_text_with_its_nul)
{
    struct ps_buf buf = { 0 };
    ck_assert_int_eq(ps_buf_printf(&buf, NULL, "%d-", 12), PS_OK);
    ck_assert_int_eq(ps_buf_printf(&buf, NULL, "%s", "ab"), PS_OK);
    ck_assert_str_eq((char *)buf.data, "12-ab");
    ck_assert_uint_eq(buf.size, 5);
    for (int i = 0; i < 100; i++) { ck_assert_int_eq(ps_buf_printf(&buf, NULL, "xyz"), PS_OK); }
    ck_assert_uint_eq(strlen((char *)buf.data), 305);
    ps_buf_clean(&buf);
}
END_TEST

START_TEST(a_buffer_survives_lack_of_memory)
{
    struct ps_buf buf = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_int_eq(ps_buf_append(&buf, "abc", 3, NULL), PS_OK);
    ps_alloc_fail_at(1);
    ck_assert_int_eq(ps_buf_reserve(&buf, 5000, &err), PS_RESOURCE_EXHAUSTED);
    ps_alloc_fail_at(0);
    ck_assert_ptr_nonnull(strstr(err.message, "5000"));
    ck_assert_mem_eq(buf.data, "abc", 3);
    ck_assert_int_eq(ps_buf_append(&buf, "x", SIZE_MAX - 1, &err), PS_RESOURCE_EXHAUSTED);
    ck_assert_uint_eq(buf.size, 3);
    ps_buf_clean(&buf);
}
END_TEST

static void count_free(void *owner)
{
    ++*(int *)owner;
}

START_TEST(the_last_release_frees)
{
    int freed = 0;
    struct ps_payload payload = { .owner = &freed, .free_owner = count_free, .reference_count = 1 };
    ck_assert_ptr_eq(ps_payload_acquire(&payload), &payload);
    ck_assert_ptr_null(ps_payload_release(&payload));
    ck_assert_int_eq(freed, 0);
    ck_assert_ptr_null(ps_payload_release(&payload));
    ck_assert_int_eq(freed, 1);
    ck_assert_ptr_null(ps_payload_release(NULL));
}
END_TEST

START_TEST(a_copy_has_bytes_of_its_own)
{
    char text[] = "hello";
    struct ps_payload *copy = ps_payload_copy(text, 5);
    text[0] = 'j';
    ck_assert_uint_eq(copy->size, 5);
    ck_assert_mem_eq(copy->spans[0].data, "hello", 5);
    ps_payload_release(copy);
    struct ps_payload *empty = ps_payload_copy(NULL, 0);
    struct ps_cursor cursor = ps_cursor_at(empty, 0);
    ck_assert_uint_eq(ps_cursor_next(&cursor, 10).size, 0);
    ps_payload_release(empty);
    ck_assert_ptr_null(ps_payload_copy(text, SIZE_MAX));
    ps_alloc_fail_at(1);
    ck_assert_ptr_null(ps_payload_copy("x", 1));
    ps_alloc_fail_at(0);
}
END_TEST

static const uint8_t digits[] = "0123456789";

/* Ten bytes in pieces, some of them empty, at both ends too. */
static const struct ps_span pieces[] = {
    { digits, 0 },     { digits, 3 },     { digits + 3, 0 }, { NULL, 0 },
    { digits + 3, 1 }, { digits + 4, 6 }, { NULL, 0 },
};
static const struct ps_payload scattered = { .spans = pieces, .span_count = 7, .size = 10 };

START_TEST(a_cursor_reads_from_any_offset_in_any_step)
{
    size_t offset = (size_t)_i;
    for (size_t limit = 1; limit <= 11; limit++) {
        struct ps_cursor cursor = ps_cursor_at(&scattered, offset);
        size_t at = offset;
        struct ps_span run;
        while ((run = ps_cursor_next(&cursor, limit)).size > 0) {
            ck_assert_uint_le(run.size, limit);
            ck_assert_mem_eq(run.data, digits + at, run.size);
            at += run.size;
            ck_assert_uint_eq(cursor.remaining, 10 - at);
        }
        ck_assert_uint_eq(at, 10);
        ck_assert_uint_eq(ps_cursor_next(&cursor, limit).size, 0);
    }
}
END_TEST

START_TEST(a_cursor_copies_all_or_nothing)
{
    uint8_t out[10] = { 0 };
    struct ps_cursor cursor = ps_cursor_at(&scattered, 1);
    ck_assert(!ps_cursor_copy(&cursor, out, 10));
    ck_assert_uint_eq(cursor.remaining, 9);
    ck_assert_uint_eq(out[0], 0);
    ck_assert(ps_cursor_copy(&cursor, out, 7));
    ck_assert_mem_eq(out, "1234567", 7);
    ck_assert(ps_cursor_copy(&cursor, out, 2));
    ck_assert_mem_eq(out, "89", 2);
    ck_assert(ps_cursor_copy(&cursor, NULL, 0));
    ck_assert(!ps_cursor_copy(&cursor, out, 1));
}
END_TEST

START_TEST(crc32c_has_the_published_values)
{
    static const uint8_t zeros[32] = { 0 };
    ck_assert_uint_eq(ps_crc32c(0, "123456789", 9), 0xe3069283u);
    ck_assert_uint_eq(ps_crc32c(0, zeros, 32), 0x8a9136aau);
    ck_assert_uint_eq(ps_crc32c(0, NULL, 0), 0);
    for (size_t cut = 0; cut <= 9; cut++) { /* digits + 1 is "123456789" */
        uint32_t crc = ps_crc32c(0, digits + 1, cut);
        ck_assert_uint_eq(ps_crc32c(crc, digits + 1 + cut, 9 - cut), 0xe3069283u);
    }
}
END_TEST

/* By the definition, bit by bit, at lengths and alignments around the vector widths. */
START_TEST(crc32c_agrees_with_its_definition)
{
    uint8_t data[600];
    for (size_t i = 0; i < sizeof data; i++) { data[i] = (uint8_t)(i * 37 + 11); }
    for (size_t start = 0; start < 9; start++) {
        uint32_t state = 0xffffffffu;
        for (size_t size = 1; start + size <= sizeof data; size++) {
            state ^= data[start + size - 1];
            for (int bit = 0; bit < 8; bit++) {
                state = state >> 1 ^ ((state & 1u) != 0 ? 0x82f63b78u : 0);
            }
            ck_assert_uint_eq(ps_crc32c(0, data + start, size), ~state);
        }
    }
}
END_TEST

START_TEST(arithmetic_reports_overflow)
{
    uint64_t out = 42;
    ck_assert(!ps_add_u64(UINT64_MAX, 1, &out) && out == 42);
    ck_assert(ps_add_u64(UINT64_MAX - 1, 1, &out) && out == UINT64_MAX);
    ck_assert(!ps_mul_u64(1ull << 32, 1ull << 32, &out) && out == UINT64_MAX);
    ck_assert(ps_mul_u64(1ull << 32, (1ull << 32) - 1, &out));
    ck_assert(ps_mul_u64(UINT64_MAX, 0, &out) && out == 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bytes");
    TCase *cases = tcase_create("bytes");
    tcase_add_test(cases, a_buffer_grows_and_keeps_its_bytes);
    tcase_add_test(cases, printf_appends_text_with_its_nul);
    tcase_add_test(cases, a_buffer_survives_lack_of_memory);
    tcase_add_test(cases, the_last_release_frees);
    tcase_add_test(cases, a_copy_has_bytes_of_its_own);
    tcase_add_loop_test(cases, a_cursor_reads_from_any_offset_in_any_step, 0, 11);
    tcase_add_test(cases, a_cursor_copies_all_or_nothing);
    tcase_add_test(cases, crc32c_has_the_published_values);
    tcase_add_test(cases, crc32c_agrees_with_its_definition);
    tcase_add_test(cases, arithmetic_reports_overflow);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
