/* Data sets by name: Fashion-MNIST, a directory of the user's own, synthetic; and their errors. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "tests/worker/idx_fixture.h"
#include "worker/data_source.h"
#include "worker/dataset.h"

static struct idx_fixture fixture;

static void setup(void)
{
    idx_fixture_init(&fixture);
}

static void teardown(void)
{
    idx_fixture_clean(&fixture);
}

static struct ps_data_options own_directory(void)
{
    struct ps_data_options options = ps_data_options_default();
    options.source = fixture.directory;
    return options;
}

static void expect_failure(const struct ps_data_options *options, enum ps_code code,
                           const char *words)
{
    struct ps_dataset *dataset = NULL;
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_int_eq(ps_data_source_load(options, &dataset, &err), code);
    ck_assert_ptr_null(dataset);
    ck_assert_msg(strstr(err.message, words) != NULL, "'%s' lacks '%s'", err.message, words);
}

static void replace_labels(const char *name, const uint8_t *labels, uint32_t count)
{
    uint8_t bytes[IDX_BUFFER_BYTES];
    idx_fixture_write(&fixture, name, bytes, idx_make_labels(bytes, labels, count));
}

static void replace_images(const char *name, uint32_t count, uint32_t rows, uint32_t columns)
{
    uint8_t bytes[IDX_BUFFER_BYTES];
    idx_fixture_write(&fixture, name, bytes, idx_make_images(bytes, count, rows, columns));
}

START_TEST(own_directory_loads)
{
    struct ps_data_options options = own_directory();
    struct ps_dataset *dataset = NULL;
    char text[PS_DATASET_TEXT_BYTES];
    char expected[PS_DATASET_TEXT_BYTES];
    float row[6];
    idx_fixture_write_set(&fixture, _i == 1);
    ck_assert_int_eq(ps_data_source_load(&options, &dataset, NULL), PS_OK);
    ck_assert_int_eq(dataset->train.count, 5);
    ck_assert_int_eq(dataset->test.count, 2);
    ck_assert_int_eq(dataset->feature_count, 6);
    ck_assert_int_eq(dataset->class_count, 3);
    ck_assert_int_eq(dataset->train.labels[2], 2);
    ps_examples_row(&dataset->train, 6, 4, row);
    for (int i = 0; i < 6; i++) {
        ck_assert_float_eq_tol(row[i], (float)((24 + i) * 7 % 256) / 255.0F, 1e-6F);
    }
    snprintf(expected, sizeof expected, "%.200s: 5 train + 2 test images 2x3, 3 classes",
             fixture.directory);
    ck_assert_str_eq(ps_dataset_describe(dataset, text), expected);
    ps_dataset_destroy(dataset);
}
END_TEST

START_TEST(counts_must_match)
{
    static const uint8_t labels[] = { 0, 1, 2, 1 };
    struct ps_data_options options = own_directory();
    idx_fixture_write_set(&fixture, false);
    replace_labels("train-labels-idx1-ubyte", labels, sizeof labels);
    expect_failure(&options, PS_INVALID_ARGUMENT, "train has 5 images but 4 labels");
}
END_TEST

START_TEST(image_sizes_must_match)
{
    struct ps_data_options options = own_directory();
    idx_fixture_write_set(&fixture, false);
    replace_images("t10k-images-idx3-ubyte", 2, 3, 2);
    expect_failure(&options, PS_INVALID_ARGUMENT, "train images are 2x3 but t10k images are 3x2");
}
END_TEST

START_TEST(labels_must_be_in_range)
{
    static const uint8_t labels[] = { 2, 3 };
    struct ps_data_options options = own_directory();
    idx_fixture_write_set(&fixture, false);
    options.class_count = 2;
    expect_failure(&options, PS_INVALID_ARGUMENT,
                   "label 2 of train example 2 is out of range: there are 2 classes, 0 to 1");
    options.class_count = 257;
    expect_failure(&options, PS_INVALID_ARGUMENT, "give 1 to 256");
    options.class_count = 0; /* the training labels decide: 3 */
    replace_labels("t10k-labels-idx1-ubyte", labels, sizeof labels);
    expect_failure(&options, PS_INVALID_ARGUMENT, "label 3 of t10k example 1 is out of range");
}
END_TEST

START_TEST(missing_data_says_what_to_do)
{
    struct ps_data_options options = own_directory();
    char path[IDX_PATH_BYTES];
    expect_failure(&options, PS_NOT_FOUND, "/train-images-idx3-ubyte.gz. A data directory holds");
    idx_fixture_write_set(&fixture, false);
    ck_assert_int_eq(unlink(idx_fixture_path(&fixture, "t10k-labels-idx1-ubyte", path)), 0);
    expect_failure(&options, PS_NOT_FOUND, "/t10k-labels-idx1-ubyte.gz. ");
    options.source = "no-such-thing";
    expect_failure(&options, PS_NOT_FOUND,
                   "data set 'no-such-thing' is neither fashion-mnist nor synthetic nor a "
                   "directory");
}
END_TEST

START_TEST(missing_fashion_mnist_says_what_to_install)
{
    struct ps_data_options options = ps_data_options_default();
    options.fashion_mnist_dir = "/nonexistent/fashion-mnist";
    expect_failure(&options, PS_NOT_FOUND,
                   "data set not found: /nonexistent/fashion-mnist/train-images-idx3-ubyte.gz. "
                   "Install it: apt-get install dataset-fashion-mnist; or give your own IDX files: "
                   "--data DIR; or --data synthetic");
}
END_TEST

START_TEST(other_data_is_not_fashion_mnist)
{
    struct ps_data_options options = ps_data_options_default();
    idx_fixture_write_set(&fixture, false);
    options.fashion_mnist_dir = fixture.directory;
    expect_failure(&options, PS_INVALID_ARGUMENT,
                   "is not fashion-mnist: train examples: 60000 expected, 5 found");
}
END_TEST

static void check_class_counts(const struct ps_examples *examples, int expected)
{
    int counts[PS_DATASET_MAX_CLASSES] = { 0 };
    for (int32_t i = 0; i < examples->count; i++) { counts[examples->labels[i]]++; }
    for (int i = 0; i < 10; i++) { ck_assert_int_eq(counts[i], expected); }
}

START_TEST(installed_fashion_mnist_is_complete)
{
    struct ps_data_options options = ps_data_options_default();
    struct ps_dataset *dataset = NULL;
    struct ps_error err = PS_ERROR_INIT;
    char text[PS_DATASET_TEXT_BYTES];
    if (access(options.fashion_mnist_dir, F_OK) != 0) {
        printf("skipped: dataset-fashion-mnist is not installed\n");
        return;
    }
    ck_assert_msg(ps_data_source_load(&options, &dataset, &err) == PS_OK, "%s", err.message);
    ck_assert_str_eq(
        ps_dataset_describe(dataset, text),
        "fashion-mnist: 60,000 train + 10,000 test images 28x28, 10 classes (checked)");
    check_class_counts(&dataset->train, 6000);
    check_class_counts(&dataset->test, 1000);
    ps_dataset_destroy(dataset);
}
END_TEST

static struct ps_dataset *make_synthetic(int32_t train_count, uint64_t seed)
{
    struct ps_data_options options = ps_data_options_default();
    struct ps_dataset *dataset = NULL;
    options.source = "synthetic";
    options.synthetic = (struct ps_synthetic_options){ train_count, 50, seed };
    ck_assert_int_eq(ps_data_source_load(&options, &dataset, NULL), PS_OK);
    return dataset;
}

START_TEST(synthetic_follows_its_seed)
{
    struct ps_dataset *small = make_synthetic(100, 7);
    struct ps_dataset *large = make_synthetic(300, 7);
    struct ps_dataset *other = make_synthetic(100, 8);
    size_t size = (size_t)100 * 784;
    char text[PS_DATASET_TEXT_BYTES];
    ck_assert_str_eq(ps_dataset_describe(large, text),
                     "synthetic: 300 train + 50 test images 28x28, 10 classes (seed 7)");
    ck_assert_mem_eq(small->train.pixels, large->train.pixels, size);
    ck_assert_mem_eq(small->test.pixels, large->test.pixels, size / 2);
    ck_assert_mem_ne(small->train.pixels, other->train.pixels, size);
    ck_assert_mem_ne(small->train.pixels, small->test.pixels, size / 2);
    check_class_counts(&large->train, 30);
    ps_dataset_destroy(small);
    ps_dataset_destroy(large);
    ps_dataset_destroy(other);
}
END_TEST

START_TEST(synthetic_counts_are_checked)
{
    struct ps_data_options options = ps_data_options_default();
    options.source = "synthetic";
    options.synthetic.train_count = 0;
    expect_failure(&options, PS_INVALID_ARGUMENT, "0 train examples asked for; give 1 to");
    options.synthetic.train_count = 10;
    options.synthetic.test_count = PS_SYNTHETIC_MAX_EXAMPLES + 1;
    expect_failure(&options, PS_INVALID_ARGUMENT, "test examples");
}
END_TEST

/* Fails each allocation of a load in turn: every one must be reported, and leave nothing behind. */
static void check_each_allocation(const struct ps_data_options *options, int at_least)
{
    for (int failing = 1;; failing++) {
        struct ps_dataset *dataset = NULL;
        ps_alloc_fail_at(failing);
        enum ps_code rc = ps_data_source_load(options, &dataset, NULL);
        ps_alloc_fail_at(0);
        if (rc == PS_OK) {
            ck_assert_int_gt(failing, at_least);
            ps_dataset_destroy(dataset);
            return;
        }
        ck_assert_int_eq(rc, PS_RESOURCE_EXHAUSTED);
        ck_assert_ptr_null(dataset);
    }
}

START_TEST(every_failed_allocation_is_reported)
{
    struct ps_data_options options = own_directory();
    idx_fixture_write_set(&fixture, true);
    check_each_allocation(&options, 8);
    options.source = "synthetic";
    options.synthetic = (struct ps_synthetic_options){ 10, 10, 1 };
    check_each_allocation(&options, 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_source");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 30);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, own_directory_loads, 0, 2);
    tcase_add_test(tests, counts_must_match);
    tcase_add_test(tests, image_sizes_must_match);
    tcase_add_test(tests, labels_must_be_in_range);
    tcase_add_test(tests, missing_data_says_what_to_do);
    tcase_add_test(tests, missing_fashion_mnist_says_what_to_install);
    tcase_add_test(tests, other_data_is_not_fashion_mnist);
    tcase_add_test(tests, installed_fashion_mnist_is_complete);
    tcase_add_test(tests, synthetic_follows_its_seed);
    tcase_add_test(tests, synthetic_counts_are_checked);
    tcase_add_test(tests, every_failed_allocation_is_reported);
    suite_add_tcase(suite, tests);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
