/* Tests of ranked locks, condition variables and clocks. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <signal.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/lock.h"

static struct ps_mutex row_lock, task_lock, chunk_lock;

static void set_up(void)
{
    ps_mutex_init(&row_lock, "row", PS_RANK_ROW);
    ps_mutex_init(&task_lock, "task", PS_RANK_TASK);
    ps_mutex_init(&chunk_lock, "chunks", PS_RANK_CHUNKS);
}

static void tear_down(void)
{
    ps_mutex_clean(&row_lock);
    ps_mutex_clean(&task_lock);
    ps_mutex_clean(&chunk_lock);
    ps_mutex_clean(&chunk_lock); /* twice, and never initialised, do no harm */
    ps_mutex_clean(NULL);
}

START_TEST(rising_ranks_are_fine_in_any_order_of_release)
{
    ps_mutex_lock(&row_lock);
    ps_mutex_lock(&task_lock);
    ps_mutex_lock(&chunk_lock);
    ps_mutex_unlock(&task_lock);
    ps_mutex_unlock(&row_lock);
    ps_mutex_unlock(&chunk_lock);
    ps_mutex_lock(&row_lock); /* nothing is remembered as held */
    ps_mutex_unlock(&row_lock);
}
END_TEST

START_TEST(a_falling_rank_aborts)
{
    ps_mutex_lock(&task_lock);
    ps_mutex_lock(&row_lock);
}
END_TEST

START_TEST(a_falling_rank_aborts_after_a_release_in_between)
{
    ps_mutex_lock(&row_lock);
    ps_mutex_lock(&chunk_lock);
    ps_mutex_unlock(&row_lock);
    ps_mutex_lock(&task_lock);
}
END_TEST

START_TEST(two_of_one_rank_abort)
{
    struct ps_mutex second;
    ps_mutex_init(&second, "second task", PS_RANK_TASK);
    ps_mutex_lock(&task_lock);
    ps_mutex_lock(&second);
}
END_TEST

START_TEST(locking_twice_aborts)
{
    ps_mutex_lock(&task_lock);
    ps_mutex_lock(&task_lock);
}
END_TEST

START_TEST(unlocking_what_is_not_held_aborts)
{
    ps_mutex_unlock(&task_lock);
}
END_TEST

START_TEST(waiting_under_a_higher_lock_aborts)
{
    struct ps_cond cond;
    ps_cond_init(&cond);
    ps_mutex_lock(&row_lock);
    ps_mutex_lock(&task_lock);
    ps_cond_wait_until(&cond, &row_lock, 0);
}
END_TEST

struct baton {
    struct ps_mutex lock;
    struct ps_cond cond;
    int turns;
};

static void *take_every_second_turn(void *argument)
{
    struct baton *baton = argument;
    ps_mutex_lock(&baton->lock);
    while (baton->turns < 200) {
        while (baton->turns % 2 == 0 && baton->turns < 200) {
            ps_cond_wait(&baton->cond, &baton->lock);
        }
        if (baton->turns < 200) { baton->turns++; }
        ps_cond_broadcast(&baton->cond);
    }
    ps_mutex_unlock(&baton->lock);
    return NULL;
}

START_TEST(two_threads_pass_a_baton)
{
    struct baton baton = { .turns = 0 };
    pthread_t thread;
    ps_mutex_init(&baton.lock, "baton", PS_RANK_POOL);
    ps_cond_init(&baton.cond);
    ck_assert_int_eq(pthread_create(&thread, NULL, take_every_second_turn, &baton), 0);
    ps_mutex_lock(&baton.lock);
    while (baton.turns < 200) {
        if (baton.turns % 2 == 0) {
            baton.turns++;
            ps_cond_signal(&baton.cond);
        } else {
            ps_cond_wait(&baton.cond, &baton.lock);
        }
    }
    ps_mutex_unlock(&baton.lock);
    pthread_join(thread, NULL);
    ck_assert_int_eq(baton.turns, 200);
    ps_cond_clean(&baton.cond);
    ps_cond_clean(NULL);
    ps_mutex_clean(&baton.lock);
}
END_TEST

START_TEST(a_deadline_on_the_monotonic_clock_passes)
{
    struct ps_cond cond;
    const struct ps_clock *clock = ps_clock_monotonic();
    int64_t deadline_ns = ps_clock_now_ns(clock) + 2000000;
    ps_cond_init(&cond);
    ps_mutex_lock(&task_lock);
    ck_assert(!ps_cond_wait_until(&cond, &task_lock, -1));        /* long past */
    while (ps_cond_wait_until(&cond, &task_lock, deadline_ns)) {} /* may wake early */
    ps_mutex_unlock(&task_lock);
    ck_assert_int_ge(ps_clock_now_ns(clock), deadline_ns);
    ps_cond_clean(&cond);
}
END_TEST

START_TEST(the_monotonic_clock_never_goes_back)
{
    const struct ps_clock *clock = ps_clock_monotonic();
    int64_t last = ps_clock_now_ns(clock);
    for (int i = 0; i < 1000; i++) {
        int64_t now = ps_clock_now_ns(clock);
        ck_assert_int_ge(now, last);
        last = now;
    }
}
END_TEST

START_TEST(the_fake_clock_moves_by_hand)
{
    struct ps_fake_clock fake;
    ps_fake_clock_init(&fake, 5000000);
    ck_assert_int_eq(ps_clock_now_ns(&fake.clock), 5000000);
    fake.now_ns += 2500000;
    ck_assert_int_eq(ps_clock_now_ns(&fake.clock), 7500000);
    ck_assert_int_eq(ps_clock_now_ms(&fake.clock), 7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lock");
    TCase *cases = tcase_create("lock");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, rising_ranks_are_fine_in_any_order_of_release);
    tcase_add_test_raise_signal(cases, a_falling_rank_aborts, SIGABRT);
    tcase_add_test_raise_signal(cases, a_falling_rank_aborts_after_a_release_in_between, SIGABRT);
    tcase_add_test_raise_signal(cases, two_of_one_rank_abort, SIGABRT);
    tcase_add_test_raise_signal(cases, locking_twice_aborts, SIGABRT);
    tcase_add_test_raise_signal(cases, unlocking_what_is_not_held_aborts, SIGABRT);
    tcase_add_test_raise_signal(cases, waiting_under_a_higher_lock_aborts, SIGABRT);
    tcase_add_test(cases, two_threads_pass_a_baton);
    tcase_add_test(cases, a_deadline_on_the_monotonic_clock_passes);
    tcase_add_test(cases, the_monotonic_clock_never_goes_back);
    tcase_add_test(cases, the_fake_clock_moves_by_hand);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
