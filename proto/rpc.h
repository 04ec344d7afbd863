/* The transport: unary calls and tensor streams, on gRPC C core, which nothing else includes. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_PROTO_RPC_H
#define PARAMD_PROTO_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/status.h"

/* Unary methods: name, and whether its handler may take long (then it runs on the control threads
 * instead of on the thread that polls the sockets). */
#define PS_METHODS(X)              \
    X(HELLO, "Hello", 0)           \
    X(DECLARE, "Declare", 1)       \
    X(CREATE, "Create", 1)         \
    X(INITIALIZE, "Initialize", 1) \
    X(LIST, "List", 1)             \
    X(STATUS, "Status", 0)         \
    X(READ, "Read", 0)             \
    X(ATTACH, "Attach", 1)         \
    X(RESOLVE, "Resolve", 1)       \
    X(FINISH, "Finish", 1)         \
    X(SAVE, "Save", 1)             \
    X(SAVE_SHARD, "SaveShard", 1)  \
    X(RESTORE, "Restore", 1)       \
    X(RESTORE_SHARD, "RestoreShard", 1)

enum ps_method {
#define PS_METHOD_ENUM(id, name, slow) PS_METHOD_##id,
    PS_METHODS(PS_METHOD_ENUM)
#undef PS_METHOD_ENUM
        PS_METHOD_COUNT
};

/* "Hello", ... */
const char *ps_method_name(enum ps_method method);

/* A message on its way out: the packed head, and tensor bytes that become the last field (data,
 * number 15) without being copied. Zero-initialise. The transport takes ownership of head and
 * calls release(owner) exactly once when it needs data no more: on any thread, perhaps inside
 * locks of the library, so release only drops a reference. data may be changed or freed only after
 * that. */
struct ps_outgoing {
    struct ps_buf head;
    const void *data;
    size_t data_size;
    void (*release)(void *owner); /* may be NULL */
    void *owner;
};

/* A message that arrived: head is every field before data, contiguous; payload is data as it was
 * received, in pieces (NULL when absent). Both are borrowed for the call; acquire payload to keep
 * it. A peer that writes its fields in another order is understood too (at the price of a copy). */
struct ps_incoming {
    struct ps_span head;
    struct ps_payload *payload;
};

void ps_outgoing_clean(struct ps_outgoing *message); /* of one that was never handed over */

/* ---- The library ---- */

/* Starts and stops gRPC, counted; also sets malloc to keep freed receive buffers. Call start
 * before anything below and never before fork. Threads: any. */
void ps_rpc_start(void);
void ps_rpc_stop(void);

/* ---- Streams, the same at both ends ---- */

struct ps_stream;

/* What an end does. Calls of produce never overlap each other, nor do calls of consume; produce
 * and consume may overlap. After closed no other callback of this stream runs. No lock of the
 * transport is held during a callback. */
struct ps_stream_events {
    /* Fills out with the next message; false when there is nothing to send now. Asked again when
     * the previous message was taken by flow control and after each ps_stream_wake. */
    bool (*produce)(void *ctx, struct ps_outgoing *out);
    /* One message. The next is read only after this returns: that is the back-pressure. At a
     * server other calls of the same polling thread wait as well: seconds are too long. */
    void (*consume)(void *ctx, const struct ps_incoming *message);
    /* The stream has ended with this code (PS_OK: the peer finished it). Comes exactly once, on
     * any thread. */
    void (*closed)(void *ctx, enum ps_code code, const char *message);
};

/* There may be something to produce. Threads: any, also inside callbacks. Cheap when a send is
 * already under way; otherwise produce runs before this returns, on this thread, and so may closed:
 * hold no lock that they take. */
void ps_stream_wake(struct ps_stream *stream);

/* Asks the stream to end with this code; closed follows. Pending output is dropped unless code is
 * PS_OK: then produce is asked until it has nothing more, and all of it reaches the peer. A
 * server's code and message arrive at the client; of a client's, the server learns CANCELLED. A
 * client that ends with PS_OK goes on receiving until the server has finished too. Threads: any;
 * as ps_stream_wake. */
void ps_stream_end(struct ps_stream *stream, enum ps_code code, const char *message);

/* Streams are counted. Who opened one holds a reference and releases it after closed; a handler
 * that wants to wake or end a stream later acquires one in open. wake and end on a stream that has
 * closed do nothing. release returns NULL and takes NULL. */
struct ps_stream *ps_stream_acquire(struct ps_stream *stream);
struct ps_stream *ps_stream_release(struct ps_stream *stream);

/* Address of the other end, for messages ("ipv4:127.0.0.1:40312"). */
const char *ps_stream_peer(const struct ps_stream *stream);

/* ---- Serving ---- */

struct ps_rpc_server;

struct ps_rpc_handlers {
    void *ctx;
    /* Answers one unary call: request is borrowed; reply is zeroed and taken when PS_OK is
     * returned. Another code becomes the call's status with err->message as its text.
     * remaining_ms: until the caller's deadline. Threads: several at once. */
    enum ps_code (*call)(void *ctx, enum ps_method method, const struct ps_incoming *request,
                         int64_t remaining_ms, struct ps_outgoing *reply, struct ps_error *err);
    /* A peer opened a data stream: returns the events and their ctx, or NULL to refuse it
     * (with err). The stream stays valid until closed has returned. */
    const struct ps_stream_events *(*open)(void *ctx, struct ps_stream *stream,
                                           void **stream_ctx_out, struct ps_error *err);
    /* grpc.health.v1: whether service name is known and serving. "" is the whole process. */
    bool (*healthy)(void *ctx, const char *service, bool *known_out);
};

struct ps_rpc_server_options {
    const char *address;      /* "127.0.0.1:0"; port 0 takes a free one */
    int thread_count;         /* threads that poll, 0: half the cores, at most 4 */
    int control_thread_count; /* threads for slow methods, 0: 2 */
    size_t lookahead_bytes;   /* flow-control window of a stream, 0: 4 MiB */
    struct ps_rpc_handlers handlers;
};

/* Binds and serves. Errors: UNAVAILABLE `cannot listen on 127.0.0.1:2222: in use by pid 4711
 * (paramd ps ...). Stop it, or --port=0 to take a free one` (the pid where /proc tells it),
 * INVALID_ARGUMENT for an address that is none. */
PS_MUST_CHECK enum ps_code ps_rpc_server_create(const struct ps_rpc_server_options *options,
                                                struct ps_rpc_server **server_out,
                                                struct ps_error *err);
/* The port that was bound. */
int ps_rpc_server_port(const struct ps_rpc_server *server);
/* Stops accepting, lets running calls end for grace_ms, cancels the rest, joins every thread,
 * frees. Streams get closed first, with UNAVAILABLE. Every release of what was sent has come when
 * it returns. Takes NULL. Not from a callback. */
void ps_rpc_server_destroy(struct ps_rpc_server *server, int64_t grace_ms);

/* ---- Calling ---- */

/* One thread that polls the sockets of many channels. */
struct ps_rpc_client;
struct ps_channel;

PS_MUST_CHECK enum ps_code ps_rpc_client_create(struct ps_rpc_client **client_out,
                                                struct ps_error *err);
/* Every channel of it was destroyed before. Every release of what was sent has come when it
 * returns. Takes NULL. Not from a callback. */
void ps_rpc_client_destroy(struct ps_rpc_client *client);

/* A connection to one task, made when first used and again when lost (100 ms to 2 s between
 * tries, names resolved again). Two channels never share a connection. */
PS_MUST_CHECK enum ps_code ps_channel_create(struct ps_rpc_client *client, const char *address,
                                             size_t lookahead_bytes,
                                             struct ps_channel **channel_out, struct ps_error *err);
/* Every call returned and every stream closed before. Takes NULL. */
void ps_channel_destroy(struct ps_channel *channel);
const char *ps_channel_address(const struct ps_channel *channel);

/* The answer to a unary call; ps_answer_clean when done. */
struct ps_answer {
    struct ps_incoming message; /* owned here */
    void *owner;
};
void ps_answer_clean(struct ps_answer *answer);

/* Calls and waits until the deadline at most. Takes request. wait_for_ready: a peer that is not
 * there yet is waited for instead of failing with UNAVAILABLE. Errors: the peer's code and text,
 * with err->message starting with the method and the address; UNAVAILABLE tells refused from
 * unreachable from unresolvable. Threads: any number at once. */
PS_MUST_CHECK enum ps_code ps_channel_call(struct ps_channel *channel, enum ps_method method,
                                           struct ps_outgoing *request, int64_t deadline_ms,
                                           bool wait_for_ready, struct ps_answer *answer_out,
                                           struct ps_error *err);

/* Opens the data stream. events and ctx stay valid until closed was called. */
PS_MUST_CHECK enum ps_code ps_channel_open(struct ps_channel *channel,
                                           const struct ps_stream_events *events, void *ctx,
                                           struct ps_stream **stream_out, struct ps_error *err);

/* grpc.health.v1.Health/Check: *serving_out tells SERVING. NOT_FOUND for an unknown service. */
PS_MUST_CHECK enum ps_code ps_channel_health(struct ps_channel *channel, const char *service,
                                             int64_t deadline_ms, bool *serving_out,
                                             struct ps_error *err);

/* Who holds this local TCP port for listening, for messages: "pid 4711 (paramd ps ...)" into text,
 * or "" where the kernel does not tell. */
const char *ps_port_holder(int port, char *text, size_t size);

#endif
