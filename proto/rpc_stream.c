/* One stream, the same at both ends: a sender's claim, a chain of reads, and one closing. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/lock.h"
#include "proto/messages.h"
#include "proto/rpc_grpc.h"

/* Who uses the call right now is counted in `active`: the read chain, the wait for the end, a
 * sender (whoever holds the claim `sending`) and a thread inside ps_stream_end. The last one to
 * leave closes the stream, so no callback runs after closed and the call outlives its users. */

enum phase {
    STREAM_OPEN,
    STREAM_DRAINING, /* ended with PS_OK: produce until dry, then finish */
    STREAM_BROKEN,   /* ended with another code: the call is cancelled */
    STREAM_FINISHED  /* the other end has the last word: its status came */
};

struct ps_stream {
    /* set before the first operation, never changed */
    struct psi_stream_options options;
    const struct ps_stream_events *events;
    void *ctx;
    char *address;
    char *subject;
    int reference_count; /* atomic */

    /* guarded by lock */
    struct ps_mutex lock;
    enum phase phase;
    int active;
    bool sending; /* the claim; kept for good when there is nothing more to send ever */
    bool again;   /* woken while the claim was held */
    enum ps_code end_code;
    char end_message[PS_ERROR_MESSAGE_BYTES];

    /* whoever holds the claim */
    struct psi_event sent;
    grpc_byte_buffer *outgoing;
    bool greeted; /* initial metadata was sent */
    bool said_last;
    struct psi_status last;

    /* the read chain */
    struct psi_event received;
    grpc_byte_buffer *incoming;
    grpc_metadata_array initial;
    bool initial_asked;

    /* the wait for the end */
    struct psi_event ended;
    grpc_metadata_array trailing;
    grpc_status_code status;
    grpc_slice details;
    int cancelled;
};

static void stream_free(struct ps_stream *stream)
{
    ps_mutex_clean(&stream->lock);
    grpc_metadata_array_destroy(&stream->initial);
    grpc_metadata_array_destroy(&stream->trailing);
    grpc_slice_unref(stream->details);
    psi_status_clean(&stream->last);
    ps_free(stream->address);
    ps_free(stream->subject);
    ps_free(stream);
}

struct ps_stream *ps_stream_acquire(struct ps_stream *stream)
{
    __atomic_fetch_add(&stream->reference_count, 1, __ATOMIC_RELAXED);
    return stream;
}

struct ps_stream *ps_stream_release(struct ps_stream *stream)
{
    if (stream == NULL) { return NULL; }
    int before = __atomic_fetch_sub(&stream->reference_count, 1, __ATOMIC_ACQ_REL);
    PS_ASSERT(before > 0);
    if (before == 1) { stream_free(stream); }
    return NULL;
}

const char *ps_stream_peer(const struct ps_stream *stream)
{
    return stream->address;
}

/* ---- Closing ---- */

/* What the app is told; the call is still there. */
static enum ps_code end_of_client(struct ps_stream *stream, struct ps_error *err)
{
    if (stream->end_code != PS_OK) {
        return ps_fail(err, stream->end_code, "%s", stream->end_message);
    }
    if (stream->status == GRPC_STATUS_OK) { return PS_OK; }
    char *details = grpc_slice_to_c_string(stream->details);
    const struct psi_failure failure = { .subject = stream->subject,
                                         .address = stream->address,
                                         .status = stream->status,
                                         .details = details,
                                         .is_answer = psi_failure_is_answer(&stream->trailing),
                                         .connected = true,
                                         .deadline_ms = INT64_MAX };
    enum ps_code code = psi_failure_explain(&failure, err);
    gpr_free(details);
    return code;
}

static enum ps_code end_of_server(struct ps_stream *stream, struct ps_error *err)
{
    if (stream->end_code != PS_OK) {
        return ps_fail(err, stream->end_code, "%s", stream->end_message);
    }
    if (stream->cancelled == 0) { return PS_OK; }
    return ps_fail(err, PS_CANCELLED, "%s broke the stream off, or the connection to it is lost",
                   stream->address);
}

static void close_stream(struct ps_stream *stream)
{
    struct ps_error err = PS_ERROR_INIT;
    bool client = stream->options.is_client;
    enum ps_code code = client ? end_of_client(stream, &err) : end_of_server(stream, &err);
    void (*done)(void *) = stream->options.done;
    void *owner = stream->options.owner;

    /* Nothing of gRPC may be touched once the app knows: it may destroy the channel then. */
    grpc_call_unref(stream->options.call);
    if (stream->events != NULL) { stream->events->closed(stream->ctx, code, err.message); }
    ps_stream_release(stream);
    if (done != NULL) { done(owner); }
}

static void leave(struct ps_stream *stream)
{
    ps_mutex_lock(&stream->lock);
    bool last = --stream->active == 0;
    ps_mutex_unlock(&stream->lock);
    if (last) { close_stream(stream); }
}

/* ---- Sending ---- */

static size_t add_greeting(struct ps_stream *stream, grpc_op *ops)
{
    if (stream->greeted) { return 0; }
    stream->greeted = true;
    ops[0] = (grpc_op){ .op = GRPC_OP_SEND_INITIAL_METADATA };
    return 1;
}

static void add_last(struct ps_stream *stream, grpc_op *op)
{
    stream->said_last = true;
    if (stream->options.is_client) {
        *op = (grpc_op){ .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT };
    } else {
        *op = psi_status_op(&stream->last);
    }
}

/* Sends what there is; false when there is nothing. */
static bool send_next(struct ps_stream *stream, enum phase phase)
{
    grpc_op ops[2];
    size_t op_count = add_greeting(stream, ops);
    struct ps_outgoing message = { 0 };
    if (stream->events->produce(stream->ctx, &message)) {
        stream->outgoing = psi_pack_take(&message, stream->options.debt);
        ops[op_count++] = (grpc_op){ .op = GRPC_OP_SEND_MESSAGE,
                                     .flags = GRPC_WRITE_NO_COMPRESS,
                                     .data.send_message.send_message = stream->outgoing };
    } else if (phase == STREAM_DRAINING) {
        add_last(stream, &ops[op_count++]);
    }
    if (op_count == 0) { return false; }
    psi_start(stream->options.call, ops, op_count, &stream->sent);
    return true;
}

/* Gives the claim back unless somebody woke the stream meanwhile. */
static bool rest(struct ps_stream *stream)
{
    ps_mutex_lock(&stream->lock);
    bool resting = !stream->again;
    if (resting) { stream->sending = false; }
    ps_mutex_unlock(&stream->lock);
    return resting;
}

static enum phase look(struct ps_stream *stream)
{
    ps_mutex_lock(&stream->lock);
    stream->again = false;
    enum phase phase = stream->phase;
    ps_mutex_unlock(&stream->lock);
    return phase;
}

/* Holds the claim. Either a send is under way when it returns, or the claim was given back, or
 * nothing will ever be sent again and the claim is kept. */
static void pump(struct ps_stream *stream)
{
    do {
        enum phase phase = look(stream);
        if (phase == STREAM_BROKEN || phase == STREAM_FINISHED) { break; }
        if (send_next(stream, phase)) { return; }
    } while (!rest(stream));
    leave(stream);
}

static void on_sent(struct psi_event *event, bool ok)
{
    struct ps_stream *stream = PSI_OWNER(event, struct ps_stream, sent);
    if (stream->outgoing != NULL) {
        grpc_byte_buffer_destroy(stream->outgoing);
        stream->outgoing = NULL;
    }
    if (ok && !stream->said_last) {
        pump(stream);
    } else {
        leave(stream); /* with the claim: nobody sends any more */
    }
}

void ps_stream_wake(struct ps_stream *stream)
{
    bool claimed = false;
    ps_mutex_lock(&stream->lock);
    if (stream->sending) {
        stream->again = true;
    } else if (stream->phase == STREAM_OPEN || stream->phase == STREAM_DRAINING) {
        stream->sending = true;
        stream->active++;
        claimed = true;
    }
    ps_mutex_unlock(&stream->lock);
    if (claimed) { pump(stream); }
}

/* ---- Ending ---- */

/* Ended with PS_OK: the sender, woken, finishes when produce is dry. */
static void drain(struct ps_stream *stream)
{
    ps_mutex_lock(&stream->lock);
    if (stream->phase == STREAM_OPEN) { stream->phase = STREAM_DRAINING; }
    ps_mutex_unlock(&stream->lock);
    ps_stream_wake(stream);
}

void ps_stream_end(struct ps_stream *stream, enum ps_code code, const char *message)
{
    if (code == PS_OK) {
        drain(stream);
        return;
    }
    ps_mutex_lock(&stream->lock);
    bool first = stream->phase == STREAM_OPEN || stream->phase == STREAM_DRAINING;
    if (first) {
        stream->phase = STREAM_BROKEN;
        stream->end_code = code;
        snprintf(stream->end_message, sizeof stream->end_message, "%s",
                 message == NULL ? "" : message);
        stream->active++;
    }
    ps_mutex_unlock(&stream->lock);
    if (!first) { return; }
    /* Cancelling passes by what flow control holds up, and at a server still tells the client
     * the code and the text. */
    grpc_call_cancel_with_status(stream->options.call, (grpc_status_code)code, stream->end_message,
                                 NULL);
    leave(stream);
}

static void on_ended(struct psi_event *event, bool ok)
{
    struct ps_stream *stream = PSI_OWNER(event, struct ps_stream, ended);
    (void)ok; /* this operation always succeeds */
    ps_mutex_lock(&stream->lock);
    if (stream->phase != STREAM_BROKEN) { stream->phase = STREAM_FINISHED; }
    ps_mutex_unlock(&stream->lock);
    leave(stream);
}

/* ---- Receiving ---- */

static void read_next(struct ps_stream *stream)
{
    grpc_op ops[2];
    size_t op_count = 0;
    ops[op_count++] = (grpc_op){ .op = GRPC_OP_RECV_MESSAGE,
                                 .data.recv_message.recv_message = &stream->incoming };
    if (stream->options.is_client && !stream->initial_asked) {
        stream->initial_asked = true;
        ops[op_count++] = (grpc_op){
            .op = GRPC_OP_RECV_INITIAL_METADATA,
            .data.recv_initial_metadata.recv_initial_metadata = &stream->initial
        };
    }
    psi_start(stream->options.call, ops, op_count, &stream->received);
}

static bool is_broken(struct ps_stream *stream)
{
    ps_mutex_lock(&stream->lock);
    bool broken = stream->phase == STREAM_BROKEN;
    ps_mutex_unlock(&stream->lock);
    return broken;
}

static void consume(struct ps_stream *stream, grpc_byte_buffer *buffer)
{
    struct psi_received *received;
    struct ps_error err = PS_ERROR_INIT;
    enum ps_code rc = psi_unpack_take(buffer, PS_MAX_HEAD_BYTES, &received, &err);
    if (rc != PS_OK) {
        ps_stream_end(stream, rc, err.message);
        return;
    }
    if (!is_broken(stream)) { stream->events->consume(stream->ctx, &received->incoming); }
    psi_received_release(received);
}

static void on_received(struct psi_event *event, bool ok)
{
    struct ps_stream *stream = PSI_OWNER(event, struct ps_stream, received);
    grpc_byte_buffer *buffer = stream->incoming;
    stream->incoming = NULL;
    if (ok && buffer != NULL) {
        consume(stream, buffer);
        read_next(stream);
        return;
    }
    if (buffer != NULL) { grpc_byte_buffer_destroy(buffer); }
    /* A client that said its last word is answered with ours. */
    if (!stream->options.is_client && !stream->options.outlives_input) { drain(stream); }
    leave(stream);
}

/* ---- Beginning ---- */

struct ps_stream *psi_stream_create(const struct psi_stream_options *options)
{
    struct ps_stream *stream = ps_alloc_zero(1, sizeof *stream);
    if (stream == NULL) { return NULL; }
    stream->address = ps_strdup(options->address);
    stream->subject = ps_strdup(options->subject == NULL ? "" : options->subject);
    if (stream->address == NULL || stream->subject == NULL) {
        ps_free(stream->address);
        ps_free(stream->subject);
        ps_free(stream);
        return NULL;
    }
    stream->options = *options;
    stream->reference_count = 1;
    stream->sent.run = on_sent;
    stream->received.run = on_received;
    stream->ended.run = on_ended;
    stream->details = grpc_empty_slice();
    psi_status_init(&stream->last, PS_OK, "");
    grpc_metadata_array_init(&stream->initial);
    grpc_metadata_array_init(&stream->trailing);
    ps_mutex_init(&stream->lock, "stream", PS_RANK_STREAM);
    stream->sending = true; /* until it begins */
    stream->active = 3;     /* sender, read chain, wait for the end */
    return stream;
}

/* Learns of the end, however it comes. */
static grpc_op end_op(struct ps_stream *stream)
{
    if (!stream->options.is_client) {
        return (grpc_op){ .op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                          .data.recv_close_on_server.cancelled = &stream->cancelled };
    }
    return (grpc_op){ .op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                      .data.recv_status_on_client = { .trailing_metadata = &stream->trailing,
                                                      .status = &stream->status,
                                                      .status_details = &stream->details } };
}

void psi_stream_begin(struct ps_stream *stream, const struct ps_stream_events *events, void *ctx)
{
    stream->events = events;
    stream->ctx = ctx;
    grpc_op wait_for_end = end_op(stream);
    psi_start(stream->options.call, &wait_for_end, 1, &stream->ended);
    read_next(stream);
    pump(stream);
}

void psi_stream_refuse(struct ps_stream *stream, enum ps_code code, const char *message)
{
    stream->greeted = true;
    stream->said_last = true;
    ps_mutex_lock(&stream->lock);
    stream->active--; /* nobody reads */
    ps_mutex_unlock(&stream->lock);
    grpc_op wait_for_end = end_op(stream);
    psi_start(stream->options.call, &wait_for_end, 1, &stream->ended);
    psi_status_init(&stream->last, code, message);
    const grpc_op ops[] = { { .op = GRPC_OP_SEND_INITIAL_METADATA }, psi_status_op(&stream->last) };
    psi_start(stream->options.call, ops, 2, &stream->sent);
}
