/* Parameters and gradients of a small network, held locally, for the tests of the model. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/worker/net_fixture.h"

#include <check.h>
#include <stddef.h>

#include "core/alloc.h"
#include "core/philox.h"
#include "worker/model.h"

static const double BIAS_STDDEV = 0.1;

void net_fixture_init(struct net_fixture *net, const char *layers, int batch_max, uint64_t seed)
{
    uint64_t drawn = 0;
    *net = (struct net_fixture){ .model = NULL };
    ck_assert_int_eq(ps_layers_parse(layers, &net->layers, NULL), PS_OK);
    ck_assert_int_eq(ps_model_create(&net->layers, batch_max, &net->model, NULL), PS_OK);
    net->parameter_count = ps_layers_parameter_count(&net->layers);
    for (int i = 0; i < net->parameter_count; i++) {
        struct ps_layers_parameter parameter = ps_layers_parameter(&net->layers, i);
        bool biases = parameter.shape.rank == 1;
        double stddev = biases ? BIAS_STDDEV : parameter.initial_stddev;
        size_t count = (size_t)parameter.element_count;
        net->parameters[i] = ps_alloc_zero(count, sizeof(float));
        net->gradients[i] = ps_alloc_zero(count, sizeof(float));
        ck_assert_ptr_nonnull(net->parameters[i]);
        ck_assert_ptr_nonnull(net->gradients[i]);
        for (size_t j = 0; j < count; j++) {
            struct ps_philox_block block = ps_philox(seed, PS_STREAM_TEST, drawn++);
            net->parameters[i][j] = (float)(stddev * ps_philox_normal(block));
        }
    }
}

void net_fixture_clean(struct net_fixture *net)
{
    for (int i = 0; i < net->parameter_count; i++) {
        ps_free(net->parameters[i]);
        ps_free(net->gradients[i]);
    }
    ps_model_destroy(net->model);
}

const float *const *net_fixture_parameters(const struct net_fixture *net)
{
    return (const float *const *)net->parameters;
}

int64_t net_fixture_elements(const struct net_fixture *net, int parameter)
{
    return ps_layers_parameter(&net->layers, parameter).element_count;
}

void net_fixture_descend(struct net_fixture *net, float rate)
{
    for (int i = 0; i < net->parameter_count; i++) {
        int64_t count = net_fixture_elements(net, i);
        for (int64_t j = 0; j < count; j++) {
            net->parameters[i][j] -= rate * net->gradients[i][j];
        }
    }
}
