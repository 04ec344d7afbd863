/* The cut between head and data: canonical, unordered, cut short and hostile messages. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/philox.h"
#include "proto/wire.h"

enum { SPANS_MAX = 64, RANDOM_ROUNDS = 3000, RANDOM_BYTES = 96 };

/* A message in pieces, each in memory of its own so that a sanitizer sees reads past its end. */
struct scattered {
    struct ps_payload payload;
    struct ps_span spans[SPANS_MAX];
};

static void scatter(struct scattered *message, const void *data, size_t size, size_t piece)
{
    const uint8_t *from = data;
    *message = (struct scattered){ .payload = { .size = size } };
    for (size_t offset = 0; offset < size; offset += piece) {
        size_t part = size - offset < piece ? size - offset : piece;
        uint8_t *copy = ps_alloc(part);
        memcpy(copy, from + offset, part);
        ck_assert_uint_lt(message->payload.span_count, SPANS_MAX);
        message->spans[message->payload.span_count++] = (struct ps_span){ copy, part };
    }
    message->payload.spans = message->spans;
}

static void scattered_clean(struct scattered *message)
{
    for (size_t i = 0; i < message->payload.span_count; i++) {
        ps_free((void *)(uintptr_t)message->spans[i].data);
    }
}

#define BYTES(text) text, sizeof(text) - 1

/* ---- The tail ---- */

START_TEST(tail_announces_the_size)
{
    static const struct {
        uint64_t size;
        const char *bytes;
        size_t count;
    } cases[] = {
        { 0, BYTES("\x7a\x00") },
        { 1, BYTES("\x7a\x01") },
        { 127, BYTES("\x7a\x7f") },
        { 128, BYTES("\x7a\x80\x01") },
        { 300, BYTES("\x7a\xac\x02") },
        { 1 << 20, BYTES("\x7a\x80\x80\x40") },
        { UINT64_MAX, BYTES("\x7a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t tail[PS_WIRE_TAIL_BYTES];
        ck_assert_uint_eq(ps_wire_tail(cases[i].size, tail), cases[i].count);
        ck_assert_mem_eq(tail, cases[i].bytes, cases[i].count);
    }
}
END_TEST

/* ---- Finding ---- */

struct found {
    const char *bytes;
    size_t count;
    bool tidy;
    const char *head;
    const char *data;
};

/* Field 1 = 1; field 2 = "ab"; fixed fields 3 and 4; data "xyz"; field 2000 = 5. */
#define ONE "\x08\x01"
#define AB     \
    "\x12\x02" \
    "ab"
#define FIXED \
    "\x1d"    \
    "1234"    \
    "\x21"    \
    "12345678"
#define XYZ    \
    "\x7a\x03" \
    "xyz"
#define LATE "\x80\x7d\x05"

static const struct found messages[] = {
    { BYTES(""), true, "", "" },
    { BYTES(ONE), true, ONE, "" },
    { BYTES(ONE AB FIXED LATE), true, ONE AB FIXED LATE, "" },
    { BYTES(XYZ), true, "", "xyz" },
    { BYTES(ONE AB FIXED XYZ), true, ONE AB FIXED, "xyz" },
    { BYTES(LATE ONE XYZ), true, LATE ONE, "xyz" },
    { BYTES(ONE "\x7a\x00"), true, ONE, "" },
    /* Data before other fields; twice (the last one counts); around others. */
    { BYTES(XYZ ONE), false, ONE, "xyz" },
    { BYTES(ONE XYZ LATE), false, ONE LATE, "xyz" },
    { BYTES(XYZ "\x7a\x02"
                "pq"),
      false, "", "pq" },
    { BYTES(XYZ AB "\x7a\x02"
                   "pq" ONE),
      false, AB ONE, "pq" },
    /* A data field of another wire type is just a field. */
    { BYTES("\x78\x05" XYZ), true, "\x78\x05", "xyz" },
    /* Lengths that are written longer than they need to be are legal. */
    { BYTES(ONE "\x7a\x83\x80\x00"
                "xyz"),
      true, ONE, "xyz" },
};

static void check_found(const struct found *expected, const struct ps_payload *message)
{
    struct ps_wire_cut cut;
    struct ps_error err = PS_ERROR_INIT;
    ck_assert_msg(ps_wire_find(message, &cut, &err) == PS_OK, "%s", err.message);
    size_t head_size = strlen(expected->head);
    size_t data_size = strlen(expected->data);
    ck_assert_int_eq(cut.tidy, expected->tidy);
    ck_assert_uint_eq(cut.head_size, head_size);
    ck_assert_uint_eq(cut.data_size, data_size);

    uint8_t *head = ps_alloc(head_size);
    uint8_t *data = ps_alloc(data_size);
    ps_wire_copy_apart(message, &cut, head, data);
    ck_assert(memcmp(head, expected->head, head_size) == 0);
    ck_assert(memcmp(data, expected->data, data_size) == 0);
    ps_free(head);
    ps_free(data);
}

START_TEST(data_is_found_wherever_it_lies)
{
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        for (size_t piece = 1; piece <= messages[i].count + 1; piece++) {
            struct scattered message;
            scatter(&message, messages[i].bytes, messages[i].count, piece);
            check_found(&messages[i], &message.payload);
            scattered_clean(&message);
        }
    }
}
END_TEST

START_TEST(empty_pieces_do_no_harm)
{
    uint8_t bytes[] = { 0x08, 0x01, 0x7a, 0x01, 'x' };
    const struct ps_span spans[] = { { bytes, 0 },     { bytes, 1 },     { bytes + 1, 0 },
                                     { bytes + 1, 2 }, { bytes + 3, 2 }, { bytes, 0 } };
    const struct ps_payload message = { .spans = spans, .span_count = 6, .size = 5 };
    struct ps_wire_cut cut;
    ck_assert_int_eq(ps_wire_find(&message, &cut, NULL), PS_OK);
    ck_assert(cut.tidy);
    ck_assert_uint_eq(cut.head_size, 2);
    ck_assert_uint_eq(cut.data_offset, 4);
    ck_assert_uint_eq(cut.data_size, 1);
}
END_TEST

START_TEST(damaged_messages_are_refused)
{
    static const struct {
        const char *bytes;
        size_t count;
    } damaged[] = {
        { BYTES("\x08") },     /* a varint that does not come */
        { BYTES("\x08\x80") }, /* that does not end */
        { BYTES("\x80") },     /* a tag that does not end */
        { BYTES("\x00\x01") }, /* field number 0 */
        { BYTES("\x12\x03"
                "ab") }, /* longer than what is left */
        { BYTES("\x7a\x04"
                "xyz") },
        { BYTES("\x7a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") },     /* 2^64 - 1 */
        { BYTES("\x7a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02") },     /* above 64 bits */
        { BYTES("\x7a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00") }, /* eleven bytes */
        { BYTES("\x1d"
                "123") }, /* fixed32 of three bytes */
        { BYTES("\x21"
                "1234567") },  /* fixed64 of seven */
        { BYTES("\x0b\x0c") }, /* a group */
        { BYTES("\x0e\x01") }, /* wire types 6 and 7 */
        { BYTES("\x0f\x01") },
        { BYTES("\x80\x80\x80\x80\x10\x01") }, /* field number 2^29 */
        { BYTES(ONE XYZ "\x12\x05") },         /* damage behind the data */
    };
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        for (size_t piece = 1; piece <= damaged[i].count; piece++) {
            struct scattered message;
            struct ps_wire_cut cut;
            struct ps_error err = PS_ERROR_INIT;
            scatter(&message, damaged[i].bytes, damaged[i].count, piece);
            ck_assert_msg(ps_wire_find(&message.payload, &cut, &err) == PS_INVALID_ARGUMENT,
                          "damaged message %zu was taken", i);
            ck_assert_ptr_nonnull(strstr(err.message, "no protobuf message"));
            scattered_clean(&message);
        }
    }
}
END_TEST

/* ---- Properties ---- */

/* What is said of random bytes must hold together, whatever it is. */
static void check_consistent(const struct ps_payload *message)
{
    struct ps_wire_cut cut;
    if (ps_wire_find(message, &cut, NULL) != PS_OK) { return; }
    ck_assert_uint_le(cut.head_size, message->size);
    ck_assert_uint_le(cut.data_offset + cut.data_size, message->size);
    if (cut.tidy && cut.data_size > 0) {
        ck_assert_uint_eq(cut.data_offset + cut.data_size, message->size);
        ck_assert_uint_lt(cut.head_size, cut.data_offset);
    }
    uint8_t *head = ps_alloc(cut.head_size);
    uint8_t *data = ps_alloc(cut.data_size);
    ps_wire_copy_apart(message, &cut, head, data);
    /* What was put in order is in order. */
    uint8_t tail[PS_WIRE_TAIL_BYTES];
    const struct ps_span spans[] = { { head, cut.head_size },
                                     { tail, ps_wire_tail(cut.data_size, tail) },
                                     { data, cut.data_size } };
    const struct ps_payload ordered = { .spans = spans,
                                        .span_count = 3,
                                        .size = spans[0].size + spans[1].size + spans[2].size };
    struct ps_wire_cut again;
    ck_assert_int_eq(ps_wire_find(&ordered, &again, NULL), PS_OK);
    ck_assert(again.tidy);
    ck_assert_uint_eq(again.head_size, cut.head_size);
    ck_assert_uint_eq(again.data_size, cut.data_size);
    ps_free(head);
    ps_free(data);
}

START_TEST(random_bytes_do_no_harm)
{
    /* Bytes that begin fields are likely, so that many messages are whole. */
    static const uint8_t likely[] = { 0x08, 0x12, 0x7a, 0x01, 0x02, 0x00, 0x1d, 0x80 };
    struct ps_rng rng = ps_rng_make(20240607, PS_STREAM_TEST);
    for (int round = 0; round < RANDOM_ROUNDS; round++) {
        uint8_t bytes[RANDOM_BYTES];
        size_t size = ps_rng_below(&rng, RANDOM_BYTES / 4);
        for (size_t i = 0; i < size; i++) {
            uint64_t bits = ps_rng_u64(&rng);
            bytes[i] = bits % 4 != 0 ? likely[bits / 4 % sizeof likely] : (uint8_t)(bits >> 32);
        }
        struct scattered message;
        scatter(&message, bytes, size, 1 + ps_rng_below(&rng, 8));
        check_consistent(&message.payload);
        scattered_clean(&message);
    }
}
END_TEST

/* ---- Looking up ---- */

START_TEST(lookup_gives_the_last_of_a_field)
{
    struct ps_span content = { 0 };
    const char bytes[] = ONE AB "\x12\x03"
                                "cde" XYZ;
    const struct ps_span message = { (const uint8_t *)bytes, sizeof bytes - 1 };
    ck_assert(ps_wire_lookup(message, 2 << 3 | 2, &content));
    ck_assert_uint_eq(content.size, 3);
    ck_assert_mem_eq(content.data, "cde", 3);
    ck_assert(ps_wire_lookup(message, 1 << 3, &content));
    ck_assert_uint_eq(content.size, 1);
    ck_assert_uint_eq(content.data[0], 1);
    ck_assert(!ps_wire_lookup(message, 3 << 3 | 2, &content));
    const struct ps_span damaged = { message.data, message.size - 1 };
    ck_assert(!ps_wire_lookup(damaged, 2 << 3 | 2, &content));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wire");
    TCase *tests = tcase_create("wire");
    tcase_add_test(tests, tail_announces_the_size);
    tcase_add_test(tests, data_is_found_wherever_it_lies);
    tcase_add_test(tests, empty_pieces_do_no_harm);
    tcase_add_test(tests, damaged_messages_are_refused);
    tcase_add_test(tests, random_bytes_do_no_harm);
    tcase_add_test(tests, lookup_gives_the_last_of_a_field);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
