/* What was measured: tables for people as they come, or one JSON object at the end. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_BENCH_REPORT_PRIV_H
#define PARAMD_DEPLOY_BENCH_REPORT_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"

struct json_t;
struct psi_bench_plan;
struct psi_bench_row;
struct psi_bench_stall_result;

struct psi_bench_report {
    const struct psi_bench_plan *plan; /* borrowed */
    struct json_t *root;
};

/* psi_bench_report_clean when done, also after a failure. */
PS_MUST_CHECK enum ps_code psi_bench_report_init(struct psi_bench_report *report,
                                                 const struct psi_bench_plan *plan,
                                                 struct ps_error *err);
void psi_bench_report_clean(struct psi_bench_report *report);

/* On standard error: what is being measured now. */
void psi_bench_report_progress(const char *what);

/* One block of rows that were measured together; ratios are to the first one of them: of rates, or
 * of median latencies. */
struct psi_bench_block {
    const char *section; /* "tensor", "small", "latency" */
    const char *title;
    const struct psi_bench_row *rows;
    size_t row_count;
    size_t tensor_count; /* that one repetition moves */
    int window;          /* of the rows that are piped; 0: none is */
    bool compares_latency;
};
void psi_bench_report_block(struct psi_bench_report *report, const struct psi_bench_block *block);

void psi_bench_report_stall(struct psi_bench_report *report,
                            const struct psi_bench_stall_result *result);

/* Prints what is still to be printed. */
PS_MUST_CHECK enum ps_code psi_bench_report_finish(struct psi_bench_report *report,
                                                   struct ps_error *err);

/* "4 MiB"; returns text. */
const char *psi_bench_format_size(size_t size_bytes, char text[32]);

#endif
