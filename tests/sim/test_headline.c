/* The headline: 10,000 pushes by 4 workers onto 3 ps tasks under faults, and not one is off. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "server/store.h"
#include "server/update_session.h"
#include "server/variable.h"
#include "tests/sim/sim.h"

/* The simulator's network and crashes, and the variables of the real store: gradients are small
 * integers in floats, so every order of exact additions gives the same bits, and any frame that is
 * lost, doubled or torn does not. */

enum {
    WORKERS = 4,
    TASKS = 3,
    BATCHES = 2500,
    PUSHES = WORKERS * BATCHES,
    ELEMENTS = 512,
    LONGEST_RUN = 16, /* elements that a frame changes */
    VALUES = 7
};

struct cluster {
    struct ps_store *stores[TASKS];
    struct ps_variable *variables[TASKS];
    int64_t expected[TASKS][ELEMENTS]; /* the serial oracle */
    uint8_t counted[WORKERS][BATCHES + 1][TASKS][SIM_FRAMES];
};

/* What a frame does: a pure function of its name. */
struct gradient {
    uint32_t first;
    uint32_t count;
    float values[LONGEST_RUN];
};

static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

static struct gradient gradient_of(const struct sim_frame *frame)
{
    uint64_t name = ((uint64_t)frame->worker << 48) + ((uint64_t)frame->batch << 16) +
                    (uint64_t)(frame->task * SIM_FRAMES + frame->index);
    uint64_t bits = mix(name + 1);
    struct gradient gradient = { .count = 1 + (uint32_t)(bits % LONGEST_RUN) };
    gradient.first = (uint32_t)(bits >> 8) % (ELEMENTS - gradient.count + 1);
    for (uint32_t i = 0; i < gradient.count; i++) {
        gradient.values[i] = (float)(1 + mix(bits + i) % VALUES);
    }
    return gradient;
}

static void cluster_init(struct cluster *cluster)
{
    memset(cluster, 0, sizeof *cluster);
    for (uint32_t task = 0; task < TASKS; task++) {
        struct ps_store_options options = { .task_index = task };
        cluster->stores[task] = ps_store_create(&options);
        ck_assert_ptr_nonnull(cluster->stores[task]);
        struct ps_slice_place slice = { task, { 0, ELEMENTS } };
        struct ps_create_request request = {
            .definition = {
                .name = "weights",
                .dtype = PS_FLOAT,
                .shape = { 1, { ELEMENTS } },
                .initializer = { .kind = PS_INIT_ZEROS, .scale = 1.0, .source = "" },
                .device = "",
                .trainable = true,
            },
            .slices = &slice,
            .slice_count = 1,
        };
        struct ps_error err = PS_ERROR_INIT;
        bool created;
        enum ps_code rc = ps_store_create_variable(cluster->stores[task], &request,
                                                   &cluster->variables[task], &created, &err);
        ck_assert_msg(rc == PS_OK, "%s", err.message);
        struct ps_initialize_request all = { .handle_count = 0 };
        uint32_t initialized;
        rc = ps_store_initialize(cluster->stores[task], &all, &initialized, &err);
        ck_assert_msg(rc == PS_OK && initialized == 1, "%s", err.message);
    }
}

static void cluster_clean(struct cluster *cluster)
{
    for (uint32_t task = 0; task < TASKS; task++) { ps_store_destroy(cluster->stores[task]); }
}

/* weights -= -1 * gradient, by the optimizer that workers use, in the real variable. */
static void apply(void *ctx, const struct sim_frame *frame)
{
    struct cluster *cluster = ctx;
    struct gradient gradient = gradient_of(frame);
    struct ps_update update = { .kind = PS_UPDATE_SGD, .name = "", .learning_rate = -1.0 };
    struct ps_piece piece = { 0, gradient.first * sizeof(float), gradient.count * sizeof(float) };
    struct ps_variable *variable = cluster->variables[frame->task];
    struct ps_error err = PS_ERROR_INIT;
    struct ps_update_session session;
    struct ps_beta_powers powers = { 0 };

    enum ps_code rc = ps_update_check(&update, variable, &piece, &err);
    ck_assert_msg(rc == PS_OK, "%s", err.message);
    rc = ps_update_open(&session, variable, &update, &err);
    ck_assert_msg(rc == PS_OK, "%s", err.message);
    struct ps_payload *payload = ps_payload_copy(gradient.values, piece.size);
    ck_assert_ptr_nonnull(payload);
    struct ps_cursor cursor = ps_cursor_at(payload, 0);
    ps_update_begin(&session, &powers);
    ps_update_apply(&session, piece.offset, &cursor, piece.size);
    ps_update_end(&session);
    rc = ps_update_close(&session, &err);
    ck_assert_msg(rc == PS_OK, "%s", err.message);
    ps_payload_release(payload);
}

/* A frame of the serial oracle: the batch counted, so this is added, once. */
static void count(void *ctx, const struct sim_frame *frame)
{
    struct cluster *cluster = ctx;
    ck_assert_uint_le(frame->batch, BATCHES);
    uint8_t *counted = &cluster->counted[frame->worker][frame->batch][frame->task][frame->index];
    ck_assert_uint_eq((*counted)++, 0);
    struct gradient gradient = gradient_of(frame);
    for (uint32_t i = 0; i < gradient.count; i++) {
        cluster->expected[frame->task][gradient.first + i] += (int64_t)gradient.values[i];
    }
}

static void compare(struct cluster *cluster, uint32_t task)
{
    struct ps_buf bytes = { 0 };
    struct ps_error err = PS_ERROR_INIT;
    enum ps_code rc = ps_variable_read(cluster->variables[task], PS_PLANE_VALUE, 0, &bytes,
                                       ELEMENTS * sizeof(float), &err);
    ck_assert_msg(rc == PS_OK, "%s", err.message);
    float values[ELEMENTS];
    ck_assert_uint_eq(bytes.size, sizeof values);
    memcpy(values, bytes.data, sizeof values);
    ps_buf_clean(&bytes);
    for (uint32_t i = 0; i < ELEMENTS; i++) {
        int64_t expected = cluster->expected[task][i];
        ck_assert_int_lt(expected, 1 << 24); /* exact in a float */
        ck_assert_msg(values[i] == (float)expected, "task %u, element %u: %.9g, not %" PRId64, task,
                      i, (double)values[i], expected);
    }
}

static void expect_every_batch(const struct cluster *cluster)
{
    for (uint32_t w = 0; w < WORKERS; w++) {
        for (uint32_t b = 1; b <= BATCHES; b++) {
            uint32_t frames = 0;
            for (uint32_t t = 0; t < TASKS; t++) {
                for (uint32_t f = 0; f < SIM_FRAMES; f++) {
                    frames += cluster->counted[w][b][t][f];
                }
            }
            ck_assert_msg(frames > 0, "batch %u of worker %u does not count", b, w);
        }
    }
}

static void train(const struct sim_config *config)
{
    static struct cluster cluster;
    cluster_init(&cluster);
    struct sim_hooks hooks = { &cluster, apply, count };
    struct sim_result result = sim_run(config, &hooks, NULL);
    ck_assert_msg(!result.failed, "seed %" PRIu64 ": %s", config->seed, result.message);
    ck_assert_uint_eq(result.counted, PUSHES);
    ck_assert_uint_eq(result.refused, 0);
    ck_assert_uint_ge(result.stormy_pushes, PUSHES); /* nothing is left for the calm */
    if (config->crash > 0) { ck_assert_uint_gt(result.processes, 20 * WORKERS); }
    expect_every_batch(&cluster);
    for (uint32_t task = 0; task < TASKS; task++) { compare(&cluster, task); }
    cluster_clean(&cluster);
}

static struct sim_config faulty(uint64_t seed)
{
    return (struct sim_config){
        .seed = seed,
        .worker_count = WORKERS,
        .task_count = TASKS,
        .batch_count = BATCHES,
        .window = 5,
        .frame_limit = SIM_FRAMES,
        .credit_bytes = 60,
        .chaos_steps = 5000000, /* ends when all is done */
        .drop = 50,
        .duplicate = 100,
        .delay = 30,
        .lose = 20,
        .home = true,
        .lazy_notice = true,
    };
}

START_TEST(exact_mode_with_crashes_and_zombies)
{
    struct sim_config config = faulty(1);
    config.crash = 1;
    config.zombies = true;
    train(&config);
}
END_TEST

/* A crash may tear an eager push that nobody acknowledged, so here the network alone is at fault.
 */
START_TEST(eager_mode)
{
    struct sim_config config = faulty(2);
    config.eager = 1000;
    train(&config);
}
END_TEST

START_TEST(both_modes_mixed)
{
    struct sim_config config = faulty(3);
    config.eager = 500;
    config.fifo = true;
    train(&config);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("headline");
    TCase *cases = tcase_create("headline");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, exact_mode_with_crashes_and_zombies);
    tcase_add_test(cases, eager_mode);
    tcase_add_test(cases, both_modes_mixed);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
