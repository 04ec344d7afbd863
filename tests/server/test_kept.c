/* What a directory of checkpoints keeps, and which one is the latest. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "server/kept.h"
#include "tests/checkpoint/bundle_fixture.h"
#include "tests/checkpoint/memory_files.h"

static struct ps_memory_files *memory;
static const struct ps_files *files;
static struct ps_error error = PS_ERROR_INIT;

static void setup(void)
{
    memory = ps_memory_files_create();
    files = ps_memory_files_table(memory);
}

static void teardown(void)
{
    ps_memory_files_destroy(memory);
}

static void save(const char *stem, const char *prefix, long max_to_keep)
{
    const struct fixture_save content = { files, prefix, 1, 1, 1 };
    const struct ps_kept_save kept = { .files = files,
                                       .prefix = prefix,
                                       .stem = stem,
                                       .state_name = "checkpoint",
                                       .options = { .max_to_keep = max_to_keep } };
    ck_ok(fixture_save(&content, ck_err));
    ck_ok(ps_kept_enter(&kept, ck_err));
}

static void expect_list(const char *const *wanted, size_t count)
{
    struct ps_state found;
    ck_ok(ps_kept_list(files, "d", "checkpoint", &found, ck_err));
    ck_assert_uint_eq(found.count, count);
    for (size_t i = 0; i < count; i++) { ck_assert_str_eq(found.all[i].path, wanted[i]); }
    ps_state_clean(&found);
}

#define EXPECT_LIST(...)                              \
    expect_list((const char *const[]){ __VA_ARGS__ }, \
                sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *))

START_TEST(each_stem_counts_its_own)
{
    save("d/a", "d/a-1", 2);
    save("d/b", "d/b-1", 1);
    save("d/a", "d/a-2", 2);
    save("d/a", "d/a-3", 2);
    EXPECT_LIST("d/a-3", "d/a-2", "d/b-1");
    save("d/b", "d/b-2", 1);
    EXPECT_LIST("d/b-2", "d/a-3", "d/a-2");
    ck_assert_int_eq(ps_memory_files_count(memory, "a-1."), 0);
    ck_assert_int_eq(ps_memory_files_count(memory, "b-1."), 0);
    ck_assert_int_eq(ps_memory_files_count(memory, "a-2."), 2);
}
END_TEST

START_TEST(a_longer_name_is_another_stem)
{
    save("d/a", "d/a-b-1", 9);
    save("d/a-x", "d/a-x-1", 9);
    save("d/a", "d/a-7", 1);
    save("d/a", "d/a", 1);
    EXPECT_LIST("d/a", "d/a-x-1", "d/a-b-1");
    ck_assert_int_eq(ps_memory_files_count(memory, "a-7."), 0);
}
END_TEST

START_TEST(what_is_gone_is_listed_no_more)
{
    save("d/a", "d/a-1", 5);
    save("d/a", "d/a-2", 5);
    ck_ok(files->unlink(files->ctx, "d/a-1.index", ck_err));
    save("d/a", "d/a-3", 5);
    EXPECT_LIST("d/a-3", "d/a-2");
}
END_TEST

START_TEST(a_broken_state_file_is_begun_anew)
{
    static const char text[] = "model_checkpoint_path 7\n";
    save("d/a", "d/a-1", 5);
    ps_memory_files_put(memory, "d/checkpoint",
                        (struct ps_span){ (const uint8_t *)text, sizeof text - 1 });
    struct ps_state found;
    ck_assert_int_eq(ps_kept_list(files, "d", "checkpoint", &found, &error), PS_INVALID_ARGUMENT);
    save("d/a", "d/a-2", 5);
    EXPECT_LIST("d/a-2");
}
END_TEST

START_TEST(a_directory_without_a_state_file_has_no_latest)
{
    struct ps_state found;
    ck_assert_int_eq(ps_kept_list(files, "d", "checkpoint", &found, &error), PS_NOT_FOUND);
    ps_memory_files_put(memory, "d/checkpoint", (struct ps_span){ (const uint8_t *)"", 0 });
    ck_assert_int_eq(ps_kept_list(files, "d", "checkpoint", &found, &error), PS_NOT_FOUND);
    ck_assert_str_eq(error.message, "'d/checkpoint' names no latest checkpoint");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kept");
    TCase *tests = tcase_create("kept");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, each_stem_counts_its_own);
    tcase_add_test(tests, a_longer_name_is_another_stem);
    tcase_add_test(tests, what_is_gone_is_listed_no_more);
    tcase_add_test(tests, a_broken_state_file_is_begun_anew);
    tcase_add_test(tests, a_directory_without_a_state_file_has_no_latest);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
