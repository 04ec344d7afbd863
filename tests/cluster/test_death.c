/* Workers die by SIGKILL at any message and come back: every counted push is there exactly once. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/session_priv.h"
#include "cluster_audit.h"
#include "cluster_rig.h"
#include "core/log.h"
#include "core/philox.h"
#include "fault_link.h"

/* The parent runs the ps tasks; each life of a worker is a process: this program again, with
 * --worker. A worker writes a byte to a pipe at each message that it sends or receives; the parent
 * kills it when it has read so many. All lives but the last push until they are killed, so the
 * number of kills does not depend on the machine's speed. */

enum {
    PS_TASKS = 3,
    WORKERS = 2,
    CHECKER = WORKERS,
    KILLS = 15, /* of each worker */
    GOAL = 400, /* pushes of each worker; more if its last killed life made more */
    WINDOW = 6,
    ELEMENTS = 6,
    TABLE_ROWS = 9,
    RESEND_TIMEOUT_MS = 200,
    PROGRESS_FD = 3
};

extern char **environ;

static uint64_t first_seed = 1;

/* ---- A life of a worker ---- */

static void tick(void *ctx)
{
    (void)ctx;
    ssize_t written;
    do {
        written = write(PROGRESS_FD, "m", 1);
    } while (written < 0 && errno == EINTR);
}

/* Control calls count as messages too: deaths between the tasks' answers while a worker joins. */
enum ps_code __real_ps_channel_call(struct ps_channel *channel, enum ps_method method,
                                    struct ps_outgoing *request, int64_t deadline_ms,
                                    bool wait_for_ready, struct ps_answer *answer_out,
                                    struct ps_error *err);
enum ps_code __wrap_ps_channel_call(struct ps_channel *channel, enum ps_method method,
                                    struct ps_outgoing *request, int64_t deadline_ms,
                                    bool wait_for_ready, struct ps_answer *answer_out,
                                    struct ps_error *err);

static bool is_worker;

enum ps_code __wrap_ps_channel_call(struct ps_channel *channel, enum ps_method method,
                                    struct ps_outgoing *request, int64_t deadline_ms,
                                    bool wait_for_ready, struct ps_answer *answer_out,
                                    struct ps_error *err)
{
    if (is_worker) { tick(NULL); }
    enum ps_code rc = __real_ps_channel_call(channel, method, request, deadline_ms, wait_for_ready,
                                             answer_out, err);
    if (is_worker) { tick(NULL); }
    return rc;
}

static ps_var *declare_own(ps_session *session, int index)
{
    char name[16];
    snprintf(name, sizeof name, "own/%d", index);
    return ps_variable(session, name, PS_FLOAT, PS_SHAPE(ELEMENTS), ps_zeros());
}

/* A slice on every ps task. Lives take turns with two of them, so that what a dead life left behind
 * on one task is told from what the next life sends under the same number to all. */
static ps_var *declare_table(ps_session *session, uint64_t life)
{
    ps_variable_options split = { .partition = PS_SPLIT_FIXED, .partition_a = PS_TASKS };
    const char *name = life % 2 == 0 ? "even" : "odd";
    return ps_variable_with(session, name, PS_FLOAT, PS_SHAPE(TABLE_ROWS, ELEMENTS), ps_zeros(),
                            &split);
}

static int64_t position_of(ps_session *session)
{
    int64_t position = 0;
    const void *data;
    if (ps_position(session, &data) == sizeof position) {
        memcpy(&position, data, sizeof position);
    }
    return position;
}

/* What the cluster gives back to a new life: the position, the number of the last push that counts,
 * and the values, which must all say the same. */
static bool is_consistent(ps_session *session, ps_var *own, int64_t position)
{
    float got[ELEMENTS];
    ps_pull(session, &(ps_binding){ own, got, ELEMENTS }, 1);
    if (!ps_ok(session)) { return false; }
    if (session->pusher.decided_through != (uint64_t)position) {
        fprintf(stderr, "position %" PRId64 ", but push %" PRIu64 " is committed\n", position,
                session->pusher.decided_through);
        return false;
    }
    for (int k = 0; k < ELEMENTS; k++) {
        if (got[k] == (float)position) { continue; }
        fprintf(stderr, "position %" PRId64 ", but %s[%d] is %g\n", position, ps_name(own), k,
                (double)got[k]);
        return false;
    }
    return true;
}

static void push_through(ps_session *session, ps_var *own, ps_var *table, int64_t from,
                         int64_t goal)
{
    static float minus_one[TABLE_ROWS * ELEMENTS];
    ps_ticket tickets[WINDOW] = { 0 };
    for (int k = 0; k < TABLE_ROWS * ELEMENTS; k++) { minus_one[k] = -1; }
    ps_optimizer *sgd = ps_sgd(session, 1.0);
    ps_binding bindings[] = { { own, minus_one, ELEMENTS },
                              { table, minus_one, TABLE_ROWS * ELEMENTS } };
    for (int64_t i = from + 1; (goal == 0 || i <= goal) && ps_ok(session); i++) {
        ps_wait(session, tickets[i % WINDOW]);
        ps_set_position(session, &i, sizeof i);
        tickets[i % WINDOW] = ps_push_async(sgd, bindings, 2);
    }
    ps_wait_all(session);
}

/* argv: --worker hosts index seed last. Exit code: 0 after the last life. */
static int live(char **argv)
{
    is_worker = true;
    tick(NULL);
    int index = (int)strtol(argv[3], NULL, 10);
    bool last = strcmp(argv[5], "1") == 0;
    struct fault_plan plan = { .seed = strtoull(argv[4], NULL, 10),
                               .drop = 10,
                               .duplicate = 200,
                               .delay = 200,
                               .cut = 10,
                               .on_message = tick };
    struct cluster_rig rig = { .ps_count = PS_TASKS, .worker_count = WORKERS + 1 };
    snprintf(rig.ps_hosts, sizeof rig.ps_hosts, "%s", argv[2]);
    ps_options options = rig_options(&rig, index);
    options.resend_timeout_ms = RESEND_TIMEOUT_MS;
    struct fault_link *link = fault_link_create(&plan);
    struct psi_link hook = fault_link_hook(link);
    ps_session *session = psi_session_connect(&options, &hook);
    int64_t position = position_of(session);
    ps_var *own = declare_own(session, index);
    ps_var *table = declare_table(session, plan.seed);
    ps_initialize(session);
    bool consistent = ps_ok(session) && is_consistent(session, own, position);
    int64_t goal = !last ? 0 : position < GOAL ? GOAL : position + 1;
    if (consistent) { push_through(session, own, table, position, goal); }
    int exit_code = ps_finish(session);
    fault_link_destroy(link);
    return consistent ? exit_code : 1;
}

/* ---- The parent ---- */

struct worker {
    const char *hosts;
    uint64_t seed;
    int index;
    pthread_t thread;
    int lives_lost;
    char failure[200];
};

/* A new life; the end of its pipe to read from, or -1. */
static int begin_life(const struct worker *worker, bool last, pid_t *pid_out)
{
    char index[12], seed[24], last_text[] = { last ? '1' : '0', '\0' };
    int ends[2];
    snprintf(index, sizeof index, "%d", worker->index);
    snprintf(seed, sizeof seed, "%" PRIu64, worker->seed * 1000 + (uint64_t)worker->lives_lost);
    char program[] = "/proc/self/exe", role[] = "--worker";
    char *argv[] = { program, role, (char *)worker->hosts, index, seed, last_text, NULL };
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) != 0) { return -1; }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], PROGRESS_FD);
    int failed = posix_spawn(pid_out, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (failed == 0) { return ends[0]; }
    close(ends[0]);
    return -1;
}

/* Reads that many messages, or all until the end; how many there were. */
static int64_t watch(int progress, int64_t most)
{
    int64_t count = 0;
    char bytes[256];
    while (count < most) {
        size_t wanted = most - count < (int64_t)sizeof bytes ? (size_t)(most - count)
                                                             : sizeof bytes;
        ssize_t got = read(progress, bytes, wanted);
        if (got < 0 && errno == EINTR) { continue; }
        if (got <= 0) { break; }
        count += got;
    }
    return count;
}

/* A third of the lives end while they join, a third soon after, a third in the midst of it. */
static int64_t draw_span(struct ps_rng *dice)
{
    static const uint64_t spans[] = { 40, 200, 1500 };
    return 1 + (int64_t)ps_rng_below(dice, spans[ps_rng_below(dice, 3)]);
}

static bool live_and_die(struct worker *worker, int64_t span)
{
    pid_t pid;
    int status = 0;
    int progress = begin_life(worker, false, &pid);
    if (progress < 0) {
        snprintf(worker->failure, sizeof worker->failure, "cannot start: %s", strerror(errno));
        return false;
    }
    int64_t seen = watch(progress, span);
    if (seen == span) { kill(pid, SIGKILL); }
    close(progress);
    waitpid(pid, &status, 0);
    if (seen == span && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) { return true; }
    snprintf(worker->failure, sizeof worker->failure,
             "life %d ended by itself after %" PRId64 " of %" PRId64 " messages, status %x",
             worker->lives_lost, seen, span, (unsigned)status);
    return false;
}

static void live_to_the_end(struct worker *worker)
{
    pid_t pid;
    int status = 0;
    int progress = begin_life(worker, true, &pid);
    if (progress < 0) {
        snprintf(worker->failure, sizeof worker->failure, "cannot start: %s", strerror(errno));
        return;
    }
    watch(progress, INT64_MAX);
    close(progress);
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) { return; }
    snprintf(worker->failure, sizeof worker->failure, "the last life failed, status %x",
             (unsigned)status);
}

static void *run_worker(void *arg)
{
    struct worker *worker = arg;
    struct ps_rng dice = ps_rng_make(worker->seed, PS_STREAM_TEST);
    for (; worker->lives_lost < KILLS; worker->lives_lost++) {
        if (!live_and_die(worker, draw_span(&dice))) { return NULL; }
    }
    live_to_the_end(worker);
    return NULL;
}

/* The value that all elements of a variable have. */
static uint64_t expect_uniform(ps_session *session, ps_var *var, const char *what)
{
    float got[TABLE_ROWS * ELEMENTS];
    ps_pull(session, &(ps_binding){ var, got, 0 }, 1);
    ck_assert_msg(ps_ok(session), "%s: %s", what, ps_message(session));
    for (size_t k = 1; k < ps_elements(var); k++) {
        ck_assert_msg(got[k] == got[0], "%s: %s[%zu] is %g, but %s[0] is %g", what, ps_name(var), k,
                      (double)got[k], ps_name(var), (double)got[0]);
    }
    return (uint64_t)got[0];
}

/* Every ps task holds exactly as many of each push as its ledger counts. */
static void expect_counts(const struct cluster_rig *rig, const char *what)
{
    uint64_t sum = 0;
    ps_session *session = rig_connect(rig, CHECKER);
    for (int w = 0; w < WORKERS; w++) {
        uint64_t count = audit_committed(rig, w, what);
        ck_assert_msg(count >= GOAL, "%s: worker %d made %" PRIu64 " pushes", what, w, count);
        ck_assert_uint_eq(expect_uniform(session, declare_own(session, w), what), count);
        sum += count;
    }
    uint64_t even = expect_uniform(session, declare_table(session, 0), what);
    ck_assert_uint_eq(even + expect_uniform(session, declare_table(session, 1), what), sum);
    audit_expect_settled(rig, (int64_t)sum, what);
    ck_assert_int_eq(ps_finish(session), 0);
}

START_TEST(killed_workers_lose_and_repeat_nothing)
{
    struct cluster_rig rig;
    struct worker workers[WORKERS];
    char what[32];
    uint64_t seed = first_seed + (uint64_t)_i;
    snprintf(what, sizeof what, "seed %" PRIu64, seed);
    rig_start(&rig, PS_TASKS, WORKERS + 1);
    for (int w = 0; w < WORKERS; w++) {
        workers[w] = (struct worker){ .hosts = rig.ps_hosts,
                                      .seed = seed * WORKERS + (uint64_t)w,
                                      .index = w };
        ck_assert_int_eq(pthread_create(&workers[w].thread, NULL, run_worker, &workers[w]), 0);
    }
    for (int w = 0; w < WORKERS; w++) { pthread_join(workers[w].thread, NULL); }
    for (int w = 0; w < WORKERS; w++) {
        ck_assert_msg(workers[w].failure[0] == '\0', "%s: worker %d: %s", what, w,
                      workers[w].failure);
    }
    expect_counts(&rig, what);
    rig_expect_complete(&rig);
    rig_stop(&rig);
}
END_TEST

/* An argument replaces the seed. */
int main(int argc, char **argv)
{
    ps_log_configure(&(struct ps_log_options){ .level = PS_LOG_ERROR });
    if (argc == 6 && strcmp(argv[1], "--worker") == 0) { return live(argv); }
    if (argc > 1) { first_seed = strtoull(argv[1], NULL, 10); }
    Suite *suite = suite_create("death");
    TCase *tests = tcase_create("death");
    tcase_set_timeout(tests, 0); /* ctest has one */
    tcase_add_loop_test(tests, killed_workers_lose_and_repeat_nothing, 0, 3);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
