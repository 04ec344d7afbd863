/* Cuts the power under saves, thousands of times, and expects every promise to be kept. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/powercut/disk.h"
#include "tests/powercut/sync_mutant.h"
#include "tests/powercut/trial.h"

enum { EXIT_USAGE = 64, DEFAULT_CUTS = 200 };

static const char usage[] =
    "powercut: a process saves checkpoints; at a seeded moment its file system is shut down, so\n"
    "that all that was not synced is lost. After a restart every checkpoint that was reported\n"
    "durable must be there, bit by bit, and nothing else. Needs root and loop devices.\n"
    "\n"
    "  --cuts N      power cuts, over all disks (200)\n"
    "  --kills N     no power cuts: the process is killed, in a new directory of TMPDIR\n"
    "  --disk NAME   only this one: ext4, ext4-noauto, xfs\n"
    "  --mutant NAME an fsync is left out, which at least one disk must show within the cuts:\n"
    "                data, index, state, directory, directory-index, directory-state, or all\n"
    "  --seed S      of the moments (1). Half of the cuts come by the clock, so that only the\n"
    "                others come again with the seed\n";

struct options {
    const char *disk;   /* NULL: all */
    const char *mutant; /* NULL: none */
    uint64_t seed;
    long cut_count;
    bool is_kill;
};

static void silent(void *ctx, enum ps_log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    (void)line;
}

/* Warnings of unfinished saves are what is provoked here. */
static void hush(void)
{
    const struct ps_log_options options = { .level = PS_LOG_ERROR, .sink = silent };
    ps_log_configure(&options);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static bool is_chosen(const struct options *options, size_t kind)
{
    return options->disk == NULL || strcmp(options->disk, disk_kinds[kind].name) == 0;
}

/* Every disk gets its share of the cuts, the first ones what does not divide. */
static long share_of(const struct options *options, long index, long count)
{
    return options->cut_count / count + (index < options->cut_count % count);
}

/* ---- without a mutant ---- */

static int report(const char *name, const struct options *options,
                  const struct trial_options *trial, double start_s)
{
    struct ps_error error = PS_ERROR_INIT;
    struct trial_result result;
    enum ps_code rc = trial_run(trial, &result, &error);
    if (!result.is_possible) {
        printf("skipped: %s: %s\n", name, error.message);
        return DISK_EXIT_SKIPPED;
    }
    printf("%s: %s %ld, %ld checkpoints reported durable, seed %llu, %.1f s: %s\n", name,
           options->is_kill ? "kills" : "cuts", result.cut_count, result.saved_count,
           (unsigned long long)options->seed, now_s() - start_s,
           rc == PS_OK ? "none lost" : error.message);
    fflush(stdout);
    return rc == PS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int worse(int a, int b)
{
    if (a == EXIT_FAILURE || b == EXIT_FAILURE) { return EXIT_FAILURE; }
    return a > b ? a : b;
}

static int run_disks(const struct options *options)
{
    int worst = EXIT_SUCCESS;
    long count = options->disk == NULL ? DISK_KINDS : 1;
    for (size_t i = 0, index = 0; i < DISK_KINDS; i++) {
        if (!is_chosen(options, i)) { continue; }
        const struct trial_options trial = {
            .kind = &disk_kinds[i],
            .seed = options->seed + i,
            .cut_count = share_of(options, (long)index++, count),
        };
        worst = worse(worst, report(disk_kinds[i].name, options, &trial, now_s()));
    }
    return worst;
}

static int run_kills(const struct options *options)
{
    char folder[1024];
    const char *place = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/paramd-kills-XXXXXX", place == NULL ? "/tmp" : place);
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return EXIT_FAILURE;
    }
    const struct trial_options trial = { .folder = folder,
                                         .seed = options->seed,
                                         .cut_count = options->cut_count };
    int code = report("SIGKILL", options, &trial, now_s());
    if (code == EXIT_SUCCESS) {
        rmdir(folder);
    } else {
        printf("what is left of it: %s\n", folder);
    }
    return code;
}

/* ---- with one ---- */

/* Runs until the disk shows it. EXIT_SUCCESS: shown; EXIT_FAILURE: not, or the trial failed. */
static int run_mutant_on(const struct options *options, const struct sync_mutant *mutant,
                         size_t kind)
{
    struct ps_error error = PS_ERROR_INIT;
    struct trial_result result;
    const struct trial_options trial = { .kind = &disk_kinds[kind],
                                         .seed = options->seed + kind,
                                         .cut_count = options->cut_count,
                                         .mutant = mutant };
    enum ps_code rc = trial_run(&trial, &result, &error);
    const char *name = disk_kinds[kind].name;
    if (!result.is_possible) {
        printf("skipped: %s: %s\n", name, error.message);
        return DISK_EXIT_SKIPPED;
    }
    if (rc == PS_DATA_LOSS) {
        printf("  %-12s shown by cut %ld: %s\n", name, result.cut_count, error.message);
        return EXIT_SUCCESS;
    }
    printf("  %-12s hides it: %ld cuts%s%s\n", name, result.cut_count, rc == PS_OK ? "" : "; ",
           error.message);
    return EXIT_FAILURE;
}

static int run_mutant(const struct options *options, const struct sync_mutant *mutant)
{
    int shown = 0, skipped = 0;
    printf("%s: without %s\n", mutant->name, mutant->what);
    for (size_t i = 0; i < DISK_KINDS; i++) {
        if (!is_chosen(options, i)) { continue; }
        int code = run_mutant_on(options, mutant, i);
        shown += code == EXIT_SUCCESS;
        skipped += code == DISK_EXIT_SKIPPED;
    }
    printf("%s: %s\n", mutant->name, shown > 0 ? "caught" : "NOT CAUGHT");
    fflush(stdout);
    if (shown > 0) { return EXIT_SUCCESS; }
    return skipped > 0 ? DISK_EXIT_SKIPPED : EXIT_FAILURE;
}

static int run_mutants(const struct options *options)
{
    int worst = EXIT_SUCCESS;
    bool is_all = strcmp(options->mutant, "all") == 0;
    for (size_t i = 0; i < SYNC_MUTANTS; i++) {
        if (!is_all && strcmp(options->mutant, sync_mutants[i].name) != 0) { continue; }
        worst = worse(worst, run_mutant(options, &sync_mutants[i]));
    }
    return worst;
}

/* ---- flags ---- */

static bool is_disk(const char *name)
{
    const struct options only = { .disk = name };
    for (size_t i = 0; i < DISK_KINDS; i++) {
        if (is_chosen(&only, i)) { return true; }
    }
    return false;
}

static bool parse_count(const char *text, unsigned long long limit, unsigned long long *count_out)
{
    char *end;
    *count_out = strtoull(text, &end, 10);
    return end != text && *end == '\0' && text[0] != '-' && *count_out <= limit;
}

static bool parse_flag(struct options *options, const char *flag, const char *value)
{
    unsigned long long number = 0;
    if (strcmp(flag, "--disk") == 0) {
        options->disk = value;
        return is_disk(value);
    }
    if (strcmp(flag, "--mutant") == 0) {
        options->mutant = value;
        return strcmp(value, "all") == 0 || sync_mutant_find(value) != NULL;
    }
    if (strcmp(flag, "--seed") == 0) {
        bool is_number = parse_count(value, UINT64_MAX, &number);
        options->seed = number;
        return is_number;
    }
    options->is_kill = options->is_kill || strcmp(flag, "--kills") == 0;
    if (strcmp(flag, "--kills") != 0 && strcmp(flag, "--cuts") != 0) { return false; }
    if (!parse_count(value, 100000000, &number) || number == 0) { return false; }
    options->cut_count = (long)number;
    return true;
}

static bool parse(int argc, char **argv, struct options *options)
{
    *options = (struct options){ .seed = 1, .cut_count = DEFAULT_CUTS };
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (parse_flag(options, argv[i], value)) { continue; }
        fprintf(stderr, "powercut: '%s %s' is not understood\n\n", argv[i], value);
        return false;
    }
    if (!options->is_kill || (options->disk == NULL && options->mutant == NULL)) { return true; }
    fputs("powercut: --kills goes neither with --disk nor with --mutant\n\n", stderr);
    return false;
}

int main(int argc, char **argv)
{
    struct options options;
    struct ps_error error = PS_ERROR_INIT;
    if (!parse(argc, argv, &options)) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    hush();
    if (options.is_kill) { return run_kills(&options); }
    if (disk_namespace(&error) != PS_OK) {
        printf("skipped: %s\n", error.message);
        return DISK_EXIT_SKIPPED;
    }
    return options.mutant != NULL ? run_mutants(&options) : run_disks(&options);
}
