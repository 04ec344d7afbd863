/* Data, batches and model together: a network trained locally must learn. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/alloc.h"
#include "tests/worker/net_fixture.h"
#include "worker/batches.h"
#include "worker/data_source.h"
#include "worker/dataset.h"
#include "worker/evaluate.h"
#include "worker/model.h"

enum { BATCH = 50, SEED = 3 };

struct training {
    struct ps_dataset *dataset;
    struct ps_batches *batches;
    struct net_fixture net;
    float *rows;
};

static void setup(void)
{
    ps_model_set_threads(1); /* also makes sums the same on every run */
}

static void start(struct training *training, const struct ps_data_options *options,
                  const char *layers)
{
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_msg(ps_data_source_load(options, &training->dataset, &err) == PS_OK, "%s",
                  err.message);
    net_fixture_init(&training->net, layers, BATCH, SEED);
    ck_assert_int_eq(ps_layers_check_dataset(&training->net.layers, training->dataset, NULL),
                     PS_OK);
    const struct ps_batches_options batches = { &training->dataset->train,
                                                training->dataset->feature_count, 0, 1, SEED };
    ck_assert_int_eq(ps_batches_create(&batches, &training->batches, NULL), PS_OK);
    training->rows = ps_alloc_zero((size_t)BATCH * (size_t)training->dataset->feature_count,
                                   sizeof(float));
    ck_assert_ptr_nonnull(training->rows);
}

static void stop(struct training *training)
{
    ps_free(training->rows);
    ps_batches_destroy(training->batches);
    net_fixture_clean(&training->net);
    ps_dataset_destroy(training->dataset);
}

static void train(struct training *training, int step_count, float rate)
{
    struct net_fixture *net = &training->net;
    uint8_t labels[BATCH];
    const struct ps_model_batch batch = { training->rows, labels, BATCH };
    struct ps_model_result result;
    for (int step = 0; step < step_count; step++) {
        ps_batches_next(training->batches, BATCH, training->rows, labels);
        ps_model_gradients(net->model, net_fixture_parameters(net), &batch, net->gradients,
                           &result);
        net_fixture_descend(net, rate);
    }
}

static double test_accuracy(struct training *training)
{
    struct ps_model_result result;
    ck_assert_int_eq(ps_evaluate(training->net.model, net_fixture_parameters(&training->net),
                                 &training->dataset->test, &result, NULL),
                     PS_OK);
    return (double)result.correct / (double)result.count;
}

static struct ps_data_options synthetic(void)
{
    struct ps_data_options options = ps_data_options_default();
    options.source = "synthetic";
    options.synthetic = (struct ps_synthetic_options){ 4000, 1000, SEED };
    return options;
}

START_TEST(synthetic_is_learnt)
{
    struct ps_data_options options = synthetic();
    struct training training;
    start(&training, &options, "784-32-10");
    double before = test_accuracy(&training);
    train(&training, 400, 0.1F);
    double after = test_accuracy(&training);
    printf("synthetic 784-32-10: %.1f %% before, %.1f %% after 400 steps\n", 100 * before,
           100 * after);
    ck_assert_double_lt(before, 0.3);
    ck_assert_double_gt(after, 0.9);
    stop(&training);
}
END_TEST

START_TEST(training_repeats_exactly)
{
    struct ps_data_options options = synthetic();
    struct training first;
    struct training second;
    start(&first, &options, "784-32-10");
    start(&second, &options, "784-32-10");
    train(&first, 20, 0.1F);
    train(&second, 20, 0.1F);
    ck_assert_mem_eq(first.net.parameters[0], second.net.parameters[0], 784 * 32 * sizeof(float));
    stop(&first);
    stop(&second);
}
END_TEST

START_TEST(fashion_mnist_is_learnt)
{
    struct ps_data_options options = ps_data_options_default();
    struct training training;
    if (access(options.fashion_mnist_dir, F_OK) != 0) {
        printf("skipped: dataset-fashion-mnist is not installed\n");
        return;
    }
    start(&training, &options, "784-32-10");
    train(&training, 600, 0.1F);
    double after = test_accuracy(&training);
    printf("fashion-mnist 784-32-10: %.1f %% after 600 steps\n", 100 * after);
    ck_assert_double_gt(after, 0.75);
    stop(&training);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("training");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, synthetic_is_learnt);
    tcase_add_test(tests, training_repeats_exactly);
    tcase_add_test(tests, fashion_mnist_is_learnt);
    suite_add_tcase(suite, tests);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
