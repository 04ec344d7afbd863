/* paramd ckpt ls: the checkpoints of a directory. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/bytes.h"
#include "core/exit_code.h"
#include "deploy/ckpt_priv.h"
#include "deploy/ckpt_scan_priv.h"
#include "deploy/options.h"
#include "deploy/show.h"
#include "deploy/tool.h"

struct settings {
    const char *directory;
    bool as_json;
};

enum { KEY_JSON = 1 };

static const struct argp_option options[] = {
    { "json", KEY_JSON, NULL, 0, "Prints JSON, for scripts", 1 },
    { 0 },
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    switch (key) {
    case KEY_JSON: settings->as_json = true; return 0;
    case ARGP_KEY_ARG:
        if (settings->directory != NULL) {
            argp_error(state, "one directory at a time: '%s'", argument);
        }
        settings->directory = argument;
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "[DIRECTORY]",
    .doc = "Examples:\n"
           "  paramd ckpt ls run\n"
           "  paramd ckpt ls run --json | jq '.checkpoints[-1].prefix'\n"
           "\n"
           "Lists the checkpoints of a directory (default: this one), oldest first, and the files "
           "that "
           "unfinished saves left. A save that was decided before a crash is completed first."
           "\v"
           "Exit codes: 66 no such directory; all of them: paramd --help",
};

/* ---- For people ---- */

static void format_time(double time_s, char text[PS_SHOW_BYTES])
{
    time_t seconds = (time_t)time_s;
    struct tm broken;
    bool good = localtime_r(&seconds, &broken) != NULL &&
                strftime(text, PS_SHOW_BYTES, "%Y-%m-%d %H:%M:%S", &broken) > 0;
    if (!good) { snprintf(text, PS_SHOW_BYTES, "?"); }
}

static void format_note(const struct psi_ckpt_scan *scan, const struct psi_ckpt_found *found,
                        char *text, size_t size)
{
    const char *place = "";
    if (found->is_latest) {
        place = "latest";
    } else if (!found->has_index) {
        place = "in the state file, but not here";
    } else if (scan->has_state && !found->is_listed) {
        place = "not in the state file";
    }
    snprintf(text, size, "%s%s%s", place, *place != '\0' && found->problem[0] != '\0' ? "; " : "",
             found->problem);
}

static enum ps_code add_row(struct ps_table *table, const struct psi_ckpt_scan *scan,
                            const struct psi_ckpt_found *found, struct ps_error *err)
{
    char step[PS_SHOW_BYTES] = "-", time[PS_SHOW_BYTES] = "-", tensors[PS_SHOW_BYTES] = "-";
    char bytes[PS_SHOW_BYTES] = "-", shards[PS_SHOW_BYTES] = "-";
    char note[sizeof found->problem + 64];
    if (found->step >= 0) { snprintf(step, sizeof step, "%" PRId64, found->step); }
    if (found->has_index) {
        format_time(found->time_s, time);
        ps_show_size(found->size_bytes, bytes);
    }
    if (found->shard_count > 0 || (found->has_index && found->problem[0] == '\0')) {
        ps_show_count(found->tensor_count, tensors);
        ps_show_count(found->shard_count, shards);
    }
    format_note(scan, found, note, sizeof note);
    const char *cells[] = { found->name, step, time, tensors, bytes, shards, note };
    return ps_table_add(table, cells, err);
}

static enum ps_code print(const struct psi_ckpt_scan *scan, struct ps_error *err)
{
    static const char *const titles[] = { "CHECKPOINT", "STEP",   "TIME", "TENSORS",
                                          "BYTES",      "SHARDS", "NOTE" };
    struct ps_table table;
    enum ps_code rc = PS_OK;
    size_t row_count = 0;
    ps_table_init(&table, titles, "lrlrrrl");
    for (size_t i = 0; rc == PS_OK && i < scan->count; i++) {
        if (!scan->items[i].has_index && !scan->items[i].is_listed) { continue; }
        rc = add_row(&table, scan, &scan->items[i], err);
        row_count++;
    }
    if (rc == PS_OK && row_count > 0) { ps_table_print(&table, stdout); }
    if (rc == PS_OK && row_count == 0) { puts("no checkpoints"); }
    ps_table_clean(&table);
    for (size_t i = 0; i < scan->count; i++) {
        const struct psi_ckpt_found *found = &scan->items[i];
        char bytes[PS_SHOW_BYTES];
        if (found->leftover_count == 0) { continue; }
        printf("leftovers of %s: %zu files, %s, of a save under way or one that a crash ended\n",
               found->name, found->leftover_count, ps_show_size(found->leftover_bytes, bytes));
    }
    return rc;
}

/* ---- For scripts ---- */

static json_t *found_json(const char *directory, const struct psi_ckpt_found *found)
{
    char prefix[PS_PATH_BYTES];
    snprintf(prefix, sizeof prefix, "%s/%s", directory, found->name);
    json_t *item = json_pack("{s:s, s:b, s:b, s:b}", "prefix", prefix, "exists", found->has_index,
                             "listed", found->is_listed, "latest", found->is_latest);
    if (item == NULL) { return NULL; }
    json_object_set_new(item, "step", found->step < 0 ? json_null() : json_integer(found->step));
    if (!found->has_index) { return item; }
    json_object_set_new(item, "time", json_real(found->time_s));
    json_object_set_new(item, "bytes", json_integer((json_int_t)found->size_bytes));
    json_object_set_new(item, "tensors", json_integer((json_int_t)found->tensor_count));
    json_object_set_new(item, "shards", json_integer((json_int_t)found->shard_count));
    bool is_good = found->problem[0] == '\0';
    json_object_set_new(item, "problem", is_good ? json_null() : json_string(found->problem));
    return item;
}

static json_t *scan_json(const char *directory, const struct psi_ckpt_scan *scan)
{
    json_t *checkpoints = json_array(), *leftovers = json_array();
    for (size_t i = 0; i < scan->count; i++) {
        const struct psi_ckpt_found *found = &scan->items[i];
        if (found->has_index || found->is_listed) {
            json_array_append_new(checkpoints, found_json(directory, found));
        }
        if (found->leftover_count > 0) {
            json_array_append_new(leftovers, json_pack("{s:s, s:I, s:I}", "name", found->name,
                                                       "files", (json_int_t)found->leftover_count,
                                                       "bytes", (json_int_t)found->leftover_bytes));
        }
    }
    return json_pack("{s:s, s:o, s:o}", "directory", directory, "checkpoints", checkpoints,
                     "leftovers", leftovers);
}

int psi_ckpt_ls(int argc, char **argv)
{
    struct settings settings = { .directory = NULL };
    struct psi_ckpt_scan scan = { .items = NULL };
    struct ps_error error = PS_ERROR_INIT;
    ps_options_parse(&argp, argc, argv, &settings);
    const char *directory = settings.directory == NULL ? "." : settings.directory;
    enum ps_code rc = psi_ckpt_scan_read(directory, &scan, &error);
    int code = rc == PS_OK ? PS_EXIT_OK : ps_tool_explain(&error);
    if (rc == PS_OK && settings.as_json) {
        code = ps_tool_print_json(scan_json(directory, &scan), code);
    } else if (rc == PS_OK && print(&scan, &error) != PS_OK) {
        code = ps_tool_explain(&error);
    }
    psi_ckpt_scan_clean(&scan);
    return code;
}
