/* Tests of definitions as values: copies, equality, texts and names. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "proto/definition.h"

static const double constants[] = { 1.0, 2.5, -3.0, 0.1, 5.0 };

static struct ps_definition sample(void)
{
    return (struct ps_definition){
        .name = "weights",
        .dtype = PS_FLOAT,
        .shape = { .rank = 2, .dims = { 784, 200 } },
        .initializer = { .kind = PS_INIT_RANDOM_NORMAL,
                         .a = 0.0,
                         .b = 0.35,
                         .seed = 1,
                         .values = constants,
                         .value_count = 3,
                         .scale = 2.0,
                         .source = "first",
                         .crc32c = 5 },
        .device = "/job:ps/task:7",
        .partitioner = { PS_PARTITION_FIXED, 3, 0 },
        .trainable = true,
        .free_shape = false,
        .strategy = PS_STRATEGY_ROUND_ROBIN,
    };
}

/* ---- Copy ---- */

START_TEST(a_copy_owns_what_it_points_to)
{
    char name[] = "weights", source[] = "first", device[] = "/job:ps/task:7";
    double values[] = { 1.0, 2.5, -3.0 };
    struct ps_definition from = sample();
    from.name = name;
    from.device = device;
    from.initializer.source = source;
    from.initializer.values = values;
    struct ps_definition to;
    ck_assert_int_eq(ps_definition_copy(&from, &to, NULL), PS_OK);
    memset(name, 'x', sizeof name - 1);
    memset(source, 'x', sizeof source - 1);
    memset(device, 'x', sizeof device - 1);
    memset(values, 0, sizeof values);

    struct ps_definition expected = sample();
    ck_assert(ps_definition_equal(&to, &expected));
    ck_assert_str_eq(to.device, expected.device);
    ck_assert(to.partitioner.kind == PS_PARTITION_FIXED && to.partitioner.a == 3);
    ck_assert(to.trainable && !to.free_shape && to.strategy == PS_STRATEGY_ROUND_ROBIN);
    ps_definition_clean(&to);
    ck_assert_ptr_null(to.name);
    ps_definition_clean(&to);
    ps_definition_clean(NULL);
}
END_TEST

START_TEST(a_copy_of_nothing_has_empty_texts)
{
    struct ps_definition nothing = { 0 };
    struct ps_definition to;
    ck_assert_int_eq(ps_definition_copy(&nothing, &to, NULL), PS_OK);
    ck_assert_str_eq(to.name, "");
    ck_assert_str_eq(to.device, "");
    ck_assert_str_eq(to.initializer.source, "");
    ck_assert(ps_definition_equal(&to, &nothing));
    ps_definition_clean(&to);
}
END_TEST

START_TEST(a_copy_that_fails_leaves_nothing)
{
    struct ps_error err = PS_ERROR_INIT;
    struct ps_definition from = sample();
    struct ps_definition to;
    ps_alloc_fail_at(1);
    ck_assert_int_eq(ps_definition_copy(&from, &to, &err), PS_RESOURCE_EXHAUSTED);
    ps_alloc_fail_at(0);
    ck_assert_str_eq(err.message, "no memory for the definition of variable 'weights'");
    ck_assert_ptr_null(to.initializer.values);

    from.initializer.value_count = PS_MAX_CONSTANTS + 1;
    ck_assert_int_eq(ps_definition_copy(&from, &to, &err), PS_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, "variable 'weights': 4097 constants, at most 4096");
    ck_assert_ptr_null(to.name);
}
END_TEST

/* ---- Equality ---- */

#define DIFFERS(field, value)                    \
    do {                                         \
        struct ps_definition a = sample();       \
        struct ps_definition b = sample();       \
        ck_assert(ps_definition_equal(&a, &b));  \
        b.field = (value);                       \
        ck_assert(!ps_definition_equal(&a, &b)); \
        ck_assert(!ps_definition_equal(&b, &a)); \
    } while (0)

#define SAME_STILL(field, value)                \
    do {                                        \
        struct ps_definition a = sample();      \
        struct ps_definition b = sample();      \
        b.field = (value);                      \
        ck_assert(ps_definition_equal(&a, &b)); \
    } while (0)

START_TEST(what_is_asked_for_must_agree)
{
    static const double others[] = { 1.0, 2.5, -3.5 };
    DIFFERS(name, "weight");
    DIFFERS(dtype, PS_DOUBLE);
    DIFFERS(shape.rank, 1);
    DIFFERS(shape.dims[1], 201);
    DIFFERS(free_shape, true);
    DIFFERS(initializer.kind, PS_INIT_TRUNCATED_NORMAL);
    DIFFERS(initializer.a, 1e-300);
    DIFFERS(initializer.b, (double)NAN);
    DIFFERS(initializer.seed, 2);
    DIFFERS(initializer.values, others);
    DIFFERS(initializer.value_count, 2);
    DIFFERS(initializer.scale, 3.0);
    DIFFERS(initializer.source, "");
    DIFFERS(initializer.crc32c, 6);
}
END_TEST

START_TEST(wishes_need_not_agree)
{
    SAME_STILL(device, "/job:ps");
    SAME_STILL(partitioner.kind, PS_PARTITION_NONE);
    SAME_STILL(trainable, false);
    SAME_STILL(strategy, PS_STRATEGY_BALANCED);
    SAME_STILL(shape.dims[2], 5);

    struct ps_definition a = sample();
    struct ps_definition b = sample();
    a.initializer.source = NULL;
    b.initializer.source = "";
    b.initializer.scale = 1.0; /* says nothing without a source */
    ck_assert(ps_definition_equal(&a, &b));
    a.initializer.b = (double)NAN;
    b.initializer.b = (double)NAN;
    ck_assert(ps_definition_equal(&a, &b));
}
END_TEST

/* ---- Text ---- */

struct text_row {
    struct ps_initializer_spec spec;
    const char *text;
};

static const struct text_row text_rows[] = {
    { { .kind = PS_INIT_ZEROS }, "zeros" },
    { { .kind = PS_INIT_ONES }, "ones" },
    { { .kind = PS_INIT_CONSTANT, .values = constants, .value_count = 1 }, "constant(1)" },
    { { .kind = PS_INIT_CONSTANT, .values = constants, .value_count = 4 },
      "constant(1, 2.5, -3, 0.1)" },
    { { .kind = PS_INIT_CONSTANT, .values = constants, .value_count = 5 },
      "constant(1, 2.5, -3, 0.1, ... 5 values)" },
    { { .kind = PS_INIT_RANDOM_NORMAL, .b = 0.35, .seed = 1 }, "random_normal(0, 0.35, seed 1)" },
    { { .kind = PS_INIT_TRUNCATED_NORMAL, .a = 1.0 / 3, .b = 1e-7, .seed = 2 },
      "truncated_normal(0.3333333333333333, 1e-07, seed 2)" },
    { { .kind = PS_INIT_RANDOM_UNIFORM, .a = -1, .b = 1, .seed = UINT64_MAX },
      "random_uniform(-1, 1, seed 18446744073709551615)" },
    { { .kind = PS_INIT_GLOROT_UNIFORM, .seed = 3 }, "glorot_uniform(seed 3)" },
    { { .kind = PS_INIT_GLOROT_NORMAL, .seed = 4 }, "glorot_normal(seed 4)" },
    { { .kind = PS_INIT_TENSOR, .crc32c = 0xbeef }, "tensor(crc32c 0000beef)" },
    { { .kind = PS_INIT_ZEROS, .scale = 2.0, .source = "weights" },
      "2 * initialized_value(weights)" },
    { { .kind = PS_INIT_ZEROS, .scale = 1.0, .source = "weights" }, "initialized_value(weights)" },
    { { .kind = (enum ps_initializer_kind)99 }, "initializer 99" },
};

START_TEST(initializers_read_like_calls)
{
    char text[PS_DEFINITION_TEXT_BYTES];
    const struct text_row *row = &text_rows[_i];
    ck_assert_str_eq(ps_initializer_format(&row->spec, text, sizeof text), row->text);
}
END_TEST

START_TEST(a_definition_in_one_line)
{
    char text[PS_DEFINITION_TEXT_BYTES];
    struct ps_definition definition = sample();
    definition.initializer.source = NULL;
    ck_assert_str_eq(ps_definition_format(&definition, text, sizeof text),
                     "float[784,200] random_normal(0, 0.35, seed 1)");
}
END_TEST

START_TEST(text_is_cut_at_any_size)
{
    const char *whole = "float[784,200] 2 * initialized_value(first)";
    struct ps_definition definition = sample();
    for (size_t size = 1; size < 60; size++) {
        char text[64];
        memset(text, '#', sizeof text);
        ck_assert_ptr_eq(ps_definition_format(&definition, text, size), text);
        ck_assert_uint_eq(strlen(text), size - 1 < strlen(whole) ? size - 1 : strlen(whole));
        ck_assert_int_eq(strncmp(text, whole, strlen(text)), 0);
        ck_assert_int_eq(text[size], '#');
    }
    char untouched = '#';
    ps_definition_format(&definition, &untouched, 0);
    ck_assert_int_eq(untouched, '#');
}
END_TEST

/* ---- Names ---- */

struct name_row {
    const char *name;
    const char *fault; /* part of the message; NULL: a good name */
};

static const struct name_row name_rows[] = {
    { "w", NULL },
    { "scope/weights:0 [a]", NULL },
    { "_paramd", NULL },
    { "x_paramd/y", NULL },
    { "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", NULL },
    { "\xef\xbf\xbd\xed\x9f\xbf\xf4\x8f\xbf\xbf", NULL },
    { "\xc2\xa0", NULL }, /* the first one after C1 */
    { NULL, "it is empty" },
    { "", "it is empty" },
    { "/w", "starts with '/'" },
    { "_paramd/committed", "starts with '_paramd/'" },
    { "a\tb", "byte 1 is a control character" },
    { "ab\x7f", "byte 2 is a control character" },
    { "\xc2\x9f", "byte 0 is a control character" },
    { "\xc0\xaf", "byte 0 is not UTF-8" },         /* overlong */
    { "\xe0\x9f\xbf", "byte 0 is not UTF-8" },     /* overlong */
    { "\xf0\x8f\xbf\xbf", "byte 0 is not UTF-8" }, /* overlong */
    { "\xed\xa0\x80", "byte 0 is not UTF-8" },     /* surrogate */
    { "\xf4\x90\x80\x80", "byte 0 is not UTF-8" }, /* beyond U+10FFFF */
    { "a\xf5", "byte 1 is not UTF-8" },
    { "a\x80", "byte 1 is not UTF-8" },
    { "ab\xf0\x9f\x98", "byte 2 is not UTF-8" }, /* torn */
};

START_TEST(names)
{
    const struct name_row *row = &name_rows[_i];
    struct ps_error err = PS_ERROR_INIT;
    enum ps_code rc = ps_name_check(row->name, &err);
    ck_assert_int_eq(rc, row->fault == NULL ? PS_OK : PS_INVALID_ARGUMENT);
    ck_assert_int_eq(ps_name_check(row->name, NULL), rc);
    if (row->fault != NULL) {
        ck_assert_msg(strstr(err.message, row->fault) != NULL, "%s", err.message);
    }
}
END_TEST

START_TEST(names_have_a_length)
{
    char name[PS_MAX_NAME_BYTES + 2] = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    memset(name, 'n', PS_MAX_NAME_BYTES);
    ck_assert_int_eq(ps_name_check(name, NULL), PS_OK);
    name[PS_MAX_NAME_BYTES] = 'n';
    ck_assert_int_eq(ps_name_check(name, &err), PS_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, "a variable's name: 257 bytes long, at most 256");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("definition");
    TCase *values = tcase_create("values");
    tcase_add_test(values, a_copy_owns_what_it_points_to);
    tcase_add_test(values, a_copy_of_nothing_has_empty_texts);
    tcase_add_test(values, a_copy_that_fails_leaves_nothing);
    tcase_add_test(values, what_is_asked_for_must_agree);
    tcase_add_test(values, wishes_need_not_agree);
    suite_add_tcase(suite, values);

    TCase *texts = tcase_create("texts");
    tcase_add_loop_test(texts, initializers_read_like_calls, 0,
                        sizeof text_rows / sizeof text_rows[0]);
    tcase_add_test(texts, a_definition_in_one_line);
    tcase_add_test(texts, text_is_cut_at_any_size);
    tcase_add_loop_test(texts, names, 0, sizeof name_rows / sizeof name_rows[0]);
    tcase_add_test(texts, names_have_a_length);
    suite_add_tcase(suite, texts);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
