/* Tests of what a decoder refuses: one fault a message, and the text that names it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/codec.h"
#include "tests/proto/codec_samples.h"

/* Encoders trust their message, so they send what decoders must refuse. */
#define REFUSE(name)                                                                           \
    static void refuse_##name(const struct ps_##name *message, const char *text)               \
    {                                                                                          \
        static const struct ps_##name zero;                                                    \
        struct ps_buf buf = { 0 };                                                             \
        struct ps_arena arena = { 0 };                                                         \
        struct ps_error err = PS_ERROR_INIT;                                                   \
        struct ps_##name decoded;                                                              \
        ck_assert_int_eq(ps_encode_##name(message, &buf, NULL), PS_OK);                        \
        struct ps_span head = { buf.data, buf.size };                                          \
        memset(&decoded, 0xa5, sizeof decoded);                                                \
        ck_assert_int_eq(ps_decode_##name(head, &arena, &decoded, &err), PS_INVALID_ARGUMENT); \
        ck_assert_str_eq(err.message, text);                                                   \
        ck_assert_mem_eq(&decoded, &zero, sizeof zero);                                        \
        ck_assert_int_eq(ps_decode_##name(head, &arena, &decoded, NULL), PS_INVALID_ARGUMENT); \
        ps_arena_clean(&arena);                                                                \
        ps_buf_clean(&buf);                                                                    \
    }
REFUSE(hello_request)
REFUSE(hello_reply)
REFUSE(declare_request)
REFUSE(declare_reply)
REFUSE(create_request)
REFUSE(list_request)
REFUSE(list_reply)
REFUSE(status_reply)
REFUSE(read_request)
REFUSE(attach_reply)
REFUSE(resolve_request)
REFUSE(data_request)
REFUSE(data_reply)

/* The full sample with one change. */
#define BAD(name, field, value, text)             \
    do {                                          \
        struct ps_##name changed = sample_##name; \
        changed.field = (value);                  \
        refuse_##name(&changed, text);            \
    } while (0)

static char long_text[PS_MAX_NAME_BYTES * 5];

static const char *text_of(size_t size)
{
    ck_assert_uint_lt(size, sizeof long_text);
    memset(long_text, 'x', size);
    long_text[size] = '\0';
    return long_text;
}

/* ---- Definitions ---- */

#define BAD_DEFINITION(field, value, text) \
    BAD(declare_request, definition.field, value, "DeclareRequest.definition." text)

START_TEST(names_and_texts)
{
    BAD_DEFINITION(name, "", "name: a variable needs a name: 1 to 256 bytes, it is empty");
    BAD_DEFINITION(name, text_of(257), "name: a variable's name: 257 bytes long, at most 256");
    BAD_DEFINITION(name, "a\nb", "name: a variable's name: byte 1 is a control character");
    BAD_DEFINITION(initializer.source, "\xff",
                   "initializer.source: a variable's name: byte 0 is not UTF-8");
    BAD_DEFINITION(device, text_of(1025), "device: 1025 bytes long, at most 1024");
    BAD(hello_request, version, "\x1b[31m", "HelloRequest.version: byte 0 is a control character");
    BAD(hello_request, job_name, "\xc0\x80", "HelloRequest.job_name: byte 0 is not UTF-8");
    BAD(hello_reply, version, "\x7f", "HelloReply.version: byte 0 is a control character");
    BAD(status_reply, version, "\x7f", "StatusReply.version: byte 0 is a control character");
    BAD(list_request, name, "/w",
        "ListRequest.name: variable name '/w' starts with '/'; leave that out");
}
END_TEST

START_TEST(types_and_shapes)
{
    struct ps_shape deep = { .rank = 1, .dims = { INT64_MAX } };
    struct ps_shape negative = { .rank = 2, .dims = { 3, -1 } };
    BAD_DEFINITION(dtype, PS_STRING, "dtype: no variable is of type string");
    BAD_DEFINITION(shape, deep,
                   "shape: shape [9223372036854775807] has more elements than 64 bits can count");
    BAD_DEFINITION(shape, negative,
                   "shape: shape [3,-1]: dimension 1 is negative; every size must be known");
}
END_TEST

START_TEST(a_type_of_others_is_not_implemented)
{
    struct ps_declare_request message = sample_declare_request;
    struct ps_buf buf = { 0 };
    struct ps_arena arena = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    message.definition.dtype = (enum ps_dtype)8;
    ck_assert_int_eq(ps_encode_declare_request(&message, &buf, NULL), PS_OK);
    ck_assert_int_eq(
        ps_decode_declare_request((struct ps_span){ buf.data, buf.size }, &arena, &message, &err),
        PS_UNIMPLEMENTED);
    ck_assert_ptr_nonnull(strstr(err.message, "DeclareRequest.definition.dtype: type complex64"));
    ps_arena_clean(&arena);
    ps_buf_clean(&buf);
}
END_TEST

START_TEST(initializers)
{
    static const double many[PS_MAX_CONSTANTS + 1];
    struct ps_initializer_spec none = { .kind = PS_INIT_CONSTANT };
    struct ps_initializer_spec too_many = { PS_INIT_CONSTANT, .values = many,
                                            .value_count = PS_MAX_CONSTANTS + 1 };
    BAD_DEFINITION(initializer.kind, 0, "initializer.kind: 0 is none of 1 to 9");
    BAD_DEFINITION(initializer.kind, 10, "initializer.kind: 10 is none of 1 to 9");
    BAD_DEFINITION(initializer.a, (double)INFINITY, "initializer.a: inf is not a finite number");
    BAD_DEFINITION(initializer.b, (double)-INFINITY, "initializer.b: -inf is not a finite number");
    BAD_DEFINITION(initializer.scale, (double)NAN, "initializer.scale: nan is not a finite number");
    BAD_DEFINITION(initializer, none, "initializer.values: empty; a constant needs a value");
    BAD_DEFINITION(initializer, too_many, "initializer.values: 4097 constants, at most 4096");
}
END_TEST

START_TEST(partitioners_and_strategies)
{
    BAD_DEFINITION(partitioner.kind, 5, "partitioner.kind: 5 is none of 0 to 4");
    BAD_DEFINITION(partitioner.a, (uint64_t)1 << 63,
                   "partitioner.a: 9223372036854775808, at most 9223372036854775807");
    BAD_DEFINITION(partitioner.b, UINT64_MAX,
                   "partitioner.b: 18446744073709551615, at most 9223372036854775807");
    BAD_DEFINITION(strategy, 2, "strategy: 2 is none of 0 to 1");
}
END_TEST

START_TEST(slices)
{
    static const struct ps_slice_place far = { PS_MAX_TASKS, { 0, 1 } };
    static const struct ps_slice_place before = { 0, { -1, 1 } };
    static const struct ps_slice_place less = { 0, { 0, -1 } };
    static const struct ps_slice_place beyond = { 0, { INT64_MAX, 1 } };
    static const struct ps_slice_place many[PS_MAX_SLICES + 1];
    struct ps_declare_reply reply = sample_declare_reply;
    reply.slices = many;
    reply.slice_count = PS_MAX_SLICES + 1;
    refuse_declare_reply(&reply, "DeclareReply.slices: 4097 slices, at most 4096");
    reply.slice_count = 1;
    reply.slices = &far;
    refuse_declare_reply(&reply, "DeclareReply.slices: slice 0 is on task 4096, at most 4095");
    reply.slices = &before;
    refuse_declare_reply(&reply, "DeclareReply.slices: slice 0 has 1 rows from row -1");
    reply.slices = &less;
    refuse_declare_reply(&reply, "DeclareReply.slices: slice 0 has -1 rows from row 0");
    reply.slices = &beyond;
    refuse_declare_reply(&reply,
                         "DeclareReply.slices: slice 0 has 1 rows from row 9223372036854775807");
    BAD(create_request, slice_index, 3, "CreateRequest.slice_index: 3 of 3 slices");
}
END_TEST

START_TEST(lists_name_the_element)
{
    const char *many[65];
    for (int i = 0; i < 65; i++) { many[i] = "Adam"; }
    static const char *const torn[] = { "Adam", "\xe2\x82" };
    struct ps_variable_info variables[2] = { sample_list_reply.variables[0],
                                             sample_list_reply.variables[1] };
    struct ps_list_reply reply = { variables, 2 };
    variables[1].slots = many;
    variables[1].slot_count = 65;
    refuse_list_reply(&reply, "ListReply.variables[1].slots: 65 slots, at most 64");
    variables[1].slots = torn;
    variables[1].slot_count = 2;
    refuse_list_reply(&reply, "ListReply.variables[1].slots: byte 0 is not UTF-8");
    variables[0].definition.strategy = 9;
    refuse_list_reply(&reply, "ListReply.variables[0].definition.strategy: 9 is none of 0 to 1");
}
END_TEST

/* ---- Control ---- */

START_TEST(control)
{
    struct ps_worker_info workers[2] = { sample_status_reply.workers[0],
                                         sample_status_reply.workers[1] };
    workers[1].state = 3;
    BAD(status_reply, workers, workers, "StatusReply.workers[1].state: 3 is none of 1 to 2");
    BAD(status_reply, state, 3, "StatusReply.state: 3 is none of 0 to 2");
    BAD(hello_reply, state, 3, "HelloReply.state: 3 is none of 0 to 2");
    BAD(hello_reply, task_index, PS_MAX_TASKS, "HelloReply.task_index: 4096 is none of 0 to 4095");
    BAD(hello_reply, ps_count, PS_MAX_TASKS + 1, "HelloReply.ps_count: 4097 is none of 0 to 4096");
    BAD(hello_request, task_index, -2,
        "HelloRequest.task_index: -2 is no task; -1 stands for none");
    BAD(read_request, size, PS_CHUNK_BYTES + 1,
        "ReadRequest.size: 1048577 bytes, at most 1048576 at once");
    BAD(read_request, offset, UINT64_MAX,
        "ReadRequest.offset: offset 18446744073709551615 and size 1048576 are more than 64 bits "
        "can "
        "count");
}
END_TEST

START_TEST(workers)
{
    static const uint8_t position[PS_MAX_POSITION_BYTES + 1];
    static const struct ps_span too_long = { position, sizeof position };
    static const uint64_t falling[] = { 3, 3 };
    static const uint64_t burnt[PS_MAX_OPEN_PUSHES + 1] = { 1 };
    struct ps_open_push open[PS_MAX_OPEN_PUSHES + 1] = { { .seq = 1 } };
    struct ps_attach_reply reply = { .open = open, .open_count = PS_MAX_OPEN_PUSHES + 1 };
    refuse_attach_reply(&reply, "AttachReply.open: 65 pushes, at most 64");
    reply.open_count = 1;
    refuse_attach_reply(&reply,
                        "AttachReply.open[0].touched: empty; a push touches at least one task");
    BAD(attach_reply, position, too_long, "AttachReply.position: 4097 bytes, at most 4096");

    struct ps_resolve_request request = { .burnt = falling, .burnt_count = 2 };
    refuse_resolve_request(&request, "ResolveRequest.burnt: 3 follows 3; they must rise");
    request = (struct ps_resolve_request){ .burnt = burnt, .burnt_count = PS_MAX_OPEN_PUSHES + 1 };
    refuse_resolve_request(&request, "ResolveRequest.burnt: 65 numbers, at most 64");
}
END_TEST

/* ---- Data ---- */

#define BAD_PUSH(field, value, text) BAD(data_request, push.field, value, "DataRequest.push." text)

START_TEST(requests)
{
    static const struct ps_piece pieces[20000];
    static const struct ps_piece wraps = { 1, UINT64_MAX, 1 };
    static const struct ps_piece sum[] = { { 1, 0, UINT64_MAX }, { 1, 0, 1 } };
    struct ps_data_request message = { .kind = PS_REQUEST_PULL, .pieces = pieces };
    message.piece_count = 20000;
    refuse_data_request(&message, "DataRequest.pieces: 20000 pieces, at most 16384");
    message.piece_count = 1;
    message.pieces = &wraps;
    refuse_data_request(&message, "DataRequest.pieces: offset 18446744073709551615 and size 1 are "
                                  "more than 64 bits can count");
    message.piece_count = 2;
    message.pieces = sum;
    refuse_data_request(&message,
                        "DataRequest.pieces: sizes up to piece 1 are more than 64 bits can count");
    BAD(data_request, kind, 0, "DataRequest.kind: 0 is none of 1 to 4");
    BAD(data_request, kind, 5, "DataRequest.kind: 5 is none of 1 to 4");
}
END_TEST

START_TEST(pushes)
{
    static const uint8_t position[PS_MAX_POSITION_BYTES + 1];
    static const struct ps_span too_long = { position, sizeof position };
    static const uint32_t falling[] = { 1, 1, 2 };
    static const uint32_t far[] = { 0, 1, PS_MAX_TASKS };
    static const uint32_t many[PS_MAX_TASKS + 1];
    struct ps_data_request message = sample_data_request;
    message.push.touched = many;
    message.push.touched_count = PS_MAX_TASKS + 1;
    refuse_data_request(&message, "DataRequest.push.touched: 4097 tasks, at most 4096");
    BAD_PUSH(touched_count, 0, "touched: empty; a push touches at least one task");
    BAD_PUSH(touched, falling, "touched: task 1 follows 1; they must rise");
    BAD_PUSH(touched, far, "touched: task 4096, at most 4095");
    BAD_PUSH(frame_count, 0, "frame_count: 0 is none of 1 to 1048576");
    BAD_PUSH(frame_count, PS_MAX_FRAMES + 1, "frame_count: 1048577 is none of 1 to 1048576");
    BAD_PUSH(frame_index, 5, "frame_index: 5 of 5 frames");
    BAD_PUSH(part_bytes, 5 * PS_CHUNK_BYTES + 1,
             "part_bytes: 5242881 bytes in 5 frames of at most 1048576");
    BAD_PUSH(part_bytes, UINT64_MAX,
             "part_bytes: 18446744073709551615 bytes in 5 frames of at most 1048576");
    BAD_PUSH(position, too_long, "position: 4097 bytes, at most 4096");
}
END_TEST

START_TEST(updates)
{
    struct ps_shape deep = { .rank = 2, .dims = { INT64_MAX, 2 } };
    BAD_PUSH(update.kind, 5, "update.kind: 5 is none of 1 to 4 or 16 to 18");
    BAD_PUSH(update.kind, 19, "update.kind: 19 is none of 1 to 4 or 16 to 18");
    BAD_PUSH(update.name, "", "update.name: empty; it names the optimizer's slots");
    BAD_PUSH(update.name, "A\x01", "update.name: a variable's name: byte 1 is a control character");
    BAD_PUSH(update.learning_rate, (double)NAN, "update.learning_rate: nan is not a finite number");
    BAD_PUSH(update.parameters[2], (double)INFINITY,
             "update.parameters: inf is not a finite number");
    BAD_PUSH(update.on_nonfinite, 2, "update.on_nonfinite: 2 is none of 0 to 1");
    BAD_PUSH(
        update.shape, deep,
        "update.shape: shape [9223372036854775807,2] has more elements than 64 bits can count");
}
END_TEST

START_TEST(a_full_last_frame_is_no_fault)
{
    struct ps_data_request message = sample_data_request;
    struct ps_buf buf = { 0 };
    struct ps_arena arena = { 0 };
    message.push.part_bytes = 5 * PS_CHUNK_BYTES;
    ck_assert_int_eq(ps_encode_data_request(&message, &buf, NULL), PS_OK);
    ck_assert_int_eq(
        ps_decode_data_request((struct ps_span){ buf.data, buf.size }, &arena, &message, NULL),
        PS_OK);
    ps_arena_clean(&arena);
    ps_buf_clean(&buf);
}
END_TEST

START_TEST(replies)
{
    static const struct ps_piece pieces[PS_MAX_PIECES + 1];
    struct ps_data_reply message = { .kind = PS_REPLY_PULLED, .pieces = pieces };
    message.piece_count = PS_MAX_PIECES + 1;
    refuse_data_reply(&message, "DataReply.pieces: 16385 pieces, at most 16384");
    BAD(data_reply, kind, 0, "DataReply.kind: 0 is none of 1 to 7");
    BAD(data_reply, kind, 8, "DataReply.kind: 8 is none of 1 to 7");
    BAD(data_reply, code, PS_OK, "DataReply.code: 0 (OK) in a reply of kind 6, which is a failure");
}
END_TEST

/* ---- Bytes by hand: what no encoder of ours writes ---- */

struct hand_row {
    enum ps_code (*decode)(struct ps_span head, struct ps_arena *arena, struct ps_error *err);
    struct ps_span head;
    const char *text;
};

#define DECODE_ONLY(name)                                                          \
    static enum ps_code decode_##name(struct ps_span head, struct ps_arena *arena, \
                                      struct ps_error *err)                        \
    {                                                                              \
        struct ps_##name message;                                                  \
        return ps_decode_##name(head, arena, &message, err);                       \
    }
DECODE_ONLY(declare_request)
DECODE_ONLY(declare_reply)
DECODE_ONLY(list_reply)
DECODE_ONLY(status_reply)
DECODE_ONLY(data_request)
DECODE_ONLY(read_reply)

#define HEAD(bytes)                                 \
    {                                               \
        (const uint8_t *)(bytes), sizeof(bytes) - 1 \
    }
static const struct hand_row hand_rows[] = {
    { decode_declare_request, HEAD(""), "DeclareRequest.definition: missing" },
    { decode_declare_reply, HEAD(""), "DeclareReply.definition: missing" },
    { decode_list_reply, HEAD("\x0a\x00"), "ListReply.variables[0].definition: missing" },
    { decode_declare_request, HEAD("\x12\x05\x0a\x01w\x10\x01"),
      "DeclareRequest.definition.initializer: missing" },
    { decode_declare_request, HEAD("\x12\x10\x0a\x01w\x10\x01\x1a\x09\1\1\1\1\1\1\1\1\1"),
      "DeclareRequest.definition.shape: 9 dimensions, at most 8" },
    { decode_data_request, HEAD("\x10\x01"), "DataRequest.push: missing" },
    { decode_data_request, HEAD("\x10\x01\x3a\x03\x0a\x01\x02"),
      "DataRequest.push.update: missing" },
    { decode_status_reply, HEAD("\x9a\x01\x11\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"),
      "StatusReply.staleness: 17 buckets, at most 16" },
    { decode_read_reply, HEAD("\x08"),
      "ReadReply: its 1 bytes are no such protobuf message; is the peer a paramd?" },
    { decode_read_reply, HEAD("HTTP/1.1 400 Bad Request"),
      "ReadReply: its 24 bytes are no such protobuf message; is the peer a paramd?" },
};

START_TEST(bytes_by_hand)
{
    const struct hand_row *row = &hand_rows[_i];
    struct ps_arena arena = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_int_eq(row->decode(row->head, &arena, &err), PS_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, row->text);
    ps_arena_clean(&arena);
}
END_TEST

START_TEST(too_many_parameters)
{
    uint8_t bytes[160] = { 0x10, 0x01,                         /* kind PUSH */
                           0x3a, 0x93, 0x01, 0x0a, 0x01, 0x00, /* push, 147 bytes: touched 0 */
                           0x12, 0x8d, 0x01, 0x08, 0x10,       /* update, 141 bytes: kind 16 */
                           0x22, 0x88, 0x01 };                 /* parameters, 136 bytes */
    struct ps_arena arena = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_int_eq(decode_data_request((struct ps_span){ bytes, 16 + 136 }, &arena, &err),
                     PS_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, "DataRequest.push.update.parameters: 17 parameters, at most 16");
    ps_arena_clean(&arena);
}
END_TEST

/* ---- Size of heads ---- */

START_TEST(a_head_has_a_size)
{
    size_t size = (size_t)PS_MAX_LONG_HEAD_BYTES + 1;
    uint8_t *bytes = calloc(1, size);
    struct ps_arena arena = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_int_eq(
        decode_data_request((struct ps_span){ bytes, PS_MAX_HEAD_BYTES + 1 }, &arena, &err),
        PS_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message,
                     "DataRequest: 1048577 bytes without its tensors, at most 1048576");
    ck_assert_int_eq(decode_list_reply((struct ps_span){ bytes, size }, &arena, &err),
                     PS_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message,
                     "ListReply: 16777217 bytes without its tensors, at most 16777216");
    ck_assert_ptr_null(arena.first);
    free(bytes);
}
END_TEST

START_TEST(a_head_that_is_too_large_is_not_sent)
{
    static char text[PS_MAX_HEAD_BYTES + 1];
    memset(text, 'x', PS_MAX_HEAD_BYTES);
    struct ps_data_reply reply = { .kind = PS_REPLY_REFUSED, .message = text };
    struct ps_buf buf = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_int_eq(ps_buf_append(&buf, "abc", 3, NULL), PS_OK);
    ck_assert_int_eq(ps_encode_data_reply(&reply, &buf, &err), PS_RESOURCE_EXHAUSTED);
    ck_assert_str_eq(err.message, "DataReply: 1048582 bytes without its tensors, at most 1048576; "
                                  "ask for less at once");
    ck_assert_uint_eq(buf.size, 3);
    ps_buf_clean(&buf);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec limits");
    TCase *limits = tcase_create("limits");
    tcase_add_test(limits, names_and_texts);
    tcase_add_test(limits, types_and_shapes);
    tcase_add_test(limits, a_type_of_others_is_not_implemented);
    tcase_add_test(limits, initializers);
    tcase_add_test(limits, partitioners_and_strategies);
    tcase_add_test(limits, slices);
    tcase_add_test(limits, lists_name_the_element);
    tcase_add_test(limits, control);
    tcase_add_test(limits, workers);
    tcase_add_test(limits, requests);
    tcase_add_test(limits, pushes);
    tcase_add_test(limits, updates);
    tcase_add_test(limits, a_full_last_frame_is_no_fault);
    tcase_add_test(limits, replies);
    tcase_add_loop_test(limits, bytes_by_hand, 0, sizeof hand_rows / sizeof hand_rows[0]);
    tcase_add_test(limits, too_many_parameters);
    tcase_add_test(limits, a_head_has_a_size);
    tcase_add_test(limits, a_head_that_is_too_large_is_not_sent);
    suite_add_tcase(suite, limits);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
