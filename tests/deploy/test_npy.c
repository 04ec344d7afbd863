/* NumPy's files: what is written is read back, and what is damaged is refused by name. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/tensor.h"
#include "deploy/npy.h"

static char directory[64];
static char path[96];

static void make_directory(void)
{
    snprintf(directory, sizeof directory, "/tmp/paramd-test-npy-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/a.npy", directory);
}

static void remove_directory(void)
{
    unlink(path);
    rmdir(directory);
}

static const enum ps_dtype dtypes[] = { PS_FLOAT,  PS_DOUBLE, PS_HALF,   PS_INT8,
                                        PS_INT16,  PS_INT32,  PS_INT64,  PS_UINT8,
                                        PS_UINT16, PS_UINT32, PS_UINT64, PS_BOOL };
enum { DTYPE_COUNT = sizeof dtypes / sizeof dtypes[0] };

START_TEST(every_type_comes_back)
{
    const struct ps_shape shapes[] = {
        { 0, { 0 } }, { 1, { 5 } }, { 1, { 0 } }, { 3, { 2, 3, 4 } }
    };
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        struct ps_tensor out, in;
        ck_assert_int_eq(ps_tensor_init(&out, dtypes[_i], &shapes[s], NULL), PS_OK);
        for (int64_t i = 0; i < ps_shape_elements(&shapes[s]); i++) {
            ps_element_set(dtypes[_i], out.data, i, (double)(i % 2));
        }
        ck_assert_int_eq(ps_npy_write(path, &out, NULL), PS_OK);
        ck_assert_int_eq(ps_npy_read(path, &in, NULL), PS_OK);
        ck_assert_int_eq(in.dtype, dtypes[_i]);
        ck_assert(ps_shape_equal(&in.shape, &out.shape));
        ck_assert_uint_eq(in.size_bytes, out.size_bytes);
        ck_assert(out.size_bytes == 0 || memcmp(in.data, out.data, out.size_bytes) == 0);
        ps_tensor_clean(&in);
        ps_tensor_clean(&out);
    }
}
END_TEST

START_TEST(bfloat16_becomes_float)
{
    const struct ps_shape shape = { 1, { 2 } };
    struct ps_tensor out, in;
    ck_assert_int_eq(ps_tensor_init(&out, PS_BFLOAT16, &shape, NULL), PS_OK);
    ps_element_set(PS_BFLOAT16, out.data, 1, 1.5);
    ck_assert_int_eq(ps_npy_write(path, &out, NULL), PS_OK);
    ck_assert_int_eq(ps_npy_read(path, &in, NULL), PS_OK);
    ck_assert_int_eq(in.dtype, PS_FLOAT);
    ck_assert_double_eq(ps_element_get(PS_FLOAT, in.data, 1), 1.5);
    ps_tensor_clean(&in);
    ps_tensor_clean(&out);
}
END_TEST

/* A version 1 file with this header text and size_bytes of data. */
static void write_file(const char *header, size_t size_bytes)
{
    FILE *file = fopen(path, "wb");
    size_t size = strlen(header);
    ck_assert_ptr_nonnull(file);
    fwrite("\x93NUMPY\1\0", 1, 8, file);
    fputc((int)(size & 0xff), file);
    fputc((int)(size >> 8), file);
    fputs(header, file);
    for (size_t i = 0; i < size_bytes; i++) { fputc(0, file); }
    fclose(file);
}

static const struct {
    const char *header;
    size_t size_bytes;
    enum ps_code code;
    const char *part; /* of the message */
} damaged[] = {
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", 7, PS_DATA_LOSS,
      "7 bytes of data, but float[2] takes 8" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", 9, PS_DATA_LOSS, "9 bytes" },
    { "{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }\n", 8, PS_INVALID_ARGUMENT,
      "ascontiguousarray" },
    { "{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }\n", 8, PS_INVALID_ARGUMENT,
      "'>f4'" },
    { "{'descr': '<c8', 'fortran_order': False, 'shape': (2,), }\n", 16, PS_INVALID_ARGUMENT,
      "astype" },
    { "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }\n", 8,
      PS_INVALID_ARGUMENT, "its type is no simple one" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }\n", 8, PS_INVALID_ARGUMENT,
      "not made of numbers" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2, }\n", 8, PS_INVALID_ARGUMENT,
      "not made of numbers" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9), }\n", 8,
      PS_INVALID_ARGUMENT, "9223372036854775807" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }\n", 4,
      PS_INVALID_ARGUMENT, "more than 8 dimensions" },
    { "{'descr': '<f4', 'fortran_order': False, }\n", 4, PS_INVALID_ARGUMENT, "it has no shape" },
    { "", 0, PS_INVALID_ARGUMENT, "no .npy file" },
};
enum { DAMAGED_COUNT = sizeof damaged / sizeof damaged[0] };

START_TEST(damage_is_named)
{
    struct ps_error error = PS_ERROR_INIT;
    struct ps_tensor tensor;
    write_file(damaged[_i].header, damaged[_i].size_bytes);
    ck_assert_int_eq(ps_npy_read(path, &tensor, &error), damaged[_i].code);
    ck_assert_msg(strstr(error.message, damaged[_i].part) != NULL, "%s", error.message);
    ck_assert_msg(strstr(error.message, path) != NULL || _i == 8, "%s", error.message);
    ck_assert_ptr_null(tensor.data);
}
END_TEST

START_TEST(what_is_no_npy_file_is_refused)
{
    struct ps_error error = PS_ERROR_INIT;
    struct ps_tensor tensor;
    ck_assert_int_eq(ps_npy_read(path, &tensor, &error), PS_NOT_FOUND);
    FILE *file = fopen(path, "wb");
    fputs("PK\3\4 this is an npz", file);
    fclose(file);
    ck_assert_int_eq(ps_npy_read(path, &tensor, &error), PS_INVALID_ARGUMENT);
    ck_assert_int_eq(ps_npy_read(directory, &tensor, &error), PS_INVALID_ARGUMENT);
}
END_TEST

START_TEST(a_failed_write_leaves_the_old_file)
{
    const struct ps_shape shape = { 1, { 2 } };
    struct ps_error error = PS_ERROR_INIT;
    struct ps_tensor tensor;
    ck_assert_int_eq(ps_tensor_init(&tensor, PS_FLOAT, &shape, NULL), PS_OK);
    char elsewhere[128];
    snprintf(elsewhere, sizeof elsewhere, "%s/none/a.npy", directory);
    ck_assert_int_eq(ps_npy_write(elsewhere, &tensor, &error), PS_NOT_FOUND);
    ck_assert(strstr(error.message, elsewhere) != NULL);
    ps_tensor_clean(&tensor);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("npy");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, make_directory, remove_directory);
    tcase_add_loop_test(tests, every_type_comes_back, 0, DTYPE_COUNT);
    tcase_add_test(tests, bfloat16_becomes_float);
    tcase_add_loop_test(tests, damage_is_named, 0, DAMAGED_COUNT);
    tcase_add_test(tests, what_is_no_npy_file_is_refused);
    tcase_add_test(tests, a_failed_write_leaves_the_old_file);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
