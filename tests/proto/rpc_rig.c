/* The rig: tallies, handlers, and a server with a client on a free port. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/proto/rpc_rig.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/clock.h"

static const int64_t patience_ns = INT64_C(30) * 1000000000;

void tally_init(struct tally *tally)
{
    ps_mutex_init(&tally->lock, "tally", PS_RANK_TASK);
    ps_cond_init(&tally->changed);
    tally->value = 0;
}

void tally_clean(struct tally *tally)
{
    ps_cond_clean(&tally->changed);
    ps_mutex_clean(&tally->lock);
}

long tally_add(struct tally *tally, long by)
{
    ps_mutex_lock(&tally->lock);
    long value = tally->value += by;
    ps_cond_broadcast(&tally->changed);
    ps_mutex_unlock(&tally->lock);
    return value;
}

long tally_value(struct tally *tally)
{
    return tally_add(tally, 0);
}

void tally_wait(struct tally *tally, long at_least)
{
    int64_t until = ps_clock_now_ns(ps_clock_monotonic()) + patience_ns;
    bool in_time = true;
    ps_mutex_lock(&tally->lock);
    while (tally->value < at_least && in_time) {
        in_time = ps_cond_wait_until(&tally->changed, &tally->lock, until);
    }
    long value = tally->value;
    ps_mutex_unlock(&tally->lock);
    ck_assert_msg(value >= at_least, "waited for %ld, but it stays at %ld", at_least, value);
}

void put_head(struct ps_buf *head, uint64_t number)
{
    uint8_t bytes[11] = { 1 << 3 };
    size_t size = 1;
    while (number >= 0x80) {
        bytes[size++] = (uint8_t)(number | 0x80);
        number >>= 7;
    }
    bytes[size++] = (uint8_t)number;
    ck_assert_int_eq(ps_buf_append(head, bytes, size, NULL), PS_OK);
}

uint64_t head_number(struct ps_span head)
{
    uint64_t number = 0;
    ck_assert_uint_ge(head.size, 2);
    ck_assert_uint_eq(head.data[0], 1 << 3);
    for (size_t i = 1; i < head.size; i++) {
        number |= (uint64_t)(head.data[i] & 0x7f) << (7 * (i - 1));
    }
    return number;
}

static enum ps_code echo(const struct ps_incoming *request, struct ps_outgoing *reply,
                         struct ps_error *err)
{
    enum ps_code rc = ps_buf_append(&reply->head, request->head.data, request->head.size, err);
    if (rc != PS_OK || request->payload == NULL) { return rc; }
    size_t size = request->payload->size;
    uint8_t *copy = ps_alloc(size);
    struct ps_cursor cursor = ps_cursor_at(request->payload, 0);
    ck_assert(ps_cursor_copy(&cursor, copy, size));
    reply->data = copy;
    reply->data_size = size;
    reply->release = ps_free;
    reply->owner = copy;
    return PS_OK;
}

static enum ps_code on_call(void *ctx, enum ps_method method, const struct ps_incoming *request,
                            int64_t remaining_ms, struct ps_outgoing *reply, struct ps_error *err)
{
    struct rig *rig = ctx;
    switch (method) {
    case PS_METHOD_HELLO: return echo(request, reply, err);
    case PS_METHOD_STATUS: return ps_fail(err, PS_FAILED_PRECONDITION, "not yet");
    case PS_METHOD_LIST: put_head(&reply->head, (uint64_t)remaining_ms); return PS_OK;
    case PS_METHOD_DECLARE:
        tally_add(&rig->entered, 1);
        tally_wait(&rig->gate, 1);
        return echo(request, reply, err);
    default: return ps_fail(err, PS_UNIMPLEMENTED, "later");
    }
}

static const struct ps_stream_events *on_open(void *ctx, struct ps_stream *stream,
                                              void **stream_ctx_out, struct ps_error *err)
{
    struct rig *rig = ctx;
    if (rig->events == NULL) {
        ps_fail(err, PS_PERMISSION_DENIED, "not you");
        return NULL;
    }
    *stream_ctx_out = rig->attach(rig->attach_ctx, stream);
    return rig->events;
}

static bool on_healthy(void *ctx, const char *service, bool *known_out)
{
    struct rig *rig = ctx;
    bool flips = strcmp(service, "flips") == 0;
    *known_out = flips || service[0] == '\0';
    return !flips || tally_value(&rig->serving) > 0;
}

void rig_start_with(struct rig *rig, struct ps_rpc_server_options options)
{
    struct ps_error err = PS_ERROR_INIT;
    ps_rpc_start();
    tally_init(&rig->entered);
    tally_init(&rig->gate);
    tally_init(&rig->serving);
    options.address = "127.0.0.1:0";
    options.handlers = (struct ps_rpc_handlers){
        .ctx = rig, .call = on_call, .open = on_open, .healthy = on_healthy
    };
    ck_assert_msg(ps_rpc_server_create(&options, &rig->server, &err) == PS_OK, "%s", err.message);
    snprintf(rig->address, sizeof rig->address, "127.0.0.1:%d", ps_rpc_server_port(rig->server));
    ck_assert_int_eq(ps_rpc_client_create(&rig->client, &err), PS_OK);
    ck_assert_int_eq(
        ps_channel_create(rig->client, rig->address, options.lookahead_bytes, &rig->channel, &err),
        PS_OK);
}

void rig_start(struct rig *rig)
{
    rig_start_with(rig, (struct ps_rpc_server_options){ .thread_count = 2 });
}

void rig_stop(struct rig *rig)
{
    ps_channel_destroy(rig->channel);
    ps_rpc_client_destroy(rig->client);
    ps_rpc_server_destroy(rig->server, 1000);
    tally_clean(&rig->entered);
    tally_clean(&rig->gate);
    tally_clean(&rig->serving);
    ps_rpc_stop();
}

enum ps_code rig_call(struct rig *rig, enum ps_method method, int64_t deadline_ms,
                      struct ps_error *err)
{
    struct ps_outgoing request = { 0 };
    struct ps_answer answer;
    put_head(&request.head, 7);
    enum ps_code rc = ps_channel_call(rig->channel, method, &request, deadline_ms, false, &answer,
                                      err);
    ps_answer_clean(&answer);
    return rc;
}

int bound_socket(int backlog, int *port_out)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
    if (backlog > 0) { ck_assert_int_eq(listen(fd, backlog), 0); }
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port_out = ntohs(address.sin_port);
    return fd;
}
