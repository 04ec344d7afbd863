/* One worker's page of the exactly-once ledger: what is committed, staged, burnt. Pure. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/ledger.h"

#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"

void ps_page_init(struct ps_page *page, uint32_t worker, uint64_t credit_bytes,
                  struct ps_frame_table frame_table)
{
    memset(page, 0, sizeof *page);
    page->worker = worker;
    page->credit_bytes = credit_bytes;
    page->frame_table = frame_table;
}

static void release_frames(struct ps_page *page, struct ps_open *open)
{
    if (open->staging != NULL) {
        page->frame_table.close(page->frame_table.ctx, open->staging);
        open->staging = NULL;
    }
    if (open->frames == NULL) { return; }
    for (uint32_t i = 0; i < open->header.frame_count; i++) {
        if (open->frames[i] != NULL) {
            page->frame_table.release(page->frame_table.ctx, open->frames[i]);
        }
    }
    ps_free(open->frames);
    open->frames = NULL;
}

/* Bytes that an open push has reserved of the page's credit. */
static uint64_t reserved_bytes(const struct ps_open *open)
{
    return open->header.eager || open->state == PS_OPEN_BURNT ? 0 : open->header.part_bytes;
}

static void open_free(struct ps_page *page, struct ps_open *open)
{
    release_frames(page, open);
    ps_free(open->arrived);
    ps_free(open->refusal);
    ps_free((void *)open->header.touched);
    ps_free((void *)open->header.update.name);
    ps_free((void *)open->header.position.data);
    ps_free(open);
}

static void unlink_at(struct ps_page *page, struct ps_open **place)
{
    struct ps_open *open = *place;
    *place = open->next;
    page->open_count--;
    page->staged_bytes -= reserved_bytes(open);
    open_free(page, open);
}

void ps_page_clean(struct ps_page *page)
{
    if (page == NULL) { return; }
    while (page->open != NULL) { unlink_at(page, &page->open); }
    ps_buf_clean(&page->position);
}

/* Where seq is, or would be linked in. */
static struct ps_open **find_place(struct ps_page *page, uint64_t seq)
{
    struct ps_open **place = &page->open;
    while (*place != NULL && (*place)->seq < seq) { place = &(*place)->next; }
    return place;
}

static void link_in(struct ps_page *page, struct ps_open **place, struct ps_open *open)
{
    open->next = *place;
    *place = open;
    page->open_count++;
    page->staged_bytes += reserved_bytes(open);
}

/* Owned copies of what the header points to. */
static bool copy_header(struct ps_open *open, const struct ps_push_header *from)
{
    struct ps_push_header *header = &open->header;
    *header = *from;
    header->touched = NULL;
    header->update.name = NULL;
    header->position.data = NULL;

    uint32_t *touched = ps_alloc(from->touched_count * sizeof *touched);
    if (touched == NULL) { return false; }
    memcpy(touched, from->touched, from->touched_count * sizeof *touched);
    header->touched = touched;

    header->update.name = ps_strdup(from->update.name);
    if (header->update.name == NULL) { return false; }

    if (from->position.size > 0) {
        uint8_t *position = ps_alloc(from->position.size);
        if (position == NULL) { return false; }
        memcpy(position, from->position.data, from->position.size);
        header->position.data = position;
    }
    return true;
}

static struct ps_open *open_create(struct ps_page *page, uint64_t seq,
                                   const struct ps_push_header *header)
{
    struct ps_open *open = ps_alloc_zero(1, sizeof *open);
    if (open == NULL) { return NULL; }
    open->seq = seq;
    open->state = PS_OPEN_ARRIVING;
    open->frames_missing = header->frame_count;
    open->bytes_missing = header->part_bytes;
    bool complete = copy_header(open, header);
    open->arrived = ps_alloc_zero((header->frame_count + 7u) / 8u, 1);
    if (!header->eager) { open->frames = ps_alloc_zero(header->frame_count, sizeof(void *)); }
    if (!complete || open->arrived == NULL || (!header->eager && open->frames == NULL)) {
        open_free(page, open);
        return NULL;
    }
    return open;
}

enum ps_code ps_page_admit(const struct ps_page *page, uint64_t incarnation, struct ps_error *err)
{
    if (page->incarnation == 0 || incarnation > page->incarnation) {
        return ps_fail(err, PS_ABORTED,
                       "worker %" PRIu32 ", incarnation %" PRIu64
                       " is not attached to this ps task (it knows incarnation %" PRIu64
                       "). Was the ps task restarted? Start the worker again",
                       page->worker, incarnation, page->incarnation);
    }
    if (incarnation < page->incarnation) {
        return ps_fail(err, PS_ABORTED,
                       "worker %" PRIu32 ", incarnation %" PRIu64
                       " is fenced: a younger process took its place (incarnation %" PRIu64
                       "). Stop this one, or give it another --task_index",
                       page->worker, incarnation, page->incarnation);
    }
    if (!page->resolved) {
        return ps_fail(err, PS_FAILED_PRECONDITION,
                       "worker %" PRIu32 " has not resolved what its predecessor left open",
                       page->worker);
    }
    return PS_OK;
}

/* Whether a new push fits the page's window and credit. */
static enum ps_code check_credit(const struct ps_page *page, const struct ps_data_request *request,
                                 struct ps_error *err)
{
    if (request->seq - page->committed > PS_MAX_OPEN_PUSHES) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED,
                       "push %" PRIu64 " is more than %d ahead of the last committed one, %" PRIu64,
                       request->seq, (int)PS_MAX_OPEN_PUSHES, page->committed);
    }
    const struct ps_push_header *header = &request->push;
    if (header->eager) { return PS_OK; }
    if (header->part_bytes > page->credit_bytes ||
        page->staged_bytes > page->credit_bytes - header->part_bytes) {
        return ps_fail(
            err, PS_RESOURCE_EXHAUSTED,
            "push %" PRIu64 " needs %" PRIu64 " bytes of staging memory here; worker %" PRIu32
            " may use %" PRIu64 ", %" PRIu64
            " are taken. Raise --staging_limit of the ps task, or push eagerly",
            request->seq, header->part_bytes, page->worker, page->credit_bytes, page->staged_bytes);
    }
    return PS_OK;
}

static bool same_push(const struct ps_push_header *a, const struct ps_push_header *b)
{
    return a->frame_count == b->frame_count && a->part_bytes == b->part_bytes &&
           a->eager == b->eager && a->update.kind == b->update.kind &&
           a->touched_count == b->touched_count &&
           memcmp(a->touched, b->touched, a->touched_count * sizeof *a->touched) == 0;
}

static bool has_arrived(const struct ps_open *open, uint32_t frame_index)
{
    return (open->arrived[frame_index / 8u] & 1u << (frame_index % 8u)) != 0;
}

/* Refuses the push as err says. If even its number cannot be remembered, the sender still hears
 * the refusal and withdraws it, which burns it. */
static enum ps_offer refuse(struct ps_page *page, uint64_t seq)
{
    (void)(ps_page_burn(page, seq, NULL) == PS_OK);
    return PS_OFFER_REFUSED;
}

enum ps_offer ps_page_offer(struct ps_page *page, const struct ps_data_request *request,
                            struct ps_open **open_out, struct ps_error *err)
{
    *open_out = NULL;
    if (ps_page_admit(page, request->incarnation, err) != PS_OK) { return PS_OFFER_FENCED; }
    if (request->seq <= page->committed) { return PS_OFFER_COMMITTED; }

    struct ps_open **place = find_place(page, request->seq);
    struct ps_open *open = *place != NULL && (*place)->seq == request->seq ? *place : NULL;
    if (open == NULL) {
        if (check_credit(page, request, err) != PS_OK) { return refuse(page, request->seq); }
        open = open_create(page, request->seq, &request->push);
        if (open == NULL) {
            ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to stage push %" PRIu64, request->seq);
            return refuse(page, request->seq);
        }
        link_in(page, place, open);
    }
    if (open->refusal != NULL && err != NULL) { *err = *open->refusal; }
    if (open->state == PS_OPEN_BURNT) { return PS_OFFER_BURNT; }
    if (!same_push(&open->header, &request->push)) {
        ps_fail(err, PS_INVALID_ARGUMENT, "the frames of push %" PRIu64 " contradict each other",
                request->seq);
        return refuse(page, request->seq);
    }
    *open_out = open;
    return has_arrived(open, request->push.frame_index) ? PS_OFFER_DUPLICATE : PS_OFFER_NEW;
}

enum ps_code ps_page_keep(struct ps_page *page, struct ps_open *open, uint32_t frame_index,
                          void *frame_take, uint64_t size_bytes, struct ps_error *err)
{
    PS_ASSERT(open->state == PS_OPEN_ARRIVING && !has_arrived(open, frame_index));
    PS_ASSERT((frame_take == NULL) == open->header.eager);
    bool last = open->frames_missing == 1;
    if (size_bytes > open->bytes_missing || (last && size_bytes != open->bytes_missing)) {
        ps_fail(err, PS_INVALID_ARGUMENT,
                "the frames of push %" PRIu64 " do not add up to the %" PRIu64
                " bytes that its header announced",
                open->seq, open->header.part_bytes);
        if (frame_take != NULL) { page->frame_table.release(page->frame_table.ctx, frame_take); }
        refuse(page, open->seq);
        return PS_INVALID_ARGUMENT;
    }
    if (frame_take != NULL) { open->frames[frame_index] = frame_take; }
    open->arrived[frame_index / 8u] |= (uint8_t)(1u << (frame_index % 8u));
    open->bytes_missing -= size_bytes;
    open->frames_missing--;
    if (open->frames_missing == 0) { open->state = PS_OPEN_STAGED; }
    return PS_OK;
}

enum ps_code ps_page_burn(struct ps_page *page, uint64_t seq, struct ps_error *err)
{
    if (seq <= page->committed) { return PS_OK; }
    if (seq - page->committed > PS_MAX_OPEN_PUSHES) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "push %" PRIu64 " is too far ahead to be burnt",
                       seq);
    }
    struct ps_open **place = find_place(page, seq);
    struct ps_open *open = *place;
    if (open == NULL || open->seq != seq) {
        open = ps_alloc_zero(1, sizeof *open);
        if (open == NULL) {
            return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to burn push %" PRIu64, seq);
        }
        open->seq = seq;
        open->state = PS_OPEN_BURNT;
        link_in(page, place, open);
        return PS_OK;
    }
    page->staged_bytes -= reserved_bytes(open);
    release_frames(page, open);
    open->state = PS_OPEN_BURNT;
    return PS_OK;
}

void ps_page_blame(struct ps_page *page, uint64_t seq, const struct ps_error *why)
{
    struct ps_open *open = *find_place(page, seq);
    if (open == NULL || open->seq != seq || open->state != PS_OPEN_BURNT) { return; }
    if (open->refusal != NULL) { return; }
    open->refusal = ps_alloc(sizeof *open->refusal);
    if (open->refusal != NULL) { *open->refusal = *why; }
}

struct commit_to {
    ps_commit_fn *commit;
    void *ctx;
};

static void adopt_position(struct ps_page *page, struct ps_open *open)
{
    struct ps_span from = open->header.position;
    if (from.size == 0) { return; }
    ps_buf_clean(&page->position);
    page->position = (struct ps_buf){ (uint8_t *)from.data, from.size, from.size };
    open->header.position = (struct ps_span){ NULL, 0 };
}

/* Commits what is staged up to through. Burnt numbers are passed, and forgotten or kept; no task
 * is further behind than the pusher's window, so older ones are forgotten in either case. */
static enum ps_code settle(struct ps_page *page, uint64_t through, bool keep_burnt,
                           const struct commit_to *to, struct ps_error *err)
{
    struct ps_open **place = &page->open;
    while (*place != NULL && (*place)->seq <= through) {
        struct ps_open *open = *place;
        if (open->state == PS_OPEN_ARRIVING) {
            return ps_fail(err, PS_INTERNAL,
                           "worker %" PRIu32 " says that its pushes through %" PRIu64
                           " are decided, but push %" PRIu64 " is not staged here",
                           page->worker, through, open->seq);
        }
        if (open->state == PS_OPEN_STAGED) {
            to->commit(to->ctx, page, open);
            adopt_position(page, open);
        }
        if (open->seq > page->committed) { page->committed = open->seq; }
        bool recent = through - open->seq < PS_MAX_OPEN_PUSHES / 2;
        if (open->state == PS_OPEN_BURNT && keep_burnt && recent) {
            place = &open->next;
        } else {
            unlink_at(page, place);
        }
    }
    if (through > page->committed) { page->committed = through; }
    return PS_OK;
}

enum ps_code ps_page_commit(struct ps_page *page, uint64_t through, ps_commit_fn *commit, void *ctx,
                            struct ps_error *err)
{
    return settle(page, through, false, &(struct commit_to){ commit, ctx }, err);
}

bool ps_page_attach(struct ps_page *page, uint64_t incarnation, uint64_t process)
{
    if (incarnation == page->incarnation) { return incarnation > 0 && process == page->process; }
    if (incarnation < page->incarnation) { return false; }
    page->incarnation = incarnation;
    page->process = process;
    page->resolved = false;
    page->finished = false;
    return true;
}

enum ps_code ps_page_resolve(struct ps_page *page, const struct ps_resolve_request *request,
                             ps_commit_fn *commit, void *ctx, struct ps_error *err)
{
    if (page->incarnation == 0 || request->incarnation != page->incarnation) {
        return ps_fail(err, PS_ABORTED,
                       "worker %" PRIu32 ", incarnation %" PRIu64
                       " cannot resolve: incarnation %" PRIu64 " holds its place",
                       page->worker, request->incarnation, page->incarnation);
    }
    if (page->resolved) { return PS_OK; }
    uint64_t through = request->commit_through;
    if (through < page->committed) {
        return ps_fail(err, PS_INTERNAL,
                       "worker %" PRIu32 " resolves through push %" PRIu64 ", but push %" PRIu64
                       " is committed here",
                       page->worker, through, page->committed);
    }
    enum ps_code rc = PS_OK;
    for (size_t i = 0; i < request->burnt_count; i++) {
        PS_TRY(done, rc, ps_page_burn(page, request->burnt[i], err));
    }
    /* Other tasks may not have resolved yet. If this process dies before they have, its successor
     * must still find here what is burnt, or it would commit there what was passed here. */
    PS_TRY(done, rc, settle(page, through, true, &(struct commit_to){ commit, ctx }, err));
    struct ps_open **above = find_place(page, through + 1);
    while (*above != NULL) { unlink_at(page, above); }
    page->resolved = true;
done:
    return rc;
}
