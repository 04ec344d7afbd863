/* A variable's whole state, replaced: value, slots, and what is promised for them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>

#include "server/replacement.h"
#include "server/slot.h"
#include "tests/server/variable_fixture.h"

enum { ROWS = 8, COLUMNS = 4, BYTES = ROWS * COLUMNS * 4, LIMIT = 5 * BYTES };

static struct ps_chunk_pool *pool;
static struct ps_budget budget;
static struct ps_variable *variable;
static struct ps_error error = PS_ERROR_INIT;
static const char *const slots[] = { "Adam", "Adam_1" };

static void setup(void)
{
    struct fixture_request fixture;
    fixture_request_init(&fixture, "w", PS_FLOAT, ROWS, COLUMNS);
    pool = ps_chunk_pool_create(0);
    ps_budget_init(&budget, "ps/0", LIMIT);
    ck_assert_int_eq(ps_variable_create(&fixture.request, pool, &budget, &variable, &error), PS_OK);
}

static void teardown(void)
{
    ps_variable_destroy(variable);
    ck_assert_uint_eq(ps_budget_promised(&budget), 0);
    ps_chunk_pool_destroy(pool);
}

static void install(size_t slot_count, float value)
{
    struct ps_replacement replacement;
    ck_assert_int_eq(ps_replacement_init(&replacement, variable, &variable->definition.shape, slots,
                                         slot_count, &error),
                     PS_OK);
    for (int i = 0; i < replacement.plane_count; i++) {
        memcpy(replacement.planes[i].chunks[0]->data, &value, sizeof value);
    }
    ck_assert_msg(ps_replacement_install(&replacement, variable, &error) == PS_OK, "%s",
                  error.message);
}

static float first_of(const char *slot)
{
    struct ps_buf bytes = { 0 };
    float value;
    int plane = ps_variable_plane(variable, slot);
    ck_assert_msg(ps_variable_read(variable, plane, 0, &bytes, sizeof value, &error) == PS_OK, "%s",
                  error.message);
    memcpy(&value, bytes.data, sizeof value);
    ps_buf_clean(&bytes);
    return value;
}

START_TEST(a_first_value_costs_its_slots_only)
{
    ck_assert_uint_eq(ps_budget_promised(&budget), BYTES);
    install(2, 3);
    ck_assert_uint_eq(ps_budget_promised(&budget), 3 * BYTES);
    ck_assert(first_of("") == 3 && first_of("Adam_1") == 3);
    ck_assert(ps_variable_state(variable).initialized);
}
END_TEST

START_TEST(slots_that_are_not_in_it_begin_anew)
{
    int plane;
    install(1, 3);
    ck_assert_int_eq(ps_slot_open(variable, "Momentum", 0.5, 0, &plane, &error), PS_OK);
    ck_assert_uint_eq(ps_budget_promised(&budget), 3 * BYTES);
    install(1, 4);
    ck_assert_uint_eq(ps_budget_promised(&budget), 2 * BYTES);
    ck_assert_int_eq(ps_variable_plane(variable, "Momentum"), -1);
    ck_assert(first_of("Adam") == 4);
    ck_assert_int_eq(ps_slot_open(variable, "Momentum", 0.25, 0, &plane, &error), PS_OK);
    ck_assert(first_of("Momentum") == 0.25F);
}
END_TEST

START_TEST(a_restored_slot_gets_its_purpose_from_its_optimizer)
{
    int plane;
    install(1, 3);
    ck_assert_int_eq(ps_slot_open(variable, "Adam", 0, 18 * 256, &plane, &error), PS_OK);
    ck_assert(first_of("Adam") == 3);
    ck_assert_int_eq(ps_slot_open(variable, "Adam", 0, 17 * 256, &plane, &error),
                     PS_INVALID_ARGUMENT);
}
END_TEST

START_TEST(without_room_the_old_state_goes_first)
{
    struct ps_replacement replacement;
    install(2, 3);
    ck_assert_int_eq(
        ps_replacement_init(&replacement, variable, &variable->definition.shape, slots, 2, &error),
        PS_RESOURCE_EXHAUSTED);
    ck_assert(first_of("") == 3);
    ps_replacement_vacate(variable);
    ck_assert(!ps_variable_state(variable).initialized);
    ck_assert_uint_eq(ps_budget_promised(&budget), BYTES);
    install(2, 5);
    ck_assert(first_of("") == 5 && first_of("Adam") == 5);
    ck_assert_uint_eq(ps_budget_promised(&budget), 3 * BYTES);
}
END_TEST

START_TEST(what_is_not_installed_leaves_no_trace)
{
    struct ps_replacement replacement;
    ck_assert_int_eq(
        ps_replacement_init(&replacement, variable, &variable->definition.shape, slots, 2, &error),
        PS_OK);
    ck_assert_uint_eq(ps_budget_promised(&budget), 3 * BYTES);
    ps_replacement_clean(&replacement, variable);
    ck_assert_uint_eq(ps_budget_promised(&budget), BYTES);
    ck_assert_int_eq(ps_variable_plane(variable, "Adam"), -1);
}
END_TEST

START_TEST(places_that_others_took_are_not_taken_from_them)
{
    struct ps_replacement replacement;
    int plane;
    budget.limit_bytes = 0;
    install(0, 1);
    ck_assert_int_eq(
        ps_replacement_init(&replacement, variable, &variable->definition.shape, slots, 1, &error),
        PS_OK);
    for (int i = 0; i < PS_MAX_SLOTS; i++) {
        char name[] = { 's', (char)('0' + i), '\0' };
        ck_assert_int_eq(ps_slot_open(variable, name, 0, 0, &plane, &error), PS_OK);
    }
    ck_assert_int_eq(ps_replacement_install(&replacement, variable, &error), PS_INVALID_ARGUMENT);
    ck_assert(first_of("") == 1);
    ps_replacement_clean(&replacement, variable);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replacement");
    TCase *tests = tcase_create("replacement");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_first_value_costs_its_slots_only);
    tcase_add_test(tests, slots_that_are_not_in_it_begin_anew);
    tcase_add_test(tests, a_restored_slot_gets_its_purpose_from_its_optimizer);
    tcase_add_test(tests, without_room_the_old_state_goes_first);
    tcase_add_test(tests, what_is_not_installed_leaves_no_trace);
    tcase_add_test(tests, places_that_others_took_are_not_taken_from_them);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
