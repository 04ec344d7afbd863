/* Loss and accuracy of a model over a whole part of a data set, batch by batch. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_WORKER_EVALUATE_H
#define PARAMD_WORKER_EVALUATE_H

#include "core/status.h"

struct ps_examples;
struct ps_model;
struct ps_model_result;

/* Every example once, in batches of at most the model's batch_max. examples have as many features
 * as the model inputs (ps_layers_check_dataset). Errors: PS_RESOURCE_EXHAUSTED. */
PS_MUST_CHECK enum ps_code ps_evaluate(struct ps_model *model, const float *const *parameters,
                                       const struct ps_examples *examples,
                                       struct ps_model_result *result_out, struct ps_error *err);

#endif
