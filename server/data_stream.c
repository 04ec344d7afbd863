/* The server's end of a data stream: requests in, acknowledgements and pulled frames out. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/data_stream.h"

#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "proto/codec.h"
#include "server/pull.h"
#include "server/push.h"
#include "server/workers.h"

/* A peer that asks for this much without reading the answers is cut off: queues stay bounded. */
enum { MOST_QUEUED_REPLIES = 8192, MOST_QUEUED_PULLS = 1024 };

struct queued_reply {
    struct queued_reply *next;
    struct ps_buf head;
};

struct data_stream {
    struct ps_service *service;
    struct ps_stream *stream;
    struct ps_arena arena;    /* of requests; used by consume alone */
    struct ps_page tool_page; /* for requests of tools, which are no workers; consume alone */
    struct ps_mutex lock;     /* PS_RANK_STREAM: the queues */
    struct queued_reply *replies;
    struct queued_reply **last_reply;
    struct ps_pull *pulls;
    struct ps_pull **last_pull;
    int reply_count;
    int pull_count;
    bool ending;
    /* what every reply tells, of the worker that spoke last; guarded by lock */
    uint64_t committed;
    uint64_t staleness;
    uint64_t credit_bytes;
};

/* ---- Output ---- */

static void start_reply(struct data_stream *stream, struct ps_data_reply *reply)
{
    memset(reply, 0, sizeof *reply);
    reply->message = "";
    reply->generation = atomic_load(&stream->service->generation);
    reply->step = atomic_load(&stream->service->step);
    ps_mutex_lock(&stream->lock);
    reply->committed = stream->committed;
    reply->staleness = stream->staleness;
    reply->credit_bytes = stream->credit_bytes;
    ps_mutex_unlock(&stream->lock);
}

static void end_stream(struct data_stream *stream, enum ps_code code, const char *message)
{
    ps_mutex_lock(&stream->lock);
    stream->ending = true;
    ps_mutex_unlock(&stream->lock);
    ps_stream_end(stream->stream, code, message);
}

static void queue_reply(struct data_stream *stream, const struct ps_data_reply *reply)
{
    struct queued_reply *queued = ps_alloc_zero(1, sizeof *queued);
    struct ps_error err = PS_ERROR_INIT;
    if (queued == NULL || ps_encode_data_reply(reply, &queued->head, &err) != PS_OK) {
        ps_free(queued);
        end_stream(stream, PS_RESOURCE_EXHAUSTED, "no memory for a reply");
        return;
    }
    ps_mutex_lock(&stream->lock);
    *stream->last_reply = queued;
    stream->last_reply = &queued->next;
    bool flooded = ++stream->reply_count > MOST_QUEUED_REPLIES;
    ps_mutex_unlock(&stream->lock);
    if (flooded) { end_stream(stream, PS_RESOURCE_EXHAUSTED, "too many replies wait to be read"); }
}

static void queue_pull(struct data_stream *stream, struct ps_pull *pull)
{
    ps_mutex_lock(&stream->lock);
    *stream->last_pull = pull;
    stream->last_pull = &pull->next;
    bool flooded = ++stream->pull_count > MOST_QUEUED_PULLS;
    ps_mutex_unlock(&stream->lock);
    if (flooded) { end_stream(stream, PS_RESOURCE_EXHAUSTED, "too many pulls wait to be read"); }
}

static bool take_reply(struct data_stream *stream, struct ps_outgoing *out)
{
    ps_mutex_lock(&stream->lock);
    struct queued_reply *queued = stream->replies;
    if (queued != NULL) {
        stream->replies = queued->next;
        if (stream->replies == NULL) { stream->last_reply = &stream->replies; }
        stream->reply_count--;
    }
    ps_mutex_unlock(&stream->lock);
    if (queued == NULL) { return false; }
    out->head = queued->head;
    ps_free(queued);
    return true;
}

static void drop_first_pull(struct data_stream *stream)
{
    ps_mutex_lock(&stream->lock);
    struct ps_pull *pull = stream->pulls;
    stream->pulls = pull->next;
    if (stream->pulls == NULL) { stream->last_pull = &stream->pulls; }
    stream->pull_count--;
    ps_mutex_unlock(&stream->lock);
    ps_pull_destroy(pull);
}

static void fail_pull(struct data_stream *stream, uint64_t seq, const struct ps_error *err)
{
    struct ps_data_reply reply;
    start_reply(stream, &reply);
    reply.kind = PS_REPLY_PULL_FAILED;
    reply.seq = seq;
    reply.code = err->code;
    reply.message = err->message;
    queue_reply(stream, &reply);
}

/* A frame of the oldest pull. */
static bool take_pull_frame(struct data_stream *stream, struct ps_outgoing *out)
{
    struct ps_service *service = stream->service;
    for (;;) {
        ps_mutex_lock(&stream->lock);
        struct ps_pull *pull = stream->ending ? NULL : stream->pulls;
        ps_mutex_unlock(&stream->lock);
        if (pull == NULL) { return false; }
        struct ps_data_reply reply;
        struct ps_error err = PS_ERROR_INIT;
        start_reply(stream, &reply);
        bool made = ps_pull_next(service, pull, &reply, out, &err) == PS_OK;
        if (!made) { fail_pull(stream, pull->seq, &err); }
        if (!made || pull->finished) { drop_first_pull(stream); }
        if (made) { return true; }
        if (take_reply(stream, out)) { return true; }
    }
}

static bool produce(void *ctx, struct ps_outgoing *out)
{
    struct data_stream *stream = ctx;
    if (!take_reply(stream, out) && !take_pull_frame(stream, out)) { return false; }
    atomic_fetch_add(&stream->service->counters.sent_bytes, out->head.size + out->data_size);
    return true;
}

/* ---- Input ---- */

static void answer_push(struct data_stream *stream, const struct ps_data_request *request,
                        const struct ps_push_answer *answer, const struct ps_error *err)
{
    if (!answer->replies) { return; }
    struct ps_data_reply reply;
    start_reply(stream, &reply);
    reply.kind = answer->kind;
    reply.seq = request->seq;
    reply.code = answer->code;
    reply.message = answer->code != PS_OK ? err->message : "";
    queue_reply(stream, &reply);
}

static void start_pull(struct data_stream *stream, const struct ps_data_request *request)
{
    struct ps_error err = PS_ERROR_INIT;
    struct ps_pull *pull;
    atomic_fetch_add(&stream->service->counters.pulls, 1);
    if (ps_pull_create(stream->service, request, &pull, &err) == PS_OK) {
        queue_pull(stream, pull);
    } else {
        fail_pull(stream, request->seq, &err);
    }
}

static void remember(struct data_stream *stream, const struct ps_page *page, uint64_t staleness)
{
    ps_mutex_lock(&stream->lock);
    stream->committed = page->committed;
    stream->credit_bytes = page->credit_bytes;
    stream->staleness = staleness;
    ps_mutex_unlock(&stream->lock);
}

static void handle_tool(struct data_stream *stream, const struct ps_data_request *request,
                        struct ps_payload *payload)
{
    struct ps_error err = PS_ERROR_INIT;
    struct ps_push_target target = { &stream->tool_page, NULL };
    struct ps_push_answer answer = ps_push_handle(stream->service, target, request, payload, &err);
    answer_push(stream, request, &answer, &err);
}

static void handle_worker(struct data_stream *stream, const struct ps_data_request *request,
                          struct ps_payload *payload)
{
    struct ps_service *service = stream->service;
    struct ps_error err = PS_ERROR_INIT;
    struct ps_worker_row *row = ps_workers_row(service->workers, request->worker, false);
    if (row == NULL) {
        ps_fail(&err, PS_ABORTED,
                "worker %" PRIu32 " is not attached to ps/%" PRIu32
                ". Was the ps task restarted? Start the worker again",
                request->worker, service->task_index);
        struct ps_push_answer fenced = { true, PS_REPLY_FENCED, PS_ABORTED };
        answer_push(stream, request, &fenced, &err);
        return;
    }
    int64_t now = ps_clock_now_ms(ps_clock_monotonic());
    atomic_store(&service->heard_ms, now);
    ps_mutex_lock(&row->lock);
    row->heard_ms = now;
    struct ps_push_target target = { &row->page, row };
    struct ps_push_answer answer = ps_push_handle(service, target, request, payload, &err);
    remember(stream, &row->page, row->staleness);
    ps_mutex_unlock(&row->lock);
    answer_push(stream, request, &answer, &err);
}

static void handle_request(struct data_stream *stream, const struct ps_data_request *request,
                           struct ps_payload *payload)
{
    struct ps_error err = PS_ERROR_INIT;
    if (ps_service_admit(stream->service, &request->header, &err) != PS_OK) {
        struct ps_push_answer fenced = { true, PS_REPLY_FENCED, err.code };
        answer_push(stream, request, &fenced, &err);
        return;
    }
    if (request->worker == PS_NO_WORKER) {
        handle_tool(stream, request, payload);
    } else {
        handle_worker(stream, request, payload);
    }
    if (request->kind == PS_REQUEST_PULL) { start_pull(stream, request); }
}

static void consume(void *ctx, const struct ps_incoming *message)
{
    struct data_stream *stream = ctx;
    size_t size = message->head.size + (message->payload != NULL ? message->payload->size : 0);
    atomic_fetch_add(&stream->service->counters.received_bytes, size);
    ps_arena_reset(&stream->arena);
    struct ps_data_request request;
    struct ps_error err = PS_ERROR_INIT;
    enum ps_code rc = ps_decode_data_request(message->head, &stream->arena, &request, &err);
    if (rc != PS_OK) {
        end_stream(stream, rc, err.message);
        return;
    }
    handle_request(stream, &request, message->payload);
    ps_stream_wake(stream->stream);
}

static void closed(void *ctx, enum ps_code code, const char *message)
{
    struct data_stream *stream = ctx;
    ps_log(PS_LOG_DEBUG, "stream", "%s closed: %s %s", ps_stream_peer(stream->stream),
           ps_code_name(code), message != NULL ? message : "");
    while (stream->pulls != NULL) { drop_first_pull(stream); }
    struct ps_outgoing unsent = { 0 };
    while (take_reply(stream, &unsent)) {
        ps_outgoing_clean(&unsent);
        unsent = (struct ps_outgoing){ 0 };
    }
    atomic_fetch_sub(&stream->service->staged_bytes, stream->tool_page.staged_bytes);
    ps_page_clean(&stream->tool_page);
    ps_arena_clean(&stream->arena);
    ps_mutex_clean(&stream->lock);
    atomic_fetch_sub(&stream->service->open_streams, 1);
    ps_stream_release(stream->stream);
    ps_free(stream);
}

static const struct ps_stream_events events = { produce, consume, closed };

const struct ps_stream_events *ps_data_stream_open(struct ps_service *service,
                                                   struct ps_stream *stream, void **stream_ctx_out,
                                                   struct ps_error *err)
{
    struct data_stream *own = ps_alloc_zero(1, sizeof *own);
    if (own == NULL) {
        ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a stream");
        return NULL;
    }
    own->service = service;
    own->stream = ps_stream_acquire(stream);
    own->last_reply = &own->replies;
    own->last_pull = &own->pulls;
    ps_mutex_init(&own->lock, "data stream", PS_RANK_STREAM);
    ps_page_init(&own->tool_page, PS_NO_WORKER, service->staged_limit_bytes,
                 ps_push_frame_table(service));
    (void)ps_page_attach(&own->tool_page, 1, 1);
    own->tool_page.resolved = true;
    atomic_fetch_add(&service->open_streams, 1);
    *stream_ctx_out = own;
    return &events;
}
