/* The server as a whole: its address, its health, its end. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "proto/rpc_address.h"
#include "proto/rpc_health_wire.h"
#include "proto/rpc_priv.h"
#include "tests/proto/rpc_rig.h"

enum { LONG_MS = 60000 };

static void assert_says(const struct ps_error *err, const char *part)
{
    ck_assert_msg(strstr(err->message, part) != NULL, "'%s' lacks '%s'", err->message, part);
}

/* ---- Addresses ---- */

START_TEST(port_in_use_names_its_holder)
{
    struct rig rig = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    struct ps_rpc_server *second;
    char pid[32];
    rig_start(&rig);
    const struct ps_rpc_server_options options = { .address = rig.address };
    ck_assert_int_eq(ps_rpc_server_create(&options, &second, &err), PS_UNAVAILABLE);
    ck_assert_ptr_null(second);
    snprintf(pid, sizeof pid, "in use by pid %d (", (int)getpid());
    assert_says(&err, pid);
    assert_says(&err, "--port=0");
    rig_stop(&rig);
}
END_TEST

START_TEST(addresses_are_checked)
{
    static const struct {
        const char *text;
        const char *host; /* NULL: refused */
        int port;
    } cases[] = {
        { "10.0.0.7:2222", "10.0.0.7", 2222 },
        { "ps0.example.org:1", "ps0.example.org", 1 },
        { "[::1]:65535", "::1", 65535 },
        { "h:0", "h", 0 },
        { "", NULL, 0 },
        { "host", NULL, 0 },
        { ":2222", NULL, 0 },
        { "[]:2222", NULL, 0 },
        { "host:", NULL, 0 },
        { "host:65536", NULL, 0 },
        { "host:99999999999999999999", NULL, 0 },
        { "host: 1", NULL, 0 },
        { "host:+1", NULL, 0 },
        { "::1:2222", NULL, 0 },
        { "http://host:80", NULL, 0 },
        { "dns:///host:80", NULL, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct psi_address address;
        struct ps_error err = PS_ERROR_INIT;
        enum ps_code rc = psi_address_parse(cases[i].text, &address, &err);
        if (cases[i].host == NULL) {
            ck_assert_msg(rc == PS_INVALID_ARGUMENT, "'%s' was taken", cases[i].text);
            continue;
        }
        ck_assert_msg(rc == PS_OK, "%s", err.message);
        ck_assert_str_eq(address.host, cases[i].host);
        ck_assert_int_eq(address.port, cases[i].port);
    }
}
END_TEST

/* ---- Health ---- */

START_TEST(health_check_tells_serving_from_not)
{
    struct rig rig = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    bool serving = false;
    rig_start(&rig);
    ck_assert_int_eq(ps_channel_health(rig.channel, "", LONG_MS, &serving, &err), PS_OK);
    ck_assert(serving);
    ck_assert_int_eq(ps_channel_health(rig.channel, "flips", LONG_MS, &serving, &err), PS_OK);
    ck_assert(!serving);
    tally_add(&rig.serving, 1);
    ck_assert_int_eq(ps_channel_health(rig.channel, "flips", LONG_MS, &serving, &err), PS_OK);
    ck_assert(serving);
    ck_assert_int_eq(ps_channel_health(rig.channel, "other", LONG_MS, &serving, &err),
                     PS_NOT_FOUND);
    ck_assert(!serving);
    rig_stop(&rig);
}
END_TEST

struct watch {
    const char *service;
    bool asked;
    struct tally told; /* sum of 10 to the power of what was told: each kind has its digit */
    struct tally closed;
    enum ps_code code;
};

static bool watch_produce(void *ctx, struct ps_outgoing *out)
{
    struct watch *watch = ctx;
    if (watch->asked) { return false; }
    watch->asked = true;
    return psi_health_encode_request(watch->service, &out->head, NULL) == PS_OK;
}

static void watch_consume(void *ctx, const struct ps_incoming *message)
{
    static const long digits[] = { 1000, 1, 10, 100 };
    struct watch *watch = ctx;
    tally_add(&watch->told, digits[psi_health_decode_reply(message->head)]);
}

static void watch_closed(void *ctx, enum ps_code code, const char *message)
{
    struct watch *watch = ctx;
    (void)message;
    watch->code = code;
    tally_add(&watch->closed, 1);
}

static const struct ps_stream_events watch_events = { .produce = watch_produce,
                                                      .consume = watch_consume,
                                                      .closed = watch_closed };

static struct ps_stream *watch_open(struct watch *watch, struct rig *rig, const char *service)
{
    struct ps_stream *stream;
    *watch = (struct watch){ .service = service };
    tally_init(&watch->told);
    tally_init(&watch->closed);
    ck_assert_int_eq(
        psi_channel_open(rig->channel, PSI_HEALTH_WATCH_PATH, &watch_events, watch, &stream, NULL),
        PS_OK);
    ps_stream_end(stream, PS_OK, NULL); /* as a real client: one request, then half-closed */
    return stream;
}

static void watch_clean(struct watch *watch, struct ps_stream *stream)
{
    tally_clean(&watch->told);
    tally_clean(&watch->closed);
    ps_stream_release(stream);
}

START_TEST(health_watch_tells_each_change)
{
    struct rig rig = { 0 };
    struct watch flips, unknown;
    rig_start(&rig);
    struct ps_stream *a = watch_open(&flips, &rig, "flips");
    struct ps_stream *b = watch_open(&unknown, &rig, "other");
    tally_wait(&flips.told, 10); /* NOT_SERVING */
    tally_add(&rig.serving, 1);
    tally_wait(&flips.told, 11); /* SERVING */
    tally_wait(&unknown.told, 100);

    ps_stream_end(b, PS_CANCELLED, "enough");
    tally_wait(&unknown.closed, 1);
    ps_rpc_server_destroy(rig.server, 0); /* the other one ends with the server */
    rig.server = NULL;
    tally_wait(&flips.closed, 1);
    ck_assert_int_eq(flips.code, PS_UNAVAILABLE);
    ck_assert_int_eq(unknown.code, PS_CANCELLED);
    ck_assert_int_eq(tally_value(&flips.told), 11);
    watch_clean(&flips, a);
    watch_clean(&unknown, b);
    rig_stop(&rig);
}
END_TEST

/* ---- Stopping ---- */

struct caller {
    struct rig *rig;
    enum ps_method method;
    int calls;
    int failures;
    enum ps_code last;
    struct ps_error err;
    pthread_t thread;
};

static void *call_often(void *argument)
{
    struct caller *caller = argument;
    for (int i = 0; i < caller->calls; i++) {
        caller->last = rig_call(caller->rig, caller->method, LONG_MS, &caller->err);
        if (caller->last != PS_OK) { caller->failures++; }
    }
    return NULL;
}

START_TEST(server_stops_while_a_call_runs)
{
    struct rig rig = { 0 };
    struct caller callers[4];
    rig_start(&rig);
    for (int i = 0; i < 4; i++) {
        callers[i] = (struct caller){ .rig = &rig, .method = PS_METHOD_DECLARE, .calls = 1 };
        pthread_create(&callers[i].thread, NULL, call_often, &callers[i]);
    }
    tally_wait(&rig.entered, 2); /* both control threads; the others wait in the queue */
    struct ps_rpc_server *server = rig.server;
    rig.server = NULL;
    tally_add(&rig.gate, 1);
    ps_rpc_server_destroy(server, LONG_MS);
    for (int i = 0; i < 4; i++) {
        pthread_join(callers[i].thread, NULL);
        /* Accepted calls end well within the grace period; one that came too late may not. */
        if (callers[i].failures != 0) { ck_assert_int_eq(callers[i].last, PS_UNAVAILABLE); }
    }
    rig_stop(&rig);
}
END_TEST

static void *open_gate_when_cancelled(void *argument)
{
    struct caller *caller = argument;
    pthread_join(caller->thread, NULL);
    tally_add(&caller->rig->gate, 1);
    return NULL;
}

START_TEST(server_without_patience_cancels_calls)
{
    struct rig rig = { 0 };
    pthread_t opener;
    rig_start(&rig);
    struct caller caller = { .rig = &rig, .method = PS_METHOD_DECLARE, .calls = 1 };
    pthread_create(&caller.thread, NULL, call_often, &caller);
    tally_wait(&rig.entered, 1);
    pthread_create(&opener, NULL, open_gate_when_cancelled, &caller);
    ps_rpc_server_destroy(rig.server, 0); /* cancels, then waits for the handler */
    rig.server = NULL;
    pthread_join(opener, NULL);
    ck_assert_int_eq(caller.failures, 1);
    ck_assert(caller.last == PS_UNAVAILABLE || caller.last == PS_CANCELLED);
    rig_stop(&rig);
}
END_TEST

/* ---- Out of memory ---- */

static enum ps_code create_all(struct ps_error *err)
{
    struct ps_rpc_server *server = NULL;
    struct ps_rpc_client *client = NULL;
    struct ps_channel *channel = NULL;
    enum ps_code rc;
    const struct ps_rpc_server_options options = { .address = "127.0.0.1:0", .thread_count = 1 };
    PS_TRY(done, rc, ps_rpc_server_create(&options, &server, err));
    PS_TRY(done, rc, ps_rpc_client_create(&client, err));
    PS_TRY(done, rc, ps_channel_create(client, "127.0.0.1:1", 0, &channel, err));
done:
    ps_channel_destroy(channel);
    ps_rpc_client_destroy(client);
    ps_rpc_server_destroy(server, 0);
    return rc;
}

START_TEST(creating_fails_cleanly_without_memory)
{
    long faults = 0;
    enum ps_code rc;
    ps_rpc_start();
    do {
        struct ps_error err = PS_ERROR_INIT;
        ps_alloc_fail_at(++faults);
        rc = create_all(&err);
        ps_alloc_fail_at(0);
        ck_assert_msg(rc == PS_OK || rc == PS_RESOURCE_EXHAUSTED, "%s", err.message);
        if (rc != PS_OK) { ck_assert_ptr_nonnull(strstr(err.message, "no memory")); }
    } while (rc != PS_OK);
    ck_assert_int_gt(faults, 8); /* every allocation had its turn */
    ps_rpc_stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc_server");
    TCase *tests = tcase_create("server");
    tcase_set_timeout(tests, 100);
    tcase_add_test(tests, addresses_are_checked);
    tcase_add_test(tests, port_in_use_names_its_holder);
    tcase_add_test(tests, health_check_tells_serving_from_not);
    tcase_add_test(tests, health_watch_tells_each_change);
    tcase_add_test(tests, server_stops_while_a_call_runs);
    tcase_add_test(tests, server_without_patience_cancels_calls);
    tcase_add_test(tests, creating_fails_cleanly_without_memory);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* gRPC's threads do not survive a fork */
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
