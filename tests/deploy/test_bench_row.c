/* The bench's statistics: which samples count, what is compared with what, what is repeated. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "deploy/bench_row_priv.h"

/* An op that takes no time and counts. */
struct counter {
    int run_count;
    int finish_count;
    double latency; /* what it says a repetition took */
    int fail_at;    /* the run that fails, from 1; 0: none */
};

static enum ps_code count_run(void *ctx, double *seconds_out, struct ps_error *err)
{
    struct counter *counter = ctx;
    counter->run_count++;
    *seconds_out = counter->latency;
    if (counter->run_count == counter->fail_at) { return ps_fail(err, PS_ABORTED, "cut off"); }
    return PS_OK;
}

static enum ps_code count_finish(void *ctx, struct ps_error *err)
{
    struct counter *counter = ctx;
    (void)err;
    counter->finish_count++;
    return PS_OK;
}

static struct psi_bench_row make_row(struct counter *counter)
{
    struct psi_bench_row row;
    const struct psi_bench_op op = { .name = "counter",
                                     .size_bytes = 1000,
                                     .ctx = counter,
                                     .run = count_run,
                                     .finish = count_finish };
    ck_assert_int_eq(psi_bench_row_init(&row, &op, 5, NULL), PS_OK);
    return row;
}

static void add_sample(struct psi_bench_row *row, double gb_per_second, double foreign_share)
{
    row->samples[row->sample_count++] = (struct psi_bench_sample){
        .gb_per_second = gb_per_second,
        .client_seconds_per_gb = 10.0 * gb_per_second,
        .server_seconds_per_gb = 100.0 * gb_per_second,
        .foreign_share = foreign_share,
    };
}

START_TEST(a_sample_warms_up_repeats_and_finishes)
{
    struct counter counter = { .latency = 0.5 };
    struct psi_bench_row row = make_row(&counter);
    ck_assert_int_eq(psi_bench_row_sample(&row, 0.0, NULL), PS_OK);
    ck_assert_int_eq(counter.run_count, 1 + PSI_BENCH_LEAST_REPETITIONS);
    ck_assert_int_eq(counter.finish_count, 2);
    ck_assert_int_eq(row.sample_count, 1);
    ck_assert_uint_eq(row.latency_count, PSI_BENCH_LEAST_REPETITIONS);
    ck_assert_double_gt(row.samples[0].gb_per_second, 0.0);
    psi_bench_row_clean(&row);
}
END_TEST

START_TEST(a_filling_pipe_has_no_latency)
{
    struct counter counter = { .latency = -1.0 };
    struct psi_bench_row row = make_row(&counter);
    ck_assert_int_eq(psi_bench_row_sample(&row, 0.0, NULL), PS_OK);
    ck_assert_uint_eq(row.latency_count, 0);
    ck_assert_double_eq(psi_bench_row_result(&row).p50_seconds, 0.0);
    psi_bench_row_clean(&row);
}
END_TEST

START_TEST(latencies_of_one_sample_do_not_fill_the_room_of_the_others)
{
    struct counter counter = { .latency = 1.0 };
    struct psi_bench_row row = make_row(&counter);
    while (counter.run_count < 3 * PSI_BENCH_SAMPLE_LATENCIES && row.sample_count < 5) {
        size_t before = row.latency_count;
        ck_assert_int_eq(psi_bench_row_sample(&row, 0.01, NULL), PS_OK);
        ck_assert_uint_le(row.latency_count - before, PSI_BENCH_SAMPLE_LATENCIES);
    }
    psi_bench_row_clean(&row);
}
END_TEST

START_TEST(failures_name_the_row)
{
    struct counter counter = { .latency = 1.0, .fail_at = 3 };
    struct psi_bench_row row = make_row(&counter);
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_int_eq(psi_bench_row_sample(&row, 0.0, &err), PS_ABORTED);
    ck_assert_str_eq(err.message, "measuring 'counter': cut off");
    ck_assert_int_eq(row.sample_count, 0);
    psi_bench_row_clean(&row);
}
END_TEST

START_TEST(rows_take_turns)
{
    struct counter counters[2] = { { .latency = 1.0 }, { .latency = 1.0, .fail_at = 6 } };
    struct psi_bench_row rows[2] = { make_row(&counters[0]), make_row(&counters[1]) };
    ck_assert_int_eq(psi_bench_rows_measure(rows, 2, 3, 0.0, NULL), PS_ABORTED);
    /* Four runs a sample: the second row fails in its second round, after the first one's. */
    ck_assert_int_eq(rows[0].sample_count, 2);
    ck_assert_int_eq(rows[1].sample_count, 1);
    psi_bench_row_clean(&rows[0]);
    psi_bench_row_clean(&rows[1]);
}
END_TEST

START_TEST(only_clean_samples_count)
{
    struct counter counter = { .latency = 1.0 };
    struct psi_bench_row row = make_row(&counter);
    add_sample(&row, 1.0, 0.9);
    add_sample(&row, 2.0, 0.0);
    add_sample(&row, 4.0, 0.1);
    add_sample(&row, 9.0, 0.0);
    add_sample(&row, 8.0, 0.5);
    struct psi_bench_result result = psi_bench_row_result(&row);
    ck_assert_int_eq(result.sample_count, 5);
    ck_assert_int_eq(result.clean_count, 3);
    ck_assert_double_eq(result.gb_per_second, 4.0);
    ck_assert_double_eq(result.client_seconds_per_gb, 40.0);
    ck_assert_double_eq(result.server_seconds_per_gb, 400.0);
    psi_bench_row_clean(&row);
}
END_TEST

START_TEST(without_clean_samples_all_count)
{
    struct counter counter = { .latency = 1.0 };
    struct psi_bench_row row = make_row(&counter);
    add_sample(&row, 1.0, 0.9);
    add_sample(&row, 3.0, 0.9);
    struct psi_bench_result result = psi_bench_row_result(&row);
    ck_assert_int_eq(result.clean_count, 0);
    ck_assert_double_eq(result.gb_per_second, 2.0);
    psi_bench_row_clean(&row);
}
END_TEST

/* The machine halves its speed from round to round: the ratio does not move. */
START_TEST(ratios_pair_the_rounds)
{
    struct counter counter = { .latency = 1.0 };
    struct psi_bench_row row = make_row(&counter);
    struct psi_bench_row base = make_row(&counter);
    for (double rate = 4.0; rate >= 1.0; rate /= 2.0) {
        add_sample(&row, 0.75 * rate, 0.0);
        add_sample(&base, rate, 0.0);
    }
    ck_assert_double_eq(psi_bench_row_ratio(&row, &base), 0.75);
    add_sample(&row, 100.0, 0.9);
    add_sample(&base, 1.0, 0.0);
    add_sample(&row, 100.0, 0.0);
    add_sample(&base, 1.0, 0.9);
    ck_assert_double_eq(psi_bench_row_ratio(&row, &base), 0.75);
    psi_bench_row_clean(&row);
    psi_bench_row_clean(&base);
}
END_TEST

START_TEST(percentiles)
{
    struct counter counter = { .latency = 1.0 };
    struct psi_bench_row row = make_row(&counter);
    for (int i = 100; i >= 0; i--) { row.latencies[row.latency_count++] = (double)i; }
    struct psi_bench_result result = psi_bench_row_result(&row);
    ck_assert_double_eq(result.p50_seconds, 50.0);
    ck_assert_double_eq(result.p99_seconds, 99.0);
    psi_bench_row_clean(&row);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bench_row");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, a_sample_warms_up_repeats_and_finishes);
    tcase_add_test(tests, a_filling_pipe_has_no_latency);
    tcase_add_test(tests, latencies_of_one_sample_do_not_fill_the_room_of_the_others);
    tcase_add_test(tests, failures_name_the_row);
    tcase_add_test(tests, rows_take_turns);
    tcase_add_test(tests, only_clean_samples_count);
    tcase_add_test(tests, without_clean_samples_all_count);
    tcase_add_test(tests, ratios_pair_the_rounds);
    tcase_add_test(tests, percentiles);
    suite_add_tcase(suite, tests);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
