/* Tests of the pusher: what goes to whom, and when a push is decided. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>

#include "client/pusher.h"
#include "core/alloc.h"
#include "proto/messages.h"

enum { PEERS = 3, COMMITTED = 10, CREDIT = 100, HALF_WINDOW = PS_MAX_OPEN_PUSHES / 2 };

static struct ps_pusher pusher;
static struct ps_error err;
static struct ps_flight *flight; /* of the last push */

static void set_up(void)
{
    err = (struct ps_error)PS_ERROR_INIT;
    ck_assert_int_eq(ps_pusher_init(&pusher, PEERS, COMMITTED, &err), PS_OK);
    for (uint32_t i = 0; i < PEERS; i++) { ps_pusher_set_credit(&pusher, i, CREDIT); }
}

static void tear_down(void)
{
    ps_pusher_clean(&pusher);
}

/* A part of two frames and size bytes to this peer. */
static struct ps_part part_to(uint32_t peer, uint64_t size_bytes)
{
    return (struct ps_part){ .peer = peer, .frame_count = 2, .size_bytes = size_bytes };
}

/* Pushes 10 bytes to each peer of a set of bits. Returns the number. */
static uint64_t push_to(uint32_t peers)
{
    struct ps_part parts[PEERS];
    uint32_t count = 0;
    for (uint32_t i = 0; i < PEERS; i++) {
        if ((peers >> i & 1u) != 0) { parts[count++] = part_to(i, 10); }
    }
    ck_assert_int_eq(ps_pusher_add(&pusher, parts, count, parts, &flight, &err), PS_OK);
    ck_assert_ptr_eq(flight->user, parts);
    return flight->seq;
}

static void expect_nothing(uint32_t peer)
{
    ck_assert_int_eq(ps_pusher_next(&pusher, peer).kind, PS_SEND_NOTHING);
}

static void expect_frame(uint32_t peer, uint64_t seq, uint32_t index)
{
    struct ps_send send = ps_pusher_next(&pusher, peer);
    ck_assert_int_eq(send.kind, PS_SEND_FRAME);
    ck_assert_uint_eq(send.flight->seq, seq);
    ck_assert_uint_eq(send.part->peer, peer);
    ck_assert_uint_eq(send.frame_index, index);
    ck_assert_uint_eq(send.commit_through, pusher.decided_through);
}

static void expect_withdraw(uint32_t peer, uint64_t seq)
{
    struct ps_send send = ps_pusher_next(&pusher, peer);
    ck_assert_int_eq(send.kind, PS_SEND_WITHDRAW);
    ck_assert_uint_eq(send.flight->seq, seq);
    ck_assert_uint_eq(send.part->peer, peer);
}

static void expect_notice(uint32_t peer, uint64_t through)
{
    struct ps_send send = ps_pusher_next(&pusher, peer);
    ck_assert_int_eq(send.kind, PS_SEND_NOTICE);
    ck_assert_uint_eq(send.commit_through, through);
    ck_assert_ptr_null(send.flight);
    expect_nothing(peer);
}

static void send_all(uint32_t peer)
{
    while (ps_pusher_next(&pusher, peer).kind != PS_SEND_NOTHING) {}
}

static void stage_all(const struct ps_flight *staged)
{
    for (uint32_t i = 0; i < staged->part_count; i++) {
        ps_pusher_staged(&pusher, staged->parts[i].peer, staged->seq);
    }
}

START_TEST(numbers_go_on_after_what_is_committed)
{
    ck_assert_uint_eq(pusher.decided_through, COMMITTED);
    for (uint32_t i = 0; i < PEERS; i++) { expect_nothing(i); }
    ck_assert_uint_eq(push_to(1), COMMITTED + 1);
    ck_assert_uint_eq(push_to(2), COMMITTED + 2);
}
END_TEST

START_TEST(frames_go_in_order_to_each_peer_that_is_touched)
{
    uint64_t first = push_to(1 | 4), second = push_to(4);
    expect_frame(2, first, 0);
    expect_frame(2, first, 1);
    expect_frame(2, second, 0);
    expect_frame(0, first, 0);
    expect_frame(2, second, 1);
    expect_nothing(2);
    expect_nothing(1);
    expect_frame(0, first, 1);
    expect_nothing(0);
}
END_TEST

START_TEST(a_push_is_decided_when_every_peer_has_staged_it)
{
    uint64_t seq = push_to(1 | 2);
    ps_pusher_staged(&pusher, 2, seq); /* not touched */
    ps_pusher_staged(&pusher, 0, seq + 1);
    ps_pusher_staged(&pusher, 1, seq); /* a retry came first: not even sent by this connection */
    ck_assert(!flight->decided);
    ps_pusher_staged(&pusher, 1, seq);
    ck_assert(!flight->decided);
    ps_pusher_staged(&pusher, 0, seq);
    ck_assert(flight->decided && !flight->refused);
    ck_assert_uint_eq(pusher.decided_through, seq);
    expect_notice(0, seq); /* no frames: they are there */
}
END_TEST

START_TEST(pushes_are_decided_in_order)
{
    push_to(1);
    struct ps_flight *first = flight;
    push_to(2);
    struct ps_flight *second = flight;
    uint64_t third = push_to(1 | 2);
    stage_all(flight);
    stage_all(second);
    ck_assert(!second->decided && !flight->decided);
    ck_assert_uint_eq(pusher.decided_through, COMMITTED);
    stage_all(first);
    ck_assert(first->decided && second->decided && flight->decided);
    ck_assert_uint_eq(pusher.decided_through, third);
}
END_TEST

START_TEST(the_notice_goes_alone_to_every_peer_once)
{
    uint64_t seq = push_to(1);
    send_all(0);
    stage_all(flight);
    for (uint32_t i = 0; i < PEERS; i++) { expect_notice(i, seq); }
}
END_TEST

START_TEST(the_notice_rides_on_whatever_goes)
{
    uint64_t seq = push_to(1);
    send_all(0);
    stage_all(flight);
    push_to(2);
    struct ps_send send = ps_pusher_next(&pusher, 1);
    ck_assert_int_eq(send.kind, PS_SEND_FRAME);
    ck_assert_uint_eq(send.commit_through, seq);
    ck_assert_int_eq(ps_pusher_next(&pusher, 1).kind, PS_SEND_FRAME);
    expect_nothing(1);
    ps_pusher_noticed(&pusher, 2); /* a pull of the caller's */
    expect_nothing(2);
    expect_notice(0, seq);
}
END_TEST

START_TEST(a_refused_push_is_withdrawn_from_all)
{
    uint64_t seq = push_to(1 | 2 | 4);
    send_all(0);
    expect_frame(1, seq, 0);
    ps_pusher_staged(&pusher, 0, seq);
    ps_pusher_refused(&pusher, 1, seq, PS_INVALID_ARGUMENT);
    ck_assert(flight->refused && !flight->decided);
    ck_assert_int_eq(flight->code, PS_INVALID_ARGUMENT);
    ck_assert_uint_eq(flight->refusing_peer, 1);
    ps_pusher_refused(&pusher, 2, seq, PS_RESOURCE_EXHAUSTED); /* the first one is told */
    ck_assert_int_eq(flight->code, PS_INVALID_ARGUMENT);
    ck_assert_uint_eq(flight->refusing_peer, 1);
    for (uint32_t i = 0; i < PEERS; i++) {
        expect_withdraw(i, seq); /* also where it was staged, and where nothing was sent */
        expect_nothing(i);
    }
    ps_pusher_withdrawn(&pusher, 0, seq);
    ps_pusher_staged(&pusher, 1, seq); /* late */
    ps_pusher_withdrawn(&pusher, 2, seq);
    ck_assert(!flight->decided);
    ps_pusher_withdrawn(&pusher, 1, seq);
    ck_assert(flight->decided && flight->refused);
    ck_assert_uint_eq(pusher.decided_through, seq);
}
END_TEST

START_TEST(later_pushes_wait_for_a_withdrawal)
{
    uint64_t seq = push_to(1);
    struct ps_flight *refused = flight;
    push_to(2);
    ps_pusher_refused(&pusher, 0, seq, PS_INVALID_ARGUMENT);
    stage_all(flight);
    ck_assert(!flight->decided);
    expect_withdraw(0, seq);
    ps_pusher_withdrawn(&pusher, 0, seq);
    ck_assert(refused->decided && flight->decided);
    ck_assert(!flight->refused);
    ck_assert_uint_eq(pusher.decided_through, seq + 1);
}
END_TEST

START_TEST(answers_that_say_nothing_new_are_ignored)
{
    uint64_t seq = push_to(1);
    ps_pusher_withdrawn(&pusher, 0, seq); /* nobody asked for it */
    ck_assert_int_eq(flight->parts[0].state, PS_PART_SENDING);
    ps_pusher_refused(&pusher, 0, seq + 1, PS_INTERNAL);
    ps_pusher_withdrawn(&pusher, 0, seq + 1);
    ps_pusher_refused(&pusher, 0, seq - 1, PS_INTERNAL);
    stage_all(flight);
    ps_pusher_refused(&pusher, 0, seq, PS_INTERNAL); /* too late */
    ck_assert(flight->decided && !flight->refused);
    ps_pusher_committed(&pusher, 0, COMMITTED - 1);
    ck_assert_uint_eq(pusher.peers[0].committed_through, COMMITTED);
}
END_TEST

START_TEST(what_was_lost_is_sent_again)
{
    uint64_t half = push_to(1 | 2);
    uint64_t whole = push_to(1);
    expect_frame(0, half, 0);
    expect_frame(1, half, 0);
    ps_pusher_lost(&pusher, 0);
    expect_frame(1, half, 1); /* the other connection goes on where it was */
    expect_frame(0, half, 0);
    expect_frame(0, half, 1);
    expect_frame(0, whole, 0);
    expect_frame(0, whole, 1);
    expect_nothing(0);
    ps_pusher_staged(&pusher, 0, half);
    ps_pusher_lost(&pusher, 0);
    expect_frame(0, whole, 0); /* but not what is staged */
    expect_frame(0, whole, 1);
    expect_nothing(0);
}
END_TEST

START_TEST(a_lost_withdrawal_goes_again_until_it_is_confirmed)
{
    uint64_t seq = push_to(1 | 2);
    ps_pusher_refused(&pusher, 0, seq, PS_INVALID_ARGUMENT);
    expect_withdraw(0, seq);
    expect_withdraw(1, seq);
    ps_pusher_withdrawn(&pusher, 0, seq);
    ps_pusher_lost(&pusher, 0);
    ps_pusher_lost(&pusher, 1);
    expect_nothing(0);
    expect_withdraw(1, seq);
    expect_nothing(1);
}
END_TEST

START_TEST(a_lost_notice_goes_again_until_it_is_committed)
{
    uint64_t seq = push_to(1);
    send_all(0);
    stage_all(flight);
    expect_notice(0, seq);
    ps_pusher_lost(&pusher, 0);
    expect_notice(0, seq);
    ps_pusher_committed(&pusher, 0, seq);
    ps_pusher_lost(&pusher, 0);
    expect_nothing(0);
}
END_TEST

START_TEST(a_peer_is_awaited_until_it_has_committed_all)
{
    uint64_t seq = push_to(1);
    ck_assert(ps_pusher_awaits(&pusher, 0));
    ck_assert(!ps_pusher_awaits(&pusher, 1));
    stage_all(flight);
    for (uint32_t i = 0; i < PEERS; i++) {
        ck_assert(ps_pusher_awaits(&pusher, i)); /* for the notice */
        ps_pusher_committed(&pusher, i, seq);
        ck_assert(!ps_pusher_awaits(&pusher, i));
    }
    seq = push_to(1 | 2);
    ps_pusher_staged(&pusher, 0, seq);
    ck_assert(!ps_pusher_awaits(&pusher, 0));
    ps_pusher_refused(&pusher, 1, seq, PS_INVALID_ARGUMENT);
    ck_assert(ps_pusher_awaits(&pusher, 0));
    ps_pusher_withdrawn(&pusher, 0, seq);
    ck_assert(!ps_pusher_awaits(&pusher, 0));
    ck_assert(ps_pusher_awaits(&pusher, 1));
}
END_TEST

/* ---- Credit and window ---- */

static enum ps_admission admits(uint32_t peer, uint64_t size_bytes, bool eager, uint32_t *blocking)
{
    struct ps_part parts[2] = { part_to(1, 1), part_to(peer, size_bytes) };
    return ps_pusher_admits(&pusher, parts, 2, eager, blocking);
}

START_TEST(credit_is_taken_until_the_peer_has_committed)
{
    uint32_t blocking;
    struct ps_part part = part_to(2, 60);
    ck_assert_int_eq(ps_pusher_add(&pusher, &part, 1, NULL, &flight, &err), PS_OK);
    ck_assert_int_eq(admits(2, 40, false, &blocking), PS_ADMIT_NOW);
    ck_assert_int_eq(admits(2, 41, false, &blocking), PS_ADMIT_LATER);
    ck_assert_uint_eq(blocking, 2);
    ck_assert_int_eq(admits(2, 41, true, &blocking), PS_ADMIT_NOW);
    ck_assert_int_eq(admits(2, CREDIT + 1, true, &blocking), PS_ADMIT_NOW);
    ck_assert_int_eq(admits(2, CREDIT, false, &blocking), PS_ADMIT_LATER);
    ck_assert_int_eq(admits(2, CREDIT + 1, false, &blocking), PS_ADMIT_NEVER);
    ck_assert_uint_eq(blocking, 2);
    stage_all(flight);
    ck_assert_int_eq(admits(2, 41, false, &blocking), PS_ADMIT_LATER);
    ps_pusher_committed(&pusher, 2, flight->seq);
    ck_assert_int_eq(admits(2, CREDIT, false, &blocking), PS_ADMIT_NOW);
}
END_TEST

START_TEST(credit_comes_back_once_for_each_push)
{
    uint64_t first = push_to(1), second = push_to(1), third = push_to(1 | 2);
    ck_assert_uint_eq(pusher.peers[0].outstanding_bytes, 30);
    ps_pusher_committed(&pusher, 0, second);
    ck_assert_uint_eq(pusher.peers[0].outstanding_bytes, 10);
    ps_pusher_committed(&pusher, 0, second);
    ps_pusher_committed(&pusher, 0, first);
    ck_assert_uint_eq(pusher.peers[0].outstanding_bytes, 10);
    ps_pusher_committed(&pusher, 0, third);
    ck_assert_uint_eq(pusher.peers[0].outstanding_bytes, 0);
    ck_assert_uint_eq(pusher.peers[1].outstanding_bytes, 10);
}
END_TEST

START_TEST(no_peer_is_left_behind_by_more_than_half_the_window)
{
    uint32_t blocking;
    for (int i = 0; i < HALF_WINDOW - 1; i++) {
        push_to(1);
        stage_all(flight);
    }
    ck_assert_int_eq(admits(2, 1, true, &blocking), PS_ADMIT_NOW);
    push_to(1);
    stage_all(flight);
    ck_assert_int_eq(admits(2, 1, true, &blocking), PS_ADMIT_LATER);
    ck_assert_uint_eq(blocking, 0);
    ps_pusher_committed(&pusher, 0, flight->seq);
    ps_pusher_committed(&pusher, 1, flight->seq);
    ck_assert_int_eq(admits(1, 1, false, &blocking), PS_ADMIT_LATER);
    ck_assert_uint_eq(blocking, 2); /* which has been sent no push at all, but must be noticed */
    ps_pusher_committed(&pusher, 2, COMMITTED + 1);
    ck_assert_int_eq(admits(2, 1, false, &blocking), PS_ADMIT_NOW);
}
END_TEST

/* ---- The end of a flight ---- */

START_TEST(a_flight_is_forgotten_when_all_that_it_touched_have_committed)
{
    uint64_t first = push_to(1 | 2), second = push_to(4);
    ck_assert_ptr_null(ps_pusher_forget(&pusher));
    for (struct ps_flight *f = pusher.flights; f != NULL; f = f->next) { stage_all(f); }
    ps_pusher_committed(&pusher, 2, second);
    ck_assert_ptr_null(ps_pusher_forget(&pusher)); /* the oldest goes first */
    ps_pusher_committed(&pusher, 0, first);
    ck_assert_ptr_null(ps_pusher_forget(&pusher));
    ps_pusher_committed(&pusher, 1, first);
    struct ps_flight *gone = ps_pusher_forget(&pusher);
    ck_assert_uint_eq(gone->seq, first);
    ck_assert_ptr_null(gone->next);
    ps_free(gone);
    gone = ps_pusher_forget(&pusher); /* peers 0 and 1 do not know it, and need not */
    ck_assert_uint_eq(gone->seq, second);
    ps_free(gone);
    ck_assert_ptr_null(ps_pusher_forget(&pusher));
    ck_assert_uint_eq(pusher.peers[2].outstanding_bytes, 0);
}
END_TEST

START_TEST(a_flight_that_is_not_decided_is_not_forgotten)
{
    uint64_t seq = push_to(1);
    ps_pusher_committed(&pusher, 0, seq);
    ck_assert_ptr_null(ps_pusher_forget(&pusher));
}
END_TEST

START_TEST(without_memory_nothing_is_added)
{
    struct ps_part part = part_to(0, 10);
    ps_alloc_fail_at(1);
    ck_assert_int_eq(ps_pusher_add(&pusher, &part, 1, NULL, &flight, &err), PS_RESOURCE_EXHAUSTED);
    ck_assert_str_eq(err.message, "no memory for a push");
    ck_assert_ptr_null(flight);
    ck_assert_uint_eq(pusher.peers[0].outstanding_bytes, 0);
    ck_assert_uint_eq(push_to(1), COMMITTED + 1);
    struct ps_pusher other;
    ps_alloc_fail_at(1);
    ck_assert_int_eq(ps_pusher_init(&other, PEERS, 0, &err), PS_RESOURCE_EXHAUSTED);
    ck_assert_str_eq(err.message, "no memory");
    ps_pusher_clean(&other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pusher");
    TCase *cases = tcase_create("pusher");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, numbers_go_on_after_what_is_committed);
    tcase_add_test(cases, frames_go_in_order_to_each_peer_that_is_touched);
    tcase_add_test(cases, a_push_is_decided_when_every_peer_has_staged_it);
    tcase_add_test(cases, pushes_are_decided_in_order);
    tcase_add_test(cases, the_notice_goes_alone_to_every_peer_once);
    tcase_add_test(cases, the_notice_rides_on_whatever_goes);
    tcase_add_test(cases, a_refused_push_is_withdrawn_from_all);
    tcase_add_test(cases, later_pushes_wait_for_a_withdrawal);
    tcase_add_test(cases, answers_that_say_nothing_new_are_ignored);
    tcase_add_test(cases, what_was_lost_is_sent_again);
    tcase_add_test(cases, a_lost_withdrawal_goes_again_until_it_is_confirmed);
    tcase_add_test(cases, a_lost_notice_goes_again_until_it_is_committed);
    tcase_add_test(cases, a_peer_is_awaited_until_it_has_committed_all);
    tcase_add_test(cases, credit_is_taken_until_the_peer_has_committed);
    tcase_add_test(cases, credit_comes_back_once_for_each_push);
    tcase_add_test(cases, no_peer_is_left_behind_by_more_than_half_the_window);
    tcase_add_test(cases, a_flight_is_forgotten_when_all_that_it_touched_have_committed);
    tcase_add_test(cases, a_flight_that_is_not_decided_is_not_forgotten);
    tcase_add_test(cases, without_memory_nothing_is_added);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
