/* paramd save: a checkpoint of a running cluster, now. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>

#include "client/inspect_checkpoint.h"
#include "core/exit_code.h"
#include "deploy/commands.h"
#include "deploy/options.h"
#include "deploy/show.h"
#include "deploy/tool.h"

enum { TIMEOUT_MS = 3600000 };

struct settings {
    struct ps_tool tool;
    struct ps_save_request request;
};

enum { KEY_STEP = 1, KEY_KEEP, KEY_STATE, KEY_PAD, KEY_ABSOLUTE };

static const struct argp_option options[] = {
    { "step", KEY_STEP, "N", 0, "Saves to PREFIX-N; default: to PREFIX itself", 1 },
    { "pad_step_number", KEY_PAD, NULL, 0, "PREFIX-00000100 instead of PREFIX-100", 1 },
    { "max_to_keep", KEY_KEEP, "N", 0,
      "Removes all but the last N checkpoints of PREFIX; default: removes none", 1 },
    { "latest_filename", KEY_STATE, "NAME", 0,
      "The file beside it that names the latest; default: checkpoint", 1 },
    { "absolute_paths", KEY_ABSOLUTE, NULL, 0, "Writes absolute paths to that file", 1 },
    { 0 },
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    struct ps_save_request *request = &settings->request;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &settings->tool; return 0;
    case KEY_STEP:
        request->step = ps_options_number(state, "--step", argument, 0, INT64_MAX);
        request->has_step = true;
        return 0;
    case KEY_KEEP:
        request->max_to_keep = ps_options_number(state, "--max_to_keep", argument, 1, INT32_MAX);
        return 0;
    case KEY_STATE: request->state_name = argument; return 0;
    case KEY_PAD: request->pad_step = true; return 0;
    case KEY_ABSOLUTE: request->absolute_paths = true; return 0;
    case ARGP_KEY_ARG:
        if (request->prefix != NULL) { argp_error(state, "one prefix: '%s'", argument); }
        request->prefix = argument;
        return 0;
    case ARGP_KEY_END:
        if (request->prefix == NULL) { argp_error(state, "where to? As in run/model.ckpt"); }
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = { { &ps_tool_argp, 0, NULL, 0 }, { 0 } };
static const struct argp argp = {
    .options = options,
    .parser = parse,
    .children = children,
    .args_doc = "PREFIX",
    .doc =
        "Examples:\n"
        "  paramd save run/model.ckpt --step=1000\n"
        "  paramd save /backup/before-the-change\n"
        "\n"
        "Saves all variables of the cluster, with slots and counters, as a checkpoint that "
        "TensorFlow opens too. The ps tasks write the files: a relative PREFIX is below the "
        "directory that they were started in. Nobody may push meanwhile."
        "\v"
        "Exit codes: 65 a variable has no value, 200 a ps task does not answer, 203 no room on the "
        "disk; all of them: paramd --help",
};

int ps_cmd_save(int argc, char **argv)
{
    struct settings settings = { .request = { .state_name = "" } };
    struct ps_error error = PS_ERROR_INIT;
    struct ps_inspector *inspector;
    struct ps_arena arena = { 0 };
    struct ps_save_reply reply;
    char bytes[PS_SHOW_BYTES];
    int code;
    ps_options_parse(&argp, argc, argv, &settings);
    if (!ps_tool_connect(&settings.tool, &inspector, &code)) { return code; }
    int64_t timeout_ms = settings.tool.timeout_ms > 0 ? settings.tool.timeout_ms : TIMEOUT_MS;
    if (ps_inspect_save(inspector, &settings.request, timeout_ms, &arena, &reply, &error) !=
        PS_OK) {
        code = ps_tool_explain(&error);
    } else if (settings.tool.as_json) {
        code = ps_tool_print_json(
            json_pack("{s:s, s:I, s:I, s:I, s:I}", "prefix", reply.prefix, "step",
                      (json_int_t)reply.step, "tensors", (json_int_t)reply.tensor_count, "bytes",
                      (json_int_t)reply.bytes, "shards", (json_int_t)reply.shard_count),
            PS_EXIT_OK);
    } else {
        printf("saved %s at step %" PRId64 ": %" PRIu64 " tensors, %s in %" PRIu32 " file%s\n",
               reply.prefix, reply.step, reply.tensor_count, ps_show_size(reply.bytes, bytes),
               reply.shard_count, reply.shard_count == 1 ? "" : "s");
        code = PS_EXIT_OK;
    }
    ps_arena_clean(&arena);
    ps_inspect_close(inspector);
    return code;
}
