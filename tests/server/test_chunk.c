/* Chunks and their pool: references, reuse, limits, life past the pool, memory that runs out. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "server/budget.h"
#include "server/chunk.h"

START_TEST(full_chunks_are_reused_up_to_the_limit)
{
    struct ps_chunk_pool *pool = ps_chunk_pool_create(2 * PS_CHUNK_BYTES);
    struct ps_chunk *chunks[3];
    for (int i = 0; i < 3; i++) {
        chunks[i] = ps_chunk_create(pool, PS_CHUNK_BYTES);
        ck_assert_ptr_nonnull(chunks[i]);
        ck_assert_uint_eq((uintptr_t)chunks[i]->data % 64, 0);
    }
    ck_assert_uint_eq(ps_chunk_pool_stats(pool).used_bytes, 3 * PS_CHUNK_BYTES);
    for (int i = 0; i < 3; i++) { ck_assert_ptr_null(ps_chunk_release(chunks[i])); }
    ck_assert_uint_eq(ps_chunk_pool_stats(pool).used_bytes, 0);
    ck_assert_uint_eq(ps_chunk_pool_stats(pool).free_bytes, 2 * PS_CHUNK_BYTES);

    ps_alloc_fail_at(0);
    struct ps_chunk *again = ps_chunk_create(pool, PS_CHUNK_BYTES);
    ck_assert_int_eq(ps_alloc_fail_at(0), 0); /* no memory was asked for */
    ck_assert_uint_eq(ps_chunk_pool_stats(pool).free_bytes, PS_CHUNK_BYTES);
    ps_chunk_release(again);
    ps_chunk_pool_destroy(pool);
}
END_TEST

START_TEST(small_chunks_are_exact_and_not_kept)
{
    struct ps_chunk_pool *pool = ps_chunk_pool_create(8 * PS_CHUNK_BYTES);
    struct ps_chunk *chunk = ps_chunk_create(pool, 12);
    ck_assert_uint_eq(chunk->size, 12);
    ck_assert_uint_eq(ps_chunk_pool_stats(pool).used_bytes, 12);
    ps_chunk_release(chunk);
    ck_assert_uint_eq(ps_chunk_pool_stats(pool).free_bytes, 0);
    ps_chunk_pool_destroy(pool);
}
END_TEST

START_TEST(only_the_last_reference_frees)
{
    struct ps_chunk_pool *pool = ps_chunk_pool_create(0);
    struct ps_chunk *chunk = ps_chunk_create(pool, 100);
    ck_assert(ps_chunk_is_sole(chunk));
    ck_assert_ptr_eq(ps_chunk_acquire(chunk), chunk);
    ck_assert(!ps_chunk_is_sole(chunk));
    ps_chunk_release(chunk);
    ck_assert(ps_chunk_is_sole(chunk));
    ck_assert_uint_eq(ps_chunk_pool_stats(pool).used_bytes, 100);
    ps_chunk_release(chunk);
    ck_assert_uint_eq(ps_chunk_pool_stats(pool).used_bytes, 0);
    ck_assert_ptr_null(ps_chunk_release(NULL));
    ps_chunk_pool_destroy(pool);
    ps_chunk_pool_destroy(NULL);
}
END_TEST

/* ASan sees it if the pool went too early or never. */
START_TEST(chunks_outlive_their_pool)
{
    struct ps_chunk_pool *pool = ps_chunk_pool_create(4 * PS_CHUNK_BYTES);
    struct ps_chunk *first = ps_chunk_create(pool, PS_CHUNK_BYTES);
    struct ps_chunk *second = ps_chunk_create(pool, 10);
    ps_chunk_pool_destroy(pool);
    memset(first->data, 1, first->size);
    ps_chunk_release(first);
    memset(second->data, 1, second->size);
    ps_chunk_release(second);
}
END_TEST

START_TEST(tensors_are_cut_into_full_chunks_and_a_rest)
{
    ck_assert_uint_eq(ps_chunk_count(0), 0);
    ck_assert_uint_eq(ps_chunk_count(1), 1);
    ck_assert_uint_eq(ps_chunk_count(PS_CHUNK_BYTES), 1);
    ck_assert_uint_eq(ps_chunk_count(PS_CHUNK_BYTES + 1), 2);
    ck_assert_uint_eq(ps_chunk_size_at(PS_CHUNK_BYTES + 1, 0), PS_CHUNK_BYTES);
    ck_assert_uint_eq(ps_chunk_size_at(PS_CHUNK_BYTES + 1, 1), 1);
    ck_assert_uint_eq(ps_chunk_size_at(2 * PS_CHUNK_BYTES, 1), PS_CHUNK_BYTES);
}
END_TEST

START_TEST(new_tensors_are_zeros_even_of_reused_chunks)
{
    struct ps_chunk_pool *pool = ps_chunk_pool_create(4 * PS_CHUNK_BYTES);
    struct ps_chunk *dirty = ps_chunk_create(pool, PS_CHUNK_BYTES);
    memset(dirty->data, 0xee, dirty->size);
    ps_chunk_release(dirty);

    struct ps_chunk **chunks;
    ck_assert_int_eq(ps_chunks_create(pool, PS_CHUNK_BYTES + 8, &chunks, NULL), PS_OK);
    for (size_t i = 0; i < 2; i++) {
        uint8_t any = 0;
        for (size_t j = 0; j < chunks[i]->size; j++) { any |= chunks[i]->data[j]; }
        ck_assert_uint_eq(any, 0);
    }
    ps_chunks_destroy(chunks, 2);
    ck_assert_int_eq(ps_chunks_create(pool, 0, &chunks, NULL), PS_OK);
    ck_assert_ptr_nonnull(chunks);
    ps_chunks_destroy(chunks, 0);
    ps_chunk_pool_destroy(pool);
}
END_TEST

START_TEST(no_memory_leaves_nothing_behind)
{
    struct ps_chunk_pool *pool = ps_chunk_pool_create(0);
    struct ps_chunk **chunks;
    enum ps_code rc = PS_RESOURCE_EXHAUSTED;
    long countdown = 0;
    while (rc != PS_OK) {
        ps_alloc_fail_at(++countdown);
        rc = ps_chunks_create(pool, 2 * PS_CHUNK_BYTES + 100, &chunks, NULL);
        ps_alloc_fail_at(0);
        if (rc == PS_OK) { break; }
        ck_assert_int_eq(rc, PS_RESOURCE_EXHAUSTED);
        ck_assert_ptr_null(chunks);
        ck_assert_uint_eq(ps_chunk_pool_stats(pool).used_bytes, 0);
    }
    ck_assert_int_eq(countdown, 8); /* the array, three chunks of two allocations, then none */
    ps_chunks_destroy(chunks, 3);
    ps_chunk_pool_destroy(pool);
}
END_TEST

START_TEST(a_waiter_gets_memory_when_there_is_some)
{
    struct ps_chunk_pool *pool = ps_chunk_pool_create(0);
    ps_alloc_fail_at(1);
    struct ps_chunk *chunk = ps_chunk_create_wait(pool, 64);
    ck_assert_ptr_nonnull(chunk);
    ps_alloc_fail_at(1);
    void *memory = ps_chunk_pool_alloc_wait(pool, 64);
    ck_assert_ptr_nonnull(memory);
    ps_alloc_fail_at(0);
    ps_free(memory);
    ps_chunk_release(chunk);
    ps_chunk_pool_destroy(pool);
}
END_TEST

START_TEST(a_budget_refuses_early_and_says_how_much)
{
    struct ps_budget budget;
    struct ps_error err = PS_ERROR_INIT;
    ps_budget_init(&budget, "ps/0", 12000000000u);
    ck_assert_int_eq(ps_budget_take(&budget, 10800000000u, "'w'", &err), PS_OK);
    ck_assert_int_eq(ps_budget_take(&budget, 9200000000u, "'emb'", &err), PS_RESOURCE_EXHAUSTED);
    ck_assert_str_eq(err.message,
                     "'emb' needs 9.2 GB; ps/0 has 1.2 GB left of 12 GB (--memory_limit)");
    ck_assert_uint_eq(ps_budget_promised(&budget), 10800000000u);
    ck_assert_int_eq(ps_budget_take(&budget, 1200000000u, "'v'", &err), PS_OK);
    ck_assert_int_eq(ps_budget_take(&budget, 1, "'b'", &err), PS_RESOURCE_EXHAUSTED);
    ps_budget_give_back(&budget, 12000000000u);
    ck_assert_uint_eq(ps_budget_promised(&budget), 0);
    ps_budget_init(&budget, "ps/0", 0); /* no limit */
    ck_assert_int_eq(ps_budget_take(&budget, UINT64_MAX, "'w'", &err), PS_OK);
}
END_TEST

START_TEST(bytes_are_written_as_people_do)
{
    char text[PS_BYTES_TEXT_BYTES];
    ck_assert_str_eq(ps_bytes_format(0, text), "0 B");
    ck_assert_str_eq(ps_bytes_format(999, text), "999 B");
    ck_assert_str_eq(ps_bytes_format(1000, text), "1 kB");
    ck_assert_str_eq(ps_bytes_format(1560, text), "1.6 kB");
    ck_assert_str_eq(ps_bytes_format(999600, text), "1 MB");
    ck_assert_str_eq(ps_bytes_format(9990000000, text), "10 GB");
    ck_assert_str_eq(ps_bytes_format(UINT64_MAX, text), "18 EB");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("chunk");
    TCase *tests = tcase_create("chunk");
    tcase_add_test(tests, full_chunks_are_reused_up_to_the_limit);
    tcase_add_test(tests, small_chunks_are_exact_and_not_kept);
    tcase_add_test(tests, only_the_last_reference_frees);
    tcase_add_test(tests, chunks_outlive_their_pool);
    tcase_add_test(tests, tensors_are_cut_into_full_chunks_and_a_rest);
    tcase_add_test(tests, new_tensors_are_zeros_even_of_reused_chunks);
    tcase_add_test(tests, no_memory_leaves_nothing_behind);
    tcase_add_test(tests, a_waiter_gets_memory_when_there_is_some);
    tcase_add_test(tests, a_budget_refuses_early_and_says_how_much);
    tcase_add_test(tests, bytes_are_written_as_people_do);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
