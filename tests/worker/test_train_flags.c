/* Flags of the training program: what is taken, what is left for the cluster, what is refused. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/train_flags.h"

enum { MAX_ARGUMENTS = 16 };

struct line {
    int argc;
    char *argv[MAX_ARGUMENTS + 1];
    char text[512];
    struct ps_train_flags flags;
    struct ps_error err;
};

/* Splits text at spaces and takes the flags. */
static enum ps_code take(struct line *line, const char *text)
{
    *line = (struct line){ .err = PS_ERROR_INIT };
    ck_assert_uint_lt(strlen(text), sizeof line->text - sizeof "worker ");
    snprintf(line->text, sizeof line->text, "worker %s", text);
    char *rest = NULL;
    for (char *word = strtok_r(line->text, " ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest)) {
        ck_assert_int_lt(line->argc, MAX_ARGUMENTS);
        line->argv[line->argc++] = word;
    }
    return ps_train_flags_take(&line->argc, line->argv, &line->flags, &line->err);
}

START_TEST(defaults)
{
    struct line line;
    ck_assert_int_eq(take(&line, ""), PS_OK);
    ck_assert_int_eq(line.argc, 1);
    ck_assert_str_eq(line.flags.data, "fashion-mnist");
    ck_assert_int_eq(line.flags.layers.count, 2);
    ck_assert_int_eq(line.flags.layers.size[1], 200);
    ck_assert_int_eq(line.flags.batch, 100);
    ck_assert_int_eq(line.flags.optimizer, PS_TRAIN_ADAM);
    ck_assert_double_eq(line.flags.learning_rate, 0.001);
    ck_assert_int_eq(line.flags.pipeline, 1);
    ck_assert_int_eq(line.flags.blas_threads, 1);
    ck_assert(!line.flags.help);
}
END_TEST

START_TEST(every_flag)
{
    struct line line;
    ck_assert_int_eq(take(&line,
                          "--data=/d --layers=784-10 --batch=7 --steps=11 --optimizer=nesterov "
                          "--learning_rate=0.25 --momentum=0.5 --decay=none --seed=9 "
                          "--eval_every=0 --pipeline=3 --partition=2 --blas_threads=0"),
                     PS_OK);
    ck_assert_str_eq(line.flags.data, "/d");
    ck_assert_int_eq(line.flags.layers.count, 1);
    ck_assert_int_eq(line.flags.batch, 7);
    ck_assert_int_eq(line.flags.steps, 11);
    ck_assert_int_eq(line.flags.optimizer, PS_TRAIN_NESTEROV);
    ck_assert_double_eq(line.flags.learning_rate, 0.25);
    ck_assert_double_eq(line.flags.momentum, 0.5);
    ck_assert(!line.flags.decay);
    ck_assert_uint_eq(line.flags.seed, 9);
    ck_assert_int_eq(line.flags.eval_every, 0);
    ck_assert_int_eq(line.flags.pipeline, 3);
    ck_assert_int_eq(line.flags.partition, 2);
    ck_assert_int_eq(line.flags.blas_threads, 0);
}
END_TEST

START_TEST(values_may_stand_apart)
{
    struct line line;
    ck_assert_int_eq(take(&line, "--batch 7 --data synthetic"), PS_OK);
    ck_assert_int_eq(line.flags.batch, 7);
    ck_assert_str_eq(line.flags.data, "synthetic");
    ck_assert_int_eq(line.argc, 1);
}
END_TEST

START_TEST(learning_rate_follows_optimizer)
{
    struct line line;
    ck_assert_int_eq(take(&line, "--optimizer=sgd"), PS_OK);
    ck_assert_double_eq(line.flags.learning_rate, 0.1);
    ck_assert_int_eq(take(&line, "--learning_rate=3 --optimizer=sgd"), PS_OK);
    ck_assert_double_eq(line.flags.learning_rate, 3.0);
}
END_TEST

START_TEST(the_rest_is_left_in_order)
{
    struct line line;
    ck_assert_int_eq(take(&line, "--ps_hosts a:1,b:2 --batch 5 --task_index=1 -- --steps=3"),
                     PS_OK);
    ck_assert_int_eq(line.flags.batch, 5);
    ck_assert_int_eq(line.flags.steps, 6000);
    ck_assert_int_eq(line.argc, 6);
    ck_assert_str_eq(line.argv[0], "worker");
    ck_assert_str_eq(line.argv[1], "--ps_hosts");
    ck_assert_str_eq(line.argv[2], "a:1,b:2");
    ck_assert_str_eq(line.argv[3], "--task_index=1");
    ck_assert_str_eq(line.argv[4], "--");
    ck_assert_str_eq(line.argv[5], "--steps=3");
    ck_assert_ptr_null(line.argv[6]);
}
END_TEST

/* Abbreviations would make a cluster's flag ours the day we add one. */
START_TEST(no_abbreviations)
{
    struct line line;
    ck_assert_int_eq(take(&line, "--bat=5 --batches=6 -b"), PS_OK);
    ck_assert_int_eq(line.flags.batch, 100);
    ck_assert_int_eq(line.argc, 4);
}
END_TEST

START_TEST(help)
{
    struct line line;
    ck_assert_int_eq(take(&line, "--help --ps_hosts=a"), PS_OK);
    ck_assert(line.flags.help);

    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(stream);
    ps_train_flags_help(stream);
    fclose(stream);
    ck_assert_ptr_nonnull(strstr(text, "paramd worker"));
    ck_assert_ptr_nonnull(strstr(text, "--eval_every=N"));
    ck_assert_ptr_nonnull(strstr(text, "--help_paramd"));
    free(text);
}
END_TEST

struct refusal {
    const char *text;
    const char *said; /* part of the message */
};

static const struct refusal refusals[] = {
    { "--batch=0", "--batch=0: give a whole number from 1 to" },
    { "--batch=ten", "--batch=ten" },
    { "--batch=10x", "--batch=10x" },
    { "--batch=99999999999999999999", "--batch=99999999999999999999" },
    { "--batch=", "--batch=:" },
    { "--batch", "--batch needs a value" },
    { "--steps=0", "--steps=0" },
    { "--steps=-5", "--steps=-5" },
    { "--eval_every=-1", "--eval_every=-1" },
    { "--pipeline=0", "--pipeline=0: give a whole number from 1 to 16" },
    { "--pipeline=17", "--pipeline=17" },
    { "--partition=-1", "--partition=-1" },
    { "--blas_threads=-1", "--blas_threads=-1" },
    { "--seed=0", "--seed=0" },
    { "--layers=784", "--layers: layers '784': one size is no network" },
    { "--layers=784-x-10", "'x' is no layer size" },
    { "--optimizer=lion", "--optimizer=lion: give sgd, momentum, nesterov or adam" },
    { "--learning_rate=0", "--learning_rate=0: give a number above 0" },
    { "--learning_rate=nan", "--learning_rate=nan" },
    { "--learning_rate=inf", "--learning_rate=inf" },
    { "--learning_rate=1e-3x", "--learning_rate=1e-3x" },
    { "--optimizer=momentum --momentum=1", "--momentum=1: give a number from 0" },
    { "--momentum=0.9", "--momentum has no meaning for --optimizer=adam" },
    { "--decay=cosine", "--decay=cosine: give linear or none" },
    { "--data=", "--data=: give fashion-mnist, synthetic" },
    { "--help=yes", "--help=yes: it takes no value" },
    { "--steps=5 --layers", "--layers needs a value" },
};
enum { REFUSAL_COUNT = sizeof refusals / sizeof refusals[0] };

START_TEST(refused)
{
    struct line line;
    const struct refusal *refusal = &refusals[_i];
    ck_assert_msg(take(&line, refusal->text) == PS_INVALID_ARGUMENT, "%s was taken", refusal->text);
    ck_assert_int_eq(line.err.code, PS_INVALID_ARGUMENT);
    ck_assert_msg(strstr(line.err.message, refusal->said) != NULL, "%s said: %s", refusal->text,
                  line.err.message);
}
END_TEST

START_TEST(refused_without_a_place_for_the_message)
{
    char program[] = "worker";
    char flag[] = "--batch=0";
    char *argv[] = { program, flag, NULL };
    int argc = 2;
    struct ps_train_flags flags;
    ck_assert_int_eq(ps_train_flags_take(&argc, argv, &flags, NULL), PS_INVALID_ARGUMENT);
}
END_TEST

START_TEST(leftovers_are_named)
{
    struct ps_error err = PS_ERROR_INIT;
    char program[] = "worker";
    char flag[] = "--bogus=1";
    char word[] = "word";
    char *flags[] = { program, flag, NULL };
    char *words[] = { program, word, NULL };
    ck_assert_int_eq(ps_train_flags_refuse_rest(1, flags, &err), PS_OK);
    ck_assert_int_eq(ps_train_flags_refuse_rest(2, flags, &err), PS_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.message, "unknown flag '--bogus=1'"));
    ck_assert_ptr_nonnull(strstr(err.message, "paramd worker --help"));
    ck_assert_int_eq(ps_train_flags_refuse_rest(2, words, &err), PS_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.message, "unexpected argument 'word'"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train_flags");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, defaults);
    tcase_add_test(tests, every_flag);
    tcase_add_test(tests, values_may_stand_apart);
    tcase_add_test(tests, learning_rate_follows_optimizer);
    tcase_add_test(tests, the_rest_is_left_in_order);
    tcase_add_test(tests, no_abbreviations);
    tcase_add_test(tests, help);
    tcase_add_loop_test(tests, refused, 0, REFUSAL_COUNT);
    tcase_add_test(tests, refused_without_a_place_for_the_message);
    tcase_add_test(tests, leftovers_are_named);
    suite_add_tcase(suite, tests);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
