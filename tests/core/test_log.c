/* Tests of the log: both formats, foreign text, levels, threads, the rate limit. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/log.h"

struct captured {
    char line[5000];
    int count;
    enum ps_log_level level;
};

static void capture(void *ctx, enum ps_log_level level, const char *line)
{
    struct captured *captured = ctx;
    snprintf(captured->line, sizeof captured->line, "%s", line);
    captured->level = level;
    captured->count++;
}

static struct captured last;

static void configure(enum ps_log_level level, enum ps_log_format format, const char *process)
{
    struct ps_log_options options = { .level = level, .format = format };
    snprintf(options.process, sizeof options.process, "%s", process);
    options.sink = capture;
    options.sink_ctx = &last;
    last = (struct captured){ 0 };
    ps_log_configure(&options);
}

/* The line after the time. */
static const char *after_time(void)
{
    ck_assert_uint_gt(strlen(last.line), 13);
    ck_assert_int_eq(last.line[2], ':');
    ck_assert_int_eq(last.line[8], '.');
    return last.line + 13;
}

START_TEST(a_line_for_people)
{
    configure(PS_LOG_INFO, PS_LOG_HUMAN, "/job:ps/task:1");
    ps_log(PS_LOG_INFO, "store", "created '%s' float[%d,%d]", "w", 784, 200);
    ck_assert_str_eq(after_time(), "I /job:ps/task:1 store: created 'w' float[784,200]");
    configure(PS_LOG_INFO, PS_LOG_HUMAN, "");
    ps_log(PS_LOG_WARN, "store", "slow");
    ck_assert_str_eq(after_time(), "W store: slow");
    ck_assert_int_eq(last.level, PS_LOG_WARN);
}
END_TEST

START_TEST(a_line_of_json)
{
    configure(PS_LOG_INFO, PS_LOG_JSON, "/job:ps/task:1");
    ps_log(PS_LOG_ERROR, "store", "a \"quoted\" \\ word\n\tand \x01 \xe2\x82\xac \xff \xc0\xaf .");
    ck_assert_int_eq(strncmp(last.line, "{\"ts\":\"2", 8), 0);
    ck_assert_ptr_nonnull(strstr(
        last.line, "Z\",\"level\":\"error\",\"process\":\"/job:ps/task:1\",\"subject\":\"store\","
                   "\"message\":\"a \\\"quoted\\\" \\\\ word\\n\\tand \\u0001 \xe2\x82\xac "
                   "\\ufffd \\ufffd\\ufffd .\"}"));
}
END_TEST

START_TEST(a_peer_cannot_forge_a_line)
{
    configure(PS_LOG_INFO, PS_LOG_HUMAN, "");
    ps_log(PS_LOG_INFO, "store", "%s", "x\n12:00:00.000 E store: forged\x1b[31m\x7f\xed\xa0\x80");
    ck_assert_str_eq(after_time(), "I store: x\\n12:00:00.000 E store: "
                                   "forged\\x1b[31m\\x7f\\xed\\xa0\\x80");
}
END_TEST

START_TEST(long_lines_are_cut_and_json_stays_closed)
{
    char text[4000];
    memset(text, '\x02', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    configure(PS_LOG_INFO, PS_LOG_JSON, "p");
    ps_log(PS_LOG_INFO, "store", "%s", text);
    size_t size = strlen(last.line);
    ck_assert_uint_gt(size, 4000);
    ck_assert_uint_lt(size, 4096);
    ck_assert_str_eq(last.line + size - 8, "\\u0002\"}");
}
END_TEST

START_TEST(levels_hold_back)
{
    configure(PS_LOG_WARN, PS_LOG_HUMAN, "");
    ps_log(PS_LOG_INFO, "store", "no");
    ps_log(PS_LOG_DEBUG, "store", "no");
    ck_assert_int_eq(last.count, 0);
    ps_log(PS_LOG_WARN, "store", "yes");
    ps_log(PS_LOG_ERROR, "store", "yes");
    ck_assert_int_eq(last.count, 2);
    ck_assert(ps_log_enabled(PS_LOG_WARN) && !ps_log_enabled(PS_LOG_INFO));
}
END_TEST

START_TEST(logging_takes_no_memory)
{
    configure(PS_LOG_INFO, PS_LOG_JSON, "p");
    ps_alloc_fail_at(0);
    ps_log(PS_LOG_INFO, "store", "%s", "x");
    ck_assert_int_eq(ps_alloc_fail_at(0), 0);
}
END_TEST

START_TEST(names_of_levels_and_formats)
{
    static const char *const names[] = { "error", "warn", "info", "debug" };
    enum ps_log_level level;
    enum ps_log_format format;
    struct ps_error err = PS_ERROR_INIT;
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(ps_log_level_parse(names[i], &level, NULL), PS_OK);
        ck_assert_int_eq(level, i);
    }
    ck_assert_int_eq(ps_log_level_parse("loud", &level, &err), PS_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, "unknown log level 'loud'; expected error, warn, info or debug");
    ck_assert_int_eq(ps_log_format_parse("json", &format, NULL), PS_OK);
    ck_assert_int_eq(format, PS_LOG_JSON);
    ck_assert_int_eq(ps_log_format_parse("human", &format, NULL), PS_OK);
    ck_assert_int_eq(format, PS_LOG_HUMAN);
    ck_assert_int_eq(ps_log_format_parse("xml", &format, &err), PS_INVALID_ARGUMENT);
}
END_TEST

enum { THREADS = 4, LINES_EACH = 200 };

static void *log_many(void *argument)
{
    (void)argument;
    for (int i = 0; i < LINES_EACH; i++) { ps_log(PS_LOG_INFO, "store", "line %d", i); }
    return NULL;
}

START_TEST(threads_share_the_sink)
{
    pthread_t threads[THREADS];
    configure(PS_LOG_INFO, PS_LOG_HUMAN, "");
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, log_many, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) { pthread_join(threads[i], NULL); }
    ck_assert_int_eq(last.count, THREADS * LINES_EACH);
}
END_TEST

START_TEST(the_limit_lets_one_through_in_an_interval)
{
    struct ps_log_limit limit = { 0 };
    ck_assert_int_eq(ps_log_limit_pass(&limit, 1000, 500), 0);
    ck_assert_int_eq(ps_log_limit_pass(&limit, 1001, 500), -1);
    ck_assert_int_eq(ps_log_limit_pass(&limit, 1499, 500), -1);
    ck_assert_int_eq(ps_log_limit_pass(&limit, 1500, 500), 2);
    ck_assert_int_eq(ps_log_limit_pass(&limit, 2100, 500), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *cases = tcase_create("log");
    tcase_add_test(cases, a_line_for_people);
    tcase_add_test(cases, a_line_of_json);
    tcase_add_test(cases, a_peer_cannot_forge_a_line);
    tcase_add_test(cases, long_lines_are_cut_and_json_stays_closed);
    tcase_add_test(cases, levels_hold_back);
    tcase_add_test(cases, logging_takes_no_memory);
    tcase_add_test(cases, names_of_levels_and_formats);
    tcase_add_test(cases, threads_share_the_sink);
    tcase_add_test(cases, the_limit_lets_one_through_in_an_interval);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
