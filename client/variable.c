/* Variables as handles: declared to the coordinator, created on the ps tasks that hold them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/variable_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/call_priv.h"
#include "core/alloc.h"
#include "proto/definition.h"

/* ---- Device scopes ---- */

int ps_device_push(ps_session *session, const char *device)
{
    if (!psi_usable(session)) {
        if (session != NULL) { session->device_count++; }
        return 1;
    }
    struct ps_error err = PS_ERROR_INIT;
    struct ps_device inner, outer = { 0 };
    int depth = session->device_count;
    if (depth > 0 && depth <= PSI_MAX_DEVICE_SCOPES) { outer = session->devices[depth - 1]; }
    if (depth >= PSI_MAX_DEVICE_SCOPES) {
        ps_fail(&err, PS_INVALID_ARGUMENT, "device scopes nest at most %d deep",
                (int)PSI_MAX_DEVICE_SCOPES);
        psi_fail(session, &err);
    } else if (ps_device_parse(device != NULL ? device : "", &inner, &err) != PS_OK) {
        psi_fail(session, &err);
    } else {
        session->devices[depth] = ps_device_merge(&outer, &inner);
    }
    session->device_count++;
    return 1;
}

int ps_device_pop(ps_session *session)
{
    if (session != NULL && session->device_count > 0) { session->device_count--; }
    return 0;
}

/* ---- Definitions ---- */

/* A seed made of the name: the same on every worker, another for every variable. */
static uint64_t seed_of_name(const char *name)
{
    size_t size = strlen(name);
    uint32_t low = ps_crc32c(0, name, size);
    return (uint64_t)ps_crc32c(low, name, size) << 32 | low;
}

static bool is_random(enum ps_initializer_kind kind)
{
    return kind >= PS_INIT_RANDOM_NORMAL && kind <= PS_INIT_GLOROT_NORMAL;
}

static enum ps_code own_initializer(const ps_init *init, const char *name,
                                    struct ps_initializer_spec *spec_out, struct ps_error *err)
{
    *spec_out = (struct ps_initializer_spec){
        .kind = (enum ps_initializer_kind)init->kind,
        .a = init->a,
        .b = init->b,
        .seed = init->seed,
        .scale = init->scale,
        .source = "",
    };
    if (is_random(spec_out->kind) && spec_out->seed == 0) { spec_out->seed = seed_of_name(name); }
    if (spec_out->kind == PS_INIT_CONSTANT) {
        bool list = init->values != NULL;
        spec_out->values = list ? init->values : &init->a;
        spec_out->value_count = list ? init->count : 1;
        spec_out->a = 0.0;
        if (spec_out->value_count == 0 || spec_out->value_count > PS_MAX_CONSTANTS) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "variable '%s': a constant initializer takes 1 to %d values, not %zu",
                           name, (int)PS_MAX_CONSTANTS, spec_out->value_count);
        }
    }
    return PS_OK;
}

/* initialized_value(): the source's initializer runs again, from its own seed. */
static enum ps_code borrowed_initializer(const ps_init *init, const struct ps_definition *wanted,
                                         struct ps_initializer_spec *spec_out, struct ps_error *err)
{
    const struct ps_var *source = init->source;
    if (source == NULL) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "variable '%s': initialized_value() of no variable (NULL)", wanted->name);
    }
    if (!ps_shape_equal(&source->definition.shape, &wanted->shape) ||
        source->definition.dtype != wanted->dtype) {
        char have[PS_SHAPE_TEXT_BYTES], want[PS_SHAPE_TEXT_BYTES];
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "variable '%s' is %s%s, but the initialized_value() of '%s' is %s%s",
                       wanted->name, ps_dtype_name((int)wanted->dtype),
                       ps_shape_format(&wanted->shape, want), source->definition.name,
                       ps_dtype_name((int)source->definition.dtype),
                       ps_shape_format(&source->definition.shape, have));
    }
    *spec_out = source->definition.initializer;
    spec_out->scale *= init->scale;
    spec_out->source = source->definition.name;
    return PS_OK;
}

/* The value of a PS_INIT_TENSOR variable: copied, scaled, summed up. */
static enum ps_code own_tensor(struct ps_var *var, const ps_init *init,
                               struct ps_initializer_spec *spec, struct ps_error *err)
{
    bool borrowed = init->kind == 0;
    const void *from = borrowed ? init->source->tensor : init->values;
    if (from == NULL && var->size_bytes > 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "variable '%s': its initial tensor is NULL",
                       var->definition.name);
    }
    var->tensor = ps_alloc_aligned(var->size_bytes > 0 ? var->size_bytes : 1);
    if (var->tensor == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for the initial tensor of '%s'",
                       var->definition.name);
    }
    if (var->size_bytes > 0) { memcpy(var->tensor, from, var->size_bytes); }
    int64_t count = init->scale == 1.0 ? 0 : ps_shape_elements(&var->shape);
    enum ps_dtype dtype = var->definition.dtype;
    for (int64_t i = 0; i < count; i++) {
        double value = ps_element_get(dtype, var->tensor, i);
        ps_element_set(dtype, var->tensor, i, value * init->scale);
    }
    spec->crc32c = ps_crc32c(0, var->tensor, var->size_bytes);
    return PS_OK;
}

static enum ps_code check_arguments(const struct ps_definition *definition, struct ps_error *err)
{
    if (definition->name == NULL) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "a variable without a name (NULL)");
    }
    enum ps_code rc = ps_name_check(definition->name, err);
    if (rc == PS_OK && ps_dtype_size(definition->dtype) == 0) {
        rc = ps_fail(err, PS_INVALID_ARGUMENT, "variable '%s': no variable can be of type %s",
                     definition->name, ps_dtype_name((int)definition->dtype));
    }
    if (rc == PS_OK && ps_shape_check(&definition->shape, err) != PS_OK) {
        rc = ps_wrap(err, "variable '%s'", definition->name);
    }
    return rc;
}

/* Fills var->definition (an owned copy) and var->tensor from what the caller asked for. */
static enum ps_code define(struct ps_var *var, struct ps_definition *wanted, const ps_init *init,
                           struct ps_error *err)
{
    enum ps_code rc = check_arguments(wanted, err);
    if (rc != PS_OK) { return rc; }
    if (init->kind == 0) {
        rc = borrowed_initializer(init, wanted, &wanted->initializer, err);
    } else {
        rc = own_initializer(init, wanted->name, &wanted->initializer, err);
    }
    if (rc != PS_OK) { return rc; }
    var->shape = wanted->shape;
    var->size_bytes = (size_t)ps_shape_elements(&wanted->shape) *
                      (size_t)ps_dtype_size(wanted->dtype);
    var->definition.name = wanted->name;
    var->definition.dtype = wanted->dtype;
    if (wanted->initializer.kind == PS_INIT_TENSOR) {
        rc = own_tensor(var, init, &wanted->initializer, err);
    }
    var->definition = (struct ps_definition){ 0 };
    return rc == PS_OK ? ps_definition_copy(wanted, &var->definition, err) : rc;
}

/* ---- Declare and create ---- */

static enum ps_code keep_slices(struct ps_var *var, const struct ps_declare_reply *reply,
                                struct ps_error *err)
{
    struct ps_session *session = var->session;
    var->slices = ps_alloc_zero(reply->slice_count, sizeof *var->slices);
    if (var->slices == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory"); }
    var->slice_count = reply->slice_count;
    uint64_t row_bytes = (uint64_t)ps_shape_row_elements(&var->shape) *
                         (uint64_t)ps_dtype_size(var->definition.dtype);
    int64_t next_row = 0;
    for (size_t i = 0; i < reply->slice_count; i++) {
        const struct ps_slice_place *from = &reply->slices[i];
        struct psi_slice *slice = &var->slices[i];
        if (from->task >= session->peer_count || from->rows.start != next_row) {
            return ps_fail(err, PS_INTERNAL, "ps/0 placed variable '%s' where nothing is",
                           var->definition.name);
        }
        next_row += from->rows.count;
        slice->peer = from->task;
        slice->rows = from->rows;
        slice->offset_bytes = (uint64_t)from->rows.start * row_bytes;
        slice->size_bytes = (uint64_t)from->rows.count * row_bytes;
        snprintf(slice->device, sizeof slice->device, "/job:ps/replica:0/task:%" PRIu32 "/cpu:0",
                 from->task);
    }
    if (next_row != ps_shape_rows(&var->shape)) {
        return ps_fail(err, PS_INTERNAL, "ps/0 placed only %" PRId64 " rows of variable '%s'",
                       next_row, var->definition.name);
    }
    return PS_OK;
}

static enum ps_code declare(struct ps_var *var, struct ps_error *err)
{
    struct ps_session *session = var->session;
    struct ps_declare_request request = {
        .header = session->header,
        .definition = var->definition,
        .worker = (uint32_t)session->settings.task_index,
    };
    struct ps_declare_reply reply;
    enum ps_code rc = psi_call_declare(&session->peers[0], &request, 0, &reply, err);
    return rc == PS_OK ? keep_slices(var, &reply, err) : rc;
}

static enum ps_code create_slices(struct ps_var *var, struct ps_error *err)
{
    struct ps_session *session = var->session;
    struct ps_slice_place *slices = ps_alloc_zero(var->slice_count, sizeof *slices);
    if (slices == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory"); }
    for (size_t i = 0; i < var->slice_count; i++) {
        slices[i] = (struct ps_slice_place){ var->slices[i].peer, var->slices[i].rows };
    }
    struct ps_create_request request = {
        .header = session->header,
        .definition = var->definition,
        .slices = slices,
        .slice_count = var->slice_count,
        .worker = (uint32_t)session->settings.task_index,
    };
    enum ps_code rc = PS_OK;
    for (size_t i = 0; i < var->slice_count && rc == PS_OK; i++) {
        struct ps_create_reply reply;
        request.slice_index = (uint32_t)i;
        rc = psi_call_create(&session->peers[slices[i].task], &request, 0, &reply, err);
        if (rc == PS_OK) { var->slices[i].handle = reply.handle; }
    }
    ps_free(slices);
    return rc;
}

static enum ps_code make(struct ps_var *var, struct ps_definition *wanted, const ps_init *init,
                         struct ps_error *err)
{
    char device[PS_DEVICE_TEXT_BYTES] = "";
    struct ps_session *session = var->session;
    enum ps_code rc;
    if (session->device_count > 0) {
        ps_device_format(&session->devices[session->device_count - 1], device);
    }
    wanted->device = device;
    PS_TRY(done, rc, define(var, wanted, init, err));
    PS_TRY(done, rc, declare(var, err));
    rc = create_slices(var, err);
done:
    return rc;
}

ps_var *ps_variable_with(ps_session *session, const char *name, enum ps_dtype dtype,
                         struct ps_shape shape, ps_init init, const ps_variable_options *options)
{
    if (!psi_usable(session)) { return NULL; }
    ps_variable_options defaults = { 0 };
    if (options == NULL) { options = &defaults; }
    struct ps_error err = PS_ERROR_INIT;
    struct ps_definition wanted = {
        .name = name,
        .dtype = dtype,
        .shape = shape,
        .partitioner = { (enum ps_partition_kind)options->partition, options->partition_a,
                         options->partition_b },
        .trainable = !options->untrainable,
        .free_shape = options->free_shape != 0,
        .strategy = session->settings.strategy,
    };
    struct ps_var *var = ps_alloc_zero(1, sizeof *var);
    if (var == NULL) {
        ps_fail(&err, PS_RESOURCE_EXHAUSTED, "no memory for a variable");
        psi_fail(session, &err);
        return NULL;
    }
    var->session = session;
    if (make(var, &wanted, &init, &err) != PS_OK) {
        psi_fail(session, &err);
        psi_variable_destroy(var);
        return NULL;
    }
    struct ps_var **end = &session->vars;
    while (*end != NULL) { end = &(*end)->next; }
    *end = var;
    return var;
}

ps_var *ps_variable(ps_session *session, const char *name, enum ps_dtype dtype,
                    struct ps_shape shape, ps_init init)
{
    return ps_variable_with(session, name, dtype, shape, init, NULL);
}

void psi_variable_destroy(struct ps_var *var)
{
    if (var == NULL) { return; }
    ps_definition_clean(&var->definition);
    ps_free(var->tensor);
    ps_free(var->slices);
    ps_free(var);
}

/* ---- What a handle knows ---- */

const char *ps_name(const ps_var *var)
{
    return var != NULL ? var->definition.name : "";
}

size_t ps_elements(const ps_var *var)
{
    return var != NULL ? (size_t)ps_shape_elements(&var->shape) : 0;
}

size_t ps_size_bytes(const ps_var *var)
{
    return var != NULL ? var->size_bytes : 0;
}

struct ps_shape ps_shape_of(const ps_var *var)
{
    return var != NULL ? var->shape : (struct ps_shape){ 0, { 0 } };
}

enum ps_dtype ps_dtype_of(const ps_var *var)
{
    return var != NULL ? var->definition.dtype : PS_DTYPE_INVALID;
}

int ps_slices(const ps_var *var)
{
    return var != NULL ? (int)var->slice_count : 0;
}

const char *ps_device(const ps_var *var, int slice_index)
{
    if (var == NULL || slice_index < 0 || (size_t)slice_index >= var->slice_count) { return ""; }
    return var->slices[slice_index].device;
}
