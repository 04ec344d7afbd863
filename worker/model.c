/* A multi-layer perceptron: loss, gradients and accuracy of a batch, on OpenBLAS. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model.h"

#include <cblas.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "core/alloc.h"

struct ps_model {
    struct ps_layers layers;
    int batch_max;
    /* outputs[k]: batch_max * size[k + 1] outputs of layer k. The way back turns them, once they
     * have been used, into the gradient of the loss by what entered that layer's rectifier. */
    float *outputs[PS_LAYERS_MAX];
    float *back; /* as large as the largest hidden outputs */
};

static size_t row_elements(const struct ps_model *model, int layer)
{
    return (size_t)model->layers.size[layer + 1];
}

static enum ps_code alloc_workspace(struct ps_model *model, struct ps_error *err)
{
    size_t widest_hidden = 0;
    size_t row_bytes = (size_t)model->batch_max * sizeof(float);
    for (int layer = 0; layer < model->layers.count; layer++) {
        size_t width = row_elements(model, layer);
        bool hidden = layer < model->layers.count - 1;
        if (hidden && width > widest_hidden) { widest_hidden = width; }
        model->outputs[layer] = ps_alloc_aligned(width * row_bytes);
        if (model->outputs[layer] == NULL) { goto fail; }
    }
    if (widest_hidden == 0) { return PS_OK; }
    model->back = ps_alloc_aligned(widest_hidden * row_bytes);
    if (model->back != NULL) { return PS_OK; }
fail:
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a model of batch size %d",
                   model->batch_max);
}

enum ps_code ps_model_create(const struct ps_layers *layers, int batch_max,
                             struct ps_model **model_out, struct ps_error *err)
{
    *model_out = NULL;
    PS_ASSERT(layers->count >= 1 && layers->count <= PS_LAYERS_MAX);
    if (batch_max < 1 || batch_max > PS_MODEL_MAX_BATCH) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "batch size %d; give 1 to %d", batch_max,
                       PS_MODEL_MAX_BATCH);
    }
    struct ps_model *model = ps_alloc_zero(1, sizeof *model);
    if (model == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a model"); }
    model->layers = *layers;
    model->batch_max = batch_max;
    enum ps_code rc = alloc_workspace(model, err);
    if (rc != PS_OK) {
        ps_model_destroy(model);
        return rc;
    }
    *model_out = model;
    return PS_OK;
}

void ps_model_destroy(struct ps_model *model)
{
    if (model == NULL) { return; }
    for (int layer = 0; layer < PS_LAYERS_MAX; layer++) { ps_free(model->outputs[layer]); }
    ps_free(model->back);
    ps_free(model);
}

const struct ps_layers *ps_model_layers(const struct ps_model *model)
{
    return &model->layers;
}

int ps_model_batch_max(const struct ps_model *model)
{
    return model->batch_max;
}

/* Not `x > 0 ? x : 0`: that would turn NaN into 0 and hide that training has diverged. */
static void rectify(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) { values[i] = values[i] < 0.0F ? 0.0F : values[i]; }
}

static void forward_layer(struct ps_model *model, const float *const *parameters, int layer,
                          const float *input, int count)
{
    int inputs = model->layers.size[layer];
    int outputs = model->layers.size[layer + 1];
    const float *weights = parameters[2 * layer];
    const float *biases = parameters[2 * layer + 1];
    float *out = model->outputs[layer];
    for (int i = 0; i < count; i++) {
        memcpy(out + (size_t)i * (size_t)outputs, biases, (size_t)outputs * sizeof *out);
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, count, outputs, inputs, 1.0F, input,
                inputs, weights, outputs, 1.0F, out, outputs);
    if (layer < model->layers.count - 1) { rectify(out, (size_t)count * (size_t)outputs); }
}

/* Leaves the logits in the last layer's outputs. */
static void forward(struct ps_model *model, const float *const *parameters,
                    const struct ps_model_batch *batch)
{
    PS_ASSERT(batch->count >= 1 && batch->count <= model->batch_max);
    const float *input = batch->rows;
    for (int layer = 0; layer < model->layers.count; layer++) {
        forward_layer(model, parameters, layer, input, batch->count);
        input = model->outputs[layer];
    }
}

static int largest_index(const float *values, int count)
{
    int best = 0;
    for (int i = 1; i < count; i++) {
        if (values[i] > values[best]) { best = i; }
    }
    return best;
}

/* log(sum(exp(logits))), safe from overflow: the largest is taken out first. */
static double log_sum_exp(const float *logits, int count, double largest)
{
    double sum = 0.0;
    for (int i = 0; i < count; i++) { sum += exp((double)logits[i] - largest); }
    return largest + log(sum);
}

static void add_example(const float *logits, int classes, int label, struct ps_model_result *result,
                        double *log_sum_out)
{
    PS_ASSERT(label < classes);
    int best = largest_index(logits, classes);
    double log_sum = log_sum_exp(logits, classes, (double)logits[best]);
    double loss = log_sum - (double)logits[label];
    result->loss += loss;
    if (best == label && isfinite(loss)) { result->correct++; }
    *log_sum_out = log_sum;
}

/* Logits to the gradient of the mean loss by them: (probability - 1 at the label) / batch count. */
static void logits_to_gradient(float *logits, int classes, int label, double log_sum, int count)
{
    for (int i = 0; i < classes; i++) {
        double probability = exp((double)logits[i] - log_sum);
        logits[i] = (float)((probability - (i == label ? 1.0 : 0.0)) / count);
    }
}

static void softmax(struct ps_model *model, const struct ps_model_batch *batch, bool gradient,
                    struct ps_model_result *result_out)
{
    int last = model->layers.count - 1;
    int classes = model->layers.size[model->layers.count];
    *result_out = (struct ps_model_result){ .count = batch->count };
    for (int i = 0; i < batch->count; i++) {
        double log_sum = 0.0;
        float *logits = model->outputs[last] + (size_t)i * (size_t)classes;
        add_example(logits, classes, batch->labels[i], result_out, &log_sum);
        if (gradient) {
            logits_to_gradient(logits, classes, batch->labels[i], log_sum, batch->count);
        }
    }
    result_out->loss /= batch->count;
}

static void sum_rows(const float *rows, int count, int width, float *sums)
{
    memset(sums, 0, (size_t)width * sizeof *sums);
    for (int i = 0; i < count; i++) {
        const float *row = rows + (size_t)i * (size_t)width;
        for (int j = 0; j < width; j++) { sums[j] += row[j]; }
    }
}

/* Turns the outputs of the layer below into the gradient by what entered its rectifier, given the
 * gradient `above` of `layer`. Outputs are 0 exactly where the rectifier let nothing through. */
static void backward_layer(struct ps_model *model, const float *const *parameters, int layer,
                           int count)
{
    int inputs = model->layers.size[layer];
    int outputs = model->layers.size[layer + 1];
    float *below = model->outputs[layer - 1];
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, count, inputs, outputs, 1.0F,
                model->outputs[layer], outputs, parameters[2 * layer], outputs, 0.0F, model->back,
                inputs);
    size_t elements = (size_t)count * (size_t)inputs;
    for (size_t i = 0; i < elements; i++) { below[i] = below[i] == 0.0F ? 0.0F : model->back[i]; }
}

void ps_model_evaluate(struct ps_model *model, const float *const *parameters,
                       const struct ps_model_batch *batch, struct ps_model_result *result_out)
{
    forward(model, parameters, batch);
    softmax(model, batch, false, result_out);
}

void ps_model_gradients(struct ps_model *model, const float *const *parameters,
                        const struct ps_model_batch *batch, float *const *gradients,
                        struct ps_model_result *result_out)
{
    forward(model, parameters, batch);
    softmax(model, batch, true, result_out);
    for (int layer = model->layers.count - 1; layer >= 0; layer--) {
        int inputs = model->layers.size[layer];
        int outputs = model->layers.size[layer + 1];
        const float *input = layer == 0 ? batch->rows : model->outputs[layer - 1];
        const float *by_output = model->outputs[layer];
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, inputs, outputs, batch->count, 1.0F,
                    input, inputs, by_output, outputs, 0.0F, gradients[2 * layer], outputs);
        sum_rows(by_output, batch->count, outputs, gradients[2 * layer + 1]);
        if (layer > 0) { backward_layer(model, parameters, layer, batch->count); }
    }
}

void ps_model_set_threads(int thread_count)
{
    if (thread_count > 0) { openblas_set_num_threads(thread_count); }
}
