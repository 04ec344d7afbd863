/* Updates before they are applied: what is refused and how it is said. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/update.h"
#include "tests/server/update_fixture.h"

static void check_refused(struct ps_variable *variable, const struct ps_update *update,
                          struct ps_piece piece, enum ps_code code, const char *text)
{
    enum ps_code rc = ps_update_check(update, variable, &piece, &err);
    ck_assert_msg(rc == code && strstr(err.message, text) != NULL, "%d '%s', expected '%s'", rc,
                  err.message, text);
}

START_TEST(updates_that_do_not_fit_are_refused)
{
    struct ps_variable *variable = create(PS_FLOAT, 10, 10, true);
    const struct ps_piece all = { 0, 0, 400 };
    struct ps_update update = make(PS_UPDATE_ADAM);
    ck_assert_int_eq(ps_update_check(&update, variable, &all, &err), PS_OK);
    update.parameter_count = 2;
    check_refused(variable, &update, all, PS_INVALID_ARGUMENT, "Adam takes 3 parameters, not 2");
    update = make(PS_UPDATE_ADAM);
    update.parameters[0] = 1.0;
    check_refused(variable, &update, all, PS_INVALID_ARGUMENT, "beta1 is 1,");
    update.parameters[0] = 0.99999999999; /* 1 in float */
    check_refused(variable, &update, all, PS_INVALID_ARGUMENT, "beta1");
    update = make(PS_UPDATE_ADAM);
    update.parameters[2] = -1;
    check_refused(variable, &update, all, PS_INVALID_ARGUMENT, "epsilon");
    update.parameters[2] = NAN;
    check_refused(variable, &update, all, PS_INVALID_ARGUMENT, "parameter 2");
    update = make(PS_UPDATE_ADAM);
    update.name = "";
    check_refused(variable, &update, all, PS_INVALID_ARGUMENT, "needs a name");
    update = make(PS_UPDATE_MOMENTUM);
    update.parameters[1] = 0.5;
    check_refused(variable, &update, all, PS_INVALID_ARGUMENT, "use_nesterov is 0.5");
    update = make(PS_UPDATE_SGD);
    update.learning_rate = INFINITY;
    check_refused(variable, &update, all, PS_INVALID_ARGUMENT, "learning rate");
    update = make((enum ps_update_kind)99);
    check_refused(variable, &update, all, PS_INVALID_ARGUMENT, "unknown kind 99");
    update = make(PS_UPDATE_ASSIGN);
    update.has_shape = true;
    update.shape = (struct ps_shape){ 1, { 5 } };
    check_refused(variable, &update, all, PS_INVALID_ARGUMENT, "cannot change its shape to [5]");
    ps_variable_destroy(variable);
}
END_TEST

START_TEST(pieces_stay_inside_their_slice)
{
    struct ps_variable *variable = create(PS_FLOAT, 10, 10, true);
    struct ps_update update = make(PS_UPDATE_ASSIGN_ADD);
    const struct ps_piece good[] = { { 0, 0, 400 }, { 0, 396, 4 }, { 0, 400, 0 } };
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(ps_update_check(&update, variable, &good[i], &err), PS_OK);
    }
    check_refused(variable, &update, (struct ps_piece){ 0, 0, 404 }, PS_OUT_OF_RANGE, "404 bytes");
    check_refused(variable, &update, (struct ps_piece){ 0, 404, 0 }, PS_OUT_OF_RANGE, "'out/w'");
    check_refused(variable, &update, (struct ps_piece){ 0, 8, UINT64_MAX - 3 }, PS_OUT_OF_RANGE,
                  "does not fit");
    check_refused(variable, &update, (struct ps_piece){ 0, 2, 4 }, PS_INVALID_ARGUMENT, "whole");
    check_refused(variable, &update, (struct ps_piece){ 0, 4, 6 }, PS_INVALID_ARGUMENT, "whole");
    ps_variable_destroy(variable);
}
END_TEST

START_TEST(types_and_missing_values_are_refused)
{
    const struct ps_piece none = { 0, 0, 0 };
    struct ps_update sgd = make(PS_UPDATE_SGD), add = make(PS_UPDATE_ASSIGN_ADD);
    struct ps_update assign = make(PS_UPDATE_ASSIGN);
    struct ps_variable *flags = create(PS_BOOL, 2, 2, true);
    struct ps_variable *integers = create(PS_INT64, 2, 2, true);
    struct ps_variable *empty = create(PS_FLOAT, 2, 2, false);
    check_refused(flags, &add, none, PS_INVALID_ARGUMENT, "assign_add does not work on 'out/w'");
    check_refused(integers, &sgd, none, PS_INVALID_ARGUMENT, "optimizers take float");
    check_refused(empty, &sgd, none, PS_FAILED_PRECONDITION,
                  "Attempting to use uninitialized value out/w");
    check_refused(empty, &add, none, PS_FAILED_PRECONDITION, "uninitialized value out/w");
    ck_assert_int_eq(ps_update_check(&assign, empty, &none, &err), PS_OK);
    ck_assert_int_eq(ps_update_check(&assign, flags, &none, &err), PS_OK);
    ck_assert_int_eq(ps_update_check(&add, integers, &none, &err), PS_OK);
    ps_variable_destroy(flags);
    ps_variable_destroy(integers);
    ps_variable_destroy(empty);
}
END_TEST

START_TEST(nonfinite_gradients_are_named)
{
    struct fixture_request fixture;
    fixture_request_init(&fixture, "out/w", PS_FLOAT, 100, 10);
    fixture.slices[0].rows.count = 40;
    fixture.slices[1].rows = (struct ps_rows){ 40, 60 };
    fixture.request.slice_count = 2;
    fixture.request.slice_index = 1;
    struct ps_variable *variable = create_from(&fixture, true);
    struct ps_update update = make(PS_UPDATE_SGD);
    const struct ps_piece piece = { 0, 20, 1000 };
    const struct ps_update_origin origin = { 2, 17 };
    float gradient[250];
    for (size_t span = 1; span < 50; span += 6) { /* elements torn in every way */
        struct fixture_payload payload;
        for (int i = 0; i < 250; i++) { gradient[i] = 1.0f; }
        gradient[6] = span % 4 == 1 ? NAN : -INFINITY;
        gradient[100] = NAN;
        const size_t sizes[] = { span, 3 };
        fixture_payload_init(&payload, gradient, sizeof gradient, sizes, 2);
        struct ps_cursor cursor = ps_cursor_at(&payload.payload, 0);
        ck_assert_int_eq(ps_update_check_finite(&update, variable, &piece, cursor, &origin, &err),
                         PS_INVALID_ARGUMENT);
        const char *text = span % 4 == 1 ? "gradient of 'out/w' has NaN at element 411 (worker 2, "
                                           "push 17); refused. "
                                         : "gradient of 'out/w' has infinity at element 411 (";
        ck_assert_msg(strncmp(err.message, text, strlen(text)) == 0, "%s", err.message);
        update.on_nonfinite = PS_NONFINITE_APPLY;
        ck_assert_int_eq(ps_update_check_finite(&update, variable, &piece, cursor, &origin, &err),
                         PS_OK);
        update.on_nonfinite = PS_NONFINITE_REFUSE;
        fixture_payload_clean(&payload);
    }
    ps_variable_destroy(variable);
}
END_TEST

START_TEST(runs_hold_whole_elements)
{
    uint8_t bytes[64];
    for (int i = 0; i < 64; i++) { bytes[i] = (uint8_t)i; }
    for (size_t width = 1; width <= 8; width *= 2) {
        for (size_t span = 1; span < 20; span++) {
            struct fixture_payload payload;
            const size_t sizes[] = { span, 0, 1 };
            fixture_payload_init(&payload, bytes, 64, sizes, 3);
            struct ps_cursor cursor = ps_cursor_at(&payload.payload, 0);
            uint8_t carry[PS_CARRY_BYTES];
            size_t done = 0;
            while (done < 48) {
                struct ps_span run = ps_update_next_elements(&cursor, 48 - done, width, carry);
                ck_assert_uint_gt(run.size, 0);
                ck_assert_uint_eq(run.size % width, 0);
                ck_assert_int_eq(memcmp(run.data, bytes + done, run.size), 0);
                done += run.size;
            }
            ck_assert_uint_eq(done, 48);
            ck_assert_uint_eq(cursor.remaining, 16);
            fixture_payload_clean(&payload);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("update");
    TCase *checks = in_fixture(tcase_create("checks"));
    tcase_add_test(checks, updates_that_do_not_fit_are_refused);
    tcase_add_test(checks, pieces_stay_inside_their_slice);
    tcase_add_test(checks, types_and_missing_values_are_refused);
    tcase_add_test(checks, nonfinite_gradients_are_named);
    tcase_add_test(checks, runs_hold_whole_elements);
    suite_add_tcase(suite, checks);
    return run_suite(suite);
}
