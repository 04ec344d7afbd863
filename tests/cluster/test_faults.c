/* Messages dropped, duplicated, delayed, reordered, streams cut: the state is the serial oracle's.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/session_priv.h"
#include "cluster_audit.h"
#include "cluster_rig.h"
#include "core/exit_code.h"
#include "core/log.h"
#include "core/philox.h"
#include "fault_link.h"

#ifdef PS_TSAN
enum { PUSHES = 500 }; /* of each worker */
#else
enum { PUSHES = 2500 };
#endif

enum {
    PS_TASKS = 3,
    WORKERS = 4,
    CHECKER = WORKERS, /* the session that looks at the end */
    WINDOW = 8,        /* pushes on their way of one worker */
    PULL_EVERY = 16,
    PULL_ALL_EVERY = 160,
    RESEND_TIMEOUT_MS = 30,
    CALL_TIMEOUT_MS = 600000, /* nothing is lost for good here, however slow the machine */
    OWN_ELEMENTS = 8,
    MOST_ELEMENTS = 600000
};

/* Variables that all workers push to: each push has each of them with a chance of one in so many.
 */
static const struct shared {
    const char *name;
    struct ps_shape shape;
    uint64_t parts;
    uint32_t one_in;
    size_t elements;
} shared[] = {
    { "w", { 2, { 7, 5 } }, 1, 2, 35 },
    { "b", { 1, { 64 } }, 1, 3, 64 },
    { "table", { 2, { 31, 9 } }, 3, 2, 279 },
    { "large", { 1, { MOST_ELEMENTS } }, 1, 100, MOST_ELEMENTS }, /* 2.3 MiB: three frames */
};
enum { SHARED = sizeof shared / sizeof shared[0], TABLE = 2, LARGE = 3 };

static unsigned first_seed = 1;

struct trial {
    struct cluster_rig rig;
    uint64_t seed;
    bool eager;
    bool checksums;
    int bad_worker;
    int bad_push;   /* that push of that worker has a NaN; 0: none */
    int push_count; /* of each worker */
    char name[64];
};

/* One push that may still be on its way. */
struct slot {
    ps_ticket ticket;
    float own[OWN_ELEMENTS];
    float *gradients[SHARED];
};

struct worker {
    struct trial *trial;
    int index;
    pthread_t thread;
    ps_session *session;
    ps_optimizer *sgd;
    ps_var *own;
    ps_var *vars[SHARED];
    struct slot slots[WINDOW];
    float *large;          /* the gradient of LARGE, the same in each push */
    float *values[SHARED]; /* as pulled last */
    struct fault_counts counts;
    int refused;
    char failure[400];
};

#define give_up(worker, ...)                                               \
    do {                                                                   \
        if ((worker)->failure[0] != '\0') { break; }                       \
        snprintf((worker)->failure, sizeof(worker)->failure, __VA_ARGS__); \
    } while (0)

/* ---- What is pushed ---- */

static bool has_shared(const struct trial *trial, int worker, int push, int v)
{
    if (worker == trial->bad_worker && push == trial->bad_push) { return true; }
    uint64_t index = ((uint64_t)worker << 40) | ((uint64_t)push << 8) | (uint64_t)v;
    return ps_philox(trial->seed, PS_STREAM_TEST, index).word[0] % shared[v].one_in == 0;
}

static float gradient(int worker, int push, int v, size_t k)
{
    size_t turn = v == LARGE ? 0 : (size_t)push;
    return -(float)(1 + ((size_t)worker + 3 * turn + 5 * (size_t)v + k) % 7);
}

/* How many of a worker's first pushes count. */
static int applied(const struct trial *trial, int worker, int push_count)
{
    bool without = worker == trial->bad_worker && trial->bad_push > 0 &&
                   trial->bad_push <= push_count;
    return push_count - (without ? 1 : 0);
}

static void expect_variable(const struct trial *trial, int v, float *sum)
{
    memset(sum, 0, shared[v].elements * sizeof *sum);
    for (int w = 0; w < WORKERS; w++) {
        for (int push = 1; push <= trial->push_count; push++) {
            bool bad = w == trial->bad_worker && push == trial->bad_push;
            if (bad || !has_shared(trial, w, push, v)) { continue; }
            for (size_t k = 0; k < shared[v].elements; k++) { sum[k] -= gradient(w, push, v, k); }
        }
    }
}

/* ---- A worker ---- */

static ps_var *declare(ps_session *session, const char *name, struct ps_shape shape, uint64_t parts)
{
    ps_variable_options options = { .partition = parts > 1 ? PS_SPLIT_FIXED : PS_SPLIT_NONE,
                                    .partition_a = parts };
    return ps_variable_with(session, name, PS_FLOAT, shape, ps_zeros(), &options);
}

static ps_var *declare_own(ps_session *session, int index)
{
    char name[16];
    snprintf(name, sizeof name, "own/%d", index);
    return declare(session, name, PS_SHAPE(OWN_ELEMENTS), 1);
}

static void prepare(struct worker *worker)
{
    ps_session *session = worker->session;
    for (int v = 0; v < (int)SHARED; v++) {
        worker->vars[v] = declare(session, shared[v].name, shared[v].shape, shared[v].parts);
    }
    worker->own = declare_own(session, worker->index);
    worker->sgd = ps_sgd(session, 1.0);
    ps_initialize(session);
    memset(worker->slots, 0, sizeof worker->slots);
    for (int s = 0; s < WINDOW; s++) {
        for (int v = 0; v < LARGE; v++) {
            worker->slots[s].gradients[v] = calloc(shared[v].elements, sizeof(float));
        }
        worker->slots[s].gradients[LARGE] = worker->large;
    }
}

static void clean_slots(struct worker *worker)
{
    for (int s = 0; s < WINDOW; s++) {
        for (int v = 0; v < LARGE; v++) { free(worker->slots[s].gradients[v]); }
    }
}

static void push(struct worker *worker, int number)
{
    const struct trial *trial = worker->trial;
    struct slot *slot = &worker->slots[number % WINDOW];
    ps_wait(worker->session, slot->ticket);
    for (int k = 0; k < OWN_ELEMENTS; k++) { slot->own[k] = -1; }
    ps_binding bindings[SHARED + 1] = { { worker->own, slot->own, OWN_ELEMENTS } };
    size_t count = 1;
    for (int v = 0; v < (int)SHARED; v++) {
        if (!has_shared(trial, worker->index, number, v)) { continue; }
        float *values = slot->gradients[v];
        for (size_t k = 0; v != LARGE && k < shared[v].elements; k++) {
            values[k] = gradient(worker->index, number, v, k);
        }
        bindings[count++] = (ps_binding){ worker->vars[v], values, shared[v].elements };
    }
    bool bad = worker->index == trial->bad_worker && number == trial->bad_push;
    if (bad) { slot->gradients[TABLE][shared[TABLE].elements - 1] = NAN; }
    ps_set_position(worker->session, &number, sizeof number);
    slot->ticket = ps_push_async(worker->sgd, bindings, count);
}

/* A worker reads its own writes: also those that it has not waited for. */
static void check_own(struct worker *worker, int number)
{
    float got[OWN_ELEMENTS];
    ps_pull(worker->session, &(ps_binding){ worker->own, got, OWN_ELEMENTS }, 1);
    if (!ps_ok(worker->session)) { return; }
    float wanted = (float)applied(worker->trial, worker->index, number);
    for (int k = 0; k < OWN_ELEMENTS; k++) {
        if (got[k] == wanted) { continue; }
        give_up(worker, "own/%d[%d] is %g after push %d, not %g", worker->index, k, (double)got[k],
                number, (double)wanted);
    }
}

/* Values only ever grow here: a pull must not see what an earlier one has seen undone. */
static void check_growth(struct worker *worker)
{
    ps_binding bindings[SHARED];
    float *fresh[SHARED];
    for (int v = 0; v < (int)SHARED; v++) {
        fresh[v] = malloc(shared[v].elements * sizeof(float));
        bindings[v] = (ps_binding){ worker->vars[v], fresh[v], shared[v].elements };
    }
    ps_wait(worker->session, ps_pull_async(worker->session, bindings, SHARED));
    for (int v = 0; v < (int)SHARED; v++) {
        float *before = worker->values[v];
        for (size_t k = 0; ps_ok(worker->session) && k < shared[v].elements; k++) {
            if (fresh[v][k] >= before[k] && fresh[v][k] == rintf(fresh[v][k])) { continue; }
            give_up(worker, "%s[%zu] went from %g to %g", shared[v].name, k, (double)before[k],
                    (double)fresh[v][k]);
        }
        if (ps_ok(worker->session)) {
            memcpy(before, fresh[v], shared[v].elements * sizeof(float));
        }
        free(fresh[v]);
    }
}

static int position_of(ps_session *session)
{
    int position = 0;
    const void *data;
    if (ps_position(session, &data) == sizeof position) {
        memcpy(&position, data, sizeof position);
    }
    return position;
}

static void push_the_rest(struct worker *worker)
{
    const struct trial *trial = worker->trial;
    ps_session *session = worker->session;
    int done = position_of(session);
    check_own(worker, done);
    for (int i = done + 1; i <= trial->push_count && ps_ok(session); i++) {
        bool bad = worker->index == trial->bad_worker && i == trial->bad_push;
        if (bad && worker->refused > 0) { continue; }
        push(worker, i);
        if (i % PULL_EVERY == 0) { check_own(worker, i); }
        if (i % PULL_ALL_EVERY == 0) { check_growth(worker); }
    }
    ps_wait_all(session);
    check_own(worker, trial->push_count);
}

static void add_counts(struct fault_counts *sum, struct fault_counts more)
{
    sum->messages += more.messages;
    sum->dropped += more.dropped;
    sum->duplicated += more.duplicated;
    sum->delayed += more.delayed;
    sum->late += more.late;
    sum->cut += more.cut;
}

/* One session; its exit code. */
static int run_session(struct worker *worker)
{
    struct trial *trial = worker->trial;
    struct fault_plan plan = {
        .seed = (trial->seed * WORKERS + (uint64_t)worker->index) * 2 + (uint64_t)worker->refused,
        .drop = 20,
        .duplicate = 200,
        .delay = 300,
        .cut = 8,
    };
    struct fault_link *link = fault_link_create(&plan);
    struct psi_link hook = fault_link_hook(link);
    ps_options options = rig_options(&trial->rig, worker->index);
    options.call_timeout_ms = CALL_TIMEOUT_MS;
    options.resend_timeout_ms = RESEND_TIMEOUT_MS;
    options.eager = trial->eager;
    options.checksums = trial->checksums;
    worker->session = psi_session_connect(&options, &hook);
    prepare(worker);
    push_the_rest(worker);
    enum ps_code code = ps_status(worker->session);
    bool expected = code == PS_INVALID_ARGUMENT && worker->refused == 0 &&
                    worker->index == trial->bad_worker && trial->bad_push > 0;
    if (code != PS_OK && !expected) { give_up(worker, "%s", ps_message(worker->session)); }
    ps_stats stats;
    ps_get_stats(worker->session, &stats);
    if (stats.refused != (expected ? 1 : 0)) {
        give_up(worker, "%d pushes refused", (int)stats.refused);
    }
    int exit_code = ps_finish(worker->session);
    add_counts(&worker->counts, fault_link_counts(link));
    fault_link_destroy(link);
    clean_slots(worker);
    return exit_code;
}

static void *run_worker(void *arg)
{
    struct worker *worker = arg;
    worker->large = calloc(MOST_ELEMENTS, sizeof(float));
    for (size_t k = 0; k < MOST_ELEMENTS; k++) {
        worker->large[k] = gradient(worker->index, 0, LARGE, k);
    }
    for (int v = 0; v < (int)SHARED; v++) {
        worker->values[v] = calloc(shared[v].elements, sizeof(float));
    }
    int exit_code = run_session(worker);
    if (exit_code == PS_EXIT_DATA && worker->failure[0] == '\0') {
        worker->refused++;
        exit_code = run_session(worker);
    }
    if (exit_code != 0) { give_up(worker, "ps_finish gave %d", exit_code); }
    for (int v = 0; v < (int)SHARED; v++) { free(worker->values[v]); }
    free(worker->large);
    return NULL;
}

/* ---- The whole ---- */

static struct fault_counts run_workers(struct trial *trial)
{
    static struct worker workers[WORKERS];
    struct fault_counts counts = { 0 };
    memset(workers, 0, sizeof workers);
    for (int i = 0; i < WORKERS; i++) {
        workers[i].trial = trial;
        workers[i].index = i;
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
        add_counts(&counts, workers[i].counts);
    }
    for (int i = 0; i < WORKERS; i++) {
        bool refusal = i == trial->bad_worker && trial->bad_push > 0;
        ck_assert_msg(workers[i].failure[0] == '\0', "%s: worker %d: %s", trial->name, i,
                      workers[i].failure);
        ck_assert_msg(workers[i].refused == (refusal ? 1 : 0), "%s: worker %d", trial->name, i);
    }
    return counts;
}

static void expect_state(struct trial *trial)
{
    ps_session *session = rig_connect(&trial->rig, CHECKER);
    float *got = malloc(MOST_ELEMENTS * sizeof *got),
          *wanted = malloc(MOST_ELEMENTS * sizeof *wanted);
    for (int v = 0; v < (int)SHARED + WORKERS; v++) {
        bool own = v >= (int)SHARED;
        int owner = v - (int)SHARED;
        ps_var *var = own ? declare_own(session, owner)
                          : declare(session, shared[v].name, shared[v].shape, shared[v].parts);
        ps_pull(session, &(ps_binding){ var, got, 0 }, 1);
        ck_assert_msg(ps_ok(session), "%s: %s", trial->name, ps_message(session));
        if (!own) { expect_variable(trial, v, wanted); }
        for (size_t k = 0; own && k < OWN_ELEMENTS; k++) {
            wanted[k] = (float)applied(trial, owner, trial->push_count);
        }
        for (size_t k = 0; k < ps_elements(var); k++) {
            if (got[k] == wanted[k]) { continue; }
            ck_abort_msg("%s: %s[%zu] is %g, not %g", trial->name, ps_name(var), k, (double)got[k],
                         (double)wanted[k]);
        }
    }
    free(got);
    free(wanted);
    ck_assert_int_eq(ps_finish(session), 0);
}

/* A refused push is no step, and its number is burnt, or used again if it was never decided. */
static void expect_ledgers(const struct trial *trial)
{
    int64_t steps = 0;
    for (int w = 0; w < WORKERS; w++) {
        int count = applied(trial, w, trial->push_count);
        uint64_t committed = audit_committed(&trial->rig, w, trial->name);
        bool fits = committed == (uint64_t)count || committed == (uint64_t)trial->push_count;
        ck_assert_msg(fits, "%s: worker %d has committed %llu pushes, not %d", trial->name, w,
                      (unsigned long long)committed, count);
        steps += count;
    }
    audit_expect_settled(&trial->rig, steps, trial->name);
}

static void run_trial(struct trial *trial, const char *kind, uint64_t staged_limit_bytes)
{
    snprintf(trial->name, sizeof trial->name, "%s, seed %llu", kind,
             (unsigned long long)trial->seed);
    rig_start_limited(&trial->rig, PS_TASKS, WORKERS + 1, staged_limit_bytes);
    struct fault_counts counts = run_workers(trial);
    expect_ledgers(trial);
    expect_state(trial);
    rig_expect_complete(&trial->rig);
    rig_stop(&trial->rig);
    printf("%s: %ld messages: %ld dropped, %ld duplicated, %ld delayed, %ld late, %ld cuts\n",
           trial->name, counts.messages, counts.dropped, counts.duplicated, counts.delayed,
           counts.late, counts.cut);
    fflush(stdout);
    /* A layer that does nothing would let everything pass. */
    ck_assert(counts.dropped > 0 && counts.duplicated > 0 && counts.delayed > 0);
    ck_assert(counts.late > 0 && counts.cut > 0);
}

static struct trial trial;

START_TEST(exact_pushes)
{
    trial = (struct trial){ .seed = first_seed + (unsigned)_i, .push_count = PUSHES };
    run_trial(&trial, "exact", 0);
}
END_TEST

/* Staging memory for one large push a worker: credit runs out all the time. */
START_TEST(exact_pushes_with_checksums_and_little_credit)
{
    trial = (struct trial){ .seed = first_seed + (unsigned)_i,
                            .checksums = true,
                            .push_count = PUSHES };
    run_trial(&trial, "exact, checksums, little credit", (WORKERS + 1) * (UINT64_C(3) << 20));
}
END_TEST

START_TEST(eager_pushes)
{
    trial = (struct trial){ .seed = first_seed + (unsigned)_i,
                            .eager = true,
                            .push_count = PUSHES };
    run_trial(&trial, "eager", 0);
}
END_TEST

START_TEST(eager_pushes_with_checksums)
{
    trial = (struct trial){
        .seed = first_seed + (unsigned)_i, .eager = true, .checksums = true, .push_count = PUSHES
    };
    run_trial(&trial, "eager, checksums", 0);
}
END_TEST

/* One worker's session fails; the others do not notice, and its next session goes on. */
START_TEST(a_refused_push_counts_nowhere)
{
    uint64_t seed = first_seed + (unsigned)_i;
    trial = (struct trial){ .seed = seed,
                            .push_count = 500,
                            .bad_worker = (int)(seed % WORKERS),
                            .bad_push = 100 + (int)(seed * 37 % 200) };
    run_trial(&trial, "refused", 0);
}
END_TEST

/* An argument replaces the first seed. */
int main(int argc, char **argv)
{
    if (argc > 1) { first_seed = (unsigned)strtoul(argv[1], NULL, 10); }
    ps_log_configure(&(struct ps_log_options){ .level = PS_LOG_ERROR });
    Suite *suite = suite_create("faults");
    TCase *tests = tcase_create("faults");
    tcase_set_timeout(tests, 0); /* ctest has one */
    tcase_add_loop_test(tests, exact_pushes, 0, 2);
    tcase_add_loop_test(tests, exact_pushes_with_checksums_and_little_credit, 0, 1);
    tcase_add_loop_test(tests, eager_pushes, 0, 1);
    tcase_add_loop_test(tests, eager_pushes_with_checksums, 0, 1);
    tcase_add_loop_test(tests, a_refused_push_counts_nowhere, 0, 4);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
