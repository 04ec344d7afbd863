/* Every call to the file system fails or is the last one, every allocation fails, in turn. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/recover.h"
#include "core/alloc.h"
#include "core/log.h"
#include "tests/checkpoint/bundle_fixture.h"
#include "tests/checkpoint/fault_files.h"
#include "tests/checkpoint/memory_files.h"

enum { OLD = 100, NEW = 200, CALLS_MAX = 2000, CRASHES = 6 };

static struct ps_error error;

/* Old and new saves of one prefix: shard counts equal and different, and none before. */
static const struct {
    int old_parts; /* 0: there is no old checkpoint */
    int new_parts;
} cases[] = { { 1, 1 }, { 0, 1 }, { 2, 2 }, { 3, 2 }, { 2, 3 }, { 0, 3 } };
enum { CASES = sizeof cases / sizeof cases[0] };

static void silent(void *ctx, enum ps_log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    (void)line;
}

static void hush(void)
{
    const struct ps_log_options options = { .level = PS_LOG_ERROR, .sink = silent };
    ps_log_configure(&options);
}

static enum ps_code save(const struct ps_files *files, long value, int parts)
{
    const struct fixture_save request = { .files = files,
                                          .prefix = "d/model.ckpt-1",
                                          .id = (uint64_t)value,
                                          .value = value,
                                          .part_count = parts };
    return fixture_save(&request, &error);
}

static struct ps_memory_files *with_old(int index)
{
    struct ps_memory_files *memory = ps_memory_files_create();
    if (cases[index].old_parts > 0) {
        ck_assert_int_eq(save(ps_memory_files_table(memory), OLD, cases[index].old_parts), PS_OK);
    }
    return memory;
}

/* What a restart finds: the new values if the save was acknowledged; else old or new ones, or, if
 * there was no old one, nothing. */
static void expect_sane(const struct ps_files *files, int index, bool is_acknowledged, long call)
{
    long value = 0;
    enum ps_code rc = fixture_load(files, "d/model.ckpt-1", &value, &error);
    bool may_be_none = cases[index].old_parts == 0 && !is_acknowledged;
    bool is_none = rc == PS_NOT_FOUND;
    ck_assert_msg(rc == PS_OK || (may_be_none && is_none), "case %d, call %ld: %s", index, call,
                  error.message);
    if (rc != PS_OK) { return; }
    ck_assert_msg(value == NEW || (value == OLD && !is_acknowledged),
                  "case %d, call %ld: value %ld", index, call, value);
}

/* After anything, a save works, nothing is left over, and it reads back. */
static void expect_usable(struct ps_memory_files *memory, int index, long call)
{
    long value;
    const struct ps_files *files = ps_memory_files_table(memory);
    enum ps_code rc = ps_recover_directory(files, "d", &error);
    ck_assert_msg(rc == PS_OK, "case %d, call %ld: sweep: %s", index, call, error.message);
    ck_assert_int_eq(ps_memory_files_count(memory, "tempstate"), 0);
    ck_assert_int_eq(ps_memory_files_count(memory, "commit"), 0);
    ck_assert_int_eq(save(files, NEW + 1, cases[index].new_parts), PS_OK);
    ck_assert_int_eq(ps_memory_files_count(memory, ""), cases[index].new_parts + 1);
    ck_assert_int_eq(fixture_load(files, "d/model.ckpt-1", &value, &error), PS_OK);
    ck_assert_int_eq(value, NEW + 1);
}

/* One call fails; the process lives. True while there are calls left to fail. */
static bool fail_once(int index, enum ps_fault_kind kind, long call)
{
    struct ps_fault_files fault;
    struct ps_memory_files *memory = with_old(index);
    ps_fault_files_init(&fault, ps_memory_files_table(memory), kind, call);
    enum ps_code rc = save(&fault.files, NEW, cases[index].new_parts);
    if (!fault.is_tripped) { ck_assert_int_eq(rc, PS_OK); }
    expect_sane(ps_memory_files_table(memory), index, rc == PS_OK, call);
    expect_usable(memory, index, call);
    ps_memory_files_destroy(memory);
    return fault.is_tripped;
}

START_TEST(test_each_call_fails)
{
    hush();
    static const enum ps_fault_kind kinds[] = { PS_FAULT_ONCE, PS_FAULT_LATE };
    for (int kind = 0; kind < 2; kind++) {
        long call = 1;
        while (call < CALLS_MAX && fail_once(_i, kinds[kind], call)) { call++; }
        ck_assert_int_gt(call, 20);
        ck_assert_int_lt(call, CALLS_MAX);
    }
}
END_TEST

/* The process dies at a call, and perhaps the machine with it. */
static bool kill_at(int index, long call, int crash)
{
    struct ps_fault_files fault;
    struct ps_memory_files *memory = with_old(index);
    struct ps_rng rng = ps_rng_make((uint64_t)call * CRASHES + (uint64_t)crash, PS_STREAM_TEST);
    ps_fault_files_init(&fault, ps_memory_files_table(memory), PS_FAULT_KILL, call);
    enum ps_code rc = save(&fault.files, NEW, cases[index].new_parts);
    enum ps_memory_crash how = PS_CRASH_RANDOM;
    if (crash == 0) { how = PS_CRASH_LOSES_NOTHING; }
    if (crash == 1) { how = PS_CRASH_LOSES_ALL; }
    ps_memory_files_crash(memory, how, &rng);
    /* Readers that cannot roll forward need the final names of what was acknowledged. */
    bool is_final = ps_memory_files_get(memory, "d/model.ckpt-1.index").data != NULL;
    ck_assert_msg(is_final || rc != PS_OK, "case %d, call %ld: acknowledged, then lost", index,
                  call);
    expect_sane(ps_memory_files_table(memory), index, rc == PS_OK, call);
    ps_memory_files_crash(memory, PS_CRASH_LOSES_ALL, &rng); /* again, after the roll forward */
    expect_sane(ps_memory_files_table(memory), index, rc == PS_OK, call);
    expect_usable(memory, index, call);
    ps_memory_files_destroy(memory);
    return fault.is_tripped;
}

START_TEST(test_killed_at_each_call)
{
    hush();
    for (int crash = 0; crash < CRASHES; crash++) {
        long call = 1;
        while (call < CALLS_MAX && kill_at(_i, call, crash)) { call++; }
        ck_assert_int_lt(call, CALLS_MAX);
    }
}
END_TEST

/* The reader that rolls forward is killed as well, and the one after it. */
START_TEST(test_killed_while_rolling_forward)
{
    hush();
    for (long call = 1; call < CALLS_MAX; call++) {
        struct ps_fault_files save_fault, load_fault;
        bool has_rolled = true;
        for (long second = 1; has_rolled && second < CALLS_MAX; second++) {
            long value;
            struct ps_memory_files *memory = with_old(_i);
            struct ps_rng rng = ps_rng_make((uint64_t)(call * 1000 + second), PS_STREAM_TEST);
            ps_fault_files_init(&save_fault, ps_memory_files_table(memory), PS_FAULT_KILL, call);
            enum ps_code rc = save(&save_fault.files, NEW, cases[_i].new_parts);
            ps_memory_files_crash(memory, PS_CRASH_RANDOM, &rng);
            has_rolled = ps_memory_files_count(memory, "commit") > 0;
            ps_fault_files_init(&load_fault, ps_memory_files_table(memory), PS_FAULT_KILL, second);
            (void)!fixture_load(&load_fault.files, "d/model.ckpt-1", &value, NULL);
            ps_memory_files_crash(memory, PS_CRASH_RANDOM, &rng);
            expect_sane(ps_memory_files_table(memory), _i, rc == PS_OK, call);
            has_rolled = has_rolled && load_fault.is_tripped;
            ps_memory_files_destroy(memory);
        }
        if (!save_fault.is_tripped) { return; }
    }
    ck_abort_msg("a save never ends");
}
END_TEST

/* ---- two processes ---- */

struct visitor {
    struct ps_memory_files *memory;
    int index;
    enum ps_code rc;
    long value;
};

static void visit_load(void *visit_ctx)
{
    struct visitor *visitor = visit_ctx;
    const struct ps_files *files = ps_memory_files_table(visitor->memory);
    visitor->rc = fixture_load(files, "d/model.ckpt-1", &visitor->value, &error);
}

/* A reader comes in before each call of a save, and rolls forward what it finds. */
START_TEST(test_reader_between_calls_of_a_save)
{
    hush();
    bool is_tripped = true;
    for (long call = 1; is_tripped; call++) {
        long value;
        struct ps_fault_files fault;
        struct visitor visitor = { .memory = with_old(_i), .index = _i, .rc = PS_OK, .value = OLD };
        const struct ps_files *files = ps_memory_files_table(visitor.memory);
        ps_fault_files_init(&fault, files, PS_FAULT_VISIT, call);
        fault.visit = visit_load;
        fault.visit_ctx = &visitor;
        ck_assert_msg(save(&fault.files, NEW, cases[_i].new_parts) == PS_OK, "call %ld: %s", call,
                      error.message);
        bool may_be_none = cases[_i].old_parts == 0 && visitor.rc == PS_NOT_FOUND;
        ck_assert_msg(visitor.rc == PS_OK || may_be_none, "call %ld: %s", call, error.message);
        ck_assert(visitor.rc != PS_OK || visitor.value == OLD || visitor.value == NEW);
        ck_ok(fixture_load(files, "d/model.ckpt-1", &value, &error));
        ck_assert_int_eq(value, NEW);
        is_tripped = fault.is_tripped;
        ps_memory_files_destroy(visitor.memory);
    }
}
END_TEST

static void visit_save(void *visit_ctx)
{
    struct visitor *visitor = visit_ctx;
    const struct ps_files *files = ps_memory_files_table(visitor->memory);
    visitor->rc = save(files, NEW, cases[visitor->index].new_parts);
}

/* A whole save comes in before each call of a reader: it sees one of the two, never a mixture. */
START_TEST(test_save_between_calls_of_a_reader)
{
    hush();
    bool is_tripped = true;
    for (long call = 1; is_tripped && cases[_i].old_parts > 0; call++) {
        long value = 0;
        struct ps_fault_files fault;
        struct visitor visitor = { .memory = with_old(_i), .index = _i };
        ps_fault_files_init(&fault, ps_memory_files_table(visitor.memory), PS_FAULT_VISIT, call);
        fault.visit = visit_save;
        fault.visit_ctx = &visitor;
        enum ps_code rc = fixture_load(&fault.files, "d/model.ckpt-1", &value, &error);
        ck_assert_msg(rc == PS_OK, "call %ld: %s", call, error.message);
        ck_assert(value == OLD || value == NEW);
        ck_assert_int_eq(visitor.rc, PS_OK);
        is_tripped = fault.is_tripped;
        ps_memory_files_destroy(visitor.memory);
    }
}
END_TEST

START_TEST(test_removal_is_whole_or_nothing)
{
    hush();
    for (int crash = 0; crash < CRASHES; crash++) {
        bool is_tripped = true;
        for (long call = 1; is_tripped; call++) {
            long value;
            struct ps_fault_files fault;
            struct ps_memory_files *memory = with_old(3);
            struct ps_rng rng = ps_rng_make((uint64_t)(call * CRASHES + crash), PS_STREAM_TEST);
            ps_fault_files_init(&fault, ps_memory_files_table(memory), PS_FAULT_KILL, call);
            enum ps_code removed = ps_recover_remove(&fault.files, "d/model.ckpt-1", &error);
            is_tripped = fault.is_tripped;
            ps_memory_files_crash(memory, PS_CRASH_RANDOM, &rng);
            const struct ps_files *files = ps_memory_files_table(memory);
            enum ps_code rc = fixture_load(files, "d/model.ckpt-1", &value, &error);
            ck_assert_msg((rc == PS_OK && removed != PS_OK) || rc == PS_NOT_FOUND, "call %ld: %s",
                          call, error.message);
            ck_ok(ps_recover_directory(files, "d", &error));
            int left = ps_memory_files_count(memory, "");
            ck_assert_int_eq(left, rc == PS_OK ? 4 : 0);
            ps_memory_files_destroy(memory);
        }
    }
}
END_TEST

/* The disk fills: no error is lost, the old checkpoint stays, temporary files go. */
START_TEST(test_full_disk_cleans_up)
{
    hush();
    long value;
    struct ps_fault_files fault;
    struct ps_memory_files *memory = with_old(0);
    ps_fault_files_init(&fault, ps_memory_files_table(memory), PS_FAULT_ONCE, 0);
    ck_assert_int_eq(save(&fault.files, NEW, 1), PS_OK);
    long calls = fault.call_count;
    for (long call = 1; call <= calls; call++) {
        ps_fault_files_init(&fault, ps_memory_files_table(memory), PS_FAULT_ONCE, call);
        fault.errno_value = 28; /* ENOSPC */
        enum ps_code rc = save(&fault.files, NEW + call, 1);
        ck_assert(rc == PS_OK || rc == PS_RESOURCE_EXHAUSTED);
        ck_ok(fixture_load(ps_memory_files_table(memory), "d/model.ckpt-1", &value, &error));
    }
    ps_memory_files_destroy(memory);
}
END_TEST

static bool alloc_fails_at(int index, long countdown)
{
    long value = 0;
    struct ps_memory_files *memory = with_old(index);
    const struct ps_files *files = ps_memory_files_table(memory);
    (void)ps_alloc_fail_at(countdown);
    enum ps_code rc = save(files, NEW, cases[index].new_parts);
    enum ps_code read = fixture_load(files, "d/model.ckpt-1", &value, &error);
    long made = ps_alloc_fail_at(0);
    ck_assert_msg(rc == PS_OK || rc == PS_RESOURCE_EXHAUSTED, "allocation %ld: %s", countdown,
                  error.message);
    ck_assert_msg(read == PS_OK || read == PS_RESOURCE_EXHAUSTED || read == PS_NOT_FOUND,
                  "allocation %ld: %s", countdown, error.message);
    expect_sane(files, index, rc == PS_OK, countdown);
    expect_usable(memory, index, countdown);
    ps_memory_files_destroy(memory);
    return made >= countdown;
}

START_TEST(test_each_allocation_fails)
{
    hush();
    long countdown = 1;
    while (alloc_fails_at(_i, countdown)) { countdown++; }
    ck_assert_int_gt(countdown, 20);
}
END_TEST

/* A marker whose data files are gone, or that is damaged itself, must not cost us the old one. */
START_TEST(test_damaged_marker_is_ignored)
{
    hush();
    long value;
    struct ps_memory_files *memory = with_old(0);
    struct ps_memory_files *other = with_old(3); /* three data files */
    const struct ps_files *files = ps_memory_files_table(memory);
    struct ps_span index = ps_memory_files_get(other, "d/model.ckpt-1.index");
    ps_memory_files_put(memory, "d/model.ckpt-1.index.commit77", index);
    index.size--;
    ps_memory_files_put(memory, "d/model.ckpt-1.index.commit78", index);
    ck_ok(fixture_load(files, "d/model.ckpt-1", &value, &error));
    ck_assert_int_eq(value, OLD);
    expect_usable(memory, 0, 0);
    ps_memory_files_destroy(memory);
    ps_memory_files_destroy(other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bundle_faults");
    TCase *tcase = tcase_create("faults");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, test_each_call_fails, 0, CASES);
    tcase_add_loop_test(tcase, test_killed_at_each_call, 0, CASES);
    tcase_add_loop_test(tcase, test_killed_while_rolling_forward, 0, CASES);
    tcase_add_loop_test(tcase, test_reader_between_calls_of_a_save, 0, CASES);
    tcase_add_loop_test(tcase, test_save_between_calls_of_a_reader, 0, CASES);
    tcase_add_test(tcase, test_removal_is_whole_or_nothing);
    tcase_add_test(tcase, test_full_disk_cleans_up);
    tcase_add_loop_test(tcase, test_each_allocation_fails, 0, CASES);
    tcase_add_test(tcase, test_damaged_marker_is_ignored);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
