/* Tests of element types, shapes and tensors. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/tensor.h"

START_TEST(types_have_tensorflows_numbers_names_and_sizes)
{
    ck_assert_int_eq(ps_dtype_size(PS_FLOAT), 4);
    ck_assert_int_eq(ps_dtype_size(PS_UINT64), 8);
    ck_assert_int_eq(ps_dtype_size(PS_BFLOAT16), 2);
    ck_assert_int_eq(ps_dtype_size(PS_STRING), 0);
    ck_assert_int_eq(ps_dtype_size((enum ps_dtype)8), 0);
    ck_assert_int_eq(ps_dtype_size((enum ps_dtype)57), 0);
    ck_assert_str_eq(ps_dtype_name(1), "float");
    ck_assert_str_eq(ps_dtype_name(18), "complex128");
    ck_assert_str_eq(ps_dtype_name(20), "resource");
    ck_assert_str_eq(ps_dtype_name(57), "unknown");
    ck_assert_str_eq(ps_dtype_name(26), "unknown");
    ck_assert_str_eq(ps_dtype_name(-1), "unknown");
    ck_assert(ps_dtype_is_floating(PS_HALF) && !ps_dtype_is_floating(PS_INT32));
}
END_TEST

START_TEST(every_name_parses_back)
{
    for (int number = 1; number < 40; number++) {
        enum ps_dtype dtype = PS_FLOAT;
        struct ps_error err = PS_ERROR_INIT;
        bool usable = ps_dtype_size((enum ps_dtype)number) > 0;
        enum ps_code rc = ps_dtype_parse(ps_dtype_name(number), &dtype, &err);
        ck_assert_int_eq(rc, usable ? PS_OK : PS_INVALID_ARGUMENT);
        ck_assert_int_eq(dtype, usable ? number : PS_DTYPE_INVALID);
    }
}
END_TEST

START_TEST(other_spellings_parse)
{
    static const struct {
        const char *text;
        enum ps_dtype dtype;
    } cases[] = {
        { "float32", PS_FLOAT },  { "DT_FLOAT", PS_FLOAT },       { "float16", PS_HALF },
        { "float64", PS_DOUBLE }, { "DT_BFLOAT16", PS_BFLOAT16 }, { "DT_INT64", PS_INT64 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum ps_dtype dtype;
        ck_assert_int_eq(ps_dtype_parse(cases[i].text, &dtype, NULL), PS_OK);
        ck_assert_int_eq(dtype, cases[i].dtype);
    }
}
END_TEST

START_TEST(bad_types_are_named)
{
    struct ps_error err = PS_ERROR_INIT;
    enum ps_dtype dtype;
    ck_assert_int_eq(ps_dtype_parse("flaot", &dtype, &err), PS_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.message, "'flaot'"));
    ck_assert_ptr_nonnull(strstr(err.message, "bfloat16"));
    ck_assert_int_eq(ps_dtype_parse("complex64", &dtype, &err), PS_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.message, "cannot have the type 'complex64'"));
    ck_assert_int_eq(ps_dtype_parse("", &dtype, &err), PS_INVALID_ARGUMENT);
    ck_assert_int_eq(ps_dtype_parse("DT_", &dtype, &err), PS_INVALID_ARGUMENT);

    ck_assert_int_eq(ps_dtype_from_number(8, &dtype, &err), PS_UNIMPLEMENTED);
    ck_assert_ptr_nonnull(strstr(err.message, "complex64"));
    ck_assert_int_eq(ps_dtype_from_number(57, &dtype, &err), PS_UNIMPLEMENTED);
    ck_assert_ptr_nonnull(strstr(err.message, "57"));
    ck_assert_int_eq(ps_dtype_from_number(0, &dtype, &err), PS_UNIMPLEMENTED);
    ck_assert_int_eq(ps_dtype_from_number(-5, &dtype, &err), PS_UNIMPLEMENTED);
    ck_assert_int_eq(ps_dtype_from_number(1L << 40, &dtype, &err), PS_UNIMPLEMENTED);
    ck_assert_int_eq(ps_dtype_from_number(7, &dtype, &err), PS_OK);
    ck_assert_int_eq(ps_dtype_from_number(19, &dtype, &err), PS_OK);
    ck_assert_int_eq(dtype, PS_HALF);
}
END_TEST

static bool half_is_nan(uint32_t bits)
{
    return (bits & 0x7c00u) == 0x7c00u && (bits & 0x3ffu) != 0;
}

START_TEST(every_half_survives_the_way_through_float)
{
    for (uint32_t bits = 0; bits <= 0xffff; bits++) {
        float value = ps_half_to_float((uint16_t)bits);
        uint16_t back = ps_float_to_half(value);
        if (half_is_nan(bits)) {
            ck_assert(isnan(value) && half_is_nan(back));
        } else {
            ck_assert_uint_eq(back, bits);
        }
    }
    ck_assert(ps_half_to_float(0x3c00) == 1.0f && ps_half_to_float(0xc000) == -2.0f);
    ck_assert(ps_half_to_float(0x0001) == 0x1p-24f && ps_half_to_float(0x7bff) == 65504.0f);
    ck_assert(isinf(ps_half_to_float(0x7c00)) && signbit(ps_half_to_float(0x8000)));
}
END_TEST

/* Between two neighbours: the middle goes to the even one, a hair to either side to the nearer. */
START_TEST(halves_round_to_nearest_even)
{
    for (uint32_t bits = 0; bits < 0x7bff; bits++) {
        float low = ps_half_to_float((uint16_t)bits);
        float high = ps_half_to_float((uint16_t)(bits + 1));
        float middle = (low + high) / 2;
        uint32_t even = bits % 2 == 0 ? bits : bits + 1;
        ck_assert_uint_eq(ps_float_to_half(middle), even);
        ck_assert_uint_eq(ps_float_to_half(nextafterf(middle, 0.0f)), bits);
        ck_assert_uint_eq(ps_float_to_half(-nextafterf(middle, INFINITY)), 0x8000 | (bits + 1));
    }
    ck_assert_uint_eq(ps_float_to_half(65519.99f), 0x7bff);
    ck_assert_uint_eq(ps_float_to_half(65520.0f), 0x7c00);
    ck_assert_uint_eq(ps_float_to_half(-1e30f), 0xfc00);
    ck_assert_uint_eq(ps_float_to_half(INFINITY), 0x7c00);
    ck_assert_uint_eq(ps_float_to_half(-0.0f), 0x8000);
    ck_assert_uint_eq(ps_float_to_half(1e-40f), 0);
}
END_TEST

START_TEST(bfloat16_is_the_upper_half_rounded)
{
    for (uint32_t bits = 0; bits <= 0xffff; bits++) {
        float value = ps_bfloat16_to_float((uint16_t)bits);
        uint16_t back = ps_float_to_bfloat16(value);
        if (isnan(value)) {
            ck_assert(isnan(ps_bfloat16_to_float(back)));
        } else {
            ck_assert_uint_eq(back, bits);
        }
    }
    ck_assert_uint_eq(ps_float_to_bfloat16(1.0f), 0x3f80);
    ck_assert_uint_eq(ps_float_to_bfloat16(1.00390625f), 0x3f80); /* ties: down to even */
    ck_assert_uint_eq(ps_float_to_bfloat16(1.01171875f), 0x3f82); /* and up to even */
    ck_assert_uint_eq(ps_float_to_bfloat16(3.4028235e38f), 0x7f80);
    ck_assert(isnan(ps_bfloat16_to_float(ps_float_to_bfloat16(NAN))));
}
END_TEST

static struct ps_shape shape2(int64_t rows, int64_t columns)
{
    return (struct ps_shape){ .rank = 2, .dims = { rows, columns } };
}

START_TEST(shapes_count_elements_and_rows)
{
    struct ps_shape scalar = { 0 };
    struct ps_shape matrix = shape2(784, 200);
    struct ps_shape vector = { .rank = 1, .dims = { 7 } };
    ck_assert_int_eq(ps_shape_elements(&scalar), 1);
    ck_assert_int_eq(ps_shape_rows(&scalar), 1);
    ck_assert_int_eq(ps_shape_row_elements(&scalar), 1);
    ck_assert_int_eq(ps_shape_elements(&matrix), 156800);
    ck_assert_int_eq(ps_shape_rows(&matrix), 784);
    ck_assert_int_eq(ps_shape_row_elements(&matrix), 200);
    ck_assert_int_eq(ps_shape_row_elements(&vector), 1);
    ck_assert(!ps_shape_equal(&scalar, &vector));
    ck_assert(ps_shape_equal(&matrix, &matrix));
    vector.dims[5] = 99; /* beyond the rank: of no account */
    ck_assert(ps_shape_equal(&vector, &(struct ps_shape){ .rank = 1, .dims = { 7 } }));
}
END_TEST

START_TEST(impossible_shapes_are_refused)
{
    struct ps_error err = PS_ERROR_INIT;
    struct ps_shape shape = shape2(-1, 3);
    ck_assert_int_eq(ps_shape_check(&shape, &err), PS_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.message, "[-1,3]"));
    shape = shape2(INT64_MAX / 16, 1);
    ck_assert_int_eq(ps_shape_check(&shape, NULL), PS_OK);
    shape = shape2(INT64_MAX / 16, 2);
    ck_assert_int_eq(ps_shape_check(&shape, &err), PS_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.message, "[576460752303423487,2]"));
    struct ps_shape hidden = { .rank = 3, .dims = { 0, 1LL << 40, 1LL << 40 } };
    ck_assert_int_eq(ps_shape_check(&hidden, NULL), PS_INVALID_ARGUMENT);
    shape.rank = PS_MAX_RANK + 1;
    ck_assert_int_eq(ps_shape_check(&shape, &err), PS_INVALID_ARGUMENT);
    shape.rank = -1;
    ck_assert_int_eq(ps_shape_check(&shape, &err), PS_INVALID_ARGUMENT);
}
END_TEST

START_TEST(shapes_are_written_and_read)
{
    static const char *const texts[] = { "[784,200]", "784,200", " [ 784 , 200 ] ",  "[]",
                                         "[0]",       "7",       "[1,2,3,4,5,6,7,8]" };
    static const char *const canonical[] = { "[784,200]", "[784,200]", "[784,200]",        "[]",
                                             "[0]",       "[7]",       "[1,2,3,4,5,6,7,8]" };
    char text[PS_SHAPE_TEXT_BYTES];
    struct ps_shape shape;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ck_assert_int_eq(ps_shape_parse(texts[i], &shape, NULL), PS_OK);
        ck_assert_str_eq(ps_shape_format(&shape, text), canonical[i]);
    }
    struct ps_shape widest = { .rank = PS_MAX_RANK };
    for (int i = 0; i < PS_MAX_RANK; i++) { widest.dims[i] = INT64_MIN; }
    ck_assert_uint_eq(strlen(ps_shape_format(&widest, text)), 2 + 8 * 20 + 7);
}
END_TEST

START_TEST(texts_that_are_no_shape_are_refused)
{
    static const char *const texts[] = { "",
                                         " ",
                                         "[",
                                         "]",
                                         "[1",
                                         "1]",
                                         "[1,]",
                                         "[,1]",
                                         "1,,2",
                                         "[1] x",
                                         "-1",
                                         "[1,-2]",
                                         "a",
                                         "1.5",
                                         "[[1]]",
                                         "[1 2]",
                                         "0x10",
                                         "[],",
                                         "1,2,3,4,5,6,7,8,9",
                                         "9223372036854775808",
                                         "9223372036854775807" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct ps_shape shape = { .rank = 5 };
        struct ps_error err = PS_ERROR_INIT;
        ck_assert_int_eq(ps_shape_parse(texts[i], &shape, &err), PS_INVALID_ARGUMENT);
        ck_assert_int_eq(shape.rank, 0);
        ck_assert_uint_gt(strlen(err.message), 10);
    }
}
END_TEST

START_TEST(a_tensor_owns_aligned_zeros)
{
    struct ps_tensor tensor;
    struct ps_shape shape = shape2(3, 5);
    ck_assert_int_eq(ps_tensor_init(&tensor, PS_INT16, &shape, NULL), PS_OK);
    ck_assert_uint_eq(tensor.size_bytes, 30);
    ck_assert_uint_eq((uintptr_t)tensor.data % 64, 0);
    for (int64_t i = 0; i < 15; i++) { ck_assert(ps_element_get(PS_INT16, tensor.data, i) == 0); }
    ps_tensor_clean(&tensor);
    ps_tensor_clean(&tensor);
    ps_tensor_clean(NULL);
    shape = shape2(0, 5);
    ck_assert_int_eq(ps_tensor_init(&tensor, PS_FLOAT, &shape, NULL), PS_OK);
    ck_assert_ptr_null(tensor.data);
}
END_TEST

START_TEST(a_tensor_that_cannot_be_is_refused)
{
    struct ps_tensor tensor;
    struct ps_error err = PS_ERROR_INIT;
    struct ps_shape shape = shape2(3, 5);
    ck_assert_int_eq(ps_tensor_init(&tensor, PS_STRING, &shape, &err), PS_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.message, "string"));
    ps_alloc_fail_at(1);
    ck_assert_int_eq(ps_tensor_init(&tensor, PS_FLOAT, &shape, &err), PS_RESOURCE_EXHAUSTED);
    ps_alloc_fail_at(0);
    ck_assert_ptr_nonnull(strstr(err.message, "float[3,5]"));
    ck_assert_ptr_null(tensor.data);
}
END_TEST

/* Sets value as dtype at an odd address and reads it back. */
static double through(enum ps_dtype dtype, double value)
{
    unsigned char bytes[64];
    memset(bytes, 0x5a, sizeof bytes);
    ps_element_set(dtype, bytes + 1, 2, value);
    size_t at = 1 + 2 * (size_t)ps_dtype_size(dtype);
    for (size_t i = 0; i < sizeof bytes; i++) { /* no neighbour is touched */
        bool own = i >= at && i < at + (size_t)ps_dtype_size(dtype);
        if (!own) { ck_assert_uint_eq(bytes[i], 0x5a); }
    }
    return ps_element_get(dtype, bytes + 1, 2);
}

START_TEST(elements_are_rounded_and_saturated)
{
    static const struct {
        enum ps_dtype dtype;
        double lowest, highest;
    } integers[] = {
        { PS_INT8, -128, 127 },
        { PS_INT16, -32768, 32767 },
        { PS_INT32, -2147483648.0, 2147483647.0 },
        { PS_INT64, -0x1p63, 0x1p63 }, /* INT64_MAX as a double */
        { PS_UINT8, 0, 255 },
        { PS_UINT16, 0, 65535 },
        { PS_UINT32, 0, 4294967295.0 },
        { PS_UINT64, 0, 0x1p64 },
    };
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
        enum ps_dtype dtype = integers[i].dtype;
        ck_assert(through(dtype, 41.6) == 42.0);
        ck_assert(through(dtype, 1e300) == integers[i].highest);
        ck_assert(through(dtype, INFINITY) == integers[i].highest);
        ck_assert(through(dtype, -1e300) == integers[i].lowest);
        ck_assert(through(dtype, -INFINITY) == integers[i].lowest);
        ck_assert(through(dtype, NAN) == 0.0);
        ck_assert(through(dtype, -5.0) == (integers[i].lowest == 0 ? 0.0 : -5.0));
    }
    ck_assert(through(PS_INT64, 9007199254740992.0) == 9007199254740992.0);
}
END_TEST

START_TEST(floating_elements_keep_what_they_can)
{
    static const enum ps_dtype types[] = { PS_FLOAT, PS_DOUBLE, PS_HALF, PS_BFLOAT16 };
    for (int i = 0; i < 4; i++) {
        ck_assert(through(types[i], -1.5) == -1.5);
        ck_assert(isinf(through(types[i], INFINITY)));
        ck_assert(isnan(through(types[i], NAN)));
    }
    ck_assert(through(PS_DOUBLE, 0.1) == 0.1);
    ck_assert(through(PS_FLOAT, 0.1) == (double)0.1f);
    ck_assert(through(PS_BOOL, 0.3) == 1.0);
    ck_assert(through(PS_BOOL, 0.0) == 0.0);
}
END_TEST

START_TEST(a_string_has_no_elements)
{
    ps_element_get(PS_STRING, "", 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor");
    TCase *cases = tcase_create("tensor");
    tcase_add_test(cases, types_have_tensorflows_numbers_names_and_sizes);
    tcase_add_test(cases, every_name_parses_back);
    tcase_add_test(cases, other_spellings_parse);
    tcase_add_test(cases, bad_types_are_named);
    tcase_add_test(cases, every_half_survives_the_way_through_float);
    tcase_add_test(cases, halves_round_to_nearest_even);
    tcase_add_test(cases, bfloat16_is_the_upper_half_rounded);
    tcase_add_test(cases, shapes_count_elements_and_rows);
    tcase_add_test(cases, impossible_shapes_are_refused);
    tcase_add_test(cases, shapes_are_written_and_read);
    tcase_add_test(cases, texts_that_are_no_shape_are_refused);
    tcase_add_test(cases, a_tensor_owns_aligned_zeros);
    tcase_add_test(cases, a_tensor_that_cannot_be_is_refused);
    tcase_add_test(cases, elements_are_rounded_and_saturated);
    tcase_add_test(cases, floating_elements_keep_what_they_can);
    tcase_add_test_raise_signal(cases, a_string_has_no_elements, SIGABRT);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
