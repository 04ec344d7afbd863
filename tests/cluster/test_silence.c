/* Patience: a ps task that keeps silent is lost in time, and a push may take long to arrive. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "client/session_priv.h"
#include "cluster_rig.h"
#include "core/log.h"
#include "fault_link.h"

static struct cluster_rig rig;

/* Its streams open and nothing ever comes back, as of a stopped process: opening them again and
 * again must not count as a sign of life. */
START_TEST(a_mute_ps_task_is_lost_at_the_call_timeout)
{
    rig_start(&rig, 1, 1);
    struct fault_link *link = fault_link_create(&(struct fault_plan){ .drop = 10000 });
    struct psi_link hook = fault_link_hook(link);
    ps_options options = rig_options(&rig, 0);
    options.resend_timeout_ms = 30;
    options.call_timeout_ms = 2000;
    ps_session *s = psi_session_connect(&options, &hook);
    ps_var *w = ps_variable(s, "w", PS_FLOAT, PS_SHAPE(4), ps_zeros());
    ps_initialize(s);
    ck_assert_msg(ps_ok(s), "%s", ps_message(s));
    float value[4];
    ps_pull(s, &(ps_binding){ w, value, 4 }, 1);
    ck_assert_int_eq(ps_status(s), PS_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(ps_message(s), "is lost (2 s, waiting for a pull)"));
    ck_assert_ptr_nonnull(strstr(ps_message(s), "it does not answer"));
    ck_assert_int_eq(ps_finish(s), 200);
    ck_assert_int_gt(fault_link_counts(link).dropped, 1); /* it did try again */
    fault_link_destroy(link);
    rig_stop(&rig);
}
END_TEST

/* A push is answered after its last frame: what takes longer than the resend time-out must not
 * begin anew for ever. */
START_TEST(a_push_may_take_longer_than_the_resend_timeout)
{
    size_t count = (size_t)16 << 20; /* 64 MiB: more than sockets and windows hold */
    rig_start(&rig, 1, 1);
    ps_options options = rig_options(&rig, 0);
    options.resend_timeout_ms = 1;
    options.call_timeout_ms = 600000;
    ps_session *s = ps_connect(&options);
    ps_var *w = ps_variable_with(s, "w", PS_FLOAT, PS_SHAPE((int64_t)count), ps_zeros(),
                                 &(ps_variable_options){ .partition = PS_SPLIT_NONE });
    ps_initialize(s);
    float *value = malloc(count * sizeof *value);
    for (size_t i = 0; i < count; i++) { value[i] = -(float)(i % 5); }
    ps_push(ps_sgd(s, 1.0), &(ps_binding){ w, value, count }, 1);
    ps_pull(s, &(ps_binding){ w, value, count }, 1);
    ck_assert_msg(ps_ok(s), "%s", ps_message(s));
    for (size_t i = 0; i < count; i++) {
        if (value[i] != (float)(i % 5)) { ck_abort_msg("w[%zu] is %g", i, (double)value[i]); }
    }
    free(value);
    ck_assert_int_eq(ps_finish(s), 0);
    rig_stop(&rig);
}
END_TEST

int main(void)
{
    ps_log_configure(&(struct ps_log_options){ .level = PS_LOG_ERROR });
    Suite *suite = suite_create("silence");
    TCase *tests = tcase_create("silence");
    tcase_set_timeout(tests, 0); /* ctest has one */
    tcase_add_test(tests, a_mute_ps_task_is_lost_at_the_call_timeout);
    tcase_add_test(tests, a_push_may_take_longer_than_the_resend_timeout);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
