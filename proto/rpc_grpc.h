/* The one door to gRPC C core: its headers, our events and loops, messages to and from slices. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_PROTO_RPC_GRPC_H
#define PARAMD_PROTO_RPC_GRPC_H

/* Private to proto/rpc*.c. Only names that exist from gRPC 1.51 on, and never gpr_log. */
#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#ifdef PS_HAVE_GPR_SET_LOG_FUNCTION
#include <grpc/support/log.h>
#endif
#include <grpc/support/time.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/lock.h"
#include "core/status.h"
#include "proto/rpc.h"

/* ThreadSanitizer does not see the locks inside gRPC, so each tag carries the order of events
 * itself: what was written before an operation started is seen by whoever gets its tag. */
#if defined(__SANITIZE_THREAD__)
#define PSI_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PSI_TSAN 1
#endif
#endif
#ifdef PSI_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define PSI_TSAN_ACQUIRE(address) __tsan_acquire(address)
#define PSI_TSAN_RELEASE(address) __tsan_release(address)
#else
#define PSI_TSAN_ACQUIRE(address) ((void)(address))
#define PSI_TSAN_RELEASE(address) ((void)(address))
#endif

/* ---- Events: what a completion queue hands back ---- */

/* The tag of every operation: embedded in what it belongs to. ok is false when the operation
 * failed (the connection is gone, the call was cancelled, the server stops). */
struct psi_event {
    void (*run)(struct psi_event *event, bool ok);
};

/* The struct that an event is embedded in. */
#define PSI_OWNER(event, type, member) ((type *)(void *)((char *)(event)-offsetof(type, member)))

/* Starts operations on a call; event runs when all of them are done. A refusal by gRPC is a fault
 * of our own. Operations that send, and those that receive, are each started by one thread at a
 * time. */
void psi_start(grpc_call *call, const grpc_op *ops, size_t op_count, struct psi_event *event);

/* A completion queue and the one thread that polls it. */
struct psi_loop {
    grpc_completion_queue *queue;
    pthread_t thread;
    bool started;
    void (*tick)(void *ctx); /* twice a second while ticking > 0 */
    void *tick_ctx;
    atomic_int ticking;
};

PS_MUST_CHECK enum ps_code psi_loop_start(struct psi_loop *loop, const char *thread_name,
                                          struct ps_error *err);
/* No operation may be started on the queue from here on. Joins; takes a loop never started. */
void psi_loop_stop(struct psi_loop *loop);
/* After stop, and after what was bound to the queue. */
void psi_loop_clean(struct psi_loop *loop);

/* Starts a thread of the transport: named, deaf to signals, and denormal floats are zero in it. */
PS_MUST_CHECK enum ps_code psi_thread_start(pthread_t *thread_out, const char *name,
                                            void *(*run)(void *), void *argument,
                                            struct ps_error *err);

/* ---- Arguments and time ---- */

enum { PSI_LOOKAHEAD_BYTES = 4 << 20 };

/* What both ends of a connection set, in args[0..count); returns count. */
enum { PSI_COMMON_ARGS = 12 };
size_t psi_common_args(grpc_arg args[PSI_COMMON_ARGS], size_t lookahead_bytes);
grpc_arg psi_int_arg(const char *key, int value);

/* timeout_ms from now; INT64_MAX: never. */
gpr_timespec psi_deadline(int64_t timeout_ms);
/* Milliseconds until then, at least 0; INT64_MAX: never. */
int64_t psi_remaining_ms(gpr_timespec deadline);

/* ---- Messages ---- */

/* How many messages gRPC has borrowed the data of. It lets go of some of them on threads of its
 * own, even after grpc_shutdown; whoever owns the data must not be gone by then. */
struct psi_debt {
    struct ps_mutex lock;
    struct ps_cond paid;
    long count;
};

void psi_debt_init(struct psi_debt *debt);
/* Waits until everything was released. The loops that drive the connections still run. */
void psi_debt_settle(struct psi_debt *debt);
void psi_debt_clean(struct psi_debt *debt); /* takes one that is zeroed */

/* Head, tag and data as slices; data is not copied unless it is small. Zeroes the message. */
grpc_byte_buffer *psi_pack_take(struct ps_outgoing *message, struct psi_debt *debt);

/* One message that was received, cut apart; freed when its payload's last reference goes. */
struct psi_received {
    struct ps_incoming incoming; /* payload is NULL without data */
    struct ps_payload payload;   /* counts the references, also without data */
    grpc_byte_buffer *buffer;
    uint8_t *own; /* bytes that had to be copied together, or NULL */
    struct ps_span spans[];
};

/* Takes the buffer in every case. Errors: INVALID_ARGUMENT (no protobuf message, or a head larger
 * than max_head_size), RESOURCE_EXHAUSTED. */
PS_MUST_CHECK enum ps_code psi_unpack_take(grpc_byte_buffer *buffer, size_t max_head_size,
                                           struct psi_received **received_out,
                                           struct ps_error *err);
struct psi_received *psi_received_release(struct psi_received *received);

/* ---- Streams ---- */

/* Who makes a stream; the texts and callbacks differ a little by end. */
struct psi_stream_options {
    grpc_call *call; /* taken */
    bool is_client;
    bool outlives_input;   /* server: the peer's end of input does not end the stream (health) */
    const char *address;   /* of the peer; copied */
    const char *subject;   /* what a failure is about: "Data 10.0.0.7:2222"; client; copied */
    struct psi_debt *debt; /* outlives the stream's messages */
    void (*done)(void *owner); /* after closed has returned; may be NULL */
    void *owner;
};

/* NULL when out of memory (the call is not taken then). Holds one reference for the transport. */
struct ps_stream *psi_stream_create(const struct psi_stream_options *options);
/* Begins: from here on callbacks run. */
void psi_stream_begin(struct ps_stream *stream, const struct ps_stream_events *events, void *ctx);
/* Server: answers the call with this failure instead; no callback runs, done does. */
void psi_stream_refuse(struct ps_stream *stream, enum ps_code code, const char *message);

/* ---- Failures ---- */

/* Trailing metadata of every failure that one of our servers answers: so its text is told from
 * what gRPC, a proxy or another service makes up. */
#define PSI_ANSWER_KEY "paramd-version"

/* How a server ends a call; stays where it is until the call is over. */
struct psi_status {
    grpc_status_code code;
    grpc_slice details;
    grpc_metadata mark;
};

void psi_status_init(struct psi_status *status, enum ps_code code, const char *message);
grpc_op psi_status_op(struct psi_status *status);
void psi_status_clean(struct psi_status *status);

/* What is known about a call that failed. */
struct psi_failure {
    const char *subject; /* "Hello 10.0.0.7:2222" */
    const char *address;
    grpc_status_code status;
    const char *details; /* the status text */
    bool is_answer;      /* of a paramd */
    bool connected;      /* whether there is a connection (tells slow from absent) */
    int64_t deadline_ms;
};

bool psi_failure_is_answer(const grpc_metadata_array *trailing);

/* Records it in words for people; returns the code. */
enum ps_code psi_failure_explain(const struct psi_failure *failure, struct ps_error *err);

/* Name of the service in method paths and in health checks. */
#define PSI_SERVICE   "paramd.ParameterServer"
#define PSI_DATA_PATH "/" PSI_SERVICE "/Data"

#endif
