/* The unary methods of a ps task. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/control.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "proto/codec.h"
#include "proto/definition.h"
#include "server/directory.h"
#include "server/push.h"
#include "server/store.h"
#include "server/variable.h"
#include "server/workers.h"

/* One call: its request decoded into arena, its reply encoded into out. */
struct call {
    struct ps_service *service;
    struct ps_span request;
    struct ps_arena arena;
    struct ps_outgoing *out;
};

static int64_t now_ms(void)
{
    return ps_clock_now_ms(ps_clock_monotonic());
}

static enum ps_code hello(struct call *call, struct ps_error *err)
{
    struct ps_service *service = call->service;
    struct ps_hello_request request;
    enum ps_code rc = ps_decode_hello_request(call->request, &call->arena, &request, err);
    if (rc != PS_OK) { return rc; }
    ps_log(PS_LOG_DEBUG, "control", "hello from %s %" PRId32 ", version %s (protocol %" PRIu32 ")",
           request.job_name, request.task_index, request.version, request.protocol);
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

static enum ps_code declare(struct call *call, struct ps_error *err)
{
    struct ps_service *service = call->service;
    struct ps_declare_request request;
    struct ps_declare_reply reply = { 0 };
    enum ps_code rc;
    PS_TRY(done, rc, ps_decode_declare_request(call->request, &call->arena, &request, err));
    PS_TRY(done, rc, ps_service_admit(service, &request.header, err));
    if (service->directory == NULL) {
        return ps_fail(err, PS_FAILED_PRECONDITION, "ps/%" PRIu32 " places no variables: ask ps/0",
                       service->task_index);
    }
    PS_TRY(done, rc, ps_directory_declare(service->directory, &request, &reply, err));
    rc = ps_encode_declare_reply(&reply, &call->out->head, err);
done:
    return rc;
}

static void log_created(const struct ps_create_request *request)
{
    char text[PS_DEFINITION_TEXT_BYTES];
    const struct ps_rows *rows = &request->slices[request->slice_index].rows;
    ps_definition_format(&request->definition, text, sizeof text);
    if (request->slice_count == 1) {
        ps_log(PS_LOG_INFO, "store", "created '%s' %s", request->definition.name, text);
    } else {
        ps_log(PS_LOG_INFO, "store", "created rows %" PRId64 " to %" PRId64 " of '%s' %s",
               rows->start, rows->start + rows->count, request->definition.name, text);
    }
}

static enum ps_code create(struct call *call, struct ps_error *err)
{
    struct ps_service *service = call->service;
    struct ps_create_request request;
    struct ps_create_reply reply = { 0 };
    struct ps_variable *variable;
    enum ps_code rc;
    PS_TRY(done, rc, ps_decode_create_request(call->request, &call->arena, &request, err));
    PS_TRY(done, rc, ps_service_admit(service, &request.header, err));
    if (request.slices[request.slice_index].task != service->task_index) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "slice %" PRIu32 " of '%s' lives on ps/%" PRIu32 ", not here on ps/%" PRIu32,
                       request.slice_index, request.definition.name,
                       request.slices[request.slice_index].task, service->task_index);
    }
    PS_TRY(done, rc,
           ps_store_create_variable(service->store, &request, &variable, &reply.created, err));
    if (reply.created) { log_created(&request); }
    reply.handle = variable->handle;
    reply.initialized = ps_variable_state(variable).initialized;
    rc = ps_encode_create_reply(&reply, &call->out->head, err);
done:
    return rc;
}

static enum ps_code initialize(struct call *call, struct ps_error *err)
{
    struct ps_initialize_request request;
    struct ps_initialize_reply reply = { 0 };
    enum ps_code rc;
    PS_TRY(done, rc, ps_decode_initialize_request(call->request, &call->arena, &request, err));
    PS_TRY(done, rc, ps_service_admit(call->service, &request.header, err));
    PS_TRY(done, rc,
           ps_store_initialize(call->service->store, &request, &reply.initialized_count, err));
    rc = ps_encode_initialize_reply(&reply, &call->out->head, err);
done:
    return rc;
}

/* ---- List ---- */

static enum ps_code describe(struct call *call, struct ps_variable *variable,
                             struct ps_variable_info *info_out, struct ps_error *err)
{
    const char **slots = ps_arena_alloc(&call->arena, PS_MAX_SLOTS * sizeof *slots);
    if (slots == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a list"); }
    ps_variable_describe(variable, info_out, slots);
    return PS_OK;
}

static enum ps_code list_all(struct call *call, struct ps_list_reply *reply, struct ps_error *err)
{
    struct ps_store *store = call->service->store;
    uint32_t count = ps_store_count(store);
    struct ps_variable_info *infos = ps_arena_alloc(&call->arena, (count + 1u) * sizeof *infos);
    if (infos == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a list"); }
    enum ps_code rc = PS_OK;
    for (uint32_t i = 0; i < count && rc == PS_OK; i++) {
        rc = describe(call, ps_store_at(store, i), &infos[i], err);
    }
    *reply = (struct ps_list_reply){ infos, count };
    return rc;
}

static enum ps_code list_one(struct call *call, const char *name, struct ps_list_reply *reply,
                             struct ps_error *err)
{
    struct ps_store *store = call->service->store;
    size_t count = 0;
    for (struct ps_variable *v = ps_store_find(store, name); v != NULL;
         v = ps_store_next_slice(store, v)) {
        count++;
    }
    struct ps_variable_info *infos = ps_arena_alloc(&call->arena, (count + 1) * sizeof *infos);
    if (infos == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a list"); }
    enum ps_code rc = PS_OK;
    size_t used = 0;
    for (struct ps_variable *v = ps_store_find(store, name); v != NULL && used < count;
         v = ps_store_next_slice(store, v)) {
        if (rc == PS_OK) { rc = describe(call, v, &infos[used++], err); }
    }
    *reply = (struct ps_list_reply){ infos, used };
    return rc;
}

static enum ps_code list(struct call *call, struct ps_error *err)
{
    struct ps_list_request request;
    struct ps_list_reply reply;
    enum ps_code rc;
    PS_TRY(done, rc, ps_decode_list_request(call->request, &call->arena, &request, err));
    PS_TRY(done, rc, ps_service_admit(call->service, &request.header, err));
    if (request.name[0] != '\0') {
        PS_TRY(done, rc, list_one(call, request.name, &reply, err));
    } else {
        PS_TRY(done, rc, list_all(call, &reply, err));
    }
    rc = ps_encode_list_reply(&reply, &call->out->head, err);
done:
    return rc;
}

/* ---- Status ---- */

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

static enum ps_code status(struct call *call, struct ps_error *err)
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

/* ---- Read ---- */

static enum ps_code read_variable(struct call *call, struct ps_error *err)
{
    struct ps_service *service = call->service;
    struct ps_read_request request;
    struct ps_variable *variable;
    struct ps_buf bytes = { NULL, 0, 0 };
    struct ps_read_reply reply = { .step = atomic_load(&service->step) };
    enum ps_code rc;
    PS_TRY(fail, rc, ps_decode_read_request(call->request, &call->arena, &request, err));
    PS_TRY(fail, rc, ps_service_admit(service, &request.header, err));
    PS_TRY(fail, rc, ps_store_get(service->store, request.handle, &variable, err));
    PS_TRY(fail, rc,
           ps_variable_read(variable, PS_PLANE_VALUE, request.offset, &bytes, (size_t)request.size,
                            err));
    PS_TRY(fail, rc, ps_encode_read_reply(&reply, &call->out->head, err));
    call->out->data = bytes.data;
    call->out->data_size = bytes.size;
    call->out->release = ps_free;
    call->out->owner = bytes.data;
    return PS_OK;
fail:
    ps_buf_clean(&bytes);
    return rc;
}

/* ---- Workers come and go ---- */

static enum ps_code describe_page(struct call *call, const struct ps_page *page,
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

static enum ps_code attach(struct call *call, struct ps_error *err)
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

static enum ps_code resolve(struct call *call, struct ps_error *err)
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

static enum ps_code finish(struct call *call, struct ps_error *err)
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

typedef enum ps_code method_fn(struct call *call, struct ps_error *err);

static method_fn *const methods[PS_METHOD_COUNT] = {
    [PS_METHOD_HELLO] = hello,        [PS_METHOD_DECLARE] = declare,
    [PS_METHOD_CREATE] = create,      [PS_METHOD_INITIALIZE] = initialize,
    [PS_METHOD_LIST] = list,          [PS_METHOD_STATUS] = status,
    [PS_METHOD_READ] = read_variable, [PS_METHOD_ATTACH] = attach,
    [PS_METHOD_RESOLVE] = resolve,    [PS_METHOD_FINISH] = finish,
};

enum ps_code ps_control_call(struct ps_service *service, enum ps_method method,
                             const struct ps_incoming *request, struct ps_outgoing *reply,
                             struct ps_error *err)
{
    struct call call = { .service = service, .request = request->head, .out = reply };
    enum ps_code rc = methods[method](&call, err);
    ps_arena_clean(&call.arena);
    if (rc != PS_OK) { ps_outgoing_clean(reply); }
    return rc;
}
