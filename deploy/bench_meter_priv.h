/* What a measurement costs: wall time, CPU of both processes, and CPU that others took of it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_BENCH_METER_PRIV_H
#define PARAMD_DEPLOY_BENCH_METER_PRIV_H

#include <stdint.h>
#include <sys/types.h>

struct psi_bench_usage {
    double wall_seconds;
    double client_seconds; /* CPU of this process, all threads */
    double server_seconds; /* CPU of the process at the other end; 0 without one */
    double foreign_share;  /* cores that neither of them used; noise from 10 ms of ticks in it */
};

struct psi_bench_meter {
    pid_t server;
    struct psi_bench_usage start; /* since the epoch of each clock */
    double busy_seconds;
};

/* server: the process at the other end, 0: none. */
void psi_bench_meter_start(struct psi_bench_meter *meter, pid_t server);
struct psi_bench_usage psi_bench_meter_stop(const struct psi_bench_meter *meter);

/* Monotonic seconds. */
double psi_bench_now(void);

/* Resident memory of a process; 0 if it cannot be told. */
int64_t psi_bench_resident_bytes(pid_t pid);

#endif
