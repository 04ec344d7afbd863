/* What `paramd bench` is told to measure, and for how long. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_BENCH_PLAN_PRIV_H
#define PARAMD_DEPLOY_BENCH_PLAN_PRIV_H

#include <stdbool.h>
#include <stddef.h>

enum { PSI_BENCH_MAX_SIZES = 16 };

struct psi_bench_plan {
    size_t sizes[PSI_BENCH_MAX_SIZES]; /* bytes, multiples of 4 */
    size_t size_count;
    int round_count;
    double sample_seconds; /* of one row in one round */
    int window;            /* calls in flight in the rows that are piped */
    size_t small_count;    /* of the many small variables */
    size_t small_bytes;
    size_t stall_bytes; /* of the variable that stalled readers ask for */
    double stall_seconds;
    bool json;
};

/* Reads the flags. Does not return on --help (exit 0) or on a wrong one (exit 64). */
void psi_bench_plan_parse(int argc, char **argv, struct psi_bench_plan *plan_out);

/* The largest message that will be sent. */
size_t psi_bench_plan_largest(const struct psi_bench_plan *plan);

/* Calls in flight for this size: fewer where they would only fill memory. */
int psi_bench_plan_window(const struct psi_bench_plan *plan, size_t size_bytes);

#endif
