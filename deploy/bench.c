/* `paramd bench`: push, pull and apply, measured against what this machine can do at most. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/bench.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/exit_code.h"
#include "deploy/bench_local_priv.h"
#include "deploy/bench_plan_priv.h"
#include "deploy/bench_ps_priv.h"
#include "deploy/bench_raw_priv.h"
#include "deploy/bench_report_priv.h"
#include "deploy/bench_row_priv.h"
#include "deploy/bench_stall_priv.h"
#include "deploy/bench_tensor_priv.h"
#include "deploy/bench_unary_priv.h"
#include "worker/model.h"

enum {
    EXACT, /* workers of the measured ps task */
    EAGER,
    WORKER_COUNT,
    MAX_ROWS = 16,
    ACK_BYTES = 8 /* what raw TCP answers a push with */
};

struct bench {
    struct psi_bench_plan plan;
    struct psi_bench_report report;
    /* processes, all started before the first thread of this one */
    struct psi_bench_raw_peer raw_peer;
    struct psi_bench_ps ps;
    struct psi_bench_ps stalled_ps;
    struct psi_bench_worker workers[WORKER_COUNT];
    float *gradient; /* as long as the largest message */
};

/* Rows that are measured together. */
struct rows {
    struct psi_bench_row row[MAX_ROWS];
    size_t count;
};

static enum ps_code add_row(struct rows *rows, const struct bench *bench, struct psi_bench_op op,
                            struct ps_error *err)
{
    PS_ASSERT(rows->count < MAX_ROWS);
    return psi_bench_row_init(&rows->row[rows->count++], &op, bench->plan.round_count, err);
}

static void clean_rows(struct rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) { psi_bench_row_clean(&rows->row[i]); }
    ps_free(rows);
}

/* Everything that one block of rows is measured with. */
struct stage {
    struct psi_bench_raw raw;
    struct psi_bench_memory memory;
    struct psi_bench_tensors tensors[WORKER_COUNT];
    struct psi_bench_mover movers[MAX_ROWS];
    struct rows *rows;
};

struct stage_options {
    const char *name; /* of the variables */
    size_t count;
    size_t each_bytes;
    size_t answer_bytes; /* of raw TCP */
};

/* stage_clean when done, also after a failure. One stage at a time: raw TCP has one connection. */
static enum ps_code stage_init(struct stage *stage, struct bench *bench,
                               const struct stage_options *of, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    size_t total = of->count * of->each_bytes;
    const struct psi_bench_tensors_options options = {
        .name = of->name,
        .count = of->count,
        .each_bytes = of->each_bytes,
        .gradient = bench->gradient,
        .window = psi_bench_plan_window(&bench->plan, total),
    };
    memset(stage, 0, sizeof *stage);
    stage->raw.fd = -1;
    stage->rows = ps_alloc_zero(1, sizeof *stage->rows);
    if (stage->rows == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for rows"); }
    PS_TRY(
        done, rc,
        psi_bench_raw_open(&bench->raw_peer, bench->gradient, total, ACK_BYTES, &stage->raw, err));
    PS_TRY(done, rc, psi_bench_memory_init(&stage->memory, bench->gradient, total, err));
    for (int i = 0; i < WORKER_COUNT; i++) {
        PS_TRY(done, rc,
               psi_bench_tensors_init(&stage->tensors[i], &bench->workers[i], &options, err));
    }
done:
    return rc;
}

static void stage_clean(struct stage *stage)
{
    for (int i = 0; i < WORKER_COUNT; i++) { psi_bench_tensors_clean(&stage->tensors[i]); }
    psi_bench_memory_clean(&stage->memory);
    psi_bench_raw_close(&stage->raw);
    if (stage->rows != NULL) { clean_rows(stage->rows); }
}

static const struct {
    const char *name;
    int worker;
    enum psi_bench_move move;
    bool piped;
} moves[] = {
    { "push exact", EXACT, PSI_BENCH_PUSH, false },
    { "push exact piped", EXACT, PSI_BENCH_PUSH, true },
    { "push eager", EAGER, PSI_BENCH_PUSH, false },
    { "push eager piped", EAGER, PSI_BENCH_PUSH, true },
    { "pull", EXACT, PSI_BENCH_PULL, false },
    { "pull piped", EXACT, PSI_BENCH_PULL, true },
    { "push+pull exact", EXACT, PSI_BENCH_PUSH_PULL, false },
    { "push+pull eager", EAGER, PSI_BENCH_PUSH_PULL, false },
};
enum { MOVE_COUNT = sizeof moves / sizeof moves[0] };

/* Raw TCP first: it is what the others are compared with. */
static enum ps_code add_moves(struct stage *stage, const struct bench *bench, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    PS_TRY(done, rc, add_row(stage->rows, bench, psi_bench_raw_op(&stage->raw, "raw TCP"), err));
    for (int i = 0; i < MOVE_COUNT; i++) {
        struct psi_bench_tensors *tensors = &stage->tensors[moves[i].worker];
        struct psi_bench_op op = psi_bench_mover_op(&stage->movers[i], moves[i].name, tensors,
                                                    moves[i].move,
                                                    moves[i].piped ? tensors->window : 1);
        PS_TRY(done, rc, add_row(stage->rows, bench, op, err));
    }
done:
    return rc;
}

static enum ps_code add_locals(struct stage *stage, const struct bench *bench, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    for (int kind = 0; kind < PSI_BENCH_LOCAL_COUNT && rc == PS_OK; kind++) {
        struct psi_bench_op op = psi_bench_local_op(&stage->memory,
                                                    (enum psi_bench_local_kind)kind);
        rc = add_row(stage->rows, bench, op, err);
    }
    return rc;
}

static enum ps_code measure_rows(struct bench *bench, struct rows *rows,
                                 struct psi_bench_block block, struct ps_error *err)
{
    psi_bench_report_progress(block.title);
    enum ps_code rc = psi_bench_rows_measure(rows->row, rows->count, bench->plan.round_count,
                                             bench->plan.sample_seconds, err);
    if (rc != PS_OK) { return rc; }
    block.rows = rows->row;
    block.row_count = rows->count;
    psi_bench_report_block(&bench->report, &block);
    return PS_OK;
}

static enum ps_code measure_size(struct bench *bench, size_t size_bytes, struct ps_error *err)
{
    char title[32];
    char name[32];
    struct stage stage;
    enum ps_code rc = PS_OK;
    snprintf(name, sizeof name, "tensor_%zu_", size_bytes);
    const struct stage_options options = { name, 1, size_bytes, ACK_BYTES };
    PS_TRY(done, rc, stage_init(&stage, bench, &options, err));
    PS_TRY(done, rc, add_moves(&stage, bench, err));
    PS_TRY(done, rc, add_locals(&stage, bench, err));
    const struct psi_bench_block block = {
        .section = "tensor",
        .title = psi_bench_format_size(size_bytes, title),
        .tensor_count = 1,
        .window = stage.tensors[EXACT].window,
    };
    rc = measure_rows(bench, stage.rows, block, err);
done:
    stage_clean(&stage);
    return rc;
}

/* Many small variables in one call, against raw TCP of as many bytes. */
static enum ps_code measure_small(struct bench *bench, struct ps_error *err)
{
    const struct psi_bench_plan *plan = &bench->plan;
    char title[32];
    struct stage stage;
    enum ps_code rc = PS_OK;
    snprintf(title, sizeof title, "%zu x %zu B", plan->small_count, plan->small_bytes);
    const struct stage_options options = { "small_", plan->small_count, plan->small_bytes,
                                           ACK_BYTES };
    PS_TRY(done, rc, stage_init(&stage, bench, &options, err));
    PS_TRY(done, rc, add_moves(&stage, bench, err));
    const struct psi_bench_block block = {
        .section = "small",
        .title = title,
        .tensor_count = plan->small_count,
        .window = stage.tensors[EXACT].window,
    };
    rc = measure_rows(bench, stage.rows, block, err);
done:
    stage_clean(&stage);
    return rc;
}

/* One 4-byte value: there and back over raw TCP, by a unary call, and on a session's stream. */
static enum ps_code measure_latency(struct bench *bench, struct ps_error *err)
{
    struct psi_bench_unary unary = { 0 };
    struct psi_bench_target target;
    struct stage stage;
    enum ps_code rc = PS_OK;
    const struct stage_options options = { "latency_", 1, sizeof(float), sizeof(float) };
    PS_TRY(done, rc, stage_init(&stage, bench, &options, err));
    PS_TRY(done, rc, psi_bench_target_find(bench->ps.address, "latency_0", &target, err));
    PS_TRY(done, rc, psi_bench_unary_open(&target, bench->ps.pid, &unary, err));
    PS_TRY(done, rc,
           add_row(stage.rows, bench, psi_bench_raw_op(&stage.raw, "raw TCP pingpong"), err));
    PS_TRY(done, rc, add_row(stage.rows, bench, psi_bench_unary_op(&unary, "unary read"), err));
    PS_TRY(done, rc,
           add_row(stage.rows, bench,
                   psi_bench_mover_op(&stage.movers[0], "stream pull", &stage.tensors[EXACT],
                                      PSI_BENCH_PULL, 1),
                   err));
    const struct psi_bench_block block = {
        .section = "latency", .title = "latency, 4 B", .tensor_count = 1, .compares_latency = true
    };
    rc = measure_rows(bench, stage.rows, block, err);
done:
    psi_bench_unary_close(&unary);
    stage_clean(&stage);
    return rc;
}

static enum ps_code measure_stall(struct bench *bench, struct ps_error *err)
{
    const struct psi_bench_stall_options options = {
        .variable_bytes = bench->plan.stall_bytes,
        .seconds = bench->plan.stall_seconds,
    };
    struct psi_bench_stall_result result;
    psi_bench_report_progress("memory under stalled readers");
    enum ps_code rc = psi_bench_stall_measure(&bench->stalled_ps, &options, &result, err);
    if (rc == PS_OK) { psi_bench_report_stall(&bench->report, &result); }
    return rc;
}

/* Values around 1 of both signs: no zeros, no denormals, nothing that a sum lets overflow. */
static enum ps_code make_gradient(struct bench *bench, struct ps_error *err)
{
    size_t size = psi_bench_plan_largest(&bench->plan);
    uint32_t state = 1;
    bench->gradient = ps_alloc_aligned(size);
    if (bench->gradient == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for %zu bytes", size);
    }
    for (size_t i = 0; i < size / sizeof(float); i++) {
        state = state * 1664525U + 1013904223U;
        float value = 0.5F + (float)(state >> 9) / (float)(1U << 23);
        bench->gradient[i] = (state & 256U) != 0 ? value : -value;
    }
    return PS_OK;
}

static enum ps_code start_processes(struct bench *bench, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    PS_TRY(done, rc,
           psi_bench_raw_start(psi_bench_plan_largest(&bench->plan), &bench->raw_peer, err));
    PS_TRY(done, rc, psi_bench_ps_start(WORKER_COUNT, &bench->ps, err));
    PS_TRY(done, rc, psi_bench_ps_start(1, &bench->stalled_ps, err));
done:
    return rc;
}

static enum ps_code open_workers(struct bench *bench, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    for (int i = 0; i < WORKER_COUNT && rc == PS_OK; i++) {
        const struct psi_bench_worker_options options = {
            .address = bench->ps.address,
            .server = bench->ps.pid,
            .index = i,
            .worker_count = WORKER_COUNT,
            .eager = i == EAGER,
        };
        rc = psi_bench_worker_open(&options, &bench->workers[i], err);
    }
    return rc;
}

static enum ps_code measure(struct bench *bench, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    PS_TRY(done, rc, psi_bench_report_init(&bench->report, &bench->plan, err));
    PS_TRY(done, rc, start_processes(bench, err));
    PS_TRY(done, rc, make_gradient(bench, err));
    PS_TRY(done, rc, open_workers(bench, err));
    PS_TRY(done, rc, measure_latency(bench, err));
    for (size_t i = 0; i < bench->plan.size_count; i++) {
        PS_TRY(done, rc, measure_size(bench, bench->plan.sizes[i], err));
    }
    PS_TRY(done, rc, measure_small(bench, err));
    PS_TRY(done, rc, measure_stall(bench, err));
    rc = psi_bench_report_finish(&bench->report, err);
done:
    return rc;
}

static void clean(struct bench *bench)
{
    for (int i = 0; i < WORKER_COUNT; i++) { psi_bench_worker_close(&bench->workers[i]); }
    psi_bench_ps_stop(&bench->stalled_ps);
    psi_bench_ps_stop(&bench->ps);
    psi_bench_raw_stop(&bench->raw_peer);
    psi_bench_report_clean(&bench->report);
    ps_free(bench->gradient);
}

int ps_bench_main(int argc, char **argv)
{
    struct ps_error err = PS_ERROR_INIT;
    struct bench bench = { .gradient = NULL };
    psi_bench_plan_parse(argc, argv, &bench.plan);
    ps_model_set_threads(1); /* y += a*x is a limit of one core, like everything beside it */
    enum ps_code rc = measure(&bench, &err);
    clean(&bench);
    if (rc == PS_OK) { return PS_EXIT_OK; }
    fprintf(stderr, "%s: %s\n", argv[0], err.message);
    return ps_exit_code_of(rc);
}
