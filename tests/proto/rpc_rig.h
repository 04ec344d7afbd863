/* A server and a client in one process, with handlers whose pace the test sets. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_PROTO_RPC_RIG_H
#define PARAMD_TESTS_PROTO_RPC_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/lock.h"
#include "proto/rpc.h"

/* A number that threads raise and wait for; waiting gives up (and fails the test) after
 * half a minute, which no machine needs. */
struct tally {
    struct ps_mutex lock;
    struct ps_cond changed;
    long value;
};

void tally_init(struct tally *tally);
void tally_clean(struct tally *tally);
long tally_add(struct tally *tally, long by); /* returns the new value */
long tally_value(struct tally *tally);
void tally_wait(struct tally *tally, long at_least);

/* Handlers: HELLO echoes head and data; STATUS fails with FAILED_PRECONDITION "not yet"; LIST
 * tells remaining_ms in its head's field 1; the slow DECLARE raises entered, waits until gate is
 * raised, and echoes; every other method is UNIMPLEMENTED "later". Health: "" is always known,
 * "flips" serves while `serving` is above 0. */
struct rig {
    struct ps_rpc_server *server;
    struct ps_rpc_client *client;
    struct ps_channel *channel;
    char address[32];
    struct tally entered;
    struct tally gate;
    struct tally serving;
    /* What open returns; NULL refuses with PERMISSION_DENIED "not you". */
    const struct ps_stream_events *events;
    void *(*attach)(void *ctx, struct ps_stream *stream); /* ctx of the served stream */
    void *attach_ctx;
};

void rig_start(struct rig *rig);
/* As rig_start, with the options of the caller (address and handlers are set here). */
void rig_start_with(struct rig *rig, struct ps_rpc_server_options options);
void rig_stop(struct rig *rig);

/* A message head: field 1 as a varint. */
void put_head(struct ps_buf *head, uint64_t number);
uint64_t head_number(struct ps_span head);

/* One call with a head of number 7 and no data. */
enum ps_code rig_call(struct rig *rig, enum ps_method method, int64_t deadline_ms,
                      struct ps_error *err);

/* A TCP socket bound to a free local port; listening if backlog > 0. */
int bound_socket(int backlog, int *port_out);

#endif
