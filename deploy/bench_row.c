/* One thing that is measured again and again, in samples that take turns with those of others. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/bench_row_priv.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "deploy/bench_meter_priv.h"

enum ps_code psi_bench_row_init(struct psi_bench_row *row, const struct psi_bench_op *op,
                                int round_count, struct ps_error *err)
{
    PS_ASSERT(round_count > 0 && round_count <= PSI_BENCH_MAX_ROUNDS);
    memset(row, 0, sizeof *row);
    row->op = *op;
    row->latency_capacity = (size_t)round_count * PSI_BENCH_SAMPLE_LATENCIES;
    row->latencies = ps_alloc_zero(row->latency_capacity, sizeof *row->latencies);
    if (row->latencies != NULL) { return PS_OK; }
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for the samples of '%s'", op->name);
}

void psi_bench_row_clean(struct psi_bench_row *row)
{
    ps_free(row->latencies);
    row->latencies = NULL;
}

static void keep_latency(struct psi_bench_row *row, size_t sample_start, double seconds)
{
    bool room = row->latency_count < row->latency_capacity &&
                row->latency_count - sample_start < PSI_BENCH_SAMPLE_LATENCIES;
    if (seconds >= 0.0 && room) { row->latencies[row->latency_count++] = seconds; }
}

static enum ps_code finish(const struct psi_bench_op *op, struct ps_error *err)
{
    return op->finish == NULL ? PS_OK : op->finish(op->ctx, err);
}

static enum ps_code warm_up(const struct psi_bench_op *op, struct ps_error *err)
{
    double unused = 0.0;
    enum ps_code rc = op->run(op->ctx, &unused, err);
    return rc == PS_OK ? finish(op, err) : rc;
}

/* Repeats until the time has passed; counts the repetitions. */
static enum ps_code repeat(struct psi_bench_row *row, double seconds, uint64_t *count_out,
                           struct ps_error *err)
{
    double end = psi_bench_now() + seconds;
    size_t sample_start = row->latency_count;
    uint64_t count = 0;
    while (count < PSI_BENCH_LEAST_REPETITIONS || psi_bench_now() < end) {
        double latency = -1.0;
        enum ps_code rc = row->op.run(row->op.ctx, &latency, err);
        if (rc != PS_OK) { return rc; }
        keep_latency(row, sample_start, latency);
        count++;
    }
    *count_out = count;
    return finish(&row->op, err);
}

enum ps_code psi_bench_row_sample(struct psi_bench_row *row, double seconds, struct ps_error *err)
{
    struct psi_bench_meter meter;
    uint64_t count = 0;
    PS_ASSERT(row->sample_count < PSI_BENCH_MAX_ROUNDS);
    enum ps_code rc = warm_up(&row->op, err);
    if (rc == PS_OK) {
        psi_bench_meter_start(&meter, row->op.server);
        rc = repeat(row, seconds, &count, err);
    }
    if (rc != PS_OK) {
        ps_wrap(err, "measuring '%s'", row->op.name);
        return rc;
    }

    struct psi_bench_usage usage = psi_bench_meter_stop(&meter);
    double gb = (double)count * (double)row->op.size_bytes / 1e9;
    row->samples[row->sample_count++] = (struct psi_bench_sample){
        .gb_per_second = gb / usage.wall_seconds,
        .client_seconds_per_gb = usage.client_seconds / gb,
        .server_seconds_per_gb = usage.server_seconds / gb,
        .foreign_share = usage.foreign_share,
    };
    return PS_OK;
}

enum ps_code psi_bench_rows_measure(struct psi_bench_row *rows, size_t row_count, int round_count,
                                    double sample_seconds, struct ps_error *err)
{
    for (int round = 0; round < round_count; round++) {
        for (size_t i = 0; i < row_count; i++) {
            enum ps_code rc = psi_bench_row_sample(&rows[i], sample_seconds, err);
            if (rc != PS_OK) { return rc; }
        }
    }
    return PS_OK;
}

static bool is_clean(const struct psi_bench_sample *sample)
{
    return sample->foreign_share <= PSI_BENCH_FOREIGN_LIMIT;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Sorts values; the one below which that part of them lies. */
static double percentile(double *values, size_t count, double part)
{
    if (count == 0) { return 0.0; }
    qsort(values, count, sizeof *values, compare);
    size_t index = (size_t)(part * (double)(count - 1) + 0.5);
    return values[index];
}

/* Sorts values. */
static double median(double *values, size_t count)
{
    if (count == 0) { return 0.0; }
    qsort(values, count, sizeof *values, compare);
    return (values[(count - 1) / 2] + values[count / 2]) / 2.0;
}

static int count_clean(const struct psi_bench_row *row)
{
    int clean = 0;
    for (int i = 0; i < row->sample_count; i++) { clean += is_clean(&row->samples[i]); }
    return clean;
}

/* Median of the double at this offset in a sample. */
static double median_of(const struct psi_bench_row *row, size_t offset, bool clean_only)
{
    double values[PSI_BENCH_MAX_ROUNDS];
    size_t count = 0;
    for (int i = 0; i < row->sample_count; i++) {
        if (clean_only && !is_clean(&row->samples[i])) { continue; }
        memcpy(&values[count++], (const char *)&row->samples[i] + offset, sizeof values[0]);
    }
    return median(values, count);
}

struct psi_bench_result psi_bench_row_result(const struct psi_bench_row *row)
{
    int clean = count_clean(row);
    bool only = clean > 0;
    return (struct psi_bench_result){
        .gb_per_second = median_of(row, offsetof(struct psi_bench_sample, gb_per_second), only),
        .client_seconds_per_gb = median_of(
            row, offsetof(struct psi_bench_sample, client_seconds_per_gb), only),
        .server_seconds_per_gb = median_of(
            row, offsetof(struct psi_bench_sample, server_seconds_per_gb), only),
        .p50_seconds = percentile(row->latencies, row->latency_count, 0.50),
        .p99_seconds = percentile(row->latencies, row->latency_count, 0.99),
        .sample_count = row->sample_count,
        .clean_count = clean,
    };
}

double psi_bench_row_ratio(const struct psi_bench_row *row, const struct psi_bench_row *base)
{
    double all[PSI_BENCH_MAX_ROUNDS];
    double clean[PSI_BENCH_MAX_ROUNDS];
    size_t all_count = 0;
    size_t clean_count = 0;
    for (int i = 0; i < row->sample_count && i < base->sample_count; i++) {
        double ratio = row->samples[i].gb_per_second / base->samples[i].gb_per_second;
        all[all_count++] = ratio;
        if (is_clean(&row->samples[i]) && is_clean(&base->samples[i])) {
            clean[clean_count++] = ratio;
        }
    }
    return clean_count > 0 ? median(clean, clean_count) : median(all, all_count);
}
