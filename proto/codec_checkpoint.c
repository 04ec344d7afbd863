/* Messages of checkpoints: Save, SaveShard, Restore, RestoreShard. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/codec_checkpoint.h"

#include <inttypes.h>
#include <string.h>

#include "proto/codec_priv.h"
#include "proto/text_priv.h"

/* ---- Fields that several messages have ---- */

static const char *text_from_wire(struct psi_codec_in *in, const char *field, const char *text,
                                  size_t most_bytes)
{
    struct ps_error detail = PS_ERROR_INIT;
    if (in->rc == PS_OK && psi_text_check(text, most_bytes, &detail) != PS_OK) {
        psi_codec_fault(in, field, "%s", detail.message);
    }
    return text;
}

static const char *path_from_wire(struct psi_codec_in *in, const char *field, const char *text)
{
    if (text[0] == '\0') { psi_codec_fault(in, field, "empty"); }
    return text_from_wire(in, field, text, PS_MAX_PATH_BYTES);
}

static const char *tensor_name_from_wire(struct psi_codec_in *in, const char *field,
                                         const char *text)
{
    if (text[0] == '\0') { psi_codec_fault(in, field, "empty; a tensor has a name"); }
    return text_from_wire(in, field, text, PS_MAX_TENSOR_NAME_BYTES);
}

/* The name of a file beside the checkpoints. */
static const char *state_name_from_wire(struct psi_codec_in *in, const char *field,
                                        const char *text)
{
    if (strchr(text, '/') != NULL) {
        psi_codec_fault(in, field, "'latest_filename' must not contain path components");
    }
    return psi_codec_label(in, field, text);
}

static uint64_t id_from_wire(struct psi_codec_in *in, uint64_t id)
{
    if (id == 0) { psi_codec_fault(in, "id", "0 stands for none"); }
    return id;
}

static Paramd__NamedVariable **names_to_wire(struct psi_codec_out *out,
                                             const struct ps_named_variable *names, size_t count)
{
    Paramd__NamedVariable **list = psi_codec_out_take(out, count, sizeof *list);
    Paramd__NamedVariable *wire = psi_codec_out_take(out, count, sizeof *wire);
    for (size_t i = 0; i < count && !out->failed; i++) {
        paramd__named_variable__init(&wire[i]);
        wire[i].name = PSI_TEXT(names[i].name);
        wire[i].variable = PSI_TEXT(names[i].variable);
        list[i] = &wire[i];
    }
    return list;
}

static size_t names_from_wire(struct psi_codec_in *in, Paramd__NamedVariable *const *wire,
                              size_t wire_count, const struct ps_named_variable **names_out)
{
    size_t count = psi_codec_count(in, "names", "names", wire_count, PS_MAX_LISTED);
    struct ps_named_variable *names = psi_codec_array(in, count, sizeof *names);
    for (size_t i = 0; i < count && in->rc == PS_OK; i++) {
        names[i].name = tensor_name_from_wire(in, "names.name", wire[i]->name);
        names[i].variable = psi_codec_name(in, "names.variable", wire[i]->variable);
    }
    *names_out = names;
    return count;
}

/* ---- Save ---- */

static void save_request_to_wire(struct psi_codec_out *out, const struct ps_save_request *message,
                                 Paramd__SaveRequest *wire)
{
    wire->header = psi_codec_header_to_wire(out, &message->header);
    wire->prefix = PSI_TEXT(message->prefix);
    wire->has_step = message->has_step;
    wire->step = message->step;
    wire->pad_step = message->pad_step;
    wire->n_names = message->name_count;
    wire->names = names_to_wire(out, message->names, message->name_count);
    wire->max_to_keep = message->max_to_keep;
    wire->keep_every_hours = message->keep_every_hours;
    wire->state_name = PSI_TEXT(message->state_name);
    wire->absolute_paths = message->absolute_paths;
}

static void save_request_from_wire(struct psi_codec_in *in, const Paramd__SaveRequest *wire,
                                   struct ps_save_request *message)
{
    message->header = psi_codec_header(wire->header);
    message->prefix = path_from_wire(in, "prefix", wire->prefix);
    message->has_step = wire->has_step;
    message->step = wire->step;
    if (wire->step < 0) { psi_codec_fault(in, "step", "%" PRId64 " is no step", wire->step); }
    message->pad_step = wire->pad_step;
    message->name_count = names_from_wire(in, wire->names, wire->n_names, &message->names);
    message->max_to_keep = wire->max_to_keep;
    message->keep_every_hours = psi_codec_finite(in, "keep_every_hours", wire->keep_every_hours);
    message->state_name = state_name_from_wire(in, "state_name", wire->state_name);
    message->absolute_paths = wire->absolute_paths;
}

PSI_CODEC(save_request, SaveRequest, PS_MAX_HEAD_BYTES)

static void save_reply_to_wire(struct psi_codec_out *out, const struct ps_save_reply *message,
                               Paramd__SaveReply *wire)
{
    (void)out;
    wire->prefix = PSI_TEXT(message->prefix);
    wire->step = message->step;
    wire->tensor_count = message->tensor_count;
    wire->bytes = message->bytes;
    wire->shard_count = message->shard_count;
}

static void save_reply_from_wire(struct psi_codec_in *in, const Paramd__SaveReply *wire,
                                 struct ps_save_reply *message)
{
    message->prefix = path_from_wire(in, "prefix", wire->prefix);
    message->step = wire->step;
    message->tensor_count = wire->tensor_count;
    message->bytes = wire->bytes;
    message->shard_count = wire->shard_count;
}

PSI_CODEC(save_reply, SaveReply, PS_MAX_HEAD_BYTES)

/* ---- SaveShard ---- */

static void save_shard_request_to_wire(struct psi_codec_out *out,
                                       const struct ps_save_shard_request *message,
                                       Paramd__SaveShardRequest *wire)
{
    size_t count = message->plane_count;
    Paramd__SavedPlane *planes = psi_codec_out_take(out, count, sizeof *planes);
    wire->header = psi_codec_header_to_wire(out, &message->header);
    wire->prefix = PSI_TEXT(message->prefix);
    wire->id = message->id;
    wire->part = message->part;
    wire->n_planes = count;
    wire->planes = psi_codec_out_take(out, count, sizeof *wire->planes);
    for (size_t i = 0; i < count && !out->failed; i++) {
        paramd__saved_plane__init(&planes[i]);
        planes[i].handle = message->planes[i].handle;
        planes[i].slot = PSI_TEXT(message->planes[i].slot);
        planes[i].name = PSI_TEXT(message->planes[i].name);
        wire->planes[i] = &planes[i];
    }
}

static void save_shard_request_from_wire(struct psi_codec_in *in,
                                         const Paramd__SaveShardRequest *wire,
                                         struct ps_save_shard_request *message)
{
    message->header = psi_codec_header(wire->header);
    message->prefix = path_from_wire(in, "prefix", wire->prefix);
    message->id = id_from_wire(in, wire->id);
    message->part = psi_codec_range(in, "part", wire->part, 0, PS_MAX_TASKS - 1);
    size_t count = psi_codec_count(in, "planes", "planes", wire->n_planes, PS_MAX_LISTED);
    struct ps_saved_plane *planes = psi_codec_array(in, count, sizeof *planes);
    in->path = "SaveShardRequest.planes";
    for (size_t i = 0; i < count && in->rc == PS_OK; i++) {
        in->index = (long)i;
        planes[i].handle = wire->planes[i]->handle;
        planes[i].slot = psi_codec_label(in, "slot", wire->planes[i]->slot);
        planes[i].name = tensor_name_from_wire(in, "name", wire->planes[i]->name);
    }
    message->planes = planes;
    message->plane_count = count;
}

PSI_CODEC(save_shard_request, SaveShardRequest, PS_MAX_LONG_HEAD_BYTES)

static void save_shard_reply_to_wire(struct psi_codec_out *out,
                                     const struct ps_save_shard_reply *message,
                                     Paramd__SaveShardReply *wire)
{
    size_t count = message->worker_count;
    Paramd__CommittedWorker *workers = psi_codec_out_take(out, count, sizeof *workers);
    wire->seen = message->seen;
    wire->rows = psi_codec_bytes_to_wire(message->rows);
    wire->bytes = message->bytes;
    wire->n_workers = count;
    wire->workers = psi_codec_out_take(out, count, sizeof *wire->workers);
    for (size_t i = 0; i < count && !out->failed; i++) {
        paramd__committed_worker__init(&workers[i]);
        workers[i].worker = message->workers[i].worker;
        workers[i].committed = message->workers[i].committed;
        workers[i].position = psi_codec_bytes_to_wire(message->workers[i].position);
        wire->workers[i] = &workers[i];
    }
}

static void save_shard_reply_from_wire(struct psi_codec_in *in, const Paramd__SaveShardReply *wire,
                                       struct ps_save_shard_reply *message)
{
    message->seen = wire->seen;
    message->rows = psi_codec_bytes(in, "rows", wire->rows, PS_MAX_LONG_HEAD_BYTES);
    message->bytes = wire->bytes;
    size_t count = psi_codec_count(in, "workers", "workers", wire->n_workers, PS_MAX_LISTED);
    struct ps_committed_worker *workers = psi_codec_array(in, count, sizeof *workers);
    in->path = "SaveShardReply.workers";
    for (size_t i = 0; i < count && in->rc == PS_OK; i++) {
        in->index = (long)i;
        workers[i].worker = wire->workers[i]->worker;
        workers[i].committed = wire->workers[i]->committed;
        workers[i].position = psi_codec_bytes(in, "position", wire->workers[i]->position,
                                              PS_MAX_POSITION_BYTES);
    }
    message->workers = workers;
    message->worker_count = count;
}

PSI_CODEC(save_shard_reply, SaveShardReply, PS_MAX_LONG_HEAD_BYTES)

/* ---- Restore ---- */

static void restore_request_to_wire(struct psi_codec_out *out,
                                    const struct ps_restore_request *message,
                                    Paramd__RestoreRequest *wire)
{
    size_t count = message->rename_count;
    Paramd__Rename *renames = psi_codec_out_take(out, count, sizeof *renames);
    wire->header = psi_codec_header_to_wire(out, &message->header);
    wire->path = PSI_TEXT(message->path);
    wire->n_names = message->name_count;
    wire->names = names_to_wire(out, message->names, message->name_count);
    wire->n_renames = count;
    wire->renames = psi_codec_out_take(out, count, sizeof *wire->renames);
    for (size_t i = 0; i < count && !out->failed; i++) {
        paramd__rename__init(&renames[i]);
        renames[i].from = PSI_TEXT(message->renames[i].from);
        renames[i].to = PSI_TEXT(message->renames[i].to);
        renames[i].pattern = message->renames[i].pattern;
        wire->renames[i] = &renames[i];
    }
    wire->partial = message->partial;
    wire->reshape = message->reshape;
    wire->find_only = message->find_only;
    wire->state_name = PSI_TEXT(message->state_name);
}

static void restore_request_from_wire(struct psi_codec_in *in, const Paramd__RestoreRequest *wire,
                                      struct ps_restore_request *message)
{
    message->header = psi_codec_header(wire->header);
    message->path = path_from_wire(in, "path", wire->path);
    message->name_count = names_from_wire(in, wire->names, wire->n_names, &message->names);
    message->rename_count = psi_codec_count(in, "renames", "renames", wire->n_renames,
                                            PS_MAX_RENAMES);
    struct ps_rename *renames = psi_codec_array(in, message->rename_count, sizeof *renames);
    for (size_t i = 0; i < message->rename_count && in->rc == PS_OK; i++) {
        renames[i].from = tensor_name_from_wire(in, "renames.from", wire->renames[i]->from);
        renames[i].to = tensor_name_from_wire(in, "renames.to", wire->renames[i]->to);
        renames[i].pattern = wire->renames[i]->pattern;
    }
    message->renames = renames;
    message->partial = wire->partial;
    message->reshape = wire->reshape;
    message->find_only = wire->find_only;
    message->state_name = state_name_from_wire(in, "state_name", wire->state_name);
}

PSI_CODEC(restore_request, RestoreRequest, PS_MAX_HEAD_BYTES)

static void restore_reply_to_wire(struct psi_codec_out *out, const struct ps_restore_reply *message,
                                  Paramd__RestoreReply *wire)
{
    (void)out;
    wire->prefix = PSI_TEXT(message->prefix);
    wire->step = message->step;
    wire->variable_count = message->variable_count;
    wire->missing_count = message->missing_count;
    wire->bytes = message->bytes;
    wire->warning = PSI_TEXT(message->warning);
}

static void restore_reply_from_wire(struct psi_codec_in *in, const Paramd__RestoreReply *wire,
                                    struct ps_restore_reply *message)
{
    message->prefix = text_from_wire(in, "prefix", wire->prefix, PS_MAX_PATH_BYTES);
    message->step = wire->step;
    message->variable_count = wire->variable_count;
    message->missing_count = wire->missing_count;
    message->bytes = wire->bytes;
    message->warning = wire->warning;
}

PSI_CODEC(restore_reply, RestoreReply, PS_MAX_HEAD_BYTES)

/* ---- RestoreShard ---- */

static Paramd__RestoredVariable **restored_to_wire(struct psi_codec_out *out,
                                                   const struct ps_restored_variable *variables,
                                                   size_t count)
{
    Paramd__RestoredVariable **list = psi_codec_out_take(out, count, sizeof *list);
    Paramd__RestoredVariable *wire = psi_codec_out_take(out, count, sizeof *wire);
    for (size_t i = 0; i < count && !out->failed; i++) {
        PS_ASSERT(variables[i].shape.rank >= 0 && variables[i].shape.rank <= PS_MAX_RANK);
        paramd__restored_variable__init(&wire[i]);
        wire[i].handle = variables[i].handle;
        wire[i].name = PSI_TEXT(variables[i].name);
        wire[i].n_shape = (size_t)variables[i].shape.rank;
        wire[i].shape = PSI_UNCONST(int64_t *, variables[i].shape.dims);
        wire[i].n_slots = variables[i].slot_count;
        wire[i].slots = PSI_UNCONST(char **, variables[i].slots);
        list[i] = &wire[i];
    }
    return list;
}

static Paramd__BetaPowers **powers_to_wire(struct psi_codec_out *out,
                                           const struct ps_optimizer_powers *powers, size_t count)
{
    Paramd__BetaPowers **list = psi_codec_out_take(out, count, sizeof *list);
    Paramd__BetaPowers *wire = psi_codec_out_take(out, count, sizeof *wire);
    for (size_t i = 0; i < count && !out->failed; i++) {
        paramd__beta_powers__init(&wire[i]);
        wire[i].optimizer = PSI_TEXT(powers[i].optimizer);
        wire[i].float1 = powers[i].float1;
        wire[i].float2 = powers[i].float2;
        wire[i].double1 = powers[i].double1;
        wire[i].double2 = powers[i].double2;
        list[i] = &wire[i];
    }
    return list;
}

static void restore_shard_request_to_wire(struct psi_codec_out *out,
                                          const struct ps_restore_shard_request *message,
                                          Paramd__RestoreShardRequest *wire)
{
    wire->header = psi_codec_header_to_wire(out, &message->header);
    wire->phase = (uint32_t)message->phase;
    wire->id = message->id;
    wire->prefix = PSI_TEXT(message->prefix);
    wire->index_bytes = message->index_bytes;
    wire->index_crc32c = message->index_crc32c;
    wire->n_variables = message->variable_count;
    wire->variables = restored_to_wire(out, message->variables, message->variable_count);
    wire->variable = message->variable;
    wire->plane = message->plane;
    wire->offset = message->offset;
    wire->whole = message->whole;
    wire->n_powers = message->power_count;
    wire->powers = powers_to_wire(out, message->powers, message->power_count);
    wire->has_step = message->has_step;
    wire->step = message->step;
}

static void restored_from_wire(struct psi_codec_in *in, const Paramd__RestoredVariable *wire,
                               struct ps_restored_variable *variable)
{
    variable->handle = wire->handle;
    variable->name = tensor_name_from_wire(in, "name", wire->name);
    variable->shape = psi_codec_shape(in, "shape", wire->shape, wire->n_shape);
    variable->slot_count = psi_codec_count(in, "slots", "slots", wire->n_slots, PS_MAX_SLOT_NAMES);
    for (size_t i = 0; i < variable->slot_count; i++) {
        if (wire->slots[i][0] == '\0') { psi_codec_fault(in, "slots", "a slot without a name"); }
        (void)psi_codec_label(in, "slots", wire->slots[i]);
    }
    variable->slots = (const char *const *)wire->slots;
}

static void powers_from_wire(struct psi_codec_in *in, const Paramd__RestoreShardRequest *wire,
                             struct ps_restore_shard_request *message)
{
    size_t count = psi_codec_count(in, "powers", "optimizers", wire->n_powers, PS_MAX_OPTIMIZERS);
    struct ps_optimizer_powers *powers = psi_codec_array(in, count, sizeof *powers);
    for (size_t i = 0; i < count && in->rc == PS_OK; i++) {
        const Paramd__BetaPowers *from = wire->powers[i];
        powers[i] = (struct ps_optimizer_powers){
            .optimizer = psi_codec_name(in, "powers.optimizer", from->optimizer),
            .float1 = (float)psi_codec_finite(in, "powers.float1", (double)from->float1),
            .float2 = (float)psi_codec_finite(in, "powers.float2", (double)from->float2),
            .double1 = psi_codec_finite(in, "powers.double1", from->double1),
            .double2 = psi_codec_finite(in, "powers.double2", from->double2),
        };
    }
    message->powers = powers;
    message->power_count = count;
}

static void restore_shard_request_from_wire(struct psi_codec_in *in,
                                            const Paramd__RestoreShardRequest *wire,
                                            struct ps_restore_shard_request *message)
{
    message->header = psi_codec_header(wire->header);
    message->phase = (enum ps_restore_phase)psi_codec_range(in, "phase", wire->phase,
                                                            PS_RESTORE_PREPARE, PS_RESTORE_ABANDON);
    message->id = id_from_wire(in, wire->id);
    message->prefix = wire->phase == PS_RESTORE_PREPARE
                          ? path_from_wire(in, "prefix", wire->prefix)
                          : text_from_wire(in, "prefix", wire->prefix, PS_MAX_PATH_BYTES);
    message->index_bytes = wire->index_bytes;
    message->index_crc32c = wire->index_crc32c;
    message->variable = wire->variable;
    message->plane = wire->plane;
    message->offset = wire->offset;
    message->whole = wire->whole;
    message->has_step = wire->has_step;
    message->step = wire->step;
    powers_from_wire(in, wire, message);
    size_t count = psi_codec_count(in, "variables", "variables", wire->n_variables, PS_MAX_LISTED);
    struct ps_restored_variable *variables = psi_codec_array(in, count, sizeof *variables);
    in->path = "RestoreShardRequest.variables";
    for (size_t i = 0; i < count && in->rc == PS_OK; i++) {
        in->index = (long)i;
        restored_from_wire(in, wire->variables[i], &variables[i]);
    }
    message->variables = variables;
    message->variable_count = count;
}

PSI_CODEC(restore_shard_request, RestoreShardRequest, PS_MAX_LONG_HEAD_BYTES)

static void restore_shard_reply_to_wire(struct psi_codec_out *out,
                                        const struct ps_restore_shard_reply *message,
                                        Paramd__RestoreShardReply *wire)
{
    (void)out;
    wire->seen = message->seen;
    wire->bytes = message->bytes;
}

static void restore_shard_reply_from_wire(struct psi_codec_in *in,
                                          const Paramd__RestoreShardReply *wire,
                                          struct ps_restore_shard_reply *message)
{
    (void)in;
    message->seen = wire->seen;
    message->bytes = wire->bytes;
}

PSI_CODEC(restore_shard_reply, RestoreShardReply, PS_MAX_HEAD_BYTES)
