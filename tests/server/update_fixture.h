/* A pool, a budget, variables in them and whole updates of these, for the tests of updates. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_SERVER_UPDATE_FIXTURE_H
#define PARAMD_TESTS_SERVER_UPDATE_FIXTURE_H

#include <check.h>
#include <string.h>

#include "core/philox.h"
#include "server/fresh.h"
#include "server/update_session.h"
#include "server/variable.h"
#include "tests/server/variable_fixture.h"

/* Three chunks: two full ones and 48 bytes. */
enum { COLUMNS = 100, ROWS = 2 * PS_CHUNK_BYTES / 400 + 1, ELEMENTS = ROWS * COLUMNS };

static struct ps_chunk_pool *pool;
static struct ps_budget budget;
static struct ps_error err;
static const struct ps_beta_powers no_powers = { 1, 1, 1, 1 };

static inline void set_up(void)
{
    pool = ps_chunk_pool_create(8 * PS_CHUNK_BYTES);
    ps_budget_init(&budget, "ps/0", 0);
    err = (struct ps_error)PS_ERROR_INIT;
}

static inline void tear_down(void)
{
    ck_assert_uint_eq(ps_chunk_pool_stats(pool).used_bytes, 0);
    ck_assert_uint_eq(ps_budget_promised(&budget), 0);
    ps_chunk_pool_destroy(pool);
}

static inline struct ps_variable *create_from(const struct fixture_request *fixture,
                                              bool initialized)
{
    struct ps_variable *variable;
    bool ran;
    enum ps_code rc = ps_variable_create(&fixture->request, pool, &budget, &variable, &err);
    ck_assert_msg(rc == PS_OK, "%s", err.message);
    if (initialized) { ck_assert_int_eq(ps_fresh_initialize(variable, false, &ran, &err), PS_OK); }
    return variable;
}

static inline struct ps_variable *create(enum ps_dtype dtype, int64_t rows, int64_t columns,
                                         bool initialized)
{
    struct fixture_request fixture;
    fixture_request_init(&fixture, "out/w", dtype, rows, columns);
    return create_from(&fixture, initialized);
}

static inline struct ps_update make(enum ps_update_kind kind)
{
    struct ps_update update = { .kind = kind, .name = "", .learning_rate = 0.1 };
    if (kind == PS_UPDATE_MOMENTUM) {
        update.name = "Momentum";
        update.parameters[0] = 0.9;
        update.parameter_count = 2;
    } else if (kind == PS_UPDATE_ADAM) {
        update.name = "Adam";
        update.parameters[0] = 0.9;
        update.parameters[1] = 0.999;
        update.parameters[2] = 1e-8;
        update.parameter_count = 3;
    }
    return update;
}

static inline void open_session(struct ps_update_session *session, struct ps_variable *variable,
                                const struct ps_update *update)
{
    enum ps_code rc = ps_update_open(session, variable, update, &err);
    ck_assert_msg(rc == PS_OK, "%s", err.message);
}

/* Applies bytes at offset, in spans of the sizes given. */
static inline void apply_bytes(struct ps_update_session *session, uint64_t offset,
                               const void *bytes, size_t size, size_t span_size)
{
    struct fixture_payload payload;
    const size_t sizes[] = { span_size, 0, 2 * span_size + 1 };
    fixture_payload_init(&payload, bytes, size, sizes, 3);
    struct ps_cursor cursor = ps_cursor_at(&payload.payload, 0);
    ps_update_apply(session, offset, &cursor, size);
    ck_assert_uint_eq(cursor.remaining, 0);
    fixture_payload_clean(&payload);
}

/* One whole update of one run of bytes. */
static inline enum ps_code push(struct ps_variable *variable, const struct ps_update *update,
                                const struct ps_beta_powers *powers, const void *bytes, size_t size)
{
    struct ps_update_session session;
    open_session(&session, variable, update);
    ps_update_begin(&session, powers);
    apply_bytes(&session, 0, bytes, size, 4093);
    ps_update_end(&session);
    return ps_update_close(&session, &err);
}

static inline void read_plane(struct ps_variable *variable, int plane, void *out, size_t size)
{
    struct ps_buf buf = { 0 };
    enum ps_code rc = ps_variable_read(variable, plane, 0, &buf, size, &err);
    ck_assert_msg(rc == PS_OK, "%s", err.message);
    memcpy(out, buf.data, size);
    ps_buf_clean(&buf);
}

static inline void fill_random(float *out, size_t count, uint64_t seed)
{
    struct ps_rng rng = ps_rng_make(seed, PS_STREAM_TEST);
    for (size_t i = 0; i < count; i++) { out[i] = (float)(ps_rng_uniform(&rng) - 0.5); }
}

/* How many elements have that value; an assertion an element would take seconds. */
static inline int count_of(const float *values, int count, float value)
{
    int found = 0;
    for (int i = 0; i < count; i++) { found += values[i] == value; }
    return found;
}

static inline TCase *in_fixture(TCase *tests)
{
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    return tests;
}

/* Runs the suite and gives main's exit code. */
static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
