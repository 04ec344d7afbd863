/* Tests of partitioners and the placer. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/device.h"
#include "core/philox.h"
#include "core/placement.h"

static struct ps_shape shape2(int64_t rows, int64_t columns)
{
    return (struct ps_shape){ .rank = 2, .dims = { rows, columns } };
}

/* The number of slices of a float variable, after checking that they cover it as they should. */
static int slices(struct ps_partitioner partitioner, struct ps_shape shape)
{
    struct ps_rows *rows = NULL;
    struct ps_error err = PS_ERROR_INIT;
    int count = 0;
    enum ps_code rc = ps_partition_rows(&partitioner, PS_FLOAT, &shape, &rows, &count, &err);
    ck_assert_msg(rc == PS_OK, "%s", err.message);
    int64_t row_count = ps_shape_rows(&shape);
    int64_t at = 0;
    for (int i = 0; i < count; i++) {
        ck_assert_int_eq(rows[i].start, at);
        ck_assert_int_eq(rows[i].count, row_count / count + (i < row_count % count ? 1 : 0));
        at += rows[i].count;
    }
    ck_assert_int_eq(at, row_count);
    ps_free(rows);
    return count;
}

START_TEST(fixed_and_none)
{
    ck_assert_int_eq(slices(ps_partition_none(), shape2(1000000, 1000)), 1);
    ck_assert_int_eq(slices(ps_partition_fixed(3), shape2(10, 4)), 3);
    ck_assert_int_eq(slices(ps_partition_fixed(3), shape2(2, 4)), 2);
    ck_assert_int_eq(slices(ps_partition_fixed(1), shape2(2, 4)), 1);
    ck_assert_int_eq(slices(ps_partition_fixed(3), (struct ps_shape){ 0 }), 1);
    ck_assert_int_eq(slices(ps_partition_fixed(3), shape2(0, 4)), 1);
}
END_TEST

START_TEST(the_first_slices_get_the_rest)
{
    struct ps_partitioner partitioner = ps_partition_fixed(3);
    struct ps_shape shape = { .rank = 1, .dims = { 11 } };
    struct ps_rows *rows;
    int count;
    ck_assert_int_eq(ps_partition_rows(&partitioner, PS_FLOAT, &shape, &rows, &count, NULL), PS_OK);
    ck_assert_int_eq(count, 3);
    ck_assert(rows[0].start == 0 && rows[0].count == 4);
    ck_assert(rows[1].start == 4 && rows[1].count == 4);
    ck_assert(rows[2].start == 8 && rows[2].count == 3);
    ps_free(rows);
}
END_TEST

START_TEST(variable_axis_size_bounds_each_slice)
{
    /* Rows of 16 bytes. */
    ck_assert_int_eq(slices(ps_partition_variable_axis_size(64, 0), shape2(10, 4)), 3);
    ck_assert_int_eq(slices(ps_partition_variable_axis_size(63, 0), shape2(10, 4)), 4);
    ck_assert_int_eq(slices(ps_partition_variable_axis_size(1, 0), shape2(10, 4)), 10);
    ck_assert_int_eq(slices(ps_partition_variable_axis_size(1, 4), shape2(10, 4)), 4);
    ck_assert_int_eq(slices(ps_partition_variable_axis_size(160, 0), shape2(10, 4)), 1);
    ck_assert_int_eq(slices(ps_partition_variable_axis_size(64, 0), shape2(10, 0)), 1);
}
END_TEST

START_TEST(min_max_keeps_slices_large)
{
    ck_assert_int_eq(slices(ps_partition_min_max(8, 64), shape2(10, 4)), 3);
    ck_assert_int_eq(slices(ps_partition_min_max(2, 64), shape2(10, 4)), 2);
    ck_assert_int_eq(slices(ps_partition_min_max(8, 161), shape2(10, 4)), 1);
    ck_assert_int_eq(slices(ps_partition_min_max(100, 1), shape2(10, 4)), 10);
    ck_assert_int_eq(slices(ps_partition_min_max(8, 64), shape2(0, 4)), 1);
}
END_TEST

START_TEST(automatic_splits_only_what_is_large)
{
    ck_assert_int_eq(slices(ps_partition_automatic(160, 4), shape2(10, 4)), 1);
    ck_assert_int_eq(slices(ps_partition_automatic(159, 4), shape2(10, 4)), 2);
    ck_assert_int_eq(slices(ps_partition_automatic(10, 4), shape2(10, 4)), 4);
    ck_assert_int_eq(slices(ps_partition_automatic(10, 99), shape2(10, 4)), 10);
    ck_assert_int_eq(slices(ps_partition_automatic(10, 1), shape2(10, 4)), 1);
    ck_assert_int_eq(slices(ps_partition_automatic(10, 4), (struct ps_shape){ 0 }), 1);
}
END_TEST

/* The rules hold for shapes and limits drawn at random. */
START_TEST(random_cuts_keep_their_promises)
{
    struct ps_rng rng = ps_rng_make(7, PS_STREAM_TEST);
    for (int i = 0; i < 500; i++) {
        int64_t rows = (int64_t)ps_rng_below(&rng, 3000);
        int64_t columns = 1 + (int64_t)ps_rng_below(&rng, 20);
        int64_t bytes = 1 + (int64_t)ps_rng_below(&rng, 1000);
        int64_t most = 1 + (int64_t)ps_rng_below(&rng, 50);
        struct ps_shape shape = shape2(rows, columns);
        int64_t total = rows * columns * 4;
        int count = slices(ps_partition_min_max(most, bytes), shape);
        ck_assert_int_le(count, most);
        ck_assert(count == 1 || total > (count - 1) * bytes);
        count = slices(ps_partition_variable_axis_size(bytes, 0), shape);
        int64_t largest = rows / count + (rows % count != 0);
        ck_assert(largest <= 1 || largest * columns * 4 <= bytes);
    }
}
END_TEST

START_TEST(impossible_cuts_are_refused)
{
    struct ps_shape shape = shape2(100000, 4);
    struct ps_shape bad = shape2(-1, 4);
    struct ps_rows *rows;
    struct ps_error err = PS_ERROR_INIT;
    int count;
    const struct ps_partitioner wrong[] = {
        ps_partition_fixed(0),
        ps_partition_fixed(-1),
        ps_partition_min_max(0, 1),
        ps_partition_min_max(1, 0),
        ps_partition_automatic(0, 1),
        ps_partition_automatic(1, 0),
        ps_partition_fixed(4097),
        ps_partition_variable_axis_size(0, 0),
        ps_partition_variable_axis_size(1, 0),
        ps_partition_variable_axis_size(1, -1),
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert_int_eq(ps_partition_rows(&wrong[i], PS_FLOAT, &shape, &rows, &count, &err),
                         PS_INVALID_ARGUMENT);
        ck_assert_ptr_null(rows);
        ck_assert_int_eq(count, 0);
    }
    struct ps_partitioner whole = ps_partition_none();
    ck_assert_int_eq(ps_partition_rows(&whole, PS_STRING, &shape, &rows, &count, &err),
                     PS_INVALID_ARGUMENT);
    ck_assert_int_eq(ps_partition_rows(&whole, PS_FLOAT, &bad, &rows, &count, &err),
                     PS_INVALID_ARGUMENT);
    ps_alloc_fail_at(1);
    ck_assert_int_eq(ps_partition_rows(&whole, PS_FLOAT, &shape, &rows, &count, &err),
                     PS_RESOURCE_EXHAUSTED);
    ps_alloc_fail_at(0);
}
END_TEST

static struct ps_placer placer;

static void start(enum ps_strategy strategy, int task_count)
{
    ck_assert_int_eq(ps_placer_init(&placer, strategy, task_count, NULL), PS_OK);
}

/* Places a variable of one slice; returns its task, or -1 with err filled. */
static int place(const char *device_text, int64_t size_bytes, struct ps_error *err)
{
    struct ps_device device;
    struct ps_rows rows = { .start = 0, .count = 1 };
    struct ps_placement placement = { .rows = &rows, .slice_count = 1, .row_bytes = size_bytes };
    int task = -1;
    if (device_text != NULL) {
        ck_assert_int_eq(ps_device_parse(device_text, &device, NULL), PS_OK);
        placement.device = &device;
    }
    enum ps_code rc = ps_placer_place(&placer, &placement, &task, err);
    ck_assert(rc == PS_OK || rc == PS_INVALID_ARGUMENT);
    return rc == PS_OK ? task : -1;
}

START_TEST(balanced_goes_where_the_least_is)
{
    start(PS_STRATEGY_BALANCED, 3);
    ck_assert_int_eq(place(NULL, 100, NULL), 0);
    ck_assert_int_eq(place("/job:ps", 30, NULL), 1);
    ck_assert_int_eq(place("", 30, NULL), 2);
    ck_assert_int_eq(place("/job:ps/cpu:0", 10, NULL), 1); /* a tie: the lowest */
    ck_assert_int_eq(place(NULL, 10, NULL), 2);
    ck_assert_int_eq(placer.load_bytes[1], 40);
    ps_placer_add_load(&placer, 1, 1000);
    ps_placer_add_load(&placer, 2, 1000);
    ck_assert_int_eq(place(NULL, 10, NULL), 0);
    ps_placer_clean(&placer);
    ps_placer_clean(&placer);
    ps_placer_clean(NULL);
}
END_TEST

START_TEST(a_pinned_variable_counts_where_it_lives)
{
    start(PS_STRATEGY_BALANCED, 2);
    ck_assert_int_eq(place("/job:ps/task:0", 100, NULL), 0);
    ck_assert_int_eq(place("/task:0", 100, NULL), 0);
    ck_assert_int_eq(place(NULL, 150, NULL), 1);
    ck_assert_int_eq(place(NULL, 40, NULL), 1);
    ck_assert_int_eq(place(NULL, 40, NULL), 1);
    ck_assert_int_eq(place(NULL, 40, NULL), 0);
    ps_placer_clean(&placer);
}
END_TEST

START_TEST(round_robin_takes_turns)
{
    start(PS_STRATEGY_ROUND_ROBIN, 3);
    ck_assert_int_eq(place(NULL, 1, NULL), 0);
    ck_assert_int_eq(place(NULL, 1000, NULL), 1);
    ck_assert_int_eq(place("/task:0", 1, NULL), 0); /* uses up the turn of task 2 */
    ck_assert_int_eq(place(NULL, 1, NULL), 0);
    ck_assert_int_eq(placer.load_bytes[1], 1000);
    ps_placer_clean(&placer);
}
END_TEST

START_TEST(slices_are_spread_unless_pinned)
{
    struct ps_rows rows[] = { { 0, 3 }, { 3, 3 }, { 6, 2 } };
    struct ps_placement placement = { .rows = rows, .slice_count = 3, .row_bytes = 10 };
    struct ps_device device;
    int tasks[3];
    start(PS_STRATEGY_BALANCED, 2);
    ck_assert_int_eq(ps_placer_place(&placer, &placement, tasks, NULL), PS_OK);
    ck_assert(tasks[0] == 0 && tasks[1] == 1 && tasks[2] == 0);
    ck_assert_int_eq(placer.load_bytes[0], 50);
    ck_assert_int_eq(placer.load_bytes[1], 30);
    ck_assert_int_eq(ps_device_parse("/task:1", &device, NULL), PS_OK);
    placement.device = &device;
    ck_assert_int_eq(ps_placer_place(&placer, &placement, tasks, NULL), PS_OK);
    ck_assert(tasks[0] == 1 && tasks[1] == 1 && tasks[2] == 1);
    ck_assert_int_eq(placer.load_bytes[1], 110);
    ps_placer_clean(&placer);
}
END_TEST

START_TEST(impossible_places_are_explained)
{
    static const char *const cases[][2] = {
        { "/job:ps/task:7", "/job:ps/task:7 is not in the cluster: it has ps tasks 0 to 1" },
        { "/task:2", "/job:ps/task:2 is not in the cluster" },
        { "/job:worker/task:0", "'/job:worker/task:0': only tasks of job ps hold variables" },
        { "/job:worker", "'/job:worker'" },
        { "/gpu:0", "'/device:GPU:0': the only device of a ps task is /cpu:0" },
        { "/cpu:1", "the only device of a ps task is /cpu:0" },
        { "/replica:1", "the only replica is 0" },
    };
    struct ps_error err = PS_ERROR_INIT;
    start(PS_STRATEGY_ROUND_ROBIN, 2);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_int_eq(place(cases[i][0], 5, &err), -1);
        ck_assert_msg(strstr(err.message, cases[i][1]) != NULL, "%s", err.message);
    }
    ck_assert_int_eq(placer.load_bytes[0] + placer.load_bytes[1], 0);
    ck_assert_int_eq(placer.next_task, 0);
    ps_placer_clean(&placer);
    start(PS_STRATEGY_BALANCED, 1);
    ck_assert_int_eq(place("/task:1", 5, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.message, "its only ps task is 0"));
    ps_placer_clean(&placer);
    ck_assert_int_eq(ps_placer_init(&placer, PS_STRATEGY_BALANCED, 0, &err), PS_INVALID_ARGUMENT);
    ps_alloc_fail_at(1);
    ck_assert_int_eq(ps_placer_init(&placer, PS_STRATEGY_BALANCED, 2, &err), PS_RESOURCE_EXHAUSTED);
    ps_alloc_fail_at(0);
}
END_TEST

START_TEST(loads_stop_at_the_top)
{
    start(PS_STRATEGY_BALANCED, 2);
    ps_placer_add_load(&placer, 0, INT64_MAX - 1);
    ps_placer_add_load(&placer, 0, 5);
    ck_assert_int_eq(placer.load_bytes[0], INT64_MAX);
    ck_assert_int_eq(place(NULL, 5, NULL), 1);
    ps_placer_clean(&placer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("placement");
    TCase *cases = tcase_create("placement");
    tcase_add_test(cases, fixed_and_none);
    tcase_add_test(cases, the_first_slices_get_the_rest);
    tcase_add_test(cases, variable_axis_size_bounds_each_slice);
    tcase_add_test(cases, min_max_keeps_slices_large);
    tcase_add_test(cases, automatic_splits_only_what_is_large);
    tcase_add_test(cases, random_cuts_keep_their_promises);
    tcase_add_test(cases, impossible_cuts_are_refused);
    tcase_add_test(cases, balanced_goes_where_the_least_is);
    tcase_add_test(cases, a_pinned_variable_counts_where_it_lives);
    tcase_add_test(cases, round_robin_takes_turns);
    tcase_add_test(cases, slices_are_spread_unless_pinned);
    tcase_add_test(cases, impossible_places_are_explained);
    tcase_add_test(cases, loads_stop_at_the_top);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
