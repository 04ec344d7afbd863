/* One tensor of more than 2 GiB: saved in one piece, restored in several. Only where it is asked
 * for by PS_LARGE_TESTS=1: it takes 7 GB of memory and 3 GB of disk. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_rig.h"
#include "core/log.h"
#include "saver_fixture.h"

/* Rows that end inside of chunks; above 2^31 bytes in all. */
enum { ROWS = 3, COLUMNS = 750000007, SKIPPED = 77 };
static const size_t BYTES = (size_t)ROWS * COLUMNS;

static struct cluster_rig rig;

static uint8_t byte_at(size_t index)
{
    return (uint8_t)(index ^ (index >> 8) * 31 ^ (index >> 20) * 7);
}

static ps_session *start(int ps_count)
{
    rig_start(&rig, ps_count, 1);
    ps_options options = rig_options(&rig, 0);
    options.eager = 1; /* or the ps task would have to stage all of it */
    ps_session *session = ps_connect(&options);
    expect_ok(session);
    return session;
}

static void end(ps_session *session)
{
    ck_assert_int_eq(ps_finish(session), 0);
    rig_stop(&rig);
}

START_TEST(a_tensor_above_two_gibibytes)
{
    char dir[SAVER_PATH_BYTES];
    const ps_variable_options whole = { .partition = PS_SPLIT_NONE };
    const ps_variable_options cut = { .partition = PS_SPLIT_FIXED, .partition_a = 2 };
    uint8_t *bytes = malloc(BYTES);
    ck_assert_ptr_nonnull(bytes);
    saver_mkdir(dir);
    for (size_t i = 0; i < BYTES; i++) { bytes[i] = byte_at(i); }
    ps_session *s = start(1);
    ps_var *w = ps_variable_with(s, "w", PS_UINT8, PS_SHAPE(ROWS, COLUMNS), ps_zeros(), &whole);
    ps_assign(w, bytes);
    ps_save(ps_saver_new(s, NULL, 0, NULL), saver_path(dir, "m"), -1);
    end(s);

    memset(bytes, 0, BYTES);
    s = start(2);
    w = ps_variable_with(s, "w", PS_UINT8, PS_SHAPE(ROWS, COLUMNS), ps_zeros(), &cut);
    ps_restore(ps_saver_new(s, NULL, 0, NULL), saver_path(dir, "m"));
    ps_pull(s, &(ps_binding){ w, bytes, BYTES }, 1);
    expect_ok(s);
    size_t wrong = 0;
    for (size_t i = 0; i < BYTES; i++) { wrong += bytes[i] != byte_at(i); }
    ck_assert_uint_eq(wrong, 0);
    end(s);
    saver_rmdir(dir);
    free(bytes);
}
END_TEST

int main(void)
{
    if (getenv("PS_LARGE_TESTS") == NULL) {
        puts("skipped: PS_LARGE_TESTS is not set");
        return SKIPPED;
    }
    ps_log_configure(&(struct ps_log_options){ .level = PS_LOG_ERROR });
    Suite *suite = suite_create("large tensors");
    TCase *tests = tcase_create("large tensors");
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, a_tensor_above_two_gibibytes);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
