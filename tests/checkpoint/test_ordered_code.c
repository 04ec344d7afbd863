/* Slice keys: vectors, order, and both directions of every brick. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/ordered_code.h"
#include "checkpoint/table_writer.h"
#include "core/philox.h"
#include "tests/checkpoint/bundle_fixture.h"

static struct ps_error error;

static const struct {
    int64_t value;
    const char *hex;
} signed_vectors[] = {
    { 0, "80" },
    { 1, "81" },
    { 63, "bf" },
    { 64, "c0 40" },
    { 100, "c0 64" },
    { 8191, "df ff" },
    { 8192, "e0 20 00" },
    { 1000000, "ef 42 40" },
    { INT64_C(1) << 31, "f8 80 00 00 00" },
    { INT64_C(1) << 40, "fd 00 00 00 00 00" },
    { -1, "7f" },
    { -64, "40" },
    { -65, "3f bf" },
    { INT64_MAX, "ff c0 7f ff ff ff ff ff ff ff" },
    { INT64_MIN, "00 3f 80 00 00 00 00 00 00 00" },
};

START_TEST(test_signed_vectors)
{
    uint8_t out[PS_ORDERED_NUMBER_BYTES];
    int64_t back;
    struct ps_buf expected = fixture_hex(signed_vectors[_i].hex);
    size_t size = ps_ordered_put_signed(out, signed_vectors[_i].value);
    const uint8_t *at = out;
    ck_assert_uint_eq(size, expected.size);
    ck_assert_mem_eq(out, expected.data, size);
    ck_assert(ps_ordered_get_signed(&at, out + size, &back));
    ck_assert_int_eq(back, signed_vectors[_i].value);
    ck_assert_ptr_eq(at, out + size);
    for (size_t cut = 0; cut < size; cut++) {
        at = out;
        ck_assert(!ps_ordered_get_signed(&at, out + cut, &back));
    }
    ps_buf_clean(&expected);
}
END_TEST

START_TEST(test_numbers)
{
    static const struct {
        uint64_t value;
        const char *hex;
    } vectors[] = { { 0, "00" },
                    { 1, "01 01" },
                    { 255, "01 ff" },
                    { 256, "02 01 00" },
                    { UINT64_MAX, "08 ff ff ff ff ff ff ff ff" } };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint8_t out[PS_ORDERED_NUMBER_BYTES];
        uint64_t back;
        struct ps_buf expected = fixture_hex(vectors[i].hex);
        size_t size = ps_ordered_put_number(out, vectors[i].value);
        const uint8_t *at = out;
        ck_assert_uint_eq(size, expected.size);
        ck_assert_mem_eq(out, expected.data, size);
        ck_assert(ps_ordered_get_number(&at, out + size, &back));
        ck_assert_uint_eq(back, vectors[i].value);
        ps_buf_clean(&expected);
    }
}
END_TEST

/* Numbers of every size and sign: order of encodings is order of values. */
START_TEST(test_signed_order)
{
    struct ps_rng rng = ps_rng_make(7, PS_STREAM_TEST);
    for (int i = 0; i < 20000; i++) {
        int64_t a = (int64_t)(ps_rng_u64(&rng) >> ps_rng_below(&rng, 64));
        int64_t b = (int64_t)(ps_rng_u64(&rng) >> ps_rng_below(&rng, 64));
        if (ps_rng_below(&rng, 2) == 0) { a = ~a; }
        if (ps_rng_below(&rng, 2) == 0) { b = ~b; }
        uint8_t a_out[PS_ORDERED_NUMBER_BYTES], b_out[PS_ORDERED_NUMBER_BYTES];
        struct ps_span a_key = { a_out, ps_ordered_put_signed(a_out, a) };
        struct ps_span b_key = { b_out, ps_ordered_put_signed(b_out, b) };
        int order = ps_table_key_compare(a_key, b_key);
        ck_assert_int_eq((order > 0) - (order < 0), (a > b) - (a < b));
        const uint8_t *at = a_out;
        int64_t back;
        ck_assert(ps_ordered_get_signed(&at, a_out + a_key.size, &back));
        ck_assert_int_eq(back, a);
    }
}
END_TEST

START_TEST(test_slice_key)
{
    struct ps_buf key = { 0 }, name = { 0 };
    const struct ps_slice slice = { 2, { { 3, 2 }, { 0, PS_SLICE_FULL } } };
    struct ps_slice back;
    const uint8_t bytes[] = { 'a', 0x00, 0xff, 'b' };
    ck_ok(ps_ordered_slice_key(&key, (struct ps_span){ bytes, 4 }, &slice, &error));
    struct ps_buf expected = fixture_hex("00 61 00 ff ff 00 62 00 01 01 02 83 82 80 7f");
    ck_assert_uint_eq(key.size, expected.size);
    ck_assert_mem_eq(key.data, expected.data, key.size);
    struct ps_span whole = { key.data, key.size };
    ck_ok(ps_ordered_slice_key_parse(whole, &name, &back, &error));
    ck_assert_uint_eq(name.size, 4);
    ck_assert_mem_eq(name.data, bytes, 4);
    ck_assert_int_eq(back.rank, 2);
    ck_assert_int_eq(back.extents[0].start, 3);
    ck_assert_int_eq(back.extents[1].length, PS_SLICE_FULL);
    for (size_t cut = 0; cut < key.size; cut++) {
        whole.size = cut;
        ck_assert_int_eq(ps_ordered_slice_key_parse(whole, &name, &back, NULL), PS_DATA_LOSS);
    }
    ps_buf_clean(&key);
    ps_buf_clean(&name);
    ps_buf_clean(&expected);
}
END_TEST

START_TEST(test_slice_key_refuses)
{
    static const struct {
        const char *hex;
        enum ps_code code;
    } bad[] = {
        { "01 01 61 00 01 00", PS_DATA_LOSS },          /* does not begin with number 0 */
        { "00 61 00 02 01 00", PS_DATA_LOSS },          /* unknown escape */
        { "00 61 ff 01 00 01 00", PS_DATA_LOSS },       /* unknown escape */
        { "00 61 00 01 02 00 01", PS_DATA_LOSS },       /* rank not in shortest form */
        { "00 61 00 01 01 09", PS_UNIMPLEMENTED },      /* rank 9 */
        { "00 61 00 01 01 01 c0 01 80", PS_DATA_LOSS }, /* 1 in two bytes */
        { "00 61 00 01 00 80", PS_DATA_LOSS },          /* a byte too many */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ps_buf key = fixture_hex(bad[i].hex), name = { 0 };
        struct ps_slice slice;
        struct ps_span span = { key.data, key.size };
        ck_assert_int_eq(ps_ordered_slice_key_parse(span, &name, &slice, NULL), bad[i].code);
        ps_buf_clean(&key);
        ps_buf_clean(&name);
    }
}
END_TEST

START_TEST(test_overlaps)
{
    const struct ps_shape shape = { 2, { 6, 6 } };
    const struct ps_slice apart[] = { { 2, { { 0, 3 }, { 0, PS_SLICE_FULL } } },
                                      { 2, { { 3, 3 }, { 0, 2 } } },
                                      { 2, { { 3, 3 }, { 2, 4 } } } };
    struct ps_slice meeting[3];
    memcpy(meeting, apart, sizeof apart);
    meeting[2].extents[1].start = 1;
    ck_ok(ps_slice_check_disjoint(apart, 3, &shape, &error));
    ck_assert_int_eq(ps_slice_check_disjoint(meeting, 3, &shape, &error), PS_INTERNAL);
    ck_assert_str_eq(error.message,
                     "Overlapping slices: existing slice = 3,3:0,2, new slice = 3,3:1,4");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ordered_code");
    TCase *tcase = tcase_create("keys");
    tcase_add_loop_test(tcase, test_signed_vectors, 0,
                        sizeof signed_vectors / sizeof signed_vectors[0]);
    tcase_add_test(tcase, test_numbers);
    tcase_add_test(tcase, test_signed_order);
    tcase_add_test(tcase, test_slice_key);
    tcase_add_test(tcase, test_slice_key_refuses);
    tcase_add_test(tcase, test_overlaps);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
