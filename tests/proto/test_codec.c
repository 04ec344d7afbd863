/* Tests of the codec: every message there and back, and bytes that nobody should send. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/philox.h"
#include "proto/codec.h"
#include "proto/definition.h"
#include "tests/proto/codec_samples.h"

/* ---- Equality, field by field ---- */

#define SAME(field) ck_assert_msg(a->field == b->field, "field " #field)
#define TEXT(field) ck_assert_str_eq(a->field == NULL ? "" : a->field, b->field)
#define BYTES(field)                                                                               \
    do {                                                                                           \
        ck_assert_uint_eq(a->field.size, b->field.size);                                           \
        ck_assert(a->field.size == 0 || memcmp(a->field.data, b->field.data, a->field.size) == 0); \
    } while (0)
#define SAME_HEADER() \
    SAME(header.job); \
    SAME(header.generation)

static void same_definition(const struct ps_definition *a, const struct ps_definition *b)
{
    ck_assert(ps_definition_equal(a, b));
    TEXT(name);
    TEXT(device);
    SAME(initializer.scale);
    SAME(partitioner.kind);
    SAME(partitioner.a);
    SAME(partitioner.b);
    SAME(trainable);
    SAME(free_shape);
    SAME(strategy);
}

static void same_slices(const struct ps_slice_place *a, const struct ps_slice_place *b,
                        size_t count)
{
    for (size_t i = 0; i < count; i++, a++, b++) {
        SAME(task);
        SAME(rows.start);
        SAME(rows.count);
    }
}

static void same_pieces(const struct ps_piece *a, const struct ps_piece *b, size_t count)
{
    for (size_t i = 0; i < count; i++, a++, b++) {
        SAME(handle);
        SAME(offset);
        SAME(size);
    }
}

static void same_numbers(const uint32_t *a, const uint32_t *b, size_t count)
{
    for (size_t i = 0; i < count; i++) { ck_assert_uint_eq(a[i], b[i]); }
}

#define SAME_FUNCTION(name) \
    static void same_##name(const struct ps_##name *a, const struct ps_##name *b)

SAME_FUNCTION(hello_request)
{
    SAME(protocol);
    TEXT(version);
    TEXT(job_name);
    SAME(task_index);
    SAME_HEADER();
    TEXT(address);
}

SAME_FUNCTION(hello_reply)
{
    SAME(protocol);
    TEXT(version);
    SAME_HEADER();
    SAME(task_index);
    SAME(ps_count);
    SAME(worker_count);
    SAME(state);
    SAME(boot);
    SAME(chunk_bytes);
}

SAME_FUNCTION(declare_request)
{
    SAME_HEADER();
    same_definition(&a->definition, &b->definition);
    SAME(worker);
}

SAME_FUNCTION(declare_reply)
{
    same_definition(&a->definition, &b->definition);
    SAME(slice_count);
    same_slices(a->slices, b->slices, a->slice_count);
    SAME(created);
}

SAME_FUNCTION(create_request)
{
    SAME_HEADER();
    same_definition(&a->definition, &b->definition);
    SAME(slice_index);
    SAME(slice_count);
    same_slices(a->slices, b->slices, a->slice_count);
    SAME(worker);
}

SAME_FUNCTION(create_reply)
{
    SAME(handle);
    SAME(created);
    SAME(initialized);
}

SAME_FUNCTION(initialize_request)
{
    SAME_HEADER();
    SAME(handle_count);
    same_numbers(a->handles, b->handles, a->handle_count);
    SAME(force);
}

SAME_FUNCTION(initialize_reply)
{
    SAME(initialized_count);
}

SAME_FUNCTION(list_request)
{
    SAME_HEADER();
    TEXT(name);
}

static void same_variable(const struct ps_variable_info *a, const struct ps_variable_info *b)
{
    same_definition(&a->definition, &b->definition);
    SAME(slice_index);
    SAME(slice_count);
    same_slices(a->slices, b->slices, a->slice_count);
    SAME(handle);
    SAME(initialized);
    SAME(bytes);
    SAME(slot_bytes);
    SAME(update_count);
    SAME(slot_count);
    for (size_t i = 0; i < a->slot_count; i++) { TEXT(slots[i]); }
}

SAME_FUNCTION(list_reply)
{
    SAME(variable_count);
    for (size_t i = 0; i < a->variable_count; i++) {
        same_variable(&a->variables[i], &b->variables[i]);
    }
}

SAME_FUNCTION(status_request)
{
    SAME_HEADER();
}

static void same_worker(const struct ps_worker_info *a, const struct ps_worker_info *b)
{
    SAME(index);
    SAME(incarnation);
    SAME(committed);
    SAME(open_count);
    SAME(staged_bytes);
    SAME(state);
    SAME(silent_ms);
}

SAME_FUNCTION(status_reply)
{
    SAME_HEADER();
    SAME(task_index);
    SAME(state);
    SAME(uptime_ms);
    SAME(step);
    SAME(variable_count);
    SAME(variable_bytes);
    SAME(slot_bytes);
    SAME(staged_bytes);
    SAME(staged_limit_bytes);
    SAME(pool_bytes);
    SAME(pull_count);
    SAME(push_count);
    SAME(refused_count);
    SAME(dropped_count);
    SAME(duplicate_count);
    SAME(received_bytes);
    SAME(sent_bytes);
    for (int i = 0; i < PS_STALENESS_BUCKETS; i++) { SAME(staleness[i]); }
    SAME(worker_count);
    for (size_t i = 0; i < a->worker_count; i++) { same_worker(&a->workers[i], &b->workers[i]); }
    TEXT(version);
    SAME(resident_bytes);
}

SAME_FUNCTION(read_request)
{
    SAME_HEADER();
    SAME(handle);
    SAME(offset);
    SAME(size);
    TEXT(slot);
}

SAME_FUNCTION(read_reply)
{
    SAME(step);
}

SAME_FUNCTION(attach_request)
{
    SAME_HEADER();
    SAME(worker);
    SAME(incarnation);
    SAME(process);
}

static void same_open_push(const struct ps_open_push *a, const struct ps_open_push *b)
{
    SAME(seq);
    SAME(complete);
    SAME(eager);
    SAME(burnt);
    SAME(touched_count);
    same_numbers(a->touched, b->touched, a->touched_count);
}

SAME_FUNCTION(attach_reply)
{
    SAME(accepted);
    SAME(incarnation);
    SAME(committed);
    SAME(open_count);
    for (size_t i = 0; i < a->open_count; i++) { same_open_push(&a->open[i], &b->open[i]); }
    BYTES(position);
    SAME(step);
    SAME(credit_bytes);
    SAME(credit_count);
}

SAME_FUNCTION(resolve_request)
{
    SAME_HEADER();
    SAME(worker);
    SAME(incarnation);
    SAME(commit_through);
    SAME(burnt_count);
    for (size_t i = 0; i < a->burnt_count; i++) { SAME(burnt[i]); }
}

SAME_FUNCTION(resolve_reply)
{
    SAME(committed);
}

SAME_FUNCTION(finish_request)
{
    SAME_HEADER();
    SAME(worker);
    SAME(incarnation);
}

SAME_FUNCTION(finish_reply)
{
    SAME(finished_count);
    SAME(worker_count);
}

static void same_update(const struct ps_update *a, const struct ps_update *b)
{
    SAME(kind);
    TEXT(name);
    SAME(learning_rate);
    SAME(parameter_count);
    for (int i = 0; i < PS_MAX_PARAMETERS; i++) { SAME(parameters[i]); }
    SAME(on_nonfinite);
    SAME(has_shape);
    ck_assert(ps_shape_equal(&a->shape, &b->shape));
}

static void same_push(const struct ps_push_header *a, const struct ps_push_header *b)
{
    SAME(touched_count);
    same_numbers(a->touched, b->touched, a->touched_count);
    same_update(&a->update, &b->update);
    SAME(eager);
    SAME(part_bytes);
    SAME(frame_count);
    SAME(frame_index);
    SAME(base_step);
    BYTES(position);
}

SAME_FUNCTION(data_request)
{
    SAME_HEADER();
    SAME(kind);
    SAME(worker);
    SAME(incarnation);
    SAME(seq);
    SAME(commit_through);
    if (a->kind == PS_REQUEST_PUSH) { same_push(&a->push, &b->push); }
    SAME(piece_count);
    same_pieces(a->pieces, b->pieces, a->piece_count);
    SAME(has_crc32c);
    SAME(crc32c);
}

SAME_FUNCTION(data_reply)
{
    SAME(kind);
    SAME(seq);
    SAME(committed);
    SAME(generation);
    SAME(step);
    SAME(staleness);
    SAME(code);
    TEXT(message);
    SAME(piece_count);
    same_pieces(a->pieces, b->pieces, a->piece_count);
    SAME(frame_index);
    SAME(last);
    SAME(credit_bytes);
    SAME(has_crc32c);
    SAME(crc32c);
}

/* ---- There and back ---- */

static void go_round(void (*encode)(struct ps_buf *out, bool full),
                     void (*check)(struct ps_span head, bool full))
{
    for (int full = 0; full <= 1; full++) {
        /* Appended behind what is there, read from memory of exactly its size. */
        struct ps_buf buf = { 0 };
        ck_assert_int_eq(ps_buf_append(&buf, "abc", 3, NULL), PS_OK);
        encode(&buf, full);
        ck_assert_mem_eq(buf.data, "abc", 3);
        size_t size = buf.size - 3;
        uint8_t *exact = malloc(size == 0 ? 1 : size);
        memcpy(exact, buf.data + 3, size);
        ps_buf_clean(&buf);
        check((struct ps_span){ exact, size }, full);
        free(exact);
    }
}

#define ROUND_TRIP(name)                                                                      \
    static void encode_##name(struct ps_buf *out, bool full)                                  \
    {                                                                                         \
        struct ps_error err = PS_ERROR_INIT;                                                  \
        enum ps_code rc = ps_encode_##name(full ? &sample_##name : &least_##name, out, &err); \
        ck_assert_msg(rc == PS_OK, "%s", err.message);                                        \
    }                                                                                         \
    static void check_##name(struct ps_span head, bool full)                                  \
    {                                                                                         \
        struct ps_arena arena = { 0 };                                                        \
        struct ps_error err = PS_ERROR_INIT;                                                  \
        struct ps_##name message;                                                             \
        memset(&message, 0xa5, sizeof message);                                               \
        enum ps_code rc = ps_decode_##name(head, &arena, &message, &err);                     \
        ck_assert_msg(rc == PS_OK, "%s", err.message);                                        \
        same_##name(full ? &sample_##name : &least_##name, &message);                         \
        ps_arena_clean(&arena);                                                               \
    }                                                                                         \
    START_TEST(name##_comes_back)                                                             \
    {                                                                                         \
        go_round(encode_##name, check_##name);                                                \
    }                                                                                         \
    END_TEST
PS_MESSAGES(ROUND_TRIP)

START_TEST(the_bytes_are_protobufs)
{
    static const uint8_t expected[] = {
        0x08, 0x01,                                                       /* protocol 1 */
        0x12, 0x03, '0',  '.',  '1',                                      /* version */
        0x1a, 0x02, 'p',  's',                                            /* job_name */
        0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, /* task_index -1 */
        0x2a, 0x0c,                                                       /* header */
        0x09, 0x02, 0,    0,    0,    0,    0,    0,    0,                /* job 2 */
        0x10, 0x81, 0x01,                                                 /* generation 129 */
    };
    struct ps_hello_request message = { 1, "0.1", "ps", -1, { 2, 129 }, "" };
    struct ps_buf buf = { 0 };
    ck_assert_int_eq(ps_encode_hello_request(&message, &buf, NULL), PS_OK);
    ck_assert_uint_eq(buf.size, sizeof expected);
    ck_assert_mem_eq(buf.data, expected, sizeof expected);
    ps_buf_clean(&buf);
}
END_TEST

START_TEST(fields_of_a_later_version_are_passed_over)
{
    static const uint8_t later[] = { 0x08, 0x05, 0xfa, 0x3e, 0x03, 'n', 'e', 'w', 0x10, 0x09 };
    struct ps_arena arena = { 0 };
    struct ps_finish_reply reply;
    ck_assert_int_eq(
        ps_decode_finish_reply((struct ps_span){ later, sizeof later }, &arena, &reply, NULL),
        PS_OK);
    ck_assert_uint_eq(reply.finished_count, 5);
    ck_assert_uint_eq(reply.worker_count, 9);
    ps_arena_clean(&arena);
}
END_TEST

/* ---- Bytes that nobody should send ---- */

/* Whatever the bytes: a code, a message with a failure, and an answer that encodes again. */
#define TRY_DECODE(name)                                                       \
    do {                                                                       \
        struct ps_##name message;                                              \
        struct ps_error err = PS_ERROR_INIT;                                   \
        enum ps_code rc = ps_decode_##name(head, arena, &message, &err);       \
        struct ps_buf again = { 0 };                                           \
        if (rc == PS_OK) {                                                     \
            ck_assert_int_eq(ps_encode_##name(&message, &again, NULL), PS_OK); \
        } else {                                                               \
            ck_assert_msg(err.message[0] != '\0', #name);                      \
        }                                                                      \
        ps_buf_clean(&again);                                                  \
        ps_arena_reset(arena);                                                 \
    } while (0);

static void try_all(struct ps_span head, struct ps_arena *arena)
{
    PS_MESSAGES(TRY_DECODE)
}

#define ENCODE_FULL(name) encode_##name,
static void (*const encoders[])(struct ps_buf *out, bool full) = { PS_MESSAGES(ENCODE_FULL) };
enum { ENCODER_COUNT = sizeof encoders / sizeof encoders[0] };

START_TEST(a_cut_message_does_no_harm)
{
    struct ps_arena arena = { 0 };
    struct ps_buf buf = { 0 };
    encoders[_i](&buf, true);
    for (size_t size = 0; size < buf.size; size++) {
        uint8_t *exact = malloc(size == 0 ? 1 : size);
        memcpy(exact, buf.data, size);
        try_all((struct ps_span){ exact, size }, &arena);
        free(exact);
    }
    ps_buf_clean(&buf);
    ps_arena_clean(&arena);
}
END_TEST

START_TEST(changed_bytes_do_no_harm)
{
    struct ps_rng rng = ps_rng_make(20240517, PS_STREAM_TEST);
    struct ps_arena arena = { 0 };
    struct ps_buf buf = { 0 };
    encoders[_i](&buf, true);
    for (int round = 0; round < 300; round++) {
        size_t at = (size_t)ps_rng_below(&rng, buf.size);
        uint8_t old = buf.data[at];
        buf.data[at] = (uint8_t)ps_rng_u64(&rng);
        try_all((struct ps_span){ buf.data, buf.size }, &arena);
        if (ps_rng_below(&rng, 4) != 0) { buf.data[at] = old; }
    }
    ps_buf_clean(&buf);
    ps_arena_clean(&arena);
}
END_TEST

START_TEST(random_bytes_do_no_harm)
{
    struct ps_rng rng = ps_rng_make(20240518, PS_STREAM_TEST);
    struct ps_arena arena = { 0 };
    uint8_t bytes[200];
    for (int round = 0; round < 2000; round++) {
        size_t size = (size_t)ps_rng_below(&rng, sizeof bytes);
        for (size_t i = 0; i < size; i++) { bytes[i] = (uint8_t)ps_rng_u64(&rng); }
        try_all((struct ps_span){ bytes, size }, &arena);
    }
    ps_arena_clean(&arena);
}
END_TEST

/* ---- Memory ---- */

/* Two bytes a piece become a structure each, many times the input. */
START_TEST(the_ceiling_refuses_what_grows_too_far)
{
    size_t size = 2 * (PS_MAX_LONG_HEAD_BYTES / 2);
    uint8_t *bytes = malloc(size);
    for (size_t i = 0; i < size; i += 2) {
        bytes[i] = 0x0a; /* variables */
        bytes[i + 1] = 0;
    }
    struct ps_arena arena = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    struct ps_list_reply reply;
    ck_assert_int_eq(ps_decode_list_reply((struct ps_span){ bytes, size }, &arena, &reply, &err),
                     PS_RESOURCE_EXHAUSTED);
    ck_assert_str_eq(err.message, "ListReply: decoding needs more memory than there is, or more "
                                  "than 67108864 bytes");
    ck_assert_uint_le(arena.used_bytes, PS_ARENA_LIMIT_BYTES);
    ck_assert_ptr_null(reply.variables);
    ps_arena_clean(&arena);
    free(bytes);
}
END_TEST

START_TEST(lack_of_memory_is_an_answer)
{
    struct ps_buf buf = { 0 };
    enum ps_code rc = PS_RESOURCE_EXHAUSTED;
    for (long countdown = 1; rc != PS_OK; countdown++) {
        ck_assert_int_lt(countdown, 100);
        struct ps_arena arena = { 0 };
        struct ps_list_reply reply;
        ps_buf_clean(&buf);
        ps_alloc_fail_at(countdown);
        rc = ps_encode_list_reply(&sample_list_reply, &buf, NULL);
        if (rc == PS_OK) {
            rc = ps_decode_list_reply((struct ps_span){ buf.data, buf.size }, &arena, &reply, NULL);
        }
        ps_alloc_fail_at(0);
        ck_assert(rc == PS_OK || rc == PS_RESOURCE_EXHAUSTED);
        ps_arena_clean(&arena);
    }
    ps_buf_clean(&buf);
}
END_TEST

/* The arena was used before; the stack is enough to encode; so only out is allocated. */
START_TEST(a_small_frame_costs_one_allocation)
{
    struct ps_arena arena = { 0 };
    struct ps_data_request message;
    for (int round = 0; round < 3; round++) {
        struct ps_buf buf = { 0 };
        ps_alloc_fail_at(0);
        ck_assert_int_eq(ps_encode_data_request(&sample_data_request, &buf, NULL), PS_OK);
        ps_arena_reset(&arena);
        ck_assert_int_eq(
            ps_decode_data_request((struct ps_span){ buf.data, buf.size }, &arena, &message, NULL),
            PS_OK);
        ck_assert_int_eq(ps_alloc_fail_at(0), round == 0 ? 2 : 1);
        ps_buf_clean(&buf);
    }
    ps_arena_clean(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec");
    TCase *round_trips = tcase_create("round trips");
#define ADD(name) tcase_add_test(round_trips, name##_comes_back);
    PS_MESSAGES(ADD)
    tcase_add_test(round_trips, the_bytes_are_protobufs);
    tcase_add_test(round_trips, fields_of_a_later_version_are_passed_over);
    suite_add_tcase(suite, round_trips);

    TCase *damage = tcase_create("damage");
    tcase_add_loop_test(damage, a_cut_message_does_no_harm, 0, ENCODER_COUNT);
    tcase_add_loop_test(damage, changed_bytes_do_no_harm, 0, ENCODER_COUNT);
    tcase_add_test(damage, random_bytes_do_no_harm);
    suite_add_tcase(suite, damage);

    TCase *memory = tcase_create("memory");
    tcase_add_test(memory, the_ceiling_refuses_what_grows_too_far);
    tcase_add_test(memory, lack_of_memory_is_an_answer);
    tcase_add_test(memory, a_small_frame_costs_one_allocation);
    suite_add_tcase(suite, memory);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
