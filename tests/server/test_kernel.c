/* Kernels: each instruction set against a plain reference in double, and against each other. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/philox.h"
#include "core/tensor.h"
#include "server/kernel.h"

/* Odd, longer than any vector, with a tail of every length in between. */
enum { COUNT = 519, MAX_BYTES = COUNT * 8 };

static const enum ps_dtype floating[] = { PS_FLOAT, PS_DOUBLE, PS_HALF, PS_BFLOAT16 };
static const enum ps_dtype integers[] = { PS_INT8,  PS_UINT8,  PS_INT16, PS_UINT16,
                                          PS_INT32, PS_UINT32, PS_INT64, PS_UINT64 };

static const struct ps_kernel_scalars scalars = {
    .rate = 0.125, .momentum = 0.75, .gain1 = 0.25, .gain2 = 0.03125, .epsilon = 0.0078125
};

struct planes {
    _Alignas(64) uint8_t plane[PS_KERNEL_MAX_PLANES][MAX_BYTES];
    uint8_t operand[MAX_BYTES + 1]; /* used from byte 1 on: never aligned */
};

static void fill(struct planes *planes, enum ps_dtype dtype)
{
    struct ps_rng rng = ps_rng_make(7, PS_STREAM_TEST);
    memset(planes, 0, sizeof *planes);
    for (int i = 0; i < COUNT; i++) {
        for (int p = 0; p < PS_KERNEL_MAX_PLANES; p++) {
            double value = ps_rng_uniform(&rng) * 4.0 - (p == 2 ? 0.0 : 2.0); /* variance >= 0 */
            ps_element_set(dtype, planes->plane[p], i, value);
        }
        ps_element_set(dtype, planes->operand + 1, i, ps_rng_uniform(&rng) * 4.0 - 2.0);
    }
}

static void run(ps_kernel_fn *kernel, struct planes *planes, size_t count)
{
    struct ps_kernel_run kernel_run = { .operand = planes->operand + 1,
                                        .count = count,
                                        .scalars = &scalars };
    for (int p = 0; p < PS_KERNEL_MAX_PLANES; p++) { kernel_run.planes[p] = planes->plane[p]; }
    kernel(&kernel_run);
}

/* The formulas, in double. */
static void reference(enum ps_kernel_op op, double w[3], double g)
{
    const struct ps_kernel_scalars *s = &scalars;
    switch (op) {
    case PS_KERNEL_ASSIGN: w[0] = g; break;
    case PS_KERNEL_ADD: w[0] += g; break;
    case PS_KERNEL_SUB: w[0] -= g; break;
    case PS_KERNEL_SGD: w[0] -= s->rate * g; break;
    case PS_KERNEL_MOMENTUM:
        w[1] = s->momentum * w[1] + g;
        w[0] -= s->rate * w[1];
        break;
    case PS_KERNEL_NESTEROV:
        w[1] = s->momentum * w[1] + g;
        w[0] -= s->rate * g + s->rate * s->momentum * w[1];
        break;
    case PS_KERNEL_ADAM:
        w[1] += (g - w[1]) * s->gain1;
        w[2] += (g * g - w[2]) * s->gain2;
        w[0] -= s->rate * w[1] / (sqrt(w[2]) + s->epsilon);
        break;
    default: ck_abort();
    }
}

/* One unit in the last place of a number near 4. */
static double tolerance(enum ps_dtype dtype)
{
    switch (dtype) {
    case PS_DOUBLE: return 1e-14;
    case PS_FLOAT: return 2e-6;
    case PS_HALF: return 4e-3;
    default: return 4e-2; /* bfloat16 */
    }
}

static void check_against_reference(int variant, enum ps_kernel_op op, enum ps_dtype dtype)
{
    struct planes before, after;
    fill(&before, dtype);
    after = before;
    ps_kernel_fn *kernel = ps_kernel_variant_find(variant, op, dtype);
    ck_assert_ptr_nonnull(kernel);
    run(kernel, &after, COUNT - 1);
    for (int i = 0; i < COUNT; i++) {
        double w[3];
        for (int p = 0; p < 3; p++) { w[p] = ps_element_get(dtype, before.plane[p], i); }
        if (i < COUNT - 1) { reference(op, w, ps_element_get(dtype, before.operand + 1, i)); }
        for (int p = 0; p < 3; p++) {
            double got = ps_element_get(dtype, after.plane[p], i);
            ck_assert_msg(fabs(got - w[p]) <= tolerance(dtype),
                          "%s op %d type %s plane %d element %d: %.17g, expected %.17g",
                          ps_kernel_variant_name(variant), (int)op, ps_dtype_name((int)dtype), p, i,
                          got, w[p]);
        }
    }
}

START_TEST(floating_kernels_follow_the_formulas)
{
    for (int variant = 0; variant < ps_kernel_variant_count(); variant++) {
        if (!ps_kernel_variant_runs_here(variant)) { continue; }
        for (int op = 0; op < PS_KERNEL_OP_COUNT; op++) {
            for (size_t d = 0; d < sizeof floating / sizeof floating[0]; d++) {
                check_against_reference(variant, (enum ps_kernel_op)op, floating[d]);
            }
        }
    }
}
END_TEST

START_TEST(every_instruction_set_gives_the_same_bits)
{
    int last = ps_kernel_variant_count() - 1;
    for (int variant = 0; variant < last; variant++) {
        if (!ps_kernel_variant_runs_here(variant)) { continue; }
        for (int op = 0; op < PS_KERNEL_OP_COUNT; op++) {
            for (size_t d = 0; d < sizeof floating / sizeof floating[0]; d++) {
                struct planes ours, baseline;
                fill(&ours, floating[d]);
                baseline = ours;
                for (int step = 0; step < 20; step++) {
                    run(ps_kernel_variant_find(variant, (enum ps_kernel_op)op, floating[d]), &ours,
                        COUNT);
                    run(ps_kernel_variant_find(last, (enum ps_kernel_op)op, floating[d]), &baseline,
                        COUNT);
                }
                ck_assert_int_eq(memcmp(&ours, &baseline, sizeof ours), 0);
            }
        }
    }
}
END_TEST

START_TEST(sums_of_integers_wrap)
{
    for (int variant = 0; variant < ps_kernel_variant_count(); variant++) {
        if (!ps_kernel_variant_runs_here(variant)) { continue; }
        for (size_t d = 0; d < sizeof integers / sizeof integers[0]; d++) {
            size_t width = (size_t)ps_dtype_size(integers[d]);
            struct planes before, after;
            struct ps_rng rng = ps_rng_make(8, PS_STREAM_TEST);
            memset(&before, 0, sizeof before);
            for (size_t i = 0; i < COUNT; i++) {
                uint64_t bits = ps_rng_u64(&rng), more = ps_rng_u64(&rng);
                memcpy(before.plane[0] + i * width, &bits, width);
                memcpy(before.operand + 1 + i * width, &more, width);
            }
            after = before;
            run(ps_kernel_variant_find(variant, PS_KERNEL_ADD, integers[d]), &after, COUNT);
            for (size_t i = 0; i < COUNT; i++) {
                uint64_t a = 0, b = 0, sum = 0, mask = ~(uint64_t)0 >> (64 - 8 * width);
                memcpy(&a, before.plane[0] + i * width, width);
                memcpy(&b, before.operand + 1 + i * width, width);
                memcpy(&sum, after.plane[0] + i * width, width);
                ck_assert_uint_eq(sum, (a + b) & mask);
            }
            run(ps_kernel_variant_find(variant, PS_KERNEL_SUB, integers[d]), &after, COUNT);
            ck_assert_int_eq(memcmp(after.plane[0], before.plane[0], MAX_BYTES), 0);
            run(ps_kernel_variant_find(variant, PS_KERNEL_ASSIGN, integers[d]), &after, COUNT);
            ck_assert_int_eq(memcmp(after.plane[0], before.operand + 1, COUNT * width), 0);
        }
    }
}
END_TEST

START_TEST(types_that_do_not_support_an_operation_have_no_kernel)
{
    ck_assert_ptr_nonnull(ps_kernel_find(PS_KERNEL_ASSIGN, PS_BOOL));
    ck_assert_ptr_null(ps_kernel_find(PS_KERNEL_ADD, PS_BOOL));
    ck_assert_ptr_null(ps_kernel_find(PS_KERNEL_SGD, PS_BOOL));
    ck_assert_ptr_null(ps_kernel_find(PS_KERNEL_ASSIGN, PS_STRING));
    ck_assert_ptr_null(ps_kernel_find(PS_KERNEL_ASSIGN, PS_DTYPE_INVALID));
    for (size_t d = 0; d < sizeof integers / sizeof integers[0]; d++) {
        ck_assert_ptr_null(ps_kernel_find(PS_KERNEL_SGD, integers[d]));
        ck_assert_ptr_null(ps_kernel_find(PS_KERNEL_ADAM, integers[d]));
    }
    ck_assert(ps_kernel_variant_runs_here(ps_kernel_variant_count() - 1));
}
END_TEST

/* All 65536 halves and bfloat16s pass through float unharmed: w = w + 0. */
START_TEST(sixteen_bit_floats_convert_exactly)
{
    static _Alignas(64) uint16_t value[65536];
    static uint16_t zero[65536];
    const enum ps_dtype dtypes[] = { PS_HALF, PS_BFLOAT16 };
    for (int variant = 0; variant < ps_kernel_variant_count(); variant++) {
        if (!ps_kernel_variant_runs_here(variant)) { continue; }
        for (int d = 0; d < 2; d++) {
            for (uint32_t i = 0; i < 65536; i++) { value[i] = (uint16_t)i; }
            struct ps_kernel_run kernel_run = {
                .planes = { value }, .operand = zero, .count = 65536, .scalars = &scalars
            };
            ps_kernel_variant_find(variant, PS_KERNEL_SUB, dtypes[d])(&kernel_run);
            int wrong = 0;
            for (uint32_t i = 0; i < 65536; i++) {
                uint16_t bits = (uint16_t)i;
                double in = ps_element_get(dtypes[d], &bits, 0);
                double out = ps_element_get(dtypes[d], &value[i], 0);
                wrong += isnan(in) ? !isnan(out) : value[i] != i;
            }
            ck_assert_int_eq(wrong, 0);
        }
    }
}
END_TEST

/* Sums of any two halves round as core's conversion does. */
START_TEST(sixteen_bit_floats_round_to_nearest_even)
{
    enum { PAIRS = 200000 };
    static uint16_t a[PAIRS], b[PAIRS], sum[PAIRS];
    struct ps_rng rng = ps_rng_make(9, PS_STREAM_TEST);
    for (int i = 0; i < PAIRS; i++) {
        uint64_t bits = ps_rng_u64(&rng);
        a[i] = (uint16_t)bits;
        b[i] = (uint16_t)(bits >> 16);
    }
    for (int variant = 0; variant < ps_kernel_variant_count(); variant++) {
        if (!ps_kernel_variant_runs_here(variant)) { continue; }
        int wrong = 0;
        memcpy(sum, a, sizeof sum);
        struct ps_kernel_run kernel_run = {
            .planes = { sum }, .operand = b, .count = PAIRS, .scalars = &scalars
        };
        ps_kernel_variant_find(variant, PS_KERNEL_ADD, PS_HALF)(&kernel_run);
        for (int i = 0; i < PAIRS; i++) {
            float exact = ps_half_to_float(a[i]) + ps_half_to_float(b[i]);
            wrong += !isnan(exact) && sum[i] != ps_float_to_half(exact);
        }
        ck_assert_int_eq(wrong, 0);
        memcpy(sum, a, sizeof sum);
        ps_kernel_variant_find(variant, PS_KERNEL_ADD, PS_BFLOAT16)(&kernel_run);
        for (int i = 0; i < PAIRS; i++) {
            float exact = ps_bfloat16_to_float(a[i]) + ps_bfloat16_to_float(b[i]);
            wrong += !isnan(exact) && sum[i] != ps_float_to_bfloat16(exact);
        }
        ck_assert_int_eq(wrong, 0);
    }
}
END_TEST

START_TEST(the_first_nonfinite_element_is_found)
{
    enum { LONG = 3000 };
    static uint8_t data[LONG * 8 + 1];
    const double bad[] = { NAN, INFINITY, -INFINITY };
    const size_t places[] = { 0, 1, 511, 1023, 1024, 2047, LONG - 1 };
    for (int variant = 0; variant < ps_kernel_variant_count(); variant++) {
        if (!ps_kernel_variant_runs_here(variant)) { continue; }
        for (size_t d = 0; d < sizeof floating / sizeof floating[0]; d++) {
            enum ps_dtype dtype = floating[d];
            for (int64_t i = 0; i < LONG; i++) {
                ps_element_set(dtype, data + 1, i, i % 2 == 0 ? -60000.0 : 1e-7);
            }
            ck_assert_uint_eq(ps_kernel_variant_first_nonfinite(variant, dtype, data + 1, LONG),
                              LONG);
            ck_assert_uint_eq(ps_kernel_variant_first_nonfinite(variant, dtype, data + 1, 0), 0);
            for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
                for (int b = 0; b < 3; b++) {
                    int64_t last = LONG - 1;
                    ps_element_set(dtype, data + 1, last, NAN); /* a later one changes nothing */
                    ps_element_set(dtype, data + 1, (int64_t)places[p], bad[b]);
                    ck_assert_uint_eq(
                        ps_kernel_variant_first_nonfinite(variant, dtype, data + 1, LONG),
                        places[p]);
                    ps_element_set(dtype, data + 1, (int64_t)places[p], 1.0);
                    ps_element_set(dtype, data + 1, last, 1.0);
                }
            }
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernel");
    TCase *tests = tcase_create("kernel");
    tcase_add_test(tests, floating_kernels_follow_the_formulas);
    tcase_add_test(tests, every_instruction_set_gives_the_same_bits);
    tcase_add_test(tests, sums_of_integers_wrap);
    tcase_add_test(tests, types_that_do_not_support_an_operation_have_no_kernel);
    tcase_add_test(tests, sixteen_bit_floats_convert_exactly);
    tcase_add_test(tests, sixteen_bit_floats_round_to_nearest_even);
    tcase_add_test(tests, the_first_nonfinite_element_is_found);
    tcase_set_timeout(tests, 30);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
