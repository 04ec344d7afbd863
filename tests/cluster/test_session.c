/* Sessions against real ps tasks in one process: variables, initial values, pulls, pushes, ends. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_rig.h"
#include "core/log.h"

enum { BIG_ROWS = 3000, BIG_COLUMNS = 1024 }; /* 12 MiB: many chunks */

static struct cluster_rig rig;

#define expect_ok(session) ck_assert_msg(ps_ok(session), "%s", ps_message(session))

static void expect_floats(ps_var *var, ps_session *session, const float *wanted, size_t count)
{
    float *got = malloc(count * sizeof *got);
    memset(got, 0xee, count * sizeof *got);
    ps_pull(session, &(ps_binding){ var, got, count }, 1);
    expect_ok(session);
    for (size_t i = 0; i < count; i++) {
        if (got[i] == wanted[i]) { continue; } /* three million assertions would take seconds */
        ck_abort_msg("%s[%zu] is %g, not %g", ps_name(var), i, (double)got[i], (double)wanted[i]);
    }
    free(got);
}

START_TEST(worker_reads_its_own_writes)
{
    rig_start(&rig, 2, 1);
    ps_session *s = rig_connect(&rig, 0);
    ps_var *w = ps_variable(s, "w", PS_FLOAT, PS_SHAPE(2, 2), ps_constant(1.0));
    ps_var *b = ps_variable(s, "b", PS_FLOAT, PS_SHAPE(2), ps_zeros());
    ps_initialize(s);
    expect_floats(w, s, (float[]){ 1, 1, 1, 1 }, 4);

    ps_optimizer *sgd = ps_sgd(s, 0.5);
    float gw[4] = { 2, 4, 6, 8 }, gb[2] = { -2, -4 };
    ps_push(sgd, (ps_binding[]){ { w, gw, 4 }, { b, gb, 2 } }, 2);
    expect_floats(w, s, (float[]){ 0, -1, -2, -3 }, 4);
    expect_floats(b, s, (float[]){ 1, 2 }, 2);
    ck_assert_int_eq(ps_step(s), 1);

    ps_assign(b, (float[]){ 7, 8 });
    ps_assign_add(b, (float[]){ 1, 1 });
    ps_assign_sub(w, (float[]){ 1, 1, 1, 1 });
    expect_floats(b, s, (float[]){ 8, 9 }, 2);
    expect_floats(w, s, (float[]){ -1, -2, -3, -4 }, 4);
    ck_assert_int_eq(ps_step(s), 1); /* assigns are no steps */
    ck_assert_int_eq(ps_finish(s), 0);
    rig_expect_complete(&rig);
    rig_stop(&rig);
}
END_TEST

START_TEST(uninitialized_read_fails_as_in_tensorflow)
{
    rig_start(&rig, 1, 1);
    ps_session *s = rig_connect(&rig, 0);
    ps_var *w = ps_variable(s, "layer/w", PS_FLOAT, PS_SHAPE(2), ps_zeros());
    const char *names[2];
    ck_assert_int_eq(ps_is_initialized(w), 0);
    ck_assert_uint_eq(ps_report_uninitialized(s, names, 2), 1);
    ck_assert_str_eq(names[0], "layer/w");
    float value[2];
    ps_pull(s, &(ps_binding){ w, value, 2 }, 1);
    ck_assert_int_eq(ps_status(s), PS_FAILED_PRECONDITION);
    ck_assert_ptr_nonnull(strstr(ps_message(s), "Attempting to use uninitialized value layer/w"));
    ck_assert_int_eq(ps_finish(s), 65);
    rig_stop(&rig);
}
END_TEST

START_TEST(large_variables_are_split_and_travel_in_chunks)
{
    rig_start(&rig, 3, 1);
    ps_session *s = rig_connect(&rig, 0);
    ps_variable_options split = { .partition = PS_SPLIT_FIXED, .partition_a = 3 };
    ps_var *big = ps_variable_with(s, "big", PS_FLOAT, PS_SHAPE(BIG_ROWS, BIG_COLUMNS),
                                   ps_random_normal(0, 1, 7), &split);
    ps_var *whole = ps_variable_with(s, "whole", PS_FLOAT, PS_SHAPE(BIG_ROWS, BIG_COLUMNS),
                                     ps_random_normal(0, 1, 7),
                                     &(ps_variable_options){ .partition = PS_SPLIT_NONE });
    ps_initialize(s);
    expect_ok(s);
    ck_assert_int_eq(ps_slices(big), 3);
    ck_assert_int_eq(ps_slices(whole), 1);

    size_t count = (size_t)BIG_ROWS * BIG_COLUMNS;
    float *a = malloc(count * sizeof *a), *b = malloc(count * sizeof *b);
    ps_pull(s, (ps_binding[]){ { big, a, count }, { whole, b, count } }, 2);
    expect_ok(s);
    ck_assert_int_eq(memcmp(a, b, count * sizeof *a), 0); /* values do not depend on the cut */

    for (size_t i = 0; i < count; i++) { b[i] = (float)(i % 1000); }
    ps_assign(big, b);
    ps_assign_add(big, b);
    for (size_t i = 0; i < count; i++) { b[i] *= 2; }
    expect_floats(big, s, b, count);
    free(a);
    free(b);
    ck_assert_int_eq(ps_finish(s), 0);
    rig_stop(&rig);
}
END_TEST

START_TEST(initial_values_of_every_kind)
{
    rig_start(&rig, 2, 1);
    ps_session *s = rig_connect(&rig, 0);
    float given[3] = { 3, 1, 4 };
    ps_var *t = ps_variable(s, "t", PS_FLOAT, PS_SHAPE(3), ps_tensor_value(given));
    ps_var *t2 = ps_variable(s, "t2", PS_FLOAT, PS_SHAPE(3),
                             ps_scaled(ps_initialized_value(t), 2.0));
    ps_var *n = ps_variable(s, "n", PS_FLOAT, PS_SHAPE(64), ps_random_normal(0, 0.35, 1));
    ps_var *n2 = ps_variable(s, "n2", PS_FLOAT, PS_SHAPE(64),
                             ps_scaled(ps_initialized_value(n), 2.0));
    ps_var *c = ps_variable(s, "c", PS_INT64, PS_SHAPE(4), ps_constants((double[]){ 5, 6 }, 2));
    ps_var *g = ps_variable(s, "g", PS_FLOAT, PS_SHAPE(30, 20), ps_glorot(0));
    ps_var *empty = ps_variable(s, "empty", PS_FLOAT, PS_SHAPE(0, 5), ps_zeros());
    ps_var *scalar = ps_variable(s, "scalar", PS_DOUBLE, PS_SCALAR, ps_constant(2.5));
    given[0] = 100; /* it was copied */
    ps_initialize(s);
    expect_floats(t, s, (float[]){ 3, 1, 4 }, 3);
    expect_floats(t2, s, (float[]){ 6, 2, 8 }, 3);

    float a[64], b[64], glorot[600];
    int64_t constants[4];
    double one;
    ps_pull(s,
            (ps_binding[]){ { n, a, 64 },
                            { n2, b, 64 },
                            { c, constants, 4 },
                            { g, glorot, 600 },
                            { empty, NULL, 0 },
                            { scalar, &one, 1 } },
            6);
    expect_ok(s);
    for (int i = 0; i < 64; i++) { ck_assert(b[i] == 2 * a[i]); }
    ck_assert(constants[0] == 5 && constants[1] == 6 && constants[3] == 6);
    for (int i = 0; i < 600; i++) { ck_assert(fabsf(glorot[i]) <= sqrtf(6.0f / 50)); }
    ck_assert_double_eq(one, 2.5);

    ps_assign(n, b);
    ps_initialize(s); /* keeps what is there */
    expect_floats(n, s, b, 64);
    ps_reinitialize(s, (ps_var *[]){ n, t }, 2);
    expect_floats(n, s, a, 64);
    ck_assert_int_eq(ps_finish(s), 0);
    rig_stop(&rig);
}
END_TEST

START_TEST(equal_definitions_join_and_others_are_refused)
{
    rig_start(&rig, 2, 2);
    ps_session *one = rig_connect(&rig, 0), *two = rig_connect(&rig, 1);
    ps_var *a = ps_variable(one, "w", PS_FLOAT, PS_SHAPE(4), ps_zeros());
    ps_var *b = ps_variable(two, "w", PS_FLOAT, PS_SHAPE(4), ps_zeros());
    ps_initialize(one);
    ps_wait_initialized(two);
    ps_assign(a, (float[]){ 1, 2, 3, 4 });
    ps_wait_all(one);
    ck_assert_str_eq(ps_device(a, 0), ps_device(b, 0));
    ck_assert_ptr_null(ps_variable(two, "w", PS_FLOAT, PS_SHAPE(5), ps_zeros()));
    ck_assert_int_eq(ps_status(two), PS_ALREADY_EXISTS);
    ck_assert_ptr_nonnull(strstr(ps_message(two), "float[4]"));
    ck_assert_ptr_nonnull(strstr(ps_message(two), "float[5]"));
    ck_assert_ptr_nonnull(strstr(ps_message(two), "Same program on all workers?"));
    ck_assert_int_eq(ps_finish(two), 65);
    ck_assert_int_eq(ps_finish(one), 0);
    rig_expect_complete(&rig);
    rig_stop(&rig);
}
END_TEST

START_TEST(device_scopes_pin_and_balance)
{
    rig_start(&rig, 3, 1);
    ps_session *s = rig_connect(&rig, 0);
    ps_var *pinned = NULL, *big = NULL, *small = NULL, *third = NULL;
    PS_DEVICE (s, "/job:ps") {
        big = ps_variable(s, "big", PS_FLOAT, PS_SHAPE(1000), ps_zeros());
        PS_DEVICE (s, "/task:2") {
            pinned = ps_variable(s, "p", PS_FLOAT, PS_SHAPE(10), ps_zeros());
        }
        small = ps_variable(s, "small", PS_FLOAT, PS_SHAPE(5), ps_zeros());
        third = ps_variable(s, "third", PS_FLOAT, PS_SHAPE(1), ps_zeros());
    }
    ck_assert_str_eq(ps_device(pinned, 0), "/job:ps/replica:0/task:2/cpu:0");
    ck_assert_str_eq(ps_device(big, 0), "/job:ps/replica:0/task:0/cpu:0");
    ck_assert_str_eq(ps_device(small, 0), "/job:ps/replica:0/task:1/cpu:0");
    ck_assert_str_eq(ps_device(third, 0), "/job:ps/replica:0/task:1/cpu:0");
    ps_initialize(s);
    /* An op that changes a variable runs where it lives, whatever scope is open. */
    PS_DEVICE (s, "/job:ps/task:0") { ps_assign(pinned, (float[10]){ 1 }); }
    expect_ok(s);
    PS_DEVICE (s, "/job:ps/task:7") {
        ck_assert_ptr_null(ps_variable(s, "x", PS_FLOAT, PS_SHAPE(1), ps_zeros()));
    }
    ck_assert_ptr_nonnull(strstr(ps_message(s), "/job:ps/task:7 is not in the cluster"));
    ck_assert_int_eq(ps_finish(s), 65);
    rig_stop(&rig);
}
END_TEST

START_TEST(optimizers_keep_slots_on_the_ps)
{
    rig_start(&rig, 2, 1);
    ps_session *s = rig_connect(&rig, 0);
    ps_var *w = ps_variable(s, "w", PS_DOUBLE, PS_SHAPE(1), ps_constant(1.0));
    ps_var *v = ps_variable(s, "v", PS_DOUBLE, PS_SHAPE(1), ps_constant(1.0));
    ps_initialize(s);
    ps_optimizer *momentum = ps_momentum(s, 0.1, 0.9);
    ps_optimizer *adam = ps_adam(s, 0.01, 0.9, 0.999, 1e-8);
    double g = 2.0, value = 1.0, a = 0.0, m = 0.0, q = 0.0, x = 1.0, got[2];
    for (int t = 1; t <= 10; t++) {
        ps_push(momentum, &(ps_binding){ w, &g, 1 }, 1);
        ps_push(adam, &(ps_binding){ v, &g, 1 }, 1);
        a = 0.9 * a + g;
        value -= 0.1 * a;
        m += (g - m) * (1 - 0.9);
        q += (g * g - q) * (1 - 0.999);
        x -= 0.01 * sqrt(1 - pow(0.999, t)) / (1 - pow(0.9, t)) * m / (sqrt(q) + 1e-8);
    }
    ps_pull(s, (ps_binding[]){ { w, &got[0], 1 }, { v, &got[1], 1 } }, 2);
    expect_ok(s);
    ck_assert_double_eq_tol(got[0], value, 1e-12);
    ck_assert_double_eq_tol(got[1], x, 1e-9);
    ck_assert_int_eq(ps_step(s), 20);
    ck_assert_int_eq(ps_finish(s), 0);
    rig_stop(&rig);
}
END_TEST

START_TEST(nonfinite_gradient_is_refused_everywhere)
{
    rig_start(&rig, 2, 2);
    ps_session *s = rig_connect(&rig, 0);
    ps_var *a = ps_variable(s, "a", PS_FLOAT, PS_SHAPE(4), ps_zeros());
    ps_var *b = ps_variable(s, "b", PS_FLOAT, PS_SHAPE(4), ps_zeros());
    ps_initialize(s);
    ck_assert_str_ne(ps_device(a, 0), ps_device(b, 0));
    float good[4] = { 1, 1, 1, 1 }, bad[4] = { 1, NAN, 1, 1 };
    ps_push(ps_sgd(s, 1.0), (ps_binding[]){ { a, good, 4 }, { b, bad, 4 } }, 2);
    ck_assert_int_eq(ps_status(s), PS_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(ps_message(s), "'b'"));
    ck_assert_int_eq(ps_finish(s), 65);

    ps_session *other = rig_connect(&rig, 1);
    ps_var *again = ps_variable(other, "a", PS_FLOAT, PS_SHAPE(4), ps_zeros());
    expect_floats(again, other, (float[]){ 0, 0, 0, 0 }, 4);
    ck_assert_int_eq(ps_step(other), 0);
    ck_assert_int_eq(ps_finish(other), 0);
    rig_stop(&rig);
}
END_TEST

START_TEST(a_returning_worker_goes_on_from_its_position)
{
    rig_start(&rig, 2, 1);
    ps_options options = rig_options(&rig, 0);
    ps_session *first = ps_connect(&options);
    ps_var *w = ps_variable(first, "w", PS_FLOAT, PS_SHAPE(1), ps_zeros());
    ps_initialize(first);
    ps_optimizer *sgd = ps_sgd(first, 1.0);
    float minus = -1;
    for (int i = 1; i <= 5; i++) {
        ps_set_position(first, &i, sizeof i);
        ps_push(sgd, &(ps_binding){ w, &minus, 1 }, 1);
    }
    expect_ok(first);
    /* The old process is still there, but its place is taken. */
    ps_session *second = ps_connect(&options);
    expect_ok(second);
    const void *position;
    ck_assert_uint_eq(ps_position(second, &position), sizeof(int));
    ck_assert_int_eq(*(const int *)position, 5);
    ps_var *w2 = ps_variable(second, "w", PS_FLOAT, PS_SHAPE(1), ps_zeros());
    expect_floats(w2, second, (float[]){ 5 }, 1);
    ps_push(ps_sgd(second, 1.0), &(ps_binding){ w2, &minus, 1 }, 1);
    expect_floats(w2, second, (float[]){ 6 }, 1);
    ps_push(sgd, &(ps_binding){ w, &minus, 1 }, 1);
    ck_assert_int_eq(ps_status(first), PS_ABORTED);
    ck_assert_ptr_nonnull(strstr(ps_message(first), "fenced"));
    ps_finish(first);
    expect_floats(w2, second, (float[]){ 6 }, 1);
    ck_assert_int_eq(ps_finish(second), 0);
    rig_expect_complete(&rig);
    rig_stop(&rig);
}
END_TEST

START_TEST(free_shape_variables_can_be_reshaped)
{
    rig_start(&rig, 2, 1);
    ps_session *s = rig_connect(&rig, 0);
    ps_var *w = ps_variable_with(s, "w", PS_FLOAT, PS_SHAPE(2), ps_zeros(),
                                 &(ps_variable_options){ .free_shape = 1 });
    ps_initialize(s);
    ps_assign_shaped(w, (float[]){ 1, 2, 3, 4, 5, 6 }, PS_SHAPE(2, 3));
    expect_floats(w, s, (float[]){ 1, 2, 3, 4, 5, 6 }, 6);
    ck_assert_int_eq(ps_shape_of(w).rank, 2);
    ps_var *fixed = ps_variable(s, "f", PS_FLOAT, PS_SHAPE(2), ps_zeros());
    ps_assign_shaped(fixed, (float[]){ 1, 2, 3 }, PS_SHAPE(3));
    ck_assert_int_eq(ps_status(s), PS_FAILED_PRECONDITION);
    ps_finish(s);
    rig_stop(&rig);
}
END_TEST

START_TEST(pipelined_pushes_and_pulls)
{
    rig_start(&rig, 2, 1);
    ps_session *s = rig_connect(&rig, 0);
    ps_var *w = ps_variable(s, "w", PS_FLOAT, PS_SHAPE(300000), ps_zeros());
    ps_initialize(s);
    ps_optimizer *sgd = ps_sgd(s, 1.0);
    size_t count = 300000;
    float *g = malloc(count * sizeof *g), *got = malloc(count * sizeof *got);
    for (size_t i = 0; i < count; i++) { g[i] = -(float)(i % 7); }
    for (int i = 0; i < 100; i++) { ps_push_async(sgd, &(ps_binding){ w, g, count }, 1); }
    ps_wait_all(s);
    ps_ticket pull = ps_pull_async(s, &(ps_binding){ w, got, count }, 1);
    ps_wait(s, pull);
    expect_ok(s);
    for (size_t i = 0; i < count; i++) { g[i] *= -100; }
    ck_assert_int_eq(memcmp(got, g, count * sizeof *g), 0);
    free(g);
    free(got);
    ck_assert_int_eq(ps_finish(s), 0);
    rig_stop(&rig);
}
END_TEST

START_TEST(many_small_variables_travel_together)
{
    enum { COUNT = 3000 };
    static ps_binding bindings[COUNT];
    static float values[COUNT][4], gradients[COUNT][4];
    rig_start(&rig, 2, 1);
    ps_session *s = rig_connect(&rig, 0);
    for (int i = 0; i < COUNT; i++) {
        char name[32];
        snprintf(name, sizeof name, "v/%d", i);
        bindings[i].var = ps_variable(s, name, PS_FLOAT, PS_SHAPE(4), ps_constant(i));
        bindings[i].data = gradients[i];
        for (int k = 0; k < 4; k++) { gradients[i][k] = (float)k; }
    }
    ps_initialize(s);
    ps_push(ps_sgd(s, 1.0), bindings, COUNT);
    for (int i = 0; i < COUNT; i++) { bindings[i].data = values[i]; }
    ps_pull(s, bindings, COUNT);
    expect_ok(s);
    for (int i = 0; i < COUNT; i++) {
        for (int k = 0; k < 4; k++) { ck_assert(values[i][k] == (float)(i - k)); }
    }
    ck_assert_int_eq(ps_finish(s), 0);
    rig_stop(&rig);
}
END_TEST

START_TEST(eager_pushes_with_checksums)
{
    rig_start(&rig, 2, 1);
    ps_options options = rig_options(&rig, 0);
    options.eager = options.checksums = 1;
    ps_session *s = ps_connect(&options);
    ps_var *w = ps_variable(s, "w", PS_FLOAT, PS_SHAPE(300000), ps_zeros());
    ps_initialize(s);
    ps_optimizer *sgd = ps_sgd(s, 1.0);
    size_t count = 300000;
    float *g = malloc(count * sizeof *g);
    for (size_t i = 0; i < count; i++) { g[i] = -1; }
    for (int i = 0; i < 20; i++) { ps_push(sgd, &(ps_binding){ w, g, count }, 1); }
    for (size_t i = 0; i < count; i++) { g[i] = 20; }
    expect_floats(w, s, g, count);
    ck_assert_int_eq(ps_step(s), 20);
    free(g);
    ck_assert_int_eq(ps_finish(s), 0);
    rig_stop(&rig);
}
END_TEST

START_TEST(a_push_larger_than_its_credit_says_what_to_do)
{
    rig_start_limited(&rig, 1, 1, 1 << 20);
    ps_session *s = rig_connect(&rig, 0);
    ps_var *w = ps_variable(s, "w", PS_FLOAT, PS_SHAPE(600000), ps_zeros());
    ps_initialize(s);
    float *g = calloc(600000, sizeof *g);
    ps_push(ps_sgd(s, 1.0), &(ps_binding){ w, g, 600000 }, 1);
    ck_assert_int_eq(ps_status(s), PS_RESOURCE_EXHAUSTED);
    ck_assert_ptr_nonnull(strstr(ps_message(s), "--staging_limit"));
    free(g);
    ck_assert_int_eq(ps_finish(s), 203);
    rig_stop(&rig);
}
END_TEST

START_TEST(wrong_arguments_are_errors_not_crashes)
{
    ck_assert_int_eq(ps_ok(NULL), 0);
    ck_assert_ptr_null(ps_variable(NULL, "w", PS_FLOAT, PS_SHAPE(1), ps_zeros()));
    ps_pull(NULL, NULL, 0);
    ps_push(NULL, NULL, 0);
    ps_assign(NULL, NULL);
    ck_assert_int_ne(ps_finish(NULL), 0);

    rig_start(&rig, 1, 1);
    ps_session *s = rig_connect(&rig, 0);
    ps_var *w = ps_variable(s, "w", PS_FLOAT, PS_SHAPE(2), ps_zeros());
    ps_initialize(s);
    float value[3];
    ps_pull(s, &(ps_binding){ w, value, 3 }, 1);
    ck_assert_int_eq(ps_status(s), PS_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(ps_message(s), "2 elements"));
    ps_finish(s);
    rig_stop(&rig);
}
END_TEST

int main(void)
{
    ps_log_configure(&(struct ps_log_options){ .level = PS_LOG_ERROR });
    Suite *suite = suite_create("session");
    TCase *tests = tcase_create("session");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, worker_reads_its_own_writes);
    tcase_add_test(tests, uninitialized_read_fails_as_in_tensorflow);
    tcase_add_test(tests, large_variables_are_split_and_travel_in_chunks);
    tcase_add_test(tests, initial_values_of_every_kind);
    tcase_add_test(tests, equal_definitions_join_and_others_are_refused);
    tcase_add_test(tests, device_scopes_pin_and_balance);
    tcase_add_test(tests, optimizers_keep_slots_on_the_ps);
    tcase_add_test(tests, nonfinite_gradient_is_refused_everywhere);
    tcase_add_test(tests, a_returning_worker_goes_on_from_its_position);
    tcase_add_test(tests, free_shape_variables_can_be_reshaped);
    tcase_add_test(tests, pipelined_pushes_and_pulls);
    tcase_add_test(tests, many_small_variables_travel_together);
    tcase_add_test(tests, eager_pushes_with_checksums);
    tcase_add_test(tests, a_push_larger_than_its_credit_says_what_to_do);
    tcase_add_test(tests, wrong_arguments_are_errors_not_crashes);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
