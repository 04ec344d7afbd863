/* Pushes on the wire: frames, withdrawals and notices out, acknowledgements in. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/push_wire_priv.h"

#include <inttypes.h>
#include <string.h>

#include "client/ticket_priv.h"
#include "core/alloc.h"

/* Runs below this are copied into one buffer even when alone: a reference costs more. */
enum { ZERO_COPY_BYTES = 4096 };

static void start_request(const struct psi_peer *peer, enum ps_request_kind kind, uint64_t seq,
                          uint64_t commit_through, struct ps_data_request *request)
{
    const struct ps_session *session = peer->session;
    memset(request, 0, sizeof *request);
    request->header = session->header;
    request->kind = kind;
    request->worker = (uint32_t)session->settings.task_index;
    request->incarnation = session->incarnation;
    request->seq = seq;
    request->commit_through = commit_through;
}

/* The bytes of a frame: the caller's own memory, pinned, or a copy of several runs. */
static enum ps_code attach_data(struct psi_ticket *ticket, const struct psi_share *share,
                                const struct psi_frame *frame, struct ps_outgoing *out,
                                struct ps_error *err)
{
    const struct psi_run *runs = &share->runs[frame->first_run];
    if (frame->size == 0) { return PS_OK; }
    if (frame->run_count == 1 && frame->size >= ZERO_COPY_BYTES) {
        out->data = runs[0].data;
        out->data_size = runs[0].size;
        out->release = psi_ticket_unpin;
        out->owner = ticket;
        ticket->pin_count++;
        return PS_OK;
    }
    uint8_t *copy = ps_alloc(frame->size);
    if (copy == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a frame"); }
    size_t used = 0;
    for (uint32_t i = 0; i < frame->run_count; i++) {
        memcpy(copy + used, runs[i].data, runs[i].size);
        used += runs[i].size;
    }
    out->data = copy;
    out->data_size = used;
    out->release = ps_free;
    out->owner = copy;
    return PS_OK;
}

static enum ps_code add_pieces(const struct psi_share *share, const struct psi_frame *frame,
                               struct ps_arena *arena, struct ps_data_request *request,
                               struct ps_error *err)
{
    struct ps_piece *pieces = ps_arena_alloc(arena, (frame->run_count + 1u) * sizeof *pieces);
    if (pieces == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a frame"); }
    for (uint32_t i = 0; i < frame->run_count; i++) {
        const struct psi_run *run = &share->runs[frame->first_run + i];
        pieces[i] = (struct ps_piece){ run->handle, run->offset, run->size };
    }
    request->pieces = pieces;
    request->piece_count = frame->run_count;
    return PS_OK;
}

static enum ps_code make_frame(struct psi_peer *peer, const struct ps_send *send,
                               struct ps_arena *arena, struct ps_outgoing *out,
                               struct ps_error *err)
{
    struct psi_ticket *ticket = send->flight->user;
    const struct psi_share *share = psi_ticket_share(ticket, peer->index);
    const struct psi_frame *frame = &share->frames[send->frame_index];
    struct ps_data_request request;
    start_request(peer, PS_REQUEST_PUSH, send->flight->seq, send->commit_through, &request);
    request.push = ticket->header;
    request.push.part_bytes = share->size_bytes;
    request.push.frame_count = share->frame_count;
    request.push.frame_index = send->frame_index;
    if (peer->index == psi_home(peer->session)) {
        request.push.position = (struct ps_span){ ticket->position.data, ticket->position.size };
    }
    enum ps_code rc = add_pieces(share, frame, arena, &request, err);
    if (rc == PS_OK) { rc = attach_data(ticket, share, frame, out, err); }
    if (rc == PS_OK && peer->session->settings.checksums) {
        request.has_crc32c = true;
        request.crc32c = ps_crc32c(0, out->data, out->data_size);
    }
    if (rc == PS_OK) { rc = ps_encode_data_request(&request, &out->head, err); }
    return rc;
}

/* Gives back what a message that will not be sent holds. The lock is held: no psi_ticket_unpin. */
static void abandon_message(struct ps_outgoing *out)
{
    if (out->release == psi_ticket_unpin) {
        ((struct psi_ticket *)out->owner)->pin_count--;
        out->release = NULL;
    }
    ps_outgoing_clean(out);
}

bool psi_push_produce_locked(struct psi_peer *peer, struct ps_outgoing *out)
{
    struct ps_session *session = peer->session;
    if (!session->has_pusher) { return false; }
    struct ps_send send = ps_pusher_next(&session->pusher, peer->index);
    if (send.kind == PS_SEND_NOTHING) { return false; }

    struct ps_error err = PS_ERROR_INIT;
    struct ps_arena arena = { 0 };
    enum ps_code rc;
    if (send.kind == PS_SEND_FRAME) {
        rc = make_frame(peer, &send, &arena, out, &err);
    } else {
        bool notice = send.kind == PS_SEND_NOTICE;
        struct ps_data_request request;
        start_request(peer, notice ? PS_REQUEST_NOTICE : PS_REQUEST_WITHDRAW,
                      notice ? 0 : send.flight->seq, send.commit_through, &request);
        rc = ps_encode_data_request(&request, &out->head, &err);
    }
    ps_arena_clean(&arena);
    if (rc == PS_OK) { return true; }
    abandon_message(out);
    psi_fail_locked(session, &err);
    return false;
}

static void refuse(struct psi_peer *peer, const struct ps_data_reply *reply)
{
    struct ps_session *session = peer->session;
    if (!ps_pusher_refused(&session->pusher, peer->index, reply->seq, reply->code)) { return; }
    session->stats.refused++;
    struct ps_error err = PS_ERROR_INIT;
    ps_fail(&err, reply->code, "ps/%" PRIu32 " refused push %" PRIu64 " of worker %d: %s",
            peer->index, reply->seq, session->settings.task_index, reply->message);
    err.task = (int)peer->index;
    psi_fail_locked(session, &err);
}

/* Tickets of what is decided are done; flights that every peer has committed are forgotten. */
static void settle(struct ps_session *session)
{
    for (struct ps_flight *f = session->pusher.flights; f != NULL; f = f->next) {
        struct psi_ticket *ticket = f->user;
        if (!f->decided || ticket == NULL) { continue; }
        ticket->done = true;
        f->user = NULL;
    }
    struct ps_flight *flight;
    while ((flight = ps_pusher_forget(&session->pusher)) != NULL) { ps_free(flight); }
    ps_cond_broadcast(&session->changed);
}

static void note_commit(struct psi_peer *peer, const struct ps_data_reply *reply)
{
    struct ps_session *session = peer->session;
    if (peer->index == psi_home(session)) {
        if (reply->step > session->step) { session->step = reply->step; }
        if (reply->committed > session->staleness_seq) {
            session->staleness_seq = reply->committed;
            session->staleness_sum += reply->staleness;
            session->staleness_count++;
        }
    }
    ps_pusher_committed(&session->pusher, peer->index, reply->committed);
}

bool psi_push_consume_locked(struct psi_peer *peer, const struct ps_data_reply *reply)
{
    struct ps_session *session = peer->session;
    if (!session->has_pusher) { return false; }
    struct ps_pusher *pusher = &session->pusher;
    uint64_t decided_before = pusher->decided_through;
    note_commit(peer, reply);
    if (reply->credit_bytes > 0) { ps_pusher_set_credit(pusher, peer->index, reply->credit_bytes); }
    switch (reply->kind) {
    case PS_REPLY_STAGED: ps_pusher_staged(pusher, peer->index, reply->seq); break;
    case PS_REPLY_REFUSED: refuse(peer, reply); break;
    case PS_REPLY_WITHDRAWN: ps_pusher_withdrawn(pusher, peer->index, reply->seq); break;
    case PS_REPLY_NOTED:
    case PS_REPLY_PULLED:
    case PS_REPLY_PULL_FAILED:
    case PS_REPLY_FENCED: break;
    }
    settle(session);
    return pusher->decided_through != decided_before || reply->kind == PS_REPLY_REFUSED;
}
