/* Readers that ask for much and consume nothing, while pushes go on: what that costs a ps task. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/bench_stall_priv.h"

#include <string.h>

#include "client/paramd.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/lock.h"
#include "deploy/bench_meter_priv.h"
#include "deploy/bench_ps_priv.h"
#include "deploy/bench_tensor_priv.h"
#include "deploy/bench_unary_priv.h"
#include "proto/codec.h"
#include "proto/rpc.h"

enum {
    READER_COUNT = 4,
    READER_PULLS = 8,               /* each of the whole variable: far beyond the windows */
    LOOKAHEAD_BYTES = 4 << 20,      /* as a worker's stream has */
    ALLOWANCE_BYTES = 32 * 1000000, /* over the windows: sockets, the transport's own buffers */
    FIRST_BYTES_MS = 20000,
    WINDOW = 2
};

/* Of the variable, as it is declared and as it is called then. */
static const char NAME[] = "stalled";
static const char VARIABLE[] = "stalled0";

/* One stream, on a thread of its own that stops in its first callback. */
struct reader {
    const struct psi_bench_target *target;
    struct ps_rpc_client *client;
    struct ps_channel *channel;
    struct ps_stream *stream;
    int pulls_asked; /* by produce alone */
    /* guarded by lock */
    struct ps_mutex lock;
    struct ps_cond changed;
    bool stands; /* the first bytes are here, and nothing more is read */
    bool released;
    bool closed;
    struct ps_error why;
};

static bool produce(void *ctx, struct ps_outgoing *out)
{
    struct reader *reader = ctx;
    if (reader->pulls_asked == READER_PULLS) { return false; }
    const struct ps_piece whole = { reader->target->handle, 0, reader->target->size_bytes };
    const struct ps_data_request request = {
        .header = reader->target->header,
        .kind = PS_REQUEST_PULL,
        .worker = PS_NO_WORKER,
        .seq = (uint64_t)++reader->pulls_asked,
        .pieces = &whole,
        .piece_count = 1,
    };
    return ps_encode_data_request(&request, &out->head, NULL) == PS_OK;
}

static void consume(void *ctx, const struct ps_incoming *message)
{
    struct reader *reader = ctx;
    (void)message;
    ps_mutex_lock(&reader->lock);
    reader->stands = true;
    ps_cond_broadcast(&reader->changed);
    while (!reader->released) { ps_cond_wait(&reader->changed, &reader->lock); }
    ps_mutex_unlock(&reader->lock);
}

static void closed(void *ctx, enum ps_code code, const char *message)
{
    struct reader *reader = ctx;
    ps_mutex_lock(&reader->lock);
    ps_fail(&reader->why, code, "the stream of a reader ended: %s", message);
    reader->closed = true;
    ps_cond_broadcast(&reader->changed);
    ps_mutex_unlock(&reader->lock);
}

static const struct ps_stream_events events = { produce, consume, closed };

/* reader_close when done, also after a failure. */
static enum ps_code reader_open(struct reader *reader, const struct psi_bench_target *target,
                                struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    memset(reader, 0, sizeof *reader);
    reader->target = target;
    ps_mutex_init(&reader->lock, "stalled reader", PS_RANK_SESSION);
    ps_cond_init(&reader->changed);
    PS_TRY(done, rc, ps_rpc_client_create(&reader->client, err));
    PS_TRY(
        done, rc,
        ps_channel_create(reader->client, target->address, LOOKAHEAD_BYTES, &reader->channel, err));
    PS_TRY(done, rc, ps_channel_open(reader->channel, &events, reader, &reader->stream, err));
    ps_stream_wake(reader->stream);
done:
    return rc;
}

static void reader_close(struct reader *reader)
{
    if (reader->target == NULL) { return; }
    ps_mutex_lock(&reader->lock);
    reader->released = true;
    ps_cond_broadcast(&reader->changed);
    ps_mutex_unlock(&reader->lock);
    if (reader->stream != NULL) {
        ps_stream_end(reader->stream, PS_CANCELLED, "enough");
        ps_mutex_lock(&reader->lock);
        while (!reader->closed) { ps_cond_wait(&reader->changed, &reader->lock); }
        ps_mutex_unlock(&reader->lock);
        ps_stream_release(reader->stream);
    }
    ps_channel_destroy(reader->channel);
    if (reader->client != NULL) { ps_rpc_client_destroy(reader->client); }
    ps_cond_clean(&reader->changed);
    ps_mutex_clean(&reader->lock);
    reader->target = NULL;
}

/* Until the reader has its first bytes, and reads no more. */
static enum ps_code reader_await(struct reader *reader, struct ps_error *err)
{
    int64_t deadline_ns = ps_clock_now_ns(ps_clock_monotonic()) + (int64_t)FIRST_BYTES_MS * 1000000;
    bool in_time = true;
    enum ps_code rc = PS_OK;
    ps_mutex_lock(&reader->lock);
    while (!reader->stands && !reader->closed && in_time) {
        in_time = ps_cond_wait_until(&reader->changed, &reader->lock, deadline_ns);
    }
    if (reader->closed) {
        rc = ps_fail(err, reader->why.code == PS_OK ? PS_UNAVAILABLE : reader->why.code, "%s",
                     reader->why.message);
    } else if (!reader->stands) {
        rc = ps_fail(err, PS_DEADLINE_EXCEEDED, "a reader got no bytes in %d ms", FIRST_BYTES_MS);
    }
    ps_mutex_unlock(&reader->lock);
    return rc;
}

/* Pushes for that long; the most memory the ps task was seen with. */
static enum ps_code push_and_watch(struct psi_bench_tensors *tensors, double seconds,
                                   int64_t *peak_out, uint64_t *count_out, struct ps_error *err)
{
    struct psi_bench_mover mover;
    struct psi_bench_op op = psi_bench_mover_op(&mover, "push", tensors, PSI_BENCH_PUSH,
                                                tensors->window);
    double end = psi_bench_now() + seconds;
    enum ps_code rc = PS_OK;
    *peak_out = 0;
    *count_out = 0;
    while (psi_bench_now() < end) {
        double unused = 0.0;
        PS_TRY(done, rc, op.run(op.ctx, &unused, err));
        (*count_out)++;
        int64_t resident = psi_bench_resident_bytes(op.server);
        if (resident > *peak_out) { *peak_out = resident; }
    }
    rc = op.finish(op.ctx, err);
done:
    return rc;
}

/* The pushes without readers, then with them. */
static enum ps_code compare(struct psi_bench_tensors *tensors,
                            const struct psi_bench_target *target,
                            const struct psi_bench_stall_options *options,
                            struct psi_bench_stall_result *result, struct ps_error *err)
{
    struct reader readers[READER_COUNT];
    uint64_t unused = 0;
    enum ps_code rc = PS_OK;
    memset(readers, 0, sizeof readers);
    PS_TRY(done, rc,
           push_and_watch(tensors, options->seconds, &result->before_bytes, &unused, err));
    for (int i = 0; i < READER_COUNT; i++) {
        PS_TRY(done, rc, reader_open(&readers[i], target, err));
    }
    for (int i = 0; i < READER_COUNT; i++) { PS_TRY(done, rc, reader_await(&readers[i], err)); }
    PS_TRY(
        done, rc,
        push_and_watch(tensors, options->seconds, &result->peak_bytes, &result->push_count, err));
done:
    for (int i = 0; i < READER_COUNT; i++) { reader_close(&readers[i]); }
    return rc;
}

enum ps_code psi_bench_stall_measure(const struct psi_bench_ps *ps,
                                     const struct psi_bench_stall_options *options,
                                     struct psi_bench_stall_result *result_out,
                                     struct ps_error *err)
{
    struct psi_bench_worker worker = { 0 };
    struct psi_bench_tensors tensors = { 0 };
    struct psi_bench_target target;
    const struct psi_bench_worker_options worker_options = { .address = ps->address,
                                                             .server = ps->pid,
                                                             .worker_count = 1 };
    enum ps_code rc = PS_OK;
    *result_out = (struct psi_bench_stall_result){
        .stream_count = READER_COUNT,
        .lookahead_bytes = LOOKAHEAD_BYTES,
        .allowed_bytes = (int64_t)READER_COUNT * LOOKAHEAD_BYTES + ALLOWANCE_BYTES,
    };
    float *gradient = ps_alloc_zero(options->variable_bytes / sizeof *gradient, sizeof *gradient);
    if (gradient == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a gradient");
    }
    const struct psi_bench_tensors_options tensor_options = {
        .name = NAME,
        .count = 1,
        .each_bytes = options->variable_bytes,
        .gradient = gradient,
        .window = WINDOW,
    };
    PS_TRY(done, rc, psi_bench_worker_open(&worker_options, &worker, err));
    PS_TRY(done, rc, psi_bench_tensors_init(&tensors, &worker, &tensor_options, err));
    PS_TRY(done, rc, psi_bench_target_find(ps->address, VARIABLE, &target, err));
    PS_TRY(done, rc, compare(&tensors, &target, options, result_out, err));
    result_out->within = result_out->peak_bytes - result_out->before_bytes <=
                         result_out->allowed_bytes;
done:
    psi_bench_worker_close(&worker);
    psi_bench_tensors_clean(&tensors);
    ps_free(gradient);
    return rc;
}
