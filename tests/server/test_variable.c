/* Variables: what may be made of a request, reading, initializing, slots, memory that runs out. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "server/fresh.h"
#include "server/slot.h"
#include "server/variable.h"
#include "tests/server/variable_fixture.h"

/* Three chunks: two full ones and 48 bytes. */
enum { ROWS = 2 * PS_CHUNK_BYTES / 400 + 1, COLUMNS = 100 };

static struct ps_chunk_pool *pool;
static struct ps_budget budget;
static struct ps_error err;

static void set_up(void)
{
    pool = ps_chunk_pool_create(4 * PS_CHUNK_BYTES);
    ps_budget_init(&budget, "ps/0", 0);
    err = (struct ps_error)PS_ERROR_INIT;
}

/* Everything taken was given back. */
static void tear_down(void)
{
    ck_assert_uint_eq(ps_chunk_pool_stats(pool).used_bytes, 0);
    ck_assert_uint_eq(ps_budget_promised(&budget), 0);
    ps_chunk_pool_destroy(pool);
}

static struct ps_variable *create(const struct fixture_request *fixture)
{
    struct ps_variable *variable;
    enum ps_code rc = ps_variable_create(&fixture->request, pool, &budget, &variable, &err);
    ck_assert_msg(rc == PS_OK, "%s", err.message);
    return variable;
}

static float element(struct ps_variable *variable, int plane, uint64_t index)
{
    struct ps_buf buf = { 0 };
    float value;
    ck_assert_int_eq(ps_variable_read(variable, plane, index * 4, &buf, 4, &err), PS_OK);
    memcpy(&value, buf.data, 4);
    ps_buf_clean(&buf);
    return value;
}

START_TEST(an_uninitialized_variable_costs_a_promise_and_cannot_be_read)
{
    struct fixture_request fixture;
    fixture_request_init(&fixture, "out/w", PS_FLOAT, ROWS, COLUMNS);
    struct ps_variable *variable = create(&fixture);
    ck_assert_uint_eq(ps_chunk_pool_stats(pool).used_bytes, 0);
    ck_assert_uint_eq(ps_budget_promised(&budget), (uint64_t)ROWS * COLUMNS * 4);
    ck_assert(!ps_variable_state(variable).initialized);
    struct ps_chunk *chunk;
    ck_assert_int_eq(ps_variable_chunk_acquire(variable, PS_PLANE_VALUE, 0, &chunk, &err),
                     PS_FAILED_PRECONDITION);
    ck_assert_str_eq(err.message, "Attempting to use uninitialized value out/w");
    ck_assert_ptr_null(chunk);
    ps_variable_destroy(variable);
    ps_variable_destroy(NULL);
}
END_TEST

START_TEST(initializing_once_keeps_the_value_and_force_renews_it)
{
    struct fixture_request fixture;
    fixture_request_init(&fixture, "w", PS_FLOAT, ROWS, COLUMNS);
    fixture.request.definition.initializer.kind = PS_INIT_ONES;
    struct ps_variable *variable = create(&fixture);
    bool ran;
    int plane;
    ck_assert_int_eq(ps_fresh_initialize(variable, false, &ran, &err), PS_OK);
    ck_assert(ran);
    ck_assert_int_eq(ps_fresh_initialize(variable, false, &ran, &err), PS_OK);
    ck_assert(!ran);
    ck_assert_int_eq(ps_slot_open(variable, "Momentum", 0.0, 1, &plane, &err), PS_OK);

    struct ps_chunk *held; /* a reader's reference stays what it was */
    ck_assert_int_eq(ps_variable_chunk_acquire(variable, PS_PLANE_VALUE, 2, &held, &err), PS_OK);
    ck_assert_uint_eq(held->size, ROWS * COLUMNS * 4 - 2 * PS_CHUNK_BYTES);
    ck_assert_int_eq(ps_fresh_initialize(variable, true, &ran, &err), PS_OK);
    ck_assert(ran);
    struct ps_chunk *renewed;
    ck_assert_int_eq(ps_variable_chunk_acquire(variable, PS_PLANE_VALUE, 2, &renewed, &err), PS_OK);
    ck_assert_ptr_ne(held, renewed);
    ck_assert_uint_eq(ps_variable_state(variable).slot_bytes, 0);
    ck_assert_float_eq(element(variable, PS_PLANE_VALUE, ROWS * COLUMNS - 1), 1.0f);
    ps_chunk_release(held);
    ps_chunk_release(renewed);
    ps_variable_destroy(variable);
}
END_TEST

START_TEST(a_given_tensor_is_not_made_here)
{
    struct fixture_request fixture;
    fixture_request_init(&fixture, "w", PS_FLOAT, 3, 3);
    fixture.request.definition.initializer.kind = PS_INIT_TENSOR;
    struct ps_variable *variable = create(&fixture);
    bool ran = true;
    ck_assert_int_eq(ps_fresh_initialize(variable, true, &ran, &err), PS_OK);
    ck_assert(!ran);
    ck_assert(!ps_variable_state(variable).initialized);
    ps_variable_destroy(variable);
}
END_TEST

/* The rows of a slice are the rows of the whole. */
START_TEST(slices_hold_the_rows_of_one_whole)
{
    struct fixture_request fixture;
    fixture_request_init(&fixture, "w", PS_FLOAT, ROWS, COLUMNS);
    fixture.request.definition.initializer = (struct ps_initializer_spec){
        .kind = PS_INIT_RANDOM_NORMAL, .b = 1, .scale = 1, .source = ""
    };
    struct ps_variable *whole = create(&fixture);
    fixture.slices[0].rows = (struct ps_rows){ 0, 777 };
    fixture.slices[1].rows = (struct ps_rows){ 777, 2000 };
    fixture.slices[2].rows = (struct ps_rows){ 2777, ROWS - 2777 };
    fixture.request.slice_count = 3;
    fixture.request.slice_index = 1;
    struct ps_variable *slice = create(&fixture);
    ck_assert_uint_eq(ps_variable_state(slice).size_bytes, 2000 * COLUMNS * 4);
    ck_assert_int_eq(ps_variable_first_element(slice), 777 * COLUMNS);

    bool ran;
    struct ps_buf a = { 0 }, b = { 0 };
    ck_assert_int_eq(ps_fresh_initialize(whole, false, &ran, &err), PS_OK);
    ck_assert_int_eq(ps_fresh_initialize(slice, false, &ran, &err), PS_OK);
    size_t size = 2000 * COLUMNS * 4;
    ck_assert_int_eq(ps_variable_read(whole, 0, 777 * COLUMNS * 4, &a, size, &err), PS_OK);
    ck_assert_int_eq(ps_variable_read(slice, 0, 0, &b, size, &err), PS_OK);
    ck_assert_uint_eq(b.size, size);
    ck_assert_int_eq(memcmp(a.data, b.data, size), 0);
    ck_assert_int_eq(ps_variable_read(slice, 0, size - 4, &b, 8, &err), PS_OUT_OF_RANGE);
    ck_assert_int_eq(ps_variable_read(slice, 0, (uint64_t)1 << 50, &b, 8, &err), PS_OUT_OF_RANGE);
    ck_assert_int_eq(ps_variable_read(slice, 7, 0, &b, 8, &err), PS_OUT_OF_RANGE);
    ps_buf_clean(&a);
    ps_buf_clean(&b);
    ps_variable_destroy(whole);
    ps_variable_destroy(slice);
}
END_TEST

static void check_refused(const struct fixture_request *fixture, const char *text)
{
    struct ps_variable *variable;
    ck_assert_int_eq(ps_variable_create(&fixture->request, pool, &budget, &variable, &err),
                     PS_INVALID_ARGUMENT);
    ck_assert_ptr_null(variable);
    ck_assert_msg(strstr(err.message, text) != NULL, "expected '%s' in '%s'", text, err.message);
}

START_TEST(requests_that_make_no_sense_are_refused)
{
    struct fixture_request fixture;
    fixture_request_init(&fixture, "w", PS_FLOAT, 10, 3);
    fixture.slices[0].rows.count = 9;
    check_refused(&fixture, "its slices have 9 rows, its shape 10");
    fixture.slices[0].rows = (struct ps_rows){ 1, 9 };
    check_refused(&fixture, "slice 0 has 9 rows from 1; expected them from 0");
    fixture.slices[0].rows = (struct ps_rows){ 0, 4 };
    fixture.slices[1].rows = (struct ps_rows){ 5, 5 };
    fixture.request.slice_count = 2;
    check_refused(&fixture, "slice 1");
    fixture.slices[1].rows = (struct ps_rows){ 4, INT64_MAX };
    check_refused(&fixture, "slice 1");
    fixture.slices[1].rows = (struct ps_rows){ 4, -1 };
    check_refused(&fixture, "slice 1");
    fixture.slices[1].rows = (struct ps_rows){ 4, 6 };
    fixture.request.slice_index = 2;
    check_refused(&fixture, "there is no 2");
    fixture.request.slice_index = 1;
    fixture.request.definition.free_shape = true;
    check_refused(&fixture, "may change its shape");
    fixture.request.slice_count = 0;
    check_refused(&fixture, "its slices have 0 rows");

    fixture_request_init(&fixture, "w", PS_STRING, 10, 3);
    check_refused(&fixture, "string");
    fixture_request_init(&fixture, "w", PS_FLOAT, 10, -3);
    check_refused(&fixture, "negative");
    fixture_request_init(&fixture, "w", PS_INT32, 10, 3);
    fixture.request.definition.initializer.kind = PS_INIT_RANDOM_NORMAL;
    check_refused(&fixture, "floating");
}
END_TEST

START_TEST(scalars_and_empty_variables_work)
{
    struct fixture_request fixture;
    fixture_request_init(&fixture, "s", PS_FLOAT, 1, 1);
    fixture.request.definition.shape.rank = 0;
    struct ps_variable *scalar = create(&fixture);
    fixture_request_init(&fixture, "e", PS_FLOAT, 0, 5);
    struct ps_variable *empty = create(&fixture);
    bool ran;
    int plane;
    ck_assert_int_eq(ps_fresh_initialize(scalar, false, &ran, &err), PS_OK);
    ck_assert_int_eq(ps_fresh_initialize(empty, false, &ran, &err), PS_OK);
    ck_assert(ran && ps_variable_state(empty).initialized);
    ck_assert_uint_eq(ps_variable_state(scalar).size_bytes, 4);
    ck_assert_uint_eq(ps_variable_state(empty).size_bytes, 0);
    ck_assert_int_eq(ps_slot_open(empty, "Adam", 0.0, 1, &plane, &err), PS_OK);
    struct ps_chunk *chunk;
    ck_assert_int_eq(ps_variable_chunk_acquire(empty, 0, 0, &chunk, &err), PS_OUT_OF_RANGE);
    ps_variable_destroy(scalar);
    ps_variable_destroy(empty);
}
END_TEST

START_TEST(slots_are_made_once_by_name_and_purpose)
{
    struct fixture_request fixture;
    fixture_request_init(&fixture, "w", PS_FLOAT, ROWS, COLUMNS);
    struct ps_variable *variable = create(&fixture);
    uint64_t size = (uint64_t)ROWS * COLUMNS * 4;
    int plane, again;
    ck_assert_int_eq(ps_slot_open(variable, "RMSProp", 1.0, 5, &plane, &err), PS_OK);
    ck_assert_int_eq(plane, 1);
    ck_assert_float_eq(element(variable, plane, 0), 1.0f);
    ck_assert_float_eq(element(variable, plane, ROWS * COLUMNS - 1), 1.0f);
    ck_assert_int_eq(ps_slot_open(variable, "RMSProp", 1.0, 5, &again, &err), PS_OK);
    ck_assert_int_eq(again, plane);
    ck_assert_uint_eq(ps_variable_state(variable).slot_bytes, size);
    ck_assert_uint_eq(ps_budget_promised(&budget), 2 * size);

    ck_assert_int_eq(ps_slot_open(variable, "RMSProp", 1.0, 6, &again, &err), PS_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.message, "slot 'w/RMSProp' belongs to another kind"));
    ck_assert_int_eq(ps_slot_open(variable, "restored", 0.0, 0, &plane, &err), PS_OK);
    ck_assert_int_eq(ps_slot_open(variable, "restored", 0.0, 9, &again, &err), PS_OK);
    ck_assert_int_eq(again, plane);

    const char *slots[PS_MAX_SLOTS];
    struct ps_variable_info info;
    ps_variable_describe(variable, &info, slots);
    ck_assert_uint_eq(info.slot_count, 2);
    ck_assert_str_eq(info.slots[0], "RMSProp");
    ck_assert_str_eq(info.slots[1], "restored");
    ck_assert_uint_eq(info.bytes, size);
    ck_assert_uint_eq(info.slot_bytes, 2 * size);
    ck_assert_str_eq(info.definition.name, "w");
    ps_variable_destroy(variable);
}
END_TEST

START_TEST(a_slot_too_many_is_refused)
{
    struct fixture_request fixture;
    fixture_request_init(&fixture, "w", PS_FLOAT, 2, 2);
    struct ps_variable *variable = create(&fixture);
    int plane;
    for (int i = 0; i < PS_MAX_SLOTS; i++) {
        char name[] = { (char)('a' + i), '\0' };
        ck_assert_int_eq(ps_slot_open(variable, name, 0.0, 1, &plane, &err), PS_OK);
    }
    ck_assert_int_eq(ps_slot_open(variable, "z", 0.0, 1, &plane, &err), PS_INVALID_ARGUMENT);
    ck_assert_int_eq(ps_slot_open(variable, "c", 0.0, 1, &plane, &err), PS_OK);
    ck_assert_int_eq(plane, 3);
    ps_variable_destroy(variable);
}
END_TEST

START_TEST(slots_count_against_the_memory_limit)
{
    struct fixture_request fixture;
    fixture_request_init(&fixture, "emb", PS_FLOAT, 100, 10);
    ps_budget_init(&budget, "ps/3", 7000);
    struct ps_variable *variable = create(&fixture);
    int plane;
    ck_assert_int_eq(ps_slot_open(variable, "Adam", 0.0, 1, &plane, &err), PS_RESOURCE_EXHAUSTED);
    ck_assert_str_eq(err.message, "slot 'Adam' of 'emb' needs 4 kB; ps/3 has 3 kB left of 7 kB "
                                  "(--memory_limit)");
    ck_assert_int_eq(ps_variable_state(variable).plane_count, 1);
    ps_variable_destroy(variable);
}
END_TEST

/* Each allocation fails once; after each failure all is as before, and at last it works. */
START_TEST(no_memory_changes_nothing)
{
    struct fixture_request fixture;
    fixture_request_init(&fixture, "w", PS_FLOAT, ROWS, COLUMNS);
    uint64_t size = (uint64_t)ROWS * COLUMNS * 4;
    struct ps_variable *variable = NULL;
    enum ps_code rc;
    long countdown = 0;
    do {
        ck_assert_uint_eq(ps_budget_promised(&budget), 0);
        ps_alloc_fail_at(++countdown);
        rc = ps_variable_create(&fixture.request, pool, &budget, &variable, &err);
        ps_alloc_fail_at(0);
        ck_assert(rc == PS_OK || rc == PS_RESOURCE_EXHAUSTED);
    } while (rc != PS_OK);
    ck_assert_int_ge(countdown, 4);

    bool ran;
    countdown = 0;
    do {
        ck_assert_uint_eq(ps_chunk_pool_stats(pool).used_bytes, 0);
        ck_assert(!ps_variable_state(variable).initialized);
        ps_alloc_fail_at(++countdown);
        rc = ps_fresh_initialize(variable, false, &ran, &err);
        ps_alloc_fail_at(0);
        ck_assert(ran == (rc == PS_OK));
    } while (rc != PS_OK);
    ck_assert_int_ge(countdown, 4);

    int plane;
    countdown = 0;
    do {
        ck_assert_uint_eq(ps_chunk_pool_stats(pool).used_bytes, size);
        ck_assert_uint_eq(ps_budget_promised(&budget), size);
        ps_alloc_fail_at(++countdown);
        rc = ps_slot_open(variable, "Adam", 0.0, 1, &plane, &err);
        ps_alloc_fail_at(0);
        ck_assert(rc == PS_OK || rc == PS_RESOURCE_EXHAUSTED);
    } while (rc != PS_OK);
    ck_assert_int_ge(countdown, 4);
    ps_variable_destroy(variable);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("variable");
    TCase *tests = tcase_create("variable");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, an_uninitialized_variable_costs_a_promise_and_cannot_be_read);
    tcase_add_test(tests, initializing_once_keeps_the_value_and_force_renews_it);
    tcase_add_test(tests, a_given_tensor_is_not_made_here);
    tcase_add_test(tests, slices_hold_the_rows_of_one_whole);
    tcase_add_test(tests, requests_that_make_no_sense_are_refused);
    tcase_add_test(tests, scalars_and_empty_variables_work);
    tcase_add_test(tests, slots_are_made_once_by_name_and_purpose);
    tcase_add_test(tests, a_slot_too_many_is_refused);
    tcase_add_test(tests, slots_count_against_the_memory_limit);
    tcase_add_test(tests, no_memory_changes_nothing);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
