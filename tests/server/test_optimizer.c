/* Optimizers: steps as TensorFlow's, names of slots, powers of the betas. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "server/optimizer_state.h"
#include "tests/server/update_fixture.h"

enum { STEPS = 5, SMALL = 300 };

/* TensorFlow's arithmetic, in float, one element. */
static void step_float(const struct ps_update *update, float w[3], float g, float p1, float p2)
{
    float rate = (float)update->learning_rate;
    float momentum = (float)update->parameters[0];
    float gain1 = 1.0f - (float)update->parameters[0];
    float gain2 = 1.0f - (float)update->parameters[1];
    if (update->kind == PS_UPDATE_SGD) {
        w[0] -= g * rate;
    } else if (update->kind == PS_UPDATE_MOMENTUM) {
        w[1] = w[1] * momentum + g;
        w[0] -= update->parameters[1] != 0.0 ? g * rate + w[1] * momentum * rate : w[1] * rate;
    } else {
        float alpha = rate * sqrtf(1.0f - p2) / (1.0f - p1);
        w[1] += (g - w[1]) * gain1;
        w[2] += (g * g - w[2]) * gain2;
        w[0] -= w[1] * alpha / (sqrtf(w[2]) + (float)update->parameters[2]);
    }
}

static void check_trajectory(const struct ps_update *update, int planes)
{
    struct ps_variable *variable = create(PS_FLOAT, SMALL / 10, 10, true);
    struct ps_optimizer_state *state = ps_optimizer_state_create();
    ck_assert_int_eq(ps_optimizer_state_prepare(state, update, &err), PS_OK);
    static float expected[SMALL][3], gradient[SMALL], got[SMALL];
    float p1 = (float)update->parameters[0], p2 = (float)update->parameters[1];
    memset(expected, 0, sizeof expected);
    for (uint64_t step = 0; step < STEPS; step++) {
        fill_random(gradient, SMALL, step);
        struct ps_beta_powers powers = ps_optimizer_state_powers(state, update);
        ck_assert_int_eq(push(variable, update, &powers, gradient, sizeof gradient), PS_OK);
        ps_optimizer_state_advance(state, update);
        for (int i = 0; i < SMALL; i++) { step_float(update, expected[i], gradient[i], p1, p2); }
        p1 *= (float)update->parameters[0];
        p2 *= (float)update->parameters[1];
    }
    for (int plane = 0; plane < planes; plane++) {
        read_plane(variable, plane, got, sizeof got);
        for (int i = 0; i < SMALL; i++) {
            ck_assert_msg(got[i] == expected[i][plane], "plane %d element %d: %.9g, not %.9g",
                          plane, i, (double)got[i], (double)expected[i][plane]);
        }
    }
    ck_assert_int_eq(ps_variable_state(variable).plane_count, planes);
    ck_assert_uint_eq(ps_variable_state(variable).update_count, STEPS);
    ps_optimizer_state_destroy(state);
    ps_variable_destroy(variable);
}

START_TEST(optimizers_step_as_tensorflow_does)
{
    struct ps_update update = make(PS_UPDATE_SGD);
    check_trajectory(&update, 1);
    update = make(PS_UPDATE_MOMENTUM);
    check_trajectory(&update, 2);
    update.parameters[1] = 1.0;
    check_trajectory(&update, 2);
    update = make(PS_UPDATE_ADAM);
    check_trajectory(&update, 3);
}
END_TEST

START_TEST(slots_are_called_as_in_checkpoints)
{
    struct ps_variable *variable = create(PS_FLOAT, 2, 2, true);
    struct ps_update adam = make(PS_UPDATE_ADAM), momentum = make(PS_UPDATE_MOMENTUM);
    struct ps_update_session session;
    const float gradient[4] = { 0 };
    const char *slots[PS_MAX_SLOTS];
    struct ps_variable_info info;
    ck_assert_int_eq(push(variable, &adam, &no_powers, gradient, 16), PS_OK);
    ck_assert_int_eq(push(variable, &momentum, &no_powers, gradient, 16), PS_OK);
    ps_variable_describe(variable, &info, slots);
    ck_assert_uint_eq(info.slot_count, 3);
    ck_assert_str_eq(slots[0], "Adam");
    ck_assert_str_eq(slots[1], "Adam_1");
    ck_assert_str_eq(slots[2], "Momentum");
    momentum.name = "Adam_1";
    ck_assert_int_eq(ps_update_open(&session, variable, &momentum, &err), PS_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.message, "slot 'out/w/Adam_1'"));
    ck_assert_int_eq(ps_update_close(&session, &err), PS_OK);
    ps_variable_destroy(variable);
}
END_TEST

START_TEST(powers_are_kept_by_optimizer_name)
{
    struct ps_optimizer_state *state = ps_optimizer_state_create();
    struct ps_update adam = make(PS_UPDATE_ADAM), other = make(PS_UPDATE_ADAM);
    struct ps_update sgd = make(PS_UPDATE_SGD);
    other.name = "Adam2";
    long countdown = 0;
    enum ps_code rc;
    do {
        struct ps_beta_powers powers;
        ck_assert_ptr_null(ps_optimizer_state_at(state, 0, &powers));
        ps_alloc_fail_at(++countdown);
        rc = ps_optimizer_state_prepare(state, &adam, &err);
        ps_alloc_fail_at(0);
    } while (rc == PS_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(countdown, 2);
    ck_assert_int_eq(ps_optimizer_state_prepare(state, &other, &err), PS_OK);
    ck_assert_int_eq(ps_optimizer_state_prepare(state, &sgd, &err), PS_OK);
    ps_optimizer_state_advance(state, &adam);
    ps_optimizer_state_advance(state, &sgd);
    ck_assert_int_eq(ps_optimizer_state_prepare(state, &adam, &err), PS_OK); /* keeps them */
    struct ps_beta_powers powers = ps_optimizer_state_powers(state, &adam);
    ck_assert(powers.float1 == 0.9f * 0.9f && powers.double1 == 0.9 * 0.9);
    ck_assert(powers.float2 == 0.999f * 0.999f && powers.double2 == 0.999 * 0.999);
    powers = ps_optimizer_state_powers(state, &other);
    ck_assert(powers.float1 == 0.9f && powers.double2 == 0.999);

    const struct ps_beta_powers restored = { 0.5f, 0.25f, 0.5, 0.25 };
    ck_assert_int_eq(ps_optimizer_state_set(state, "Adam2", &restored, &err), PS_OK);
    ck_assert_int_eq(ps_optimizer_state_set(state, "Adam3", &restored, &err), PS_OK);
    ck_assert_str_eq(ps_optimizer_state_at(state, 0, &powers), "Adam");
    ck_assert_str_eq(ps_optimizer_state_at(state, 1, &powers), "Adam2");
    ck_assert(powers.float2 == 0.25f);
    ck_assert_str_eq(ps_optimizer_state_at(state, 2, &powers), "Adam3");
    ck_assert_ptr_null(ps_optimizer_state_at(state, 3, &powers));
    ps_optimizer_state_destroy(state);
    ps_optimizer_state_destroy(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("optimizer");
    TCase *optimizers = in_fixture(tcase_create("optimizers"));
    tcase_add_test(optimizers, optimizers_step_as_tensorflow_does);
    tcase_add_test(optimizers, slots_are_called_as_in_checkpoints);
    tcase_add_test(optimizers, powers_are_kept_by_optimizer_name);
    suite_add_tcase(suite, optimizers);
    return run_suite(suite);
}
