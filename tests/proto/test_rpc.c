/* Unary calls, and peers that are not there or are something else. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/alloc.h"
#include "proto/messages.h"
#include "proto/rpc_priv.h"
#include "tests/proto/rpc_rig.h"

enum { LONG_MS = 60000, MEGABYTE = 1 << 20 };

static void assert_says(const struct ps_error *err, const char *part)
{
    ck_assert_msg(strstr(err->message, part) != NULL, "'%s' lacks '%s'", err->message, part);
}

/* ---- Calls ---- */

static void echo_bytes(struct rig *rig, size_t size)
{
    struct ps_error err = PS_ERROR_INIT;
    struct ps_outgoing request = { 0 };
    struct ps_answer answer;
    uint8_t *data = ps_alloc(size);
    for (size_t i = 0; i < size; i++) { data[i] = (uint8_t)(i * 31 + i / 4096); }
    put_head(&request.head, size);
    request.data = data;
    request.data_size = size;
    enum ps_code rc = ps_channel_call(rig->channel, PS_METHOD_HELLO, &request, LONG_MS, false,
                                      &answer, &err);
    ck_assert_msg(rc == PS_OK, "%s", err.message);
    ck_assert_uint_eq(head_number(answer.message.head), size);
    if (size == 0) {
        ck_assert_ptr_null(answer.message.payload);
    } else {
        ck_assert_uint_eq(answer.message.payload->size, size);
        uint8_t *back = ps_alloc(size);
        struct ps_cursor cursor = ps_cursor_at(answer.message.payload, 0);
        ck_assert(ps_cursor_copy(&cursor, back, size));
        ck_assert_mem_eq(back, data, size);
        ps_free(back);
    }
    ps_answer_clean(&answer);
    ps_free(data);
}

START_TEST(echo_brings_head_and_data_back)
{
    static const size_t sizes[] = { 0, 1, 23, 24, 1024, 1025, 65536, MEGABYTE, 8 * MEGABYTE + 3 };
    struct rig rig = { 0 };
    rig_start(&rig);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) { echo_bytes(&rig, sizes[i]); }
    rig_stop(&rig);
}
END_TEST

START_TEST(handler_failure_arrives_with_method_and_address)
{
    struct rig rig = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    char expected[128];
    rig_start(&rig);
    ck_assert_int_eq(rig_call(&rig, PS_METHOD_STATUS, LONG_MS, &err), PS_FAILED_PRECONDITION);
    snprintf(expected, sizeof expected, "Status %s: not yet", rig.address);
    ck_assert_str_eq(err.message, expected);
    /* A handler's own UNIMPLEMENTED is not taken for a foreign service. */
    ck_assert_int_eq(rig_call(&rig, PS_METHOD_FINISH, LONG_MS, &err), PS_UNIMPLEMENTED);
    snprintf(expected, sizeof expected, "Finish %s: later", rig.address);
    ck_assert_str_eq(err.message, expected);
    rig_stop(&rig);
}
END_TEST

START_TEST(deadline_ends_a_call_whose_handler_hangs)
{
    struct rig rig = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    rig_start(&rig);
    ck_assert_int_eq(rig_call(&rig, PS_METHOD_HELLO, LONG_MS, &err), PS_OK); /* connects */
    ck_assert_int_eq(rig_call(&rig, PS_METHOD_DECLARE, 50, &err), PS_DEADLINE_EXCEEDED);
    assert_says(&err, "no answer within 50 ms");
    tally_add(&rig.gate, 1);
    ck_assert_int_eq(rig_call(&rig, PS_METHOD_DECLARE, LONG_MS, &err), PS_OK);
    rig_stop(&rig);
}
END_TEST

START_TEST(handler_learns_how_long_it_has)
{
    struct rig rig = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    struct ps_outgoing request = { 0 };
    struct ps_answer answer;
    rig_start(&rig);
    put_head(&request.head, 1);
    ck_assert_int_eq(
        ps_channel_call(rig.channel, PS_METHOD_LIST, &request, LONG_MS, false, &answer, &err),
        PS_OK);
    ck_assert_uint_gt(head_number(answer.message.head), 0);
    ck_assert_uint_le(head_number(answer.message.head), LONG_MS + 1000); /* rounded up on the way */
    ps_answer_clean(&answer);
    rig_stop(&rig);
}
END_TEST

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

START_TEST(many_threads_call_at_once)
{
    enum { THREADS = 8, CALLS = 50 };
    struct rig rig = { 0 };
    struct caller callers[THREADS];
    rig_start(&rig);
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){ .rig = &rig, .method = PS_METHOD_HELLO, .calls = CALLS };
        pthread_create(&callers[i].thread, NULL, call_often, &callers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(callers[i].thread, NULL);
        ck_assert_msg(callers[i].failures == 0, "%s", callers[i].err.message);
    }
    rig_stop(&rig);
}
END_TEST

START_TEST(slow_handlers_do_not_hold_up_fast_ones)
{
    enum { SLOW = 5 }; /* more than there are control threads */
    struct rig rig = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    struct caller callers[SLOW];
    rig_start(&rig);
    for (int i = 0; i < SLOW; i++) {
        callers[i] = (struct caller){ .rig = &rig, .method = PS_METHOD_DECLARE, .calls = 1 };
        pthread_create(&callers[i].thread, NULL, call_often, &callers[i]);
    }
    tally_wait(&rig.entered, 2);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(rig_call(&rig, PS_METHOD_HELLO, LONG_MS, &err), PS_OK);
    }
    tally_add(&rig.gate, 1);
    for (int i = 0; i < SLOW; i++) {
        pthread_join(callers[i].thread, NULL);
        ck_assert_int_eq(callers[i].failures, 0);
    }
    rig_stop(&rig);
}
END_TEST

static enum ps_code call_path(struct rig *rig, const char *path, struct ps_buf head,
                              struct ps_error *err)
{
    struct ps_outgoing request = { .head = head };
    struct ps_answer answer;
    const struct psi_call_options options = { .path = path,
                                              .name = "Test",
                                              .deadline_ms = LONG_MS };
    enum ps_code rc = psi_channel_call(rig->channel, &options, &request, &answer, err);
    ps_answer_clean(&answer);
    return rc;
}

START_TEST(unknown_method_is_answered)
{
    struct rig rig = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    rig_start(&rig);
    for (int i = 0; i < 20; i++) { /* more than are asked for at a time */
        enum ps_code rc = call_path(&rig, "/paramd.ParameterServer/Nope", (struct ps_buf){ 0 },
                                    &err);
        ck_assert_int_eq(rc, PS_UNIMPLEMENTED);
        assert_says(&err, "has no method '/paramd.ParameterServer/Nope'");
    }
    rig_stop(&rig);
}
END_TEST

START_TEST(messages_that_are_none_are_refused)
{
    struct rig rig = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    struct ps_buf head = { 0 };
    static const char path[] = "/paramd.ParameterServer/Hello";
    rig_start(&rig);
    ck_assert_int_eq(ps_buf_append(&head, "\x08\xff", 2, NULL), PS_OK);
    ck_assert_int_eq(call_path(&rig, path, head, &err), PS_INVALID_ARGUMENT);
    assert_says(&err, "no protobuf message");

    /* Field 1, PS_MAX_HEAD_BYTES of content: a head just too large. */
    head = (struct ps_buf){ 0 };
    uint8_t *bytes = ps_alloc_zero(1, PS_MAX_HEAD_BYTES);
    ck_assert_int_eq(ps_buf_append(&head, "\x0a\x80\x80\x40", 4, NULL), PS_OK);
    ck_assert_int_eq(ps_buf_append(&head, bytes, PS_MAX_HEAD_BYTES, NULL), PS_OK);
    ck_assert_int_eq(call_path(&rig, path, head, &err), PS_INVALID_ARGUMENT);
    assert_says(&err, "too large");
    ps_free(bytes);
    rig_stop(&rig);
}
END_TEST

static void count_release(void *owner)
{
    tally_add(owner, 1);
}

START_TEST(message_above_the_limit_is_refused_and_released)
{
    enum { SIZE = 33 * MEGABYTE };
    struct rig rig = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    struct tally released;
    struct ps_answer answer;
    uint8_t *data = ps_alloc_zero(1, SIZE);
    struct ps_outgoing request = {
        .data = data, .data_size = SIZE, .release = count_release, .owner = &released
    };
    rig_start(&rig);
    tally_init(&released);
    ck_assert_int_eq(
        ps_channel_call(rig.channel, PS_METHOD_HELLO, &request, LONG_MS, false, &answer, &err),
        PS_RESOURCE_EXHAUSTED);
    rig_stop(&rig);
    ck_assert_int_eq(tally_value(&released), 1);
    tally_clean(&released);
    ps_free(data);
}
END_TEST

/* ---- Peers that are not there, or are something else ---- */

static void point_at(struct rig *rig, int port)
{
    struct ps_error err = PS_ERROR_INIT;
    char address[32];
    ps_channel_destroy(rig->channel);
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    ck_assert_int_eq(ps_channel_create(rig->client, address, 0, &rig->channel, &err), PS_OK);
}

START_TEST(nothing_listens)
{
    struct rig rig = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    int port;
    char expected[160];
    rig_start(&rig);
    int fd = bound_socket(0, &port); /* keeps the port, but does not listen */
    point_at(&rig, port);
    ck_assert_int_eq(rig_call(&rig, PS_METHOD_HELLO, LONG_MS, &err), PS_UNAVAILABLE);
    snprintf(expected, sizeof expected,
             "Hello 127.0.0.1:%d: connection refused (nothing listens there). Started it? Try: "
             "paramd health 127.0.0.1:%d",
             port, port);
    ck_assert_str_eq(err.message, expected);
    close(fd);
    rig_stop(&rig);
}
END_TEST

START_TEST(waiting_for_a_peer_that_never_comes_says_so)
{
    struct rig rig = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    struct ps_outgoing request = { 0 };
    struct ps_answer answer;
    int port;
    rig_start(&rig);
    int fd = bound_socket(0, &port);
    point_at(&rig, port);
    ck_assert_int_eq(
        ps_channel_call(rig.channel, PS_METHOD_HELLO, &request, 50, true, &answer, &err),
        PS_DEADLINE_EXCEEDED);
    assert_says(&err, "no connection within 50 ms");
    close(fd);
    rig_stop(&rig);
}
END_TEST

/* Answers every connection as a web server would. */
static void *answer_http(void *argument)
{
    static const char reply[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    int fd;
    while ((fd = accept(*(int *)argument, NULL, NULL)) >= 0) {
        char request[16];
        (void)!read(fd, request, sizeof request);
        (void)!write(fd, reply, sizeof reply - 1);
        shutdown(fd, SHUT_WR);
        while (read(fd, request, sizeof request) > 0) {}
        close(fd);
    }
    return NULL;
}

START_TEST(http_server_is_told_from_a_paramd)
{
    struct rig rig = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    pthread_t thread;
    int port;
    rig_start(&rig);
    int fd = bound_socket(8, &port);
    pthread_create(&thread, NULL, answer_http, &fd);
    point_at(&rig, port);
    ck_assert_int_eq(rig_call(&rig, PS_METHOD_HELLO, LONG_MS, &err), PS_UNIMPLEMENTED);
    assert_says(&err, "an HTTP server answers there");
    rig_stop(&rig);
    shutdown(fd, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(fd);
}
END_TEST

START_TEST(method_names_follow_the_table)
{
    ck_assert_str_eq(ps_method_name(PS_METHOD_HELLO), "Hello");
    ck_assert_str_eq(ps_method_name(PS_METHOD_FINISH), "Finish");
    ck_assert_str_eq(ps_method_name(PS_METHOD_COUNT), "unknown");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc");
    TCase *tests = tcase_create("unary");
    tcase_set_timeout(tests, 100);
    tcase_add_test(tests, method_names_follow_the_table);
    tcase_add_test(tests, echo_brings_head_and_data_back);
    tcase_add_test(tests, handler_failure_arrives_with_method_and_address);
    tcase_add_test(tests, deadline_ends_a_call_whose_handler_hangs);
    tcase_add_test(tests, handler_learns_how_long_it_has);
    tcase_add_test(tests, many_threads_call_at_once);
    tcase_add_test(tests, slow_handlers_do_not_hold_up_fast_ones);
    tcase_add_test(tests, unknown_method_is_answered);
    tcase_add_test(tests, messages_that_are_none_are_refused);
    tcase_add_test(tests, message_above_the_limit_is_refused_and_released);
    tcase_add_test(tests, nothing_listens);
    tcase_add_test(tests, waiting_for_a_peer_that_never_comes_says_so);
    tcase_add_test(tests, http_server_is_told_from_a_paramd);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* gRPC's threads do not survive a fork */
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
