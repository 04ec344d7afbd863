/* The replicated asynchronous loop: pull, forward and backward, push, until the global goal. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/train_loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/paramd.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "worker/batches.h"
#include "worker/dataset.h"
#include "worker/evaluate.h"
#include "worker/model.h"
#include "worker/train_flags.h"

enum {
    VALUES_COUNT = 2, /* what is computed with, and what is pulled meanwhile */
    POSITION_SIZE = PS_BATCHES_POSITION_BYTES
};

/* The last steps still move a little: a rate of 0 would make them idle. */
static const double LEAST_RATE_SHARE = 0.01;

/* One array a parameter, as the model takes them and as the session takes them. While ticket is
 * open the session uses the memory. */
struct tensors {
    float *data[PS_LAYERS_MAX_PARAMETERS];
    ps_binding bindings[PS_LAYERS_MAX_PARAMETERS];
    ps_ticket ticket;
};

struct ps_train_loop {
    const struct ps_train_job *job;
    const struct ps_train_flags *flags;
    size_t parameter_count;
    struct ps_model *model;
    struct ps_batches *batches;
    struct tensors values[VALUES_COUNT];
    struct tensors *gradients; /* flags->pipeline of them, used in turn */
    float *rows;               /* one batch */
    uint8_t *labels;
    int64_t next_evaluation; /* global step; INT64_MAX: none before the end */
    int64_t evaluation_ns;
};

static enum ps_code alloc_tensors(const struct ps_train_loop *loop, struct tensors *tensors,
                                  struct ps_error *err)
{
    for (size_t i = 0; i < loop->parameter_count; i++) {
        struct ps_layers_parameter parameter = ps_layers_parameter(&loop->flags->layers, (int)i);
        size_t count = (size_t)parameter.element_count;
        tensors->data[i] = ps_alloc_aligned(count * sizeof(float));
        if (tensors->data[i] == NULL) {
            return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for %s", parameter.name);
        }
        tensors->bindings[i] = (ps_binding){ loop->job->vars[i], tensors->data[i], count };
    }
    return PS_OK;
}

static void free_tensors(struct tensors *tensors)
{
    for (size_t i = 0; i < PS_LAYERS_MAX_PARAMETERS; i++) { ps_free(tensors->data[i]); }
}

static enum ps_code alloc_loop(struct ps_train_loop *loop, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    int pipeline = loop->flags->pipeline;
    size_t batch = (size_t)loop->flags->batch;
    loop->gradients = ps_alloc_zero((size_t)pipeline, sizeof *loop->gradients);
    loop->rows = ps_alloc_aligned(batch * (size_t)loop->job->dataset->feature_count *
                                  sizeof *loop->rows);
    loop->labels = ps_alloc(batch);
    if (loop->gradients == NULL || loop->rows == NULL || loop->labels == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for batches of %d examples",
                       loop->flags->batch);
    }
    for (int i = 0; i < VALUES_COUNT; i++) {
        PS_TRY(fail, rc, alloc_tensors(loop, &loop->values[i], err));
    }
    for (int i = 0; i < pipeline; i++) {
        PS_TRY(fail, rc, alloc_tensors(loop, &loop->gradients[i], err));
    }
fail:
    return rc;
}

/* The batches of this worker, from where the cluster last saw it on. */
static enum ps_code open_batches(struct ps_train_loop *loop, struct ps_error *err)
{
    const struct ps_train_job *job = loop->job;
    const struct ps_batches_options options = {
        .examples = &job->dataset->train,
        .feature_count = job->dataset->feature_count,
        .worker = ps_task(job->session),
        .worker_count = ps_workers(job->session),
        .seed = loop->flags->seed,
    };
    const void *position = NULL;
    enum ps_code rc = ps_batches_create(&options, &loop->batches, err);
    if (rc != PS_OK) { return rc; }
    size_t size = ps_position(job->session, &position);
    return ps_batches_seek(loop->batches, (struct ps_span){ position, size }, err);
}

enum ps_code ps_train_loop_create(const struct ps_train_job *job, struct ps_train_loop **loop_out,
                                  struct ps_error *err)
{
    *loop_out = NULL;
    enum ps_code rc = PS_OK;
    struct ps_train_loop *loop = ps_alloc_zero(1, sizeof *loop);
    if (loop == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for training"); }
    loop->job = job;
    loop->flags = job->flags;
    loop->parameter_count = (size_t)ps_layers_parameter_count(&job->flags->layers);
    PS_TRY(fail, rc, ps_model_create(&job->flags->layers, job->flags->batch, &loop->model, err));
    PS_TRY(fail, rc, alloc_loop(loop, err));
    PS_TRY(fail, rc, open_batches(loop, err));
    *loop_out = loop;
    return PS_OK;
fail:
    ps_train_loop_destroy(loop);
    return rc;
}

void ps_train_loop_destroy(struct ps_train_loop *loop)
{
    if (loop == NULL) { return; }
    for (int i = 0; i < VALUES_COUNT; i++) { free_tensors(&loop->values[i]); }
    for (int i = 0; loop->gradients != NULL && i < loop->flags->pipeline; i++) {
        free_tensors(&loop->gradients[i]);
    }
    ps_free(loop->gradients);
    ps_free(loop->rows);
    ps_free(loop->labels);
    ps_batches_destroy(loop->batches);
    ps_model_destroy(loop->model);
    ps_free(loop);
}

/* Accuracy on the test set with these values, told to the session. */
static void evaluate(struct ps_train_loop *loop, const struct tensors *values)
{
    struct ps_error err = PS_ERROR_INIT;
    struct ps_model_result result;
    int64_t start_ns = ps_clock_now_ns(ps_clock_monotonic());
    enum ps_code rc = ps_evaluate(loop->model, (const float *const *)values->data,
                                  &loop->job->dataset->test, &result, &err);
    loop->evaluation_ns += ps_clock_now_ns(ps_clock_monotonic()) - start_ns;
    if (rc != PS_OK) {
        ps_abandon(loop->job->session, rc, err.message);
        return;
    }
    ps_report_test(loop->job->session, (double)result.correct / (double)result.count);
}

/* The first multiple of eval_every above step. */
static int64_t evaluation_after(const struct ps_train_loop *loop, int64_t step)
{
    int64_t every = loop->flags->eval_every;
    if (every == 0 || ps_task(loop->job->session) != 0) { return INT64_MAX; }
    return (step / every + 1) * every;
}

static void start_pull(struct ps_train_loop *loop, struct tensors *values)
{
    values->ticket = ps_pull_async(loop->job->session, values->bindings, loop->parameter_count);
}

/* Values to compute step number turn of this worker with. In turn, they are pulled now, with the
 * last push in them. Pipelined, they were asked for a step ago, and the next are asked for here,
 * to arrive while the model computes. */
static const struct tensors *next_values(struct ps_train_loop *loop, uint64_t turn)
{
    bool ahead = loop->flags->pipeline > 1;
    struct tensors *values = &loop->values[ahead ? turn % VALUES_COUNT : 0];
    if (!ahead || turn == 0) { start_pull(loop, values); }
    ps_wait(loop->job->session, values->ticket);
    if (ahead) { start_pull(loop, &loop->values[(turn + 1) % VALUES_COUNT]); }
    return values;
}

static double learning_rate(const struct ps_train_flags *flags, int64_t step)
{
    if (!flags->decay) { return flags->learning_rate; }
    double left = 1.0 - (double)step / (double)flags->steps;
    return flags->learning_rate * (left > LEAST_RATE_SHARE ? left : LEAST_RATE_SHARE);
}

/* One step of this worker, unless the values it pulls show that the goal was reached meanwhile; the
 * global step afterwards. */
static int64_t train_step(struct ps_train_loop *loop, uint64_t turn)
{
    ps_session *session = loop->job->session;
    struct tensors *gradients = &loop->gradients[turn % (uint64_t)loop->flags->pipeline];
    const struct ps_model_batch batch = { loop->rows, loop->labels, loop->flags->batch };
    struct ps_model_result result;
    uint8_t position[POSITION_SIZE];

    const struct tensors *values = next_values(loop, turn);
    ps_wait(session, gradients->ticket);
    int64_t step = ps_step(session);
    if (!ps_ok(session) || step >= loop->flags->steps) { return step; }
    if (step >= loop->next_evaluation) {
        evaluate(loop, values);
        loop->next_evaluation = evaluation_after(loop, step);
    }
    ps_batches_next(loop->batches, batch.count, loop->rows, loop->labels);
    ps_model_gradients(loop->model, (const float *const *)values->data, &batch, gradients->data,
                       &result);

    ps_batches_position(loop->batches, position);
    ps_set_position(session, position, sizeof position);
    ps_set_learning_rate(loop->job->optimizer, learning_rate(loop->flags, step));
    gradients->ticket = ps_push_async(loop->job->optimizer, gradients->bindings,
                                      loop->parameter_count);
    return ps_report(session, result.loss, (double)result.correct / (double)result.count,
                     (size_t)result.count);
}

void ps_train_loop_run(struct ps_train_loop *loop)
{
    ps_session *session = loop->job->session;
    int64_t step = ps_step(session);
    loop->next_evaluation = evaluation_after(loop, step);
    for (uint64_t turn = 0; ps_ok(session) && step < loop->flags->steps; turn++) {
        step = train_step(loop, turn);
    }
    ps_wait_all(session);
    if (ps_ok(session) && ps_task(session) == 0) {
        ps_pull(session, loop->values[0].bindings, loop->parameter_count);
        if (ps_ok(session)) { evaluate(loop, &loop->values[0]); }
    }
}

double ps_train_loop_evaluation_seconds(const struct ps_train_loop *loop)
{
    return (double)loop->evaluation_ns / 1e9;
}
