/* Task output on its way to logs and terminal: lines, prefixes, the last lines kept. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deploy/relay.h"

static char log_path[64];
static struct ps_terminal terminal;
static struct ps_relay relay;
static FILE *out, *err;

static void setup(void)
{
    snprintf(log_path, sizeof log_path, "/tmp/paramd-test-relay-XXXXXX");
    int file = mkstemp(log_path);
    ck_assert_int_ge(file, 0);
    close(file);
    out = tmpfile();
    err = tmpfile();
    ps_terminal_init(&terminal, out, err, 8);
    ck_assert_int_eq(ps_relay_init(&relay, &terminal, "worker/0", 0, log_path, NULL), PS_OK);
}

static void teardown(void)
{
    ps_relay_clean(&relay);
    fclose(out);
    fclose(err);
    unlink(log_path);
}

static const char *content(FILE *file)
{
    static char text[65536];
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    return text;
}

static void feed(int stream, const char *text)
{
    ps_relay_feed(&relay, stream, text, strlen(text));
}

START_TEST(lines_are_whole_and_prefixed)
{
    feed(0, "hel");
    feed(0, "lo\nwor");
    feed(1, "trouble\r\n");
    feed(0, "ld");
    ps_relay_flush(&relay);
    ck_assert_str_eq(content(out), "worker/0 | hello\nworker/0 | world\n");
    ck_assert_str_eq(content(err), "worker/0 | trouble\n");
}
END_TEST

START_TEST(the_log_has_it_as_it_came)
{
    char text[64] = "";
    feed(0, "a\n");
    feed(1, "b");
    FILE *file = fopen(log_path, "r");
    ck_assert_ptr_nonnull(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    ck_assert_str_eq(text, "a\nb");
}
END_TEST

START_TEST(the_last_lines_are_kept)
{
    char line[32], expected[1024] = "";
    for (int i = 0; i < 50; i++) {
        snprintf(line, sizeof line, "line %d\n", i);
        feed(0, line);
        if (i < 50 - PS_RELAY_TAIL_LINES) { continue; }
        strcat(expected, "worker/0 | ");
        strcat(expected, line);
    }
    ps_relay_show_tail(&relay);
    ck_assert_str_eq(content(err), expected);
}
END_TEST

START_TEST(an_endless_line_is_cut_not_lost)
{
    char *text = malloc(3 * PS_RELAY_LINE_BYTES + 1);
    ck_assert_ptr_nonnull(text);
    memset(text, 'x', 3 * PS_RELAY_LINE_BYTES);
    text[3 * PS_RELAY_LINE_BYTES] = '\0';
    feed(0, text);
    feed(0, "\n");
    size_t count = 0;
    for (const char *at = content(out); *at != '\0'; at++) { count += *at == 'x'; }
    ck_assert_uint_eq(count, 3 * PS_RELAY_LINE_BYTES);
    free(text);
}
END_TEST

START_TEST(progress_is_a_plain_line_where_there_is_no_terminal)
{
    relay.progress = true;
    feed(1, "step 1/10\nstep 2/10\n");
    ck_assert_str_eq(content(err), "worker/0 | step 1/10\nworker/0 | step 2/10\n");
}
END_TEST

START_TEST(progress_is_replaced_in_place_on_a_terminal)
{
    relay.progress = true;
    terminal.is_tty = true;
    feed(1, "step 1/10\nstep 2/10\n");
    feed(0, "news\n");
    ps_terminal_end(&terminal);
    ck_assert_str_eq(content(err), "worker/0 | step 1/10\r\033[Kworker/0 | step 2/10"
                                   "\r\033[Kworker/0 | step 2/10\n");
    ck_assert_str_eq(content(out), "worker/0 | news\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("relay");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, lines_are_whole_and_prefixed);
    tcase_add_test(tests, the_log_has_it_as_it_came);
    tcase_add_test(tests, the_last_lines_are_kept);
    tcase_add_test(tests, an_endless_line_is_cut_not_lost);
    tcase_add_test(tests, progress_is_a_plain_line_where_there_is_no_terminal);
    tcase_add_test(tests, progress_is_replaced_in_place_on_a_terminal);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
