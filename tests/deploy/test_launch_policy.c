/* What a launch decides when tasks end, signals come and time passes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <signal.h>
#include <stdlib.h>

#include "core/exit_code.h"
#include "deploy/launch_policy.h"

enum { GRACE = 1000 };

static struct ps_launch_policy two_and_two(void)
{
    return ps_launch_policy_start(2, 2, GRACE);
}

static enum ps_launch_action worker_ends(struct ps_launch_policy *policy, int64_t now, int code)
{
    return ps_launch_policy_ended(policy, now, PS_LAUNCH_WORKER, code);
}

static enum ps_launch_action ps_ends(struct ps_launch_policy *policy, int64_t now, int code)
{
    return ps_launch_policy_ended(policy, now, PS_LAUNCH_PS, code);
}

START_TEST(a_job_completes)
{
    struct ps_launch_policy policy = two_and_two();
    ck_assert_int_eq(ps_launch_policy_tick(&policy, 1000000), PS_LAUNCH_NOTHING);
    ck_assert_int_eq(worker_ends(&policy, 10, 0), PS_LAUNCH_NOTHING);
    ck_assert_int_eq(worker_ends(&policy, 20, 0), PS_LAUNCH_NOTHING);
    ck_assert_int_eq(policy.phase, PS_LAUNCH_ENDING);
    ck_assert_int_eq(ps_ends(&policy, 30, 0), PS_LAUNCH_NOTHING);
    ck_assert(!ps_launch_policy_over(&policy));
    ck_assert_int_eq(ps_ends(&policy, 40, 0), PS_LAUNCH_NOTHING);
    ck_assert(ps_launch_policy_over(&policy));
    ck_assert_int_eq(policy.exit_code, 0);
    ck_assert_int_eq(policy.cause, PS_LAUNCH_NO_CAUSE);
}
END_TEST

/* ps tasks see the last worker's goodbye before its process has ended. */
START_TEST(ps_tasks_may_end_just_before_the_last_worker)
{
    struct ps_launch_policy policy = two_and_two();
    worker_ends(&policy, 10, 0);
    ck_assert_int_eq(ps_ends(&policy, 20, 0), PS_LAUNCH_NOTHING);
    ck_assert_int_eq(ps_ends(&policy, 20, 0), PS_LAUNCH_NOTHING);
    ck_assert_int_eq(ps_launch_policy_tick(&policy, 20 + GRACE - 1), PS_LAUNCH_NOTHING);
    ck_assert_int_eq(worker_ends(&policy, 30, 0), PS_LAUNCH_NOTHING);
    ck_assert(ps_launch_policy_over(&policy));
    ck_assert_int_eq(policy.exit_code, 0);
}
END_TEST

START_TEST(workers_do_not_go_on_without_a_ps)
{
    struct ps_launch_policy policy = two_and_two();
    ps_ends(&policy, 20, 0);
    ck_assert_int_eq(ps_launch_policy_tick(&policy, 20 + GRACE), PS_LAUNCH_TERMINATE);
    ck_assert_int_eq(policy.cause, PS_LAUNCH_PS_LEFT_WORKERS);
    ck_assert_int_eq(policy.exit_code, PS_EXIT_PEER_LOST);
}
END_TEST

START_TEST(the_first_failure_ends_all_and_names_the_code)
{
    struct ps_launch_policy policy = two_and_two();
    ck_assert_int_eq(worker_ends(&policy, 10, PS_EXIT_DATA), PS_LAUNCH_TERMINATE);
    ck_assert_int_eq(worker_ends(&policy, 20, 143), PS_LAUNCH_NOTHING);
    ck_assert_int_eq(ps_ends(&policy, 30, 0), PS_LAUNCH_NOTHING);
    ck_assert_int_eq(ps_launch_policy_tick(&policy, 10 + GRACE - 1), PS_LAUNCH_NOTHING);
    ck_assert_int_eq(ps_launch_policy_tick(&policy, 10 + GRACE), PS_LAUNCH_KILL);
    ck_assert_int_eq(ps_ends(&policy, 40 + GRACE, 137), PS_LAUNCH_NOTHING);
    ck_assert(ps_launch_policy_over(&policy));
    ck_assert_int_eq(policy.cause, PS_LAUNCH_TASK_FAILED);
    ck_assert_int_eq(policy.exit_code, PS_EXIT_DATA);
}
END_TEST

START_TEST(ps_tasks_that_stay_are_stopped_and_that_is_a_failure)
{
    struct ps_launch_policy policy = two_and_two();
    worker_ends(&policy, 10, 0);
    worker_ends(&policy, 20, 0);
    ps_ends(&policy, 500, 0); /* does not move the deadline */
    ck_assert_int_eq(ps_launch_policy_tick(&policy, 20 + GRACE - 1), PS_LAUNCH_NOTHING);
    ck_assert_int_eq(ps_launch_policy_tick(&policy, 20 + GRACE), PS_LAUNCH_TERMINATE);
    ck_assert_int_eq(policy.cause, PS_LAUNCH_PS_STAYED);
    ck_assert_int_eq(policy.exit_code, PS_EXIT_SOFTWARE);
    ps_ends(&policy, 30 + GRACE, 0);
    ck_assert(ps_launch_policy_over(&policy));
    ck_assert_int_eq(policy.exit_code, PS_EXIT_SOFTWARE);
}
END_TEST

START_TEST(a_signal_asks_and_a_second_one_kills)
{
    struct ps_launch_policy policy = two_and_two();
    ck_assert_int_eq(ps_launch_policy_signal(&policy, 10, SIGINT), PS_LAUNCH_TERMINATE);
    ck_assert_int_eq(worker_ends(&policy, 20, 130), PS_LAUNCH_NOTHING);
    ck_assert_int_eq(ps_launch_policy_signal(&policy, 30, SIGINT), PS_LAUNCH_KILL);
    ck_assert_int_eq(policy.exit_code, 128 + SIGINT);
    ck_assert_int_eq(policy.cause, PS_LAUNCH_SIGNALLED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("launch_policy");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, a_job_completes);
    tcase_add_test(tests, ps_tasks_may_end_just_before_the_last_worker);
    tcase_add_test(tests, workers_do_not_go_on_without_a_ps);
    tcase_add_test(tests, the_first_failure_ends_all_and_names_the_code);
    tcase_add_test(tests, ps_tasks_that_stay_are_stopped_and_that_is_a_failure);
    tcase_add_test(tests, a_signal_asks_and_a_second_one_kills);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
