/* paramd restore: a running cluster gets the values of a checkpoint. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/inspect_checkpoint.h"
#include "core/exit_code.h"
#include "deploy/commands.h"
#include "deploy/options.h"
#include "deploy/show.h"
#include "deploy/tool.h"

enum { TIMEOUT_MS = 3600000 };

struct settings {
    struct ps_tool tool;
    struct ps_restore_request request;
    struct ps_rename renames[PS_MAX_RENAMES];
};

enum { KEY_PARTIAL = 1, KEY_RESHAPE, KEY_MAP, KEY_PATTERN, KEY_STATE };

static const struct argp_option options[] = {
    { "partial", KEY_PARTIAL, NULL, 0, "Restores what the checkpoint has, and leaves the rest", 1 },
    { "reshape", KEY_RESHAPE, NULL, 0, "Takes other shapes of as many elements", 1 },
    { "map", KEY_MAP, "NAME=VARIABLE", 0, "NAME of the checkpoint becomes VARIABLE; repeatable",
      1 },
    { "pattern", KEY_PATTERN, "REGEX=TEXT", 0,
      "Names that fit REGEX (POSIX, extended) become TEXT, with $1 to $9; repeatable", 1 },
    { "latest_filename", KEY_STATE, "NAME", 0,
      "The file in DIR that names the latest; default: checkpoint", 1 },
    { 0 },
};

/* Cuts argument at its last '=', which no name of a variable needs. */
static void add_rename(struct settings *settings, struct argp_state *state, char *argument,
                       bool is_pattern)
{
    const char *flag = is_pattern ? "--pattern" : "--map";
    char *equals = strrchr(argument, '=');
    if (equals == NULL || equals == argument || equals[1] == '\0') {
        argp_error(state, "%s: '%s' is no %s", flag, argument,
                   is_pattern ? "REGEX=TEXT, as in 'v2/(.*)=v3/$1'" : "NAME=VARIABLE");
        return;
    }
    if (settings->request.rename_count == PS_MAX_RENAMES) {
        argp_error(state, "more than %d renamings", PS_MAX_RENAMES);
        return;
    }
    *equals = '\0';
    settings->renames[settings->request.rename_count++] = (struct ps_rename){ argument, equals + 1,
                                                                              is_pattern };
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    struct ps_restore_request *request = &settings->request;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &settings->tool; return 0;
    case KEY_PARTIAL: request->partial = true; return 0;
    case KEY_RESHAPE: request->reshape = true; return 0;
    case KEY_MAP: add_rename(settings, state, argument, false); return 0;
    case KEY_PATTERN: add_rename(settings, state, argument, true); return 0;
    case KEY_STATE: request->state_name = argument; return 0;
    case ARGP_KEY_ARG:
        if (request->path != NULL) { argp_error(state, "one checkpoint: '%s'", argument); }
        request->path = argument;
        return 0;
    case ARGP_KEY_END:
        if (request->path == NULL) { argp_error(state, "which? A prefix, or a directory"); }
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = { { &ps_tool_argp, 0, NULL, 0 }, { 0 } };
static const struct argp argp = {
    .options = options,
    .parser = parse,
    .children = children,
    .args_doc = "PREFIX|DIR",
    .doc = "Examples:\n"
           "  paramd restore run                        the latest checkpoint there\n"
           "  paramd restore run/model.ckpt-1000\n"
           "  paramd restore old/model --partial --pattern='v2/(.*)=v3/$1'\n"
           "\n"
           "Gives every variable of the cluster its value in a checkpoint of paramd's or "
           "TensorFlow's, with slots and counters, whatever way it was partitioned. All of it is "
           "checked before anything changes. The ps tasks read the files: a relative path is below "
           "the directory that they were started in. Nobody may push meanwhile."
           "\v"
           "Exit codes: 65 shapes or types differ, or a file is damaged, 66 no such checkpoint, or "
           "variables that are not in it, 200 a ps task does not answer; all "
           "of them: paramd --help",
};

static int show(const struct settings *settings, const struct ps_restore_reply *reply)
{
    char bytes[PS_SHOW_BYTES];
    if (reply->warning[0] != '\0') { fprintf(stderr, "paramd: %s\n", reply->warning); }
    if (settings->tool.as_json) {
        return ps_tool_print_json(json_pack("{s:s, s:I, s:I, s:I, s:I, s:s}", "prefix",
                                            reply->prefix, "step", (json_int_t)reply->step,
                                            "variables", (json_int_t)reply->variable_count,
                                            "missing", (json_int_t)reply->missing_count, "bytes",
                                            (json_int_t)reply->bytes, "warning", reply->warning),
                                  PS_EXIT_OK);
    }
    printf("restored %s at step %" PRId64 ": %" PRIu64 " variables, %s", reply->prefix, reply->step,
           reply->variable_count, ps_show_size(reply->bytes, bytes));
    if (reply->missing_count > 0) { printf("; %" PRIu64 " are not in it", reply->missing_count); }
    putchar('\n');
    return PS_EXIT_OK;
}

int ps_cmd_restore(int argc, char **argv)
{
    struct settings settings = { .request = { .state_name = "" } };
    struct ps_error error = PS_ERROR_INIT;
    struct ps_inspector *inspector;
    struct ps_arena arena = { 0 };
    struct ps_restore_reply reply;
    int code;
    ps_options_parse(&argp, argc, argv, &settings);
    if (!ps_tool_connect(&settings.tool, &inspector, &code)) { return code; }
    int64_t timeout_ms = settings.tool.timeout_ms > 0 ? settings.tool.timeout_ms : TIMEOUT_MS;
    settings.request.renames = settings.renames;
    enum ps_code rc = ps_inspect_restore(inspector, &settings.request, timeout_ms, &arena, &reply,
                                         &error);
    code = rc == PS_OK ? show(&settings, &reply) : ps_tool_explain(&error);
    ps_arena_clean(&arena);
    ps_inspect_close(inspector);
    return code;
}
