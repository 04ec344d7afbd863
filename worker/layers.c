/* The layers of a network by their sizes, as "784-200-10", and the parameters they call for. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/layers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "worker/dataset.h"

static enum ps_code fail_part(const char *text, const char *part, int length, struct ps_error *err)
{
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "layers '%s': '%.*s' is no layer size. Give sizes from 1 to %d joined by '-', "
                   "for example 784-200-10",
                   text, length, part, PS_LAYERS_MAX_SIZE);
}

/* The digits at *at as a size; moves *at behind them. */
static enum ps_code parse_size(const char *text, const char **at, int *size_out,
                               struct ps_error *err)
{
    const char *part = *at;
    int length = (int)strcspn(part, "-");
    int size = 0;
    for (int i = 0; i < length; i++) {
        if (part[i] < '0' || part[i] > '9') { return fail_part(text, part, length, err); }
        size = size * 10 + (part[i] - '0');
        if (size > PS_LAYERS_MAX_SIZE) { return fail_part(text, part, length, err); }
    }
    if (size == 0) { return fail_part(text, part, length, err); }
    *size_out = size;
    *at = part + length;
    return PS_OK;
}

static enum ps_code check_matrix(const char *text, int inputs, int outputs, struct ps_error *err)
{
    if ((int64_t)inputs * outputs <= INT32_MAX) { return PS_OK; }
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "layers '%s': %d x %d weights are more than the limit of %d", text, inputs,
                   outputs, INT32_MAX);
}

enum ps_code ps_layers_parse(const char *text, struct ps_layers *layers_out, struct ps_error *err)
{
    struct ps_layers layers = { 0, { 0 } };
    const char *at = text;
    int size_count = 0;
    enum ps_code rc = PS_OK;
    *layers_out = layers;

    for (;;) {
        if (size_count > PS_LAYERS_MAX) {
            return ps_fail(err, PS_INVALID_ARGUMENT, "layers '%s': more than %d sizes", text,
                           PS_LAYERS_MAX + 1);
        }
        PS_TRY(fail, rc, parse_size(text, &at, &layers.size[size_count], err));
        if (size_count > 0) {
            PS_TRY(fail, rc,
                   check_matrix(text, layers.size[size_count - 1], layers.size[size_count], err));
        }
        size_count++;
        if (*at == '\0') { break; }
        at++; /* the '-' */
    }
    if (size_count < 2) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "layers '%s': one size is no network. Give inputs and outputs at least, for "
                       "example 784-10",
                       text);
    }
    layers.count = size_count - 1;
    *layers_out = layers;
fail:
    return rc;
}

const char *ps_layers_format(const struct ps_layers *layers, char text[PS_LAYERS_TEXT_BYTES])
{
    int length = snprintf(text, PS_LAYERS_TEXT_BYTES, "%d", layers->size[0]);
    for (int i = 1; i <= layers->count; i++) {
        length += snprintf(text + length, (size_t)(PS_LAYERS_TEXT_BYTES - length), "-%d",
                           layers->size[i]);
    }
    return text;
}

enum ps_code ps_layers_check_dataset(const struct ps_layers *layers,
                                     const struct ps_dataset *dataset, struct ps_error *err)
{
    char text[PS_LAYERS_TEXT_BYTES];
    ps_layers_format(layers, text);
    if (layers->size[0] != dataset->feature_count) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "layers '%s': %d inputs, but %s has %d features (%dx%d). The first size "
                       "must be %d",
                       text, layers->size[0], dataset->source, dataset->feature_count,
                       dataset->rows, dataset->columns, dataset->feature_count);
    }
    if (layers->size[layers->count] != dataset->class_count) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "layers '%s': %d outputs, but %s has %d classes. The last size must be %d",
                       text, layers->size[layers->count], dataset->source, dataset->class_count,
                       dataset->class_count);
    }
    return PS_OK;
}

int ps_layers_parameter_count(const struct ps_layers *layers)
{
    return 2 * layers->count;
}

/* Hidden weights start with variance 2/inputs, which keeps the size of signals through rectifiers;
 * the last layer has none behind it, so 1/inputs. */
struct ps_layers_parameter ps_layers_parameter(const struct ps_layers *layers, int index)
{
    PS_ASSERT(index >= 0 && index < ps_layers_parameter_count(layers));
    int layer = index / 2;
    int inputs = layers->size[layer];
    int outputs = layers->size[layer + 1];
    bool last = layer == layers->count - 1;
    bool biases = index % 2 == 1;
    const char *kind = biases ? "biases" : "weights";
    struct ps_layers_parameter parameter;
    memset(&parameter, 0, sizeof parameter);

    if (last) {
        snprintf(parameter.name, sizeof parameter.name, "softmax/%s", kind);
    } else {
        snprintf(parameter.name, sizeof parameter.name, "hidden%d/%s", layer + 1, kind);
    }
    if (biases) {
        parameter.shape = (struct ps_shape){ 1, { outputs } };
        parameter.element_count = outputs;
    } else {
        parameter.shape = (struct ps_shape){ 2, { inputs, outputs } };
        parameter.element_count = (int64_t)inputs * outputs;
        parameter.initial_stddev = sqrt((last ? 1.0 : 2.0) / inputs);
    }
    return parameter;
}
