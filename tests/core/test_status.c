/* Tests of status, exit codes and the allocation door. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/exit_code.h"
#include "core/status.h"

START_TEST(numbers_are_those_of_grpc)
{
    ck_assert_int_eq(PS_OK, 0);
    ck_assert_int_eq(PS_UNAUTHENTICATED, 16);
    ck_assert_str_eq(ps_code_name(PS_NOT_FOUND), "NOT_FOUND");
    ck_assert_str_eq(ps_code_text(PS_NOT_FOUND), "not found");
#define CHECK_CODE(code, number, text)                   \
    ck_assert_int_eq(ps_code_from_number(number), code); \
    ck_assert_str_eq(ps_code_text(code), text);          \
    ck_assert_str_eq(ps_code_name(code), &#code[3]);
    PS_CODES(CHECK_CODE)
#undef CHECK_CODE
}
END_TEST

START_TEST(foreign_numbers_are_unknown)
{
    ck_assert_int_eq(ps_code_from_number(17), PS_UNKNOWN);
    ck_assert_int_eq(ps_code_from_number(-1), PS_UNKNOWN);
    ck_assert_int_eq(ps_code_from_number(1L << 40), PS_UNKNOWN);
    ck_assert_str_eq(ps_code_name((enum ps_code)99), "UNKNOWN");
}
END_TEST

START_TEST(fail_records_and_returns)
{
    struct ps_error err = PS_ERROR_INIT;
    err.task = 3;
    ck_assert_int_eq(ps_fail(&err, PS_NOT_FOUND, "variable '%s'", "w"), PS_NOT_FOUND);
    ck_assert_int_eq(err.code, PS_NOT_FOUND);
    ck_assert_int_eq(err.task, -1);
    ck_assert_str_eq(err.message, "variable 'w'");
    ck_assert_int_eq(ps_fail(NULL, PS_ABORTED, "nobody reads this"), PS_ABORTED);
}
END_TEST

START_TEST(wrap_puts_context_first)
{
    struct ps_error err = PS_ERROR_INIT;
    ps_fail(&err, PS_DATA_LOSS, "bad crc");
    err.task = 2;
    ck_assert_int_eq(ps_wrap(&err, "restore step %d", 7), PS_DATA_LOSS);
    ck_assert_str_eq(err.message, "restore step 7: bad crc");
    ck_assert_int_eq(err.task, 2);
    ck_assert_int_eq(ps_wrap(NULL, "x"), PS_UNKNOWN);
}
END_TEST

START_TEST(a_message_may_contain_the_old_one)
{
    struct ps_error err = PS_ERROR_INIT;
    ps_fail(&err, PS_NOT_FOUND, "inner");
    ps_fail(&err, PS_ABORTED, "outer (%s)", err.message);
    ck_assert_str_eq(err.message, "outer (inner)");
    ps_wrap(&err, "twice %s", err.message);
    ck_assert_str_eq(err.message, "twice outer (inner): outer (inner)");
}
END_TEST

/* Every length of ASCII before a run of two, three or four-byte characters. */
START_TEST(long_messages_are_cut_between_characters)
{
    static const char *const characters[] = { "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };
    const char *character = characters[_i];
    size_t width = strlen(character);
    for (size_t lead = 0; lead < 5; lead++) {
        char text[2000] = "aaaaa";
        text[lead] = '\0';
        while (strlen(text) < 1500) { strcat(text, character); }
        struct ps_error err = PS_ERROR_INIT;
        ps_fail(&err, PS_INTERNAL, "%s", text);
        size_t size = strlen(err.message);
        ck_assert_uint_eq((size - lead) % width, 0);
        ck_assert_uint_gt(size, PS_ERROR_MESSAGE_BYTES - 1 - width);
        ps_wrap(&err, "%s", "context");
        ck_assert_uint_lt(strlen(err.message), PS_ERROR_MESSAGE_BYTES);
        ck_assert_uint_eq((strlen(err.message) - lead - strlen("context: ")) % width, 0);
    }
}
END_TEST

START_TEST(errno_becomes_a_code)
{
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_int_eq(ps_fail_errno(&err, ENOENT, "open %s", "f"), PS_NOT_FOUND);
    ck_assert_str_eq(err.message, "open f: No such file or directory");
    ck_assert_int_eq(ps_fail_errno(&err, ENOSPC, "x"), PS_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(ps_fail_errno(&err, ENOMEM, "x"), PS_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(ps_fail_errno(&err, EACCES, "x"), PS_PERMISSION_DENIED);
    ck_assert_int_eq(ps_fail_errno(NULL, EEXIST, "x"), PS_ALREADY_EXISTS);
    ck_assert_int_eq(ps_fail_errno(&err, 99999, "x"), PS_UNKNOWN);
}
END_TEST

START_TEST(only_passing_failures_are_retryable)
{
    int count = 0;
    for (int code = 0; code <= 16; code++) { count += ps_code_is_retryable((enum ps_code)code); }
    ck_assert_int_eq(count, 4);
    ck_assert(ps_code_is_retryable(PS_UNAVAILABLE) && ps_code_is_retryable(PS_ABORTED));
    ck_assert(ps_code_is_retryable(PS_DEADLINE_EXCEEDED));
    ck_assert(ps_code_is_retryable(PS_RESOURCE_EXHAUSTED));
}
END_TEST

START_TEST(assert_stops_the_program)
{
    PS_ASSERT(_i == 0 && "a condition that does not hold" == NULL);
}
END_TEST

START_TEST(exit_codes_say_what_to_retry)
{
    ck_assert_int_eq(ps_exit_code_of(PS_OK), 0);
    for (int code = 1; code <= 16; code++) {
        int exit_code = ps_exit_code_of((enum ps_code)code);
        ck_assert((exit_code >= 64 && exit_code <= 78) || (exit_code >= 200 && exit_code <= 209));
        char text[16];
        snprintf(text, sizeof text, " %d ", exit_code);
        ck_assert_ptr_nonnull(strstr(ps_exit_code_help(), text));
        if (ps_code_is_retryable((enum ps_code)code)) { ck_assert_int_ge(exit_code, 200); }
    }
}
END_TEST

START_TEST(the_nth_allocation_fails_once)
{
    ps_alloc_fail_at(2);
    void *first = ps_alloc(8);
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_null(ps_strdup("two"));
    char *third = ps_strdup("three");
    ck_assert_str_eq(third, "three");
    ck_assert_int_eq(ps_alloc_fail_at(0), 3);
    ps_free(first);
    ps_free(third);
    ps_free(NULL);
}
END_TEST

START_TEST(every_door_counts_and_fails)
{
    void *kept = ps_alloc(1);
    ps_alloc_fail_at(1);
    ck_assert_ptr_null(ps_alloc(1));
    ps_alloc_fail_at(1);
    ck_assert_ptr_null(ps_alloc_zero(1, 1));
    ps_alloc_fail_at(1);
    ck_assert_ptr_null(ps_realloc(kept, 100)); /* and kept stays ours */
    ps_alloc_fail_at(1);
    ck_assert_ptr_null(ps_alloc_aligned(1));
    ck_assert_int_eq(ps_alloc_fail_at(0), 1);
    ps_free(kept);
}
END_TEST

START_TEST(odd_sizes)
{
    void *nothing = ps_alloc(0);
    ck_assert_ptr_nonnull(nothing);
    nothing = ps_realloc(nothing, 0);
    ck_assert_ptr_nonnull(nothing);
    ps_free(nothing);
    volatile size_t half = SIZE_MAX / 2; /* volatile: or the compiler warns of the very thing */
    ck_assert_ptr_null(ps_alloc_zero(half, 3));
    unsigned char *zeros = ps_alloc_zero(3, 5);
    for (int i = 0; i < 15; i++) { ck_assert_uint_eq(zeros[i], 0); }
    ps_free(zeros);
    for (size_t size = 0; size < 200; size += 33) {
        void *aligned = ps_alloc_aligned(size);
        ck_assert_ptr_nonnull(aligned);
        ck_assert_uint_eq((uintptr_t)aligned % 64, 0);
        ps_free(aligned);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("status");
    TCase *cases = tcase_create("status");
    tcase_add_test(cases, numbers_are_those_of_grpc);
    tcase_add_test(cases, foreign_numbers_are_unknown);
    tcase_add_test(cases, fail_records_and_returns);
    tcase_add_test(cases, wrap_puts_context_first);
    tcase_add_test(cases, a_message_may_contain_the_old_one);
    tcase_add_loop_test(cases, long_messages_are_cut_between_characters, 0, 3);
    tcase_add_test(cases, errno_becomes_a_code);
    tcase_add_test(cases, only_passing_failures_are_retryable);
    tcase_add_test_raise_signal(cases, assert_stops_the_program, SIGABRT);
    tcase_add_test(cases, exit_codes_say_what_to_retry);
    tcase_add_test(cases, the_nth_allocation_fails_once);
    tcase_add_test(cases, every_door_counts_and_fails);
    tcase_add_test(cases, odd_sizes);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
