/* What a measurement costs: wall time, CPU of both processes, and CPU that others took of it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/bench_meter_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* What the machine's own account may be off by: two ticks of 10 ms, a core each. */
static const double TICK_SLACK_SECONDS = 0.02;

static double read_clock(clockid_t clock)
{
    struct timespec time = { 0, 0 };
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

double psi_bench_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

/* In nanoseconds, where /proc/PID/stat has ticks of 10 ms. */
static double process_seconds(pid_t pid)
{
    clockid_t clock;
    if (pid == 0 || clock_getcpuclockid(pid, &clock) != 0) { return 0.0; }
    return read_clock(clock);
}

/* Seconds that all cores were not idle, time stolen by the host included. */
static double machine_busy_seconds(void)
{
    uint64_t user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0;
    FILE *stat = fopen("/proc/stat", "re");
    if (stat == NULL) { return 0.0; }
    int fields = fscanf(stat,
                        "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                        " %" SCNu64 " %" SCNu64,
                        &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal);
    fclose(stat);
    if (fields != 8) { return 0.0; }
    return (double)(user + nice + system + irq + softirq + steal) / (double)sysconf(_SC_CLK_TCK);
}

static struct psi_bench_usage read_usage(pid_t server)
{
    return (struct psi_bench_usage){
        .wall_seconds = psi_bench_now(),
        .client_seconds = read_clock(CLOCK_PROCESS_CPUTIME_ID),
        .server_seconds = process_seconds(server),
    };
}

void psi_bench_meter_start(struct psi_bench_meter *meter, pid_t server)
{
    meter->server = server;
    meter->busy_seconds = machine_busy_seconds();
    meter->start = read_usage(server);
}

struct psi_bench_usage psi_bench_meter_stop(const struct psi_bench_meter *meter)
{
    struct psi_bench_usage usage = read_usage(meter->server);
    double busy = machine_busy_seconds() - meter->busy_seconds;
    usage.wall_seconds -= meter->start.wall_seconds;
    usage.client_seconds -= meter->start.client_seconds;
    usage.server_seconds -= meter->start.server_seconds;
    double foreign = busy - usage.client_seconds - usage.server_seconds - TICK_SLACK_SECONDS;
    if (foreign > 0.0 && usage.wall_seconds > 0.0) {
        usage.foreign_share = foreign / usage.wall_seconds;
    }
    return usage;
}

int64_t psi_bench_resident_bytes(pid_t pid)
{
    char path[64];
    int64_t pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *statm = fopen(path, "re");
    if (statm == NULL) { return 0; }
    if (fscanf(statm, "%*d %" SCNd64, &pages) != 1) { pages = 0; }
    fclose(statm);
    return pages * sysconf(_SC_PAGESIZE);
}
