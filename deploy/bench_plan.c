/* What `paramd bench` is told to measure, and for how long. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/bench_plan_priv.h"

#include <argp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "deploy/options.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

enum {
    KEY_JSON = 1,
    KEY_QUICK,
    KEY_SIZES,
    KEY_SECONDS,
    MAX_FLIGHT_BYTES = 128 << 20, /* two of the largest: beyond it memory is measured, not pipes */
    SIZES_TEXT_BYTES = 256
};

static const size_t DEFAULT_SIZES[] = { 4,       4 * KIB, 64 * KIB, 256 * KIB,
                                        1 * MIB, 4 * MIB, 16 * MIB, 64 * MIB };
static const size_t LARGEST_SIZE = 256 * MIB;

static const struct argp_option options[] = {
    { "json", KEY_JSON, NULL, 0, "One JSON object on standard output instead of tables", 0 },
    { "quick", KEY_QUICK, NULL, 0, "Half a minute: fewer and shorter samples", 0 },
    { "sizes", KEY_SIZES, "LIST", 0,
      "Tensor sizes (4,4K,64K,256K,1M,4M,16M,64M); multiples of 4 up to 256M", 0 },
    { "seconds", KEY_SECONDS, "TIME", 0,
      "Measured time of each row of each size, all rounds together (1.25s; quick: 200ms)", 0 },
    { 0 },
};

struct parse {
    struct psi_bench_plan *plan;
    double seconds; /* 0: not given */
    bool quick;
};

static void parse_sizes(struct argp_state *state, struct psi_bench_plan *plan, const char *list)
{
    char text[SIZES_TEXT_BYTES];
    char *rest = NULL;
    if (strlen(list) >= sizeof text) { argp_error(state, "--sizes: too long a list"); }
    strncpy(text, list, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    plan->size_count = 0;
    for (char *word = strtok_r(text, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        uint64_t size = ps_options_bytes(state, "--sizes", word);
        if (size % sizeof(float) != 0 || size > LARGEST_SIZE) {
            argp_error(state, "--sizes: %s is not a multiple of 4 up to 256M", word);
        }
        if (plan->size_count == PSI_BENCH_MAX_SIZES) {
            argp_error(state, "--sizes: more than %d sizes", PSI_BENCH_MAX_SIZES);
        }
        plan->sizes[plan->size_count++] = (size_t)size;
    }
    if (plan->size_count == 0) { argp_error(state, "--sizes: give one size at least"); }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct parse *parse = state->input;
    switch (key) {
    case KEY_JSON: parse->plan->json = true; return 0;
    case KEY_QUICK: parse->quick = true; return 0;
    case KEY_SIZES: parse_sizes(state, parse->plan, argument); return 0;
    case KEY_SECONDS:
        parse->seconds = (double)ps_options_duration_ms(state, "--seconds", argument) / 1e3;
        return 0;
    case ARGP_KEY_ARG: argp_error(state, "'%s' is no flag", argument); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse_option,
    .doc = "Examples:\n"
           "  paramd bench --quick\n"
           "  paramd bench --sizes=4M,64M --seconds=5 --json > bench.json\n"
           "\n"
           "Measures pushes and pulls between this process and a ps task in a process of its own, "
           "and in the same run raw TCP, memcpy and y += a*x: rows take turns, round by round. "
           "Compare ratios, not rates: machines are noisy.",
};

void psi_bench_plan_parse(int argc, char **argv, struct psi_bench_plan *plan_out)
{
    struct parse parse = { .plan = plan_out };
    *plan_out = (struct psi_bench_plan){ .window = 4, .small_bytes = 256 };
    memcpy(plan_out->sizes, DEFAULT_SIZES, sizeof DEFAULT_SIZES);
    plan_out->size_count = sizeof DEFAULT_SIZES / sizeof DEFAULT_SIZES[0];
    ps_options_parse(&argp, argc, argv, &parse);

    plan_out->round_count = parse.quick ? 3 : 5;
    if (parse.seconds <= 0.0) { parse.seconds = parse.quick ? 0.2 : 1.25; }
    plan_out->sample_seconds = parse.seconds / plan_out->round_count;
    plan_out->small_count = parse.quick ? 1000 : 10000;
    plan_out->stall_bytes = parse.quick ? 16 * MIB : 64 * MIB;
    plan_out->stall_seconds = parse.quick ? 1.0 : 4.0;
}

size_t psi_bench_plan_largest(const struct psi_bench_plan *plan)
{
    size_t largest = plan->small_count * plan->small_bytes;
    for (size_t i = 0; i < plan->size_count; i++) {
        if (plan->sizes[i] > largest) { largest = plan->sizes[i]; }
    }
    return largest;
}

int psi_bench_plan_window(const struct psi_bench_plan *plan, size_t size_bytes)
{
    size_t fitting = (size_t)MAX_FLIGHT_BYTES / size_bytes;
    if (fitting >= (size_t)plan->window) { return plan->window; }
    return fitting < 2 ? 2 : (int)fitting;
}
