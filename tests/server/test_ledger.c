/* Tests of the ledger's page: staging, refusing, committing, burning. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/alloc.h"
#include "tests/server/ledger_fixture.h"

/* ---- Staging ---- */

START_TEST(a_push_is_staged_when_all_its_frames_are_here)
{
    arrive(1, 3, 2);
    arrive(1, 3, 0);
    ck_assert_int_eq(open_push->state, PS_OPEN_ARRIVING);
    ck_assert_uint_eq(open_push->frames_missing, 1);
    ck_assert_uint_eq(open_push->bytes_missing, FRAME_BYTES);
    arrive(1, 3, 1);
    ck_assert_int_eq(open_push->state, PS_OPEN_STAGED);
    ck_assert_uint_eq(page.open_count, 1);
    ck_assert_uint_eq(page.committed, 0);
}
END_TEST

START_TEST(a_frame_that_comes_again_is_a_duplicate)
{
    arrive(1, 2, 1);
    ck_assert_int_eq(offer_frame(1, 2, 1), PS_OFFER_DUPLICATE);
    ck_assert_int_eq(open_push->state, PS_OPEN_ARRIVING);
    arrive(1, 2, 0);
    ck_assert_int_eq(offer_frame(1, 2, 0), PS_OFFER_DUPLICATE);
    ck_assert_int_eq(open_push->state, PS_OPEN_STAGED);
    ck_assert_int_eq(live_frames, 2);
}
END_TEST

START_TEST(more_frames_than_bits_in_a_byte)
{
    page.credit_bytes = 1000;
    for (uint32_t i = 0; i < 17; i++) { arrive(1, 17, (i * 5) % 17); }
    ck_assert_int_eq(open_push->state, PS_OPEN_STAGED);
    for (uint32_t i = 0; i < 17; i++) {
        ck_assert_int_eq(offer_frame(1, 17, i), PS_OFFER_DUPLICATE);
    }
}
END_TEST

START_TEST(an_offer_that_is_not_kept_leaves_the_frame_new)
{
    ck_assert_int_eq(offer_frame(1, 1, 0), PS_OFFER_NEW);
    ck_assert_int_eq(offer_frame(1, 1, 0), PS_OFFER_NEW);
}
END_TEST

START_TEST(pushes_are_kept_by_number_whatever_order_they_come_in)
{
    stage(3);
    stage(1);
    stage(2);
    uint64_t expected = 1;
    for (const struct ps_open *o = page.open; o != NULL; o = o->next) {
        ck_assert_uint_eq(o->seq, expected++);
    }
    ck_assert_uint_eq(page.open_count, 3);
    ck_assert_uint_eq(page.staged_bytes, 3 * FRAME_BYTES);
}
END_TEST

START_TEST(the_header_is_copied)
{
    uint32_t touched[2] = { 0, 2 };
    char name[] = "Momentum", position[] = "here";
    struct ps_data_request request = frame_of(1, 1, 0);
    request.push.touched = touched;
    request.push.update.name = name;
    request.push.position = (struct ps_span){ (uint8_t *)position, 4 };
    ck_assert_int_eq(offer(&request), PS_OFFER_NEW);
    touched[1] = 9;
    memset(name, 'x', sizeof name - 1);
    memset(position, 'x', sizeof position - 1);
    ck_assert_uint_eq(open_push->header.touched[1], 2);
    ck_assert_str_eq(open_push->header.update.name, "Momentum");
    ck_assert_mem_eq(open_push->header.position.data, "here", 4);
}
END_TEST

/* Closed with a commit, a burn, a discard, and at the latest with the page. */
START_TEST(what_the_caller_hung_on_a_push_is_closed_with_it)
{
    for (uint64_t seq = 1; seq <= 4; seq++) {
        stage(seq);
        open_push->staging = make_staging();
    }
    ck_assert_int_eq(commit(1), PS_OK);
    ck_assert_int_eq(live_stagings, 3);
    ck_assert_int_eq(ps_page_burn(&page, 2, &err), PS_OK);
    ck_assert_int_eq(live_stagings, 2);
    ck_assert(ps_page_attach(&page, INCARNATION + 1, PROCESS));
    ck_assert_int_eq(resolve(INCARNATION + 1, 3, NULL, 0), PS_OK);
    ck_assert_int_eq(live_stagings, 0);
    struct ps_data_request request = frame_of(4, 1, 0);
    request.incarnation = INCARNATION + 1;
    ck_assert_int_eq(offer(&request), PS_OFFER_NEW);
    open_push->staging = make_staging();
}
END_TEST

/* ---- Refusals ---- */

static void contradict(struct ps_data_request request)
{
    arrive(1, 2, 0);
    ck_assert_int_eq(offer(&request), PS_OFFER_REFUSED);
    ck_assert_int_eq(err.code, PS_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, "the frames of push 1 contradict each other");
    ck_assert_ptr_null(open_push);
    ck_assert_int_eq(page.open->state, PS_OPEN_BURNT);
    ck_assert_int_eq(live_frames, 0);
    ck_assert_uint_eq(page.staged_bytes, 0);
}

static const uint32_t OTHER_TOUCHED[2] = { 0, 1 };

START_TEST(frames_that_contradict_each_other_burn_the_push)
{
    struct ps_data_request request = frame_of(1, 2, 1);
    switch (_i) {
    case 0: request.push.frame_count = 3; break;
    case 1: request.push.part_bytes++; break;
    case 2: request.push.eager = true; break;
    case 3: request.push.update.kind = PS_UPDATE_SGD; break;
    case 4: request.push.touched_count = 1; break;
    default: request.push.touched = OTHER_TOUCHED; break;
    }
    contradict(request);
}
END_TEST

START_TEST(sizes_must_add_up_to_what_the_header_announced)
{
    static const uint64_t sizes[][2] = { { 21, 0 }, { 10, 9 }, { 10, 11 } };
    ck_assert_int_eq(offer_frame(1, 2, 0), PS_OFFER_NEW);
    uint64_t first = sizes[_i][0], second = sizes[_i][1];
    enum ps_code rc = ps_page_keep(&page, open_push, 0, make_frame(), first, &err);
    if (second > 0) {
        ck_assert_int_eq(rc, PS_OK);
        rc = ps_page_keep(&page, open_push, 1, make_frame(), second, &err);
    }
    ck_assert_int_eq(rc, PS_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, "the frames of push 1 do not add up to the 20 bytes that its "
                                  "header announced");
    ck_assert_int_eq(live_frames, 0);
    ck_assert_int_eq(offer_frame(1, 2, 0), PS_OFFER_BURNT);
}
END_TEST

START_TEST(frames_of_any_sizes_that_add_up)
{
    ck_assert_int_eq(offer_frame(1, 3, 0), PS_OFFER_NEW);
    ck_assert_int_eq(ps_page_keep(&page, open_push, 1, make_frame(), 30, &err), PS_OK);
    ck_assert_int_eq(ps_page_keep(&page, open_push, 0, make_frame(), 0, &err), PS_OK);
    ck_assert_int_eq(ps_page_keep(&page, open_push, 2, make_frame(), 0, &err), PS_OK);
    ck_assert_int_eq(open_push->state, PS_OPEN_STAGED);
}
END_TEST

START_TEST(a_push_beyond_the_credit_is_refused)
{
    arrive(1, 8, 0); /* reserves all 80 bytes at once */
    arrive(2, 2, 0); /* and the last 20 */
    ck_assert_uint_eq(page.staged_bytes, CREDIT);
    ck_assert_int_eq(offer_frame(3, 1, 0), PS_OFFER_REFUSED);
    ck_assert_int_eq(err.code, PS_RESOURCE_EXHAUSTED);
    ck_assert_str_eq(err.message, "push 3 needs 10 bytes of staging memory here; worker 3 may use "
                                  "100, 100 are taken. Raise --staging_limit of the ps task, or "
                                  "push eagerly");
    ck_assert_int_eq(offer_frame(3, 1, 0), PS_OFFER_BURNT);
    ck_assert_uint_eq(page.staged_bytes, CREDIT);
}
END_TEST

START_TEST(a_push_larger_than_the_whole_credit_is_refused)
{
    ck_assert_int_eq(offer_frame(1, 11, 0), PS_OFFER_REFUSED);
    ck_assert_int_eq(err.code, PS_RESOURCE_EXHAUSTED);
    struct ps_data_request request = frame_of(2, 11, 0);
    request.push.eager = true;
    ck_assert_int_eq(offer(&request), PS_OFFER_NEW);
    ck_assert_uint_eq(page.staged_bytes, 0);
}
END_TEST

START_TEST(credit_comes_back_with_a_commit_and_with_a_burn)
{
    arrive(1, 1, 0);
    arrive(2, 9, 0);
    ck_assert_int_eq(commit(1), PS_OK);
    ck_assert_uint_eq(page.staged_bytes, 90);
    ck_assert_int_eq(ps_page_burn(&page, 2, &err), PS_OK);
    ck_assert_uint_eq(page.staged_bytes, 0);
    ck_assert_int_eq(ps_page_burn(&page, 2, &err), PS_OK);
    ck_assert_uint_eq(page.staged_bytes, 0);
    ck_assert_int_eq(commit(2), PS_OK);
    ck_assert_uint_eq(page.staged_bytes, 0);
}
END_TEST

START_TEST(the_window_ends_64_pushes_ahead)
{
    ck_assert_int_eq(commit(7), PS_OK);
    ck_assert_int_eq(offer_frame(7 + PS_MAX_OPEN_PUSHES, 1, 0), PS_OFFER_NEW);
    ck_assert_int_eq(offer_frame(8 + PS_MAX_OPEN_PUSHES, 1, 0), PS_OFFER_REFUSED);
    ck_assert_int_eq(err.code, PS_RESOURCE_EXHAUSTED);
    ck_assert_str_eq(err.message, "push 72 is more than 64 ahead of the last committed one, 7");
    ck_assert_uint_eq(page.open_count, 1); /* too far even to be burnt: the sender withdraws it */
}
END_TEST

START_TEST(memory_that_runs_out_refuses_the_push)
{
    struct ps_data_request request = frame_of(1, 2, 0);
    request.push.position = (struct ps_span){ (const uint8_t *)"here", 4 };
    long faults = 0;
    for (; faults < 100; faults++) {
        request.seq = (uint64_t)faults + 1;
        ps_alloc_fail_at(faults + 1);
        enum ps_offer offered = offer(&request);
        ps_alloc_fail_at(0);
        if (offered == PS_OFFER_NEW) { break; }
        char expected[64];
        snprintf(expected, sizeof expected, "no memory to stage push %" PRIu64, request.seq);
        ck_assert_int_eq(offered, PS_OFFER_REFUSED);
        ck_assert_int_eq(err.code, PS_RESOURCE_EXHAUSTED);
        ck_assert_str_eq(err.message, expected);
        ck_assert_int_eq(offer(&request), PS_OFFER_BURNT);
        ck_assert_uint_eq(page.staged_bytes, 0);
    }
    ck_assert_int_eq(faults, 6); /* the push, what it touches, name, position, bits, frames */
}
END_TEST

/* ---- Commit ---- */

START_TEST(a_notice_commits_in_order)
{
    stage(2);
    stage(3);
    stage(1);
    ck_assert_int_eq(commit(2), PS_OK);
    ck_assert_int_eq(commit_count, 2);
    ck_assert_uint_eq(commits[0], 1);
    ck_assert_uint_eq(commits[1], 2);
    ck_assert_uint_eq(commit_frames, 2);
    ck_assert_uint_eq(page.committed, 2);
    ck_assert_uint_eq(page.open_count, 1);
    ck_assert_int_eq(live_frames, 1);
    ck_assert_int_eq(commit(1), PS_OK); /* late: nothing changes */
    ck_assert_uint_eq(page.committed, 2);
    ck_assert_int_eq(commit_count, 2);
}
END_TEST

START_TEST(numbers_that_never_touched_this_task_just_pass)
{
    stage(4);
    ck_assert_int_eq(commit(9), PS_OK);
    ck_assert_int_eq(commit_count, 1);
    ck_assert_uint_eq(page.committed, 9);
    ck_assert_int_eq(offer_frame(4, 1, 0), PS_OFFER_COMMITTED);
    ck_assert_int_eq(offer_frame(9, 1, 0), PS_OFFER_COMMITTED);
    ck_assert_int_eq(offer_frame(10, 1, 0), PS_OFFER_NEW);
}
END_TEST

START_TEST(a_notice_stops_at_a_push_that_is_not_staged)
{
    stage(1);
    arrive(2, 2, 0);
    stage(3);
    ck_assert_int_eq(commit(3), PS_INTERNAL);
    ck_assert_str_eq(err.message, "worker 3 says that its pushes through 3 are decided, but push 2 "
                                  "is not staged here");
    ck_assert_uint_eq(page.committed, 1);
    ck_assert_int_eq(commit_count, 1);
    arrive(2, 2, 1);
    ck_assert_int_eq(commit(3), PS_OK);
    ck_assert_int_eq(commit_count, 3);
}
END_TEST

START_TEST(an_eager_push_keeps_no_frames_and_is_committed_all_the_same)
{
    struct ps_data_request request = frame_of(1, 1, 0);
    request.push.eager = true;
    ck_assert_int_eq(offer(&request), PS_OFFER_NEW);
    ck_assert_ptr_null(open_push->frames);
    keep(0);
    ck_assert_int_eq(offer(&request), PS_OFFER_DUPLICATE);
    ck_assert_uint_eq(page.staged_bytes, 0);
    ck_assert_int_eq(commit(1), PS_OK);
    ck_assert_int_eq(commit_count, 1);
    ck_assert_uint_eq(commit_frames, 0);
    ck_assert_int_eq(offer(&request), PS_OFFER_COMMITTED);
}
END_TEST

START_TEST(the_position_is_that_of_the_last_committed_push_that_had_one)
{
    stage_with_position(1, "one");
    stage_with_position(2, "number two");
    stage(3);
    stage_with_position(4, "four");
    stage_with_position(5, "five");
    ck_assert_uint_eq(page.position.size, 0);
    ck_assert_int_eq(commit(1), PS_OK);
    ck_assert(position_is("one"));
    ck_assert_int_eq(commit(3), PS_OK);
    ck_assert(position_is("number two"));
    ck_assert_int_eq(ps_page_burn(&page, 4, &err), PS_OK);
    ck_assert_int_eq(commit(4), PS_OK);
    ck_assert(position_is("number two"));
    ck_assert_int_eq(commit(5), PS_OK);
    ck_assert(position_is("five"));
}
END_TEST

/* ---- Burn ---- */

START_TEST(a_burnt_number_is_never_staged_and_passes_as_empty)
{
    ck_assert_int_eq(ps_page_burn(&page, 2, &err), PS_OK); /* before anything of it came */
    arrive(1, 2, 0);
    stage(3);
    stage(4);
    ck_assert_int_eq(ps_page_burn(&page, 1, &err), PS_OK); /* half arrived */
    ck_assert_int_eq(ps_page_burn(&page, 3, &err), PS_OK); /* staged */
    ck_assert_int_eq(live_frames, 1);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        ck_assert_int_eq(offer_frame(seq, 2, 1), PS_OFFER_BURNT);
        ck_assert_ptr_null(open_push);
    }
    ck_assert_int_eq(commit(4), PS_OK);
    ck_assert_int_eq(commit_count, 1);
    ck_assert_uint_eq(commits[0], 4);
    ck_assert_uint_eq(page.open_count, 0);
    ck_assert_int_eq(offer_frame(2, 1, 0), PS_OFFER_COMMITTED);
}
END_TEST

/* The answer may be lost: who asks again is told the reason, not that there was one. */
START_TEST(a_refusal_is_remembered)
{
    struct ps_error why = PS_ERROR_INIT, later = PS_ERROR_INIT;
    ps_fail(&why, PS_INVALID_ARGUMENT, "gradient has NaN");
    ps_fail(&later, PS_RESOURCE_EXHAUSTED, "no memory");
    stage(1);
    ps_page_blame(&page, 1, &why); /* not burnt: nobody refused it */
    ps_page_blame(&page, 2, &why); /* unknown */
    ck_assert_int_eq(ps_page_burn(&page, 1, &err), PS_OK);
    ck_assert_int_eq(offer_frame(1, 1, 0), PS_OFFER_BURNT);
    ck_assert_int_eq(err.code, PS_OK);
    ps_page_blame(&page, 1, &why);
    ps_page_blame(&page, 1, &later);
    ck_assert_int_eq(offer_frame(1, 1, 0), PS_OFFER_BURNT);
    ck_assert_int_eq(err.code, PS_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, "gradient has NaN");
}
END_TEST

START_TEST(what_is_committed_cannot_be_burnt)
{
    stage(1);
    ck_assert_int_eq(commit(1), PS_OK);
    ck_assert_int_eq(ps_page_burn(&page, 1, &err), PS_OK);
    ck_assert_uint_eq(page.open_count, 0);
    ck_assert_int_eq(offer_frame(1, 1, 0), PS_OFFER_COMMITTED);
}
END_TEST

START_TEST(a_number_too_far_ahead_is_not_burnt)
{
    ck_assert_int_eq(ps_page_burn(&page, PS_MAX_OPEN_PUSHES, &err), PS_OK);
    ck_assert_int_eq(ps_page_burn(&page, PS_MAX_OPEN_PUSHES + 1, &err), PS_RESOURCE_EXHAUSTED);
    ck_assert_str_eq(err.message, "push 65 is too far ahead to be burnt");
    ck_assert_uint_eq(page.open_count, 1);
}
END_TEST

START_TEST(a_burn_without_memory_changes_nothing)
{
    ps_alloc_fail_at(1);
    ck_assert_int_eq(ps_page_burn(&page, 2, &err), PS_RESOURCE_EXHAUSTED);
    ck_assert_str_eq(err.message, "no memory to burn push 2");
    ck_assert_uint_eq(page.open_count, 0);
    stage(2);
    ps_alloc_fail_at(1); /* what is here already needs none */
    ck_assert_int_eq(ps_page_burn(&page, 2, &err), PS_OK);
    ps_alloc_fail_at(0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ledger");
    TCase *cases = tcase_create("page");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, a_push_is_staged_when_all_its_frames_are_here);
    tcase_add_test(cases, a_frame_that_comes_again_is_a_duplicate);
    tcase_add_test(cases, more_frames_than_bits_in_a_byte);
    tcase_add_test(cases, an_offer_that_is_not_kept_leaves_the_frame_new);
    tcase_add_test(cases, pushes_are_kept_by_number_whatever_order_they_come_in);
    tcase_add_test(cases, the_header_is_copied);
    tcase_add_test(cases, what_the_caller_hung_on_a_push_is_closed_with_it);
    tcase_add_loop_test(cases, frames_that_contradict_each_other_burn_the_push, 0, 6);
    tcase_add_loop_test(cases, sizes_must_add_up_to_what_the_header_announced, 0, 3);
    tcase_add_test(cases, frames_of_any_sizes_that_add_up);
    tcase_add_test(cases, a_push_beyond_the_credit_is_refused);
    tcase_add_test(cases, a_push_larger_than_the_whole_credit_is_refused);
    tcase_add_test(cases, credit_comes_back_with_a_commit_and_with_a_burn);
    tcase_add_test(cases, the_window_ends_64_pushes_ahead);
    tcase_add_test(cases, memory_that_runs_out_refuses_the_push);
    tcase_add_test(cases, a_notice_commits_in_order);
    tcase_add_test(cases, numbers_that_never_touched_this_task_just_pass);
    tcase_add_test(cases, a_notice_stops_at_a_push_that_is_not_staged);
    tcase_add_test(cases, an_eager_push_keeps_no_frames_and_is_committed_all_the_same);
    tcase_add_test(cases, the_position_is_that_of_the_last_committed_push_that_had_one);
    tcase_add_test(cases, a_burnt_number_is_never_staged_and_passes_as_empty);
    tcase_add_test(cases, a_refusal_is_remembered);
    tcase_add_test(cases, what_is_committed_cannot_be_burnt);
    tcase_add_test(cases, a_number_too_far_ahead_is_not_burnt);
    tcase_add_test(cases, a_burn_without_memory_changes_nothing);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
