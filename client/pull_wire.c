/* Pulls on the wire: requests out, frames of tensor bytes into the caller's memory. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/pull_wire_priv.h"

#include <inttypes.h>
#include <string.h>

#include "client/ticket_priv.h"
#include "core/alloc.h"

static bool is_waiting(const struct psi_ticket *ticket, const struct psi_share *share)
{
    return ticket->kind == PSI_TICKET_PULL && share != NULL && !share->done;
}

/* A worker reads its own writes: its request carries the notice of every push before it. */
static bool is_due(const struct psi_ticket *ticket, const struct psi_share *share)
{
    return is_waiting(ticket, share) &&
           ticket->after_push <= ticket->session->pusher.decided_through;
}

/* The next share of this peer that is still to be asked for. */
static struct psi_share *find_unasked(struct psi_peer *peer)
{
    for (struct psi_ticket *t = peer->session->tickets; t != NULL; t = t->next) {
        struct psi_share *share = psi_ticket_share(t, peer->index);
        if (is_due(t, share) && share->pull_seq == 0) { return share; }
    }
    return NULL;
}

static struct psi_share *find_asked(struct psi_peer *peer, uint64_t seq,
                                    struct psi_ticket **ticket_out)
{
    for (struct psi_ticket *t = peer->session->tickets; t != NULL; t = t->next) {
        struct psi_share *share = psi_ticket_share(t, peer->index);
        if (is_waiting(t, share) && share->pull_seq == seq) {
            *ticket_out = t;
            return share;
        }
    }
    return NULL;
}

/* Settles which runs the next request asks for. */
static void plan_request(struct ps_session *session, struct psi_share *share)
{
    uint32_t left = share->run_count - share->first_asked;
    share->asked_count = left < PS_MAX_PIECES ? left : PS_MAX_PIECES;
    share->pull_seq = ++session->last_pull_seq;
    share->bytes_missing = 0;
    for (uint32_t i = 0; i < share->asked_count; i++) {
        share->bytes_missing += share->runs[share->first_asked + i].size;
    }
    if (share->frames_arrived != NULL) {
        memset(share->frames_arrived, 0, share->frame_capacity / 8u);
    }
}

static enum ps_code encode_request(struct psi_peer *peer, const struct psi_share *share,
                                   struct ps_arena *arena, struct ps_outgoing *out,
                                   struct ps_error *err)
{
    struct ps_session *session = peer->session;
    struct ps_piece *pieces = ps_arena_alloc(arena, (share->asked_count + 1u) * sizeof *pieces);
    if (pieces == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a pull"); }
    for (uint32_t i = 0; i < share->asked_count; i++) {
        const struct psi_run *run = &share->runs[share->first_asked + i];
        pieces[i] = (struct ps_piece){ run->handle, run->offset, run->size };
    }
    struct ps_data_request request = {
        .header = session->header,
        .kind = PS_REQUEST_PULL,
        .worker = (uint32_t)session->settings.task_index,
        .incarnation = session->incarnation,
        .seq = share->pull_seq,
        .commit_through = session->pusher.decided_through,
        .pieces = pieces,
        .piece_count = share->asked_count,
        .has_crc32c = session->settings.checksums,
    };
    return ps_encode_data_request(&request, &out->head, err);
}

bool psi_pull_produce_locked(struct psi_peer *peer, struct ps_outgoing *out)
{
    struct psi_share *share = find_unasked(peer);
    if (share == NULL) { return false; }
    struct ps_error err = PS_ERROR_INIT;
    struct ps_arena arena = { 0 };
    plan_request(peer->session, share);
    enum ps_code rc = encode_request(peer, share, &arena, out, &err);
    ps_arena_clean(&arena);
    if (rc == PS_OK) {
        ps_pusher_noticed(&peer->session->pusher, peer->index);
        return true;
    }
    ps_outgoing_clean(out);
    psi_fail_locked(peer->session, &err);
    return false;
}

static bool has_arrived(const struct psi_share *share, uint32_t index)
{
    return index < share->frame_capacity &&
           (share->frames_arrived[index / 8u] & (uint8_t)(1u << index % 8u)) != 0;
}

static bool mark_arrived(struct psi_share *share, uint32_t index)
{
    if (index >= share->frame_capacity) {
        uint32_t capacity = (index / 64u + 1u) * 128u;
        uint8_t *grown = ps_realloc(share->frames_arrived, capacity / 8u);
        if (grown == NULL) { return false; }
        memset(grown + share->frame_capacity / 8u, 0, (capacity - share->frame_capacity) / 8u);
        share->frames_arrived = grown;
        share->frame_capacity = capacity;
    }
    share->frames_arrived[index / 8u] |= (uint8_t)(1u << (index % 8u));
    return true;
}

static const struct psi_run *find_run(const struct psi_share *share, uint32_t handle)
{
    uint32_t low = share->first_asked, high = share->first_asked + share->asked_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (share->runs[middle].handle < handle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool found = low < share->first_asked + share->asked_count && share->runs[low].handle == handle;
    return found ? &share->runs[low] : NULL;
}

/* Copies a frame to where it belongs; no lock is held. The ticket is pinned, so its runs and the
 * caller's memory stay. INTERNAL if the frame is not what was asked for. */
static enum ps_code copy_pieces(const struct psi_share *share, const struct ps_data_reply *reply,
                                const struct ps_payload *payload, struct ps_error *err)
{
    struct ps_payload nothing = { 0 };
    struct ps_cursor cursor = ps_cursor_at(payload != NULL ? payload : &nothing, 0);
    uint32_t crc = reply->has_crc32c ? 0u : reply->crc32c;
    for (size_t i = 0; i < reply->piece_count; i++) {
        const struct ps_piece *piece = &reply->pieces[i];
        const struct psi_run *run = find_run(share, piece->handle);
        if (run == NULL || piece->offset > run->size || piece->size > run->size - piece->offset) {
            return ps_fail(err, PS_INTERNAL, "a pull was answered with bytes nobody asked for");
        }
        uint8_t *to = run->data + piece->offset;
        for (uint64_t left = piece->size; left > 0;) {
            struct ps_span span = ps_cursor_next(&cursor, (size_t)left);
            if (span.size == 0) {
                return ps_fail(err, PS_INTERNAL, "a pull was answered with too few bytes");
            }
            memcpy(to, span.data, span.size);
            if (reply->has_crc32c) { crc = ps_crc32c(crc, span.data, span.size); }
            to += span.size;
            left -= span.size;
        }
    }
    if (crc != reply->crc32c) {
        return ps_fail(err, PS_DATA_LOSS,
                       "checksum of pulled bytes does not match: sent %08x, received %08x",
                       reply->crc32c, crc);
    }
    return PS_OK;
}

static uint64_t count_bytes(const struct ps_data_reply *reply)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < reply->piece_count; i++) { bytes += reply->pieces[i].size; }
    return bytes;
}

static void finish_request(struct psi_ticket *ticket, struct psi_share *share)
{
    share->first_asked += share->asked_count;
    share->pull_seq = 0;
    if (share->first_asked < share->run_count) { return; }
    share->done = true;
    if (--ticket->shares_missing == 0) { ticket->done = true; }
}

static void fail_pull(struct psi_peer *peer, enum ps_code code, const char *message)
{
    struct ps_error err = PS_ERROR_INIT;
    ps_fail(&err, code, "ps/%" PRIu32 ": %s", peer->index, message);
    err.task = (int)peer->index;
    psi_fail_locked(peer->session, &err);
}

bool psi_pull_consume_locked(struct psi_peer *peer, const struct ps_data_reply *reply,
                             const struct ps_payload *payload)
{
    struct ps_session *session = peer->session;
    struct psi_ticket *ticket = NULL;
    struct psi_share *share = find_asked(peer, reply->seq, &ticket);
    if (share == NULL || session->failed) { return false; }
    if (reply->kind == PS_REPLY_PULL_FAILED) {
        fail_pull(peer, reply->code, reply->message);
        return false;
    }
    if (has_arrived(share, reply->frame_index)) { return false; }
    if (reply->frame_index >= PS_MAX_FRAMES || !mark_arrived(share, reply->frame_index)) {
        fail_pull(peer, PS_RESOURCE_EXHAUSTED, "no memory for a pull");
        return false;
    }

    struct ps_error err = PS_ERROR_INIT;
    ticket->pin_count++;
    ps_mutex_unlock(&session->lock);
    enum ps_code rc = copy_pieces(share, reply, payload, &err);
    ps_mutex_lock(&session->lock);
    ticket->pin_count--;

    uint64_t bytes = count_bytes(reply);
    if (rc == PS_OK && bytes > share->bytes_missing) {
        rc = ps_fail(&err, PS_INTERNAL, "a pull was answered with too many bytes");
    }
    if (rc != PS_OK) {
        fail_pull(peer, err.code, err.message);
        return false;
    }
    share->bytes_missing -= bytes;
    if (share->bytes_missing == 0) { finish_request(ticket, share); }
    if (reply->step > session->pull_step) { session->pull_step = reply->step; }
    ps_cond_broadcast(&session->changed);
    return !share->done && share->pull_seq == 0;
}

void psi_pull_lost_locked(struct psi_peer *peer)
{
    for (struct psi_ticket *t = peer->session->tickets; t != NULL; t = t->next) {
        struct psi_share *share = psi_ticket_share(t, peer->index);
        if (is_waiting(t, share)) { share->pull_seq = 0; }
    }
}

bool psi_pull_awaits_locked(const struct psi_peer *peer)
{
    for (struct psi_ticket *t = peer->session->tickets; t != NULL; t = t->next) {
        if (is_due(t, psi_ticket_share(t, peer->index))) { return true; }
    }
    return false;
}
