/* Messages of the data stream: pushes, notices, pulls and their answers, once a frame each way. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "proto/codec_priv.h"

/* ---- Pieces ---- */

static Paramd__Piece **pieces_to_wire(struct psi_codec_out *out, const struct ps_piece *pieces,
                                      size_t piece_count)
{
    Paramd__Piece **list = psi_codec_out_take(out, piece_count, sizeof *list);
    Paramd__Piece *wire = psi_codec_out_take(out, piece_count, sizeof *wire);
    for (size_t i = 0; i < piece_count && !out->failed; i++) {
        paramd__piece__init(&wire[i]);
        wire[i].handle = pieces[i].handle;
        wire[i].offset = pieces[i].offset;
        wire[i].size = pieces[i].size;
        list[i] = &wire[i];
    }
    return list;
}

/* No piece ends, and no sum of sizes lies, beyond 64 bits: whoever adds them up later need not
 * look again. */
static size_t pieces_from_wire(struct psi_codec_in *in, Paramd__Piece *const *wire,
                               size_t wire_count, const struct ps_piece **pieces_out)
{
    size_t count = psi_codec_count(in, "pieces", "pieces", wire_count, PS_MAX_PIECES);
    struct ps_piece *pieces = psi_codec_array(in, count, sizeof *pieces);
    uint64_t total_bytes = 0;
    for (size_t i = 0; i < count && in->rc == PS_OK; i++) {
        pieces[i] = (struct ps_piece){ wire[i]->handle, wire[i]->offset, wire[i]->size };
        psi_codec_extent(in, "pieces", pieces[i].offset, pieces[i].size);
        if (!ps_add_u64(total_bytes, pieces[i].size, &total_bytes)) {
            psi_codec_fault(in, "pieces", "sizes up to piece %zu are more than 64 bits can count",
                            i);
        }
    }
    *pieces_out = pieces;
    return count;
}

/* ---- Pushes ---- */

static Paramd__Update *update_to_wire(struct psi_codec_out *out, const struct ps_update *update)
{
    Paramd__Update *wire = psi_codec_out_take(out, 1, sizeof *wire);
    if (wire == NULL) { return NULL; }
    PS_ASSERT(update->parameter_count <= PS_MAX_PARAMETERS);
    PS_ASSERT(update->shape.rank >= 0 && update->shape.rank <= PS_MAX_RANK);
    paramd__update__init(wire);
    wire->kind = (uint32_t)update->kind;
    wire->name = PSI_TEXT(update->name);
    wire->learning_rate = update->learning_rate;
    wire->n_parameters = update->parameter_count;
    wire->parameters = PSI_UNCONST(double *, update->parameters);
    wire->on_nonfinite = (uint32_t)update->on_nonfinite;
    wire->has_shape = update->has_shape;
    if (update->has_shape) {
        wire->n_shape = (size_t)update->shape.rank;
        wire->shape = PSI_UNCONST(int64_t *, update->shape.dims);
    }
    return wire;
}

static enum ps_update_kind update_kind_from_wire(struct psi_codec_in *in, uint32_t kind)
{
    bool assigns = kind >= PS_UPDATE_ASSIGN && kind <= PS_UPDATE_INITIALIZE;
    bool optimizes = kind >= PS_UPDATE_SGD && kind <= PS_UPDATE_ADAM;
    if (!assigns && !optimizes) {
        psi_codec_fault(in, "push.update.kind", "%" PRIu32 " is none of %d to %d or %d to %d", kind,
                        PS_UPDATE_ASSIGN, PS_UPDATE_INITIALIZE, PS_UPDATE_SGD, PS_UPDATE_ADAM);
    }
    return (enum ps_update_kind)kind;
}

/* Its name ends in names of slots, so it must be one that a variable could have. */
static const char *update_name_from_wire(struct psi_codec_in *in, const Paramd__Update *wire)
{
    if (wire->kind > PS_UPDATE_SGD && wire->name[0] == '\0') {
        psi_codec_fault(in, "push.update.name", "empty; it names the optimizer's slots");
    }
    return psi_codec_maybe_name(in, "push.update.name", wire->name);
}

static void update_from_wire(struct psi_codec_in *in, const Paramd__Update *wire,
                             struct ps_update *update)
{
    if (wire == NULL) {
        psi_codec_fault(in, "push.update", "missing");
        return;
    }
    update->kind = update_kind_from_wire(in, wire->kind);
    update->name = update_name_from_wire(in, wire);
    update->learning_rate = psi_codec_finite(in, "push.update.learning_rate", wire->learning_rate);
    update->parameter_count = psi_codec_count(in, "push.update.parameters", "parameters",
                                              wire->n_parameters, PS_MAX_PARAMETERS);
    for (size_t i = 0; i < update->parameter_count; i++) {
        update->parameters[i] = psi_codec_finite(in, "push.update.parameters", wire->parameters[i]);
    }
    update->on_nonfinite = (enum ps_nonfinite)psi_codec_range(
        in, "push.update.on_nonfinite", wire->on_nonfinite, PS_NONFINITE_REFUSE,
        PS_NONFINITE_APPLY);
    update->has_shape = wire->has_shape;
    if (wire->has_shape) {
        update->shape = psi_codec_shape(in, "push.update.shape", wire->shape, wire->n_shape);
    }
}

static Paramd__PushHeader *push_to_wire(struct psi_codec_out *out,
                                        const struct ps_push_header *push)
{
    Paramd__PushHeader *wire = psi_codec_out_take(out, 1, sizeof *wire);
    if (wire == NULL) { return NULL; }
    paramd__push_header__init(wire);
    wire->n_touched = push->touched_count;
    wire->touched = PSI_UNCONST(uint32_t *, push->touched);
    wire->update = update_to_wire(out, &push->update);
    wire->eager = push->eager;
    wire->part_bytes = push->part_bytes;
    wire->frame_count = push->frame_count;
    wire->frame_index = push->frame_index;
    wire->base_step = push->base_step;
    wire->position = psi_codec_bytes_to_wire(push->position);
    return wire;
}

static void frames_from_wire(struct psi_codec_in *in, const Paramd__PushHeader *wire,
                             struct ps_push_header *push)
{
    push->frame_count = psi_codec_range(in, "push.frame_count", wire->frame_count, 1,
                                        PS_MAX_FRAMES);
    push->frame_index = wire->frame_index;
    push->part_bytes = wire->part_bytes;
    if (wire->frame_index >= wire->frame_count) {
        psi_codec_fault(in, "push.frame_index", "%" PRIu32 " of %" PRIu32 " frames",
                        wire->frame_index, wire->frame_count);
    }
    if (wire->part_bytes / PS_CHUNK_BYTES >= wire->frame_count &&
        wire->part_bytes != (uint64_t)wire->frame_count * PS_CHUNK_BYTES) {
        psi_codec_fault(in, "push.part_bytes",
                        "%" PRIu64 " bytes in %" PRIu32 " frames of at most %d", wire->part_bytes,
                        wire->frame_count, PS_CHUNK_BYTES);
    }
}

static void push_from_wire(struct psi_codec_in *in, const Paramd__PushHeader *wire,
                           struct ps_push_header *push)
{
    if (wire == NULL) {
        psi_codec_fault(in, "push", "missing");
        return;
    }
    push->touched = wire->touched;
    push->touched_count = psi_codec_touched(in, "push.touched", wire->touched, wire->n_touched);
    update_from_wire(in, wire->update, &push->update);
    push->eager = wire->eager;
    frames_from_wire(in, wire, push);
    push->base_step = wire->base_step;
    push->position = psi_codec_bytes(in, "push.position", wire->position, PS_MAX_POSITION_BYTES);
}

/* ---- Request ---- */

static void data_request_to_wire(struct psi_codec_out *out, const struct ps_data_request *message,
                                 Paramd__DataRequest *wire)
{
    wire->header = psi_codec_header_to_wire(out, &message->header);
    wire->kind = (uint32_t)message->kind;
    wire->worker = message->worker;
    wire->incarnation = message->incarnation;
    wire->seq = message->seq;
    wire->commit_through = message->commit_through;
    if (message->kind == PS_REQUEST_PUSH) { wire->push = push_to_wire(out, &message->push); }
    wire->n_pieces = message->piece_count;
    wire->pieces = pieces_to_wire(out, message->pieces, message->piece_count);
    wire->has_crc32c = message->has_crc32c;
    wire->crc32c = message->crc32c;
}

static void data_request_from_wire(struct psi_codec_in *in, const Paramd__DataRequest *wire,
                                   struct ps_data_request *message)
{
    message->header = psi_codec_header(wire->header);
    message->kind = (enum ps_request_kind)psi_codec_range(in, "kind", wire->kind, PS_REQUEST_PUSH,
                                                          PS_REQUEST_WITHDRAW);
    message->worker = wire->worker;
    message->incarnation = wire->incarnation;
    message->seq = wire->seq;
    message->commit_through = wire->commit_through;
    if (wire->kind == PS_REQUEST_PUSH) { push_from_wire(in, wire->push, &message->push); }
    message->piece_count = pieces_from_wire(in, wire->pieces, wire->n_pieces, &message->pieces);
    message->has_crc32c = wire->has_crc32c;
    message->crc32c = wire->crc32c;
}

PSI_CODEC(data_request, DataRequest, PS_MAX_HEAD_BYTES)

/* ---- Reply ---- */

static void data_reply_to_wire(struct psi_codec_out *out, const struct ps_data_reply *message,
                               Paramd__DataReply *wire)
{
    wire->kind = (uint32_t)message->kind;
    wire->seq = message->seq;
    wire->committed = message->committed;
    wire->generation = message->generation;
    wire->step = message->step;
    wire->staleness = message->staleness;
    wire->code = (uint32_t)message->code;
    wire->message = PSI_TEXT(message->message);
    wire->n_pieces = message->piece_count;
    wire->pieces = pieces_to_wire(out, message->pieces, message->piece_count);
    wire->frame_index = message->frame_index;
    wire->last = message->last;
    wire->credit_bytes = message->credit_bytes;
    wire->has_crc32c = message->has_crc32c;
    wire->crc32c = message->crc32c;
}

/* A failure with the code of success would pass for one. */
static enum ps_code reply_code_from_wire(struct psi_codec_in *in, const Paramd__DataReply *wire)
{
    bool fails = wire->kind == PS_REPLY_REFUSED || wire->kind == PS_REPLY_PULL_FAILED ||
                 wire->kind == PS_REPLY_FENCED;
    if (fails && wire->code == PS_OK) {
        psi_codec_fault(in, "code", "0 (OK) in a reply of kind %" PRIu32 ", which is a failure",
                        wire->kind);
    }
    return ps_code_from_number((long)wire->code);
}

static void data_reply_from_wire(struct psi_codec_in *in, const Paramd__DataReply *wire,
                                 struct ps_data_reply *message)
{
    message->kind = (enum ps_reply_kind)psi_codec_range(in, "kind", wire->kind, PS_REPLY_STAGED,
                                                        PS_REPLY_FENCED);
    message->seq = wire->seq;
    message->committed = wire->committed;
    message->generation = wire->generation;
    message->step = wire->step;
    message->staleness = wire->staleness;
    message->code = reply_code_from_wire(in, wire);
    message->message = wire->message;
    message->piece_count = pieces_from_wire(in, wire->pieces, wire->n_pieces, &message->pieces);
    message->frame_index = wire->frame_index;
    message->last = wire->last;
    message->credit_bytes = wire->credit_bytes;
    message->has_crc32c = wire->has_crc32c;
    message->crc32c = wire->crc32c;
}

PSI_CODEC(data_reply, DataReply, PS_MAX_HEAD_BYTES)
