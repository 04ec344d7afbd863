/* Tests of the resolution of pushes that a dead incarnation left open. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>

#include "checkpoint/resolution.h"

enum { TASKS = 3, LISTED = 2 * PS_MAX_OPEN_PUSHES + 8 };

enum state { ARRIVING, STAGED, BURNT };

static struct ps_survey surveys[TASKS];
static struct ps_open_push open_pushes[TASKS][LISTED];
static const uint32_t ALL[TASKS] = { 0, 1, 2 };
static const uint32_t OUTSIDE[2] = { 0, TASKS };

static void set_up(void)
{
    for (uint32_t i = 0; i < TASKS; i++) {
        surveys[i] = (struct ps_survey){ .committed = 0, .open = open_pushes[i], .open_count = 0 };
    }
}

static void set_committed(uint64_t first, uint64_t second, uint64_t third)
{
    surveys[0].committed = first;
    surveys[1].committed = second;
    surveys[2].committed = third;
}

static struct ps_open_push *add(uint32_t task, uint64_t seq, enum state state)
{
    struct ps_open_push *push = &open_pushes[task][surveys[task].open_count++];
    *push = (struct ps_open_push){
        .seq = seq,
        .complete = state == STAGED,
        .burnt = state == BURNT,
        .touched = ALL,
        .touched_count = 2, /* tasks 0 and 1 */
    };
    return push;
}

static void expect(uint64_t commit_through, size_t burnt_count)
{
    struct ps_resolution resolution = ps_resolve(surveys, TASKS);
    ck_assert_uint_eq(resolution.commit_through, commit_through);
    ck_assert_uint_eq(resolution.burnt_count, burnt_count);
}

START_TEST(nothing_open)
{
    expect(0, 0);
    set_committed(7, 7, 7);
    expect(7, 0);
    ck_assert_uint_eq(ps_resolve(surveys, 0).commit_through, 0);
}
END_TEST

START_TEST(committed_anywhere_counts_everywhere)
{
    set_committed(7, 9, 8);
    add(0, 8, STAGED);
    add(0, 9, STAGED);
    expect(9, 0);
}
END_TEST

START_TEST(staged_on_all_that_it_touched_counts)
{
    add(0, 1, STAGED);
    add(1, 1, STAGED); /* task 2 is not touched, and knows nothing */
    add(0, 2, STAGED);
    add(1, 2, STAGED);
    expect(2, 0);
}
END_TEST

START_TEST(staged_here_and_committed_there_counts)
{
    set_committed(0, 1, 0);
    add(0, 1, STAGED);
    add(0, 2, STAGED);
    add(1, 2, STAGED);
    expect(2, 0);
}
END_TEST

START_TEST(missing_or_arriving_on_one_task_ends_it)
{
    add(0, 1, STAGED);
    add(1, 1, STAGED);
    add(0, 2, STAGED);
    if (_i == 1) { add(1, 2, ARRIVING); }
    add(0, 3, STAGED);
    add(1, 3, STAGED); /* complete, but its predecessor was never acknowledged, so nor was it */
    expect(1, 0);
}
END_TEST

START_TEST(a_number_that_nobody_knows_ends_it)
{
    add(0, 2, STAGED);
    add(1, 2, STAGED);
    expect(0, 0);
}
END_TEST

START_TEST(numbers_that_one_task_never_saw_are_no_gap)
{
    set_committed(3, 3, 3);
    add(2, 4, STAGED)->touched = &ALL[2];
    open_pushes[2][0].touched_count = 1;
    add(0, 5, STAGED)->touched_count = 1;
    expect(5, 0);
}
END_TEST

START_TEST(burnt_anywhere_is_passed)
{
    add(0, 1, STAGED);
    add(1, 1, BURNT)->touched_count = 0; /* before anything of it came */
    add(0, 2, STAGED);
    add(1, 2, STAGED);
    add(0, 3, BURNT);
    expect(3, 2);
    struct ps_resolution resolution = ps_resolve(surveys, TASKS);
    ck_assert_uint_eq(resolution.burnt[0], 1);
    ck_assert_uint_eq(resolution.burnt[1], 3);
}
END_TEST

/* A task resolved before, by an incarnation that died before it could resolve the others. */
START_TEST(burnt_and_passed_on_one_task_is_burnt_on_the_others)
{
    set_committed(5, 3, 3);
    add(0, 4, BURNT);
    add(1, 4, STAGED);
    add(1, 5, STAGED);
    expect(5, 1);
    ck_assert_uint_eq(ps_resolve(surveys, TASKS).burnt[0], 4);
}
END_TEST

START_TEST(burnt_beyond_the_end_is_discarded_with_the_rest)
{
    add(0, 1, ARRIVING);
    add(0, 2, BURNT);
    expect(0, 0);
}
END_TEST

START_TEST(a_touched_task_outside_the_cluster_ends_it)
{
    add(0, 1, STAGED)->touched = OUTSIDE;
    expect(0, 0);
}
END_TEST

START_TEST(the_list_of_burnt_numbers_has_an_end)
{
    for (uint64_t seq = 1; seq <= PS_MAX_OPEN_PUSHES + 5; seq++) { add(0, seq, BURNT); }
    expect(PS_MAX_OPEN_PUSHES, PS_MAX_OPEN_PUSHES);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resolution");
    TCase *cases = tcase_create("resolution");
    tcase_add_checked_fixture(cases, set_up, NULL);
    tcase_add_test(cases, nothing_open);
    tcase_add_test(cases, committed_anywhere_counts_everywhere);
    tcase_add_test(cases, staged_on_all_that_it_touched_counts);
    tcase_add_test(cases, staged_here_and_committed_there_counts);
    tcase_add_loop_test(cases, missing_or_arriving_on_one_task_ends_it, 0, 2);
    tcase_add_test(cases, a_number_that_nobody_knows_ends_it);
    tcase_add_test(cases, numbers_that_one_task_never_saw_are_no_gap);
    tcase_add_test(cases, burnt_anywhere_is_passed);
    tcase_add_test(cases, burnt_and_passed_on_one_task_is_burnt_on_the_others);
    tcase_add_test(cases, burnt_beyond_the_end_is_discarded_with_the_rest);
    tcase_add_test(cases, a_touched_task_outside_the_cluster_ends_it);
    tcase_add_test(cases, the_list_of_burnt_numbers_has_an_end);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
