/* Optimizers and assigns: what a push asks the ps tasks to do with its bytes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/transfer_priv.h"
#include "core/alloc.h"

static ps_optimizer *make(ps_session *session, enum ps_update_kind kind, const char *name,
                          double learning_rate, const double *parameters, size_t count)
{
    if (!psi_usable(session)) { return NULL; }
    struct ps_optimizer *optimizer = ps_alloc_zero(1, sizeof *optimizer);
    if (optimizer == NULL) {
        struct ps_error err = PS_ERROR_INIT;
        ps_fail(&err, PS_RESOURCE_EXHAUSTED, "no memory for an optimizer");
        psi_fail(session, &err);
        return NULL;
    }
    optimizer->session = session;
    optimizer->update.kind = kind;
    optimizer->update.name = name;
    optimizer->update.learning_rate = learning_rate;
    optimizer->update.parameter_count = count;
    for (size_t i = 0; i < count; i++) { optimizer->update.parameters[i] = parameters[i]; }
    optimizer->next = session->optimizers;
    session->optimizers = optimizer;
    return optimizer;
}

ps_optimizer *ps_sgd(ps_session *session, double learning_rate)
{
    return make(session, PS_UPDATE_SGD, "GradientDescent", learning_rate, NULL, 0);
}

ps_optimizer *ps_momentum(ps_session *session, double learning_rate, double momentum)
{
    return make(session, PS_UPDATE_MOMENTUM, "Momentum", learning_rate, (double[]){ momentum, 0.0 },
                2);
}

ps_optimizer *ps_nesterov(ps_session *session, double learning_rate, double momentum)
{
    return make(session, PS_UPDATE_MOMENTUM, "Momentum", learning_rate, (double[]){ momentum, 1.0 },
                2);
}

ps_optimizer *ps_adam(ps_session *session, double learning_rate, double beta1, double beta2,
                      double epsilon)
{
    return make(session, PS_UPDATE_ADAM, "Adam", learning_rate, (double[]){ beta1, beta2, epsilon },
                3);
}

void ps_set_learning_rate(ps_optimizer *optimizer, double learning_rate)
{
    if (optimizer != NULL) { optimizer->update.learning_rate = learning_rate; }
}

void ps_allow_nonfinite(ps_optimizer *optimizer, int allow)
{
    if (optimizer == NULL) { return; }
    optimizer->update.on_nonfinite = allow ? PS_NONFINITE_APPLY : PS_NONFINITE_REFUSE;
}

ps_ticket ps_push_async(ps_optimizer *optimizer, const ps_binding *bindings, size_t count)
{
    if (optimizer == NULL || !psi_usable(optimizer->session)) { return 0; }
    return psi_push_start(optimizer->session, &optimizer->update, bindings, count);
}

void ps_push(ps_optimizer *optimizer, const ps_binding *bindings, size_t count)
{
    if (optimizer == NULL) { return; }
    ps_wait(optimizer->session, ps_push_async(optimizer, bindings, count));
}

/* ---- Assigns ---- */

static ps_ticket assign(ps_var *var, const void *data, enum ps_update_kind kind)
{
    if (var == NULL || !psi_usable(var->session)) { return 0; }
    struct ps_update update = { .kind = kind, .name = "" };
    ps_binding binding = { var, (void *)data, 0 };
    return psi_push_start(var->session, &update, &binding, 1);
}

static void assign_and_wait(ps_var *var, const void *data, enum ps_update_kind kind)
{
    ps_ticket ticket = assign(var, data, kind);
    if (ticket != 0) { ps_wait(var->session, ticket); }
}

void ps_assign(ps_var *var, const void *data)
{
    assign_and_wait(var, data, PS_UPDATE_ASSIGN);
}

void ps_assign_add(ps_var *var, const void *data)
{
    assign_and_wait(var, data, PS_UPDATE_ASSIGN_ADD);
}

void ps_assign_sub(ps_var *var, const void *data)
{
    assign_and_wait(var, data, PS_UPDATE_ASSIGN_SUB);
}

ps_ticket ps_assign_async(ps_var *var, const void *data)
{
    return assign(var, data, PS_UPDATE_ASSIGN);
}

static enum ps_code check_reshape(const ps_var *var, const struct ps_shape *shape,
                                  struct ps_error *err)
{
    if (!var->definition.free_shape || var->slice_count != 1) {
        return ps_fail(err, PS_FAILED_PRECONDITION,
                       "the shape of variable '%s' is fixed: make it with free_shape, and not "
                       "partitioned",
                       var->definition.name);
    }
    return ps_shape_check(shape, err);
}

void ps_assign_shaped(ps_var *var, const void *data, struct ps_shape shape)
{
    if (var == NULL || !psi_usable(var->session)) { return; }
    struct ps_error err = PS_ERROR_INIT;
    if (check_reshape(var, &shape, &err) != PS_OK) {
        psi_fail(var->session, &err);
        return;
    }
    var->shape = shape;
    var->size_bytes = (size_t)ps_shape_elements(&shape) *
                      (size_t)ps_dtype_size(var->definition.dtype);
    var->slices[0].rows = (struct ps_rows){ 0, ps_shape_rows(&shape) };
    var->slices[0].size_bytes = var->size_bytes;
    struct ps_update update = {
        .kind = PS_UPDATE_ASSIGN, .name = "", .has_shape = true, .shape = shape
    };
    ps_binding binding = { var, (void *)data, 0 };
    psi_push_wait(var->session, &update, &binding, 1);
}
