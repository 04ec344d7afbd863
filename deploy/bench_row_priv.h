/* One thing that is measured again and again, in samples that take turns with those of others. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_BENCH_ROW_PRIV_H
#define PARAMD_DEPLOY_BENCH_ROW_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/status.h"

enum {
    PSI_BENCH_MAX_ROUNDS = 64,
    PSI_BENCH_SAMPLE_LATENCIES = 8192, /* kept of one sample: a p99 needs hundreds */
    PSI_BENCH_LEAST_REPETITIONS = 3    /* of a sample, however long each takes */
};

/* Foreign CPU, in cores, from which on a sample is marked. */
#define PSI_BENCH_FOREIGN_LIMIT 0.15

struct psi_bench_op {
    const char *name;  /* static */
    size_t size_bytes; /* payload that one repetition moves */
    pid_t server;      /* process at the other end, 0: none */
    void *ctx;
    /* Starts one repetition. *seconds_out: how long the one that ended took, from its start;
     * negative if none ended (a pipeline that fills). */
    enum ps_code (*run)(void *ctx, double *seconds_out, struct ps_error *err);
    /* Ends what is under way, inside the measured time. NULL: nothing ever is. */
    enum ps_code (*finish)(void *ctx, struct ps_error *err);
};

struct psi_bench_sample {
    double gb_per_second; /* 1e9 bytes */
    double client_seconds_per_gb;
    double server_seconds_per_gb;
    double foreign_share;
};

struct psi_bench_row {
    struct psi_bench_op op;
    struct psi_bench_sample samples[PSI_BENCH_MAX_ROUNDS];
    int sample_count;
    double *latencies; /* seconds, of all samples */
    size_t latency_count;
    size_t latency_capacity;
};

/* Medians over the clean samples, or over all of them where none is clean. */
struct psi_bench_result {
    double gb_per_second;
    double client_seconds_per_gb;
    double server_seconds_per_gb;
    double p50_seconds;
    double p99_seconds;
    int sample_count;
    int clean_count;
};

/* round_count: at most PSI_BENCH_MAX_ROUNDS. psi_bench_row_clean when done. */
PS_MUST_CHECK enum ps_code psi_bench_row_init(struct psi_bench_row *row,
                                              const struct psi_bench_op *op, int round_count,
                                              struct ps_error *err);
void psi_bench_row_clean(struct psi_bench_row *row);

/* One sample: repeats the op for that long at least. One repetition before it warms up. */
PS_MUST_CHECK enum ps_code psi_bench_row_sample(struct psi_bench_row *row, double seconds,
                                                struct ps_error *err);

struct psi_bench_result psi_bench_row_result(const struct psi_bench_row *row);

/* Median, round by round, of this row's rate over that of base: what drifts, drifts for both. */
double psi_bench_row_ratio(const struct psi_bench_row *row, const struct psi_bench_row *base);

/* Samples every row in turn, for round_count rounds. */
PS_MUST_CHECK enum ps_code psi_bench_rows_measure(struct psi_bench_row *rows, size_t row_count,
                                                  int round_count, double sample_seconds,
                                                  struct ps_error *err);

#endif
