/* What the command shows: sizes, tables, arrays, and what it thinks was meant. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/tensor.h"
#include "deploy/array_text.h"
#include "deploy/show.h"
#include "deploy/suggest.h"

START_TEST(counts_sizes_and_times)
{
    char text[PS_SHOW_BYTES];
    ck_assert_str_eq(ps_show_count(0, text), "0");
    ck_assert_str_eq(ps_show_count(999, text), "999");
    ck_assert_str_eq(ps_show_count(48112, text), "48,112");
    ck_assert_str_eq(ps_show_count(UINT64_MAX, text), "18,446,744,073,709,551,615");
    ck_assert_str_eq(ps_show_size(512, text), "512 B");
    ck_assert_str_eq(ps_show_size(999, text), "999 B");
    ck_assert_str_eq(ps_show_size(5120, text), "5.1 kB");
    ck_assert_str_eq(ps_show_size(9960, text), "10 kB");
    ck_assert_str_eq(ps_show_size(401408, text), "401 kB");
    ck_assert_str_eq(ps_show_size(999600, text), "1.0 MB");
    ck_assert_str_eq(ps_show_rate(38200, text), "38 k");
    ck_assert_str_eq(ps_show_seconds(18.44, text), "18.4 s");
    ck_assert_str_eq(ps_show_seconds(125, text), "2 min 5 s");
    ck_assert_str_eq(ps_show_seconds(7260, text), "2 h 1 min");
}
END_TEST

/* What a printer wrote, as one string; free. */
static char *written(void (*print)(FILE *stream, const void *what), const void *what)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(stream);
    print(stream, what);
    fclose(stream);
    return text;
}

static void print_table(FILE *stream, const void *what)
{
    ps_table_print(what, stream);
}

static void print_array(FILE *stream, const void *what)
{
    ps_array_print(what, stream);
}

START_TEST(table_is_aligned_and_has_no_blanks_at_the_end)
{
    static const char *const titles[] = { "NAME", "BYTES", "INIT" };
    struct ps_table table;
    ps_table_init(&table, titles, "lrl");
    ck_assert_int_eq(ps_table_add(&table, (const char *[]){ "w", "401 kB", "zeros" }, NULL), PS_OK);
    ck_assert_int_eq(ps_table_add(&table, (const char *[]){ "größe", "4 B", "" }, NULL), PS_OK);
    char *text = written(print_table, &table);
    ck_assert_str_eq(text, "NAME    BYTES  INIT\n"
                           "w      401 kB  zeros\n"
                           "größe     4 B\n");
    free(text);
    ps_table_clean(&table);
}
END_TEST

static struct ps_tensor range(enum ps_dtype dtype, struct ps_shape shape)
{
    struct ps_tensor tensor;
    ck_assert_int_eq(ps_tensor_init(&tensor, dtype, &shape, NULL), PS_OK);
    for (int64_t i = 0; i < ps_shape_elements(&shape); i++) {
        ps_element_set(dtype, tensor.data, i, (double)i);
    }
    return tensor;
}

static void check_array(enum ps_dtype dtype, struct ps_shape shape, const char *expected)
{
    struct ps_tensor tensor = range(dtype, shape);
    char *text = written(print_array, &tensor);
    ck_assert_str_eq(text, expected);
    free(text);
    ps_tensor_clean(&tensor);
}

START_TEST(arrays_look_like_numpys)
{
    check_array(PS_INT32, (struct ps_shape){ 0, { 0 } }, "0\n");
    check_array(PS_INT32, (struct ps_shape){ 1, { 3 } }, "[0 1 2]\n");
    check_array(PS_INT32, (struct ps_shape){ 1, { 0 } }, "[]\n");
    check_array(PS_BOOL, (struct ps_shape){ 1, { 2 } }, "[False  True]\n");
    check_array(PS_FLOAT, (struct ps_shape){ 2, { 2, 2 } }, "[[0 1]\n [2 3]]\n");
    check_array(PS_INT64, (struct ps_shape){ 3, { 2, 1, 2 } }, "[[[0 1]]\n [[2 3]]]\n");
    check_array(PS_INT32, (struct ps_shape){ 1, { 2000 } },
                "[   0    1    2 ... 1997 1998 1999]\n");
    check_array(PS_INT32, (struct ps_shape){ 2, { 200, 10 } },
                "[[   0    1    2 ...    7    8    9]\n"
                " [  10   11   12 ...   17   18   19]\n"
                " [  20   21   22 ...   27   28   29]\n"
                " ...\n"
                " [1970 1971 1972 ... 1977 1978 1979]\n"
                " [1980 1981 1982 ... 1987 1988 1989]\n"
                " [1990 1991 1992 ... 1997 1998 1999]]\n");
}
END_TEST

START_TEST(large_whole_numbers_are_not_rounded)
{
    struct ps_tensor tensor = range(PS_INT64, (struct ps_shape){ 1, { 1 } });
    const int64_t value = INT64_MAX - 1;
    memcpy(tensor.data, &value, sizeof value);
    char *text = written(print_array, &tensor);
    ck_assert_str_eq(text, "[9223372036854775806]\n");
    free(text);
    ps_tensor_clean(&tensor);
}
END_TEST

START_TEST(suggests_what_is_near)
{
    static const char *const names[] = { "ps_hosts", "worker_hosts", "port", "ps" };
    const size_t count = sizeof names / sizeof names[0];
    ck_assert_str_eq(ps_suggest_nearest("wroker_hosts", names, count), "worker_hosts");
    ck_assert_str_eq(ps_suggest_nearest("PS-HOSTS", names, count), "ps_hosts");
    ck_assert_str_eq(ps_suggest_nearest("prot", names, count), "port");
    ck_assert_str_eq(ps_suggest_nearest("sp", names, count), "ps");
    ck_assert_ptr_null(ps_suggest_nearest("elephant", names, count));
    ck_assert_ptr_null(ps_suggest_nearest("", names, count));
    ck_assert_ptr_null(ps_suggest_nearest("port", names, 0));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("text");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, counts_sizes_and_times);
    tcase_add_test(tests, table_is_aligned_and_has_no_blanks_at_the_end);
    tcase_add_test(tests, arrays_look_like_numpys);
    tcase_add_test(tests, large_whole_numbers_are_not_rounded);
    tcase_add_test(tests, suggests_what_is_near);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
