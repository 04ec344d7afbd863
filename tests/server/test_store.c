/* The store: joining and refusing by definition, handles, initializing, totals, memory limit. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "server/store.h"
#include "server/variable.h"
#include "tests/server/variable_fixture.h"

static struct ps_store *store;
static struct ps_error err;

static void set_up(void)
{
    struct ps_store_options options = { .task_index = 1, .memory_limit_bytes = 1000000 };
    store = ps_store_create(&options);
    err = (struct ps_error)PS_ERROR_INIT;
}

static void tear_down(void)
{
    ps_store_destroy(store);
}

/* A variable in one slice on task 1. */
static void request_init(struct fixture_request *fixture, const char *name, int64_t rows,
                         int64_t columns)
{
    fixture_request_init(fixture, name, PS_FLOAT, rows, columns);
    fixture->slices[0].task = 1;
}

static struct ps_variable *create(const struct fixture_request *fixture, bool expect_created)
{
    struct ps_variable *variable;
    bool created;
    enum ps_code rc = ps_store_create_variable(store, &fixture->request, &variable, &created, &err);
    ck_assert_msg(rc == PS_OK, "%s", err.message);
    ck_assert_int_eq(created, expect_created);
    return variable;
}

static enum ps_code create_fails(const struct fixture_request *fixture)
{
    struct ps_variable *variable;
    bool created = true;
    enum ps_code rc = ps_store_create_variable(store, &fixture->request, &variable, &created, &err);
    ck_assert_int_ne(rc, PS_OK);
    ck_assert_ptr_null(variable);
    ck_assert(!created);
    return rc;
}

START_TEST(an_equal_definition_joins)
{
    struct fixture_request fixture;
    request_init(&fixture, "out/w", 128, 10);
    struct ps_variable *first = create(&fixture, true);
    fixture.request.worker = 2;
    fixture.request.definition.device = "/job:ps/task:1"; /* only a wish */
    ck_assert_ptr_eq(create(&fixture, false), first);
    ck_assert_uint_eq(first->handle, 0);
    ck_assert_uint_eq(first->defined_by, 0);
    request_init(&fixture, "out/b", 10, 1);
    ck_assert_uint_eq(create(&fixture, true)->handle, 1);
    ck_assert_uint_eq(ps_store_count(store), 2);
}
END_TEST

START_TEST(another_definition_is_refused_with_both_shown)
{
    struct fixture_request fixture;
    request_init(&fixture, "out/w", 128, 10);
    create(&fixture, true);
    request_init(&fixture, "out/w", 128, 12);
    fixture.request.worker = 2;
    ck_assert_int_eq(create_fails(&fixture), PS_ALREADY_EXISTS);
    ck_assert_str_eq(err.message,
                     "variable 'out/w' is float[128,10] zeros on /job:ps/task:1 (defined by worker "
                     "0); worker 2 asks for float[128,12] zeros. Same program on all workers?");
    request_init(&fixture, "out/w", 128, 10);
    fixture.request.worker = PS_NO_WORKER;
    fixture.request.definition.initializer.kind = PS_INIT_ONES;
    ck_assert_int_eq(create_fails(&fixture), PS_ALREADY_EXISTS);
    ck_assert_ptr_nonnull(strstr(err.message, "a tool asks for float[128,10] ones"));
    request_init(&fixture, "out/w", 128, 10);
    fixture.slices[0].rows.count = 64;
    fixture.slices[1] = (struct ps_slice_place){ 0, { 64, 64 } };
    fixture.request.slice_count = 2;
    ck_assert_int_eq(create_fails(&fixture), PS_ALREADY_EXISTS);
    ck_assert_ptr_nonnull(
        strstr(err.message, "has other slices on /job:ps/task:1 (1, as worker 0 was told) than"));
    ck_assert_uint_eq(ps_store_count(store), 1);
}
END_TEST

START_TEST(slices_of_one_variable_share_its_name)
{
    struct fixture_request fixture;
    request_init(&fixture, "emb", 10, 4);
    for (int i = 0; i < 4; i++) {
        fixture.slices[i] = (struct ps_slice_place){ (uint32_t)(i % 2), { i * 2, i == 3 ? 4 : 2 } };
    }
    fixture.request.slice_count = 4;
    fixture.request.slice_index = 3;
    struct ps_variable *last = create(&fixture, true);
    fixture.request.slice_index = 1;
    struct ps_variable *first = create(&fixture, true);
    ck_assert_ptr_eq(create(&fixture, false), first);
    ck_assert_ptr_eq(ps_store_find(store, "emb"), last);
    ck_assert_ptr_eq(ps_store_next_slice(store, last), first);
    ck_assert_ptr_null(ps_store_next_slice(store, first));
    fixture.request.slice_index = 2;
    ck_assert_int_eq(create_fails(&fixture), PS_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, "slice 2 of 'emb' belongs to /job:ps/task:0, this is "
                                  "/job:ps/task:1");
    fixture.request.slice_index = 4;
    ck_assert_int_eq(create_fails(&fixture), PS_INVALID_ARGUMENT);
    fixture.request.slice_index = 0;
    fixture.request.definition.shape.dims[1] = 5;
    ck_assert_int_eq(create_fails(&fixture), PS_ALREADY_EXISTS);
}
END_TEST

START_TEST(handles_and_names_find_variables)
{
    struct fixture_request fixture;
    struct ps_variable *variables[100], *found;
    char names[100][8];
    for (uint32_t i = 0; i < 100; i++) {
        snprintf(names[i], sizeof names[i], "v%u", i);
        request_init(&fixture, names[i], 1, 1);
        variables[i] = create(&fixture, true);
    }
    for (uint32_t i = 0; i < 100; i++) {
        ck_assert_ptr_eq(ps_store_find(store, names[i]), variables[i]);
        ck_assert_int_eq(ps_store_get(store, i, &found, &err), PS_OK);
        ck_assert_ptr_eq(found, variables[i]);
    }
    ck_assert_ptr_null(ps_store_find(store, "v100"));
    ck_assert_ptr_null(ps_store_at(store, 100));
    ck_assert_int_eq(ps_store_get(store, 100, &found, &err), PS_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.message, "handle 100"));
    ck_assert_ptr_null(found);
}
END_TEST

START_TEST(the_memory_limit_refuses_early)
{
    struct fixture_request fixture;
    request_init(&fixture, "w", 2000, 100);
    create(&fixture, true);
    request_init(&fixture, "emb", 23000, 100);
    ck_assert_int_eq(create_fails(&fixture), PS_RESOURCE_EXHAUSTED);
    ck_assert_str_eq(err.message,
                     "'emb' needs 9.2 MB; ps/1 has 200 kB left of 1 MB (--memory_limit)");
    ck_assert_uint_eq(ps_store_totals(store).promised_bytes, 800000);
    ck_assert_ptr_null(ps_store_find(store, "emb"));
    request_init(&fixture, "emb", 500, 100);
    create(&fixture, true);
}
END_TEST

static uint32_t initialize(const uint32_t *handles, size_t count, bool force)
{
    struct ps_initialize_request request = { .handles = handles,
                                             .handle_count = count,
                                             .force = force };
    uint32_t initialized;
    enum ps_code rc = ps_store_initialize(store, &request, &initialized, &err);
    ck_assert_msg(rc == PS_OK, "%s", err.message);
    return initialized;
}

START_TEST(initializing_takes_a_list_or_all)
{
    struct fixture_request fixture;
    const char *names[] = { "a", "b", "c", "given" };
    for (int i = 0; i < 4; i++) {
        request_init(&fixture, names[i], 10, 10);
        if (i == 3) { fixture.request.definition.initializer.kind = PS_INIT_TENSOR; }
        create(&fixture, true);
    }
    const uint32_t one[] = { 1 };
    ck_assert_uint_eq(initialize(one, 1, false), 1);
    ck_assert_uint_eq(initialize(one, 1, false), 0);
    ck_assert_uint_eq(initialize(NULL, 0, false), 2);
    ck_assert_uint_eq(initialize(NULL, 0, false), 0);
    ck_assert_uint_eq(initialize(NULL, 0, true), 3);
    ck_assert(!ps_variable_state(ps_store_at(store, 3)).initialized);

    const uint32_t wrong[] = { 0, 9 };
    struct ps_initialize_request request = { .handles = wrong, .handle_count = 2, .force = true };
    uint64_t version = ps_variable_state(ps_store_at(store, 0)).version;
    uint32_t initialized = 7;
    ck_assert_int_eq(ps_store_initialize(store, &request, &initialized, &err), PS_NOT_FOUND);
    ck_assert_uint_eq(initialized, 0);
    ck_assert_uint_eq(ps_variable_state(ps_store_at(store, 0)).version, version);

    struct ps_store_totals totals = ps_store_totals(store);
    ck_assert_uint_eq(totals.variable_count, 4);
    ck_assert_uint_eq(totals.variable_bytes, 1600);
    ck_assert_uint_eq(totals.slot_bytes, 0);
    ck_assert_uint_eq(totals.pool_bytes, 1200);
}
END_TEST

START_TEST(no_memory_changes_nothing)
{
    struct fixture_request fixture;
    struct ps_variable *variable;
    bool created;
    for (uint32_t i = 0; i < 400; i++) { /* past two growths of the hash table */
        char name[8];
        snprintf(name, sizeof name, "v%u", i);
        request_init(&fixture, name, 1, 1);
        enum ps_code rc;
        long countdown = 0;
        do {
            ck_assert_uint_eq(ps_store_count(store), i);
            ck_assert_ptr_null(ps_store_find(store, name));
            ps_alloc_fail_at(++countdown);
            rc = ps_store_create_variable(store, &fixture.request, &variable, &created, &err);
            ps_alloc_fail_at(0);
            ck_assert(rc == PS_OK || rc == PS_RESOURCE_EXHAUSTED);
        } while (rc != PS_OK);
        ck_assert_int_ge(countdown, 5);
        ck_assert_ptr_eq(ps_store_find(store, name), variable);
        ck_assert_uint_eq(ps_store_totals(store).promised_bytes, 4 * (i + 1));
    }
    ck_assert_ptr_eq(ps_store_find(store, "v0"), ps_store_at(store, 0));
}
END_TEST

enum { THREADS = 4, NAMES = 50 };

static void *create_all(void *made_out)
{
    int *made = made_out;
    for (int i = 0; i < NAMES; i++) {
        struct fixture_request fixture;
        char name[8];
        struct ps_variable *variable;
        bool created;
        snprintf(name, sizeof name, "v%d", i);
        request_init(&fixture, name, 3, 3);
        if (ps_store_create_variable(store, &fixture.request, &variable, &created, NULL) != PS_OK) {
            return NULL;
        }
        *made += created;
    }
    return NULL;
}

START_TEST(racing_workers_make_each_variable_once)
{
    pthread_t threads[THREADS];
    int made[THREADS] = { 0 };
    int sum = 0;
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, create_all, &made[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += made[i];
    }
    ck_assert_int_eq(sum, NAMES);
    ck_assert_uint_eq(ps_store_count(store), NAMES);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *tests = tcase_create("store");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, an_equal_definition_joins);
    tcase_add_test(tests, another_definition_is_refused_with_both_shown);
    tcase_add_test(tests, slices_of_one_variable_share_its_name);
    tcase_add_test(tests, handles_and_names_find_variables);
    tcase_add_test(tests, the_memory_limit_refuses_early);
    tcase_add_test(tests, initializing_takes_a_list_or_all);
    tcase_add_test(tests, no_memory_changes_nothing);
    tcase_add_test(tests, racing_workers_make_each_variable_once);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
