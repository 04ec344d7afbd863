/* Tickets: one asynchronous call, its bindings cut into a share for each peer. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ticket_priv.h"

#include <stdlib.h>

#include "core/alloc.h"

static enum ps_code check_binding(struct ps_session *session, const ps_binding *binding,
                                  struct ps_error *err)
{
    const struct ps_var *var = binding->var;
    if (var == NULL) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "a binding without a variable (NULL)");
    }
    if (var->session != session) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "variable '%s' belongs to another session",
                       var->definition.name);
    }
    size_t elements = ps_elements(var);
    if (binding->count != 0 && binding->count != elements) {
        char shape[PS_SHAPE_TEXT_BYTES];
        return ps_fail(
            err, PS_INVALID_ARGUMENT, "variable '%s' has %zu elements %s, but its binding says %zu",
            var->definition.name, elements, ps_shape_format(&var->shape, shape), binding->count);
    }
    if (binding->data == NULL && elements > 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "the binding of variable '%s' has no data (NULL)",
                       var->definition.name);
    }
    return PS_OK;
}

static uint32_t count_runs(const ps_binding *bindings, size_t count, uint32_t peer)
{
    uint32_t runs = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < bindings[i].var->slice_count; k++) {
            if (bindings[i].var->slices[k].peer == peer) { runs++; }
        }
    }
    return runs;
}

static int compare_runs(const void *a, const void *b)
{
    const struct psi_run *x = a, *y = b;
    return x->handle < y->handle ? -1 : x->handle > y->handle;
}

/* Runs of a share by rising handle, so that replies find theirs by bisection. */
static enum ps_code fill_runs(struct psi_share *share, const ps_binding *bindings, size_t count,
                              struct ps_error *err)
{
    uint32_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const struct ps_var *var = bindings[i].var;
        for (size_t k = 0; k < var->slice_count; k++) {
            const struct psi_slice *slice = &var->slices[k];
            if (slice->peer != share->peer) { continue; }
            share->runs[used++] = (struct psi_run){
                .handle = slice->handle,
                .size = slice->size_bytes,
                .data = (uint8_t *)bindings[i].data + slice->offset_bytes,
            };
            share->size_bytes += slice->size_bytes;
        }
    }
    qsort(share->runs, used, sizeof *share->runs, compare_runs);
    for (uint32_t i = 1; i < used; i++) {
        if (share->runs[i].handle == share->runs[i - 1].handle) {
            return ps_fail(err, PS_INVALID_ARGUMENT, "a variable is bound twice in one call");
        }
    }
    return PS_OK;
}

/* Cuts runs at chunk borders and packs small ones together: at most PS_CHUNK_BYTES a frame. */
static enum ps_code plan_frames(struct psi_share *share, struct ps_error *err)
{
    uint64_t most = share->run_count;
    for (uint32_t i = 0; i < share->run_count; i++) {
        most += share->runs[i].size / PS_CHUNK_BYTES;
    }
    struct psi_run *runs = ps_alloc_zero(most + 1, sizeof *runs);
    struct psi_frame *frames = ps_alloc_zero(most + 1, sizeof *frames);
    if (runs == NULL || frames == NULL || most > PS_MAX_FRAMES) {
        ps_free(runs);
        ps_free(frames);
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to plan a push");
    }
    uint32_t run_count = 0, frame_count = 1;
    for (uint32_t i = 0; i < share->run_count; i++) {
        struct psi_run rest = share->runs[i];
        do {
            struct psi_run piece = rest;
            if (piece.size > PS_CHUNK_BYTES) { piece.size = PS_CHUNK_BYTES; }
            struct psi_frame *frame = &frames[frame_count - 1];
            if (frame->run_count == PS_MAX_PIECES ||
                (frame->run_count > 0 && frame->size + piece.size > PS_CHUNK_BYTES)) {
                frame = &frames[frame_count++];
                frame->first_run = run_count;
            }
            frame->run_count++;
            frame->size += piece.size;
            runs[run_count++] = piece;
            rest.offset += piece.size;
            rest.data += piece.size;
            rest.size -= piece.size;
        } while (rest.size > 0);
    }
    ps_free(share->runs);
    share->runs = runs;
    share->run_count = run_count;
    share->frames = frames;
    share->frame_count = frame_count;
    return PS_OK;
}

static enum ps_code plan_share(struct psi_ticket *ticket, uint32_t peer, uint32_t run_count,
                               const ps_binding *bindings, size_t count, struct ps_error *err)
{
    struct psi_share *share = &ticket->shares[ticket->share_count++];
    share->peer = peer;
    share->run_count = run_count;
    share->runs = ps_alloc_zero(run_count + 1u, sizeof *share->runs);
    if (share->runs == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory"); }
    enum ps_code rc = fill_runs(share, bindings, count, err);
    if (rc == PS_OK && ticket->kind == PSI_TICKET_PUSH) { rc = plan_frames(share, err); }
    ticket->size_bytes += share->size_bytes;
    return rc;
}

static bool reaches(const struct ps_session *session, enum psi_reach reach, uint32_t peer)
{
    return reach == PSI_REACH_ALL || (reach == PSI_REACH_HOME && peer == psi_home(session));
}

enum ps_code psi_ticket_create(struct ps_session *session, enum psi_ticket_kind kind,
                               const ps_binding *bindings, size_t count, enum psi_reach reach,
                               struct psi_ticket **ticket_out, struct ps_error *err)
{
    enum ps_code rc;
    *ticket_out = NULL;
    for (size_t i = 0; i < count; i++) {
        rc = check_binding(session, &bindings[i], err);
        if (rc != PS_OK) { return rc; }
    }
    struct psi_ticket *ticket = ps_alloc_zero(1, sizeof *ticket);
    if (ticket == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a call"); }
    ticket->session = session;
    ticket->kind = kind;
    ticket->shares = ps_alloc_zero(session->peer_count, sizeof *ticket->shares);
    if (ticket->shares == NULL) {
        rc = ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a call");
        goto fail;
    }
    for (uint32_t peer = 0; peer < session->peer_count; peer++) {
        uint32_t runs = count_runs(bindings, count, peer);
        if (runs == 0 && !reaches(session, reach, peer)) { continue; }
        PS_TRY(fail, rc, plan_share(ticket, peer, runs, bindings, count, err));
    }
    ticket->shares_missing = ticket->share_count;
    *ticket_out = ticket;
    return PS_OK;
fail:
    psi_ticket_destroy(ticket);
    return rc;
}

void psi_ticket_destroy(struct psi_ticket *ticket)
{
    if (ticket == NULL) { return; }
    for (uint32_t i = 0; ticket->shares != NULL && i < ticket->share_count; i++) {
        ps_free(ticket->shares[i].runs);
        ps_free(ticket->shares[i].frames);
        ps_free(ticket->shares[i].frames_arrived);
    }
    ps_free(ticket->shares);
    ps_free(ticket->touched);
    ps_buf_clean(&ticket->position);
    ps_free(ticket->copy);
    ps_free(ticket);
}

struct psi_share *psi_ticket_share(struct psi_ticket *ticket, uint32_t peer)
{
    for (uint32_t i = 0; i < ticket->share_count; i++) {
        if (ticket->shares[i].peer == peer) { return &ticket->shares[i]; }
    }
    return NULL;
}

void psi_ticket_link_locked(struct ps_session *session, struct psi_ticket *ticket)
{
    ticket->id = ++session->last_ticket;
    struct psi_ticket **end = &session->tickets;
    while (*end != NULL) { end = &(*end)->next; }
    *end = ticket;
}

struct psi_ticket *psi_ticket_find_locked(struct ps_session *session, ps_ticket id)
{
    for (struct psi_ticket *t = session->tickets; t != NULL; t = t->next) {
        if (t->id == id) { return t; }
    }
    return NULL;
}

void psi_ticket_drop_locked(struct ps_session *session, struct psi_ticket *ticket)
{
    struct psi_ticket **link = &session->tickets;
    while (*link != NULL && *link != ticket) { link = &(*link)->next; }
    if (*link != NULL) { *link = ticket->next; }
    psi_ticket_destroy(ticket);
}

void psi_ticket_unpin(void *ticket)
{
    struct psi_ticket *pinned = ticket;
    struct ps_session *session = pinned->session;
    ps_mutex_lock(&session->lock);
    pinned->pin_count--;
    ps_cond_broadcast(&session->changed);
    ps_mutex_unlock(&session->lock);
}
