/* The program `paramd worker`: trains a network with as many workers as the cluster has. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/train.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "client/paramd.h"
#include "core/exit_code.h"
#include "worker/data_source.h"
#include "worker/dataset.h"
#include "worker/model.h"
#include "worker/train_flags.h"
#include "worker/train_loop.h"
#include "worker/train_table.h"

/* TensorFlow's defaults. */
static const double ADAM_BETA1 = 0.9;
static const double ADAM_BETA2 = 0.999;
static const double ADAM_EPSILON = 1e-8;

/* Before there is a session that says it. */
static int complain(const struct ps_error *err, int exit_code)
{
    fprintf(stderr, "paramd worker: %s\n", err->message);
    return exit_code;
}

/* Each parameter has a seed of its own, or equal shapes would begin with equal values. */
static ps_init initializer(const struct ps_layers_parameter *parameter, uint64_t seed,
                           char text[PS_TRAIN_INIT_TEXT_BYTES])
{
    if (parameter->initial_stddev == 0.0) {
        snprintf(text, PS_TRAIN_INIT_TEXT_BYTES, "zeros");
        return ps_zeros();
    }
    snprintf(text, PS_TRAIN_INIT_TEXT_BYTES, "random_normal(0, %.3g, seed %llu)",
             parameter->initial_stddev, (unsigned long long)seed);
    return ps_random_normal(0.0, parameter->initial_stddev, seed);
}

/* Makes the variables, wherever the placer wants them, and fills one row of the table each. */
static size_t make_variables(struct ps_train_job *job, struct ps_train_row *rows)
{
    const struct ps_train_flags *flags = job->flags;
    int count = ps_layers_parameter_count(&flags->layers);
    PS_DEVICE (job->session, "/job:ps") {
        for (int i = 0; i < count; i++) {
            struct ps_layers_parameter parameter = ps_layers_parameter(&flags->layers, i);
            ps_init init = initializer(&parameter, flags->seed + (uint64_t)i, rows[i].init);
            ps_variable_options options = { .partition = PS_SPLIT_AUTO };
            if (flags->partition > 0 && parameter.shape.rank > 1) {
                options.partition = PS_SPLIT_FIXED;
                options.partition_a = (uint64_t)flags->partition;
            }
            job->vars[i] = ps_variable_with(job->session, parameter.name, PS_FLOAT, parameter.shape,
                                            init, &options);
            rows[i].var = job->vars[i];
        }
    }
    return (size_t)count;
}

static ps_optimizer *make_optimizer(ps_session *session, const struct ps_train_flags *flags)
{
    switch (flags->optimizer) {
    case PS_TRAIN_SGD: return ps_sgd(session, flags->learning_rate);
    case PS_TRAIN_MOMENTUM: return ps_momentum(session, flags->learning_rate, flags->momentum);
    case PS_TRAIN_NESTEROV: return ps_nesterov(session, flags->learning_rate, flags->momentum);
    case PS_TRAIN_ADAM: break;
    }
    return ps_adam(session, flags->learning_rate, ADAM_BETA1, ADAM_BETA2, ADAM_EPSILON);
}

static void announce(const struct ps_train_job *job, const struct ps_train_row *rows, size_t count)
{
    const struct ps_train_flags *flags = job->flags;
    char text[PS_DATASET_TEXT_BYTES];
    char layers[PS_LAYERS_TEXT_BYTES];
    printf("data      %s\n", ps_dataset_describe(job->dataset, text));
    printf("model     %s, %s %g%s, batches of %d, %lld global steps\n",
           ps_layers_format(&flags->layers, layers), ps_train_optimizer_name(flags->optimizer),
           flags->learning_rate, flags->decay ? " falling" : "", flags->batch,
           (long long)flags->steps);
    ps_train_table_print(stdout, job->session, rows, count);
}

/* Everything between a session that works and the first step. */
static enum ps_code prepare(struct ps_train_job *job, struct ps_train_loop **loop_out,
                            struct ps_error *err)
{
    struct ps_train_row rows[PS_LAYERS_MAX_PARAMETERS];
    *loop_out = NULL;
    size_t count = make_variables(job, rows);
    job->optimizer = make_optimizer(job->session, job->flags);
    ps_initialize(job->session);
    if (!ps_ok(job->session)) { return ps_status(job->session); }
    if (ps_task(job->session) == 0) { announce(job, rows, count); }
    ps_set_goal(job->session, job->flags->steps);

    enum ps_code rc = ps_train_loop_create(job, loop_out, err);
    if (rc != PS_OK) { ps_abandon(job->session, rc, err->message); }
    return rc;
}

static double share(double part, double whole)
{
    return whole > 0.0 ? 100.0 * part / whole : 0.0;
}

/* Where the time of this worker went; each worker says its own. */
static void print_end(const struct ps_train_job *job, const struct ps_train_loop *loop)
{
    struct ps_stats stats;
    ps_get_stats(job->session, &stats);
    double seconds = stats.compute_seconds + stats.communication_seconds + stats.wait_seconds;
    if (!isnan(stats.test_accuracy)) {
        printf("trained   step %lld, test accuracy %.2f %%\n", (long long)ps_step(job->session),
               100.0 * stats.test_accuracy);
    }
    printf("worker/%d  %.1f s: %lld steps, %.0f examples/s, mean staleness %.1f, %llu retries; "
           "compute %.0f %%",
           ps_task(job->session), seconds, (long long)stats.steps,
           seconds > 0.0 ? stats.examples / seconds : 0.0, stats.mean_staleness,
           (unsigned long long)stats.retries, share(stats.compute_seconds, seconds));
    if (ps_task(job->session) == 0) {
        printf(" (test set %.0f %%)", share(ps_train_loop_evaluation_seconds(loop), seconds));
    }
    printf(", communication %.0f %%, wait %.0f %%\n", share(stats.communication_seconds, seconds),
           share(stats.wait_seconds, seconds));
    fflush(stdout);
}

static int train(const struct ps_train_flags *flags, const struct ps_dataset *dataset,
                 ps_session *session)
{
    struct ps_error err = PS_ERROR_INIT;
    struct ps_train_job job = { .flags = flags, .dataset = dataset, .session = session };
    struct ps_train_loop *loop = NULL;
    if (ps_ok(session) && prepare(&job, &loop, &err) == PS_OK) {
        ps_train_loop_run(loop);
        if (ps_ok(session)) { print_end(&job, loop); }
    }
    /* Before the memory goes: after a failure calls under way end only with the session. */
    int exit_code = ps_finish(session);
    ps_train_loop_destroy(loop);
    return exit_code;
}

/* The session is there only now, because ps_start alone knows which flags are the cluster's. */
static int start_and_train(const struct ps_train_flags *flags, const struct ps_dataset *dataset,
                           int argc, char **argv)
{
    struct ps_error err = PS_ERROR_INIT;
    ps_session *session = ps_start(&argc, &argv);
    enum ps_code rc = PS_OK;
    if (ps_ok(session)) { rc = ps_train_flags_refuse_rest(argc, argv, &err); }
    if (rc == PS_OK) { return train(flags, dataset, session); }
    ps_abandon(session, rc, err.message);
    ps_finish(session);
    return PS_EXIT_USAGE;
}

int ps_train_main(int argc, char **argv)
{
    struct ps_error err = PS_ERROR_INIT;
    struct ps_train_flags flags;
    struct ps_dataset *dataset = NULL;
    struct ps_data_options data = ps_data_options_default();

    if (ps_train_flags_take(&argc, argv, &flags, &err) != PS_OK) {
        return complain(&err, PS_EXIT_USAGE);
    }
    if (flags.help) {
        ps_train_flags_help(stdout);
        return PS_EXIT_OK;
    }
    /* Data first: a worker without data must not take a place in the cluster. */
    data.source = flags.data;
    enum ps_code rc = ps_data_source_load(&data, &dataset, &err);
    if (rc == PS_OK) { rc = ps_layers_check_dataset(&flags.layers, dataset, &err); }
    int exit_code = PS_EXIT_OK;
    if (rc != PS_OK) {
        exit_code = complain(&err, ps_exit_code_of(rc));
    } else {
        ps_model_set_threads(flags.blas_threads);
        exit_code = start_and_train(&flags, dataset, argc, argv);
    }
    ps_dataset_destroy(dataset);
    return exit_code;
}
