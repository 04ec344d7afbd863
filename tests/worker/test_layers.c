/* Layer texts, their errors, and the parameters that follow from them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/dataset.h"
#include "worker/layers.h"

START_TEST(reads_sizes)
{
    struct ps_layers layers;
    char text[PS_LAYERS_TEXT_BYTES];
    ck_assert_int_eq(ps_layers_parse("784-200-10", &layers, NULL), PS_OK);
    ck_assert_int_eq(layers.count, 2);
    ck_assert_int_eq(layers.size[0], 784);
    ck_assert_int_eq(layers.size[1], 200);
    ck_assert_int_eq(layers.size[2], 10);
    ck_assert_str_eq(ps_layers_format(&layers, text), "784-200-10");

    ck_assert_int_eq(ps_layers_parse("784-10", &layers, NULL), PS_OK);
    ck_assert_int_eq(layers.count, 1);
}
END_TEST

START_TEST(widest_and_deepest_fit)
{
    static const char deepest[] = "16777216-127-16777216-127-16777216-127-16777216-127-16777216-"
                                  "127-16777216-127-16777216-127-16777216-127-16777216";
    struct ps_layers layers;
    char text[PS_LAYERS_TEXT_BYTES];
    ck_assert_int_eq(ps_layers_parse(deepest, &layers, NULL), PS_OK);
    ck_assert_int_eq(layers.count, PS_LAYERS_MAX);
    ck_assert_str_eq(ps_layers_format(&layers, text), deepest);
}
END_TEST

static const struct {
    const char *text;
    const char *words;
} wrong[] = {
    { "", "'' is no layer size" },
    { "784", "one size is no network" },
    { "784-", "'' is no layer size" },
    { "-10", "'' is no layer size" },
    { "784--10", "'' is no layer size" },
    { "784-x-10", "'x' is no layer size. Give sizes from 1 to 16777216 joined by '-'" },
    { "784-2 0-10", "'2 0' is no layer size" },
    { "784-+20-10", "'+20' is no layer size" },
    { "784,200,10", "'784,200,10' is no layer size" },
    { "784-0-10", "'0' is no layer size" },
    { "784-16777217", "'16777217' is no layer size" },
    { "99999999999999999999999-10", "'99999999999999999999999' is no layer size" },
    { "16777216-128", "16777216 x 128 weights are more than the limit" },
    { "1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1", "more than 17 sizes" },
};
enum { WRONG_COUNT = sizeof wrong / sizeof wrong[0] };

START_TEST(says_what_is_wrong)
{
    struct ps_layers layers;
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_int_eq(ps_layers_parse(wrong[_i].text, &layers, &err), PS_INVALID_ARGUMENT);
    ck_assert_msg(strstr(err.message, wrong[_i].words) != NULL, "'%s' lacks '%s'", err.message,
                  wrong[_i].words);
    ck_assert_int_eq(layers.count, 0);
}
END_TEST

static void check_parameter(const struct ps_layers *layers, int index, const char *name,
                            const char *shape)
{
    char text[PS_SHAPE_TEXT_BYTES];
    struct ps_layers_parameter parameter = ps_layers_parameter(layers, index);
    ck_assert_str_eq(parameter.name, name);
    ck_assert_str_eq(ps_shape_format(&parameter.shape, text), shape);
    ck_assert_int_eq(parameter.element_count, ps_shape_elements(&parameter.shape));
}

START_TEST(names_and_shapes_of_parameters)
{
    struct ps_layers layers;
    ck_assert_int_eq(ps_layers_parse("784-200-50-10", &layers, NULL), PS_OK);
    ck_assert_int_eq(ps_layers_parameter_count(&layers), 6);
    check_parameter(&layers, 0, "hidden1/weights", "[784,200]");
    check_parameter(&layers, 1, "hidden1/biases", "[200]");
    check_parameter(&layers, 2, "hidden2/weights", "[200,50]");
    check_parameter(&layers, 3, "hidden2/biases", "[50]");
    check_parameter(&layers, 4, "softmax/weights", "[50,10]");
    check_parameter(&layers, 5, "softmax/biases", "[10]");
    ck_assert_double_eq_tol(ps_layers_parameter(&layers, 0).initial_stddev, sqrt(2.0 / 784), 1e-12);
    ck_assert_double_eq_tol(ps_layers_parameter(&layers, 4).initial_stddev, sqrt(1.0 / 50), 1e-12);
    ck_assert_double_eq(ps_layers_parameter(&layers, 5).initial_stddev, 0.0);
}
END_TEST

static enum ps_code check_dataset(const char *text, struct ps_error *err)
{
    struct ps_layers layers;
    struct ps_dataset dataset = { .rows = 28, .columns = 28, .feature_count = 784 };
    dataset.class_count = 10;
    strcpy(dataset.source, "some-set");
    ck_assert_int_eq(ps_layers_parse(text, &layers, NULL), PS_OK);
    return ps_layers_check_dataset(&layers, &dataset, err);
}

START_TEST(layers_must_fit_the_data)
{
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_int_eq(check_dataset("784-10", &err), PS_OK);
    ck_assert_int_eq(check_dataset("784-5-12", &err), PS_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.message, "12 outputs, but some-set has 10 classes"));
    ck_assert_int_eq(check_dataset("783-10", &err), PS_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, "layers '783-10': 783 inputs, but some-set has 784 features "
                                  "(28x28). The first size must be 784");
    ck_assert_int_eq(check_dataset("784-9", &err), PS_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, "layers '784-9': 9 outputs, but some-set has 10 classes. The "
                                  "last size must be 10");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("layers");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, reads_sizes);
    tcase_add_test(tests, widest_and_deepest_fit);
    tcase_add_loop_test(tests, says_what_is_wrong, 0, WRONG_COUNT);
    tcase_add_test(tests, names_and_shapes_of_parameters);
    tcase_add_test(tests, layers_must_fit_the_data);
    suite_add_tcase(suite, tests);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
