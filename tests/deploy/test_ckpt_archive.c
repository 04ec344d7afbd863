/* Archives of tensors: boxes in order, 64-bit zip records, every damaged byte, every failed call.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/philox.h"
#include "deploy/ckpt_priv.h"
#include "deploy/npz.h"
#include "deploy/safetensors_reader.h"
#include "deploy/safetensors_writer.h"
#include "deploy/zip_writer.h"

static char directory[64];
static char path[96];

static void make_directory(void)
{
    snprintf(directory, sizeof directory, "/tmp/paramd-test-archive-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/archive", directory);
}

static void remove_directory(void)
{
    unlink(path);
    ck_assert_int_eq(rmdir(directory), 0); /* so nothing temporary was left either */
}

/* ---- Boxes ---- */

static void check_walk(const struct ps_shape *shape, int64_t max_elements)
{
    struct psi_ckpt_walk walk;
    struct ps_slice box;
    int64_t next = 0, count;
    psi_ckpt_walk_init(&walk, shape, max_elements);
    while (psi_ckpt_walk_next(&walk, &box, &count)) {
        int64_t first = 0, last = 0, elements = 1;
        ck_assert_int_eq(ps_slice_check(&box, shape, NULL), PS_OK);
        for (int i = 0; i < shape->rank; i++) {
            first = first * shape->dims[i] + box.extents[i].start;
            last = last * shape->dims[i] + box.extents[i].start + box.extents[i].length - 1;
            elements *= box.extents[i].length;
        }
        ck_assert_int_eq(elements, count);
        ck_assert_int_le(count, max_elements);
        ck_assert_int_eq(first, next); /* in order, and without gaps: a box is one run */
        ck_assert_int_eq(last - first + 1, count);
        next = last + 1;
    }
    ck_assert_int_eq(next, ps_shape_elements(shape));
}

START_TEST(boxes_cover_a_tensor_in_order)
{
    struct ps_rng rng = ps_rng_make(1, PS_STREAM_TEST);
    for (int round = 0; round < 2000; round++) {
        struct ps_shape shape = { .rank = (int)ps_rng_below(&rng, 5) };
        for (int i = 0; i < shape.rank; i++) { shape.dims[i] = (int64_t)ps_rng_below(&rng, 7); }
        check_walk(&shape, 1 + (int64_t)ps_rng_below(&rng, 40));
    }
    check_walk(&(struct ps_shape){ 2, { 1, 1000000 } }, 300000);
    check_walk(&(struct ps_shape){ 3, { 1000, 1, 1 } }, 7);
}
END_TEST

/* ---- What is written and read ---- */

enum { TENSORS = 4, BYTES_MAX = 64 };

static const struct ps_archive_tensor samples[TENSORS] = {
    { (char[]){ "a/b" }, PS_FLOAT, { 2, { 2, 3 } } },
    { (char[]){ "empty" }, PS_INT64, { 1, { 0 } } },
    { (char[]){ "\xc3\xbc" }, PS_BFLOAT16, { 1, { 5 } } },
    { (char[]){ "scalar" }, PS_BOOL, { 0, { 0 } } },
};

static uint8_t sample_byte(size_t tensor, size_t at)
{
    return samples[tensor].dtype == PS_BOOL ? 1 : (uint8_t)(tensor * 100 + at * 7);
}

enum kind { NPZ, NPZ_WIDE, SAFETENSORS, KINDS };

static enum ps_code create(enum kind kind, const struct ps_archive_list *tensors,
                           struct ps_archive_writer **writer_out, struct ps_error *err)
{
    const struct ps_zip_writer_options wide = { .wide_from = 1 };
    if (kind == SAFETENSORS) {
        return ps_safetensors_writer_create(path, tensors, writer_out, err);
    }
    return ps_npz_writer_create(path, tensors, kind == NPZ_WIDE ? &wide : NULL, writer_out, err);
}

static enum ps_code write_samples(enum kind kind, struct ps_error *err)
{
    struct ps_archive_list tensors = { .items = NULL };
    struct ps_archive_writer *writer = NULL;
    enum ps_code rc = PS_OK;
    for (size_t i = 0; rc == PS_OK && i < TENSORS; i++) {
        rc = ps_archive_list_add(&tensors, &samples[i], err);
    }
    if (rc == PS_OK) { rc = create(kind, &tensors, &writer, err); }
    for (size_t i = 0; rc == PS_OK && i < TENSORS; i++) {
        rc = writer->ops->begin(writer, i, err);
        for (size_t at = 0; rc == PS_OK && at < ps_archive_size_bytes(&samples[i]); at++) {
            uint8_t byte = sample_byte(i, at);
            rc = writer->ops->append(writer, &byte, 1, err);
        }
        if (rc == PS_OK) { rc = writer->ops->end(writer, err); }
    }
    if (rc == PS_OK) { rc = writer->ops->finish(writer, err); }
    if (writer != NULL) { writer->ops->destroy(writer); }
    ps_archive_list_clean(&tensors);
    return rc;
}

struct collected {
    uint8_t bytes[BYTES_MAX];
    size_t size;
};

static enum ps_code collect(void *ctx, const void *data, size_t size, struct ps_error *err)
{
    struct collected *collected = ctx;
    (void)err;
    ck_assert_uint_le(size, BYTES_MAX - collected->size);
    memcpy(collected->bytes + collected->size, data, size);
    collected->size += size;
    return PS_OK;
}

/* Reads everything. *same_out: it is what write_samples wrote. */
static enum ps_code read_samples(enum kind kind, bool *same_out, struct ps_error *err)
{
    struct ps_archive_reader *reader;
    enum ps_code rc = kind == SAFETENSORS ? ps_safetensors_reader_open(path, &reader, err)
                                          : ps_npz_reader_open(path, &reader, err);
    *same_out = rc == PS_OK && reader->tensors.count == TENSORS;
    for (size_t i = 0; rc == PS_OK && i < reader->tensors.count; i++) {
        const struct ps_archive_tensor *tensor = &reader->tensors.items[i];
        struct collected collected = { .size = 0 };
        rc = reader->ops->stream(reader, i, collect, &collected, err);
        if (rc != PS_OK) { break; }
        ck_assert_uint_eq(collected.size, ps_archive_size_bytes(tensor));
        size_t s = 0;
        while (s < TENSORS && strcmp(samples[s].name, tensor->name) != 0) { s++; }
        *same_out = *same_out && s < TENSORS && tensor->dtype == samples[s].dtype &&
                    ps_shape_equal(&tensor->shape, &samples[s].shape);
        for (size_t at = 0; *same_out && at < collected.size; at++) {
            *same_out = collected.bytes[at] == sample_byte(s, at);
        }
    }
    if (reader != NULL) { reader->ops->close(reader); }
    return rc;
}

START_TEST(what_is_written_is_read)
{
    bool same;
    struct ps_error error = PS_ERROR_INIT;
    ck_assert_msg(write_samples((enum kind)_i, &error) == PS_OK, "%s", error.message);
    ck_assert_msg(read_samples((enum kind)_i, &same, &error) == PS_OK, "%s", error.message);
    ck_assert(same);
}
END_TEST

static struct ps_buf load(void)
{
    struct ps_buf buf = { .data = NULL };
    FILE *file = fopen(path, "rb");
    uint8_t piece[4096];
    size_t size;
    ck_assert_ptr_nonnull(file);
    while ((size = fread(piece, 1, sizeof piece, file)) > 0) {
        ck_assert_int_eq(ps_buf_append(&buf, piece, size, NULL), PS_OK);
    }
    fclose(file);
    return buf;
}

static void store(const uint8_t *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

/* Every byte changed in three ways: refused with a text, or, in an archive with checksums, nothing
 * changes. */
START_TEST(every_damaged_byte)
{
    static const uint8_t flips[] = { 0x01, 0x80, 0xff };
    enum kind kind = (enum kind)(_i / 3);
    bool same;
    ck_assert_int_eq(write_samples(kind, NULL), PS_OK);
    struct ps_buf whole = load();
    for (size_t at = 0; at < whole.size; at++) {
        struct ps_error error = PS_ERROR_INIT;
        whole.data[at] ^= flips[_i % 3];
        store(whole.data, whole.size);
        enum ps_code rc = read_samples(kind, &same, &error);
        ck_assert_msg(rc == PS_OK || error.message[0] != '\0', "byte %zu: no text", at);
        ck_assert_msg(rc != PS_OK || same || kind == SAFETENSORS, "byte %zu: taken, changed", at);
        whole.data[at] ^= flips[_i % 3];
    }
    ps_buf_clean(&whole);
}
END_TEST

START_TEST(every_cut_length)
{
    bool same;
    ck_assert_int_eq(write_samples((enum kind)_i, NULL), PS_OK);
    struct ps_buf whole = load();
    for (size_t size = 0; size < whole.size; size++) {
        struct ps_error error = PS_ERROR_INIT;
        store(whole.data, size);
        ck_assert_int_ne(read_samples((enum kind)_i, &same, &error), PS_OK);
        ck_assert_msg(strstr(error.message, path) != NULL, "%s", error.message);
    }
    ps_buf_clean(&whole);
}
END_TEST

START_TEST(every_failed_allocation)
{
    bool same;
    long count = 1;
    enum ps_code rc;
    do {
        ps_alloc_fail_at(count++);
        rc = write_samples((enum kind)_i, NULL);
        ps_alloc_fail_at(0);
        ck_assert(rc == PS_OK || rc == PS_RESOURCE_EXHAUSTED);
        ck_assert_int_eq(access(path, F_OK), rc == PS_OK ? 0 : -1); /* whole or not at all */
    } while (rc != PS_OK);
    for (count = 1, rc = PS_INTERNAL; rc != PS_OK; count++) {
        ps_alloc_fail_at(count);
        rc = read_samples((enum kind)_i, &same, NULL);
        ps_alloc_fail_at(0);
        ck_assert(rc == PS_OK || rc == PS_RESOURCE_EXHAUSTED);
    }
    ck_assert(same);
}
END_TEST

START_TEST(names_that_are_no_utf8)
{
    static const char *const bad[] = {
        "", "\x80", "\xc0\x80", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\xff"
    };
    static const char *const good[] = { "a", "\xc3\xbc", "\xe6\x9d\x83", "\xf0\x9f\x98\x80" };
    struct ps_archive_list list = { .items = NULL };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ps_archive_tensor tensor = { (char *)(uintptr_t)bad[i], PS_FLOAT, { 0, { 0 } } };
        ck_assert_int_eq(ps_archive_list_add(&list, &tensor, NULL), PS_INVALID_ARGUMENT);
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct ps_archive_tensor tensor = { (char *)(uintptr_t)good[i], PS_FLOAT, { 0, { 0 } } };
        ck_assert_int_eq(ps_archive_list_add(&list, &tensor, NULL), PS_OK);
    }
    ps_archive_list_clean(&list);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ckpt_archive");
    TCase *files = tcase_create("files"), *plain = tcase_create("plain");
    tcase_add_checked_fixture(files, make_directory, remove_directory);
    tcase_add_loop_test(files, what_is_written_is_read, 0, KINDS);
    tcase_add_loop_test(files, every_damaged_byte, 0, 3 * KINDS);
    tcase_add_loop_test(files, every_cut_length, 0, KINDS);
    tcase_add_loop_test(files, every_failed_allocation, 0, KINDS);
    tcase_set_timeout(files, 60);
    tcase_add_test(plain, boxes_cover_a_tensor_in_order);
    tcase_add_test(plain, names_that_are_no_utf8);
    suite_add_tcase(suite, files);
    suite_add_tcase(suite, plain);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
