/* Tests of the ledger's page: who may write, and what becomes of a dead incarnation's pushes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/server/ledger_fixture.h"

/* ---- Who may write ---- */

static enum ps_offer offer_as(uint64_t incarnation)
{
    struct ps_data_request request = frame_of(1, 1, 0);
    request.incarnation = incarnation;
    return offer(&request);
}

START_TEST(only_the_incarnation_that_holds_the_page_may_write)
{
    ck_assert_int_eq(ps_page_admit(&page, INCARNATION, &err), PS_OK);
    ck_assert_int_eq(offer_as(INCARNATION - 1), PS_OFFER_FENCED);
    ck_assert_int_eq(err.code, PS_ABORTED);
    ck_assert_str_eq(err.message, "worker 3, incarnation 4 is fenced: a younger process took its "
                                  "place (incarnation 5). Stop this one, or give it another "
                                  "--task_index");
    ck_assert_int_eq(offer_as(INCARNATION + 1), PS_OFFER_FENCED);
    ck_assert_int_eq(err.code, PS_ABORTED);
    ck_assert_str_eq(err.message, "worker 3, incarnation 6 is not attached to this ps task (it "
                                  "knows incarnation 5). Was the ps task restarted? Start the "
                                  "worker again");
    ck_assert_uint_eq(page.open_count, 0);
}
END_TEST

START_TEST(nobody_may_write_on_a_new_page)
{
    struct ps_page fresh;
    ps_page_init(&fresh, 1, CREDIT, (struct ps_frame_table){ .release = release_frame });
    ck_assert_int_eq(ps_page_admit(&fresh, 0, &err), PS_ABORTED);
    ck_assert_int_eq(ps_page_admit(&fresh, 1, &err), PS_ABORTED);
    ck_assert(!ps_page_attach(&fresh, 0, 0)); /* only asks */
    ck_assert_uint_eq(fresh.incarnation, 0);
    struct ps_resolve_request request = { .incarnation = 0 };
    ck_assert_int_eq(ps_page_resolve(&fresh, &request, on_commit, NULL, &err), PS_ABORTED);
    ps_page_clean(&fresh);
    ps_page_clean(NULL);
}
END_TEST

START_TEST(a_younger_incarnation_takes_the_page)
{
    page.finished = true;
    ck_assert(ps_page_attach(&page, INCARNATION, PROCESS)); /* the reply was lost: asks again */
    ck_assert(page.resolved && page.finished);
    ck_assert(!ps_page_attach(&page, INCARNATION, PROCESS + 1));
    ck_assert(!ps_page_attach(&page, INCARNATION - 1, PROCESS));
    ck_assert(ps_page_attach(&page, INCARNATION + 2, PROCESS + 1));
    ck_assert(!page.resolved && !page.finished);
    ck_assert_int_eq(offer_as(INCARNATION), PS_OFFER_FENCED);
    ck_assert_int_eq(offer_as(INCARNATION + 2), PS_OFFER_FENCED);
    ck_assert_int_eq(err.code, PS_FAILED_PRECONDITION);
    ck_assert_str_eq(err.message, "worker 3 has not resolved what its predecessor left open");
    ck_assert_int_eq(resolve(INCARNATION + 2, 0, NULL, 0), PS_OK);
    ck_assert_int_eq(offer_as(INCARNATION + 2), PS_OFFER_NEW);
}
END_TEST

/* ---- Resolve ---- */

START_TEST(resolve_commits_burns_and_discards)
{
    static const uint64_t burnt[] = { 2, 3 };
    stage_with_position(1, "one");
    stage(2);
    stage_with_position(4, "four");
    stage(5);
    arrive(6, 2, 0);
    ck_assert_int_eq(ps_page_burn(&page, 7, &err), PS_OK);
    ck_assert(ps_page_attach(&page, INCARNATION + 1, PROCESS + 1));
    ck_assert_uint_eq(page.open_count, 6); /* attaching changes nothing else */
    ck_assert_int_eq(resolve(INCARNATION + 1, 4, burnt, 2), PS_OK);
    ck_assert_int_eq(commit_count, 2);
    ck_assert_uint_eq(commits[0], 1);
    ck_assert_uint_eq(commits[1], 4);
    ck_assert_uint_eq(page.committed, 4);
    ck_assert(position_is("four"));
    ck_assert_int_eq(live_frames, 0);
    ck_assert_uint_eq(page.staged_bytes, 0);
    ck_assert_int_eq(resolve(INCARNATION + 1, 9, NULL, 0), PS_OK); /* again: nothing changes */
    ck_assert_uint_eq(page.committed, 4);
}
END_TEST

/* A successor of the successor must see it: another task may still have push 2 staged. */
START_TEST(what_resolve_burnt_is_known_until_the_first_notice)
{
    static const uint64_t burnt[] = { 2 };
    stage(1);
    ck_assert_int_eq(ps_page_burn(&page, 2, &err), PS_OK);
    stage(3);
    for (uint64_t i = 1; i <= 2; i++) {
        ck_assert(ps_page_attach(&page, INCARNATION + i, PROCESS + i));
        ck_assert_int_eq(resolve(INCARNATION + i, 3, burnt, 1), PS_OK);
        ck_assert_uint_eq(page.committed, 3);
        ck_assert_uint_eq(page.open_count, 1);
        ck_assert_uint_eq(page.open->seq, 2);
        ck_assert_int_eq(page.open->state, PS_OPEN_BURNT);
    }
    ck_assert_int_eq(commit_count, 2);
    struct ps_data_request request = frame_of(2, 1, 0);
    request.incarnation = INCARNATION + 2;
    ck_assert_int_eq(offer(&request), PS_OFFER_COMMITTED);
    ck_assert_int_eq(commit(3), PS_OK);
    ck_assert_uint_eq(page.open_count, 0);
    ck_assert_uint_eq(page.committed, 3);
}
END_TEST

/* No other task is that far behind, and the list must not grow from successor to successor. */
START_TEST(what_was_burnt_half_a_window_ago_is_forgotten)
{
    uint64_t far = PS_MAX_OPEN_PUSHES / 2;
    ck_assert_int_eq(ps_page_burn(&page, 1, &err), PS_OK);
    ck_assert_int_eq(ps_page_burn(&page, 2, &err), PS_OK);
    ck_assert(ps_page_attach(&page, INCARNATION + 1, PROCESS + 1));
    ck_assert_int_eq(resolve(INCARNATION + 1, far + 1, NULL, 0), PS_OK);
    ck_assert_uint_eq(page.open_count, 1);
    ck_assert_uint_eq(page.open->seq, 2);
}
END_TEST

START_TEST(resolve_is_for_the_holder_of_the_page)
{
    ck_assert(ps_page_attach(&page, INCARNATION + 1, PROCESS));
    for (uint64_t other = INCARNATION; other <= INCARNATION + 2; other += 2) {
        char expected[128];
        snprintf(expected, sizeof expected,
                 "worker 3, incarnation %" PRIu64 " cannot resolve: incarnation 6 holds its place",
                 other);
        ck_assert_int_eq(resolve(other, 0, NULL, 0), PS_ABORTED);
        ck_assert_str_eq(err.message, expected);
        ck_assert(!page.resolved);
    }
}
END_TEST

START_TEST(resolve_cannot_take_back_a_commit)
{
    ck_assert_int_eq(commit(4), PS_OK);
    ck_assert(ps_page_attach(&page, INCARNATION + 1, PROCESS));
    ck_assert_int_eq(resolve(INCARNATION + 1, 3, NULL, 0), PS_INTERNAL);
    ck_assert_str_eq(err.message, "worker 3 resolves through push 3, but push 4 is committed here");
    ck_assert(!page.resolved);
}
END_TEST

START_TEST(resolve_cannot_commit_what_is_not_staged)
{
    arrive(1, 2, 0);
    ck_assert(ps_page_attach(&page, INCARNATION + 1, PROCESS));
    ck_assert_int_eq(resolve(INCARNATION + 1, 1, NULL, 0), PS_INTERNAL);
    ck_assert(!page.resolved);
    uint64_t far = PS_MAX_OPEN_PUSHES + 1;
    ck_assert_int_eq(resolve(INCARNATION + 1, far, &far, 1), PS_RESOURCE_EXHAUSTED);
    ck_assert(!page.resolved);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ledger_resolve");
    TCase *cases = tcase_create("page");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, only_the_incarnation_that_holds_the_page_may_write);
    tcase_add_test(cases, nobody_may_write_on_a_new_page);
    tcase_add_test(cases, a_younger_incarnation_takes_the_page);
    tcase_add_test(cases, resolve_commits_burns_and_discards);
    tcase_add_test(cases, what_resolve_burnt_is_known_until_the_first_notice);
    tcase_add_test(cases, what_was_burnt_half_a_window_ago_is_forgotten);
    tcase_add_test(cases, resolve_is_for_the_holder_of_the_page);
    tcase_add_test(cases, resolve_cannot_take_back_a_commit);
    tcase_add_test(cases, resolve_cannot_commit_what_is_not_staged);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
