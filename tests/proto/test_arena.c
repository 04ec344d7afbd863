/* Tests of the arena: alignment, its ceiling, and what it keeps for the next message. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "proto/arena.h"

enum { MIB = 1 << 20 };

/* How many allocations of size_bytes it grants, all of them written to. */
static int grants(struct ps_arena *arena, size_t size_bytes)
{
    int count = 0;
    for (void *memory; (memory = ps_arena_alloc(arena, size_bytes)) != NULL; count++) {
        memset(memory, 0xff, size_bytes);
        ck_assert_uint_le(arena->used_bytes, PS_ARENA_LIMIT_BYTES);
    }
    return count;
}

START_TEST(memory_is_aligned_and_apart)
{
    struct ps_arena arena = { 0 };
    uint8_t *last = NULL;
    for (size_t size = 0; size < 3000; size += 7) {
        uint8_t *memory = ps_arena_alloc(&arena, size);
        ck_assert_ptr_nonnull(memory);
        ck_assert_ptr_ne(memory, last);
        ck_assert_uint_eq((uintptr_t)memory % _Alignof(max_align_t), 0);
        memset(memory, 0xff, size);
        last = memory;
    }
    ps_arena_clean(&arena);
    ck_assert_ptr_null(arena.first);
    ps_arena_clean(&arena);
    ps_arena_clean(NULL);
}
END_TEST

START_TEST(the_ceiling_holds)
{
    struct ps_arena arena = { 0 };
    ck_assert_ptr_null(ps_arena_alloc(&arena, SIZE_MAX));
    ck_assert_ptr_null(ps_arena_alloc(&arena, (size_t)PS_ARENA_LIMIT_BYTES + 1));
    ck_assert_ptr_nonnull(ps_arena_alloc(&arena, PS_ARENA_LIMIT_BYTES));
    ck_assert_ptr_null(ps_arena_alloc(&arena, 0));
    ps_arena_clean(&arena);
    ck_assert_int_eq(grants(&arena, MIB), 64);
    ps_arena_clean(&arena);
}
END_TEST

/* Of blocks of a MiB this uses little more than a half: the rest was taken all the same. */
START_TEST(ends_of_blocks_count)
{
    struct ps_arena arena = { 0 };
    ck_assert_ptr_nonnull(ps_arena_alloc(&arena, MIB));
    ck_assert_int_eq(grants(&arena, MIB / 2 + 1024), 63);
    ps_arena_clean(&arena);
    ck_assert_ptr_nonnull(ps_arena_alloc(&arena, 10)); /* of a block of 8 KiB */
    ck_assert_ptr_null(ps_arena_alloc(&arena, PS_ARENA_LIMIT_BYTES - 4096));
    ps_arena_clean(&arena);
}
END_TEST

START_TEST(a_reset_gives_the_same_memory_again)
{
    struct ps_arena arena = { 0 };
    void *first = ps_arena_alloc(&arena, 5000);
    void *second = ps_arena_alloc(&arena, 5000);
    ps_alloc_fail_at(0);
    for (int round = 0; round < 100; round++) {
        ps_arena_reset(&arena);
        ck_assert_uint_eq(arena.used_bytes, 0);
        ck_assert_ptr_eq(ps_arena_alloc(&arena, 5000), first);
        ck_assert_ptr_eq(ps_arena_alloc(&arena, 5000), second);
    }
    ck_assert_int_eq(ps_alloc_fail_at(0), 0);
    ps_arena_clean(&arena);
}
END_TEST

START_TEST(a_reset_keeps_a_few_mib)
{
    struct ps_arena arena = { 0 };
    ck_assert_int_eq(grants(&arena, MIB), 64);
    ps_arena_reset(&arena);
    ps_alloc_fail_at(0);
    ck_assert_int_eq(grants(&arena, MIB), 64);
    ck_assert_int_eq(ps_alloc_fail_at(0), 60);
    ps_arena_clean(&arena);
}
END_TEST

START_TEST(lent_memory_comes_first)
{
    _Alignas(max_align_t) uint8_t lent[256];
    struct ps_arena arena = { 0 };
    ps_alloc_fail_at(0);
    ps_arena_lend(&arena, lent, sizeof lent);
    uint8_t *inside = ps_arena_alloc(&arena, 100);
    ck_assert(inside >= lent && inside + 100 <= lent + sizeof lent);
    ck_assert_int_eq(ps_alloc_fail_at(0), 0);
    uint8_t *outside = ps_arena_alloc(&arena, 200);
    ck_assert_int_eq(ps_alloc_fail_at(0), 1);
    memset(outside, 0xff, 200);
    ps_arena_clean(&arena);

    ps_arena_lend(&arena, lent, 16); /* of no use */
    ck_assert_ptr_nonnull(ps_arena_alloc(&arena, 1));
    ck_assert_int_eq(ps_alloc_fail_at(0), 1);
    ps_arena_clean(&arena);
}
END_TEST

START_TEST(no_memory_is_not_the_end)
{
    struct ps_arena arena = { 0 };
    ps_alloc_fail_at(1);
    ck_assert_ptr_null(ps_arena_alloc(&arena, 10));
    ck_assert_ptr_nonnull(ps_arena_alloc(&arena, 10));
    ps_alloc_fail_at(1);
    ck_assert_ptr_null(ps_arena_alloc(&arena, MIB));
    ck_assert_ptr_nonnull(ps_arena_alloc(&arena, MIB));
    ps_arena_clean(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arena");
    TCase *arena = tcase_create("arena");
    tcase_add_test(arena, memory_is_aligned_and_apart);
    tcase_add_test(arena, the_ceiling_holds);
    tcase_add_test(arena, ends_of_blocks_count);
    tcase_add_test(arena, a_reset_gives_the_same_memory_again);
    tcase_add_test(arena, a_reset_keeps_a_few_mib);
    tcase_add_test(arena, lent_memory_comes_first);
    tcase_add_test(arena, no_memory_is_not_the_end);
    suite_add_tcase(suite, arena);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
