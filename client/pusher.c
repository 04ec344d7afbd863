/* A worker's side of exactly-once pushes: what to send to whom, and when a push is decided. Pure.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/pusher.h"

#include <string.h>

#include "core/alloc.h"
#include "proto/messages.h"

enum ps_code ps_pusher_init(struct ps_pusher *pusher, uint32_t peer_count, uint64_t committed,
                            struct ps_error *err)
{
    memset(pusher, 0, sizeof *pusher);
    pusher->peers = ps_alloc_zero(peer_count, sizeof *pusher->peers);
    if (pusher->peers == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory"); }
    pusher->peer_count = peer_count;
    pusher->last_seq = committed;
    pusher->decided_through = committed;
    for (uint32_t i = 0; i < peer_count; i++) {
        pusher->peers[i].noticed_through = committed;
        pusher->peers[i].committed_through = committed;
    }
    return PS_OK;
}

void ps_pusher_clean(struct ps_pusher *pusher)
{
    while (pusher->flights != NULL) {
        struct ps_flight *flight = pusher->flights;
        pusher->flights = flight->next;
        ps_free(flight);
    }
    ps_free(pusher->peers);
    pusher->peers = NULL;
}

void ps_pusher_set_credit(struct ps_pusher *pusher, uint32_t peer, uint64_t credit_bytes)
{
    pusher->peers[peer].credit_bytes = credit_bytes;
}

enum ps_admission ps_pusher_admits(const struct ps_pusher *pusher, const struct ps_part *parts,
                                   uint32_t part_count, bool eager, uint32_t *blocking_peer_out)
{
    for (uint32_t i = 0; i < pusher->peer_count; i++) {
        *blocking_peer_out = i;
        /* Half the window: a peer that lags behind its notices must not refuse a push. */
        if (pusher->last_seq - pusher->peers[i].committed_through >= PS_MAX_OPEN_PUSHES / 2) {
            return PS_ADMIT_LATER;
        }
    }
    for (uint32_t i = 0; i < part_count && !eager; i++) {
        const struct ps_pusher_peer *peer = &pusher->peers[parts[i].peer];
        *blocking_peer_out = parts[i].peer;
        if (parts[i].size_bytes > peer->credit_bytes) { return PS_ADMIT_NEVER; }
        if (peer->outstanding_bytes > peer->credit_bytes - parts[i].size_bytes) {
            return PS_ADMIT_LATER;
        }
    }
    return PS_ADMIT_NOW;
}

enum ps_code ps_pusher_add(struct ps_pusher *pusher, const struct ps_part *parts,
                           uint32_t part_count, void *user, struct ps_flight **flight_out,
                           struct ps_error *err)
{
    *flight_out = NULL;
    struct ps_flight *flight = ps_alloc_zero(1, sizeof *flight + part_count * sizeof *parts);
    if (flight == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a push"); }
    flight->seq = ++pusher->last_seq;
    flight->user = user;
    flight->part_count = part_count;
    for (uint32_t i = 0; i < part_count; i++) {
        flight->parts[i] = parts[i];
        flight->parts[i].state = PS_PART_SENDING;
        flight->parts[i].next_frame = 0;
        pusher->peers[parts[i].peer].outstanding_bytes += parts[i].size_bytes;
    }
    struct ps_flight **end = &pusher->flights;
    while (*end != NULL) { end = &(*end)->next; }
    *end = flight;
    *flight_out = flight;
    return PS_OK;
}

static struct ps_part *find_part(struct ps_flight *flight, uint32_t peer)
{
    for (uint32_t i = 0; i < flight->part_count; i++) {
        if (flight->parts[i].peer == peer) { return &flight->parts[i]; }
    }
    return NULL;
}

static struct ps_flight *find_flight(struct ps_pusher *pusher, uint64_t seq)
{
    for (struct ps_flight *f = pusher->flights; f != NULL && f->seq <= seq; f = f->next) {
        if (f->seq == seq) { return f; }
    }
    return NULL;
}

/* What a part asks to be sent; changes its state as if that had been done. */
static enum ps_send_kind take_from_part(struct ps_part *part, uint32_t *frame_index_out)
{
    if (part->state == PS_PART_WITHDRAW) {
        part->state = PS_PART_WITHDRAW_SENT;
        return PS_SEND_WITHDRAW;
    }
    if (part->state == PS_PART_SENDING) {
        *frame_index_out = part->next_frame++;
        if (part->next_frame == part->frame_count) { part->state = PS_PART_SENT; }
        return PS_SEND_FRAME;
    }
    return PS_SEND_NOTHING;
}

struct ps_send ps_pusher_next(struct ps_pusher *pusher, uint32_t peer)
{
    struct ps_send send = { .kind = PS_SEND_NOTHING, .commit_through = pusher->decided_through };
    struct ps_pusher_peer *to = &pusher->peers[peer];
    for (struct ps_flight *f = pusher->flights; f != NULL; f = f->next) {
        struct ps_part *part = find_part(f, peer);
        if (part == NULL) { continue; }
        send.kind = take_from_part(part, &send.frame_index);
        if (send.kind == PS_SEND_NOTHING) { continue; }
        send.flight = f;
        send.part = part;
        break;
    }
    if (send.kind == PS_SEND_NOTHING && to->noticed_through < pusher->decided_through) {
        send.kind = PS_SEND_NOTICE;
    }
    if (send.kind != PS_SEND_NOTHING) { to->noticed_through = pusher->decided_through; }
    return send;
}

void ps_pusher_noticed(struct ps_pusher *pusher, uint32_t peer)
{
    pusher->peers[peer].noticed_through = pusher->decided_through;
}

static bool is_settled(const struct ps_flight *flight)
{
    enum ps_part_state wanted = flight->refused ? PS_PART_WITHDRAWN : PS_PART_STAGED;
    for (uint32_t i = 0; i < flight->part_count; i++) {
        if (flight->parts[i].state != wanted) { return false; }
    }
    return true;
}

static void decide(struct ps_pusher *pusher)
{
    for (struct ps_flight *f = pusher->flights; f != NULL; f = f->next) {
        if (f->decided) { continue; }
        if (!is_settled(f)) { return; }
        f->decided = true;
        pusher->decided_through = f->seq;
    }
}

void ps_pusher_staged(struct ps_pusher *pusher, uint32_t peer, uint64_t seq)
{
    struct ps_flight *flight = find_flight(pusher, seq);
    struct ps_part *part = flight != NULL ? find_part(flight, peer) : NULL;
    if (part == NULL || (part->state != PS_PART_SENDING && part->state != PS_PART_SENT)) { return; }
    part->state = PS_PART_STAGED;
    decide(pusher);
}

bool ps_pusher_refused(struct ps_pusher *pusher, uint32_t peer, uint64_t seq, enum ps_code code)
{
    struct ps_flight *flight = find_flight(pusher, seq);
    if (flight == NULL || flight->decided || flight->refused) { return false; }
    flight->refused = true;
    flight->code = code;
    flight->refusing_peer = peer;
    for (uint32_t i = 0; i < flight->part_count; i++) { flight->parts[i].state = PS_PART_WITHDRAW; }
    return true;
}

void ps_pusher_withdrawn(struct ps_pusher *pusher, uint32_t peer, uint64_t seq)
{
    struct ps_flight *flight = find_flight(pusher, seq);
    struct ps_part *part = flight != NULL ? find_part(flight, peer) : NULL;
    if (part == NULL || !flight->refused) { return; }
    part->state = PS_PART_WITHDRAWN;
    decide(pusher);
}

void ps_pusher_committed(struct ps_pusher *pusher, uint32_t peer, uint64_t through)
{
    struct ps_pusher_peer *from = &pusher->peers[peer];
    uint64_t before = from->committed_through;
    if (through <= before) { return; }
    from->committed_through = through;
    for (struct ps_flight *f = pusher->flights; f != NULL && f->seq <= through; f = f->next) {
        struct ps_part *part = f->seq > before ? find_part(f, peer) : NULL;
        if (part != NULL) { from->outstanding_bytes -= part->size_bytes; }
    }
}

void ps_pusher_lost(struct ps_pusher *pusher, uint32_t peer)
{
    for (struct ps_flight *f = pusher->flights; f != NULL; f = f->next) {
        struct ps_part *part = find_part(f, peer);
        if (part == NULL) { continue; }
        if (part->state == PS_PART_SENT || part->state == PS_PART_SENDING) {
            part->state = PS_PART_SENDING;
            part->next_frame = 0;
        } else if (part->state == PS_PART_WITHDRAW_SENT) {
            part->state = PS_PART_WITHDRAW;
        }
    }
    pusher->peers[peer].noticed_through = pusher->peers[peer].committed_through;
}

bool ps_pusher_awaits(const struct ps_pusher *pusher, uint32_t peer)
{
    if (pusher->peers[peer].committed_through < pusher->decided_through) { return true; }
    for (struct ps_flight *f = pusher->flights; f != NULL; f = f->next) {
        const struct ps_part *part = find_part(f, peer);
        if (part == NULL) { continue; }
        if (part->state != PS_PART_STAGED && part->state != PS_PART_WITHDRAWN) { return true; }
    }
    return false;
}

static bool is_committed_everywhere(const struct ps_pusher *pusher, const struct ps_flight *flight)
{
    for (uint32_t i = 0; i < flight->part_count; i++) {
        if (pusher->peers[flight->parts[i].peer].committed_through < flight->seq) { return false; }
    }
    return true;
}

struct ps_flight *ps_pusher_forget(struct ps_pusher *pusher)
{
    struct ps_flight *flight = pusher->flights;
    if (flight == NULL || !flight->decided || !is_committed_everywhere(pusher, flight)) {
        return NULL;
    }
    pusher->flights = flight->next;
    flight->next = NULL;
    return flight;
}
