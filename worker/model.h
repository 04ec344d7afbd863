/* A multi-layer perceptron: loss, gradients and accuracy of a batch, on OpenBLAS. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_WORKER_MODEL_H
#define PARAMD_WORKER_MODEL_H

#include <stdint.h>

#include "core/status.h"
#include "worker/layers.h"

enum { PS_MODEL_MAX_BATCH = 1 << 20 }; /* rows of one batch: above it nothing runs faster */

/* Rectifiers after hidden layers, softmax cross-entropy at the end. The parameters are the
 * caller's: pointers to row-major floats in the order of ps_layers_parameter. The model owns its
 * activations only. Threads: one at a time for each model. */
struct ps_model;

/* batch_max: the largest batch that will be given, 1 to PS_MODEL_MAX_BATCH.
 * Errors: PS_INVALID_ARGUMENT (batch_max), PS_RESOURCE_EXHAUSTED. */
PS_MUST_CHECK enum ps_code ps_model_create(const struct ps_layers *layers, int batch_max,
                                           struct ps_model **model_out, struct ps_error *err);
void ps_model_destroy(struct ps_model *model);

const struct ps_layers *ps_model_layers(const struct ps_model *model);
int ps_model_batch_max(const struct ps_model *model);

/* Borrowed for the call. Labels are below the number of outputs: ps_layers_check_dataset. */
struct ps_model_batch {
    const float *rows; /* count * inputs */
    const uint8_t *labels;
    int count; /* 1 to batch_max */
};

struct ps_model_result {
    double loss; /* mean over count; not a number, or infinite, once training has diverged */
    int64_t correct;
    int64_t count;
};

/* Loss and hits only. */
void ps_model_evaluate(struct ps_model *model, const float *const *parameters,
                       const struct ps_model_batch *batch, struct ps_model_result *result_out);

/* Also the gradient of the mean loss, into one array for each parameter (overwritten). */
void ps_model_gradients(struct ps_model *model, const float *const *parameters,
                        const struct ps_model_batch *batch, float *const *gradients,
                        struct ps_model_result *result_out);

/* Threads that OpenBLAS uses, for the whole process; 0 leaves its choice, one a core. Workers that
 * share a machine take 1 each: more threads than cores make all of them slower. */
void ps_model_set_threads(int thread_count);

#endif
