/* What the files of the serving side share: the server and one accepted call. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_PROTO_RPC_SERVER_PRIV_H
#define PARAMD_PROTO_RPC_SERVER_PRIV_H

#include "core/lock.h"
#include "proto/rpc_grpc.h"

/* Kinds of calls that are accepted: each unary method, and these. */
enum psi_kind {
    PSI_KIND_DATA = PS_METHOD_COUNT,
    PSI_KIND_HEALTH_CHECK,
    PSI_KIND_HEALTH_WATCH,
    PSI_KIND_UNKNOWN, /* every other path: answered, else it would hang until its deadline */
    PSI_KIND_COUNT
};

/* A place for one call to arrive, asked for again as soon as it was used. */
struct psi_slot {
    struct psi_event accepted;
    struct ps_rpc_server *server;
    struct psi_loop *loop;
    int kind;
    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_call_details details; /* PSI_KIND_UNKNOWN only */
    grpc_byte_buffer *request;
};

/* One call, from its arrival until its answer has gone. */
struct psi_call {
    struct psi_event answered;
    struct ps_rpc_server *server;
    struct psi_loop *loop;
    int kind;
    grpc_call *call;
    gpr_timespec deadline;
    grpc_byte_buffer *request;
    grpc_byte_buffer *reply;
    struct psi_status status;
    int cancelled;
    struct psi_call *next; /* in the queue of the control threads */
};

/* Threads for handlers that may take long. */
struct psi_control {
    struct ps_mutex lock;
    struct ps_cond work;
    struct psi_call *first;
    struct psi_call **last;
    bool stopping;
    pthread_t *threads;
    int thread_count;
};

PS_MUST_CHECK enum ps_code psi_control_start(struct psi_control *control, int thread_count,
                                             struct ps_error *err);
/* Finishes what is queued, joins. Takes one that is zeroed or half started. */
void psi_control_stop(struct psi_control *control);

struct psi_served;
struct psi_watcher;

struct ps_rpc_server {
    /* set by create, never changed */
    struct ps_rpc_handlers handlers;
    grpc_server *server;
    void *registered[PSI_KIND_COUNT];
    struct psi_loop *loops;
    int loop_count;
    struct psi_slot *slots;
    int port;
    struct psi_control control;
    struct psi_debt debt;

    /* guarded by lock */
    struct ps_mutex lock;
    struct ps_cond changed; /* running fell to 0, or stopped became true */
    int running;            /* calls accepted and not yet gone */
    bool stopping;          /* no more streams */
    bool abandoned;         /* the grace period is over: handlers are not called any more */
    bool stopped;           /* gRPC has closed every connection */
    struct psi_served *streams;
    struct psi_watcher *watchers;
    uint64_t health_round;

    struct psi_event shutdown;
};

/* Arrival (rpc_accept.c): before the server starts, with its loops, and after it has started. */
void psi_accept_register(struct ps_rpc_server *server);
PS_MUST_CHECK enum ps_code psi_accept_prepare(struct ps_rpc_server *server, struct ps_error *err);
void psi_accept_begin(struct ps_rpc_server *server);

/* Unary calls (rpc_unary.c). Serve takes the call, answer takes both. */
void psi_unary_serve(struct psi_call *call);
/* reply is NULL with every code but PS_OK. The call counts as running until it has gone out. */
void psi_unary_answer(struct psi_call *call, grpc_byte_buffer *reply, enum ps_code code,
                      const char *message);
void psi_call_free(struct psi_call *call);
/* One call or stream has gone. */
void psi_server_leave(struct ps_rpc_server *server);

/* Streams (rpc_served.c): counted, and ended when the server stops. Takes the call; NULL when it
 * was refused already. */
struct ps_stream *psi_served_stream(struct psi_call *call, bool outlives_input);
void psi_served_data(struct psi_call *call); /* takes it */
void psi_served_end_all(struct ps_rpc_server *server);

/* grpc.health.v1 (rpc_health.c). Take the call. */
void psi_health_check(struct psi_call *call);
void psi_health_watch(struct psi_call *call);
/* Asks every watcher to look again; ctx is the server. */
void psi_health_tick(void *ctx);

#endif
