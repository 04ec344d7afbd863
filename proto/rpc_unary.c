/* Unary calls at the server: fast methods on the polling thread, slow ones on control threads. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/alloc.h"
#include "proto/codec.h"
#include "proto/messages.h"
#include "proto/rpc_server_priv.h"

static const bool method_is_slow[] = {
#define METHOD_SLOW(id, name, slow) [PS_METHOD_##id] = slow,
    PS_METHODS(METHOD_SLOW)
#undef METHOD_SLOW
};

/* What one ps task tells another about all their variables grows with the cluster. */
static size_t most_head_bytes(enum ps_method method)
{
    bool is_long = method == PS_METHOD_SAVE_SHARD || method == PS_METHOD_RESTORE_SHARD;
    return is_long ? PS_MAX_LONG_HEAD_BYTES : PS_MAX_HEAD_BYTES;
}

void psi_call_free(struct psi_call *call)
{
    if (call->call != NULL) { grpc_call_unref(call->call); }
    if (call->request != NULL) { grpc_byte_buffer_destroy(call->request); }
    if (call->reply != NULL) { grpc_byte_buffer_destroy(call->reply); }
    psi_status_clean(&call->status);
    ps_free(call);
}

void psi_server_leave(struct ps_rpc_server *server)
{
    ps_mutex_lock(&server->lock);
    server->running--;
    /* Under the lock: once it is free, destroy may go on and the server be gone. */
    if (server->running == 0) { ps_cond_broadcast(&server->changed); }
    ps_mutex_unlock(&server->lock);
}

static void on_answered(struct psi_event *event, bool ok)
{
    struct psi_call *call = PSI_OWNER(event, struct psi_call, answered);
    (void)ok; /* whether the client was still there is its own affair */
    struct ps_rpc_server *server = call->server;
    psi_call_free(call);
    psi_server_leave(server);
}

void psi_unary_answer(struct psi_call *call, grpc_byte_buffer *reply, enum ps_code code,
                      const char *message)
{
    call->reply = reply;
    call->answered.run = on_answered;
    psi_status_init(&call->status, code, message == NULL ? "" : message);
    grpc_op ops[4];
    size_t op_count = 0;
    ops[op_count++] = (grpc_op){ .op = GRPC_OP_SEND_INITIAL_METADATA };
    if (reply != NULL) {
        ops[op_count++] = (grpc_op){ .op = GRPC_OP_SEND_MESSAGE,
                                     .flags = GRPC_WRITE_NO_COMPRESS,
                                     .data.send_message.send_message = reply };
    }
    ops[op_count++] = psi_status_op(&call->status);
    ops[op_count++] = (grpc_op){ .op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                                 .data.recv_close_on_server.cancelled = &call->cancelled };
    psi_start(call->call, ops, op_count, &call->answered);
}

static bool is_abandoned(struct ps_rpc_server *server)
{
    ps_mutex_lock(&server->lock);
    bool abandoned = server->abandoned;
    ps_mutex_unlock(&server->lock);
    return abandoned;
}

/* Whoever asked has gone, or is about to be cut off. */
static enum ps_code check_worth(struct psi_call *call, int64_t remaining_ms, struct ps_error *err)
{
    if (remaining_ms == 0) {
        return ps_fail(err, PS_DEADLINE_EXCEEDED, "the deadline passed before its turn came");
    }
    if (is_abandoned(call->server)) {
        return ps_fail(err, PS_UNAVAILABLE, "the server is stopping");
    }
    if (call->request == NULL) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "the call carries no message");
    }
    return PS_OK;
}

static enum ps_code run_handler(struct psi_call *call, grpc_byte_buffer **reply_out,
                                struct ps_error *err)
{
    *reply_out = NULL;
    int64_t remaining_ms = psi_remaining_ms(call->deadline);
    enum ps_code rc = check_worth(call, remaining_ms, err);
    if (rc != PS_OK) { return rc; }

    struct psi_received *received;
    grpc_byte_buffer *request = call->request;
    call->request = NULL;
    rc = psi_unpack_take(request, most_head_bytes((enum ps_method)call->kind), &received, err);
    if (rc != PS_OK) { return rc; }

    const struct ps_rpc_handlers *handlers = &call->server->handlers;
    struct ps_outgoing reply = { 0 };
    rc = handlers->call(handlers->ctx, (enum ps_method)call->kind, &received->incoming,
                        remaining_ms, &reply, err);
    psi_received_release(received);
    if (rc == PS_OK) {
        *reply_out = psi_pack_take(&reply, &call->server->debt);
    } else {
        ps_outgoing_clean(&reply);
    }
    return rc;
}

static void handle(struct psi_call *call)
{
    grpc_byte_buffer *reply;
    struct ps_error err = PS_ERROR_INIT;
    enum ps_code rc = run_handler(call, &reply, &err);
    psi_unary_answer(call, reply, rc, err.message);
}

/* ---- Control threads ---- */

static struct psi_call *take_call(struct psi_control *control)
{
    ps_mutex_lock(&control->lock);
    while (control->first == NULL && !control->stopping) {
        ps_cond_wait(&control->work, &control->lock);
    }
    struct psi_call *call = control->first;
    if (call != NULL) {
        control->first = call->next;
        if (control->first == NULL) { control->last = &control->first; }
    }
    ps_mutex_unlock(&control->lock);
    return call;
}

static void *control_main(void *argument)
{
    struct psi_control *control = argument;
    struct psi_call *call;
    while ((call = take_call(control)) != NULL) { handle(call); }
    return NULL;
}

static void enqueue(struct psi_control *control, struct psi_call *call)
{
    call->next = NULL;
    ps_mutex_lock(&control->lock);
    *control->last = call;
    control->last = &call->next;
    ps_cond_signal(&control->work);
    ps_mutex_unlock(&control->lock);
}

enum ps_code psi_control_start(struct psi_control *control, int thread_count, struct ps_error *err)
{
    ps_mutex_init(&control->lock, "control calls", PS_RANK_POOL);
    ps_cond_init(&control->work);
    control->last = &control->first;
    control->threads = ps_alloc_zero((size_t)thread_count, sizeof *control->threads);
    if (control->threads == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for %d control threads",
                       thread_count);
    }
    for (int i = 0; i < thread_count; i++) {
        enum ps_code rc = psi_thread_start(&control->threads[i], "ps-control", control_main,
                                           control, err);
        if (rc != PS_OK) { return rc; }
        control->thread_count++;
    }
    return PS_OK;
}

void psi_control_stop(struct psi_control *control)
{
    if (control->lock.name == NULL) { return; } /* never started */
    ps_mutex_lock(&control->lock);
    control->stopping = true;
    ps_cond_broadcast(&control->work);
    ps_mutex_unlock(&control->lock);
    for (int i = 0; i < control->thread_count; i++) { pthread_join(control->threads[i], NULL); }
    ps_free(control->threads);
    ps_cond_clean(&control->work);
    ps_mutex_clean(&control->lock);
}

void psi_unary_serve(struct psi_call *call)
{
    if (method_is_slow[call->kind]) {
        enqueue(&call->server->control, call);
    } else {
        handle(call);
    }
}
