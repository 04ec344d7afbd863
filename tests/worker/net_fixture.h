/* Parameters and gradients of a small network, held locally, for the tests of the model. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_WORKER_NET_FIXTURE_H
#define PARAMD_TESTS_WORKER_NET_FIXTURE_H

#include <stdint.h>

#include "worker/layers.h"

struct ps_model;

struct net_fixture {
    struct ps_layers layers;
    int parameter_count;
    float *parameters[PS_LAYERS_MAX_PARAMETERS];
    float *gradients[PS_LAYERS_MAX_PARAMETERS];
    struct ps_model *model;
};

/* A network of these layers with its initial values drawn from seed; biases too, from a narrow
 * normal, so that no test is blind to them. */
void net_fixture_init(struct net_fixture *net, const char *layers, int batch_max, uint64_t seed);
void net_fixture_clean(struct net_fixture *net);

/* parameters, as the model takes them. */
const float *const *net_fixture_parameters(const struct net_fixture *net);
int64_t net_fixture_elements(const struct net_fixture *net, int parameter);

/* Plain gradient descent: parameters -= rate * gradients. */
void net_fixture_descend(struct net_fixture *net, float rate);

#endif
