/* Tests of the cluster's tasks: adding, refusing, looking up, counting, describing. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/cluster.h"

static struct ps_cluster cluster;

static void add(const char *job, int index, const char *address)
{
    struct ps_error err = PS_ERROR_INIT;
    enum ps_code rc = ps_cluster_add(&cluster, job, index, address, &err);
    ck_assert_msg(rc == PS_OK, "%s", err.message);
}

static void set_up(void)
{
    cluster = (struct ps_cluster){ 0 };
    add("ps", 0, "ps0:2222");
    add("ps", 1, "ps1:2222");
    add("worker", 0, "w0:2222");
    add("worker", 3, "w3:2222");
    add("worker", 1, "w1:2222");
}

static void tear_down(void)
{
    ps_cluster_clean(&cluster);
    ps_cluster_clean(&cluster);
    ps_cluster_clean(NULL);
}

START_TEST(tasks_are_sorted_and_may_have_gaps)
{
    const struct ps_job *job = ps_cluster_find_job(&cluster, "worker");
    const char *address;
    ck_assert_int_eq(job->task_count, 3);
    ck_assert_int_eq(job->tasks[0].index, 0);
    ck_assert_int_eq(job->tasks[1].index, 1);
    ck_assert_int_eq(job->tasks[2].index, 3);
    ck_assert_int_eq(ps_cluster_address(&cluster, "worker", 3, &address, NULL), PS_OK);
    ck_assert_str_eq(address, "w3:2222");
    ck_assert_int_eq(ps_cluster_task_count(&cluster, "worker"), 3);
    ck_assert_int_eq(ps_cluster_task_count(&cluster, "coordinator"), 0);
    ck_assert_ptr_null(ps_cluster_find_job(&cluster, "coordinator"));
}
END_TEST

START_TEST(many_tasks_in_falling_order)
{
    for (int index = 300; index > 10; index--) {
        char address[32];
        snprintf(address, sizeof address, "h%d:1", index);
        add("worker", index, address);
    }
    const struct ps_job *job = ps_cluster_find_job(&cluster, "worker");
    for (int t = 1; t < job->task_count; t++) {
        ck_assert_int_lt(job->tasks[t - 1].index, job->tasks[t].index);
    }
    ck_assert_int_eq(job->task_count, 293);
}
END_TEST

START_TEST(what_is_not_there_is_explained)
{
    const char *address = "untouched";
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_int_eq(ps_cluster_address(&cluster, "x", 0, &address, &err), PS_NOT_FOUND);
    ck_assert_str_eq(err.message, "No such job in cluster: 'x'; its jobs: ps, worker");
    ck_assert_ptr_null(address);
    ck_assert_int_eq(ps_cluster_address(&cluster, "ps", 3, &address, &err), PS_NOT_FOUND);
    ck_assert_str_eq(err.message,
                     "No task with index 3 in job 'ps'; it has 2, numbered from 0 to 1");
    ck_assert_int_eq(ps_cluster_address(&cluster, "worker", 2, &address, &err), PS_NOT_FOUND);
    ck_assert_int_eq(ps_cluster_address(&cluster, "ps", -1, &address, &err), PS_NOT_FOUND);
}
END_TEST

START_TEST(a_role_must_be_in_the_cluster)
{
    struct ps_error err = PS_ERROR_INIT;
    ck_assert(!ps_cluster_has_role(&cluster));
    ck_assert_int_eq(ps_cluster_set_role(&cluster, "ps", 2, &err), PS_NOT_FOUND);
    ck_assert(!ps_cluster_has_role(&cluster));
    ck_assert_int_eq(ps_cluster_set_role(&cluster, "worker", 3, &err), PS_OK);
    ck_assert(ps_cluster_has_role(&cluster));
    ck_assert_str_eq(cluster.job_name, "worker");
    ck_assert_int_eq(cluster.task_index, 3);
    ck_assert_int_eq(ps_cluster_set_role(&cluster, "evaluator", 5, &err), PS_OK);
    ck_assert_int_eq(ps_cluster_set_role(&cluster, "evaluator", -1, &err), PS_INVALID_ARGUMENT);
}
END_TEST

/* job, index, address, and what the message must contain. */
static const struct {
    const char *job;
    int index;
    const char *address, *message;
} refused[] = {
    { "ps", 2, "ps0:2222", "/job:ps/task:0 and /job:ps/task:2 have the same address ps0:2222" },
    { "worker", 9, "PS1", "/job:ps/task:1 and /job:worker/task:9 have the same address" },
    { "ps", 1, "other:1", "/job:ps/task:1 is given twice" },
    { "ps", -1, "h:1", "job 'ps': task index -1 is not in 0 to 65535" },
    { "ps", 65536, "h:1", "task index 65536 is not in 0 to 65535" },
    { "p s", 0, "h:1", "'p s' is no job name" },
    { "", 0, "h:1", "'' is no job name" },
    { "ps", 2, "", "/job:ps/task:2: address '' has no host" },
    { "ps", 2, ":2222", "address ':2222' has no host; expected host:port" },
    { "ps", 2, "h:", "address 'h:' has a bad port; expected a number from 1 to 65535" },
    { "ps", 2, "h:0", "address 'h:0' has a bad port" },
    { "ps", 2, "h:65536", "bad port" },
    { "ps", 2, "h:99999999999999999999", "bad port" },
    { "ps", 2, "h:22a", "bad port" },
    { "ps", 2, "h:-1", "bad port" },
    { "ps", 2, "h: 22", "bad port" },
    { "ps", 2, "h h:22", "address 'h h:22' has a bad host" },
    { "ps", 2, "http://h", "bad port" },
    { "ps", 2, "h/x:22", "bad host" },
    { "ps", 2, "::1", "address '::1' has several ':'; an IPv6 address needs brackets" },
    { "ps", 2, "a:1:2", "has several ':'" },
    { "ps", 2, "[::1", "bad host" },
    { "ps", 2, "[]:1", "has no host" },
    { "ps", 2, "[::1]1", "bad port" },
    { "ps", 2, "[::1]:", "bad port" },
    { "ps", 2, "[::/]:1", "bad host" },
};
enum { REFUSED_COUNT = sizeof refused / sizeof refused[0] };

START_TEST(bad_tasks_are_explained)
{
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_int_eq(
        ps_cluster_add(&cluster, refused[_i].job, refused[_i].index, refused[_i].address, &err),
        PS_INVALID_ARGUMENT);
    ck_assert_msg(strstr(err.message, refused[_i].message) != NULL, "%s", err.message);
    ck_assert_int_eq(ps_cluster_task_count(&cluster, "ps"), 2);
    ck_assert_int_eq(cluster.job_count, 2);
}
END_TEST

START_TEST(addresses_get_a_port)
{
    static const char *const cases[][2] = {
        { "h", "h:2222" },
        { "h:1", "h:1" },
        { "h:65535", "h:65535" },
        { "h:0080", "h:80" },
        { "10.0.0.7", "10.0.0.7:2222" },
        { "job-ps-0.ns.svc.cluster.local:2222", "job-ps-0.ns.svc.cluster.local:2222" },
        { "a_b", "a_b:2222" },
        { "[::1]", "[::1]:2222" },
        { "[fe80::1%eth0]:7", "[fe80::1%eth0]:7" },
    };
    char out[PS_ADDRESS_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_int_eq(ps_cluster_normalize_address(cases[i][0], out, NULL), PS_OK);
        ck_assert_str_eq(out, cases[i][1]);
    }
    char longest[400];
    memset(longest, 'h', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    ck_assert_int_eq(ps_cluster_normalize_address(longest, out, NULL), PS_INVALID_ARGUMENT);
    longest[253] = '\0';
    ck_assert_int_eq(ps_cluster_normalize_address(longest, out, NULL), PS_OK);
}
END_TEST

START_TEST(there_is_a_limit_to_the_tasks)
{
    char address[32];
    struct ps_error err = PS_ERROR_INIT;
    for (int index = 5; index < PS_MAX_TASKS; index++) {
        snprintf(address, sizeof address, "%d.h", index);
        add("other", index, address);
    }
    ck_assert_int_eq(ps_cluster_add(&cluster, "other", 0, "h", &err), PS_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, "the cluster has more than 4096 tasks");
}
END_TEST

START_TEST(a_chief_is_worker_zero)
{
    ck_assert_int_eq(ps_cluster_worker_count(&cluster), 3);
    ck_assert_int_eq(ps_cluster_worker_index(&cluster, "worker", 3), 3);
    add("chief", 0, "c0");
    ck_assert_int_eq(ps_cluster_worker_count(&cluster), 4);
    ck_assert_int_eq(ps_cluster_worker_index(&cluster, "chief", 0), 0);
    ck_assert_int_eq(ps_cluster_worker_index(&cluster, "worker", 0), 1);
    ck_assert_int_eq(ps_cluster_worker_index(&cluster, "worker", 3), 4);
    ck_assert_int_eq(ps_cluster_worker_index(&cluster, "ps", 0), -1);
    ck_assert_int_eq(ps_cluster_worker_index(&cluster, "evaluator", 0), -1);
}
END_TEST

START_TEST(one_line_describes_it)
{
    char text[PS_CLUSTER_TEXT_BYTES];
    ck_assert_str_eq(ps_cluster_describe(&cluster, text), "cluster: 2 ps, 3 workers");
    add("master", 0, "m0");
    snprintf(cluster.source, sizeof cluster.source, "TF_CONFIG");
    ck_assert_int_eq(ps_cluster_set_role(&cluster, "ps", 1, NULL), PS_OK);
    ck_assert_str_eq(ps_cluster_describe(&cluster, text),
                     "cluster: 2 ps, 4 workers (from TF_CONFIG); I am /job:ps/task:1");
    add("coordinator", 0, "c0");
    ck_assert_str_eq(
        ps_cluster_describe(&cluster, text),
        "cluster: 2 ps, 4 workers, 1 coordinator (from TF_CONFIG); I am /job:ps/task:1");
    for (int i = 0; i < 200; i++) { /* too much for one line: cut */
        char job[32];
        snprintf(job, sizeof job, "job%d", i);
        add(job, 0, job);
    }
    ck_assert_uint_eq(strlen(ps_cluster_describe(&cluster, text)), PS_CLUSTER_TEXT_BYTES - 1);
}
END_TEST

START_TEST(a_copy_stands_alone)
{
    struct ps_cluster copy;
    const char *address;
    ck_assert_int_eq(ps_cluster_set_role(&cluster, "worker", 3, NULL), PS_OK);
    ck_assert_int_eq(ps_cluster_copy(&cluster, &copy, NULL), PS_OK);
    ps_cluster_clean(&cluster);
    ck_assert_int_eq(ps_cluster_address(&copy, "worker", 3, &address, NULL), PS_OK);
    ck_assert_str_eq(address, "w3:2222");
    ck_assert_str_eq(copy.job_name, "worker");
    ck_assert_int_eq(copy.task_index, 3);
    ps_cluster_clean(&copy);
    ck_assert_int_eq(ps_cluster_copy(&cluster, &copy, NULL), PS_OK); /* an empty one */
    ps_cluster_clean(&copy);
}
END_TEST

START_TEST(adding_survives_lack_of_memory)
{
    for (int fault = 1;; fault++) {
        struct ps_error err = PS_ERROR_INIT;
        ps_alloc_fail_at(fault);
        enum ps_code rc = ps_cluster_add(&cluster, "coordinator", 0, "c", &err);
        long allocations = ps_alloc_fail_at(0);
        if (rc == PS_OK) {
            ck_assert_int_lt(allocations, fault);
            break;
        }
        ck_assert_int_eq(rc, PS_RESOURCE_EXHAUSTED);
        ck_assert_int_eq(ps_cluster_task_count(&cluster, "coordinator"), 0);
        ck_assert_int_eq(ps_cluster_task_count(&cluster, "ps"), 2);
    }
    ck_assert_int_eq(ps_cluster_task_count(&cluster, "coordinator"), 1);
}
END_TEST

START_TEST(copying_survives_lack_of_memory)
{
    enum ps_code rc = PS_RESOURCE_EXHAUSTED;
    struct ps_cluster copy;
    int fault = 0;
    while (rc != PS_OK) {
        ps_alloc_fail_at(++fault);
        rc = ps_cluster_copy(&cluster, &copy, NULL);
        ps_alloc_fail_at(0);
        ck_assert(rc == PS_OK || (rc == PS_RESOURCE_EXHAUSTED && copy.jobs == NULL));
    }
    ck_assert_int_eq(fault, 9); /* jobs, two lists, five addresses; then none fails */
    ps_cluster_clean(&copy);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cluster");
    TCase *cases = tcase_create("cluster");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, tasks_are_sorted_and_may_have_gaps);
    tcase_add_test(cases, many_tasks_in_falling_order);
    tcase_add_test(cases, what_is_not_there_is_explained);
    tcase_add_test(cases, a_role_must_be_in_the_cluster);
    tcase_add_loop_test(cases, bad_tasks_are_explained, 0, REFUSED_COUNT);
    tcase_add_test(cases, addresses_get_a_port);
    tcase_add_test(cases, there_is_a_limit_to_the_tasks);
    tcase_add_test(cases, a_chief_is_worker_zero);
    tcase_add_test(cases, one_line_describes_it);
    tcase_add_test(cases, a_copy_stands_alone);
    tcase_add_test(cases, adding_survives_lack_of_memory);
    tcase_add_test(cases, copying_survives_lack_of_memory);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
