/* Messages about variables: definitions, slices, Declare, Create, List. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "core/dtype.h"
#include "proto/codec_priv.h"

/* ---- Definition ---- */

static Paramd__Initializer *initializer_to_wire(struct psi_codec_out *out,
                                                const struct ps_initializer_spec *spec)
{
    Paramd__Initializer *wire = psi_codec_out_take(out, 1, sizeof *wire);
    if (wire == NULL) { return NULL; }
    paramd__initializer__init(wire);
    wire->kind = (uint32_t)spec->kind;
    wire->a = spec->a;
    wire->b = spec->b;
    wire->seed = spec->seed;
    wire->n_values = spec->value_count;
    wire->values = PSI_UNCONST(double *, spec->values);
    wire->scale = spec->scale;
    wire->source = PSI_TEXT(spec->source);
    wire->crc32c = spec->crc32c;
    return wire;
}

static struct ps_initializer_spec initializer_from_wire(struct psi_codec_in *in,
                                                        const Paramd__Initializer *wire)
{
    struct ps_initializer_spec spec = { 0 };
    if (wire == NULL) {
        psi_codec_fault(in, "definition.initializer", "missing");
        return spec;
    }
    spec.kind = (enum ps_initializer_kind)psi_codec_range(
        in, "definition.initializer.kind", wire->kind, PS_INIT_ZEROS, PS_INIT_TENSOR);
    spec.a = psi_codec_finite(in, "definition.initializer.a", wire->a);
    spec.b = psi_codec_finite(in, "definition.initializer.b", wire->b);
    spec.seed = wire->seed;
    spec.values = wire->values;
    spec.value_count = psi_codec_count(in, "definition.initializer.values", "constants",
                                       wire->n_values, PS_MAX_CONSTANTS);
    if (spec.kind == PS_INIT_CONSTANT && spec.value_count == 0) {
        psi_codec_fault(in, "definition.initializer.values", "empty; a constant needs a value");
    }
    spec.scale = psi_codec_finite(in, "definition.initializer.scale", wire->scale);
    spec.source = psi_codec_maybe_name(in, "definition.initializer.source", wire->source);
    spec.crc32c = wire->crc32c;
    return spec;
}

static Paramd__Partitioner *partitioner_to_wire(struct psi_codec_out *out,
                                                const struct ps_partitioner_spec *spec)
{
    Paramd__Partitioner *wire = psi_codec_out_take(out, 1, sizeof *wire);
    if (wire == NULL) { return NULL; }
    paramd__partitioner__init(wire);
    wire->kind = (uint32_t)spec->kind;
    wire->a = spec->a;
    wire->b = spec->b;
    return wire;
}

/* Partitioners count in int64. */
static uint64_t limit_from_wire(struct psi_codec_in *in, const char *field, uint64_t limit)
{
    if (limit > INT64_MAX) {
        psi_codec_fault(in, field, "%" PRIu64 ", at most %" PRId64, limit, INT64_MAX);
    }
    return limit;
}

static struct ps_partitioner_spec partitioner_from_wire(struct psi_codec_in *in,
                                                        const Paramd__Partitioner *wire)
{
    struct ps_partitioner_spec spec = { 0 }; /* left out: automatic with the default */
    if (wire == NULL) { return spec; }
    spec.kind = (enum ps_partition_kind)psi_codec_range(in, "definition.partitioner.kind",
                                                        wire->kind, PS_PARTITION_AUTOMATIC,
                                                        PS_PARTITION_MIN_MAX);
    spec.a = limit_from_wire(in, "definition.partitioner.a", wire->a);
    spec.b = limit_from_wire(in, "definition.partitioner.b", wire->b);
    return spec;
}

static Paramd__Definition *definition_to_wire(struct psi_codec_out *out,
                                              const struct ps_definition *definition)
{
    Paramd__Definition *wire = psi_codec_out_take(out, 1, sizeof *wire);
    if (wire == NULL) { return NULL; }
    PS_ASSERT(definition->shape.rank >= 0 && definition->shape.rank <= PS_MAX_RANK);
    paramd__definition__init(wire);
    wire->name = PSI_TEXT(definition->name);
    wire->dtype = (uint32_t)definition->dtype;
    wire->n_shape = (size_t)definition->shape.rank;
    wire->shape = PSI_UNCONST(int64_t *, definition->shape.dims);
    wire->initializer = initializer_to_wire(out, &definition->initializer);
    wire->device = PSI_TEXT(definition->device);
    wire->partitioner = partitioner_to_wire(out, &definition->partitioner);
    wire->trainable = definition->trainable;
    wire->free_shape = definition->free_shape;
    wire->strategy = (uint32_t)definition->strategy;
    return wire;
}

static struct ps_definition definition_from_wire(struct psi_codec_in *in,
                                                 const Paramd__Definition *wire)
{
    struct ps_definition definition = { 0 };
    if (wire == NULL) {
        psi_codec_fault(in, "definition", "missing");
        return definition;
    }
    definition.name = psi_codec_name(in, "definition.name", wire->name);
    definition.dtype = psi_codec_dtype(in, "definition.dtype", wire->dtype);
    definition.shape = psi_codec_shape(in, "definition.shape", wire->shape, wire->n_shape);
    definition.initializer = initializer_from_wire(in, wire->initializer);
    definition.device = psi_codec_label(in, "definition.device", wire->device);
    definition.partitioner = partitioner_from_wire(in, wire->partitioner);
    definition.trainable = wire->trainable;
    definition.free_shape = wire->free_shape;
    definition.strategy = (enum ps_strategy)psi_codec_range(
        in, "definition.strategy", wire->strategy, PS_STRATEGY_BALANCED, PS_STRATEGY_ROUND_ROBIN);
    return definition;
}

/* ---- Slices ---- */

static Paramd__Slice **slices_to_wire(struct psi_codec_out *out,
                                      const struct ps_slice_place *slices, size_t slice_count)
{
    Paramd__Slice **list = psi_codec_out_take(out, slice_count, sizeof *list);
    Paramd__Slice *wire = psi_codec_out_take(out, slice_count, sizeof *wire);
    for (size_t i = 0; i < slice_count && !out->failed; i++) {
        paramd__slice__init(&wire[i]);
        wire[i].task = slices[i].task;
        wire[i].row_start = slices[i].rows.start;
        wire[i].row_count = slices[i].rows.count;
        list[i] = &wire[i];
    }
    return list;
}

static struct ps_slice_place slice_from_wire(struct psi_codec_in *in, size_t index,
                                             const Paramd__Slice *wire)
{
    int64_t start = wire->row_start;
    int64_t count = wire->row_count;
    if (wire->task >= PS_MAX_TASKS) {
        psi_codec_fault(in, "slices", "slice %zu is on task %" PRIu32 ", at most %d", index,
                        wire->task, PS_MAX_TASKS - 1);
    }
    if (start < 0 || count < 0 || start > INT64_MAX - count) {
        psi_codec_fault(in, "slices", "slice %zu has %" PRId64 " rows from row %" PRId64, index,
                        count, start);
    }
    return (struct ps_slice_place){ .task = wire->task,
                                    .rows = { .start = start, .count = count } };
}

static size_t slices_from_wire(struct psi_codec_in *in, Paramd__Slice *const *wire,
                               size_t wire_count, const struct ps_slice_place **slices_out)
{
    size_t count = psi_codec_count(in, "slices", "slices", wire_count, PS_MAX_SLICES);
    struct ps_slice_place *slices = psi_codec_array(in, count, sizeof *slices);
    for (size_t i = 0; i < count && in->rc == PS_OK; i++) {
        slices[i] = slice_from_wire(in, i, wire[i]);
    }
    *slices_out = slices;
    return count;
}

/* The slice that a message speaks of is one of those it lists. */
static uint32_t slice_index_from_wire(struct psi_codec_in *in, uint32_t slice_index,
                                      size_t slice_count)
{
    if (slice_index >= slice_count) {
        psi_codec_fault(in, "slice_index", "%" PRIu32 " of %zu slices", slice_index, slice_count);
    }
    return slice_index;
}

/* ---- Declare ---- */

static void declare_request_to_wire(struct psi_codec_out *out,
                                    const struct ps_declare_request *message,
                                    Paramd__DeclareRequest *wire)
{
    wire->header = psi_codec_header_to_wire(out, &message->header);
    wire->definition = definition_to_wire(out, &message->definition);
    wire->worker = message->worker;
}

static void declare_request_from_wire(struct psi_codec_in *in, const Paramd__DeclareRequest *wire,
                                      struct ps_declare_request *message)
{
    message->header = psi_codec_header(wire->header);
    message->definition = definition_from_wire(in, wire->definition);
    message->worker = wire->worker;
}

PSI_CODEC(declare_request, DeclareRequest, PS_MAX_HEAD_BYTES)

static void declare_reply_to_wire(struct psi_codec_out *out, const struct ps_declare_reply *message,
                                  Paramd__DeclareReply *wire)
{
    wire->definition = definition_to_wire(out, &message->definition);
    wire->n_slices = message->slice_count;
    wire->slices = slices_to_wire(out, message->slices, message->slice_count);
    wire->created = message->created;
}

static void declare_reply_from_wire(struct psi_codec_in *in, const Paramd__DeclareReply *wire,
                                    struct ps_declare_reply *message)
{
    message->definition = definition_from_wire(in, wire->definition);
    message->slice_count = slices_from_wire(in, wire->slices, wire->n_slices, &message->slices);
    message->created = wire->created;
}

PSI_CODEC(declare_reply, DeclareReply, PS_MAX_HEAD_BYTES)

/* ---- Create ---- */

static void create_request_to_wire(struct psi_codec_out *out,
                                   const struct ps_create_request *message,
                                   Paramd__CreateRequest *wire)
{
    wire->header = psi_codec_header_to_wire(out, &message->header);
    wire->definition = definition_to_wire(out, &message->definition);
    wire->slice_index = message->slice_index;
    wire->n_slices = message->slice_count;
    wire->slices = slices_to_wire(out, message->slices, message->slice_count);
    wire->worker = message->worker;
}

static void create_request_from_wire(struct psi_codec_in *in, const Paramd__CreateRequest *wire,
                                     struct ps_create_request *message)
{
    message->header = psi_codec_header(wire->header);
    message->definition = definition_from_wire(in, wire->definition);
    message->slice_count = slices_from_wire(in, wire->slices, wire->n_slices, &message->slices);
    message->slice_index = slice_index_from_wire(in, wire->slice_index, message->slice_count);
    message->worker = wire->worker;
}

PSI_CODEC(create_request, CreateRequest, PS_MAX_HEAD_BYTES)

static void create_reply_to_wire(struct psi_codec_out *out, const struct ps_create_reply *message,
                                 Paramd__CreateReply *wire)
{
    (void)out;
    wire->handle = message->handle;
    wire->created = message->created;
    wire->initialized = message->initialized;
}

static void create_reply_from_wire(struct psi_codec_in *in, const Paramd__CreateReply *wire,
                                   struct ps_create_reply *message)
{
    (void)in;
    message->handle = wire->handle;
    message->created = wire->created;
    message->initialized = wire->initialized;
}

PSI_CODEC(create_reply, CreateReply, PS_MAX_HEAD_BYTES)

/* ---- List ---- */

static void list_request_to_wire(struct psi_codec_out *out, const struct ps_list_request *message,
                                 Paramd__ListRequest *wire)
{
    wire->header = psi_codec_header_to_wire(out, &message->header);
    wire->name = PSI_TEXT(message->name);
}

static void list_request_from_wire(struct psi_codec_in *in, const Paramd__ListRequest *wire,
                                   struct ps_list_request *message)
{
    message->header = psi_codec_header(wire->header);
    message->name = psi_codec_maybe_name(in, "name", wire->name);
}

PSI_CODEC(list_request, ListRequest, PS_MAX_HEAD_BYTES)

static void variable_to_wire(struct psi_codec_out *out, const struct ps_variable_info *info,
                             Paramd__Variable *wire)
{
    paramd__variable__init(wire);
    wire->definition = definition_to_wire(out, &info->definition);
    wire->slice_index = info->slice_index;
    wire->n_slices = info->slice_count;
    wire->slices = slices_to_wire(out, info->slices, info->slice_count);
    wire->handle = info->handle;
    wire->initialized = info->initialized;
    wire->bytes = info->bytes;
    wire->slot_bytes = info->slot_bytes;
    wire->update_count = info->update_count;
    wire->n_slots = info->slot_count;
    wire->slots = PSI_UNCONST(char **, info->slots);
}

static size_t slots_from_wire(struct psi_codec_in *in, const Paramd__Variable *wire)
{
    size_t count = psi_codec_count(in, "slots", "slots", wire->n_slots, PSI_MAX_SLOTS);
    for (size_t i = 0; i < count; i++) { (void)psi_codec_label(in, "slots", wire->slots[i]); }
    return count;
}

static void variable_from_wire(struct psi_codec_in *in, const Paramd__Variable *wire,
                               struct ps_variable_info *info)
{
    info->definition = definition_from_wire(in, wire->definition);
    info->slice_count = slices_from_wire(in, wire->slices, wire->n_slices, &info->slices);
    info->slice_index = slice_index_from_wire(in, wire->slice_index, info->slice_count);
    info->handle = wire->handle;
    info->initialized = wire->initialized;
    info->bytes = wire->bytes;
    info->slot_bytes = wire->slot_bytes;
    info->update_count = wire->update_count;
    info->slot_count = slots_from_wire(in, wire);
    info->slots = (const char *const *)wire->slots;
}

static void list_reply_to_wire(struct psi_codec_out *out, const struct ps_list_reply *message,
                               Paramd__ListReply *wire)
{
    size_t count = message->variable_count;
    Paramd__Variable *variables = psi_codec_out_take(out, count, sizeof *variables);
    wire->n_variables = count;
    wire->variables = psi_codec_out_take(out, count, sizeof *wire->variables);
    for (size_t i = 0; i < count && !out->failed; i++) {
        variable_to_wire(out, &message->variables[i], &variables[i]);
        wire->variables[i] = &variables[i];
    }
}

static void list_reply_from_wire(struct psi_codec_in *in, const Paramd__ListReply *wire,
                                 struct ps_list_reply *message)
{
    size_t count = psi_codec_count(in, "variables", "variables", wire->n_variables, PS_MAX_LISTED);
    struct ps_variable_info *infos = psi_codec_array(in, count, sizeof *infos);
    in->path = "ListReply.variables";
    for (size_t i = 0; i < count && in->rc == PS_OK; i++) {
        in->index = (long)i;
        variable_from_wire(in, wire->variables[i], &infos[i]);
    }
    message->variables = infos;
    message->variable_count = count;
}

PSI_CODEC(list_reply, ListReply, PS_MAX_LONG_HEAD_BYTES)
