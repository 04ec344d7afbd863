/* sim: runs the simulator over a range of seeds, and tells the story of the first that fails. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/sim.h"

enum {
    TRACE_LINES = 60,
    LONG_RUNS = 3000000 /* some minutes */
};

/* For the handler below: an assertion of the code under test must name the seed too. */
static volatile sig_atomic_t current_seed;
static volatile sig_atomic_t current_crash;

static void on_abort(int signal_number)
{
    (void)signal_number;
    dprintf(STDERR_FILENO, "sim: seed %ld, crash at %ld: aborted\n", (long)current_seed,
            (long)current_crash);
    _exit(3);
}

struct totals {
    uint64_t runs, steps, pushes, counted, refused, discarded, processes;
};

static void add(struct totals *totals, const struct sim_result *result)
{
    totals->runs++;
    totals->steps += result->steps;
    totals->pushes += result->pushes;
    totals->counted += result->counted;
    totals->refused += result->refused;
    totals->discarded += result->discarded;
    totals->processes += result->processes;
}

/* The last lines of the run, which is the same again. */
static void tell_failure(const struct sim_config *config, const struct sim_result *result)
{
    char *text = NULL;
    size_t size = 0;
    FILE *trace = open_memstream(&text, &size);
    if (trace == NULL) { abort(); }
    sim_run(config, NULL, trace);
    fclose(trace);
    size_t at = size;
    for (int lines = 0; at > 0 && lines <= TRACE_LINES; at--) { lines += text[at - 1] == '\n'; }
    fprintf(stderr, "sim: %s\n%s", result->message, text + at + (at > 0 ? 1 : 0));
    sim_describe(config, stderr);
    free(text);
}

static bool run_one(const struct sim_config *config, struct totals *totals)
{
    current_seed = (sig_atomic_t)config->seed;
    current_crash = (sig_atomic_t)config->crash_at;
    struct sim_result result = sim_run(config, NULL, NULL);
    add(totals, &result);
    if (result.failed) { tell_failure(config, &result); }
    return !result.failed;
}

/* The same seed once for each step at which worker 0 can crash. */
static bool sweep(const struct sim_config *config, struct totals *totals)
{
    struct sim_config one = *config;
    for (one.crash_at = 1; one.crash_at < one.chaos_steps; one.crash_at++) {
        if (!run_one(&one, totals)) { return false; }
    }
    return true;
}

static int usage(const char *name)
{
    fprintf(
        stderr,
        "usage: %s [--seed FIRST] [--runs COUNT | --long] [--sweep] [--crash-at STEP] [--trace]\n"
        "  --long      runs %d seeds\n"
        "  --sweep     runs each seed once for every step at which worker 0 can crash\n"
        "  --crash-at  crashes worker 0 at this step\n"
        "  --trace     tells every step on standard output\n",
        name, LONG_RUNS);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "seed", required_argument, NULL, 's' },
        { "runs", required_argument, NULL, 'n' },
        { "sweep", no_argument, NULL, 'w' },
        { "crash-at", required_argument, NULL, 'c' },
        { "trace", no_argument, NULL, 't' },
        { "long", no_argument, NULL, 'l' },
        { NULL, 0, NULL, 0 },
    };
    uint64_t first = 1, runs = 1;
    uint32_t crash_at = 0;
    bool sweeps = false, traces = false;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 's': first = strtoull(optarg, NULL, 10); break;
        case 'n': runs = strtoull(optarg, NULL, 10); break;
        case 'c': crash_at = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'l': runs = LONG_RUNS; break;
        case 'w': sweeps = true; break;
        case 't': traces = true; break;
        default: return usage(argv[0]);
        }
    }
    signal(SIGABRT, on_abort);
    struct totals totals = { 0 };
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (uint64_t seed = first; seed < first + runs; seed++) {
        struct sim_config config = sim_draw(seed);
        config.crash_at = crash_at;
        if (traces) { sim_run(&config, NULL, stdout); }
        if (!(sweeps ? sweep(&config, &totals) : run_one(&config, &totals))) { return 1; }
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds = (double)(end.tv_sec - begin.tv_sec) +
                     (double)(end.tv_nsec - begin.tv_nsec) * 1e-9;
    printf("sim: %" PRIu64 " runs in %.1f s (%.0f a second), %" PRIu64 " steps, %" PRIu64
           " processes, %" PRIu64 " pushes: %" PRIu64 " counted, %" PRIu64 " refused, %" PRIu64
           " discarded; all as the oracle says\n",
           totals.runs, seconds, (double)totals.runs / seconds, totals.steps, totals.processes,
           totals.pushes, totals.counted, totals.refused, totals.discarded);
    return 0;
}
