/* Initial values as arguments: what an initializer is before it belongs to a variable. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/paramd.h"
#include "proto/messages.h"

static ps_init make(enum ps_initializer_kind kind, double a, double b, uint64_t seed)
{
    return (ps_init){ .kind = (int)kind, .a = a, .b = b, .scale = 1.0, .seed = seed };
}

ps_init ps_zeros(void)
{
    return make(PS_INIT_ZEROS, 0.0, 0.0, 0);
}

ps_init ps_ones(void)
{
    return make(PS_INIT_ONES, 0.0, 0.0, 0);
}

ps_init ps_constant(double value)
{
    return make(PS_INIT_CONSTANT, value, 0.0, 0);
}

ps_init ps_constants(const double *values, size_t count)
{
    ps_init init = make(PS_INIT_CONSTANT, 0.0, 0.0, 0);
    init.values = values;
    init.count = count;
    return init;
}

ps_init ps_random_normal(double mean, double stddev, uint64_t seed)
{
    return make(PS_INIT_RANDOM_NORMAL, mean, stddev, seed);
}

ps_init ps_truncated_normal(double mean, double stddev, uint64_t seed)
{
    return make(PS_INIT_TRUNCATED_NORMAL, mean, stddev, seed);
}

ps_init ps_random_uniform(double minimum, double maximum, uint64_t seed)
{
    return make(PS_INIT_RANDOM_UNIFORM, minimum, maximum, seed);
}

ps_init ps_glorot(uint64_t seed)
{
    return make(PS_INIT_GLOROT_UNIFORM, 0.0, 0.0, seed);
}

ps_init ps_glorot_normal(uint64_t seed)
{
    return make(PS_INIT_GLOROT_NORMAL, 0.0, 0.0, seed);
}

/* kind 0: the variable's own initializer is looked up when the new variable is made. */
ps_init ps_initialized_value(const ps_var *source)
{
    return (ps_init){ .kind = 0, .scale = 1.0, .source = source };
}

ps_init ps_scaled(ps_init init, double factor)
{
    init.scale *= factor;
    return init;
}

ps_init ps_tensor_value(const void *data)
{
    ps_init init = make(PS_INIT_TENSOR, 0.0, 0.0, 0);
    init.values = data;
    return init;
}
