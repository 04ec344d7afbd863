/* Runs of elements out of whole and sliced tensors; and names that are nearly right. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/bundle_range.h"
#include "checkpoint/nearest_name.h"
#include "core/philox.h"
#include "tests/checkpoint/bundle_fixture.h"
#include "tests/checkpoint/memory_files.h"

static struct ps_error error;

/* ---- Boxes ---- */

START_TEST(boxes_follow_each_other_without_gap)
{
    struct ps_rng rng = ps_rng_make(7, PS_STREAM_TEST);
    for (int round = 0; round < 2000; round++) {
        struct ps_shape shape = { .rank = (int)ps_rng_below(&rng, 5) };
        for (int i = 0; i < shape.rank; i++) { shape.dims[i] = 1 + (int64_t)ps_rng_below(&rng, 5); }
        int64_t all = ps_shape_elements(&shape), box_count = 0;
        int64_t first = (int64_t)ps_rng_below(&rng, (uint64_t)all);
        int64_t left = 1 + (int64_t)ps_rng_below(&rng, (uint64_t)(all - first));
        while (left > 0) {
            struct ps_slice box;
            int64_t taken = ps_bundle_range_box(&shape, first, left, &box);
            ck_assert(taken >= 1 && taken <= left);
            ck_assert_int_eq(ps_slice_check(&box, &shape, &error), PS_OK);
            struct ps_shape box_shape = ps_slice_shape(&box);
            ck_assert_int_eq(ps_shape_elements(&box_shape), taken);
            int64_t start = 0;
            for (int i = 0; i < shape.rank; i++) {
                start = start * shape.dims[i] + box.extents[i].start;
            }
            ck_assert_int_eq(start, first);
            first += taken;
            left -= taken;
            box_count++;
        }
        ck_assert_int_le(box_count, shape.rank == 0 ? 1 : 2 * shape.rank);
    }
}
END_TEST

/* ---- Reading ---- */

enum { ROWS = 7, COLUMNS = 5, DEPTH = 3, ELEMENTS = ROWS * COLUMNS * DEPTH };
static const struct ps_shape cube = { 3, { ROWS, COLUMNS, DEPTH } };

/* 'whole' as one, 'rows' cut by rows, and names for the nearest. */
static struct ps_bundle_reader *save_and_open(const struct ps_files *files)
{
    int32_t values[ELEMENTS];
    struct ps_bundle_writer *writer;
    struct ps_bundle_reader *reader;
    const struct ps_bundle_writer_options options = { .files = files, .id = 1 };
    struct ps_bundle_tensor tensor = { .name = "whole", .dtype = PS_INT32, .shape = cube };
    for (int i = 0; i < ELEMENTS; i++) { values[i] = 1000 + i; }
    ck_ok(ps_bundle_writer_create("d/m", &options, &writer, ck_err));
    ck_ok(ps_bundle_writer_add(writer, &tensor, values, sizeof values, ck_err));
    static const int cuts[] = { 0, 2, 3, ROWS };
    for (int i = 0; i < 3; i++) {
        struct ps_slice slice = ps_slice_of_rows(
            &cube, (struct ps_rows){ cuts[i], cuts[i + 1] - cuts[i] });
        size_t row_bytes = COLUMNS * DEPTH * sizeof values[0];
        tensor.name = "rows";
        tensor.slice = &slice;
        ck_ok(ps_bundle_writer_add(writer, &tensor, values + cuts[i] * COLUMNS * DEPTH,
                                   row_bytes * (size_t)(cuts[i + 1] - cuts[i]), ck_err));
    }
    ck_ok(ps_bundle_writer_finish(writer, ck_err));
    ps_bundle_writer_destroy(writer);
    ck_ok(ps_bundle_reader_open(files, "d/m", &reader, ck_err));
    return reader;
}

START_TEST(every_range_of_whole_and_sliced)
{
    static const char *const names[] = { "whole", "rows" };
    struct ps_memory_files *memory = ps_memory_files_create();
    struct ps_bundle_reader *reader = save_and_open(ps_memory_files_table(memory));
    for (int k = 0; k < 2; k++) {
        struct ps_bundle_info info;
        ck_ok(ps_bundle_reader_find(reader, names[k], &info, ck_err));
        for (int64_t first = 0; first <= ELEMENTS; first++) {
            for (int64_t count = 0; count <= ELEMENTS - first; count++) {
                int32_t out[ELEMENTS + 1];
                memset(out, 0xee, sizeof out);
                ck_ok(ps_bundle_range_read(reader, &info, first, count, out, ck_err));
                bool is_right = out[count] == (int32_t)0xeeeeeeee;
                for (int64_t i = 0; i < count; i++) {
                    is_right = is_right && out[i] == 1000 + first + i;
                }
                ck_assert_msg(is_right, "%s from %ld, %ld", names[k], (long)first, (long)count);
            }
        }
        ck_assert_int_eq(ps_bundle_range_read(reader, &info, 100, ELEMENTS - 99, NULL, &error),
                         PS_OUT_OF_RANGE);
        ck_assert_int_eq(ps_bundle_range_read(reader, &info, -1, 1, NULL, &error), PS_OUT_OF_RANGE);
    }
    ps_bundle_reader_close(reader);
    ps_memory_files_destroy(memory);
}
END_TEST

/* ---- Names ---- */

START_TEST(the_nearest_name_is_near)
{
    struct ps_memory_files *memory = ps_memory_files_create();
    struct ps_bundle_reader *reader = save_and_open(ps_memory_files_table(memory));
    ck_assert_str_eq(ps_nearest_name(reader, "whale"), "whole");
    ck_assert_str_eq(ps_nearest_name(reader, "row"), "rows");
    ck_assert_str_eq(ps_nearest_name(reader, "wholes"), "whole");
    ck_assert_ptr_null(ps_nearest_name(reader, "columns"));
    ck_assert_ptr_null(ps_nearest_name(reader, "x"));
    char endless[400];
    memset(endless, 'w', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    ck_assert_ptr_null(ps_nearest_name(reader, endless));
    ps_bundle_reader_close(reader);
    ps_memory_files_destroy(memory);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bundle range");
    TCase *tests = tcase_create("bundle range");
    tcase_add_test(tests, boxes_follow_each_other_without_gap);
    tcase_add_test(tests, every_range_of_whole_and_sliced);
    tcase_add_test(tests, the_nearest_name_is_near);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
