/* What the tools that look at a running cluster share: flags, connecting, saying what failed. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/tool.h"

#include <stdio.h>

#include "client/inspect.h"
#include "core/cluster.h"
#include "core/exit_code.h"
#include "core/log.h"
#include "deploy/options.h"

enum { KEY_JSON = 1, KEY_TIMEOUT };
enum { DEFAULT_TIMEOUT_MS = 5000 };

static const struct argp_option options[] = {
    { "json", KEY_JSON, NULL, 0, "Prints JSON, for scripts", 5 },
    { "timeout", KEY_TIMEOUT, "TIME", 0, "Waits so long for each answer; default: 5s", 5 },
    { 0 },
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct ps_tool *tool = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &tool->choice; return 0;
    case KEY_JSON: tool->as_json = true; return 0;
    case KEY_TIMEOUT:
        tool->timeout_ms = ps_options_duration_ms(state, "--timeout", argument);
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = { { &ps_cluster_flags_tool, 0, NULL, 0 }, { 0 } };
const struct argp ps_tool_argp = { .options = options, .parser = parse, .children = children };

int ps_tool_exit_code(enum ps_code code)
{
    return code == PS_DEADLINE_EXCEEDED ? PS_EXIT_PEER_LOST : ps_exit_code_of(code);
}

int ps_tool_explain(const struct ps_error *err)
{
    fprintf(stderr, "paramd: %s\n", err->message);
    return ps_tool_exit_code(err->code);
}

bool ps_tool_connect(const struct ps_tool *tool, struct ps_inspector **inspector_out,
                     int *exit_code_out)
{
    struct ps_error error = PS_ERROR_INIT;
    struct ps_cluster cluster;
    int64_t timeout_ms = tool->timeout_ms > 0 ? tool->timeout_ms : DEFAULT_TIMEOUT_MS;
    const struct ps_log_options log = {
        .level = PS_LOG_ERROR
    }; /* a tool says what matters itself */
    *inspector_out = NULL;
    ps_log_configure(&log);
    if (ps_cluster_flags_load_tool(&tool->choice, &cluster, &error) != PS_OK) {
        ps_tool_explain(&error);
        *exit_code_out = PS_EXIT_USAGE;
        return false;
    }
    enum ps_code rc = ps_inspect_open(&cluster, timeout_ms, inspector_out, &error);
    ps_cluster_clean(&cluster);
    if (rc != PS_OK) { *exit_code_out = ps_tool_explain(&error); }
    return rc == PS_OK;
}

void ps_tool_warn_dead(const struct ps_inspector *inspector)
{
    for (int i = 0; i < ps_inspect_peer_count(inspector); i++) {
        const struct ps_inspect_peer *peer = ps_inspect_peer(inspector, i);
        if (peer->error.code == PS_OK) { continue; }
        fprintf(stderr, "paramd: /job:ps/task:%d: %s\n", peer->index, peer->error.message);
    }
}

int ps_tool_print_json(json_t *root, int code)
{
    if (root == NULL) {
        fputs("paramd: no memory for the JSON text\n", stderr);
        return PS_EXIT_STORAGE;
    }
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
    return code;
}
