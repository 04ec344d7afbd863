/* What was saved comes back: every type, shape, name, slicing, and in pieces of any size. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/philox.h"
#include "tests/checkpoint/bundle_fixture.h"
#include "tests/checkpoint/memory_files.h"

static struct ps_error error;
static struct ps_memory_files *memory;
static const struct ps_files *files;
static struct ps_bundle_writer *writer;

static void setup(void)
{
    const struct ps_bundle_writer_options options = { .id = 5 };
    memory = ps_memory_files_create();
    files = ps_memory_files_table(memory);
    struct ps_bundle_writer_options with = options;
    with.files = files;
    ck_ok(ps_bundle_writer_create("d/m", &with, &writer, &error));
}

static void teardown(void)
{
    ps_bundle_writer_destroy(writer);
    ps_memory_files_destroy(memory);
}

static struct ps_bundle_reader *finish_and_open(void)
{
    struct ps_bundle_reader *reader;
    ck_ok(ps_bundle_writer_finish(writer, &error));
    ps_bundle_writer_destroy(writer);
    writer = NULL;
    ck_ok(ps_bundle_reader_open(files, "d/m", &reader, &error));
    return reader;
}

static const enum ps_dtype dtypes[] = { PS_FLOAT,    PS_DOUBLE, PS_INT32, PS_UINT8,  PS_INT16,
                                        PS_INT8,     PS_INT64,  PS_BOOL,  PS_UINT16, PS_HALF,
                                        PS_BFLOAT16, PS_UINT32, PS_UINT64 };
enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

START_TEST(test_every_type)
{
    uint8_t data[4 * 8], back[4 * 8];
    struct ps_bundle_info info;
    for (size_t i = 0; i < sizeof data; i++) { data[i] = (uint8_t)(i * 37 + 1); }
    for (size_t i = 0; i < DTYPES; i++) {
        const struct ps_bundle_tensor tensor = { .name = ps_dtype_name((int)dtypes[i]),
                                                 .dtype = dtypes[i],
                                                 .shape = { 2, { 2, 2 } } };
        size_t size = 4 * (size_t)ps_dtype_size(dtypes[i]);
        ck_ok(ps_bundle_writer_add(writer, &tensor, data, size, &error));
    }
    struct ps_bundle_reader *reader = finish_and_open();
    ck_assert_uint_eq(ps_bundle_reader_count(reader), DTYPES);
    for (size_t i = 0; i < DTYPES; i++) {
        const struct ps_bundle_request request = { .name = ps_dtype_name((int)dtypes[i]),
                                                   .dtype = dtypes[i] };
        size_t size = 4 * (size_t)ps_dtype_size(dtypes[i]);
        ck_ok(ps_bundle_reader_find(reader, request.name, &info, &error));
        ck_assert_int_eq(info.dtype, (int)dtypes[i]);
        ck_assert_uint_eq(info.size_bytes, size);
        ck_ok(ps_bundle_reader_read(reader, &request, back, size, &error));
        ck_assert_mem_eq(back, data, size);
        ck_ok(ps_bundle_reader_verify(reader, request.name, &error));
    }
    ps_bundle_reader_close(reader);
}
END_TEST

START_TEST(test_ten_thousand_tensors)
{
    enum { COUNT = 10000 };
    char name[64];
    for (int i = 0; i < COUNT; i++) { /* not in the order of names */
        int n = i * 7919 % COUNT;
        snprintf(name, sizeof name, "model/layer_%d/weights", n);
        const struct ps_bundle_tensor tensor = { .name = name, .dtype = PS_INT32 };
        ck_ok(ps_bundle_writer_add(writer, &tensor, &n, sizeof n, &error));
    }
    struct ps_bundle_reader *reader = finish_and_open();
    ck_assert_uint_gt(ps_memory_files_get(memory, "d/m.index").size, 262144); /* two blocks */
    ck_assert_uint_eq(ps_bundle_reader_count(reader), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        int expected, found = -1;
        struct ps_bundle_info info = ps_bundle_reader_info(reader, i);
        const struct ps_bundle_request request = { .name = info.name };
        ck_assert_int_eq(sscanf(info.name, "model/layer_%d/weights", &expected), 1);
        ck_ok(ps_bundle_reader_read(reader, &request, &found, sizeof found, &error));
        ck_assert_int_eq(found, expected);
        if (i == 0) { continue; }
        ck_assert_int_lt(strcmp(ps_bundle_reader_info(reader, i - 1).name, info.name), 0);
    }
    ps_bundle_reader_close(reader);
}
END_TEST

START_TEST(test_names_and_odd_shapes)
{
    static const struct {
        const char *name;
        struct ps_shape shape;
    } tensors[] = {
        { "a", { 0, { 0 } } },
        { "a/b", { 1, { 1 } } },
        { "a/b/Adam_1", { 3, { 2, 0, 3 } } },
        { "Gewicht/\xc3\xbc", { 2, { 1, 2 } } },
        { "\xe6\x9d\x83\xe9\x87\x8d", { 8, { 1, 1, 2, 1, 1, 1, 1, 1 } } },
        { "\xff\xfe not utf-8", { 1, { 3 } } },
        { " spaces and \"quotes\"", { 1, { 0 } } },
    };
    float data[3] = { 1.5f, -2, 3 }, back[3];
    size_t count = sizeof tensors / sizeof tensors[0];
    for (size_t i = 0; i < count; i++) {
        const struct ps_bundle_tensor tensor = { .name = tensors[i].name,
                                                 .dtype = PS_FLOAT,
                                                 .shape = tensors[i].shape };
        size_t size = 4 * (size_t)ps_shape_elements(&tensor.shape);
        ck_ok(ps_bundle_writer_add(writer, &tensor, data, size, &error));
    }
    struct ps_bundle_reader *reader = finish_and_open();
    for (size_t i = 0; i < count; i++) {
        struct ps_bundle_info info;
        const struct ps_bundle_request request = { .name = tensors[i].name, .dtype = PS_FLOAT };
        size_t size = 4 * (size_t)ps_shape_elements(&tensors[i].shape);
        ck_ok(ps_bundle_reader_find(reader, request.name, &info, &error));
        ck_assert(ps_shape_equal(&info.shape, &tensors[i].shape));
        ck_ok(ps_bundle_reader_read(reader, &request, back, size, &error));
        ck_assert(memcmp(back, data, size) == 0);
        ck_ok(ps_bundle_reader_expect(reader, request.name, PS_FLOAT, &tensors[i].shape, &error));
    }
    ps_bundle_reader_close(reader);
}
END_TEST

START_TEST(test_strings)
{
    enum { COUNT = 300, LONG = 100000 };
    static char bytes[LONG];
    struct ps_span in[COUNT];
    struct ps_bundle_strings out;
    const struct ps_shape shape = { 2, { 3, 100 } };
    const struct ps_shape none = { 1, { 0 } };
    memset(bytes, '\0', sizeof bytes);
    for (size_t i = 0; i < COUNT; i++) {
        bytes[i] = (char)i;
        in[i] = (struct ps_span){ (const uint8_t *)bytes + i, i == 7 ? LONG - 7 : i % 200 };
    }
    struct ps_bundle_part *part = ps_bundle_writer_part(writer);
    ck_ok(ps_bundle_part_strings(part, "strings", &shape, in, &error));
    ck_ok(ps_bundle_part_strings(part, "none", &none, NULL, &error));
    struct ps_bundle_reader *reader = finish_and_open();
    ck_ok(ps_bundle_reader_read_strings(reader, "strings", &out, &error));
    ck_assert_uint_eq(out.count, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        ck_assert_uint_eq(out.items[i].size, in[i].size);
        ck_assert(memcmp(out.items[i].data, in[i].data, in[i].size) == 0);
    }
    ps_bundle_strings_clean(&out);
    ck_ok(ps_bundle_reader_read_strings(reader, "none", &out, &error));
    ck_assert_uint_eq(out.count, 0);
    ps_bundle_strings_clean(&out);
    ck_ok(ps_bundle_reader_verify(reader, "strings", &error));
    ps_bundle_reader_close(reader);
}
END_TEST

/* ---- slices ---- */

enum { CUBE = 5, CUBE_ELEMENTS = CUBE * CUBE * 2 * CUBE };

static const struct ps_shape cube = { 4, { CUBE, CUBE, 2, CUBE } };

static void fill_slice(const struct ps_slice *slice, int16_t *out)
{
    int64_t n = 0;
    for (int64_t a = 0; a < slice->extents[0].length; a++) {
        for (int64_t b = 0; b < slice->extents[1].length; b++) {
            for (int64_t c = 0; c < slice->extents[2].length; c++) {
                for (int64_t d = 0; d < slice->extents[3].length; d++) {
                    int64_t value = slice->extents[0].start + a;
                    value = value * CUBE + slice->extents[1].start + b;
                    value = value * 2 + slice->extents[2].start + c;
                    value = value * CUBE + slice->extents[3].start + d;
                    out[n++] = (int16_t)value;
                }
            }
        }
    }
}

/* Cuts a box in two at a random place, again and again, and stores the pieces. */
static void store_pieces(struct ps_slice box, int depth, struct ps_rng *rng)
{
    int16_t data[CUBE_ELEMENTS];
    int axis = (int)ps_rng_below(rng, 4);
    int64_t length = box.extents[axis].length;
    if (depth > 0 && length > 1) {
        int64_t cut = 1 + (int64_t)ps_rng_below(rng, (uint64_t)length - 1);
        struct ps_slice rest = box;
        box.extents[axis].length = cut;
        rest.extents[axis].start += cut;
        rest.extents[axis].length -= cut;
        store_pieces(box, depth - 1, rng);
        store_pieces(rest, depth - 1, rng);
        return;
    }
    const struct ps_bundle_tensor tensor = {
        .name = "cube", .dtype = PS_INT16, .shape = cube, .slice = &box
    };
    struct ps_shape shape = ps_slice_shape(&box);
    fill_slice(&box, data);
    ck_ok(
        ps_bundle_writer_add(writer, &tensor, data, 2 * (size_t)ps_shape_elements(&shape), &error));
}

/* Any stored slicing, read as any box: 40 random slicings, 60 random boxes each. */
START_TEST(test_any_slicing_into_any)
{
    struct ps_rng rng = ps_rng_make((uint64_t)_i, PS_STREAM_TEST);
    store_pieces(ps_slice_whole(&cube), _i % 6, &rng);
    struct ps_bundle_reader *reader = finish_and_open();
    for (int round = 0; round < 60; round++) {
        int16_t expected[CUBE_ELEMENTS], found[CUBE_ELEMENTS];
        struct ps_slice box = ps_slice_whole(&cube);
        for (int axis = 0; axis < 4 && round > 0; axis++) {
            uint64_t dim = (uint64_t)cube.dims[axis];
            int64_t start = (int64_t)ps_rng_below(&rng, dim);
            box.extents[axis].start = start;
            box.extents[axis].length = 1 + (int64_t)ps_rng_below(&rng, dim - (uint64_t)start);
        }
        struct ps_shape shape = ps_slice_shape(&box);
        size_t size = 2 * (size_t)ps_shape_elements(&shape);
        const struct ps_bundle_request request = { .name = "cube", .slice = &box };
        ck_ok(ps_bundle_reader_read(reader, &request, found, size, &error));
        fill_slice(&box, expected);
        ck_assert_msg(memcmp(found, expected, size) == 0, "slicing %d, box %d", _i, round);
    }
    ck_ok(ps_bundle_reader_verify(reader, "cube", &error));
    ps_bundle_reader_close(reader);
}
END_TEST

/* A tensor larger than every buffer, by rows and by columns, read by rows and by columns. */
START_TEST(test_large_tensor_in_pieces)
{
    enum { ROWS = 700, COLUMNS = 1000 };
    uint32_t *data = malloc(ROWS * COLUMNS * sizeof *data);
    uint32_t *column = malloc(ROWS * sizeof *column);
    ck_assert(data != NULL && column != NULL);
    for (uint32_t i = 0; i < ROWS * COLUMNS; i++) { data[i] = i * 2654435761u; }
    const struct ps_bundle_tensor tensor = { .name = "w",
                                             .dtype = PS_UINT32,
                                             .shape = { 2, { ROWS, COLUMNS } } };
    struct ps_bundle_part *part = ps_bundle_writer_part(writer);
    ck_ok(ps_bundle_part_begin(part, &tensor, &error));
    const char *bytes = (const char *)data;
    for (size_t at = 0, size = ROWS * COLUMNS * 4; at < size; at += 99991) {
        ck_ok(
            ps_bundle_part_append(part, bytes + at, size - at < 99991 ? size - at : 99991, &error));
    }
    ck_ok(ps_bundle_part_end(part, &error));
    struct ps_bundle_reader *reader = finish_and_open();
    for (int64_t c = 0; c < COLUMNS; c += 333) {
        const struct ps_slice slice = { 2, { { 0, ROWS }, { c, 1 } } };
        const struct ps_bundle_request request = { .name = "w", .slice = &slice };
        ck_ok(ps_bundle_reader_read(reader, &request, column, ROWS * sizeof *column, &error));
        for (int64_t r = 0; r < ROWS; r++) { ck_assert_uint_eq(column[r], data[r * COLUMNS + c]); }
    }
    for (int64_t r = 0; r < ROWS; r += 70) {
        uint32_t *rows = malloc(70 * COLUMNS * sizeof *rows);
        const struct ps_slice slice = ps_slice_of_rows(&tensor.shape, (struct ps_rows){ r, 70 });
        const struct ps_bundle_request request = { .name = "w", .slice = &slice };
        ck_assert_ptr_nonnull(rows);
        ck_ok(ps_bundle_reader_read(reader, &request, rows, 70 * COLUMNS * sizeof *rows, &error));
        ck_assert(memcmp(rows, data + r * COLUMNS, 70 * COLUMNS * sizeof *rows) == 0);
        free(rows);
    }
    ps_bundle_reader_close(reader);
    free(data);
    free(column);
}
END_TEST

START_TEST(test_part_refuses)
{
    const float data[4] = { 0 };
    struct ps_slice slice = { 1, { { 1, 2 } } };
    struct ps_bundle_tensor tensor = { .name = "w", .dtype = PS_FLOAT, .shape = { 1, { 2 } } };
    struct ps_bundle_part *part = ps_bundle_writer_part(writer);
    ck_assert_int_eq(ps_bundle_writer_add(writer, &tensor, data, 7, &error), PS_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "tensor 'w': 7 bytes of 8");
    ck_ok(ps_bundle_part_begin(part, &tensor, &error));
    ck_assert_int_eq(ps_bundle_part_append(part, data, 9, &error), PS_INVALID_ARGUMENT);
    ck_assert_int_eq(ps_bundle_part_end(part, &error), PS_INVALID_ARGUMENT);
    tensor.slice = &slice;
    ck_assert_int_eq(ps_bundle_writer_add(writer, &tensor, data, 8, &error), PS_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "slice 1,2 does not lie in shape [2]"));
}
END_TEST

START_TEST(test_writer_refuses)
{
    const float data[4] = { 0 };
    struct ps_bundle_tensor tensor = { .name = "", .dtype = PS_FLOAT, .shape = { 1, { 2 } } };
    ck_assert_int_eq(ps_bundle_writer_add(writer, &tensor, data, 8, &error), PS_INVALID_ARGUMENT);
    tensor.name = "w";
    tensor.dtype = PS_STRING;
    ck_assert_int_eq(ps_bundle_writer_add(writer, &tensor, data, 8, &error), PS_INVALID_ARGUMENT);
    tensor.dtype = PS_FLOAT;
    ck_ok(ps_bundle_writer_add(writer, &tensor, data, 8, &error));
    ck_ok(ps_bundle_writer_add(writer, &tensor, data, 8, &error));
    ck_assert_int_eq(ps_bundle_writer_finish(writer, &error), PS_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "Duplicate tensor keyed by w encountered"));
    ps_bundle_writer_destroy(writer);
    writer = NULL;
    ck_assert_int_eq(ps_memory_files_count(memory, ""), 0); /* nothing left behind */
}
END_TEST

START_TEST(test_nothing_to_save)
{
    ck_assert_int_eq(ps_bundle_writer_finish(writer, &error), PS_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "No variables to save");
}
END_TEST

START_TEST(test_overlapping_slices_are_refused)
{
    const float data[4] = { 0 };
    struct ps_slice slice = { 1, { { 0, 2 } } };
    const struct ps_bundle_tensor tensor = {
        .name = "w", .dtype = PS_FLOAT, .shape = { 1, { 4 } }, .slice = &slice
    };
    ck_ok(ps_bundle_writer_add(writer, &tensor, data, 8, &error));
    slice.extents[0].start = 1;
    ck_ok(ps_bundle_writer_add(writer, &tensor, data, 8, &error));
    ck_assert_int_eq(ps_bundle_writer_finish(writer, &error), PS_INTERNAL);
    ck_assert_ptr_nonnull(strstr(error.message, "w: Overlapping slices"));
}
END_TEST

START_TEST(test_rows_travel)
{
    struct ps_bundle_rows back = { 0 };
    struct ps_buf bytes = { 0 }, again = { 0 };
    store_pieces(ps_slice_whole(&cube), 4, &(struct ps_rng){ 3, PS_STREAM_TEST, 0 });
    const struct ps_bundle_rows *rows = ps_bundle_part_rows(ps_bundle_writer_part(writer));
    ck_ok(ps_bundle_rows_encode(rows, &bytes, &error));
    ck_ok(ps_bundle_rows_decode((struct ps_span){ bytes.data, bytes.size }, &back, &error));
    ck_ok(ps_bundle_rows_encode(&back, &again, &error));
    ck_assert_uint_eq(again.size, bytes.size);
    ck_assert_mem_eq(again.data, bytes.data, bytes.size);
    for (size_t cut = 1; cut < bytes.size; cut++) {
        struct ps_bundle_rows part = { 0 };
        (void)!ps_bundle_rows_decode((struct ps_span){ bytes.data, cut }, &part, NULL);
        ck_assert_uint_lt(part.count, rows->count);
        ps_bundle_rows_clean(&part);
    }
    ps_bundle_rows_clean(&back);
    ps_buf_clean(&bytes);
    ps_buf_clean(&again);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bundle_round_trip");
    TCase *tcase = tcase_create("round_trip");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_every_type);
    tcase_add_test(tcase, test_ten_thousand_tensors);
    tcase_add_test(tcase, test_names_and_odd_shapes);
    tcase_add_test(tcase, test_strings);
    tcase_add_loop_test(tcase, test_any_slicing_into_any, 0, 40);
    tcase_add_test(tcase, test_large_tensor_in_pieces);
    tcase_add_test(tcase, test_part_refuses);
    tcase_add_test(tcase, test_writer_refuses);
    tcase_add_test(tcase, test_nothing_to_save);
    tcase_add_test(tcase, test_overlapping_slices_are_refused);
    tcase_add_test(tcase, test_rows_travel);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
