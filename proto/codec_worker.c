/* Messages of a worker's life: Attach, Resolve, Finish. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "proto/codec_priv.h"

/* ---- Attach ---- */

static void attach_request_to_wire(struct psi_codec_out *out,
                                   const struct ps_attach_request *message,
                                   Paramd__AttachRequest *wire)
{
    wire->header = psi_codec_header_to_wire(out, &message->header);
    wire->worker = message->worker;
    wire->incarnation = message->incarnation;
    wire->process = message->process;
}

static void attach_request_from_wire(struct psi_codec_in *in, const Paramd__AttachRequest *wire,
                                     struct ps_attach_request *message)
{
    (void)in;
    message->header = psi_codec_header(wire->header);
    message->worker = wire->worker;
    message->incarnation = wire->incarnation;
    message->process = wire->process;
}

PSI_CODEC(attach_request, AttachRequest, PS_MAX_HEAD_BYTES)

static void open_push_to_wire(const struct ps_open_push *push, Paramd__OpenPush *wire)
{
    paramd__open_push__init(wire);
    wire->seq = push->seq;
    wire->complete = push->complete;
    wire->eager = push->eager;
    wire->burnt = push->burnt;
    wire->n_touched = push->touched_count;
    wire->touched = PSI_UNCONST(uint32_t *, push->touched);
}

static void open_push_from_wire(struct psi_codec_in *in, const Paramd__OpenPush *wire,
                                struct ps_open_push *push)
{
    push->seq = wire->seq;
    push->complete = wire->complete;
    push->eager = wire->eager;
    push->burnt = wire->burnt;
    push->touched = wire->touched;
    push->touched_count = 0;
    if (push->burnt && wire->n_touched == 0) { return; } /* burnt before anything of it came */
    push->touched_count = psi_codec_touched(in, "touched", wire->touched, wire->n_touched);
}

static void attach_reply_to_wire(struct psi_codec_out *out, const struct ps_attach_reply *message,
                                 Paramd__AttachReply *wire)
{
    size_t count = message->open_count;
    Paramd__OpenPush *pushes = psi_codec_out_take(out, count, sizeof *pushes);
    wire->n_open = count;
    wire->open = psi_codec_out_take(out, count, sizeof *wire->open);
    for (size_t i = 0; i < count && !out->failed; i++) {
        open_push_to_wire(&message->open[i], &pushes[i]);
        wire->open[i] = &pushes[i];
    }
    wire->accepted = message->accepted;
    wire->incarnation = message->incarnation;
    wire->committed = message->committed;
    wire->position = psi_codec_bytes_to_wire(message->position);
    wire->step = message->step;
    wire->credit_bytes = message->credit_bytes;
    wire->credit_count = message->credit_count;
}

static void open_pushes_from_wire(struct psi_codec_in *in, const Paramd__AttachReply *wire,
                                  struct ps_attach_reply *message)
{
    size_t count = psi_codec_count(in, "open", "pushes", wire->n_open, PS_MAX_OPEN_PUSHES);
    struct ps_open_push *pushes = psi_codec_array(in, count, sizeof *pushes);
    in->path = "AttachReply.open";
    for (size_t i = 0; i < count && in->rc == PS_OK; i++) {
        in->index = (long)i;
        open_push_from_wire(in, wire->open[i], &pushes[i]);
    }
    message->open = pushes;
    message->open_count = count;
}

static void attach_reply_from_wire(struct psi_codec_in *in, const Paramd__AttachReply *wire,
                                   struct ps_attach_reply *message)
{
    message->accepted = wire->accepted;
    message->incarnation = wire->incarnation;
    message->committed = wire->committed;
    message->position = psi_codec_bytes(in, "position", wire->position, PS_MAX_POSITION_BYTES);
    message->step = wire->step;
    message->credit_bytes = wire->credit_bytes;
    message->credit_count = wire->credit_count;
    open_pushes_from_wire(in, wire, message);
}

PSI_CODEC(attach_reply, AttachReply, PS_MAX_LONG_HEAD_BYTES)

/* ---- Resolve ---- */

static void resolve_request_to_wire(struct psi_codec_out *out,
                                    const struct ps_resolve_request *message,
                                    Paramd__ResolveRequest *wire)
{
    wire->header = psi_codec_header_to_wire(out, &message->header);
    wire->worker = message->worker;
    wire->incarnation = message->incarnation;
    wire->commit_through = message->commit_through;
    wire->n_burnt = message->burnt_count;
    wire->burnt = PSI_UNCONST(uint64_t *, message->burnt);
}

static size_t burnt_from_wire(struct psi_codec_in *in, const Paramd__ResolveRequest *wire)
{
    size_t count = psi_codec_count(in, "burnt", "numbers", wire->n_burnt, PS_MAX_OPEN_PUSHES);
    for (size_t i = 1; i < count; i++) {
        if (wire->burnt[i] <= wire->burnt[i - 1]) {
            psi_codec_fault(in, "burnt", "%" PRIu64 " follows %" PRIu64 "; they must rise",
                            wire->burnt[i], wire->burnt[i - 1]);
        }
    }
    return count;
}

static void resolve_request_from_wire(struct psi_codec_in *in, const Paramd__ResolveRequest *wire,
                                      struct ps_resolve_request *message)
{
    message->header = psi_codec_header(wire->header);
    message->worker = wire->worker;
    message->incarnation = wire->incarnation;
    message->commit_through = wire->commit_through;
    message->burnt = wire->burnt;
    message->burnt_count = burnt_from_wire(in, wire);
}

PSI_CODEC(resolve_request, ResolveRequest, PS_MAX_HEAD_BYTES)

static void resolve_reply_to_wire(struct psi_codec_out *out, const struct ps_resolve_reply *message,
                                  Paramd__ResolveReply *wire)
{
    (void)out;
    wire->committed = message->committed;
}

static void resolve_reply_from_wire(struct psi_codec_in *in, const Paramd__ResolveReply *wire,
                                    struct ps_resolve_reply *message)
{
    (void)in;
    message->committed = wire->committed;
}

PSI_CODEC(resolve_reply, ResolveReply, PS_MAX_HEAD_BYTES)

/* ---- Finish ---- */

static void finish_request_to_wire(struct psi_codec_out *out,
                                   const struct ps_finish_request *message,
                                   Paramd__FinishRequest *wire)
{
    wire->header = psi_codec_header_to_wire(out, &message->header);
    wire->worker = message->worker;
    wire->incarnation = message->incarnation;
}

static void finish_request_from_wire(struct psi_codec_in *in, const Paramd__FinishRequest *wire,
                                     struct ps_finish_request *message)
{
    (void)in;
    message->header = psi_codec_header(wire->header);
    message->worker = wire->worker;
    message->incarnation = wire->incarnation;
}

PSI_CODEC(finish_request, FinishRequest, PS_MAX_HEAD_BYTES)

static void finish_reply_to_wire(struct psi_codec_out *out, const struct ps_finish_reply *message,
                                 Paramd__FinishReply *wire)
{
    (void)out;
    wire->finished_count = message->finished_count;
    wire->worker_count = message->worker_count;
}

static void finish_reply_from_wire(struct psi_codec_in *in, const Paramd__FinishReply *wire,
                                   struct ps_finish_reply *message)
{
    (void)in;
    message->finished_count = wire->finished_count;
    message->worker_count = wire->worker_count;
}

PSI_CODEC(finish_reply, FinishReply, PS_MAX_HEAD_BYTES)
