/* Unary methods by which workers come and go. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "core/clock.h"
#include "core/log.h"
#include "server/control_priv.h"
#include "server/push.h"
#include "server/workers.h"

static int64_t now_ms(void)
{
    return ps_clock_now_ms(ps_clock_monotonic());
}

static enum ps_code describe_page(struct psi_call *call, const struct ps_page *page,
                                  struct ps_attach_reply *reply, struct ps_error *err)
{
    struct ps_open_push *pushes = ps_arena_alloc(&call->arena,
                                                 (page->open_count + 1u) * sizeof *pushes);
    if (pushes == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory"); }
    size_t count = 0;
    for (const struct ps_open *open = page->open; open != NULL; open = open->next) {
        pushes[count++] = (struct ps_open_push){
            .seq = open->seq,
            .complete = open->state == PS_OPEN_STAGED,
            .eager = open->header.eager,
            .burnt = open->state == PS_OPEN_BURNT,
            .touched = open->header.touched,
            .touched_count = open->header.touched_count,
        };
    }
    reply->incarnation = page->incarnation;
    reply->committed = page->committed;
    reply->open = pushes;
    reply->open_count = count;
    reply->position = (struct ps_span){ page->position.data, page->position.size };
    reply->credit_bytes = page->credit_bytes;
    reply->credit_count = PS_MAX_OPEN_PUSHES;
    return PS_OK;
}

static struct ps_worker_row *find_row(struct ps_service *service, uint32_t worker,
                                      struct ps_error *err)
{
    struct ps_worker_row *row = NULL;
    if (worker != PS_NO_WORKER) { row = ps_workers_row(service->workers, worker, true); }
    if (row == NULL) {
        ps_fail(err, worker == PS_NO_WORKER ? PS_INVALID_ARGUMENT : PS_RESOURCE_EXHAUSTED,
                "no place for worker %" PRIu32, worker);
    }
    return row;
}

enum ps_code psi_control_attach(struct psi_call *call, struct ps_error *err)
{
    struct ps_service *service = call->service;
    struct ps_attach_request request;
    struct ps_attach_reply reply = { .step = atomic_load(&service->step) };
    enum ps_code rc;
    PS_TRY(done, rc, ps_decode_attach_request(call->request, &call->arena, &request, err));
    PS_TRY(done, rc, ps_service_admit(service, &request.header, err));
    struct ps_worker_row *row = find_row(service, request.worker, err);
    if (row == NULL) { return err->code; }
    ps_mutex_lock(&row->lock);
    row->heard_ms = now_ms();
    atomic_store(&service->heard_ms, row->heard_ms);
    bool younger = request.incarnation > row->page.incarnation;
    reply.accepted = request.incarnation > 0 &&
                     ps_page_attach(&row->page, request.incarnation, request.process);
    rc = describe_page(call, &row->page, &reply, err);
    if (rc == PS_OK) { rc = ps_encode_attach_reply(&reply, &call->out->head, err); }
    ps_mutex_unlock(&row->lock);
    if (reply.accepted && younger) {
        ps_log(PS_LOG_INFO, "workers", "worker %" PRIu32 " attached, incarnation %" PRIu64,
               request.worker, request.incarnation);
    }
done:
    return rc;
}

enum ps_code psi_control_resolve(struct psi_call *call, struct ps_error *err)
{
    struct ps_service *service = call->service;
    struct ps_resolve_request request;
    struct ps_resolve_reply reply;
    enum ps_code rc;
    PS_TRY(done, rc, ps_decode_resolve_request(call->request, &call->arena, &request, err));
    PS_TRY(done, rc, ps_service_admit(service, &request.header, err));
    struct ps_worker_row *row = find_row(service, request.worker, err);
    if (row == NULL) { return err->code; }
    ps_mutex_lock(&row->lock);
    uint64_t before = row->page.committed;
    rc = ps_push_resolve(service, row, &request, err);
    reply.committed = row->page.committed;
    ps_mutex_unlock(&row->lock);
    if (rc != PS_OK) { return rc; }
    if (reply.committed > before) {
        ps_log(PS_LOG_INFO, "workers",
               "worker %" PRIu32 ": pushes %" PRIu64 " to %" PRIu64
               " of an earlier process were staged everywhere; committed",
               request.worker, before + 1, reply.committed);
    }
    rc = ps_encode_resolve_reply(&reply, &call->out->head, err);
done:
    return rc;
}

struct finished_count {
    uint32_t all;
    uint32_t finished;
};

static void count_finished(void *ctx, struct ps_worker_row *row)
{
    struct finished_count *count = ctx;
    if (row->page.incarnation == 0) { return; }
    count->all++;
    count->finished += row->page.finished;
}

enum ps_code psi_control_finish(struct psi_call *call, struct ps_error *err)
{
    struct ps_service *service = call->service;
    struct ps_finish_request request;
    enum ps_code rc;
    PS_TRY(done, rc, ps_decode_finish_request(call->request, &call->arena, &request, err));
    PS_TRY(done, rc, ps_service_admit(service, &request.header, err));
    struct ps_worker_row *row = find_row(service, request.worker, err);
    if (row == NULL) { return err->code; }
    ps_mutex_lock(&row->lock);
    rc = ps_page_admit(&row->page, request.incarnation, err);
    if (rc == PS_OK) { row->page.finished = true; }
    ps_mutex_unlock(&row->lock);
    if (rc != PS_OK) { return rc; }

    struct finished_count count = { 0, 0 };
    ps_workers_visit(service->workers, count_finished, &count);
    uint32_t expected = service->worker_count > 0 ? service->worker_count : count.all;
    struct ps_finish_reply reply = { count.finished, expected };
    ps_log(PS_LOG_INFO, "workers", "worker %" PRIu32 " has finished (%" PRIu32 " of %" PRIu32 ")",
           request.worker, count.finished, expected);
    rc = ps_encode_finish_reply(&reply, &call->out->head, err);
    if (rc == PS_OK && count.finished >= expected) { service->complete(service->complete_ctx); }
done:
    return rc;
}
