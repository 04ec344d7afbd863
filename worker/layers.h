/* The layers of a network by their sizes, as "784-200-10", and the parameters they call for. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_WORKER_LAYERS_H
#define PARAMD_WORKER_LAYERS_H

#include <stdint.h>

#include "core/status.h"
#include "core/tensor.h"

struct ps_dataset;

enum {
    PS_LAYERS_MAX = 16, /* of weights: deeper plain networks do not train */
    PS_LAYERS_MAX_PARAMETERS = 2 * PS_LAYERS_MAX,
    PS_LAYERS_MAX_SIZE = 1 << 24, /* BLAS counts in int; one matrix stays below 2^31 elements */
    PS_LAYERS_NAME_BYTES = 32,
    PS_LAYERS_TEXT_BYTES = 160
};

/* size[0] inputs, size[count] outputs; layer k maps size[k] to size[k + 1]. */
struct ps_layers {
    int count;
    int size[PS_LAYERS_MAX + 1];
};

/* Reads two or more sizes joined by '-': "784-10" is softmax regression, "784-200-10" has one
 * hidden layer. INVALID_ARGUMENT names the part that is wrong and says what is right. */
PS_MUST_CHECK enum ps_code ps_layers_parse(const char *text, struct ps_layers *layers_out,
                                           struct ps_error *err);
/* "784-200-10"; returns text. */
const char *ps_layers_format(const struct ps_layers *layers, char text[PS_LAYERS_TEXT_BYTES]);

/* Whether a set fits: as many features as inputs, no more classes than outputs.
 * INVALID_ARGUMENT says which layers would do. */
PS_MUST_CHECK enum ps_code ps_layers_check_dataset(const struct ps_layers *layers,
                                                   const struct ps_dataset *dataset,
                                                   struct ps_error *err);

/* One trained tensor. Weights are [inputs, outputs], biases [outputs]. */
struct ps_layers_parameter {
    char name[PS_LAYERS_NAME_BYTES];
    struct ps_shape shape;
    int64_t element_count;
    double initial_stddev; /* normal around 0; 0: zeros */
};

/* Two a layer: "hidden1/weights", "hidden1/biases", ..., "softmax/weights", "softmax/biases".
 * This order is that of every array of parameters or gradients. */
int ps_layers_parameter_count(const struct ps_layers *layers);
struct ps_layers_parameter ps_layers_parameter(const struct ps_layers *layers, int index);

#endif
