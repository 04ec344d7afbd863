/* The table of updates, and their checks. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/update.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "server/variable.h"

static enum ps_code check_momentum(const struct ps_update *update, struct ps_error *err)
{
    double nesterov = update->parameters[1];
    if (nesterov != 0.0 && nesterov != 1.0) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "optimizer '%s': use_nesterov is %g, expected 0 or 1", update->name,
                       nesterov);
    }
    return PS_OK;
}

static enum ps_code check_adam(const struct ps_update *update, struct ps_error *err)
{
    for (int i = 0; i < 2; i++) { /* a beta of 1 would divide by zero */
        double beta = update->parameters[i];
        if (!(beta >= 0.0 && (float)beta < 1.0f)) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "optimizer '%s': beta%d is %.17g, expected at least 0 and below 1",
                           update->name, i + 1, beta);
        }
    }
    if (update->parameters[2] < 0.0) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "optimizer '%s': epsilon is %g, expected at least 0", update->name,
                       update->parameters[2]);
    }
    return PS_OK;
}

static const struct ps_update_rule rules[] = {
    { .kind = PS_UPDATE_ASSIGN, .name = "assign", .is_assign = true, .op = PS_KERNEL_ASSIGN },
    { .kind = PS_UPDATE_ASSIGN_ADD, .name = "assign_add", .op = PS_KERNEL_ADD },
    { .kind = PS_UPDATE_ASSIGN_SUB, .name = "assign_sub", .op = PS_KERNEL_SUB },
    { .kind = PS_UPDATE_INITIALIZE,
      .name = "initialize",
      .is_assign = true,
      .only_initializes = true,
      .op = PS_KERNEL_ASSIGN },
    { .kind = PS_UPDATE_SGD, .name = "GradientDescent", .op = PS_KERNEL_SGD },
    { .kind = PS_UPDATE_MOMENTUM,
      .name = "Momentum",
      .parameter_count = 2,
      .slot_count = 1,
      .slot_initial = { 0.0 },
      .op = PS_KERNEL_MOMENTUM,
      .check = check_momentum },
    { .kind = PS_UPDATE_ADAM,
      .name = "Adam",
      .parameter_count = 3,
      .slot_count = 2,
      .slot_initial = { 0.0, 0.0 },
      .op = PS_KERNEL_ADAM,
      .check = check_adam },
};

const struct ps_update_rule *ps_update_rule(enum ps_update_kind kind)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (rules[i].kind == kind) { return &rules[i]; }
    }
    return NULL;
}

ps_kernel_fn *ps_update_kernel(const struct ps_update *update, enum ps_dtype dtype)
{
    const struct ps_update_rule *rule = ps_update_rule(update->kind);
    enum ps_kernel_op op = rule->op;
    if (op == PS_KERNEL_MOMENTUM && update->parameters[1] != 0.0) { op = PS_KERNEL_NESTEROV; }
    return ps_kernel_find(op, dtype);
}

const char *ps_update_slot_name(const struct ps_update *update, size_t index,
                                char text[PS_SLOT_NAME_BYTES])
{
    if (index == 0) {
        snprintf(text, PS_SLOT_NAME_BYTES, "%s", update->name);
    } else {
        snprintf(text, PS_SLOT_NAME_BYTES, "%s_%zu", update->name, index);
    }
    return text;
}

static enum ps_code check_parameters(const struct ps_update_rule *rule,
                                     const struct ps_update *update, struct ps_error *err)
{
    if (update->parameter_count != rule->parameter_count) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "%s takes %zu parameters, not %zu", rule->name,
                       rule->parameter_count, update->parameter_count);
    }
    if (!ps_update_is_step(rule->kind)) { return PS_OK; }
    if (rule->slot_count > 0 && (update->name == NULL || update->name[0] == '\0' ||
                                 strlen(update->name) > PS_MAX_NAME_BYTES)) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "%s keeps slots, so it needs a name of 1 to %d bytes to call them by",
                       rule->name, PS_MAX_NAME_BYTES);
    }
    if (!isfinite(update->learning_rate)) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "the learning rate of %s is %g, expected a finite "
                       "number",
                       rule->name, update->learning_rate);
    }
    for (size_t i = 0; i < update->parameter_count; i++) {
        if (!isfinite(update->parameters[i])) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "parameter %zu of %s is %g, expected a finite number", i, rule->name,
                           update->parameters[i]);
        }
    }
    return rule->check == NULL ? PS_OK : rule->check(update, err);
}

/* Bytes of the slice once the update has been applied. */
static enum ps_code check_shape(const struct ps_update_rule *rule, const struct ps_update *update,
                                const struct ps_variable *variable, uint64_t *size_bytes,
                                struct ps_error *err)
{
    char text[PS_SHAPE_TEXT_BYTES];
    const char *name = variable->definition.name;
    if (!update->has_shape) { return PS_OK; }
    enum ps_code rc = ps_shape_check(&update->shape, err);
    if (rc != PS_OK) { return rc; }
    if (!rule->is_assign || !variable->definition.free_shape || variable->slice_count != 1) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "%s to '%s' cannot change its shape to %s; only an assign to an "
                       "unpartitioned variable made with a free shape can",
                       rule->name, name, ps_shape_format(&update->shape, text));
    }
    *size_bytes = (uint64_t)ps_shape_elements(&update->shape) * variable->element_bytes;
    return PS_OK;
}

static enum ps_code check_piece(const struct ps_variable *variable, const struct ps_piece *piece,
                                uint64_t size_bytes, struct ps_error *err)
{
    const char *name = variable->definition.name;
    if (piece->offset > size_bytes || piece->size > size_bytes - piece->offset) {
        return ps_fail(err, PS_OUT_OF_RANGE,
                       "a piece of %" PRIu64 " bytes at byte %" PRIu64
                       " does not fit in slice %u of '%s', which has %" PRIu64
                       ". Same program on all workers?",
                       piece->size, piece->offset, variable->slice_index, name, size_bytes);
    }
    if (piece->offset % variable->element_bytes != 0 ||
        piece->size % variable->element_bytes != 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "a piece of '%s' has %" PRIu64 " bytes at byte %" PRIu64
                       "; a %s has %zu, and pieces hold whole elements",
                       name, piece->size, piece->offset,
                       ps_dtype_name((int)variable->definition.dtype), variable->element_bytes);
    }
    return PS_OK;
}

enum ps_code ps_update_check(const struct ps_update *update, struct ps_variable *variable,
                             const struct ps_piece *piece, struct ps_error *err)
{
    const char *name = variable->definition.name;
    enum ps_dtype dtype = variable->definition.dtype;
    const struct ps_update_rule *rule = ps_update_rule(update->kind);
    if (rule == NULL) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "update of '%s': unknown kind %d", name,
                       (int)update->kind);
    }
    enum ps_code rc = check_parameters(rule, update, err);
    if (rc != PS_OK) { return rc; }
    if (ps_update_kernel(update, dtype) == NULL) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "%s does not work on '%s', which is of type %s%s",
                       rule->name, name, ps_dtype_name((int)dtype),
                       ps_update_is_step(rule->kind)
                           ? "; optimizers take float, double, half and bfloat16"
                           : "");
    }
    struct ps_variable_state state = ps_variable_state(variable);
    if (!rule->is_assign && !state.initialized) {
        return ps_fail(err, PS_FAILED_PRECONDITION, "Attempting to use uninitialized value %s",
                       name);
    }
    rc = check_shape(rule, update, variable, &state.size_bytes, err);
    return rc != PS_OK ? rc : check_piece(variable, piece, state.size_bytes, err);
}

/* An element of two spans, or a run of them; the part of an element at a span's end is left to
 * the next call. */
struct ps_span ps_update_next_elements(struct ps_cursor *cursor, size_t limit, size_t element_bytes,
                                       uint8_t carry[PS_CARRY_BYTES])
{
    if (limit == 0) { return (struct ps_span){ 0 }; }
    struct ps_cursor before = *cursor;
    struct ps_span run = ps_cursor_next(cursor, limit);
    size_t torn = run.size % element_bytes;
    if (torn == 0) { return run; }
    if (run.size > torn) {
        cursor->span_offset -= torn;
        cursor->remaining += torn;
        return (struct ps_span){ run.data, run.size - torn };
    }
    *cursor = before;
    bool copied = ps_cursor_copy(cursor, carry, element_bytes);
    PS_ASSERT(copied); /* the caller's limit */
    return (struct ps_span){ carry, element_bytes };
}

/* data is the element found. */
static enum ps_code refuse_nonfinite(const struct ps_update *update,
                                     const struct ps_variable *variable, const void *data,
                                     int64_t element, const struct ps_update_origin *origin,
                                     struct ps_error *err)
{
    bool nan = isnan(ps_element_get(variable->definition.dtype, data, 0));
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "%s '%s' has %s at element %" PRId64 " (worker %" PRIu32 ", push %" PRIu64
                   "); refused. Nothing of this push was applied. Look for a diverging loss or a "
                   "division by zero; lower the learning rate or clip gradients, or allow "
                   "non-finite values for this push",
                   ps_update_is_step(update->kind) ? "gradient of" : "value for",
                   variable->definition.name, nan ? "NaN" : "infinity", element, origin->worker,
                   origin->seq);
}

enum ps_code ps_update_check_finite(const struct ps_update *update,
                                    const struct ps_variable *variable,
                                    const struct ps_piece *piece, struct ps_cursor cursor,
                                    const struct ps_update_origin *origin, struct ps_error *err)
{
    enum ps_dtype dtype = variable->definition.dtype;
    size_t element_bytes = variable->element_bytes;
    if (update->on_nonfinite == PS_NONFINITE_APPLY || !ps_dtype_is_floating(dtype)) {
        return PS_OK;
    }
    PS_ASSERT(cursor.remaining >= piece->size);
    int64_t element = ps_variable_first_element(variable) +
                      (int64_t)(piece->offset / element_bytes);
    uint8_t carry[PS_CARRY_BYTES];
    size_t left = (size_t)piece->size;
    while (left > 0) {
        struct ps_span run = ps_update_next_elements(&cursor, left, element_bytes, carry);
        size_t count = run.size / element_bytes;
        size_t found = ps_kernel_first_nonfinite(dtype, run.data, count);
        if (found < count) {
            return refuse_nonfinite(update, variable, run.data + found * element_bytes,
                                    element + (int64_t)found, origin, err);
        }
        element += (int64_t)count;
        left -= run.size;
    }
    return PS_OK;
}

/* TensorFlow computes alpha in the variable's type. */
static double adam_rate_double(const struct ps_update *update, const struct ps_beta_powers *powers)
{
    return update->learning_rate * sqrt(1.0 - powers->double2) / (1.0 - powers->double1);
}

static double adam_rate_float(const struct ps_update *update, const struct ps_beta_powers *powers)
{
    float rate = (float)update->learning_rate;
    return (double)(rate * sqrtf(1.0f - powers->float2) / (1.0f - powers->float1));
}

struct ps_kernel_scalars ps_update_scalars(const struct ps_update *update, enum ps_dtype dtype,
                                           const struct ps_beta_powers *powers)
{
    struct ps_kernel_scalars scalars = { .rate = update->learning_rate };
    const double *parameters = update->parameters;
    bool in_double = dtype == PS_DOUBLE;
    if (update->kind == PS_UPDATE_MOMENTUM) { scalars.momentum = parameters[0]; }
    if (update->kind == PS_UPDATE_ADAM) {
        scalars.rate = in_double ? adam_rate_double(update, powers)
                                 : adam_rate_float(update, powers);
        scalars.gain1 = in_double ? 1.0 - parameters[0] : (double)(1.0f - (float)parameters[0]);
        scalars.gain2 = in_double ? 1.0 - parameters[1] : (double)(1.0f - (float)parameters[1]);
        scalars.epsilon = parameters[2];
    }
    return scalars;
}
