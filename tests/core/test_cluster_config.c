/* Tests of finding the cluster: sources, precedence, bad texts, lack of memory. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/cluster.h"
#include "core/cluster_config.h"
#include "core/cluster_json_priv.h"
#include "core/log.h"

/* An environment of name, value pairs, ended by NULL. */
static const char *get_env(void *ctx, const char *name)
{
    for (const char *const *pair = ctx; pair[0] != NULL; pair += 2) {
        if (strcmp(pair[0], name) == 0) { return pair[1]; }
    }
    return NULL;
}

#define ENVIRONMENT(...) ((const char *[]){ __VA_ARGS__, NULL })
static const char *nothing[] = { NULL };

static struct ps_cluster cluster;
static struct ps_error err;

static enum ps_code load(struct ps_cluster_flags flags, const char **environment)
{
    struct ps_cluster_inputs inputs = { .flags = flags,
                                        .get_env = get_env,
                                        .env_ctx = environment };
    err = (struct ps_error)PS_ERROR_INIT;
    ps_cluster_clean(&cluster);
    return ps_cluster_config_load(&inputs, &cluster, &err);
}

static void load_well(struct ps_cluster_flags flags, const char **environment, const char *expected)
{
    char text[PS_CLUSTER_TEXT_BYTES];
    enum ps_code rc = load(flags, environment);
    ck_assert_msg(rc == PS_OK, "%s", err.message);
    ck_assert_str_eq(ps_cluster_describe(&cluster, text), expected);
}

static void load_badly(struct ps_cluster_flags flags, const char **environment, enum ps_code code,
                       const char *message)
{
    ck_assert_int_eq(load(flags, environment), code);
    ck_assert_msg(strstr(err.message, message) != NULL, "expected '%s', got '%s'", message,
                  err.message);
    ck_assert_ptr_null(cluster.jobs);
    ck_assert(!ps_cluster_has_role(&cluster));
}

static void check_address(const char *job, int index, const char *expected)
{
    const char *address;
    ck_assert_int_eq(ps_cluster_address(&cluster, job, index, &address, &err), PS_OK);
    ck_assert_str_eq(address, expected);
}

static void tear_down(void)
{
    ps_cluster_clean(&cluster);
}

static const struct ps_cluster_flags four_flags = { .ps_hosts = "ps0:1, ps1",
                                                    .worker_hosts = "w0:1,w1:1 ,w2:1",
                                                    .job_name = "worker",
                                                    .task_index = "2" };
static const char tf_config[] =
    "{\"cluster\":{\"ps\":[\"tf0:1\",\"tf1:1\"],\"worker\":[\"tf2:1\"],\"chief\":[\"tf3:1\"]},"
    " \"task\":{\"type\":\"ps\",\"index\":1},\"environment\":\"cloud\"}";

START_TEST(the_four_flags_of_tensorflow)
{
    load_well(four_flags, nothing,
              "cluster: 2 ps, 3 workers (from flags); I am /job:worker/task:2");
    check_address("ps", 0, "ps0:1");
    check_address("ps", 1, "ps1:2222");
    check_address("worker", 1, "w1:1");
}
END_TEST

START_TEST(the_same_by_environment)
{
    load_well((struct ps_cluster_flags){ 0 },
              ENVIRONMENT("PS_HOSTS", "a,b", "PS_WORKER_HOSTS", "c", "PS_JOB_NAME", "ps",
                          "PS_TASK_INDEX", "1"),
              "cluster: 2 ps, 1 worker (from PS_HOSTS); I am /job:ps/task:1");
    load_well((struct ps_cluster_flags){ 0 },
              ENVIRONMENT("PS_CLUSTER", " {\"ps\":[\"a\"],\"worker\":{\"3\":\"b\"}}", "PS_JOB_NAME",
                          "worker", "PS_TASK_INDEX", "3"),
              "cluster: 1 ps, 1 worker (from PS_CLUSTER); I am /job:worker/task:3");
}
END_TEST

START_TEST(the_same_by_tf_config)
{
    load_well((struct ps_cluster_flags){ 0 }, ENVIRONMENT("TF_CONFIG", tf_config),
              "cluster: 2 ps, 2 workers (from TF_CONFIG); I am /job:ps/task:1");
    ck_assert_int_eq(ps_cluster_worker_index(&cluster, "chief", 0), 0);
    ck_assert_int_eq(ps_cluster_worker_index(&cluster, "worker", 0), 1);
    load_well((struct ps_cluster_flags){ 0 },
              ENVIRONMENT("TF_CONFIG", "{\"cluster\":{\"ps\":[\"a\"],\"master\":[\"b\"]},"
                                       "\"task\":{\"type\":\"master\",\"index\":\"0\"}}"),
              "cluster: 1 ps, 1 worker (from TF_CONFIG); I am /job:master/task:0");
}
END_TEST

START_TEST(flags_come_before_environment_before_tf_config)
{
    load_well(four_flags,
              ENVIRONMENT("PS_HOSTS", "a,b,c", "PS_JOB_NAME", "ps", "PS_TASK_INDEX", "0",
                          "TF_CONFIG", "{ broken, but nobody asks it"),
              "cluster: 2 ps, 3 workers (from flags); I am /job:worker/task:2");
    load_well((struct ps_cluster_flags){ .job_name = "ps", .task_index = "0" },
              ENVIRONMENT("PS_HOSTS", "a,b,c", "TF_CONFIG", tf_config),
              "cluster: 3 ps, 0 workers (from PS_HOSTS); I am /job:ps/task:0");
    load_well((struct ps_cluster_flags){ .job_name = "worker", .task_index = "0" },
              ENVIRONMENT("TF_CONFIG", tf_config),
              "cluster: 2 ps, 2 workers (from TF_CONFIG); I am /job:worker/task:0");
    load_well((struct ps_cluster_flags){ .ps_hosts = "a,b,c" }, ENVIRONMENT("TF_CONFIG", tf_config),
              "cluster: 3 ps, 0 workers (from flags); I am /job:ps/task:1");
    load_well((struct ps_cluster_flags){ .task_index = "1" },
              ENVIRONMENT("PS_HOSTS", "a,b", "PS_JOB_NAME", "ps", "PS_TASK_INDEX", "0"),
              "cluster: 2 ps, 0 workers (from PS_HOSTS); I am /job:ps/task:1");
}
END_TEST

START_TEST(empty_texts_say_nothing)
{
    struct ps_cluster_flags flags = four_flags;
    flags.cluster = "";
    load_well(flags, ENVIRONMENT("PS_CLUSTER", "", "TF_CONFIG", ""),
              "cluster: 2 ps, 3 workers (from flags); I am /job:worker/task:2");
}
END_TEST

START_TEST(tf_configs_index_belongs_to_its_type)
{
    load_well((struct ps_cluster_flags){ .job_name = "ps" }, ENVIRONMENT("TF_CONFIG", tf_config),
              "cluster: 2 ps, 2 workers (from TF_CONFIG); I am /job:ps/task:1");
    static const char chief[] = "{\"cluster\":{\"ps\":[\"a\",\"b\"],\"chief\":[\"c\"],"
                                "\"worker\":[\"d\",\"e\"]},\"task\":{\"type\":\"chief\"}}";
    load_well((struct ps_cluster_flags){ .job_name = "worker" }, ENVIRONMENT("TF_CONFIG", chief),
              "cluster: 2 ps, 3 workers (from TF_CONFIG); I am /job:chief/task:0");
    load_badly((struct ps_cluster_flags){ .job_name = "ps" }, ENVIRONMENT("TF_CONFIG", chief),
               PS_INVALID_ARGUMENT,
               "role not given: job 'ps' has 2 tasks and this could be any of them. Set "
               "--task_index");
}
END_TEST

START_TEST(a_job_of_one_task_needs_no_index)
{
    load_well((struct ps_cluster_flags){ .ps_hosts = "a", .job_name = "ps" }, nothing,
              "cluster: 1 ps, 0 workers (from flags); I am /job:ps/task:0");
}
END_TEST

START_TEST(sparse_descriptions)
{
    /* A worker sees every ps and itself; a ps sees only itself, as a list of one. */
    load_well((struct ps_cluster_flags){ 0 },
              ENVIRONMENT("TF_CONFIG",
                          "{\"sparseCluster\":{\"ps\":[\"a\",\"b\"],\"worker\":{\"3\":\"c\"}},"
                          "\"task\":{\"type\":\"worker\",\"index\":3}}"),
              "cluster: 2 ps, 1 worker (from TF_CONFIG); I am /job:worker/task:3");
    load_well((struct ps_cluster_flags){ 0 },
              ENVIRONMENT("TF_CONFIG", "{\"sparseCluster\":{\"worker\":null,\"ps\":[\"b\"]},"
                                       "\"task\":{\"type\":\"ps\",\"index\":1}}"),
              "cluster: 1 ps, 0 workers (from TF_CONFIG); I am /job:ps/task:1");
    check_address("ps", 1, "b:2222");
}
END_TEST

static int warnings;

static void count_warnings(void *ctx, enum ps_log_level level, const char *line)
{
    (void)ctx;
    if (level == PS_LOG_WARN && strstr(line, "evaluators are left out") != NULL) { warnings++; }
    if (level == PS_LOG_DEBUG && strstr(line, "'environment' is not used") != NULL) { warnings++; }
}

START_TEST(evaluators_are_never_in_the_cluster)
{
    struct ps_log_options options = { .level = PS_LOG_DEBUG, .sink = count_warnings };
    ps_log_configure(&options);
    load_well((struct ps_cluster_flags){ 0 },
              ENVIRONMENT("TF_CONFIG", "{\"cluster\":{\"ps\":[\"a\"],\"evaluator\":[\"b\"]},"
                                       "\"environment\":\"cloud\","
                                       "\"task\":{\"type\":\"evaluator\",\"index\":0}}"),
              "cluster: 1 ps, 0 workers (from TF_CONFIG); I am /job:evaluator/task:0");
    ck_assert_int_eq(warnings, 2);
    load_well((struct ps_cluster_flags){ 0 },
              ENVIRONMENT("TF_CONFIG", "{\"task\":{\"type\":\"evaluator\",\"index\":0}}"),
              "cluster: 0 ps, 0 workers (from TF_CONFIG); I am /job:evaluator/task:0");
}
END_TEST

START_TEST(a_missing_role_says_what_to_do)
{
    static const char expected[] =
        "role not given. Set --job_name and --task_index, or TF_CONFIG; or run everything on this "
        "machine: paramd launch --ps 2 --workers 2";
    load_badly((struct ps_cluster_flags){ 0 }, nothing, PS_INVALID_ARGUMENT, expected);
    ck_assert_str_eq(err.message, expected);
    load_badly((struct ps_cluster_flags){ .ps_hosts = "a" }, nothing, PS_INVALID_ARGUMENT,
               expected);
    load_badly((struct ps_cluster_flags){ 0 },
               ENVIRONMENT("TF_CONFIG", "{\"cluster\":{\"ps\":[\"a\"]},\"task\":{}}"),
               PS_INVALID_ARGUMENT, expected);
    load_badly((struct ps_cluster_flags){ .job_name = "ps", .task_index = "0" }, nothing,
               PS_INVALID_ARGUMENT, "cluster not given. Set --ps_hosts and --worker_hosts");
}
END_TEST

START_TEST(tools_need_no_role)
{
    struct ps_cluster_inputs inputs = { .flags = { .ps_hosts = "a,b" }, .role_optional = true };
    char text[PS_CLUSTER_TEXT_BYTES];
    ck_assert_int_eq(ps_cluster_config_load(&inputs, &cluster, &err), PS_OK);
    ck_assert_str_eq(ps_cluster_describe(&cluster, text), "cluster: 2 ps, 0 workers (from flags)");
    ps_cluster_clean(&cluster);
    inputs.flags.ps_hosts = NULL;
    ck_assert_int_eq(ps_cluster_config_load(&inputs, &cluster, &err), PS_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.message, "cluster not given"));
}
END_TEST

#define FLAGS(...)  \
    {               \
        __VA_ARGS__ \
    }
static const struct {
    struct ps_cluster_flags flags;
    enum ps_code code;
    const char *message;
} bad_flags[] = {
    { FLAGS(.ps_hosts = "a,,b", .job_name = "ps", .task_index = "0"), PS_INVALID_ARGUMENT,
      "--ps_hosts: /job:ps/task:1: address '' has no host" },
    { FLAGS(.ps_hosts = "a,", .job_name = "ps", .task_index = "0"), PS_INVALID_ARGUMENT,
      "--ps_hosts: /job:ps/task:1: address '' has no host" },
    { FLAGS(.ps_hosts = "a", .worker_hosts = "b,a:2222", .job_name = "ps"), PS_INVALID_ARGUMENT,
      "--worker_hosts: /job:ps/task:0 and /job:worker/task:1 have the same address a:2222" },
    { FLAGS(.ps_hosts = "a", .job_name = "pss", .task_index = "0"), PS_NOT_FOUND,
      "No such job in cluster: 'pss'; its jobs: ps" },
    { FLAGS(.ps_hosts = "a", .job_name = "ps", .task_index = "3"), PS_NOT_FOUND,
      "No task with index 3 in job 'ps'" },
    { FLAGS(.ps_hosts = "a", .job_name = "p-s", .task_index = "0"), PS_INVALID_ARGUMENT,
      "--job_name 'p-s' is no job name" },
    { FLAGS(.ps_hosts = "a", .job_name = "ps", .task_index = "x"), PS_INVALID_ARGUMENT,
      "--task_index 'x' is no task index" },
    { FLAGS(.ps_hosts = "a", .job_name = "ps", .task_index = "-1"), PS_INVALID_ARGUMENT,
      "--task_index '-1' is no task index" },
    { FLAGS(.ps_hosts = "a", .job_name = "ps", .task_index = "99999999999"), PS_INVALID_ARGUMENT,
      "expected a number from 0 to 65535" },
    { FLAGS(.ps_hosts = "a", .cluster = "{}", .job_name = "ps"), PS_INVALID_ARGUMENT,
      "give --cluster, or --ps_hosts and --worker_hosts, but not both" },
    { FLAGS(.worker_hosts = "a", .job_name = "worker"), PS_INVALID_ARGUMENT,
      "the cluster (from flags) has no ps task" },
    { FLAGS(.cluster = "/nowhere/cluster.json", .job_name = "ps"), PS_NOT_FOUND,
      "--cluster: cannot open the description of the cluster '/nowhere/cluster.json': No such" },
    { FLAGS(.cluster = "/", .job_name = "ps"), PS_FAILED_PRECONDITION,
      "--cluster: cannot read the description of the cluster '/'" },
    { FLAGS(.cluster = "{}", .job_name = "ps", .task_index = "0"), PS_INVALID_ARGUMENT,
      "cluster not given" },
};
enum { BAD_FLAG_COUNT = sizeof bad_flags / sizeof bad_flags[0] };

START_TEST(bad_flags_are_explained)
{
    load_badly(bad_flags[_i].flags, nothing, bad_flags[_i].code, bad_flags[_i].message);
}
END_TEST

START_TEST(a_host_longer_than_any_is_refused)
{
    char hosts[600];
    memset(hosts, 'h', sizeof hosts);
    hosts[sizeof hosts - 1] = '\0';
    load_badly((struct ps_cluster_flags){ .ps_hosts = hosts, .job_name = "ps" }, nothing,
               PS_INVALID_ARGUMENT, "--ps_hosts: the address of task 0 has 599 bytes");
}
END_TEST

/* A description in JSON and what the message must contain. */
static const char *const bad_specs[][2] = {
    { "{\"ps\":[\"a\"],\n  \"worker\" [\"b\"]}", "--cluster: line 2, column" },
    { "{\"ps\":[\"a\"]", "--cluster: line 1, column" },
    { "{\"ps\":[\"a\"],\"ps\":[\"b\"]}", "duplicate object key" },
    { "{\"ps\":[\"a\"]} x", "line 1" },
    { "{\"ps\":\"a\"}", "--cluster: 'ps' must be a list of \"host:port\" or an object" },
    { "{\"ps\":7}", "not a number" },
    { "{\"ps\":true}", "not a boolean" },
    { "{\"ps\":[7]}", "'ps' must be made of \"host:port\" strings, not a number" },
    { "{\"ps\":[null]}", "not null" },
    { "{\"ps\":[[\"a\"]]}", "not a list" },
    { "{\"ps\":{\"0\":{}}}", "not an object" },
    { "{\"ps\":{\"x\":\"a\"}}", "'ps' has the key 'x'; expected a task index from 0 to 65535" },
    { "{\"ps\":{\"-1\":\"a\"}}", "has the key '-1'" },
    { "{\"ps\":{\"\":\"a\"}}", "has the key ''" },
    { "{\"ps\":{\"0\":\"a\",\"00\":\"b\"}}", "/job:ps/task:0 is given twice" },
    { "{\"ps\":[\"a\",\"a\"]}",
      "--cluster: /job:ps/task:0 and /job:ps/task:1 have the same address a:2222" },
    { "{\"ps\":[\"a:x\"]}", "--cluster: /job:ps/task:0: address 'a:x' has a bad port" },
    { "{\"p s\":[\"a\"]}", "'p s' is no job name" },
    { "{\"ps\":{\"0\":\"a\",\"2\":\"b\"},\"worker\":[\"c\"]}",
      "has no /job:ps/task:1 but has task 2; ps tasks are numbered from 0 without gaps" },
};
enum { BAD_SPEC_COUNT = sizeof bad_specs / sizeof bad_specs[0] };

START_TEST(bad_json_is_explained)
{
    struct ps_cluster_flags flags = { .cluster = bad_specs[_i][0],
                                      .job_name = "worker",
                                      .task_index = "0" };
    load_badly(flags, nothing, PS_INVALID_ARGUMENT, bad_specs[_i][1]);
}
END_TEST

static const char *const bad_tf_configs[][2] = {
    { "[]", "TF_CONFIG: expected an object {...}, not a list" },
    { "{", "TF_CONFIG: line 1, column" },
    { "text", "TF_CONFIG: line 1, column" },
    { "{\"cluster\":[]}", "TF_CONFIG: 'cluster' must be an object of jobs, not a list" },
    { "{\"sparseCluster\":7}", "TF_CONFIG: 'sparseCluster' must be an object" },
    { "{\"cluster\":{\"ps\":7}}", "TF_CONFIG: 'cluster.ps' must be a list" },
    { "{\"task\":7}", "TF_CONFIG: 'task' must be an object, not a number" },
    { "{\"task\":{\"type\":7}}", "TF_CONFIG: 'task.type' must be a string" },
    { "{\"task\":{\"type\":\"p s\"}}", "TF_CONFIG: task.type 'p s' is no job name" },
    { "{\"task\":{\"type\":\"ps\",\"index\":-1}}", "'task.index' must be a task index" },
    { "{\"task\":{\"type\":\"ps\",\"index\":\"x\"}}", "'task.index' must be a task index" },
    { "{\"task\":{\"type\":\"ps\",\"index\":1.5}}", "'task.index' must be a task index" },
    { "{\"task\":{\"type\":\"ps\",\"index\":true}}", "'task.index' must be a task index" },
    { "{\"task\":{\"type\":\"ps\",\"index\":99999999999999}}", "from 0 to 65535" },
    { "{\"cluster\":{},\"task\":{\"type\":\"ps\",\"index\":0}}", "cluster not given" },
};
enum { BAD_TF_CONFIG_COUNT = sizeof bad_tf_configs / sizeof bad_tf_configs[0] };

START_TEST(bad_tf_configs_are_explained)
{
    load_badly((struct ps_cluster_flags){ 0 }, ENVIRONMENT("TF_CONFIG", bad_tf_configs[_i][0]),
               PS_INVALID_ARGUMENT, bad_tf_configs[_i][1]);
}
END_TEST

/* Writes text to a file of its own and loads it. */
static void write_file(char path[32], const char *text, size_t size)
{
    strcpy(path, "/tmp/paramd-cluster-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, size), (ssize_t)size);
    close(fd);
}

START_TEST(a_file_describes_the_cluster)
{
    static const char text[] = "{\n  \"ps\": [\"a\", \"b\"],\n  \"worker\": [\"c\"]\n}\n";
    char path[32], expected[128];
    write_file(path, text, strlen(text));
    snprintf(expected, sizeof expected,
             "cluster: 2 ps, 1 worker (from file %s); I am /job:ps/task:1", path);
    load_well((struct ps_cluster_flags){ .cluster = path, .job_name = "ps", .task_index = "1" },
              nothing, expected);
    unlink(path);
}
END_TEST

START_TEST(bad_files_are_explained)
{
    struct ps_cluster_flags flags = { .job_name = "ps", .task_index = "0" };
    char path[32], expected[96];
    flags.cluster = path;
    write_file(path, "{\n\"ps\": oops}", 13);
    snprintf(expected, sizeof expected, "file %s: line 2, column", path);
    load_badly(flags, nothing, PS_INVALID_ARGUMENT, expected);
    unlink(path);
    write_file(path, "{\"ps\":\0}", 8);
    load_badly(flags, nothing, PS_INVALID_ARGUMENT, "it has a zero byte");
    unlink(path);
    write_file(path, "", 0);
    load_badly(flags, nothing, PS_INVALID_ARGUMENT, "line 1, column 0");
    unlink(path);
}
END_TEST

START_TEST(texts_beyond_the_limit_are_refused)
{
    size_t size = PS_CLUSTER_JSON_BYTES + 1;
    char path[32];
    char *text = malloc(size + 1);
    memset(text, ' ', size);
    text[0] = '{';
    text[size] = '\0';
    struct ps_cluster_flags flags = { .cluster = text, .job_name = "ps" };
    load_badly(flags, nothing, PS_INVALID_ARGUMENT, "1048577 bytes are too many");
    write_file(path, text, size);
    flags.cluster = path;
    load_badly(flags, nothing, PS_INVALID_ARGUMENT, "more than 1048576 bytes are too many");
    unlink(path);
    free(text);
}
END_TEST

/* Loads with each allocation failing in turn, until none does. */
static void load_with_faults(struct ps_cluster_flags flags, const char **environment,
                             bool jansson_too)
{
    enum ps_code rc = PS_RESOURCE_EXHAUSTED;
    int fault = 0;
    while (rc != PS_OK) {
        fault++;
        ps_alloc_fail_at(fault);
        rc = load(flags, environment);
        long made = ps_alloc_fail_at(0);
        /* Within a text jansson takes lack of memory for a mistake in it. */
        bool expected = rc == PS_RESOURCE_EXHAUSTED ||
                        (jansson_too && rc == PS_INVALID_ARGUMENT && err.message[0] != '\0');
        ck_assert_msg(rc == PS_OK || expected, "fault %d: %s", fault, err.message);
        if (rc != PS_OK) { ck_assert_ptr_null(cluster.jobs); }
        if (rc == PS_OK) { ck_assert_int_lt(made, fault); } /* no failure went unnoticed */
    }
    ck_assert_int_gt(fault, 5);
    ck_assert_int_eq(ps_cluster_task_count(&cluster, "ps"), 2);
}

START_TEST(loading_survives_lack_of_memory)
{
    static const char text[] = "{\"ps\":[\"a\",\"b\"],\"worker\":{\"3\":\"c\",\"5\":\"d\"}}";
    char path[32];
    bool jansson_too = _i == 1;
    if (jansson_too) { json_set_alloc_funcs(ps_alloc, ps_free); }
    write_file(path, text, strlen(text));
    load_with_faults(four_flags, nothing, false);
    load_with_faults(
        (struct ps_cluster_flags){ .cluster = path, .job_name = "ps", .task_index = "0" }, nothing,
        jansson_too);
    load_with_faults((struct ps_cluster_flags){ 0 }, ENVIRONMENT("TF_CONFIG", tf_config),
                     jansson_too);
    unlink(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cluster_config");
    TCase *cases = tcase_create("cluster_config");
    tcase_add_checked_fixture(cases, NULL, tear_down);
    tcase_add_test(cases, the_four_flags_of_tensorflow);
    tcase_add_test(cases, the_same_by_environment);
    tcase_add_test(cases, the_same_by_tf_config);
    tcase_add_test(cases, flags_come_before_environment_before_tf_config);
    tcase_add_test(cases, empty_texts_say_nothing);
    tcase_add_test(cases, tf_configs_index_belongs_to_its_type);
    tcase_add_test(cases, a_job_of_one_task_needs_no_index);
    tcase_add_test(cases, sparse_descriptions);
    tcase_add_test(cases, evaluators_are_never_in_the_cluster);
    tcase_add_test(cases, a_missing_role_says_what_to_do);
    tcase_add_test(cases, tools_need_no_role);
    tcase_add_loop_test(cases, bad_flags_are_explained, 0, BAD_FLAG_COUNT);
    tcase_add_test(cases, a_host_longer_than_any_is_refused);
    tcase_add_loop_test(cases, bad_json_is_explained, 0, BAD_SPEC_COUNT);
    tcase_add_loop_test(cases, bad_tf_configs_are_explained, 0, BAD_TF_CONFIG_COUNT);
    tcase_add_test(cases, a_file_describes_the_cluster);
    tcase_add_test(cases, bad_files_are_explained);
    tcase_add_test(cases, texts_beyond_the_limit_are_refused);
    tcase_add_loop_test(cases, loading_survives_lack_of_memory, 0, 2);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
