/* What was measured: tables for people as they come, or one JSON object at the end. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/bench_report_priv.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "deploy/bench_plan_priv.h"
#include "deploy/bench_row_priv.h"
#include "deploy/bench_stall_priv.h"

const char *psi_bench_format_size(size_t size_bytes, char text[32])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB" };
    size_t unit = 0;
    while (unit < 3 && size_bytes >= 1024 && size_bytes % 1024 == 0) {
        size_bytes /= 1024;
        unit++;
    }
    snprintf(text, 32, "%zu %s", size_bytes, units[unit]);
    return text;
}

/* Three digits and a unit, from a list that rises by 1000. */
static const char *format_scaled(double value, const char *const units[4], char text[32])
{
    size_t unit = 0;
    while (unit < 3 && value >= 999.5) {
        value /= 1000.0;
        unit++;
    }
    int digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    snprintf(text, 32, "%.*f %s", digits, value, units[unit]);
    return text;
}

static const char *format_rate(double gb_per_second, char text[32])
{
    static const char *const units[4] = { "B/s", "kB/s", "MB/s", "GB/s" };
    return format_scaled(gb_per_second * 1e9, units, text);
}

static const char *format_time(double seconds, char text[32])
{
    static const char *const units[4] = { "ns", "us", "ms", "s" };
    return format_scaled(seconds * 1e9, units, text);
}

static const char *format_count(double count, char text[32])
{
    static const char *const units[4] = { "/s", "k/s", "M/s", "G/s" };
    return format_scaled(count, units, text);
}

/* CPU seconds per GB: from 0.05 for a memcpy to tens of thousands for 4 bytes a call. */
static const char *format_cpu(double seconds_per_gb, char text[32])
{
    snprintf(text, 32, seconds_per_gb < 99.5 ? "%.2f" : "%.0f", seconds_per_gb);
    return text;
}

/* "model name : ..." of the first core; "" where there is none. */
static void read_cpu_model(char model[128])
{
    char line[256];
    model[0] = '\0';
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (file == NULL) { return; }
    while (model[0] == '\0' && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || colon == NULL) { continue; }
        snprintf(model, 128, "%.120s", colon + 2);
        model[strcspn(model, "\n")] = '\0';
    }
    fclose(file);
}

static void print_heading(const struct psi_bench_plan *plan, long cores, const char *model,
                          const char *kernel)
{
    printf(
        "paramd bench %s: %ld cores, %s, Linux %s\n"
        "%d rounds of %.0f ms a row, rows take turns; medians. GB = 1e9 bytes of payload; "
        "push+pull counts both ways.\n"
        "RATIO: to the first row, round by round (latency: of the medians). CPU: seconds per GB, "
        "client + server. piped: several calls in flight.\n"
        "*: other processes took more than %.2f cores in most samples.\n",
        PS_VERSION, cores, model, kernel, plan->round_count, plan->sample_seconds * 1e3,
        PSI_BENCH_FOREIGN_LIMIT);
    fflush(stdout);
}

enum ps_code psi_bench_report_init(struct psi_bench_report *report,
                                   const struct psi_bench_plan *plan, struct ps_error *err)
{
    char model[128];
    struct utsname host = { .release = "" };
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *report = (struct psi_bench_report){ .plan = plan };
    read_cpu_model(model);
    uname(&host);
    report->root = json_pack("{s:s, s:{s:i, s:s, s:s}, s:{s:i, s:f, s:f}, s:[]}", "version",
                             PS_VERSION, "machine", "cores", (int)cores, "cpu", model, "kernel",
                             host.release, "settings", "rounds", plan->round_count,
                             "sample_seconds", plan->sample_seconds, "foreign_cpu_limit",
                             PSI_BENCH_FOREIGN_LIMIT, "rows");
    if (report->root == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for the report");
    }
    if (!plan->json) { print_heading(plan, cores, model, host.release); }
    return PS_OK;
}

void psi_bench_report_clean(struct psi_bench_report *report)
{
    json_decref(report->root);
    report->root = NULL;
}

void psi_bench_report_progress(const char *what)
{
    fprintf(stderr, "measuring %s ...\n", what);
}

static void print_row(const struct psi_bench_row *row, const struct psi_bench_result *result,
                      double ratio, size_t tensor_count)
{
    char rate[32], p50[32], p99[32], client[32], server[32], tensors[32] = "";
    double calls = result->gb_per_second * 1e9 / (double)row->op.size_bytes;
    bool disturbed = 2 * result->clean_count < result->sample_count;
    if (tensor_count > 1) { format_count(calls * (double)tensor_count, tensors); }
    printf("  %-16s %9s%c %7.3f %8s %8s %9s", row->op.name,
           format_rate(result->gb_per_second, rate), disturbed ? '*' : ' ', ratio,
           format_time(result->p50_seconds, p50), format_time(result->p99_seconds, p99),
           format_cpu(result->client_seconds_per_gb, client));
    if (row->op.server != 0) { printf(" + %s", format_cpu(result->server_seconds_per_gb, server)); }
    printf("%s%s%s\n", tensors[0] != '\0' ? "   " : "", tensors,
           tensors[0] != '\0' ? " tensors" : "");
}

static void add_row(json_t *rows, const struct psi_bench_block *block,
                    const struct psi_bench_row *row, const struct psi_bench_result *result,
                    double ratio)
{
    double calls = result->gb_per_second * 1e9 / (double)row->op.size_bytes;
    json_t *object = json_pack(
        "{s:s, s:s, s:I, s:I, s:i, s:f, s:f, s:s, s:f, s:f, s:f, s:{s:f, s:f}, s:i, s:i}",
        "section", block->section, "row", row->op.name, "bytes_per_call",
        (json_int_t)row->op.size_bytes, "tensors_per_call", (json_int_t)block->tensor_count,
        "piped_window", block->window, "gb_per_second", result->gb_per_second, "ratio", ratio,
        "ratio_of", block->compares_latency ? "p50" : "rate", "p50_us", result->p50_seconds * 1e6,
        "p99_us", result->p99_seconds * 1e6, "tensors_per_second",
        calls * (double)block->tensor_count, "cpu_seconds_per_gb", "client",
        result->client_seconds_per_gb, "server", result->server_seconds_per_gb, "samples",
        result->sample_count, "clean_samples", result->clean_count);
    json_array_append_new(rows, object);
}

static double ratio_of(const struct psi_bench_block *block, const struct psi_bench_row *row)
{
    if (!block->compares_latency) { return psi_bench_row_ratio(row, &block->rows[0]); }
    double base = psi_bench_row_result(&block->rows[0]).p50_seconds;
    return base > 0.0 ? psi_bench_row_result(row).p50_seconds / base : 0.0;
}

void psi_bench_report_block(struct psi_bench_report *report, const struct psi_bench_block *block)
{
    json_t *rows = json_object_get(report->root, "rows");
    bool people = !report->plan->json;
    if (people) {
        printf("\n%-18s %9s  %7s %8s %8s  %s\n", block->title, "RATE", "RATIO", "P50", "P99",
               "CPU s/GB");
    }
    for (size_t i = 0; i < block->row_count; i++) {
        const struct psi_bench_row *row = &block->rows[i];
        struct psi_bench_result result = psi_bench_row_result(row);
        double ratio = ratio_of(block, row);
        if (people) { print_row(row, &result, ratio, block->tensor_count); }
        add_row(rows, block, row, &result, ratio);
    }
    fflush(stdout);
}

void psi_bench_report_stall(struct psi_bench_report *report,
                            const struct psi_bench_stall_result *result)
{
    int64_t growth = result->peak_bytes - result->before_bytes;
    json_object_set_new(
        report->root, "stalled_readers",
        json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "streams", result->stream_count,
                  "lookahead_bytes", (json_int_t)result->lookahead_bytes, "pushes",
                  (json_int_t)result->push_count, "resident_before_bytes",
                  (json_int_t)result->before_bytes, "resident_peak_bytes",
                  (json_int_t)result->peak_bytes, "growth_bytes", (json_int_t)growth,
                  "allowed_growth_bytes", (json_int_t)result->allowed_bytes, "within",
                  (int)result->within));
    if (report->plan->json) { return; }
    printf("\nstalled readers: %d streams asked and consumed nothing during %llu pushes: memory of "
           "the ps task grew by %.1f MB from %.1f MB; allowed %.1f MB: %s\n",
           result->stream_count, (unsigned long long)result->push_count, (double)growth / 1e6,
           (double)result->before_bytes / 1e6, (double)result->allowed_bytes / 1e6,
           result->within ? "within" : "EXCEEDED");
}

enum ps_code psi_bench_report_finish(struct psi_bench_report *report, struct ps_error *err)
{
    bool written = true;
    if (report->plan->json) {
        written = json_dumpf(report->root, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) == 0 &&
                  putchar('\n') != EOF;
    }
    if (written && fflush(stdout) == 0) { return PS_OK; }
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "cannot write the report");
}
