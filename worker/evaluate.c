/* Loss and accuracy of a model over a whole part of a data set, batch by batch. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/evaluate.h"

#include <stddef.h>

#include "core/alloc.h"
#include "worker/dataset.h"
#include "worker/model.h"

enum ps_code ps_evaluate(struct ps_model *model, const float *const *parameters,
                         const struct ps_examples *examples, struct ps_model_result *result_out,
                         struct ps_error *err)
{
    int features = ps_model_layers(model)->size[0];
    int batch_max = ps_model_batch_max(model);
    if (batch_max > examples->count) { batch_max = (int)examples->count; }
    struct ps_model_result total = { 0.0, 0, 0 };
    *result_out = total;

    float *rows = ps_alloc_aligned((size_t)batch_max * (size_t)features * sizeof *rows);
    if (rows == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to evaluate %d examples at a time",
                       batch_max);
    }
    while (total.count < examples->count) {
        int32_t first = (int32_t)total.count;
        int count = examples->count - first < batch_max ? (int)(examples->count - first)
                                                        : batch_max;
        for (int i = 0; i < count; i++) {
            ps_examples_row(examples, features, first + i, rows + (size_t)i * (size_t)features);
        }
        struct ps_model_batch batch = { rows, examples->labels + first, count };
        struct ps_model_result part;
        ps_model_evaluate(model, parameters, &batch, &part);
        total.loss += part.loss * (double)part.count;
        total.correct += part.correct;
        total.count += part.count;
    }
    total.loss /= (double)total.count;
    *result_out = total;
    ps_free(rows);
    return PS_OK;
}
