/* The model against a plain double-precision one: loss, gradients by finite differences, edges. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/philox.h"
#include "tests/worker/net_fixture.h"
#include "worker/dataset.h"
#include "worker/evaluate.h"
#include "worker/model.h"

enum { INPUTS = 7, CLASSES = 4, BATCH = 9, WIDTH_MAX = 16, SEED = 11 };

static const char *const networks[] = { "7-4", "7-6-4", "7-6-5-4" };
enum { NETWORK_COUNT = sizeof networks / sizeof networks[0] };

static float rows[BATCH * INPUTS];
static uint8_t labels[BATCH];
static const struct ps_model_batch batch = { rows, labels, BATCH };

static void setup(void)
{
    struct ps_rng rng = ps_rng_make(SEED, PS_STREAM_TEST);
    ps_model_set_threads(1);
    for (int i = 0; i < BATCH * INPUTS; i++) { rows[i] = (float)ps_rng_uniform(&rng); }
    for (int i = 0; i < BATCH; i++) { labels[i] = (uint8_t)(i % CLASSES); }
}

/* One layer on one row, in doubles and loops: too plain to be wrong in the model's way. Element
 * `moved` of parameter `which` counts as larger by delta. */
struct nudge {
    int which;
    int64_t moved;
    double delta;
};

static double value_of(const struct net_fixture *net, const struct nudge *nudge, int which,
                       int64_t element)
{
    double value = (double)net->parameters[which][element];
    return which == nudge->which && element == nudge->moved ? value + nudge->delta : value;
}

static void reference_layer(const struct net_fixture *net, const struct nudge *nudge, int layer,
                            double values[WIDTH_MAX])
{
    int inputs = net->layers.size[layer];
    int outputs = net->layers.size[layer + 1];
    double out[WIDTH_MAX];
    for (int j = 0; j < outputs; j++) {
        out[j] = value_of(net, nudge, 2 * layer + 1, j);
        for (int i = 0; i < inputs; i++) {
            out[j] += values[i] * value_of(net, nudge, 2 * layer, (int64_t)i * outputs + j);
        }
        if (layer < net->layers.count - 1 && out[j] < 0.0) { out[j] = 0.0; }
    }
    memcpy(values, out, (size_t)outputs * sizeof out[0]);
}

static double reference_loss(const struct net_fixture *net, const struct nudge *nudge)
{
    double total = 0.0;
    for (int example = 0; example < BATCH; example++) {
        double values[WIDTH_MAX];
        double sum = 0.0;
        for (int i = 0; i < INPUTS; i++) { values[i] = (double)rows[example * INPUTS + i]; }
        for (int layer = 0; layer < net->layers.count; layer++) {
            reference_layer(net, nudge, layer, values);
        }
        for (int i = 0; i < CLASSES; i++) { sum += exp(values[i]); }
        total += log(sum) - values[labels[example]];
    }
    return total / BATCH;
}

static double reference_slope(const struct net_fixture *net, int which, int64_t element)
{
    const double delta = 1e-6;
    struct nudge up = { which, element, delta };
    struct nudge down = { which, element, -delta };
    return (reference_loss(net, &up) - reference_loss(net, &down)) / (2 * delta);
}

START_TEST(loss_matches_the_reference)
{
    struct net_fixture net;
    struct ps_model_result trained;
    struct ps_model_result evaluated;
    const struct nudge none = { -1, 0, 0.0 };
    net_fixture_init(&net, networks[_i], BATCH, SEED);
    ps_model_gradients(net.model, net_fixture_parameters(&net), &batch, net.gradients, &trained);
    ps_model_evaluate(net.model, net_fixture_parameters(&net), &batch, &evaluated);
    ck_assert_double_eq_tol(trained.loss, reference_loss(&net, &none), 1e-6);
    ck_assert_double_eq(trained.loss, evaluated.loss);
    ck_assert_int_eq(trained.correct, evaluated.correct);
    ck_assert_int_eq(trained.count, BATCH);
    net_fixture_clean(&net);
}
END_TEST

START_TEST(gradients_match_finite_differences)
{
    struct net_fixture net;
    struct ps_model_result result;
    double largest = 0.0;
    net_fixture_init(&net, networks[_i], BATCH, SEED);
    ps_model_gradients(net.model, net_fixture_parameters(&net), &batch, net.gradients, &result);
    for (int which = 0; which < net.parameter_count; which++) {
        for (int64_t j = 0; j < net_fixture_elements(&net, which); j++) {
            double expected = reference_slope(&net, which, j);
            double found = (double)net.gradients[which][j];
            ck_assert_msg(fabs(found - expected) < 1e-6, "%s, parameter %d element %d: %g not %g",
                          networks[_i], which, (int)j, found, expected);
            largest = fmax(largest, fabs(expected));
        }
    }
    ck_assert_double_gt(largest, 0.01); /* the tolerance meant something */
    net_fixture_clean(&net);
}
END_TEST

START_TEST(gradients_are_overwritten)
{
    struct net_fixture net;
    struct ps_model_result result;
    float first[INPUTS * 6];
    net_fixture_init(&net, "7-6-4", BATCH, SEED);
    ps_model_gradients(net.model, net_fixture_parameters(&net), &batch, net.gradients, &result);
    memcpy(first, net.gradients[0], sizeof first);
    for (int i = 0; i < INPUTS * 6; i++) { net.gradients[0][i] = NAN; }
    for (int i = 0; i < 6; i++) { net.gradients[1][i] = NAN; }
    ps_model_gradients(net.model, net_fixture_parameters(&net), &batch, net.gradients, &result);
    ck_assert_mem_eq(net.gradients[0], first, sizeof first);
    for (int i = 0; i < 6; i++) { ck_assert(isfinite(net.gradients[1][i])); }
    net_fixture_clean(&net);
}
END_TEST

/* A network of one layer whose logits are its biases, whatever the input. */
static void set_logits(struct net_fixture *net, const float logits[CLASSES])
{
    net_fixture_init(net, "7-4", BATCH, SEED);
    memset(net->parameters[0], 0, INPUTS * CLASSES * sizeof(float));
    memcpy(net->parameters[1], logits, CLASSES * sizeof(float));
}

START_TEST(equal_logits_lose_log_of_classes)
{
    struct net_fixture net;
    struct ps_model_result result;
    set_logits(&net, (float[CLASSES]){ 0 });
    ps_model_evaluate(net.model, net_fixture_parameters(&net), &batch, &result);
    ck_assert_double_eq_tol(result.loss, log(CLASSES), 1e-7);
    net_fixture_clean(&net);
}
END_TEST

START_TEST(large_logits_do_not_overflow)
{
    struct net_fixture net;
    struct ps_model_result result;
    const uint8_t all_right[] = { 2, 2, 2 };
    const uint8_t one_right[] = { 2, 0, 1 };
    struct ps_model_batch three = { rows, all_right, 3 };
    set_logits(&net, (float[CLASSES]){ -20000.0F, 0.0F, 20000.0F, 10000.0F });
    ps_model_evaluate(net.model, net_fixture_parameters(&net), &three, &result);
    ck_assert_double_eq_tol(result.loss, 0.0, 1e-9);
    ck_assert_int_eq(result.correct, 3);

    three.labels = one_right;
    ps_model_gradients(net.model, net_fixture_parameters(&net), &three, net.gradients, &result);
    ck_assert_double_eq_tol(result.loss, (0.0 + 40000.0 + 20000.0) / 3, 1e-6);
    ck_assert_int_eq(result.correct, 1);
    ck_assert_float_eq_tol(net.gradients[1][0], -1.0F / 3, 1e-6F);
    ck_assert_float_eq_tol(net.gradients[1][2], 2.0F / 3, 1e-6F);
    net_fixture_clean(&net);
}
END_TEST

START_TEST(divergence_is_not_hidden)
{
    struct net_fixture net;
    struct ps_model_result result;
    net_fixture_init(&net, "7-6-4", BATCH, SEED);
    net.parameters[1][3] = NAN; /* a hidden bias: a careless rectifier would make it 0 */
    ps_model_gradients(net.model, net_fixture_parameters(&net), &batch, net.gradients, &result);
    ck_assert(isnan(result.loss));
    ck_assert_int_eq(result.correct, 0);
    ck_assert(isnan(net.gradients[1][3]));
    net_fixture_clean(&net);
}
END_TEST

START_TEST(evaluation_does_not_depend_on_batches)
{
    enum { EXAMPLES = 50 };
    struct net_fixture whole;
    struct net_fixture pieces;
    struct ps_examples examples = { NULL, NULL, 0 };
    struct ps_model_result expected;
    struct ps_model_result found;
    struct ps_rng rng = ps_rng_make(SEED, PS_STREAM_TEST);
    ck_assert_int_eq(ps_examples_init(&examples, EXAMPLES, INPUTS, NULL), PS_OK);
    for (int i = 0; i < EXAMPLES * INPUTS; i++) {
        examples.pixels[i] = (uint8_t)ps_rng_below(&rng, 256);
    }
    for (int i = 0; i < EXAMPLES; i++) {
        examples.labels[i] = (uint8_t)ps_rng_below(&rng, CLASSES);
    }
    net_fixture_init(&whole, "7-6-4", 1000, SEED);
    net_fixture_init(&pieces, "7-6-4", 7, SEED);
    ck_assert_int_eq(
        ps_evaluate(whole.model, net_fixture_parameters(&whole), &examples, &expected, NULL),
        PS_OK);
    ck_assert_int_eq(
        ps_evaluate(pieces.model, net_fixture_parameters(&pieces), &examples, &found, NULL), PS_OK);
    ck_assert_int_eq(expected.count, EXAMPLES);
    ck_assert_int_eq(found.count, EXAMPLES);
    ck_assert_int_eq(found.correct, expected.correct);
    ck_assert_int_gt(found.correct, 0);
    ck_assert_double_eq_tol(found.loss, expected.loss, 1e-6);
    ps_examples_clean(&examples);
    net_fixture_clean(&whole);
    net_fixture_clean(&pieces);
}
END_TEST

START_TEST(batch_sizes_are_checked)
{
    struct ps_layers layers;
    struct ps_model *model = NULL;
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_int_eq(ps_layers_parse("7-6-4", &layers, NULL), PS_OK);
    ck_assert_int_eq(ps_model_create(&layers, 0, &model, &err), PS_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.message, "batch size 0; give 1 to"));
    ck_assert_int_eq(ps_model_create(&layers, PS_MODEL_MAX_BATCH + 1, &model, &err),
                     PS_INVALID_ARGUMENT);
    ck_assert_ptr_null(model);
}
END_TEST

START_TEST(every_failed_allocation_is_reported)
{
    struct ps_layers layers;
    ck_assert_int_eq(ps_layers_parse("7-6-4", &layers, NULL), PS_OK);
    for (int failing = 1; failing <= 4; failing++) {
        struct ps_model *model = NULL;
        ps_alloc_fail_at(failing);
        ck_assert_int_eq(ps_model_create(&layers, 5, &model, NULL), PS_RESOURCE_EXHAUSTED);
        ps_alloc_fail_at(0);
        ck_assert_ptr_null(model);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_loop_test(tests, loss_matches_the_reference, 0, NETWORK_COUNT);
    tcase_add_loop_test(tests, gradients_match_finite_differences, 0, NETWORK_COUNT);
    tcase_add_test(tests, gradients_are_overwritten);
    tcase_add_test(tests, equal_logits_lose_log_of_classes);
    tcase_add_test(tests, large_logits_do_not_overflow);
    tcase_add_test(tests, divergence_is_not_hidden);
    tcase_add_test(tests, evaluation_does_not_depend_on_batches);
    tcase_add_test(tests, batch_sizes_are_checked);
    tcase_add_test(tests, every_failed_allocation_is_reported);
    suite_add_tcase(suite, tests);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
