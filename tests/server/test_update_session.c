/* Updates as they are applied: bytes in any pieces, whole or not at all, readers meanwhile. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "tests/server/update_fixture.h"

START_TEST(assigned_bytes_arrive_in_any_pieces)
{
    static float bytes[ELEMENTS], got[ELEMENTS];
    struct ps_variable *variable = create(PS_FLOAT, ROWS, COLUMNS, true);
    struct ps_update update = make(PS_UPDATE_ASSIGN);
    struct ps_update_session session;
    const uint64_t cuts[] = {
        0, 4, 400, PS_CHUNK_BYTES - 4, PS_CHUNK_BYTES + 8, 2 * PS_CHUNK_BYTES + 20, sizeof bytes
    };
    const int order[] = { 3, 0, 5, 2, 1, 4 };
    fill_random(bytes, ELEMENTS, 1);
    open_session(&session, variable, &update);
    ps_update_begin(&session, &no_powers);
    for (int i = 0; i < 6; i++) {
        uint64_t start = cuts[order[i]], end = cuts[order[i] + 1];
        apply_bytes(&session, start, (const uint8_t *)bytes + start, (size_t)(end - start), 1021);
    }
    ps_update_end(&session);
    ck_assert_int_eq(ps_update_close(&session, &err), PS_OK);
    ck_assert_int_eq(ps_update_close(&session, &err), PS_OK); /* closed already */
    read_plane(variable, PS_PLANE_VALUE, got, sizeof got);
    ck_assert_int_eq(memcmp(got, bytes, sizeof got), 0);
    ck_assert_uint_eq(ps_variable_state(variable).update_count, 1);
    ps_variable_destroy(variable);
}
END_TEST

START_TEST(a_first_value_shows_when_it_is_complete)
{
    static float bytes[ELEMENTS], got[ELEMENTS];
    struct ps_variable *variable = create(PS_FLOAT, ROWS, COLUMNS, false);
    struct ps_update update = make(PS_UPDATE_ASSIGN);
    struct ps_update_session session;
    struct ps_chunk *chunk;
    fill_random(bytes, ELEMENTS, 2);
    open_session(&session, variable, &update);
    ps_update_begin(&session, &no_powers); /* two turns, as when it is applied while it arrives */
    apply_bytes(&session, 0, bytes, PS_CHUNK_BYTES + 40, 999);
    ps_update_end(&session);
    ck_assert(!ps_variable_state(variable).initialized);
    ck_assert_int_eq(ps_variable_chunk_acquire(variable, 0, 0, &chunk, &err),
                     PS_FAILED_PRECONDITION);
    ps_update_begin(&session, &no_powers);
    apply_bytes(&session, PS_CHUNK_BYTES + 40, (const uint8_t *)bytes + PS_CHUNK_BYTES + 40,
                sizeof bytes - PS_CHUNK_BYTES - 40, 999);
    ck_assert(!ps_variable_state(variable).initialized);
    ps_update_end(&session);
    ck_assert(ps_variable_state(variable).initialized);
    ck_assert_int_eq(ps_update_close(&session, &err), PS_OK);
    read_plane(variable, PS_PLANE_VALUE, got, sizeof got);
    ck_assert_int_eq(memcmp(got, bytes, sizeof got), 0);
    ck_assert_uint_eq(ps_variable_state(variable).update_count, 1);
    ps_variable_destroy(variable);
}
END_TEST

START_TEST(half_a_first_value_is_none)
{
    struct ps_variable *variable = create(PS_FLOAT, 10, 10, false);
    struct ps_update update = make(PS_UPDATE_ASSIGN);
    float bytes[50] = { 0 };
    ck_assert_int_eq(push(variable, &update, &no_powers, bytes, sizeof bytes),
                     PS_FAILED_PRECONDITION);
    ck_assert_ptr_nonnull(strstr(err.message, "brought 200 of 400 bytes"));
    ck_assert(!ps_variable_state(variable).initialized);
    ck_assert_uint_eq(ps_chunk_pool_stats(pool).used_bytes, 0);

    struct ps_update_session session; /* withdrawn before it began */
    open_session(&session, variable, &update);
    ck_assert_int_eq(ps_update_close(&session, &err), PS_OK);
    ck_assert_uint_eq(ps_variable_state(variable).update_count, 0);
    ps_variable_destroy(variable);
}
END_TEST

START_TEST(initialize_gives_way_to_a_value)
{
    struct ps_variable *variable = create(PS_INT32, 2, 2, false);
    struct ps_update initialize = make(PS_UPDATE_INITIALIZE), assign = make(PS_UPDATE_ASSIGN);
    const int32_t first[] = { 1, 2, 3, 4 }, second[] = { 5, 6, 7, 8 }, third[] = { 9, 9, 9, 9 };
    int32_t got[4];
    struct ps_update_session late; /* both found no value when they were opened */
    open_session(&late, variable, &initialize);
    ck_assert_int_eq(push(variable, &initialize, &no_powers, first, sizeof first), PS_OK);
    ps_update_begin(&late, &no_powers);
    apply_bytes(&late, 0, second, sizeof second, 3);
    ps_update_end(&late);
    ck_assert_int_eq(ps_update_close(&late, &err), PS_OK);
    ck_assert_int_eq(push(variable, &initialize, &no_powers, third, sizeof third), PS_OK);
    read_plane(variable, 0, got, sizeof got);
    ck_assert_mem_eq(got, first, sizeof got);
    ck_assert_uint_eq(ps_variable_state(variable).update_count, 1);
    ck_assert_int_eq(push(variable, &assign, &no_powers, third, sizeof third), PS_OK);
    read_plane(variable, 0, got, sizeof got);
    ck_assert_mem_eq(got, third, sizeof got);
    ps_variable_destroy(variable);
}
END_TEST

START_TEST(a_free_shape_is_replaced_with_its_value)
{
    struct fixture_request fixture;
    fixture_request_init(&fixture, "free", PS_FLOAT, 2, 2);
    fixture.request.definition.free_shape = true;
    struct ps_variable *variable = create_from(&fixture, true);
    struct ps_update momentum = make(PS_UPDATE_MOMENTUM), assign = make(PS_UPDATE_ASSIGN);
    const float values[6] = { 1, 2, 3, 4, 5, 6 };
    float got[6];
    ck_assert_int_eq(push(variable, &momentum, &no_powers, values, 16), PS_OK);
    ck_assert_uint_eq(ps_budget_promised(&budget), 32);
    struct ps_update_session overtaken; /* fits the old shape only */
    open_session(&overtaken, variable, &momentum);

    assign.has_shape = true;
    assign.shape = (struct ps_shape){ 1, { 6 } };
    const struct ps_piece piece = { 0, 0, 24 };
    ck_assert_int_eq(ps_update_check(&assign, variable, &piece, &err), PS_OK);
    ck_assert_int_eq(push(variable, &assign, &no_powers, values, 24), PS_OK);
    ck_assert_uint_eq(ps_budget_promised(&budget), 24);
    ps_update_begin(&overtaken, &no_powers);
    apply_bytes(&overtaken, 0, values, 16, 5);
    ps_update_end(&overtaken);
    ck_assert_int_eq(ps_update_close(&overtaken, &err), PS_OK);

    struct ps_variable_state state = ps_variable_state(variable);
    ck_assert_int_eq(state.shape.rank, 1);
    ck_assert_uint_eq(state.size_bytes, 24);
    ck_assert_uint_eq(state.slot_bytes, 0);
    read_plane(variable, 0, got, 24);
    ck_assert_mem_eq(got, values, 24);
    ck_assert_int_eq(push(variable, &momentum, &no_powers, values, 24), PS_OK);
    ck_assert_uint_eq(ps_variable_state(variable).slot_bytes, 24);
    bool ran;
    ck_assert_int_eq(ps_fresh_initialize(variable, true, &ran, &err), PS_OK);
    ck_assert_uint_eq(ps_variable_state(variable).size_bytes, 16);
    ck_assert_uint_eq(ps_budget_promised(&budget), 16);
    ps_variable_destroy(variable);
}
END_TEST

/* Checked against a larger shape than the one it finds: no byte goes astray. */
START_TEST(a_piece_that_no_longer_fits_has_no_effect)
{
    struct fixture_request fixture;
    fixture_request_init(&fixture, "free", PS_FLOAT, 20, 20);
    fixture.request.definition.free_shape = true;
    struct ps_variable *variable = create_from(&fixture, true);
    struct ps_update add = make(PS_UPDATE_ASSIGN_ADD), assign = make(PS_UPDATE_ASSIGN);
    const struct ps_piece piece = { 0, 0, 1600 };
    static const float ones[400] = { 1, 1 };
    float got[2];
    ck_assert_int_eq(ps_update_check(&add, variable, &piece, &err), PS_OK);
    assign.has_shape = true;
    assign.shape = (struct ps_shape){ 1, { 2 } };
    ck_assert_int_eq(push(variable, &assign, &no_powers, ones, 8), PS_OK);
    ck_assert_int_eq(push(variable, &add, &no_powers, ones, 1600), PS_OK);
    read_plane(variable, 0, got, 8);
    ck_assert_mem_eq(got, ones, 8);
    ck_assert_uint_eq(ps_variable_state(variable).update_count, 1);
    ps_variable_destroy(variable);
}
END_TEST

static struct ps_chunk *hold(struct ps_variable *variable, int plane, size_t index)
{
    struct ps_chunk *chunk;
    ck_assert_int_eq(ps_variable_chunk_acquire(variable, plane, index, &chunk, &err), PS_OK);
    return chunk;
}

static float first_float(const struct ps_chunk *chunk)
{
    float value;
    memcpy(&value, chunk->data, 4);
    return value;
}

START_TEST(shared_chunks_are_copied_and_others_changed_in_place)
{
    static float ones[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++) { ones[i] = 1.0f; }
    struct ps_variable *variable = create(PS_FLOAT, ROWS, COLUMNS, true);
    struct ps_update add = make(PS_UPDATE_ASSIGN_ADD);
    struct ps_chunk *first = hold(variable, 0, 0), *second = hold(variable, 0, 1);
    uint8_t *second_data = second->data;
    ps_chunk_release(second);
    ck_assert_int_eq(push(variable, &add, &no_powers, ones, sizeof ones), PS_OK);
    ck_assert_float_eq(first_float(first), 0.0f); /* ours has not changed */
    struct ps_chunk *now = hold(variable, 0, 0);
    ck_assert_ptr_ne(now, first);
    ck_assert_float_eq(first_float(now), 1.0f);
    second = hold(variable, 0, 1);
    ck_assert_ptr_eq(second->data, second_data);
    ck_assert_float_eq(first_float(second), 1.0f);
    ps_chunk_release(first);
    ps_chunk_release(now);
    ps_chunk_release(second);
    ps_variable_destroy(variable);
}
END_TEST

/* A snapshot of a slot alone makes value and slot both move to new chunks, or one of them: the
 * reference is what counts. */
START_TEST(shared_slots_are_copied_too)
{
    const float ones[4] = { 1, 1, 1, 1 };
    struct ps_variable *variable = create(PS_FLOAT, 2, 2, true);
    struct ps_update momentum = make(PS_UPDATE_MOMENTUM);
    ck_assert_int_eq(push(variable, &momentum, &no_powers, ones, sizeof ones), PS_OK);
    struct ps_chunk *slot = hold(variable, 1, 0);
    ck_assert_int_eq(push(variable, &momentum, &no_powers, ones, sizeof ones), PS_OK);
    ck_assert_float_eq(first_float(slot), 1.0f);
    struct ps_chunk *now = hold(variable, 1, 0);
    ck_assert_float_eq(first_float(now), 1.0f * 0.9f + 1.0f);
    ps_chunk_release(slot);
    ps_chunk_release(now);
    ps_variable_destroy(variable);
}
END_TEST

START_TEST(a_chunk_shows_when_all_of_it_has_come)
{
    static float ones[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++) { ones[i] = 1.0f; }
    const uint8_t *bytes = (const uint8_t *)ones;
    struct ps_variable *variable = create(PS_FLOAT, ROWS, COLUMNS, true);
    struct ps_update add = make(PS_UPDATE_ASSIGN_ADD);
    struct ps_update_session session;
    open_session(&session, variable, &add);
    ps_update_begin(&session, &no_powers);
    apply_bytes(&session, 0, bytes, 4000, 7);                             /* a part of chunk 0 */
    apply_bytes(&session, PS_CHUNK_BYTES, bytes, PS_CHUNK_BYTES + 40, 7); /* 1 and a part of 2 */
    const float expected[] = { 0.0f, 1.0f, 0.0f };
    for (size_t i = 0; i < 3; i++) {
        struct ps_chunk *chunk = hold(variable, 0, i);
        ck_assert_float_eq(first_float(chunk), expected[i]);
        ps_chunk_release(chunk);
    }
    apply_bytes(&session, 4000, bytes, PS_CHUNK_BYTES - 4000, 7);
    struct ps_chunk *chunk = hold(variable, 0, 0);
    ck_assert_float_eq(first_float(chunk), 1.0f);
    ps_chunk_release(chunk);
    ps_update_end(&session); /* shows what has come of chunk 2 */
    chunk = hold(variable, 0, 2);
    ck_assert_float_eq(first_float(chunk), 1.0f);
    ck_assert_float_eq(((const float *)chunk->data)[10], 0.0f);
    ps_chunk_release(chunk);
    ck_assert_int_eq(ps_update_close(&session, &err), PS_OK);
    ps_variable_destroy(variable);
}
END_TEST

START_TEST(a_session_opens_whole_or_changes_nothing)
{
    const float ones[4] = { 1, 1, 1, 1 };
    const enum ps_update_kind kinds[] = { PS_UPDATE_ADAM, PS_UPDATE_ASSIGN };
    for (int k = 0; k < 2; k++) {
        struct ps_variable *variable = create(PS_FLOAT, 2, 2, kinds[k] == PS_UPDATE_ADAM);
        struct ps_update update = make(kinds[k]);
        struct ps_update_session session;
        long countdown = 0;
        for (;;) {
            ps_alloc_fail_at(++countdown);
            enum ps_code rc = ps_update_open(&session, variable, &update, &err);
            ps_alloc_fail_at(0);
            if (rc == PS_OK) { break; }
            ck_assert_int_eq(rc, PS_RESOURCE_EXHAUSTED);
            ck_assert_uint_eq(ps_variable_state(variable).version, kinds[k] == PS_UPDATE_ADAM);
            ck_assert_int_eq(ps_update_close(&session, &err), PS_OK);
        }
        ck_assert_int_ge(countdown, 4);
        ps_update_begin(&session, &no_powers);
        apply_bytes(&session, 0, ones, sizeof ones, 3);
        ps_update_end(&session);
        ck_assert_int_eq(ps_update_close(&session, &err), PS_OK);
        ps_variable_destroy(variable);
    }
}
END_TEST

/* Once begun, an update gets through whatever fails for a moment. */
START_TEST(applying_survives_faults_of_memory)
{
    static float ones[ELEMENTS], got[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++) { ones[i] = 1.0f; }
    struct ps_variable *variable = create(PS_FLOAT, ROWS, COLUMNS, true);
    struct ps_update add = make(PS_UPDATE_ASSIGN_ADD);
    struct fixture_payload payload;
    const size_t sizes[] = { 4099 };
    fixture_payload_init(&payload, ones, sizeof ones, sizes, 1);
    for (long countdown = 1; countdown <= 8; countdown++) {
        struct ps_chunk *held[] = { hold(variable, 0, 0), hold(variable, 0, 1),
                                    hold(variable, 0, 2) };
        struct ps_update_session session;
        struct ps_cursor cursor = ps_cursor_at(&payload.payload, 0);
        open_session(&session, variable, &add);
        ps_update_begin(&session, &no_powers);
        ps_alloc_fail_at(countdown);
        ps_update_apply(&session, 0, &cursor, sizeof ones);
        ps_alloc_fail_at(0);
        ps_update_end(&session);
        ck_assert_int_eq(ps_update_close(&session, &err), PS_OK);
        for (int i = 0; i < 3; i++) { ps_chunk_release(held[i]); }
        read_plane(variable, 0, got, sizeof got);
        ck_assert_int_eq(count_of(got, ELEMENTS, (float)countdown), ELEMENTS);
    }
    fixture_payload_clean(&payload);
    ps_variable_destroy(variable);
}
END_TEST

enum { READERS = 2, WRITERS = 2, PUSHES = 40 };

struct race {
    struct ps_variable *variable;
    atomic_bool done;
    atomic_int torn;
    atomic_int writer_number;
    long reads[READERS];
};

/* Every element of a chunk has had the same number of updates. */
static bool is_even(const struct ps_chunk *chunk)
{
    const float *values = (const float *)(const void *)chunk->data;
    for (size_t i = 1; i < chunk->size / 4; i++) {
        if (values[i] != values[0]) { return false; }
    }
    return true;
}

struct reader {
    struct race *race;
    int number;
};

static void *read_chunks(void *arg)
{
    struct reader *reader = arg;
    struct race *race = reader->race;
    float last[3] = { 0, 0, 0 };
    do {
        for (size_t i = 0; i < 3; i++) {
            struct ps_chunk *chunk;
            if (ps_variable_chunk_acquire(race->variable, 0, i, &chunk, NULL) != PS_OK) { abort(); }
            if (!is_even(chunk) || first_float(chunk) < last[i]) {
                atomic_fetch_add(&race->torn, 1);
            }
            last[i] = first_float(chunk);
            ps_chunk_release(chunk);
            race->reads[reader->number]++;
        }
    } while (!atomic_load(&race->done));
    return NULL;
}

/* Adds one to every element, as whole chunks or in parts that end inside of them. */
static void *write_chunks(void *arg)
{
    struct race *race = arg;
    int number = atomic_fetch_add(&race->writer_number, 1);
    float *ones = malloc(ELEMENTS * sizeof *ones);
    struct fixture_payload payload;
    const size_t sizes[] = { 65537, 30001 };
    for (int i = 0; i < ELEMENTS; i++) { ones[i] = 1.0f; }
    fixture_payload_init(&payload, ones, ELEMENTS * 4, sizes, 2);
    const struct ps_update add = make(PS_UPDATE_ASSIGN_ADD);
    for (int i = 0; i < PUSHES; i++) {
        struct ps_update_session session;
        struct ps_cursor cursor = ps_cursor_at(&payload.payload, 0);
        uint64_t cut = number == 0 ? 0 : 300000;
        if (ps_update_open(&session, race->variable, &add, NULL) != PS_OK) { abort(); }
        ps_update_begin(&session, &no_powers);
        ps_update_apply(&session, 0, &cursor, cut);
        ps_update_apply(&session, cut, &cursor, ELEMENTS * 4 - cut);
        ps_update_end(&session);
        if (ps_update_close(&session, NULL) != PS_OK) { abort(); }
    }
    fixture_payload_clean(&payload);
    free(ones);
    return NULL;
}

START_TEST(readers_see_each_chunk_before_or_after_an_update)
{
    struct race race = { .variable = create(PS_FLOAT, ROWS, COLUMNS, true) };
    struct reader readers[READERS];
    pthread_t reading[READERS], writing[WRITERS];
    for (int i = 0; i < READERS; i++) {
        readers[i] = (struct reader){ &race, i };
        ck_assert_int_eq(pthread_create(&reading[i], NULL, read_chunks, &readers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        ck_assert_int_eq(pthread_create(&writing[i], NULL, write_chunks, &race), 0);
    }
    for (int i = 0; i < WRITERS; i++) { pthread_join(writing[i], NULL); }
    atomic_store(&race.done, true);
    for (int i = 0; i < READERS; i++) { pthread_join(reading[i], NULL); }
    ck_assert_int_eq(atomic_load(&race.torn), 0);
    for (size_t i = 0; i < 3; i++) {
        struct ps_chunk *chunk = hold(race.variable, 0, i);
        ck_assert(is_even(chunk));
        ck_assert_float_eq(first_float(chunk), (float)(WRITERS * PUSHES));
        ps_chunk_release(chunk);
    }
    ck_assert_uint_eq(ps_variable_state(race.variable).update_count, WRITERS * PUSHES);
    ps_variable_destroy(race.variable);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("update_session");
    TCase *assigns = in_fixture(tcase_create("assigns"));
    tcase_add_test(assigns, assigned_bytes_arrive_in_any_pieces);
    tcase_add_test(assigns, a_first_value_shows_when_it_is_complete);
    tcase_add_test(assigns, half_a_first_value_is_none);
    tcase_add_test(assigns, initialize_gives_way_to_a_value);
    tcase_add_test(assigns, a_free_shape_is_replaced_with_its_value);
    tcase_add_test(assigns, a_piece_that_no_longer_fits_has_no_effect);
    suite_add_tcase(suite, assigns);
    TCase *chunks = in_fixture(tcase_create("chunks"));
    tcase_add_test(chunks, shared_chunks_are_copied_and_others_changed_in_place);
    tcase_add_test(chunks, shared_slots_are_copied_too);
    tcase_add_test(chunks, a_chunk_shows_when_all_of_it_has_come);
    tcase_add_test(chunks, a_session_opens_whole_or_changes_nothing);
    tcase_add_test(chunks, applying_survives_faults_of_memory);
    tcase_add_test(chunks, readers_see_each_chunk_before_or_after_an_update);
    suite_add_tcase(suite, chunks);
    return run_suite(suite);
}
