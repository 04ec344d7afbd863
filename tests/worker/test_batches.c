/* Batches: each example once an epoch for any number of workers, and exact resumption. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "worker/batches.h"
#include "worker/dataset.h"

enum { COUNT = 23, FEATURES = 2, EPOCHS = 4, BATCH_MAX = 64 };

/* Example i has features i and 255 - i, and label 3 * i: a batch tells which examples it has. */
static struct ps_examples examples;

static void setup(void)
{
    ck_assert_int_eq(ps_examples_init(&examples, COUNT, FEATURES, NULL), PS_OK);
    for (int i = 0; i < COUNT; i++) {
        examples.pixels[2 * i] = (uint8_t)i;
        examples.pixels[2 * i + 1] = (uint8_t)(255 - i);
        examples.labels[i] = (uint8_t)(3 * i);
    }
}

static void teardown(void)
{
    ps_examples_clean(&examples);
}

static struct ps_batches *make(int worker, int worker_count, uint64_t seed)
{
    const struct ps_batches_options options = { &examples, FEATURES, worker, worker_count, seed };
    struct ps_batches *batches = NULL;
    ck_assert_int_eq(ps_batches_create(&options, &batches, NULL), PS_OK);
    return batches;
}

/* The next batch as example indices. */
static void next(struct ps_batches *batches, int count, int *indices)
{
    float rows[BATCH_MAX * FEATURES];
    uint8_t labels[BATCH_MAX];
    ck_assert_int_le(count, BATCH_MAX);
    ps_batches_next(batches, count, rows, labels);
    for (int i = 0; i < count; i++) {
        indices[i] = (int)lroundf(rows[2 * i] * 255.0F);
        ck_assert_int_eq((int)lroundf(rows[2 * i + 1] * 255.0F), 255 - indices[i]);
        ck_assert_int_eq(labels[i], 3 * indices[i]);
    }
}

/* Counts how often a worker sees each example in each of EPOCHS epochs, reading in threes. */
static void count_examples(struct ps_batches *batches, int seen[EPOCHS][COUNT])
{
    int share = ps_batches_share(batches);
    int indices[3];
    for (int done = 0; done < EPOCHS * share; done += 3) {
        next(batches, 3, indices);
        for (int i = 0; i < 3 && done + i < EPOCHS * share; i++) {
            seen[(done + i) / share][indices[i]]++;
        }
    }
}

START_TEST(every_example_once_an_epoch)
{
    for (int worker_count = 1; worker_count <= COUNT; worker_count++) {
        int seen[EPOCHS][COUNT] = { { 0 } };
        int total = 0;
        for (int worker = 0; worker < worker_count; worker++) {
            struct ps_batches *batches = make(worker, worker_count, 5);
            int share = ps_batches_share(batches);
            ck_assert(share == COUNT / worker_count || share == COUNT / worker_count + 1);
            total += share;
            count_examples(batches, seen);
            ps_batches_destroy(batches);
        }
        ck_assert_int_eq(total, COUNT);
        for (int i = 0; i < EPOCHS * COUNT; i++) { ck_assert_int_eq((&seen[0][0])[i], 1); }
    }
}
END_TEST

START_TEST(epochs_and_seeds_have_orders_of_their_own)
{
    int first[COUNT];
    int second[COUNT];
    int other[COUNT];
    struct ps_batches *batches = make(0, 1, 5);
    struct ps_batches *seeded = make(0, 1, 6);
    next(batches, COUNT, first);
    ck_assert_uint_eq(ps_batches_epoch(batches), 1);
    next(batches, COUNT, second);
    ck_assert_uint_eq(ps_batches_epoch(batches), 2);
    next(seeded, COUNT, other);
    ck_assert_mem_ne(first, second, sizeof first);
    ck_assert_mem_ne(first, other, sizeof first);
    ps_batches_destroy(batches);
    ps_batches_destroy(seeded);
}
END_TEST

/* Positions outlive the program that wrote them: order and encoding may not drift. */
START_TEST(order_and_position_are_pinned)
{
    static const int order[] = { 10, 6, 14, 0, 5, 19, 21, 17, 18, 22, 1, 13, 10 };
    static const uint8_t position[PS_BATCHES_POSITION_BYTES] = {
        0x50, 0x53, 0x42, 0x01, 0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00,
        0x17, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xef, 0xcd, 0xab, 0x89,
        0x67, 0x45, 0x23, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xd1, 0xf7, 0xa0, 0xd8
    };
    enum { ORDER_COUNT = sizeof order / sizeof order[0] };
    int indices[ORDER_COUNT];
    uint8_t found[PS_BATCHES_POSITION_BYTES];
    struct ps_batches *batches = make(1, 2, 0x0123456789abcdef);
    next(batches, ORDER_COUNT, indices);
    ps_batches_position(batches, found);
    for (int i = 0; i < ORDER_COUNT; i++) { ck_assert_int_eq(indices[i], order[i]); }
    for (int i = 0; i < PS_BATCHES_POSITION_BYTES; i++) {
        ck_assert_msg(found[i] == position[i], "byte %d is 0x%02x", i, found[i]);
    }
    ps_batches_destroy(batches);
}
END_TEST

static struct ps_span span(const uint8_t position[PS_BATCHES_POSITION_BYTES])
{
    return (struct ps_span){ position, PS_BATCHES_POSITION_BYTES };
}

START_TEST(a_position_leads_to_the_very_next_batch)
{
    struct ps_batches *steady = make(1, 3, 9);
    struct ps_batches *jumping = make(1, 3, 9); /* sought from wherever it stands */
    for (int step = 0; step < 40; step++) {
        struct ps_batches *fresh = make(1, 3, 9);
        uint8_t position[PS_BATCHES_POSITION_BYTES];
        uint8_t again[PS_BATCHES_POSITION_BYTES];
        int expected[5];
        int found[10];
        ps_batches_position(steady, position);
        next(steady, 5, expected);

        ck_assert_int_eq(ps_batches_seek(fresh, span(position), NULL), PS_OK);
        ps_batches_position(fresh, again);
        ck_assert_mem_eq(position, again, sizeof position);
        next(fresh, 5, found);
        ck_assert_mem_eq(found, expected, sizeof expected);
        ps_batches_destroy(fresh);

        ck_assert_int_eq(ps_batches_seek(jumping, span(position), NULL), PS_OK);
        next(jumping, 10, found); /* another batch size: the same examples first */
        ck_assert_mem_eq(found, expected, sizeof expected);
    }
    ps_batches_destroy(steady);
    ps_batches_destroy(jumping);
}
END_TEST

START_TEST(no_position_means_the_beginning)
{
    int first[7];
    int found[7];
    struct ps_batches *batches = make(0, 2, 9);
    next(batches, 7, first);
    for (int i = 0; i < 5; i++) { next(batches, 7, found); }
    ck_assert_int_eq(ps_batches_seek(batches, (struct ps_span){ NULL, 0 }, NULL), PS_OK);
    ck_assert_uint_eq(ps_batches_epoch(batches), 0);
    next(batches, 7, found);
    ck_assert_mem_eq(found, first, sizeof first);
    ps_batches_destroy(batches);
}
END_TEST

/* Seeking fails with code, and the next batch is the one that was due anyway. */
static void expect_refused(struct ps_batches *batches, struct ps_span position, enum ps_code code)
{
    struct ps_error err = PS_ERROR_INIT;
    uint8_t before[PS_BATCHES_POSITION_BYTES];
    uint8_t after[PS_BATCHES_POSITION_BYTES];
    ps_batches_position(batches, before);
    ck_assert_int_eq(ps_batches_seek(batches, position, &err), code);
    ck_assert_ptr_nonnull(strstr(err.message, "data position"));
    ps_batches_position(batches, after);
    ck_assert_mem_eq(before, after, sizeof before);
}

START_TEST(damaged_positions_are_refused)
{
    struct ps_batches *batches = make(0, 2, 9);
    uint8_t position[PS_BATCHES_POSITION_BYTES + 1] = { 0 };
    int indices[5];
    ps_batches_position(batches, position);
    next(batches, 5, indices);
    for (size_t size = 1; size <= sizeof position; size++) {
        if (size == PS_BATCHES_POSITION_BYTES) { continue; }
        expect_refused(batches, (struct ps_span){ position, size }, PS_DATA_LOSS);
    }
    for (int i = 0; i < PS_BATCHES_POSITION_BYTES; i++) {
        position[i] ^= 0x40;
        expect_refused(batches, span(position), i == 3 ? PS_UNIMPLEMENTED : PS_DATA_LOSS);
        position[i] ^= 0x40;
    }
    ck_assert_int_eq(ps_batches_seek(batches, span(position), NULL), PS_OK);
    ps_batches_destroy(batches);
}
END_TEST

/* A whole checksum does not excuse a place that the share does not have. */
START_TEST(an_offset_beyond_the_share_is_refused)
{
    struct ps_batches *batches = make(0, 2, 9);
    uint8_t position[PS_BATCHES_POSITION_BYTES];
    ps_batches_position(batches, position);
    position[36] = (uint8_t)ps_batches_share(batches);
    uint32_t crc = ps_crc32c(0, position, PS_BATCHES_POSITION_BYTES - 4);
    for (int i = 0; i < 4; i++) { position[44 + i] = (uint8_t)(crc >> (8 * i)); }
    expect_refused(batches, span(position), PS_DATA_LOSS);
    ps_batches_destroy(batches);
}
END_TEST

START_TEST(positions_of_others_are_refused)
{
    struct ps_batches *mine = make(0, 2, 9);
    struct ps_batches *others[] = { make(1, 2, 9), make(0, 3, 9), make(0, 2, 8) };
    uint8_t position[PS_BATCHES_POSITION_BYTES];
    for (int i = 0; i < 3; i++) {
        ps_batches_position(others[i], position);
        expect_refused(mine, span(position), PS_FAILED_PRECONDITION);
        ps_batches_destroy(others[i]);
    }
    examples.count--;
    struct ps_batches *shorter = make(0, 2, 9);
    examples.count++;
    ps_batches_position(shorter, position);
    expect_refused(mine, span(position), PS_FAILED_PRECONDITION);
    ps_batches_destroy(shorter);
    ps_batches_destroy(mine);
}
END_TEST

START_TEST(wrong_workers_are_refused)
{
    static const int wrong[][2] = { { -1, 2 }, { 2, 2 }, { 0, 0 }, { 0, COUNT + 1 } };
    for (int i = 0; i < 4; i++) {
        const struct ps_batches_options options = { &examples, FEATURES, wrong[i][0], wrong[i][1],
                                                    1 };
        struct ps_batches *batches = NULL;
        ck_assert_int_eq(ps_batches_create(&options, &batches, NULL), PS_INVALID_ARGUMENT);
        ck_assert_ptr_null(batches);
    }
}
END_TEST

START_TEST(every_failed_allocation_is_reported)
{
    const struct ps_batches_options options = { &examples, FEATURES, 0, 1, 1 };
    for (int failing = 1; failing <= 2; failing++) {
        struct ps_batches *batches = NULL;
        ps_alloc_fail_at(failing);
        ck_assert_int_eq(ps_batches_create(&options, &batches, NULL), PS_RESOURCE_EXHAUSTED);
        ps_alloc_fail_at(0);
        ck_assert_ptr_null(batches);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batches");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, every_example_once_an_epoch);
    tcase_add_test(tests, epochs_and_seeds_have_orders_of_their_own);
    tcase_add_test(tests, order_and_position_are_pinned);
    tcase_add_test(tests, a_position_leads_to_the_very_next_batch);
    tcase_add_test(tests, no_position_means_the_beginning);
    tcase_add_test(tests, damaged_positions_are_refused);
    tcase_add_test(tests, an_offset_beyond_the_share_is_refused);
    tcase_add_test(tests, positions_of_others_are_refused);
    tcase_add_test(tests, wrong_workers_are_refused);
    tcase_add_test(tests, every_failed_allocation_is_reported);
    suite_add_tcase(suite, tests);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
