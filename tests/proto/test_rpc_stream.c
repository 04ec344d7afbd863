/* Streams: contents, back-pressure, wake-ups, releases, and every way to end. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "proto/messages.h"
#include "proto/rpc_priv.h"
#include "tests/proto/rpc_rig.h"

enum { MEGABYTE = 1 << 20, PATTERN_BYTES = 2 * MEGABYTE, LONG_MS = 60000 };

/* One end of a stream under test: sends `wanted` messages, checks what it receives. */
struct end {
    const uint8_t *pattern; /* message i carries size bytes from pattern + i */
    size_t size;
    struct ps_stream *stream;
    bool finish_when_sent; /* ends with PS_OK after the last message */
    struct tally wanted;   /* messages it may send */
    struct tally sent;     /* taken from produce */
    struct tally received;
    struct tally allowed; /* messages it may consume; each consume waits for its turn */
    struct tally waiting; /* consume calls that have begun */
    struct tally released;
    struct tally closed;
    enum ps_code code;
    char message[PS_ERROR_MESSAGE_BYTES];
    int inside_produce; /* atomic; to see calls that overlap */
    int inside_consume;
};

static uint8_t pattern[PATTERN_BYTES];

static void end_init(struct end *end, size_t size, long wanted)
{
    *end = (struct end){ .pattern = pattern, .size = size, .code = PS_UNKNOWN };
    struct tally *tallies[] = { &end->wanted,  &end->sent,     &end->received, &end->allowed,
                                &end->waiting, &end->released, &end->closed };
    for (size_t i = 0; i < sizeof tallies / sizeof tallies[0]; i++) { tally_init(tallies[i]); }
    tally_add(&end->wanted, wanted);
    tally_add(&end->allowed, 1 << 20);
}

static void end_clean(struct end *end)
{
    struct tally *tallies[] = { &end->wanted,  &end->sent,     &end->received, &end->allowed,
                                &end->waiting, &end->released, &end->closed };
    for (size_t i = 0; i < sizeof tallies / sizeof tallies[0]; i++) { tally_clean(tallies[i]); }
    ps_stream_release(end->stream);
}

static void count_release(void *owner)
{
    tally_add(&((struct end *)owner)->released, 1);
}

static bool end_produce(void *ctx, struct ps_outgoing *out)
{
    struct end *end = ctx;
    ck_assert_int_eq(__atomic_add_fetch(&end->inside_produce, 1, __ATOMIC_SEQ_CST), 1);
    ck_assert_int_eq(tally_value(&end->closed), 0);
    long sent = tally_value(&end->sent);
    bool some = sent < tally_value(&end->wanted);
    if (some) {
        put_head(&out->head, (uint64_t)sent);
        out->data = end->pattern + sent % MEGABYTE;
        out->data_size = end->size;
        out->release = count_release;
        out->owner = end;
        tally_add(&end->sent, 1);
        /* From inside a callback, as a handler would. */
        if (end->finish_when_sent && sent + 1 == tally_value(&end->wanted)) {
            ps_stream_end(end->stream, PS_OK, NULL);
        }
    }
    __atomic_sub_fetch(&end->inside_produce, 1, __ATOMIC_SEQ_CST);
    return some;
}

static void check_payload(struct end *end, const struct ps_incoming *message, uint64_t number)
{
    if (end->size == 0) {
        ck_assert_ptr_null(message->payload);
        return;
    }
    ck_assert_uint_eq(message->payload->size, end->size);
    const uint8_t *expected = end->pattern + number % MEGABYTE;
    struct ps_cursor cursor = ps_cursor_at(message->payload, 0);
    struct ps_span run;
    while ((run = ps_cursor_next(&cursor, SIZE_MAX)).size > 0) {
        ck_assert_mem_eq(run.data, expected, run.size);
        expected += run.size;
    }
}

static void end_consume(void *ctx, const struct ps_incoming *message)
{
    struct end *end = ctx;
    ck_assert_int_eq(__atomic_add_fetch(&end->inside_consume, 1, __ATOMIC_SEQ_CST), 1);
    ck_assert_int_eq(tally_value(&end->closed), 0);
    uint64_t number = head_number(message->head);
    ck_assert_uint_eq(number, (uint64_t)tally_value(&end->received)); /* in order, none lost */
    check_payload(end, message, number);
    tally_wait(&end->allowed, tally_add(&end->waiting, 1));
    tally_add(&end->received, 1);
    __atomic_sub_fetch(&end->inside_consume, 1, __ATOMIC_SEQ_CST);
}

static void end_closed(void *ctx, enum ps_code code, const char *message)
{
    struct end *end = ctx;
    ck_assert_int_eq(__atomic_load_n(&end->inside_produce, __ATOMIC_SEQ_CST), 0);
    ck_assert_int_eq(__atomic_load_n(&end->inside_consume, __ATOMIC_SEQ_CST), 0);
    end->code = code;
    strncpy(end->message, message, sizeof end->message - 1);
    ck_assert_int_eq(tally_add(&end->closed, 1), 1);
}

static const struct ps_stream_events end_events = { .produce = end_produce,
                                                    .consume = end_consume,
                                                    .closed = end_closed };

static void *attach_end(void *ctx, struct ps_stream *stream)
{
    struct end *end = ctx;
    end->stream = ps_stream_acquire(stream);
    ck_assert_int_eq(strncmp(ps_stream_peer(stream), "ipv4:127.0.0.1:", 15), 0);
    return end;
}

/* Two ends, not connected yet. */
struct pair {
    struct rig rig;
    struct end client;
    struct end server;
};

static void pair_start(struct pair *pair, size_t size, long to_server, long to_client)
{
    *pair = (struct pair){ .rig = { .events = &end_events, .attach = attach_end } };
    end_init(&pair->client, size, to_server);
    end_init(&pair->server, size, to_client);
    pair->rig.attach_ctx = &pair->server;
    rig_start(&pair->rig);
}

static void pair_open(struct pair *pair)
{
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_int_eq(
        ps_channel_open(pair->rig.channel, &end_events, &pair->client, &pair->client.stream, &err),
        PS_OK);
}

/* Checks that every message that was taken is released, once. */
static void pair_stop(struct pair *pair)
{
    rig_stop(&pair->rig);
    ck_assert_int_eq(tally_value(&pair->client.released), tally_value(&pair->client.sent));
    ck_assert_int_eq(tally_value(&pair->server.released), tally_value(&pair->server.sent));
    end_clean(&pair->client);
    end_clean(&pair->server);
}

/* ---- Contents ---- */

static void run_both_ways(size_t size, long count)
{
    struct pair pair;
    pair_start(&pair, size, count, count);
    pair_open(&pair);
    tally_wait(&pair.server.received, count);
    tally_wait(&pair.client.received, count);
    ps_stream_end(pair.client.stream, PS_OK, NULL);
    tally_wait(&pair.client.closed, 1);
    tally_wait(&pair.server.closed, 1);
    ck_assert_int_eq(tally_value(&pair.client.received), count);
    ck_assert_int_eq(pair.client.code, PS_OK);
    ck_assert_int_eq(pair.server.code, PS_OK);
    pair_stop(&pair);
}

START_TEST(megabytes_cross_both_ways)
{
    run_both_ways(MEGABYTE, 24);
}
END_TEST

START_TEST(small_messages_cross_both_ways)
{
    run_both_ways(4, 500);
}
END_TEST

START_TEST(messages_without_data_cross_both_ways)
{
    run_both_ways(0, 100);
}
END_TEST

START_TEST(client_that_finishes_gets_what_was_produced_for_it)
{
    enum { COUNT = 12 };
    struct pair pair;
    pair_start(&pair, MEGABYTE, COUNT, COUNT);
    pair.client.finish_when_sent = true;
    pair_open(&pair);
    tally_wait(&pair.client.closed, 1);
    tally_wait(&pair.server.closed, 1);
    ck_assert_int_eq(tally_value(&pair.server.received), COUNT);
    ck_assert_int_eq(tally_value(&pair.client.received), COUNT);
    ck_assert_int_eq(pair.client.code, PS_OK);
    ck_assert_int_eq(pair.server.code, PS_OK);
    pair_stop(&pair);
}
END_TEST

/* ---- Back-pressure ---- */

START_TEST(consumer_that_holds_back_stalls_the_producer)
{
    /* The window of 4 MiB, one message being written, one being consumed, and the sizes of heads
     * and frames. */
    enum { COUNT = 40, AHEAD_MIN = 4, AHEAD_MAX = 7 };
    struct pair pair;
    struct rig other = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    pair_start(&pair, MEGABYTE, COUNT, 0);
    rig_start(&other);
    tally_add(&pair.server.allowed, -(1 << 20));
    pair_open(&pair);
    tally_wait(&pair.server.waiting, 1);
    tally_wait(&pair.client.sent, AHEAD_MIN);
    /* Calls to another server give a producer without bounds time to run away. */
    for (int i = 0; i < 300; i++) {
        ck_assert_int_eq(rig_call(&other, PS_METHOD_HELLO, LONG_MS, &err), PS_OK);
    }
    for (long turn = 1; turn <= COUNT; turn++) {
        tally_wait(&pair.server.waiting, turn);
        ck_assert_int_le(tally_value(&pair.client.sent), turn - 1 + AHEAD_MAX);
        tally_add(&pair.server.allowed, 1);
    }
    tally_wait(&pair.server.received, COUNT);
    ps_stream_end(pair.client.stream, PS_OK, NULL);
    tally_wait(&pair.client.closed, 1);
    rig_stop(&other);
    pair_stop(&pair);
}
END_TEST

/* ---- Waking ---- */

struct waker {
    struct end *end;
    long count;
    pthread_t thread;
};

static void *wake_often(void *argument)
{
    struct waker *waker = argument;
    for (long i = 0; i < waker->count; i++) {
        tally_add(&waker->end->wanted, 1);
        ps_stream_wake(waker->end->stream);
    }
    return NULL;
}

START_TEST(wakes_from_many_threads_lose_nothing)
{
    enum { THREADS = 6, COUNT = 150 };
    struct pair pair;
    struct waker wakers[THREADS];
    pair_start(&pair, 16, 0, 0);
    pair_open(&pair);
    for (int i = 0; i < THREADS; i++) {
        wakers[i] = (struct waker){ .end = &pair.client, .count = COUNT };
        pthread_create(&wakers[i].thread, NULL, wake_often, &wakers[i]);
    }
    for (int i = 0; i < THREADS; i++) { pthread_join(wakers[i].thread, NULL); }
    tally_wait(&pair.server.received, THREADS * COUNT);
    ps_stream_end(pair.client.stream, PS_OK, NULL);
    tally_wait(&pair.client.closed, 1);
    ck_assert_int_eq(pair.client.code, PS_OK);
    ps_stream_wake(pair.client.stream); /* of a closed stream: nothing */
    ps_stream_end(pair.client.stream, PS_CANCELLED, "late");
    pair_stop(&pair);
}
END_TEST

START_TEST(wakes_race_with_the_end)
{
    enum { THREADS = 4, COUNT = 200 };
    for (int round = 0; round < 10; round++) {
        struct pair pair;
        struct waker wakers[THREADS];
        pair_start(&pair, 4096, 0, 0);
        pair_open(&pair);
        for (int i = 0; i < THREADS; i++) {
            wakers[i] = (struct waker){ .end = &pair.client, .count = COUNT };
            pthread_create(&wakers[i].thread, NULL, wake_often, &wakers[i]);
        }
        tally_wait(&pair.client.sent, 1 + round * 10);
        ps_stream_end(pair.client.stream, PS_ABORTED, "in the middle");
        for (int i = 0; i < THREADS; i++) { pthread_join(wakers[i].thread, NULL); }
        tally_wait(&pair.client.closed, 1);
        ck_assert_int_eq(pair.client.code, PS_ABORTED);
        ck_assert_str_eq(pair.client.message, "in the middle");
        pair_stop(&pair);
    }
}
END_TEST

/* Says that it has nothing, but is woken before it has said so. */
struct late {
    struct ps_stream *stream;
    int calls;
    struct tally closed;
};

static bool late_produce(void *ctx, struct ps_outgoing *out)
{
    struct late *late = ctx;
    late->calls++;
    if (late->calls == 2) { ps_stream_wake(late->stream); } /* the first sent the greeting */
    if (late->calls != 3) { return false; }
    put_head(&out->head, 0);
    return true;
}

static void late_consume(void *ctx, const struct ps_incoming *message)
{
    (void)ctx;
    (void)message;
}

static void late_closed(void *ctx, enum ps_code code, const char *message)
{
    struct late *late = ctx;
    (void)message;
    ck_assert_int_eq(code, PS_OK);
    tally_add(&late->closed, 1);
}

static const struct ps_stream_events late_events = { .produce = late_produce,
                                                     .consume = late_consume,
                                                     .closed = late_closed };

START_TEST(wake_during_produce_is_not_lost)
{
    struct pair pair;
    struct late late = { 0 };
    pair_start(&pair, 0, 0, 0);
    tally_init(&late.closed);
    ck_assert_int_eq(ps_channel_open(pair.rig.channel, &late_events, &late, &late.stream, NULL),
                     PS_OK);
    tally_wait(&pair.server.received, 1);
    ps_stream_end(late.stream, PS_OK, NULL);
    tally_wait(&late.closed, 1);
    ps_stream_release(late.stream);
    tally_clean(&late.closed);
    pair_stop(&pair);
}
END_TEST

/* ---- Ends ---- */

START_TEST(server_ends_with_code_and_text)
{
    struct pair pair;
    pair_start(&pair, MEGABYTE, 1, 0);
    pair_open(&pair);
    tally_wait(&pair.server.received, 1);
    ps_stream_end(pair.server.stream, PS_ABORTED, "generation 4 is over");
    tally_wait(&pair.client.closed, 1);
    tally_wait(&pair.server.closed, 1);
    ck_assert_int_eq(pair.client.code, PS_ABORTED);
    ck_assert_ptr_nonnull(strstr(pair.client.message, "generation 4 is over"));
    ck_assert_ptr_nonnull(strstr(pair.client.message, pair.rig.address));
    ck_assert_int_eq(pair.server.code, PS_ABORTED);
    ck_assert_str_eq(pair.server.message, "generation 4 is over");
    pair_stop(&pair);
}
END_TEST

START_TEST(server_ends_while_its_output_is_stuck)
{
    struct pair pair;
    pair_start(&pair, MEGABYTE, 0, 100);
    tally_add(&pair.client.allowed, -(1 << 20)); /* the client reads nothing */
    pair_open(&pair);
    tally_wait(&pair.client.waiting, 1);
    tally_wait(&pair.server.sent, 3);
    ps_stream_end(pair.server.stream, PS_RESOURCE_EXHAUSTED, "enough of this");
    tally_wait(&pair.server.closed, 1);
    ck_assert_int_eq(pair.server.code, PS_RESOURCE_EXHAUSTED);
    tally_add(&pair.client.allowed, 1 << 20);
    tally_wait(&pair.client.closed, 1);
    ck_assert_int_eq(pair.client.code, PS_RESOURCE_EXHAUSTED);
    ck_assert_ptr_nonnull(strstr(pair.client.message, "enough of this"));
    pair_stop(&pair);
}
END_TEST

START_TEST(client_breaks_off_and_everything_is_released)
{
    struct pair pair;
    pair_start(&pair, MEGABYTE, 100, 100);
    tally_add(&pair.server.allowed, -(1 << 20) + 2);
    pair_open(&pair);
    tally_wait(&pair.server.waiting, 3); /* stuck in its third */
    tally_wait(&pair.client.sent, 4);
    ps_stream_end(pair.client.stream, PS_CANCELLED, "no more");
    tally_wait(&pair.client.closed, 1);
    ck_assert_int_eq(pair.client.code, PS_CANCELLED);
    ck_assert_str_eq(pair.client.message, "no more");
    tally_add(&pair.server.allowed, 1 << 20);
    tally_wait(&pair.server.closed, 1);
    ck_assert_int_eq(pair.server.code, PS_CANCELLED);
    pair_stop(&pair);
}
END_TEST

START_TEST(server_stops_with_open_streams)
{
    struct pair pair;
    pair_start(&pair, MEGABYTE, 1000, 1000);
    pair_open(&pair);
    tally_wait(&pair.server.received, 2);
    tally_wait(&pair.client.received, 2);
    ps_rpc_server_destroy(pair.rig.server, LONG_MS); /* a stream does not use up the patience */
    pair.rig.server = NULL;
    ck_assert_int_eq(tally_value(&pair.server.closed), 1);
    ck_assert_int_eq(pair.server.code, PS_UNAVAILABLE);
    tally_wait(&pair.client.closed, 1);
    ck_assert_int_eq(pair.client.code, PS_UNAVAILABLE);
    /* No word on the text: TCP drops what was sent last when the sender has not read all. */
    pair_stop(&pair);
}
END_TEST

START_TEST(refused_stream_tells_why)
{
    struct pair pair;
    pair_start(&pair, 16, 3, 0);
    pair.rig.events = NULL;
    pair_open(&pair);
    tally_wait(&pair.client.closed, 1);
    ck_assert_int_eq(pair.client.code, PS_PERMISSION_DENIED);
    ck_assert_ptr_nonnull(strstr(pair.client.message, "not you"));
    pair_stop(&pair);
}
END_TEST

START_TEST(stream_to_nobody_is_closed)
{
    struct pair pair;
    int port;
    char address[32];
    pair_start(&pair, 16, 3, 0);
    int fd = bound_socket(0, &port);
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    ps_channel_destroy(pair.rig.channel);
    ck_assert_int_eq(ps_channel_create(pair.rig.client, address, 0, &pair.rig.channel, NULL),
                     PS_OK);
    pair_open(&pair);
    tally_wait(&pair.client.closed, 1);
    ck_assert_int_eq(pair.client.code, PS_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(pair.client.message, "connection refused"));
    close(fd);
    pair_stop(&pair);
}
END_TEST

/* ---- Messages that nobody should send ---- */

struct raw {
    struct ps_buf head; /* sent once */
    struct tally closed;
    enum ps_code code;
    char message[PS_ERROR_MESSAGE_BYTES];
};

static bool raw_produce(void *ctx, struct ps_outgoing *out)
{
    struct raw *raw = ctx;
    if (raw->head.size == 0) { return false; }
    out->head = raw->head;
    raw->head = (struct ps_buf){ 0 };
    return true;
}

static void raw_consume(void *ctx, const struct ps_incoming *message)
{
    (void)ctx;
    (void)message;
    ck_abort_msg("nothing was to come back");
}

static void raw_closed(void *ctx, enum ps_code code, const char *message)
{
    struct raw *raw = ctx;
    raw->code = code;
    strncpy(raw->message, message, sizeof raw->message - 1);
    tally_add(&raw->closed, 1);
}

static const struct ps_stream_events raw_events = { .produce = raw_produce,
                                                    .consume = raw_consume,
                                                    .closed = raw_closed };

static void send_raw(const void *prefix, size_t prefix_size, size_t zeros, const char *expected)
{
    struct pair pair;
    struct raw raw = { 0 };
    struct ps_stream *stream;
    uint8_t *bytes = ps_alloc_zero(1, zeros);
    pair_start(&pair, 0, 0, 0);
    tally_init(&raw.closed);
    ck_assert_int_eq(ps_buf_append(&raw.head, prefix, prefix_size, NULL), PS_OK);
    ck_assert_int_eq(ps_buf_append(&raw.head, bytes, zeros, NULL), PS_OK);
    ck_assert_int_eq(ps_channel_open(pair.rig.channel, &raw_events, &raw, &stream, NULL), PS_OK);
    tally_wait(&raw.closed, 1);
    tally_wait(&pair.server.closed, 1);
    ck_assert_int_eq(raw.code, PS_INVALID_ARGUMENT);
    ck_assert_int_eq(pair.server.code, PS_INVALID_ARGUMENT);
    ck_assert_msg(strstr(raw.message, expected) != NULL, "%s", raw.message);
    ck_assert_int_eq(tally_value(&pair.server.received), 0);
    ps_stream_release(stream);
    tally_clean(&raw.closed);
    ps_free(bytes);
    pair_stop(&pair);
}

START_TEST(damaged_message_ends_the_stream)
{
    send_raw("\x08\xff", 2, 0, "no protobuf message");
}
END_TEST

START_TEST(head_that_is_too_large_ends_the_stream)
{
    send_raw("\x0a\x80\x80\x40", 4, PS_MAX_HEAD_BYTES, "too large");
}
END_TEST

int main(void)
{
    for (size_t i = 0; i < sizeof pattern; i++) { pattern[i] = (uint8_t)(i * 7 + i / 251); }
    Suite *suite = suite_create("rpc_stream");
    TCase *tests = tcase_create("streams");
    tcase_set_timeout(tests, 100);
    tcase_add_test(tests, megabytes_cross_both_ways);
    tcase_add_test(tests, small_messages_cross_both_ways);
    tcase_add_test(tests, messages_without_data_cross_both_ways);
    tcase_add_test(tests, client_that_finishes_gets_what_was_produced_for_it);
    tcase_add_test(tests, consumer_that_holds_back_stalls_the_producer);
    tcase_add_test(tests, wakes_from_many_threads_lose_nothing);
    tcase_add_test(tests, wake_during_produce_is_not_lost);
    tcase_add_test(tests, wakes_race_with_the_end);
    tcase_add_test(tests, server_ends_with_code_and_text);
    tcase_add_test(tests, server_ends_while_its_output_is_stuck);
    tcase_add_test(tests, client_breaks_off_and_everything_is_released);
    tcase_add_test(tests, server_stops_with_open_streams);
    tcase_add_test(tests, refused_stream_tells_why);
    tcase_add_test(tests, stream_to_nobody_is_closed);
    tcase_add_test(tests, damaged_message_ends_the_stream);
    tcase_add_test(tests, head_that_is_too_large_ends_the_stream);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* gRPC's threads do not survive a fork */
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
