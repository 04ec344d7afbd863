/* Tests of the counter-based random numbers. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/philox.h"

enum { SEED = 20261121 };

START_TEST(philox_has_the_published_values)
{
    struct ps_philox_block zeros = ps_philox(0, 0, 0);
    uint32_t expected[4] = { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 };
    ck_assert_mem_eq(zeros.word, expected, sizeof expected);
}
END_TEST

START_TEST(each_input_bit_matters)
{
    struct ps_philox_block base = ps_philox(SEED, PS_STREAM_TEST, 1000);
    for (int bit = 0; bit < 64; bit++) {
        struct ps_philox_block other = ps_philox(SEED ^ 1ull << bit, PS_STREAM_TEST, 1000);
        ck_assert_mem_ne(base.word, other.word, sizeof base.word);
        other = ps_philox(SEED, PS_STREAM_TEST, 1000 ^ 1ull << bit);
        ck_assert_mem_ne(base.word, other.word, sizeof base.word);
        other = ps_philox(SEED, PS_STREAM_TEST ^ 1u << bit % 32, 1000);
        ck_assert_mem_ne(base.word, other.word, sizeof base.word);
    }
}
END_TEST

START_TEST(the_ends_of_the_ranges)
{
    struct ps_philox_block lowest = { { 0, 0, 0, 0 } };
    struct ps_philox_block highest = { { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX } };
    ck_assert(ps_philox_uniform(lowest) == 0.0);
    ck_assert(ps_philox_uniform(highest) == 1.0 - 0x1p-53);
    ck_assert(isfinite(ps_philox_normal(lowest)));
    ck_assert(ps_philox_normal(lowest) > 8.0); /* sqrt(2 * 53 * log 2) = 8.57 */
    ck_assert(ps_philox_normal(highest) == 0.0);
}
END_TEST

/* The bounds are ten standard errors wide. */
START_TEST(the_moments_are_right)
{
    enum { COUNT = 100000 };
    double uniform = 0, normal = 0, normal2 = 0, normal4 = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        struct ps_philox_block block = ps_philox(SEED, PS_STREAM_TEST, i);
        double z = ps_philox_normal(block);
        uniform += ps_philox_uniform(block);
        normal += z;
        normal2 += z * z;
        normal4 += z * z * z * z;
    }
    double error = 10 / sqrt(COUNT);
    ck_assert_double_eq_tol(uniform / COUNT, 0.5, error * 0.29);
    ck_assert_double_eq_tol(normal / COUNT, 0.0, error);
    ck_assert_double_eq_tol(normal2 / COUNT, 1.0, error * 1.42);
    ck_assert_double_eq_tol(normal4 / COUNT, 3.0, error * 9.8);
}
END_TEST

START_TEST(a_generator_walks_the_counter)
{
    struct ps_rng rng = ps_rng_make(SEED, PS_STREAM_SHUFFLE);
    for (uint64_t i = 0; i < 10; i++) {
        struct ps_philox_block block = ps_philox(SEED, PS_STREAM_SHUFFLE, i);
        uint64_t expected = (uint64_t)block.word[0] << 32 | block.word[1];
        struct ps_rng copy = rng;
        ck_assert(ps_rng_uniform(&copy) == ps_philox_uniform(block));
        ck_assert_uint_eq(ps_rng_u64(&rng), expected);
        ck_assert_uint_eq(rng.next_index, i + 1);
    }
}
END_TEST

START_TEST(below_a_bound_all_values_come_up_alike)
{
    enum { BOUND = 7, COUNT = 70000 };
    int counts[BOUND] = { 0 };
    struct ps_rng rng = ps_rng_make(SEED, PS_STREAM_TEST);
    for (int i = 0; i < COUNT; i++) { counts[ps_rng_below(&rng, BOUND)]++; }
    for (int i = 0; i < BOUND; i++) { ck_assert_int_lt(abs(counts[i] - COUNT / BOUND), 1000); }
    for (int i = 0; i < 100; i++) { ck_assert_uint_eq(ps_rng_below(&rng, 1), 0); }
}
END_TEST

/* With bound 3 * 2^62 the plain remainder would give the lowest third twice as often. */
START_TEST(a_huge_bound_has_no_bias)
{
    enum { COUNT = 30000 };
    uint64_t bound = 3ull << 62;
    int low = 0;
    struct ps_rng rng = ps_rng_make(SEED, PS_STREAM_TEST);
    for (int i = 0; i < COUNT; i++) { low += ps_rng_below(&rng, bound) < bound / 3; }
    ck_assert_int_lt(abs(low - COUNT / 3), 900);
    ck_assert_uint_gt(rng.next_index, COUNT); /* a quarter is drawn again */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("philox");
    TCase *cases = tcase_create("philox");
    tcase_add_test(cases, philox_has_the_published_values);
    tcase_add_test(cases, each_input_bit_matters);
    tcase_add_test(cases, the_ends_of_the_ranges);
    tcase_add_test(cases, the_moments_are_right);
    tcase_add_test(cases, a_generator_walks_the_counter);
    tcase_add_test(cases, below_a_bound_all_values_come_up_alike);
    tcase_add_test(cases, a_huge_bound_has_no_bias);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
