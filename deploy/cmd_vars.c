/* paramd vars: the variables, where they live, and how evenly. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/inspect.h"
#include "core/alloc.h"
#include "deploy/commands.h"
#include "deploy/options.h"
#include "deploy/show.h"
#include "deploy/tool.h"
#include "proto/definition.h"

/* From here on one task's network and memory decide the speed of all. */
static const double UNEVEN = 1.5;

struct settings {
    struct ps_tool tool;
    bool by_bytes;
};

enum { KEY_SORT = 1 };

static const struct argp_option options[] = {
    { "sort", KEY_SORT, "KEY", 0, "name, or bytes: the largest first; default: name", 1 },
    { 0 },
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &settings->tool; return 0;
    case KEY_SORT:
        settings->by_bytes = strcmp(argument, "bytes") == 0;
        if (!settings->by_bytes && strcmp(argument, "name") != 0) {
            argp_error(state, "--sort: '%s' is neither name nor bytes", argument);
        }
        return 0;
    case ARGP_KEY_ARG: argp_error(state, "'%s' is no flag", argument); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = { { &ps_tool_argp, 0, NULL, 0 }, { 0 } };
static const struct argp argp = {
    .options = options,
    .parser = parse,
    .children = children,
    .doc =
        "Examples:\n"
        "  paramd vars\n"
        "  paramd vars --ps_hosts=h0:2222,h1:2222 --sort=bytes\n"
        "  paramd vars --json | jq '.variables[].name'\n"
        "\n"
        "Lists the variables of the cluster: shape, type, the ps tasks that hold them, bytes, and "
        "how they begin."
        "\v"
        "Exit codes: 0 every ps task answered, 200 one did not (the others' variables are "
        "listed); all of them: paramd --help",
};

static int compare_bytes(const void *a, const void *b)
{
    const struct ps_inspect_variable *x = a, *y = b;
    return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

/* ---- For people ---- */

/* "784x200"; "scalar". */
static const char *format_shape(const struct ps_shape *shape, char text[PS_SHAPE_TEXT_BYTES])
{
    size_t used = 0;
    snprintf(text, PS_SHAPE_TEXT_BYTES, "scalar");
    for (int i = 0; i < shape->rank; i++) {
        used += (size_t)snprintf(text + used, PS_SHAPE_TEXT_BYTES - used, "%s%" PRId64,
                                 i == 0 ? "" : "x", shape->dims[i]);
    }
    return text;
}

static const char *slice_note(const struct ps_inspect_slice *slice)
{
    if (!slice->listed) { return "  (its task does not answer)"; }
    return slice->initialized ? "" : "  (no value yet)";
}

static enum ps_code add_slice_row(struct ps_table *table,
                                  const struct ps_inspect_variable *variable,
                                  const struct ps_inspect_slice *slice, struct ps_error *err)
{
    char name[64], shape_text[PS_SHAPE_TEXT_BYTES], device[32], bytes[PS_SHOW_BYTES];
    struct ps_shape shape = variable->definition.shape;
    shape.dims[0] = slice->rows.count;
    snprintf(name, sizeof name, "  rows %" PRId64 " to %" PRId64, slice->rows.start,
             slice->rows.start + slice->rows.count - 1);
    snprintf(device, sizeof device, "/job:ps/task:%u", slice->task);
    const char *cells[] = { name,   format_shape(&shape, shape_text),  "",
                            device, ps_show_size(slice->bytes, bytes), slice_note(slice) };
    return ps_table_add(table, cells, err);
}

/* One line for a whole variable; for a partitioned one its total, then a line for each slice. */
static enum ps_code add_variable_rows(struct ps_table *table,
                                      const struct ps_inspect_variable *variable,
                                      struct ps_error *err)
{
    const struct ps_definition *definition = &variable->definition;
    char shape[PS_SHAPE_TEXT_BYTES], device[48], bytes[PS_SHOW_BYTES];
    char init[PS_DEFINITION_TEXT_BYTES], text[PS_DEFINITION_TEXT_BYTES + 48];
    bool whole = variable->slice_count == 1;
    snprintf(device, sizeof device, "/job:ps/task:%u", variable->slices[0].task);
    if (!whole) { snprintf(device, sizeof device, "%zu slices", variable->slice_count); }
    ps_initializer_format(&definition->initializer, init, sizeof init);
    snprintf(text, sizeof text, "%s%s", init, whole ? slice_note(&variable->slices[0]) : "");
    const char *cells[] = { definition->name,
                            format_shape(&definition->shape, shape),
                            ps_dtype_name((int)definition->dtype),
                            device,
                            ps_show_size(variable->bytes, bytes),
                            text };
    enum ps_code rc = ps_table_add(table, cells, err);
    for (size_t s = 0; !whole && rc == PS_OK && s < variable->slice_count; s++) {
        rc = add_slice_row(table, variable, &variable->slices[s], err);
    }
    return rc;
}

/* Bytes of each ps task, in the order of the peers. */
static void sum_bytes(const struct ps_inspector *inspector,
                      const struct ps_inspect_catalog *catalog, uint64_t *task_bytes,
                      uint64_t *total_out)
{
    *total_out = 0;
    for (size_t v = 0; v < catalog->variable_count; v++) {
        const struct ps_inspect_variable *variable = &catalog->variables[v];
        for (size_t s = 0; s < variable->slice_count; s++) {
            for (int i = 0; i < ps_inspect_peer_count(inspector); i++) {
                bool here = (uint32_t)ps_inspect_peer(inspector, i)->index ==
                            variable->slices[s].task;
                task_bytes[i] += here ? variable->slices[s].bytes : 0;
            }
            *total_out += variable->slices[s].bytes;
        }
    }
}

/* The largest whole variable of a task: what splitting would move. */
static const struct ps_inspect_variable *largest_whole(const struct ps_inspect_catalog *catalog,
                                                       int task)
{
    const struct ps_inspect_variable *largest = NULL;
    for (size_t v = 0; v < catalog->variable_count; v++) {
        const struct ps_inspect_variable *variable = &catalog->variables[v];
        bool here = variable->slice_count == 1 && variable->slices[0].task == (uint32_t)task;
        bool can_split = ps_shape_rows(&variable->definition.shape) > 1;
        if (here && can_split && (largest == NULL || variable->bytes > largest->bytes)) {
            largest = variable;
        }
    }
    return largest;
}

/* " ps/0 99 %  ps/1 1 % of 407 kB", and a hint when that is far from even. */
static void print_balance(const struct ps_inspector *inspector,
                          const struct ps_inspect_catalog *catalog, uint64_t *task_bytes)
{
    uint64_t total;
    char text[PS_SHOW_BYTES];
    int count = ps_inspect_peer_count(inspector), fullest = 0;
    sum_bytes(inspector, catalog, task_bytes, &total);
    for (int i = 0; i < count && total > 0; i++) {
        printf("%sps/%d %.0f %%", i == 0 ? "" : "  ", ps_inspect_peer(inspector, i)->index,
               100.0 * (double)task_bytes[i] / (double)total);
        if (task_bytes[i] > task_bytes[fullest]) { fullest = i; }
    }
    if (total == 0) { return; }
    printf(" of %s\n", ps_show_size(total, text));
    double mean = (double)total / count;
    int task = ps_inspect_peer(inspector, fullest)->index;
    const struct ps_inspect_variable *variable = largest_whole(catalog, task);
    if ((double)task_bytes[fullest] <= UNEVEN * mean || variable == NULL) { return; }
    printf("hint: ps/%d holds %.1f times the mean; splitting '%s' (%s) by rows would even it out: "
           "--partition=%d of paramd worker, or PS_SPLIT_FIXED in ps_variable_with\n",
           task, (double)task_bytes[fullest] / mean, variable->definition.name,
           ps_show_size(variable->bytes, text), count);
}

static enum ps_code print_catalog(const struct ps_inspector *inspector,
                                  const struct ps_inspect_catalog *catalog, struct ps_error *err)
{
    static const char *const titles[] = { "VARIABLE", "SHAPE", "DTYPE", "DEVICE", "BYTES", "INIT" };
    struct ps_table table;
    enum ps_code rc = PS_OK;
    if (catalog->variable_count == 0) {
        puts("no variables");
        return PS_OK;
    }
    uint64_t *task_bytes = ps_alloc_zero((size_t)ps_inspect_peer_count(inspector),
                                         sizeof *task_bytes);
    if (task_bytes == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory"); }
    ps_table_init(&table, titles, "llllrl");
    for (size_t v = 0; rc == PS_OK && v < catalog->variable_count; v++) {
        rc = add_variable_rows(&table, &catalog->variables[v], err);
    }
    if (rc == PS_OK) {
        ps_table_print(&table, stdout);
        print_balance(inspector, catalog, task_bytes);
    }
    ps_table_clean(&table);
    ps_free(task_bytes);
    return rc;
}

/* ---- For scripts ---- */

static json_t *slice_json(const struct ps_inspect_slice *slice)
{
    return json_pack("{s:I, s:I, s:I, s:b, s:b, s:I, s:I, s:I}", "task", (json_int_t)slice->task,
                     "row_start", (json_int_t)slice->rows.start, "row_count",
                     (json_int_t)slice->rows.count, "listed", slice->listed, "initialized",
                     slice->initialized, "bytes", (json_int_t)slice->bytes, "slot_bytes",
                     (json_int_t)slice->slot_bytes, "updates", (json_int_t)slice->update_count);
}

static json_t *variable_json(const struct ps_inspect_variable *variable)
{
    const struct ps_definition *definition = &variable->definition;
    char init[PS_DEFINITION_TEXT_BYTES];
    json_t *shape = json_array(), *slices = json_array(), *slots = json_array();
    for (int i = 0; i < definition->shape.rank; i++) {
        json_array_append_new(shape, json_integer(definition->shape.dims[i]));
    }
    for (size_t s = 0; s < variable->slice_count; s++) {
        json_array_append_new(slices, slice_json(&variable->slices[s]));
    }
    for (size_t s = 0; s < variable->slot_count; s++) {
        json_array_append_new(slots, json_string(variable->slots[s]));
    }
    ps_initializer_format(&definition->initializer, init, sizeof init);
    return json_pack(
        "{s:s, s:o, s:s, s:s, s:b, s:b, s:I, s:I, s:I, s:o, s:o}", "name", definition->name,
        "shape", shape, "dtype", ps_dtype_name((int)definition->dtype), "init", init, "trainable",
        definition->trainable, "initialized", variable->initialized, "bytes",
        (json_int_t)variable->bytes, "slot_bytes", (json_int_t)variable->slot_bytes, "updates",
        (json_int_t)variable->update_count, "slots", slots, "slices", slices);
}

static json_t *catalog_json(const struct ps_inspect_catalog *catalog)
{
    json_t *variables = json_array();
    for (size_t v = 0; v < catalog->variable_count; v++) {
        json_array_append_new(variables, variable_json(&catalog->variables[v]));
    }
    return json_pack("{s:o}", "variables", variables);
}

int ps_cmd_vars(int argc, char **argv)
{
    struct settings settings = { .by_bytes = false };
    struct ps_error error = PS_ERROR_INIT;
    struct ps_inspector *inspector;
    struct ps_inspect_catalog catalog;
    int code;
    ps_options_parse(&argp, argc, argv, &settings);
    if (!ps_tool_connect(&settings.tool, &inspector, &code)) { return code; }
    enum ps_code rc = ps_inspect_list(inspector, "", &catalog, &error);
    code = ps_tool_exit_code(rc);
    if (rc != PS_OK) { ps_tool_warn_dead(inspector); }
    if (settings.by_bytes && catalog.variable_count > 0) {
        qsort(catalog.variables, catalog.variable_count, sizeof catalog.variables[0],
              compare_bytes);
    }
    if (settings.tool.as_json) {
        code = ps_tool_print_json(catalog_json(&catalog), code);
    } else if (rc == PS_OK || catalog.variable_count > 0) {
        rc = print_catalog(inspector, &catalog, &error);
        if (rc != PS_OK) { code = ps_tool_explain(&error); }
    }
    ps_inspect_catalog_clean(&catalog);
    ps_inspect_close(inspector);
    return code;
}
