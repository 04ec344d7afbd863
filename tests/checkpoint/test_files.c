/* One behaviour for every file system: POSIX and the one in memory run the same tests. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "tests/checkpoint/bundle_fixture.h"
#include "tests/checkpoint/memory_files.h"

static struct ps_error error;
static struct ps_memory_files *memory;
static const struct ps_files *files;
static char directory[PS_PATH_BYTES];

static void setup_posix(void)
{
    files = ps_files_posix();
    fixture_mkdir(directory);
}

static void teardown_posix(void)
{
    fixture_rmdir(directory);
}

static void setup_memory(void)
{
    memory = ps_memory_files_create();
    files = ps_memory_files_table(memory);
    snprintf(directory, sizeof directory, "d");
}

static void teardown_memory(void)
{
    ps_memory_files_destroy(memory);
}

static const char *in_directory(const char *name)
{
    static struct ps_path path;
    ck_ok(ps_path_set(&path, &error, "%s/%s", directory, name));
    return path.text;
}

static void write_file(const char *name, const char *text)
{
    struct ps_file *file;
    ck_ok(files->create(files->ctx, in_directory(name), &file, &error));
    ck_ok(file->ops->append(file, text, strlen(text), &error));
    ck_ok(file->ops->sync(file, &error));
    ck_ok(file->ops->close(file, &error));
}

static void expect_file(const char *name, const char *text)
{
    char found[64] = "";
    struct ps_file *file;
    struct ps_file_info info;
    ck_ok(files->open(files->ctx, in_directory(name), &file, &error));
    ck_ok(file->ops->info(file, &info, &error));
    ck_assert_uint_eq(info.size_bytes, strlen(text));
    ck_ok(file->ops->read_at(file, 0, found, (size_t)info.size_bytes, &error));
    ck_assert_str_eq(found, text);
    ps_files_drop(&file);
    ck_assert_ptr_null(file);
}

START_TEST(test_write_and_read)
{
    char two[3] = "";
    struct ps_file *file;
    write_file("a", "hello");
    expect_file("a", "hello");
    ck_ok(files->open(files->ctx, in_directory("a"), &file, &error));
    ck_ok(file->ops->read_at(file, 3, two, 2, &error));
    ck_assert_str_eq(two, "lo");
    ck_ok(file->ops->read_at(file, 5, two, 0, &error));
    ck_assert_int_eq(file->ops->read_at(file, 4, two, 2, &error), PS_DATA_LOSS);
    ck_assert_int_eq(file->ops->read_at(file, UINT64_MAX - 1, two, 2, &error), PS_DATA_LOSS);
    ps_files_drop(&file);
}
END_TEST

START_TEST(test_names)
{
    struct ps_file *file;
    struct ps_file_info before, after;
    write_file("a", "1");
    write_file("b", "2");
    ck_assert_int_eq(files->create(files->ctx, in_directory("a"), &file, &error),
                     PS_ALREADY_EXISTS);
    ck_assert_ptr_null(file);
    expect_file("a", "1");
    ck_ok(files->stat(files->ctx, in_directory("a"), &before, &error));
    struct ps_path from;
    ck_ok(ps_path_set(&from, &error, "%s/a", directory));
    ck_ok(files->rename(files->ctx, from.text, in_directory("b"), &error));
    ck_ok(files->stat(files->ctx, in_directory("b"), &after, &error));
    ck_assert_uint_eq(before.inode, after.inode);
    expect_file("b", "1");
    ck_ok(files->sync_dir(files->ctx, directory, &error));
    ck_assert_int_eq(files->rename(files->ctx, from.text, in_directory("c"), &error), PS_NOT_FOUND);
    ck_assert_int_eq(files->open(files->ctx, in_directory("a"), &file, &error), PS_NOT_FOUND);
    ck_assert_int_eq(files->stat(files->ctx, in_directory("a"), &after, &error), PS_NOT_FOUND);
    ck_assert_int_eq(files->unlink(files->ctx, in_directory("a"), &error), PS_NOT_FOUND);
    ck_ok(ps_files_remove(files, in_directory("a"), &error));
    ck_ok(ps_files_remove(files, in_directory("b"), &error));
    ck_assert_int_eq(files->mkdir(files->ctx, directory, &error), PS_ALREADY_EXISTS);
}
END_TEST

static enum ps_code count_name(void *visit_ctx, const char *name, struct ps_error *err)
{
    int *count = visit_ctx;
    if (strcmp(name, "stop") == 0) { return ps_fail(err, PS_CANCELLED, "stopped"); }
    ck_assert(strcmp(name, "a") == 0 || strcmp(name, "b") == 0);
    ++*count;
    return PS_OK;
}

START_TEST(test_list)
{
    int count = 0;
    write_file("a", "");
    write_file("b", "");
    ck_ok(files->list(files->ctx, directory, count_name, &count, &error));
    ck_assert_int_eq(count, 2);
    write_file("stop", "");
    ck_assert_int_eq(files->list(files->ctx, directory, count_name, &count, &error), PS_CANCELLED);
}
END_TEST

START_TEST(test_replace)
{
    write_file("s", "old");
    write_file("s.tmp", "of a crash");
    ck_ok(ps_files_replace(files, in_directory("s"), "new", 3, &error));
    expect_file("s", "new");
    ck_assert_int_eq(files->unlink(files->ctx, in_directory("s.tmp"), &error), PS_NOT_FOUND);
}
END_TEST

/* Sizes around the alignment of unbuffered writes, from aligned and crooked memory. */
START_TEST(test_posix_large_appends)
{
    static const size_t sizes[] = { 8192, 1, 4095, 4096, 100, 65536, 3996, 1 << 20, 7 };
    enum { TOTAL = 3 << 20 };
    uint8_t *memory_bytes = ps_alloc(TOTAL + 8192);
    uint8_t *back = ps_alloc(TOTAL);
    struct ps_file *file;
    ck_assert(memory_bytes != NULL && back != NULL);
    uint8_t *aligned = memory_bytes + (4096 - (uintptr_t)memory_bytes % 4096);
    for (size_t i = 0; i < TOTAL; i++) { aligned[i] = (uint8_t)(i * 31 >> 3); }
    ck_ok(files->create(files->ctx, in_directory("large"), &file, &error));
    size_t at = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        ck_ok(file->ops->append(file, aligned + at, sizes[i], &error));
        at += sizes[i];
    }
    ck_ok(file->ops->sync(file, &error));
    ck_ok(file->ops->close(file, &error));
    struct ps_buf found = fixture_read_file(in_directory("large"));
    ck_assert_uint_eq(found.size, at);
    ck_assert_mem_eq(found.data, aligned, at);
    ps_buf_clean(&found);
    ps_free(memory_bytes);
    ps_free(back);
}
END_TEST

START_TEST(test_posix_directories)
{
    struct ps_file_info info;
    struct ps_path deep;
    ck_ok(ps_path_set(&deep, &error, "%s/x/y//z", directory));
    ck_ok(ps_files_mkdirs(files, deep.text, &error));
    ck_ok(ps_files_mkdirs(files, deep.text, &error));
    ck_ok(files->stat(files->ctx, deep.text, &info, &error));
    ck_assert(info.is_directory);
    write_file("file", "");
    ck_ok(ps_path_set(&deep, &error, "%s/file/z", directory));
    ck_assert_int_eq(ps_files_mkdirs(files, deep.text, &error), PS_FAILED_PRECONDITION);
    ck_assert_ptr_nonnull(strstr(error.message, "is a file where a directory is needed"));
}
END_TEST

/* The whole way on a real disk: save, save again with more shards, read, remove. */
START_TEST(test_posix_checkpoint)
{
    long value;
    struct ps_path prefix;
    ck_ok(ps_path_set(&prefix, &error, "%s/sub/model.ckpt", directory));
    struct fixture_save save = {
        .prefix = prefix.text, .files = files, .value = 5, .part_count = 1
    };
    ck_ok(fixture_save(&save, &error));
    ck_ok(fixture_load(NULL, prefix.text, &value, &error));
    ck_assert_int_eq(value, 5);
    save = (struct fixture_save){
        .prefix = prefix.text, .files = files, .id = 6, .value = 6, .part_count = 3
    };
    ck_ok(fixture_save(&save, &error));
    ck_ok(fixture_load(files, prefix.text, &value, &error));
    ck_assert_int_eq(value, 6);
}
END_TEST

START_TEST(test_path_helpers)
{
    struct ps_path path;
    static const char *const cases[][3] = {
        { "a/b/c", "a/b", "c" }, { "c", ".", "c" }, { "/c", "/", "c" }, { "a/", "a", "" }
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ps_path_directory(cases[i][0], &path);
        ck_assert_str_eq(path.text, cases[i][1]);
        ck_assert_str_eq(ps_path_base(cases[i][0]), cases[i][2]);
    }
    ck_assert_int_eq(ps_path_set(&path, &error, "%*s", PS_PATH_BYTES, ""), PS_INVALID_ARGUMENT);
}
END_TEST

static void add_common(Suite *suite, const char *name, SFun setup, SFun teardown)
{
    TCase *tcase = tcase_create(name);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_write_and_read);
    tcase_add_test(tcase, test_names);
    tcase_add_test(tcase, test_list);
    tcase_add_test(tcase, test_replace);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    Suite *suite = suite_create("files");
    add_common(suite, "posix", setup_posix, teardown_posix);
    add_common(suite, "memory", setup_memory, teardown_memory);
    TCase *tcase = tcase_create("posix_only");
    tcase_add_checked_fixture(tcase, setup_posix, teardown_posix);
    tcase_add_test(tcase, test_posix_large_appends);
    tcase_add_test(tcase, test_posix_directories);
    tcase_add_test(tcase, test_posix_checkpoint);
    tcase_add_test(tcase, test_path_helpers);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
