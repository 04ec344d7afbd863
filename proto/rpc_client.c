/* The calling side: channels, unary calls that wait, and streams. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/lock.h"
#include "proto/rpc_address.h"
#include "proto/rpc_grpc.h"
#include "proto/rpc_health_wire.h"
#include "proto/rpc_priv.h"

enum {
    RECONNECT_FIRST_MS = 100,
    RECONNECT_MAX_MS = 2000,
    CONNECT_TIMEOUT_MS = 5000, /* of one attempt: a busy machine may take a second to answer */
    RESOLVE_AGAIN_MS = 1000
};

enum { SUBJECT_BYTES = PSI_HOST_BYTES + 64 };

struct ps_rpc_client {
    struct psi_loop loop;
    struct psi_debt debt;
};

struct ps_channel {
    struct ps_rpc_client *client;
    grpc_channel *channel;
    char *address;
};

/* ---- Clients and channels ---- */

enum ps_code ps_rpc_client_create(struct ps_rpc_client **client_out, struct ps_error *err)
{
    *client_out = NULL;
    struct ps_rpc_client *client = ps_alloc_zero(1, sizeof *client);
    if (client == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a client"); }
    psi_debt_init(&client->debt);
    enum ps_code rc = psi_loop_start(&client->loop, "ps-client", err);
    if (rc != PS_OK) {
        ps_rpc_client_destroy(client);
        return rc;
    }
    *client_out = client;
    return PS_OK;
}

void ps_rpc_client_destroy(struct ps_rpc_client *client)
{
    if (client == NULL) { return; }
    psi_debt_settle(&client->debt);
    psi_loop_stop(&client->loop);
    psi_loop_clean(&client->loop);
    psi_debt_clean(&client->debt);
    ps_free(client);
}

static grpc_channel *new_channel(const char *address, size_t lookahead_bytes)
{
    grpc_arg args[PSI_COMMON_ARGS + 5];
    size_t count = psi_common_args(args, lookahead_bytes);
    /* Else two channels to one address would share a connection. */
    args[count++] = psi_int_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    args[count++] = psi_int_arg(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, RECONNECT_FIRST_MS);
    /* In spite of its name this is how long an attempt may take; tries follow the other two. */
    args[count++] = psi_int_arg(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, CONNECT_TIMEOUT_MS);
    args[count++] = psi_int_arg(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, RECONNECT_MAX_MS);
    args[count++] = psi_int_arg(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, RESOLVE_AGAIN_MS);
    const grpc_channel_args all = { .num_args = count, .args = args };
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create(address, credentials, &all);
    grpc_channel_credentials_release(credentials);
    return channel;
}

enum ps_code ps_channel_create(struct ps_rpc_client *client, const char *address,
                               size_t lookahead_bytes, struct ps_channel **channel_out,
                               struct ps_error *err)
{
    struct psi_address parsed;
    *channel_out = NULL;
    enum ps_code rc = psi_address_parse(address, &parsed, err);
    if (rc != PS_OK) { return rc; }
    if (parsed.port == 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "'%s' is no address to call: port 0", address);
    }
    struct ps_channel *channel = ps_alloc_zero(1, sizeof *channel);
    char *copy = ps_strdup(address);
    if (channel == NULL || copy == NULL) {
        ps_free(channel);
        ps_free(copy);
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a channel to %s", address);
    }
    channel->client = client;
    channel->address = copy;
    channel->channel = new_channel(address, lookahead_bytes);
    *channel_out = channel;
    return PS_OK;
}

void ps_channel_destroy(struct ps_channel *channel)
{
    if (channel == NULL) { return; }
    grpc_channel_destroy(channel->channel);
    ps_free(channel->address);
    ps_free(channel);
}

const char *ps_channel_address(const struct ps_channel *channel)
{
    return channel->address;
}

static grpc_call *new_call(struct ps_channel *channel, const char *path, gpr_timespec deadline)
{
    return grpc_channel_create_call(channel->channel, NULL, GRPC_PROPAGATE_DEFAULTS,
                                    channel->client->loop.queue,
                                    grpc_slice_from_static_string(path), NULL, deadline, NULL);
}

/* ---- Unary calls ---- */

/* One call while its caller waits. The client's thread polls and wakes the caller: with that
 * thread polling anyway, a queue of the caller's own (grpc_completion_queue_pluck) was measured
 * about a tenth slower for 4 bytes. */
struct unary {
    struct psi_event done;
    struct ps_mutex lock;
    struct ps_cond answered;
    bool is_done; /* guarded by lock */
    grpc_call *call;
    grpc_byte_buffer *request;
    grpc_byte_buffer *reply;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_status_code status;
    grpc_slice details;
};

static void on_done(struct psi_event *event, bool ok)
{
    struct unary *unary = PSI_OWNER(event, struct unary, done);
    (void)ok; /* the status tells */
    ps_mutex_lock(&unary->lock);
    unary->is_done = true;
    ps_cond_signal(&unary->answered); /* under the lock: afterwards unary may be gone */
    ps_mutex_unlock(&unary->lock);
}

static void unary_init(struct unary *unary, struct ps_outgoing *request, struct psi_debt *debt)
{
    *unary = (struct unary){ .done.run = on_done,
                             .request = psi_pack_take(request, debt),
                             .details = grpc_empty_slice() };
    ps_mutex_init(&unary->lock, "unary call", PS_RANK_STREAM);
    ps_cond_init(&unary->answered);
    grpc_metadata_array_init(&unary->initial);
    grpc_metadata_array_init(&unary->trailing);
}

static void unary_start(struct unary *unary, bool wait_for_ready)
{
    const grpc_op ops[] = {
        { .op = GRPC_OP_SEND_INITIAL_METADATA,
          .flags = wait_for_ready ? GRPC_INITIAL_METADATA_WAIT_FOR_READY : 0 },
        { .op = GRPC_OP_SEND_MESSAGE,
          .flags = GRPC_WRITE_NO_COMPRESS,
          .data.send_message.send_message = unary->request },
        { .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT },
        { .op = GRPC_OP_RECV_INITIAL_METADATA,
          .data.recv_initial_metadata.recv_initial_metadata = &unary->initial },
        { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &unary->reply },
        { .op = GRPC_OP_RECV_STATUS_ON_CLIENT,
          .data.recv_status_on_client = { .trailing_metadata = &unary->trailing,
                                          .status = &unary->status,
                                          .status_details = &unary->details } },
    };
    psi_start(unary->call, ops, sizeof ops / sizeof ops[0], &unary->done);
}

static void unary_wait(struct unary *unary)
{
    ps_mutex_lock(&unary->lock);
    while (!unary->is_done) { ps_cond_wait(&unary->answered, &unary->lock); }
    ps_mutex_unlock(&unary->lock);
}

static void unary_clean(struct unary *unary)
{
    grpc_call_unref(unary->call);
    grpc_byte_buffer_destroy(unary->request);
    if (unary->reply != NULL) { grpc_byte_buffer_destroy(unary->reply); }
    grpc_metadata_array_destroy(&unary->initial);
    grpc_metadata_array_destroy(&unary->trailing);
    grpc_slice_unref(unary->details);
    ps_cond_clean(&unary->answered);
    ps_mutex_clean(&unary->lock);
}

static enum ps_code explain(struct ps_channel *channel, const struct psi_call_options *options,
                            struct unary *unary, struct ps_error *err)
{
    char subject[SUBJECT_BYTES];
    snprintf(subject, sizeof subject, "%s %s", options->name, channel->address);
    char *details = grpc_slice_to_c_string(unary->details);
    grpc_connectivity_state state = grpc_channel_check_connectivity_state(channel->channel, 0);
    const struct psi_failure failure = { .subject = subject,
                                         .address = channel->address,
                                         .status = unary->status,
                                         .details = details,
                                         .is_answer = psi_failure_is_answer(&unary->trailing),
                                         .connected = state == GRPC_CHANNEL_READY,
                                         .deadline_ms = options->deadline_ms };
    enum ps_code code = psi_failure_explain(&failure, err);
    gpr_free(details);
    return code;
}

/* The reply, unpacked, as an answer. */
static enum ps_code unary_answer(struct ps_channel *channel, const struct psi_call_options *options,
                                 struct unary *unary, struct ps_answer *answer_out,
                                 struct ps_error *err)
{
    if (unary->status != GRPC_STATUS_OK) { return explain(channel, options, unary, err); }
    if (unary->reply == NULL) {
        return ps_fail(err, PS_INTERNAL, "%s %s: the answer carries no message", options->name,
                       channel->address);
    }
    struct psi_received *received;
    grpc_byte_buffer *reply = unary->reply;
    unary->reply = NULL;
    /* What was asked for may have a long head (a list); its size is bounded on receipt. */
    enum ps_code rc = psi_unpack_take(reply, SIZE_MAX, &received, err);
    if (rc != PS_OK) { return ps_wrap(err, "%s %s", options->name, channel->address); }
    answer_out->message = received->incoming;
    answer_out->owner = received;
    return PS_OK;
}

enum ps_code psi_channel_call(struct ps_channel *channel, const struct psi_call_options *options,
                              struct ps_outgoing *request, struct ps_answer *answer_out,
                              struct ps_error *err)
{
    *answer_out = (struct ps_answer){ 0 };
    struct unary unary;
    unary_init(&unary, request, &channel->client->debt);
    unary.call = new_call(channel, options->path, psi_deadline(options->deadline_ms));
    unary_start(&unary, options->wait_for_ready);
    unary_wait(&unary);
    enum ps_code rc = unary_answer(channel, options, &unary, answer_out, err);
    unary_clean(&unary);
    return rc;
}

enum ps_code ps_channel_call(struct ps_channel *channel, enum ps_method method,
                             struct ps_outgoing *request, int64_t deadline_ms, bool wait_for_ready,
                             struct ps_answer *answer_out, struct ps_error *err)
{
    static const char *const paths[PS_METHOD_COUNT] = {
#define METHOD_PATH(id, name, slow) [PS_METHOD_##id] = "/" PSI_SERVICE "/" name,
        PS_METHODS(METHOD_PATH)
#undef METHOD_PATH
    };
    const struct psi_call_options options = { .path = paths[method],
                                              .name = ps_method_name(method),
                                              .deadline_ms = deadline_ms,
                                              .wait_for_ready = wait_for_ready };
    return psi_channel_call(channel, &options, request, answer_out, err);
}

void ps_answer_clean(struct ps_answer *answer)
{
    if (answer == NULL) { return; }
    psi_received_release(answer->owner);
    *answer = (struct ps_answer){ 0 };
}

enum ps_code ps_channel_health(struct ps_channel *channel, const char *service, int64_t deadline_ms,
                               bool *serving_out, struct ps_error *err)
{
    *serving_out = false;
    struct ps_outgoing request = { 0 };
    enum ps_code rc = psi_health_encode_request(service, &request.head, err);
    if (rc != PS_OK) {
        ps_outgoing_clean(&request);
        return rc;
    }
    struct ps_answer answer;
    const struct psi_call_options options = { .path = PSI_HEALTH_CHECK_PATH,
                                              .name = "health check of",
                                              .deadline_ms = deadline_ms };
    rc = psi_channel_call(channel, &options, &request, &answer, err);
    if (rc != PS_OK) { return rc; }
    *serving_out = psi_health_decode_reply(answer.message.head) == PSI_HEALTH_SERVING;
    ps_answer_clean(&answer);
    return PS_OK;
}

/* ---- Streams ---- */

enum ps_code psi_channel_open(struct ps_channel *channel, const char *path,
                              const struct ps_stream_events *events, void *ctx,
                              struct ps_stream **stream_out, struct ps_error *err)
{
    char subject[SUBJECT_BYTES];
    *stream_out = NULL;
    snprintf(subject, sizeof subject, "data stream to %s", channel->address);
    grpc_call *call = new_call(channel, path, gpr_inf_future(GPR_CLOCK_MONOTONIC));
    const struct psi_stream_options options = { .call = call,
                                                .is_client = true,
                                                .address = channel->address,
                                                .subject = subject,
                                                .debt = &channel->client->debt };
    struct ps_stream *stream = psi_stream_create(&options);
    if (stream == NULL) {
        grpc_call_unref(call);
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a stream to %s",
                       channel->address);
    }
    *stream_out = ps_stream_acquire(stream); /* before the first callback, which may look at it */
    psi_stream_begin(stream, events, ctx);
    return PS_OK;
}

enum ps_code ps_channel_open(struct ps_channel *channel, const struct ps_stream_events *events,
                             void *ctx, struct ps_stream **stream_out, struct ps_error *err)
{
    return psi_channel_open(channel, PSI_DATA_PATH, events, ctx, stream_out, err);
}
