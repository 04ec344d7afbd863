/* paramd health: whether tasks serve, as an exit code for probes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "client/inspect.h"
#include "core/cluster.h"
#include "core/exit_code.h"
#include "core/log.h"
#include "deploy/commands.h"
#include "deploy/options.h"
#include "deploy/tool.h"

/* Also what a probe of Kubernetes allows by default. */
enum { DEFAULT_TIMEOUT_MS = 1000, EXIT_NOT_SERVING = 1 };

struct settings {
    struct ps_tool tool;
    const char *service;
    char **addresses; /* moved to the front of argv, which has room for them */
    int address_count;
};

enum { KEY_SERVICE = 1 };

static const struct argp_option options[] = {
    { "service", KEY_SERVICE, "NAME", 0, "One service of the task; default: the whole task", 1 },
    { 0 },
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &settings->tool; return 0;
    case KEY_SERVICE: settings->service = argument; return 0;
    case ARGP_KEY_ARG:
        if (settings->address_count == 0) { settings->addresses = &state->argv[1]; }
        settings->addresses[settings->address_count++] = argument;
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = { { &ps_tool_argp, 0, NULL, 0 }, { 0 } };
static const struct argp argp = {
    .options = options,
    .parser = parse,
    .children = children,
    .args_doc = "[HOST:PORT...]",
    .doc = "Examples:\n"
           "  paramd health localhost:2222\n"
           "  paramd health --ps_hosts=h0:2222,h1:2222 --json\n"
           "\n"
           "Asks tasks by gRPC's health protocol whether they serve; without an address, every ps "
           "task of the cluster."
           "\v"
           "Exit codes: 0 all serve, 1 one does not serve now, 200 one cannot be reached; all of "
           "them: paramd --help",
};

/* Asks one address, tells the result, and returns its exit code. */
static int ask(const struct settings *settings, const char *given, json_t *results)
{
    struct ps_error error = PS_ERROR_INIT;
    char address[PS_ADDRESS_BYTES];
    bool serving = false;
    int64_t timeout_ms = settings->tool.timeout_ms > 0 ? settings->tool.timeout_ms
                                                       : DEFAULT_TIMEOUT_MS;
    enum ps_code rc = ps_cluster_normalize_address(given, address, &error);
    if (rc != PS_OK) {
        ps_tool_explain(&error);
        return PS_EXIT_USAGE;
    }
    rc = ps_inspect_health(address, settings->service, timeout_ms, &serving, &error);
    const char *state = rc != PS_OK ? "UNREACHABLE" : serving ? "SERVING" : "NOT_SERVING";
    if (results != NULL) {
        json_array_append_new(results, json_pack("{s:s, s:s, s:s}", "address", address, "state",
                                                 state, "message", error.message));
    } else {
        printf("%s %s\n", address, state);
        if (rc != PS_OK) { fprintf(stderr, "paramd: %s\n", error.message); }
    }
    if (rc != PS_OK) { return ps_tool_exit_code(rc); }
    return serving ? PS_EXIT_OK : EXIT_NOT_SERVING;
}

static void keep_worst(int *worst, int code)
{
    if (code > *worst) { *worst = code; }
}

/* The ps tasks of the cluster that flags, environment or the last launch describe. */
static int ask_cluster(const struct settings *settings, json_t *results)
{
    struct ps_error error = PS_ERROR_INIT;
    struct ps_cluster cluster;
    int worst = PS_EXIT_OK;
    if (ps_cluster_flags_load_tool(&settings->tool.choice, &cluster, &error) != PS_OK) {
        ps_tool_explain(&error);
        return PS_EXIT_USAGE;
    }
    const struct ps_job *job = ps_cluster_find_job(&cluster, "ps");
    for (int i = 0; job != NULL && i < job->task_count; i++) {
        keep_worst(&worst, ask(settings, job->tasks[i].address, results));
    }
    ps_cluster_clean(&cluster);
    return worst;
}

int ps_cmd_health(int argc, char **argv)
{
    struct settings settings = { .service = "" };
    int worst = PS_EXIT_OK;
    const struct ps_log_options log = { .level = PS_LOG_ERROR };
    ps_options_parse(&argp, argc, argv, &settings);
    ps_log_configure(&log);
    json_t *results = settings.tool.as_json ? json_array() : NULL;
    if (settings.address_count == 0) { worst = ask_cluster(&settings, results); }
    for (int i = 0; i < settings.address_count; i++) {
        keep_worst(&worst, ask(&settings, settings.addresses[i], results));
    }
    return settings.tool.as_json ? ps_tool_print_json(results, worst) : worst;
}
