/* Unary methods that tell what this ps task is and how it fares. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "server/checkpointer.h"
#include "server/control_priv.h"
#include "server/peers.h"
#include "server/store.h"
#include "server/workers.h"

static int64_t now_ms(void)
{
    return ps_clock_now_ms(ps_clock_monotonic());
}

enum ps_code psi_control_hello(struct psi_call *call, struct ps_error *err)
{
    struct ps_service *service = call->service;
    struct ps_hello_request request;
    enum ps_code rc = ps_decode_hello_request(call->request, &call->arena, &request, err);
    if (rc != PS_OK) { return rc; }
    ps_log(PS_LOG_DEBUG, "control", "hello from %s %" PRId32 ", version %s (protocol %" PRIu32 ")",
           request.job_name, request.task_index, request.version, request.protocol);
    bool has_moved = request.address[0] != '\0' && request.task_index > 0;
    if (has_moved && service->checkpointer->peers != NULL) {
        ps_peers_move(service->checkpointer->peers, (uint32_t)request.task_index, request.address);
    }
    struct ps_hello_reply reply = {
        .protocol = PS_PROTOCOL,
        .version = PS_VERSION,
        .header = { atomic_load(&service->job), atomic_load(&service->generation) },
        .task_index = service->task_index,
        .ps_count = service->ps_count,
        .worker_count = service->worker_count,
        .state = (enum ps_task_state)atomic_load(&service->state),
        .boot = service->boot,
        .chunk_bytes = PS_CHUNK_BYTES,
    };
    return ps_encode_hello_reply(&reply, &call->out->head, err);
}

struct worker_list {
    struct ps_worker_info *infos;
    size_t count;
    size_t capacity;
    int64_t now_ms;
};

static void count_row(void *ctx, struct ps_worker_row *row)
{
    (void)row;
    ((struct worker_list *)ctx)->capacity++;
}

static void describe_row(void *ctx, struct ps_worker_row *row)
{
    struct worker_list *workers = ctx;
    if (workers->count == workers->capacity) { return; }
    const struct ps_page *page = &row->page;
    workers->infos[workers->count++] = (struct ps_worker_info){
        .index = row->index,
        .incarnation = page->incarnation,
        .committed = page->committed,
        .open_count = page->open_count,
        .staged_bytes = page->staged_bytes,
        .state = page->finished ? PS_WORKER_FINISHED : PS_WORKER_ACTIVE,
        .silent_ms = (uint64_t)(workers->now_ms - row->heard_ms),
    };
}

static uint64_t resident_bytes(void)
{
    unsigned long long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) { return 0; }
    if (fscanf(file, "%llu %llu", &pages, &resident) != 2) { resident = 0; }
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void fill_counters(const struct ps_service *service, struct ps_status_reply *reply)
{
    const struct ps_counters *counters = &service->counters;
    reply->pull_count = atomic_load(&counters->pulls);
    reply->push_count = atomic_load(&counters->pushes);
    reply->refused_count = atomic_load(&counters->refused);
    reply->duplicate_count = atomic_load(&counters->duplicates);
    reply->received_bytes = atomic_load(&counters->received_bytes);
    reply->sent_bytes = atomic_load(&counters->sent_bytes);
    for (int i = 0; i < PS_STALENESS_BUCKETS; i++) {
        reply->staleness[i] = atomic_load(&counters->staleness[i]);
    }
}

enum ps_code psi_control_status(struct psi_call *call, struct ps_error *err)
{
    struct ps_service *service = call->service;
    struct ps_store_totals totals = ps_store_totals(service->store);
    struct worker_list workers = { .now_ms = now_ms() };
    ps_workers_visit(service->workers, count_row, &workers);
    workers.infos = ps_arena_alloc(&call->arena, (workers.capacity + 1) * sizeof *workers.infos);
    if (workers.infos == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory"); }
    ps_workers_visit(service->workers, describe_row, &workers);
    struct ps_status_reply reply = {
        .header = { atomic_load(&service->job), atomic_load(&service->generation) },
        .task_index = service->task_index,
        .state = (enum ps_task_state)atomic_load(&service->state),
        .uptime_ms = (uint64_t)(now_ms() - service->started_ms),
        .step = atomic_load(&service->step),
        .variable_count = totals.variable_count,
        .variable_bytes = totals.variable_bytes,
        .slot_bytes = totals.slot_bytes,
        .staged_bytes = atomic_load(&service->staged_bytes),
        .staged_limit_bytes = service->staged_limit_bytes,
        .pool_bytes = totals.pool_bytes,
        .workers = workers.infos,
        .worker_count = workers.count,
        .version = PS_VERSION,
        .resident_bytes = resident_bytes(),
    };
    fill_counters(service, &reply);
    return ps_encode_status_reply(&reply, &call->out->head, err);
}
