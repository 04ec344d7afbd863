/* Pushes as a ps task answers them: staged, committed by notice, withdrawn. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/push.h"

#include <inttypes.h>

#include "server/staging.h"
#include "server/workers.h"

/* ---- What the ledger holds for us ---- */

static void release_frame(void *ctx, void *frame)
{
    (void)ctx;
    ps_payload_release(frame);
}

static void close_staging(void *ctx, void *staging)
{
    (void)ctx;
    ps_staging_destroy(staging);
}

struct ps_frame_table ps_push_frame_table(struct ps_service *service)
{
    return (struct ps_frame_table){ service, release_frame, close_staging };
}

/* A frame without bytes (a push that touches this task only to be counted). */
static struct ps_payload *no_bytes(void)
{
    return ps_payload_copy("", 0);
}

/* ---- Commit ---- */

/* Each training step takes its own powers, so that no two steps are corrected alike. */
static struct ps_beta_powers claim_step(struct ps_service *service, const struct ps_update *update)
{
    ps_mutex_lock(&service->claim_lock);
    struct ps_beta_powers powers = ps_optimizer_state_powers(service->optimizers, update);
    ps_optimizer_state_advance(service->optimizers, update);
    ps_mutex_unlock(&service->claim_lock);
    return powers;
}

/* 0, 1, 2-3, 4-7, 8-15, ... */
static int staleness_bucket(uint64_t staleness)
{
    int bucket = 0;
    while (staleness > 0 && bucket < PS_STALENESS_BUCKETS - 1) {
        staleness >>= 1;
        bucket++;
    }
    return bucket;
}

static void count_step(struct ps_service *service, struct ps_worker_row *row,
                       const struct ps_push_header *header)
{
    int64_t before = atomic_fetch_add(&service->step, 1);
    int64_t behind = before - header->base_step;
    uint64_t staleness = behind > 0 ? (uint64_t)behind : 0;
    if (row != NULL) { row->staleness = staleness; }
    atomic_fetch_add(&service->counters.staleness[staleness_bucket(staleness)], 1);
}

struct commit {
    struct ps_service *service;
    struct ps_worker_row *row;
};

/* Everything that could fail was done when the push was staged. */
static void commit_push(void *ctx, const struct ps_page *page, const struct ps_open *open)
{
    (void)page;
    struct commit *commit = ctx;
    struct ps_service *service = commit->service;
    const struct ps_push_header *header = &open->header;
    if (!header->eager) {
        struct ps_beta_powers powers = claim_step(service, &header->update);
        ps_staging_commit(open->staging, &powers);
    }
    if (ps_update_is_step(header->update.kind)) { count_step(service, commit->row, header); }
    atomic_fetch_add(&service->counters.pushes, 1);
}

static enum ps_code commit_through(struct ps_service *service, struct ps_push_target target,
                                   uint64_t through, struct ps_error *err)
{
    struct commit commit = { service, target.row };
    return ps_page_commit(target.page, through, commit_push, &commit, err);
}

enum ps_code ps_push_resolve(struct ps_service *service, struct ps_worker_row *row,
                             const struct ps_resolve_request *request, struct ps_error *err)
{
    struct commit commit = { service, row };
    uint64_t before = row->page.staged_bytes;
    enum ps_code rc = ps_page_resolve(&row->page, request, commit_push, &commit, err);
    atomic_fetch_sub(&service->staged_bytes, before - row->page.staged_bytes);
    return rc;
}

/* ---- Staging ---- */

static enum ps_code check_sum(const struct ps_data_request *request,
                              const struct ps_payload *payload, struct ps_error *err)
{
    if (!request->has_crc32c) { return PS_OK; }
    uint32_t crc = 0;
    for (size_t i = 0; payload != NULL && i < payload->span_count; i++) {
        crc = ps_crc32c(crc, payload->spans[i].data, payload->spans[i].size);
    }
    if (crc == request->crc32c) { return PS_OK; }
    return ps_fail(err, PS_DATA_LOSS,
                   "checksum of a frame of push %" PRIu64 " does not match: sent %08" PRIx32
                   ", received %08" PRIx32,
                   request->seq, request->crc32c, crc);
}

/* The staging of a push: made with its first frame. Eager ones claim their step then. */
static enum ps_code open_staging(struct ps_service *service, const struct ps_data_request *request,
                                 struct ps_open *open, struct ps_error *err)
{
    if (open->staging != NULL) { return PS_OK; }
    enum ps_code rc = ps_optimizer_state_prepare(service->optimizers, &open->header.update, err);
    if (rc != PS_OK) { return rc; }
    struct ps_update_origin origin = { request->worker, request->seq };
    open->staging = ps_staging_create(service->store, &open->header.update, origin);
    if (open->staging == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to stage push %" PRIu64,
                       request->seq);
    }
    if (open->header.eager) {
        struct ps_beta_powers powers = claim_step(service, &open->header.update);
        ps_staging_set_powers(open->staging, &powers);
    }
    return PS_OK;
}

/* Checks a new frame, then applies or keeps it. On failure the push is to be refused. */
static enum ps_code take_frame(struct ps_service *service, struct ps_page *page,
                               struct ps_open *open, const struct ps_data_request *request,
                               struct ps_payload *payload, struct ps_error *err)
{
    uint64_t size = payload != NULL ? payload->size : 0;
    enum ps_code rc;
    PS_TRY(done, rc, check_sum(request, payload, err));
    PS_TRY(done, rc, open_staging(service, request, open, err));
    PS_TRY(done, rc,
           ps_staging_check(open->staging, request->pieces, request->piece_count, payload, err));
    struct ps_payload *kept = NULL;
    if (open->header.eager) {
        ps_staging_apply(open->staging, request->pieces, request->piece_count, payload);
    } else {
        kept = payload != NULL ? ps_payload_acquire(payload) : no_bytes();
        if (kept == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a frame"); }
        rc = ps_staging_keep(open->staging, request->pieces, request->piece_count, kept, err);
        if (rc != PS_OK) {
            ps_payload_release(kept);
            return rc;
        }
    }
    PS_TRY(done, rc, ps_page_keep(page, open, request->push.frame_index, kept, size, err));
    if (open->header.eager && open->state == PS_OPEN_STAGED) {
        rc = ps_staging_finish(open->staging, err);
    }
done:
    return rc;
}

static struct ps_push_answer refuse(struct ps_service *service, struct ps_page *page, uint64_t seq,
                                    const struct ps_error *err)
{
    (void)(ps_page_burn(page, seq, NULL) == PS_OK);
    ps_page_blame(page, seq, err);
    atomic_fetch_add(&service->counters.refused, 1);
    return (struct ps_push_answer){ true, PS_REPLY_REFUSED, err->code };
}

static struct ps_push_answer staged_or_silent(const struct ps_open *open)
{
    bool staged = open->state == PS_OPEN_STAGED;
    return (struct ps_push_answer){ .replies = staged, .kind = PS_REPLY_STAGED };
}

/* A tool's push is committed as soon as it is complete. */
static struct ps_push_answer finish_tool_push(struct ps_service *service,
                                              struct ps_push_target target,
                                              const struct ps_open *open, struct ps_error *err)
{
    struct ps_push_answer answer = staged_or_silent(open);
    if (answer.replies && commit_through(service, target, open->seq, err) != PS_OK) {
        return (struct ps_push_answer){ true, PS_REPLY_FENCED, err->code };
    }
    return answer;
}

static bool exceeds_limit(const struct ps_service *service, const struct ps_data_request *request,
                          struct ps_error *err)
{
    uint64_t used = atomic_load(&service->staged_bytes);
    uint64_t limit = service->staged_limit_bytes;
    const struct ps_push_header *header = &request->push;
    if (header->eager || (used <= limit && header->part_bytes <= limit - used)) { return false; }
    ps_fail(err, PS_RESOURCE_EXHAUSTED,
            "ps/%" PRIu32 " has %" PRIu64 " of %" PRIu64
            " bytes for staged pushes in use; push %" PRIu64 " needs %" PRIu64
            ". Raise --staging_limit, or push eagerly",
            service->task_index, used, limit, request->seq, header->part_bytes);
    return true;
}

static struct ps_push_answer stage(struct ps_service *service, struct ps_push_target target,
                                   const struct ps_data_request *request,
                                   struct ps_payload *payload, struct ps_error *err)
{
    struct ps_page *page = target.page;
    struct ps_open *open;
    enum ps_offer offer = ps_page_offer(page, request, &open, err);
    bool first = offer == PS_OFFER_NEW && open->staging == NULL;
    switch (offer) {
    case PS_OFFER_FENCED: return (struct ps_push_answer){ true, PS_REPLY_FENCED, err->code };
    case PS_OFFER_REFUSED: return refuse(service, page, request->seq, err);
    case PS_OFFER_BURNT: /* a late frame, or the refusal was lost on its way */
        if (err->code == PS_OK) {
            ps_fail(err, PS_FAILED_PRECONDITION, "push %" PRIu64 " was withdrawn before",
                    request->seq);
        }
        return (struct ps_push_answer){ true, PS_REPLY_REFUSED, err->code };
    case PS_OFFER_COMMITTED:
        atomic_fetch_add(&service->counters.duplicates, 1);
        return (struct ps_push_answer){ true, PS_REPLY_STAGED, PS_OK };
    case PS_OFFER_DUPLICATE:
        atomic_fetch_add(&service->counters.duplicates, 1);
        return staged_or_silent(open);
    case PS_OFFER_NEW: break;
    }
    bool refused = (first && exceeds_limit(service, request, err)) ||
                   take_frame(service, page, open, request, payload, err) != PS_OK;
    if (refused) { return refuse(service, page, request->seq, err); }
    if (target.row == NULL) { return finish_tool_push(service, target, open, err); }
    return staged_or_silent(open);
}

/* A tool is no worker: its pushes are numbered by the stream, and count for nothing. */
static bool prepare_tool_push(const struct ps_page *page, struct ps_data_request *request,
                              struct ps_error *err)
{
    if (request->push.update.kind >= PS_UPDATE_SGD) {
        ps_fail(err, PS_FAILED_PRECONDITION,
                "only an attached worker may push to an optimizer; a tool may assign");
        return false;
    }
    if (request->seq == 0) { request->seq = page->committed + 1; }
    request->incarnation = page->incarnation;
    request->commit_through = page->committed;
    return true;
}

static struct ps_push_answer withdraw(struct ps_page *page, const struct ps_data_request *request,
                                      struct ps_error *err)
{
    if (ps_page_admit(page, request->incarnation, err) != PS_OK ||
        ps_page_burn(page, request->seq, err) != PS_OK) {
        return (struct ps_push_answer){ true, PS_REPLY_FENCED, err->code };
    }
    return (struct ps_push_answer){ true, PS_REPLY_WITHDRAWN, PS_OK };
}

static struct ps_push_answer handle(struct ps_service *service, struct ps_push_target target,
                                    struct ps_data_request *request, struct ps_payload *payload,
                                    struct ps_error *err)
{
    struct ps_push_answer fenced = { true, PS_REPLY_FENCED, PS_OK };
    if (target.row == NULL && request->kind == PS_REQUEST_PUSH &&
        !prepare_tool_push(target.page, request, err)) {
        fenced.code = err->code;
        return fenced;
    }
    bool notice = request->commit_through > target.page->committed;
    if (notice || request->kind == PS_REQUEST_NOTICE) {
        enum ps_code rc = ps_page_admit(target.page, request->incarnation, err);
        if (rc == PS_OK) { rc = commit_through(service, target, request->commit_through, err); }
        fenced.code = rc;
        if (rc != PS_OK) { return fenced; }
    }
    switch (request->kind) {
    case PS_REQUEST_PUSH: return stage(service, target, request, payload, err);
    case PS_REQUEST_WITHDRAW: return withdraw(target.page, request, err);
    case PS_REQUEST_NOTICE: return (struct ps_push_answer){ true, PS_REPLY_NOTED, PS_OK };
    case PS_REQUEST_PULL: break;
    }
    return (struct ps_push_answer){ .replies = false };
}

struct ps_push_answer ps_push_handle(struct ps_service *service, struct ps_push_target target,
                                     const struct ps_data_request *request,
                                     struct ps_payload *payload, struct ps_error *err)
{
    struct ps_data_request own = *request;
    uint64_t before = target.page->staged_bytes;
    struct ps_push_answer answer = handle(service, target, &own, payload, err);
    atomic_fetch_add(&service->staged_bytes, target.page->staged_bytes - before);
    return answer;
}
