/* Initializers: the same values however a variable is sliced, the right distributions, refusals. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/tensor.h"
#include "server/initializer.h"
#include "server/normal_priv.h"

enum { SAMPLES = 200000 };

static struct ps_definition define(enum ps_dtype dtype, enum ps_initializer_kind kind, double a,
                                   double b)
{
    return (struct ps_definition){
        .name = "w",
        .dtype = dtype,
        .shape = { 2, { SAMPLES / 100, 100 } },
        .initializer = { .kind = kind, .a = a, .b = b, .seed = 5, .scale = 1.0, .source = "" },
        .device = "",
    };
}

static double at(enum ps_dtype dtype, const void *data, int64_t index)
{
    return ps_element_get(dtype, data, index);
}

static const enum ps_initializer_kind kinds[] = {
    PS_INIT_ZEROS,          PS_INIT_ONES,           PS_INIT_CONSTANT,      PS_INIT_RANDOM_NORMAL,
    PS_INIT_RANDOM_UNIFORM, PS_INIT_GLOROT_UNIFORM, PS_INIT_GLOROT_NORMAL, PS_INIT_TRUNCATED_NORMAL,
};
static const enum ps_dtype dtypes[] = { PS_FLOAT, PS_DOUBLE, PS_HALF,   PS_BFLOAT16, PS_INT8,
                                        PS_UINT8, PS_INT16,  PS_UINT16, PS_INT32,    PS_UINT32,
                                        PS_INT64, PS_UINT64, PS_BOOL };

/* Every kind and type it takes, cut at odd places, against the whole; at the far end too. */
START_TEST(slices_are_cut_from_one_whole)
{
    enum { COUNT = 2000 };
    static _Alignas(64) uint8_t whole[COUNT * 8], sliced[COUNT * 8];
    const double values[] = { 1, 0, 1 };
    const int64_t starts[] = { 0, 1, 2, 3, 514, 1027, 1500, COUNT };
    int combinations = 0;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        for (size_t d = 0; d < sizeof dtypes / sizeof dtypes[0]; d++) {
            struct ps_definition definition = define(dtypes[d], kinds[k], 0, 100);
            if (kinds[k] == PS_INIT_CONSTANT) {
                definition.initializer.values = values;
                definition.initializer.value_count = 3;
            }
            if (ps_initializer_check(&definition, NULL) != PS_OK) { continue; }
            combinations++;
            size_t width = (size_t)ps_dtype_size(dtypes[d]);
            for (int64_t base = 0; base <= (int64_t)1 << 40; base += (int64_t)1 << 40) {
                ps_initializer_fill(&definition, base, whole, COUNT);
                for (size_t i = 0; starts[i] < COUNT; i++) {
                    ps_initializer_fill(&definition, base + starts[i],
                                        sliced + (size_t)starts[i] * width,
                                        starts[i + 1] - starts[i]);
                }
                ck_assert_int_eq(memcmp(whole, sliced, COUNT * width), 0);
            }
        }
    }
    ck_assert_int_eq(combinations, 3 * 13 + 4 * 4 + 12);
}
END_TEST

struct moments {
    double mean, deviation, lowest, highest, neighbours;
};

/* neighbours: correlation of elements 2i and 2i + 1, which share random bits. */
static struct moments measure(const struct ps_definition *definition)
{
    static _Alignas(64) uint8_t data[SAMPLES * 8];
    enum ps_dtype dtype = definition->dtype;
    struct moments m = { 0, 0, INFINITY, -INFINITY, 0 };
    ps_initializer_fill(definition, 0, data, SAMPLES);
    for (int64_t i = 0; i < SAMPLES; i++) {
        double x = at(dtype, data, i);
        m.mean += x / SAMPLES;
        m.lowest = fmin(m.lowest, x);
        m.highest = fmax(m.highest, x);
    }
    for (int64_t i = 0; i < SAMPLES; i++) {
        double x = at(dtype, data, i) - m.mean;
        m.deviation += x * x / SAMPLES;
        if (i % 2 == 0) { m.neighbours += x * (at(dtype, data, i + 1) - m.mean); }
    }
    m.neighbours /= m.deviation * SAMPLES / 2;
    m.deviation = sqrt(m.deviation);
    return m;
}

/* Five standard errors and more; the seed is fixed, so nothing here is left to chance. */
static void check_moments(const struct ps_definition *definition, double mean, double deviation)
{
    struct moments m = measure(definition);
    ck_assert_double_eq_tol(m.mean, mean, 0.012 * deviation);
    ck_assert_double_eq_tol(m.deviation, deviation, 0.012 * deviation);
    ck_assert_double_eq_tol(m.neighbours, 0.0, 0.02);
}

START_TEST(distributions_have_their_moments)
{
    const enum ps_dtype floating[] = { PS_FLOAT, PS_DOUBLE, PS_HALF, PS_BFLOAT16 };
    for (int d = 0; d < 4; d++) {
        struct ps_definition definition = define(floating[d], PS_INIT_RANDOM_NORMAL, 0.5, 0.35);
        check_moments(&definition, 0.5, 0.35);
        definition = define(floating[d], PS_INIT_TRUNCATED_NORMAL, -1.0, 0.5);
        check_moments(&definition, -1.0, 0.5 * 0.8796256610342398);
        definition = define(floating[d], PS_INIT_RANDOM_UNIFORM, -1.0, 3.0);
        check_moments(&definition, 1.0, 4.0 / sqrt(12.0));
        double fans = SAMPLES / 100 + 100;
        definition = define(floating[d], PS_INIT_GLOROT_UNIFORM, 0, 0);
        check_moments(&definition, 0.0, sqrt(2.0 / fans));
        definition = define(floating[d], PS_INIT_GLOROT_NORMAL, 0, 0);
        check_moments(&definition, 0.0, sqrt(2.0 / fans) * 0.8796256610342398);
    }
}
END_TEST

START_TEST(truncated_normals_stay_within_two_deviations)
{
    struct ps_definition definition = define(PS_DOUBLE, PS_INIT_TRUNCATED_NORMAL, 0, 1);
    struct moments m = measure(&definition);
    ck_assert_double_lt(m.highest, 2.0);
    ck_assert_double_gt(m.lowest, -2.0);
    ck_assert_double_gt(m.highest, 1.999);
    ck_assert_double_lt(m.lowest, -1.999);
}
END_TEST

/* In few bits, numbers just below the bound would round up to it. */
START_TEST(uniform_numbers_stay_below_their_upper_bound)
{
    const enum ps_dtype floating[] = { PS_FLOAT, PS_DOUBLE, PS_HALF, PS_BFLOAT16 };
    const double bounds[][2] = { { 0, 1 }, { -1, 0 }, { 1, 2 }, { -4, -2 }, { -0.1, 0.1 } };
    for (int d = 0; d < 4; d++) {
        for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
            struct ps_definition definition = define(floating[d], PS_INIT_RANDOM_UNIFORM,
                                                     bounds[i][0], bounds[i][1]);
            double limits[2];
            ps_element_set(floating[d], limits, 0, bounds[i][1]);
            double highest = at(floating[d], limits, 0);
            ps_element_set(floating[d], limits, 0, bounds[i][0]);
            double lowest = at(floating[d], limits, 0);
            struct moments m = measure(&definition);
            ck_assert_double_ge(m.lowest, lowest);
            ck_assert_double_lt(m.highest, highest);
            ck_assert_double_gt(m.highest, highest - 0.02 * (highest - lowest));
        }
    }
}
END_TEST

START_TEST(glorot_takes_the_fans_of_the_whole_shape)
{
    struct ps_definition definition = define(PS_DOUBLE, PS_INIT_GLOROT_UNIFORM, 0, 0);
    const struct {
        struct ps_shape shape;
        double fans;
    } cases[] = {
        { { 0, { 0 } }, 2 },          { { 1, { 24 } }, 48 },
        { { 2, { 784, 200 } }, 984 }, { { 4, { 5, 5, 3, 32 } }, 25 * 35 },
        { { 2, { 0, 0 } }, 2 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        definition.shape = cases[i].shape;
        struct moments m = measure(&definition);
        double limit = sqrt(6.0 / cases[i].fans);
        ck_assert_double_lt(m.highest, limit);
        ck_assert_double_gt(m.highest, limit * 0.999);
        ck_assert_double_ge(m.lowest, -limit);
        ck_assert_double_lt(m.lowest, -limit * 0.999);
    }
}
END_TEST

START_TEST(constants_repeat_the_last_value)
{
    const double values[] = { 3, 1, 2 };
    struct ps_definition definition = define(PS_INT16, PS_INIT_CONSTANT, 0, 0);
    int16_t data[6];
    definition.initializer.values = values;
    definition.initializer.value_count = 3;
    const int16_t expected[] = { 3, 1, 2, 2, 2, 2 };
    ps_initializer_fill(&definition, 0, data, 6);
    ck_assert_mem_eq(data, expected, sizeof data);
    ps_initializer_fill(&definition, 2, data, 4);
    ck_assert_mem_eq(data, expected + 2, 8);
    definition.initializer.value_count = 0;
    definition.initializer.a = -7;
    ps_initializer_fill(&definition, 0, data, 6);
    ck_assert_int_eq(data[0], -7);
    ck_assert_int_eq(data[5], -7);
}
END_TEST

/* 2 * initialized_value(w): the numbers of w, rounded, then doubled. */
START_TEST(scale_multiplies_the_rounded_value)
{
    enum { COUNT = 301 };
    for (int d = 0; d < 4; d++) {
        static double plain[COUNT], scaled[COUNT];
        struct ps_definition definition = define(dtypes[d], PS_INIT_RANDOM_NORMAL, 0, 1);
        ps_initializer_fill(&definition, 0, plain, COUNT);
        definition.initializer.scale = 2.0;
        ps_initializer_fill(&definition, 0, scaled, COUNT);
        for (int64_t i = 0; i < COUNT; i++) {
            ck_assert(at(dtypes[d], scaled, i) == 2.0 * at(dtypes[d], plain, i));
        }
    }
    float third;
    struct ps_definition definition = define(PS_FLOAT, PS_INIT_CONSTANT, 0.1, 0);
    definition.initializer.scale = 0.3;
    ps_initializer_fill(&definition, 0, &third, 1);
    ck_assert(third == 0.1f * 0.3f);
}
END_TEST

START_TEST(integers_cover_their_range_evenly)
{
    static _Alignas(64) uint8_t data[SAMPLES * 8];
    struct ps_definition definition = define(PS_INT8, PS_INIT_RANDOM_UNIFORM, -3, 4);
    ck_assert_int_eq(ps_initializer_check(&definition, NULL), PS_OK);
    ps_initializer_fill(&definition, 0, data, SAMPLES);
    int seen[7] = { 0 }, outside = 0;
    for (int i = 0; i < SAMPLES; i++) {
        int value = ((int8_t *)data)[i];
        if (value < -3 || value >= 4) {
            outside++;
        } else {
            seen[value + 3]++;
        }
    }
    ck_assert_int_eq(outside, 0);
    for (int i = 0; i < 7; i++) { ck_assert_int_lt(abs(seen[i] - SAMPLES / 7), SAMPLES / 100); }

    /* The whole width of 64 bits, and the upper end of it. */
    definition = define(PS_INT64, PS_INIT_RANDOM_UNIFORM, -0x1p63, 0x1p63);
    ck_assert_int_eq(ps_initializer_check(&definition, NULL), PS_OK);
    ps_initializer_fill(&definition, 0, data, SAMPLES);
    int64_t negative = 0;
    for (int i = 0; i < SAMPLES; i++) { negative += ((int64_t *)data)[i] < 0; }
    ck_assert_int_lt(labs(negative - SAMPLES / 2), SAMPLES / 100);
    definition = define(PS_UINT64, PS_INIT_RANDOM_UNIFORM, 0x1p63, 0x1p64);
    ck_assert_int_eq(ps_initializer_check(&definition, NULL), PS_OK);
    ps_initializer_fill(&definition, 0, data, SAMPLES);
    int64_t low = 0;
    for (int i = 0; i < SAMPLES; i++) { low += ((uint64_t *)data)[i] < (uint64_t)1 << 63; }
    ck_assert_int_eq(low, 0);
}
END_TEST

START_TEST(seeds_and_places_differ)
{
    float a[64], b[64];
    struct ps_definition definition = define(PS_FLOAT, PS_INIT_RANDOM_NORMAL, 0, 1);
    ps_initializer_fill(&definition, 0, a, 64);
    ps_initializer_fill(&definition, 64, b, 64);
    for (int i = 0; i < 64; i++) { ck_assert(a[i] != b[i]); }
    definition.initializer.seed = 6;
    ps_initializer_fill(&definition, 0, b, 64);
    for (int i = 0; i < 64; i++) { ck_assert(a[i] != b[i]); }
}
END_TEST

/* Values are a promise to whoever compares runs: a change of them is a change of the product. */
START_TEST(values_do_not_change_between_versions)
{
    static float data[SAMPLES];
    const struct {
        enum ps_initializer_kind kind;
        uint32_t crc;
    } pinned[] = {
        { PS_INIT_RANDOM_NORMAL, 0x43b6bfb9u },
        { PS_INIT_TRUNCATED_NORMAL, 0x37a9c3a8u },
        { PS_INIT_RANDOM_UNIFORM, 0x4dfd1eaeu },
    };
    for (size_t i = 0; i < sizeof pinned / sizeof pinned[0]; i++) {
        struct ps_definition definition = define(PS_FLOAT, pinned[i].kind, 0, 1);
        ps_initializer_fill(&definition, 0, data, SAMPLES);
        ck_assert_uint_eq(ps_crc32c(0, data, sizeof data), pinned[i].crc);
    }
}
END_TEST

/* Our series against the C library, within a few units in the last place. */
START_TEST(series_agree_with_the_library)
{
    struct ps_rng rng = ps_rng_make(3, PS_STREAM_TEST);
    double log_error = 0, turn_error = 0; /* the largest */
    for (int i = 0; i < 100000; i++) {
        double u = (i % 2 == 0) ? ps_rng_uniform(&rng)
                                : ldexp(1.0 + ps_rng_uniform(&rng), -(i % 53));
        if (u == 0.0) { continue; }
        log_error = fmax(log_error, fabs(psi_normal_log(u) - log(u)) / fabs(log(u)));
        double c, s, turn = ps_rng_uniform(&rng);
        psi_normal_turn(turn, &c, &s);
        turn_error = fmax(turn_error, fabs(c - cos(6.283185307179586476925 * turn)));
        turn_error = fmax(turn_error, fabs(s - sin(6.283185307179586476925 * turn)));
    }
    ck_assert_double_le(log_error, 4 * DBL_EPSILON);
    ck_assert_double_le(turn_error, 2e-15);
    ck_assert(psi_normal_log(1.0) == 0.0);
}
END_TEST

static void check_refused(struct ps_definition definition, const char *text)
{
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_int_eq(ps_initializer_check(&definition, &err), PS_INVALID_ARGUMENT);
    ck_assert_msg(strstr(err.message, text) != NULL && strstr(err.message, "'w'") != NULL,
                  "expected '%s' in '%s'", text, err.message);
}

START_TEST(nonsense_is_refused_by_name)
{
    const double values[] = { 1, 300, 2.5 };
    check_refused(define(PS_INT32, PS_INIT_RANDOM_NORMAL, 0, 1), "needs a floating type");
    check_refused(define(PS_INT64, PS_INIT_GLOROT_UNIFORM, 0, 1), "needs a floating type");
    check_refused(define(PS_BOOL, PS_INIT_RANDOM_UNIFORM, 0, 2), "bool");
    check_refused(define(PS_FLOAT, PS_INIT_RANDOM_NORMAL, 0, -1), "deviation");
    check_refused(define(PS_FLOAT, PS_INIT_TRUNCATED_NORMAL, NAN, 1), "mean");
    check_refused(define(PS_FLOAT, PS_INIT_RANDOM_UNIFORM, 1, 1), "bounds");
    check_refused(define(PS_FLOAT, PS_INIT_RANDOM_UNIFORM, 0, INFINITY), "bounds");
    check_refused(define(PS_DOUBLE, PS_INIT_RANDOM_UNIFORM, -DBL_MAX, DBL_MAX), "bounds");
    check_refused(define(PS_HALF, PS_INIT_RANDOM_UNIFORM, 0, 1e6), "bounds");
    check_refused(define(PS_HALF, PS_INIT_RANDOM_UNIFORM, 1, 1.0001), "bounds");
    check_refused(define(PS_INT32, PS_INIT_RANDOM_UNIFORM, 0.5, 3), "whole numbers");
    check_refused(define(PS_UINT8, PS_INIT_RANDOM_UNIFORM, 0, 257), "whole numbers");
    check_refused(define(PS_INT32, PS_INIT_RANDOM_UNIFORM, 0, 0x1p63), "whole numbers");
    check_refused(define(PS_INT32, PS_INIT_CONSTANT, 1.5, 0), "1.5");
    check_refused(define(PS_INT64, PS_INIT_CONSTANT, 0x1p63, 0), "9.2233720368547758e+18");
    check_refused(define(PS_FLOAT, (enum ps_initializer_kind)77, 0, 0), "77");

    struct ps_definition definition = define(PS_UINT8, PS_INIT_CONSTANT, 0, 0);
    definition.initializer.values = values;
    definition.initializer.value_count = 2;
    check_refused(definition, "300");
    definition.dtype = PS_FLOAT;
    definition.shape = (struct ps_shape){ 1, { 2 } };
    definition.initializer.value_count = 3;
    check_refused(definition, "3 values for 2 elements");
    definition = define(PS_BOOL, PS_INIT_ONES, 0, 0);
    definition.initializer.scale = 2.0;
    check_refused(definition, "scaled");
    definition = define(PS_INT32, PS_INIT_ONES, 0, 0);
    definition.initializer.scale = 0.5;
    check_refused(definition, "scaled");
    definition.initializer.scale = NAN;
    check_refused(definition, "scale");
    definition = define(PS_UINT8, PS_INIT_RANDOM_UNIFORM, 0, 256);
    ck_assert_int_eq(ps_initializer_check(&definition, NULL), PS_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("initializer");
    TCase *tests = tcase_create("initializer");
    tcase_add_test(tests, slices_are_cut_from_one_whole);
    tcase_add_test(tests, distributions_have_their_moments);
    tcase_add_test(tests, truncated_normals_stay_within_two_deviations);
    tcase_add_test(tests, uniform_numbers_stay_below_their_upper_bound);
    tcase_add_test(tests, glorot_takes_the_fans_of_the_whole_shape);
    tcase_add_test(tests, constants_repeat_the_last_value);
    tcase_add_test(tests, scale_multiplies_the_rounded_value);
    tcase_add_test(tests, integers_cover_their_range_evenly);
    tcase_add_test(tests, seeds_and_places_differ);
    tcase_add_test(tests, values_do_not_change_between_versions);
    tcase_add_test(tests, series_agree_with_the_library);
    tcase_add_test(tests, nonsense_is_refused_by_name);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
