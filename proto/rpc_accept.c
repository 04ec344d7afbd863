/* Where calls arrive: slots for every kind of call on every loop, and who serves them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "core/alloc.h"
#include "proto/rpc_health_wire.h"
#include "proto/rpc_server_priv.h"

enum {
    /* Calls of a kind that may arrive on one loop before the first of them is looked at. */
    SLOTS_A_KIND = 4,
    METHOD_SHOWN_BYTES = 200
};

void psi_accept_register(struct ps_rpc_server *server)
{
    static const char *const paths[PSI_KIND_COUNT] = {
#define METHOD_PATH(id, name, slow) [PS_METHOD_##id] = "/" PSI_SERVICE "/" name,
        PS_METHODS(METHOD_PATH)
#undef METHOD_PATH
            [PSI_KIND_DATA] = PSI_DATA_PATH,
        [PSI_KIND_HEALTH_CHECK] = PSI_HEALTH_CHECK_PATH,
        [PSI_KIND_HEALTH_WATCH] = PSI_HEALTH_WATCH_PATH,
    };
    for (int kind = 0; kind < PSI_KIND_UNKNOWN; kind++) {
        bool streams = kind == PSI_KIND_DATA || kind == PSI_KIND_HEALTH_WATCH;
        server->registered[kind] = grpc_server_register_method(
            server->server, paths[kind], NULL,
            streams ? GRPC_SRM_PAYLOAD_NONE : GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
        PS_ASSERT(server->registered[kind] != NULL);
    }
}

/* Wants the next call of this kind on this loop. */
static void request_call(struct psi_slot *slot)
{
    grpc_server *server = slot->server->server;
    grpc_completion_queue *queue = slot->loop->queue;
    grpc_metadata_array_init(&slot->metadata);
    slot->call = NULL;
    slot->request = NULL;
    PSI_TSAN_RELEASE(&slot->accepted);
    grpc_call_error refused;
    if (slot->kind == PSI_KIND_UNKNOWN) {
        grpc_call_details_init(&slot->details);
        refused = grpc_server_request_call(server, &slot->call, &slot->details, &slot->metadata,
                                           queue, queue, &slot->accepted);
    } else {
        bool streams = slot->kind == PSI_KIND_DATA || slot->kind == PSI_KIND_HEALTH_WATCH;
        refused = grpc_server_request_registered_call(
            server, slot->server->registered[slot->kind], &slot->call, &slot->deadline,
            &slot->metadata, streams ? NULL : &slot->request, queue, queue, &slot->accepted);
    }
    PS_ASSERT(refused == GRPC_CALL_OK);
}

/* Moves the call out of its slot. NULL when out of memory: the call is cut off then. */
static struct psi_call *take_call(struct psi_slot *slot)
{
    struct psi_call *call = ps_alloc_zero(1, sizeof *call);
    if (call == NULL) {
        if (slot->request != NULL) { grpc_byte_buffer_destroy(slot->request); }
        grpc_call_cancel_with_status(slot->call, GRPC_STATUS_RESOURCE_EXHAUSTED,
                                     "the server has no memory for the call", NULL);
        grpc_call_unref(slot->call);
        return NULL;
    }
    call->server = slot->server;
    call->loop = slot->loop;
    call->kind = slot->kind;
    call->call = slot->call;
    call->deadline = slot->deadline;
    call->request = slot->request;
    return call;
}

static void answer_unknown(struct psi_call *call, const char *method)
{
    char text[METHOD_SHOWN_BYTES + 128];
    snprintf(text, sizeof text,
             "paramd " PS_VERSION " has no method '%.*s'. Run one version at both ends",
             METHOD_SHOWN_BYTES, method);
    psi_unary_answer(call, NULL, PS_UNIMPLEMENTED, text);
}

static void dispatch(struct psi_call *call)
{
    switch (call->kind) {
    case PSI_KIND_DATA: psi_served_data(call); return;
    case PSI_KIND_HEALTH_CHECK: psi_health_check(call); return;
    case PSI_KIND_HEALTH_WATCH: psi_health_watch(call); return;
    default: psi_unary_serve(call); return;
    }
}

static void on_accepted(struct psi_event *event, bool ok)
{
    struct psi_slot *slot = PSI_OWNER(event, struct psi_slot, accepted);
    struct ps_rpc_server *server = slot->server;
    grpc_metadata_array_destroy(&slot->metadata); /* none of ours travels there */
    char *method = NULL;
    if (slot->kind == PSI_KIND_UNKNOWN) {
        if (ok) { method = grpc_slice_to_c_string(slot->details.method); }
        grpc_call_details_destroy(&slot->details);
    }
    if (!ok) { return; } /* the server stops */

    ps_mutex_lock(&server->lock);
    server->running++; /* before the next request: destroy waits for it */
    ps_mutex_unlock(&server->lock);
    struct psi_call *call = take_call(slot);
    request_call(slot);
    if (call == NULL) {
        psi_server_leave(server);
    } else if (method != NULL) {
        answer_unknown(call, method);
    } else {
        dispatch(call);
    }
    gpr_free(method);
}

static size_t slot_count(const struct ps_rpc_server *server)
{
    return (size_t)server->loop_count * PSI_KIND_COUNT * SLOTS_A_KIND;
}

enum ps_code psi_accept_prepare(struct ps_rpc_server *server, struct ps_error *err)
{
    size_t count = slot_count(server);
    server->slots = ps_alloc_zero(count, sizeof *server->slots);
    if (server->slots == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to accept calls");
    }
    for (size_t i = 0; i < count; i++) {
        struct psi_slot *slot = &server->slots[i];
        slot->accepted.run = on_accepted;
        slot->server = server;
        slot->kind = (int)(i % PSI_KIND_COUNT);
        slot->loop = &server->loops[i / PSI_KIND_COUNT % (size_t)server->loop_count];
    }
    return PS_OK;
}

void psi_accept_begin(struct ps_rpc_server *server)
{
    for (size_t i = 0; i < slot_count(server); i++) { request_call(&server->slots[i]); }
}
