/* The summary of a launch: sums, weights and what is missing. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "deploy/run_dir.h"
#include "deploy/summary.h"

static char parent[64];
static char run[80];

static void make_directory(void)
{
    snprintf(parent, sizeof parent, "/tmp/paramd-test-summary-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(parent));
    snprintf(run, sizeof run, "%s", parent);
}

static void remove_directory(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", parent);
    ck_assert_int_eq(system(command), 0);
}

static void report(int worker, const char *text)
{
    char name[32];
    snprintf(name, sizeof name, "worker-%d.json", worker);
    ck_assert_int_eq(ps_run_dir_write(run, name, text, NULL), PS_OK);
}

static struct ps_summary_options options(void)
{
    static const char *const command[] = { "./train", "--fast", NULL };
    static const struct ps_summary_task tasks[] = {
        { "/job:ps/task:0", "ps-0.log", 0, 2.0 },
        { "/job:worker/task:0", "worker-0.log", 0, 1.5 },
        { "/job:worker/task:1", "worker-1.log", 65, 1 }
    };
    return (struct ps_summary_options){ .run = run,
                                        .command = command,
                                        .tasks = tasks,
                                        .task_count = 3,
                                        .ps_count = 1,
                                        .worker_count = 2,
                                        .exit_code = 65,
                                        .seconds = 18.44 };
}

static json_t *build(void)
{
    const struct ps_summary_options all = options();
    struct ps_error error = PS_ERROR_INIT;
    json_t *summary;
    ck_assert_msg(ps_summary_build(&all, &summary, &error) == PS_OK, "%s", error.message);
    return summary;
}

static double number(const json_t *summary, const char *key)
{
    const json_t *value = json_object_get(summary, key);
    ck_assert_msg(json_is_number(value), "%s", key);
    return json_number_value(value);
}

START_TEST(workers_are_joined)
{
    char line[PS_SUMMARY_LINE_BYTES];
    report(
        0,
        "{\"steps\": 100, \"global_step\": 390, \"seconds\": 10.0, \"pulls\": 100, \"pushes\": 101,"
        "\"refused\": 1, \"dropped\": 0, \"mean_staleness\": 1.0, \"compute_seconds\": 3.0,"
        "\"communication_seconds\": 6.0, \"wait_seconds\": 1.0, \"examples\": 10000,"
        "\"last_loss\": 0.5, \"test_accuracy\": 0.867}");
    report(
        1,
        "{\"steps\": 300, \"global_step\": 400, \"seconds\": 8.0, \"pulls\": 300, \"pushes\": 300,"
        "\"refused\": 0, \"dropped\": 2, \"mean_staleness\": 2.0, \"compute_seconds\": 5.0,"
        "\"communication_seconds\": 2.0, \"wait_seconds\": 3.0, \"examples\": 30000,"
        "\"last_loss\": 0.7, \"test_accuracy\": null}");
    json_t *summary = build();
    ck_assert_double_eq(number(summary, "steps"), 400);
    ck_assert_double_eq(number(summary, "pulls"), 400);
    ck_assert_double_eq(number(summary, "pushes"), 401);
    ck_assert_double_eq(number(summary, "refused"), 1);
    ck_assert_double_eq(number(summary, "dropped"), 2);
    ck_assert_double_eq_tol(number(summary, "mean_staleness"), 1.75, 1e-12);
    ck_assert_double_eq_tol(number(summary, "examples_per_second"), 4000, 1e-9);
    ck_assert_double_eq_tol(number(summary, "compute_share"), 0.4, 1e-12);
    ck_assert_double_eq_tol(number(summary, "communication_share"), 0.4, 1e-12);
    ck_assert_double_eq_tol(number(summary, "wait_share"), 0.2, 1e-12);
    ck_assert_double_eq_tol(number(summary, "test_accuracy"), 0.867, 1e-12);
    ck_assert_double_eq(number(summary, "workers_reported"), 2);
    ck_assert_double_eq(number(summary, "exit_code"), 65);
    ck_assert_uint_eq(json_array_size(json_object_get(summary, "tasks")), 3);
    ck_assert_uint_eq(json_array_size(json_object_get(summary, "sessions")), 2);
    ck_assert_str_eq(ps_summary_format(summary, line),
                     "18.4 s; step 400; test accuracy 86.7 %; 4.0 k examples/s; pulls 400, pushes "
                     "401, dropped 2, refused 1, mean staleness 1.8; compute 40 % / communication "
                     "40 % / wait 20 %");
    json_decref(summary);
}
END_TEST

START_TEST(without_sessions_there_are_no_figures)
{
    char line[PS_SUMMARY_LINE_BYTES];
    json_t *summary = build();
    ck_assert(json_is_null(json_object_get(summary, "test_accuracy")));
    ck_assert(json_is_null(json_object_get(summary, "compute_share")));
    ck_assert_double_eq(number(summary, "workers_reported"), 0);
    ck_assert_str_eq(ps_summary_format(summary, line), "18.4 s");
    json_decref(summary);
}
END_TEST

START_TEST(a_damaged_report_is_named)
{
    const struct ps_summary_options all = options();
    struct ps_error error = PS_ERROR_INIT;
    json_t *summary;
    report(1, "{\"steps\": ");
    ck_assert_int_eq(ps_summary_build(&all, &summary, &error), PS_DATA_LOSS);
    ck_assert(strstr(error.message, "worker-1.json: line 1") != NULL);
    ck_assert_ptr_null(summary);
}
END_TEST

START_TEST(each_run_has_a_directory_and_latest_points_to_it)
{
    char *path, target[128];
    char *deep = ps_run_dir_path(parent, "a/b");
    ck_assert_int_eq(ps_run_dir_create(deep, &path, NULL), PS_OK);
    ck_assert_int_eq(ps_run_dir_write(path, "cluster.json", "{}", NULL), PS_OK);
    char *latest = ps_run_dir_path(deep, "latest/cluster.json");
    ck_assert_int_eq(access(latest, R_OK), 0);
    char *link = ps_run_dir_path(deep, "latest");
    ssize_t size = readlink(link, target, sizeof target - 1);
    ck_assert_int_gt(size, 0);
    target[size] = '\0';
    ck_assert_str_eq(target, path + strlen(deep) + 1); /* relative: the tree may be moved */
    ps_free(link);
    ps_free(latest);
    ps_free(deep);
    ps_free(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("summary");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, make_directory, remove_directory);
    tcase_add_test(tests, workers_are_joined);
    tcase_add_test(tests, without_sessions_there_are_no_figures);
    tcase_add_test(tests, a_damaged_report_is_named);
    tcase_add_test(tests, each_run_has_a_directory_and_latest_points_to_it);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
