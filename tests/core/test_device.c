/* Tests of device names: the grammar, bad texts, merge and match. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/device.h"

static struct ps_device parse(const char *text)
{
    struct ps_device device;
    struct ps_error err = PS_ERROR_INIT;
    enum ps_code rc = ps_device_parse(text, &device, &err);
    ck_assert_msg(rc == PS_OK, "%s: %s", text, err.message);
    return device;
}

/* A text and its canonical form. */
static const char *const names[][2] = {
    { "", "" },
    { "/", "" },
    { "//", "" },
    { "/job:ps", "/job:ps" },
    { "/job:ps/", "/job:ps" },
    { "/task:7", "/task:7" },
    { "/cpu:0", "/device:CPU:0" },
    { "/CPU:1", "/device:CPU:1" },
    { "/gpu:3", "/device:GPU:3" },
    { "/cpu", "/device:CPU:*" },
    { "/cpu:*", "/device:CPU:*" },
    { "/device:CPU:0", "/device:CPU:0" },
    { "/device:cpu", "/device:CPU:*" },
    { "/device:CPU:*", "/device:CPU:*" },
    { "/device:*:2", "/device:*:2" },
    { "/device:*", "" },
    { "/job:ps/replica:0/task:7/cpu:0", "/job:ps/replica:0/task:7/device:CPU:0" },
    { "/cpu:0/task:7/replica:0/job:ps", "/job:ps/replica:0/task:7/device:CPU:0" },
    { "/job:*/replica:*/task:*", "" },
    { "/job:ps/job:worker", "/job:worker" },
    { "/task:1/task:*", "" },
    { "/cpu:0/gpu", "/device:GPU:*" },
    { "/device:XLA_CPU:0", "/device:XLA_CPU:0" },
    { "/job:a_1B/task:0", "/job:a_1B/task:0" },
    { "/task:2147483647", "/task:2147483647" },
};
enum { NAME_COUNT = sizeof names / sizeof names[0] };

START_TEST(names_have_a_canonical_form)
{
    char text[PS_DEVICE_TEXT_BYTES], again[PS_DEVICE_TEXT_BYTES];
    struct ps_device device = parse(names[_i][0]);
    ck_assert_str_eq(ps_device_format(&device, text), names[_i][1]);
    device = parse(text);
    ck_assert_str_eq(ps_device_format(&device, again), text);
}
END_TEST

START_TEST(fields_are_filled)
{
    struct ps_device device = parse("/job:ps/task:7/cpu:1");
    ck_assert(device.has_job && device.has_task && device.has_type && device.has_id);
    ck_assert(!device.has_replica);
    ck_assert_str_eq(device.job, "ps");
    ck_assert_int_eq(device.task, 7);
    ck_assert_str_eq(device.type, "CPU");
    ck_assert_int_eq(device.id, 1);
}
END_TEST

/* A bad text and what its message must contain. */
static const char *const bad_names[][2] = {
    { "/x:1", "Unknown attribute: 'x:1' in '/x:1'" },
    { "/job:ps/tsk:7", "Unknown attribute: 'tsk:7' in '/job:ps/tsk:7'; expected /job:NAME" },
    { "/job", "Unknown attribute: 'job'" },
    { "/jobs:ps", "Unknown attribute: 'jobs:ps'" },
    { "/cpux:0", "Unknown attribute: 'cpux:0'" },
    { "/TASK:1", "Unknown attribute" },
    { "/job:", "'job:' in '/job:'; expected a job name" },
    { "/job:1ps", "expected a job name" },
    { "/job:p-s", "expected a job name" },
    { "/job:**", "expected a job name" },
    { "/job:aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg",
      "expected a job name" },
    { "/task:", "expected a number" },
    { "/task:x", "Bad attribute: 'task:x' in '/task:x'; expected a number from 0 up, or *" },
    { "/task:-1", "expected a number" },
    { "/task:1x", "expected a number" },
    { "/task:2147483648", "expected a number" },
    { "/task:99999999999999999999", "expected a number" },
    { "/replica: 0", "expected a number" },
    { "/cpu:", "expected TYPE or TYPE:NUMBER" },
    { "/cpu:0:1", "expected TYPE or TYPE:NUMBER" },
    { "/device:", "expected TYPE or TYPE:NUMBER" },
    { "/device:0", "expected TYPE or TYPE:NUMBER" },
    { "/device:CPU:x", "expected TYPE or TYPE:NUMBER" },
    { "/device::0", "expected TYPE or TYPE:NUMBER" },
    { "/device:AVERYLONGDEVICETYPETHATNOBODYHAS:0", "expected TYPE or TYPE:NUMBER" },
    { "job:ps", "'job:ps' does not start with '/'" },
    { " /job:ps", "does not start with '/'" },
};
enum { BAD_NAME_COUNT = sizeof bad_names / sizeof bad_names[0] };

START_TEST(bad_names_are_explained)
{
    struct ps_device device;
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_int_eq(ps_device_parse(bad_names[_i][0], &device, &err), PS_INVALID_ARGUMENT);
    ck_assert_msg(strstr(err.message, bad_names[_i][1]) != NULL, "%s: %s", bad_names[_i][0],
                  err.message);
    ck_assert(!device.has_job && !device.has_task && !device.has_type);
}
END_TEST

START_TEST(the_inner_scope_wins)
{
    static const char *const cases[][3] = {
        { "/job:ps/task:1", "/task:2", "/job:ps/task:2" },
        { "/job:ps", "/cpu:0", "/job:ps/device:CPU:0" },
        { "/job:ps/cpu:0", "/job:worker/replica:0", "/job:worker/replica:0/device:CPU:0" },
        { "/cpu:0", "/device:*:1", "/device:CPU:1" },
        { "/job:ps/task:1", "", "/job:ps/task:1" },
        { "", "/job:ps/task:1", "/job:ps/task:1" },
        { "/job:ps/task:1", "/job:*", "/job:ps/task:1" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[PS_DEVICE_TEXT_BYTES];
        struct ps_device outer = parse(cases[i][0]);
        struct ps_device inner = parse(cases[i][1]);
        struct ps_device merged = ps_device_merge(&outer, &inner);
        ck_assert_str_eq(ps_device_format(&merged, text), cases[i][2]);
    }
}
END_TEST

START_TEST(a_pattern_matches_what_it_specifies)
{
    static const char whole[] = "/job:ps/replica:0/task:7/cpu:0";
    static const struct {
        const char *pattern, *device;
        bool matches;
    } cases[] = {
        { "", whole, true },
        { "/job:ps", whole, true },
        { "/job:ps/task:7", whole, true },
        { "/cpu:*", whole, true },
        { "/job:*/task:7", whole, true },
        { "/job:worker", whole, false },
        { "/task:6", whole, false },
        { "/replica:1", whole, false },
        { "/gpu:*", whole, false },
        { "/cpu:1", whole, false },
        { "/task:7", "/job:ps", false }, /* the device does not say */
        { "/task:0", "", false },
        { "", "", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ps_device pattern = parse(cases[i].pattern);
        struct ps_device device = parse(cases[i].device);
        ck_assert_msg(ps_device_matches(&pattern, &device) == cases[i].matches, "%s with %s",
                      cases[i].pattern, cases[i].device);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("device");
    TCase *cases = tcase_create("device");
    tcase_add_loop_test(cases, names_have_a_canonical_form, 0, NAME_COUNT);
    tcase_add_test(cases, fields_are_filled);
    tcase_add_loop_test(cases, bad_names_are_explained, 0, BAD_NAME_COUNT);
    tcase_add_test(cases, the_inner_scope_wins);
    tcase_add_test(cases, a_pattern_matches_what_it_specifies);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
