/* paramd get, paramd set: looking at one variable's value, and changing it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/inspect.h"
#include "core/alloc.h"
#include "core/exit_code.h"
#include "deploy/array_text.h"
#include "deploy/commands.h"
#include "deploy/npy.h"
#include "deploy/options.h"
#include "deploy/suggest.h"
#include "deploy/tool.h"

/* What both commands are given; each uses its part. */
struct settings {
    struct ps_tool tool;
    const char *name;
    const char *file;  /* get: --out; set: the second argument */
    const char *slice; /* get */
    const char *value; /* set */
    bool yes;          /* set */
};

enum { KEY_SLICE = 1, KEY_OUT, KEY_VALUE, KEY_YES };

static const struct argp_option get_options[] = {
    { "slice", KEY_SLICE, "A:B", 0, "Rows A to B - 1, as in Python; default: all", 1 },
    { "out", KEY_OUT, "FILE.npy", 0, "Writes a NumPy file instead of printing", 1 },
    { 0 },
};

static const struct argp_option set_options[] = {
    { "value", KEY_VALUE, "X", 0, "Every element becomes X", 1 },
    { "yes", KEY_YES, NULL, 0, "Does not ask: needed where standard input is no terminal", 1 },
    { 0 },
};

static error_t parse_get(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &settings->tool; return 0;
    case KEY_SLICE: settings->slice = argument; return 0;
    case KEY_OUT: settings->file = argument; return 0;
    case ARGP_KEY_ARG:
        if (settings->name != NULL) { argp_error(state, "one variable at a time: '%s'", argument); }
        settings->name = argument;
        return 0;
    case ARGP_KEY_END:
        if (settings->name == NULL) { argp_error(state, "which variable? See paramd vars"); }
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_set(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &settings->tool; return 0;
    case KEY_VALUE: settings->value = argument; return 0;
    case KEY_YES: settings->yes = true; return 0;
    case ARGP_KEY_ARG:
        if (settings->name == NULL) {
            settings->name = argument;
        } else if (settings->file == NULL) {
            settings->file = argument;
        } else {
            argp_error(state, "one variable and one file at a time: '%s'", argument);
        }
        return 0;
    case ARGP_KEY_END:
        if (settings->name == NULL) { argp_error(state, "which variable? See paramd vars"); }
        if ((settings->file == NULL) == (settings->value == NULL)) {
            argp_error(state, "give a FILE.npy, or --value=X");
        }
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = { { &ps_tool_argp, 0, NULL, 0 }, { 0 } };
static const struct argp get_argp = {
    .options = get_options,
    .parser = parse_get,
    .children = children,
    .args_doc = "NAME",
    .doc =
        "Examples:\n"
        "  paramd get hidden1/biases\n"
        "  paramd get hidden1/weights --slice=0:10\n"
        "  paramd get hidden1/weights --out=w.npy\n"
        "\n"
        "Prints a variable as NumPy would, or writes it as a file for NumPy. Training goes on "
        "meanwhile."
        "\v"
        "Exit codes: 65 it has no value yet, or no such rows, 66 no such variable, 200 a ps task "
        "does not answer; all of them: paramd --help",
};
static const struct argp set_argp = {
    .options = set_options,
    .parser = parse_set,
    .children = children,
    .args_doc = "NAME [FILE.npy]",
    .doc = "Examples:\n"
           "  paramd set hidden1/weights w.npy --yes\n"
           "  paramd set learning_rate --value=0.01 --yes\n"
           "\n"
           "Replaces the value of a variable. Its shape and type must be the file's."
           "\v"
           "Exit codes: 65 another shape or type, 66 no such variable or file, 200 a ps task does "
           "not answer; all of them: paramd --help",
};

/* "no variable 'x'; did you mean 'y'?" */
static enum ps_code fail_unknown(struct ps_inspector *inspector, const char *name,
                                 struct ps_error *err)
{
    struct ps_inspect_catalog all;
    enum ps_code listed = ps_inspect_list(inspector, "", &all, NULL);
    (void)listed; /* what there is helps, complete or not */
    const char **names = ps_alloc(sizeof *names * (all.variable_count + 1));
    const char *nearest = NULL;
    for (size_t i = 0; names != NULL && i < all.variable_count; i++) {
        names[i] = all.variables[i].definition.name;
    }
    if (names != NULL) { nearest = ps_suggest_nearest(name, names, all.variable_count); }
    enum ps_code rc = nearest != NULL
                          ? ps_fail(err, PS_NOT_FOUND, "no variable '%s'; did you mean '%s'?", name,
                                    nearest)
                          : ps_fail(err, PS_NOT_FOUND,
                                    "no variable '%s' among %zu; see paramd vars", name,
                                    all.variable_count);
    ps_free(names);
    ps_inspect_catalog_clean(&all);
    return rc;
}

/* The one variable of that name, in catalog. */
static enum ps_code find(struct ps_inspector *inspector, const char *name,
                         struct ps_inspect_catalog *catalog, struct ps_error *err)
{
    enum ps_code rc = ps_inspect_list(inspector, name, catalog, err);
    if (catalog->variable_count > 0) {
        return PS_OK;
    } /* a slice that is missing is found missing */
    return rc == PS_OK ? fail_unknown(inspector, name, err) : rc;
}

/* One end of a slice: empty is fallback, negative counts from the end; clamped as Python does. */
static bool parse_bound(const char *text, size_t size, int64_t rows, int64_t fallback, int64_t *out)
{
    char digits[24], *end;
    *out = fallback;
    if (size == 0) { return true; }
    if (size >= sizeof digits) { return false; }
    memcpy(digits, text, size);
    digits[size] = '\0';
    errno = 0;
    long long value = strtoll(digits, &end, 10);
    if (*end != '\0' || errno != 0) { return false; }
    if (value < 0) { value += rows; }
    *out = value < 0 ? 0 : value > rows ? rows : value;
    return true;
}

static enum ps_code choose_rows(const char *slice, const struct ps_shape *shape,
                                struct ps_rows *rows_out, struct ps_error *err)
{
    int64_t rows = ps_shape_rows(shape), end = rows;
    *rows_out = (struct ps_rows){ 0, rows };
    if (slice == NULL) { return PS_OK; }
    if (shape->rank == 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "--slice: the variable is a scalar and has no rows");
    }
    const char *colon = strchr(slice, ':');
    bool fits = colon != NULL &&
                parse_bound(slice, (size_t)(colon - slice), rows, 0, &rows_out->start) &&
                parse_bound(colon + 1, strlen(colon + 1), rows, rows, &end);
    if (!fits) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "--slice: '%s' is no slice; expected as in 0:10",
                       slice);
    }
    rows_out->count = end > rows_out->start ? end - rows_out->start : 0;
    return PS_OK;
}

static json_t *element_json(const struct ps_tensor *tensor, int64_t index)
{
    double value = ps_element_get(tensor->dtype, tensor->data, index);
    if (tensor->dtype == PS_BOOL) { return json_boolean(value != 0); }
    if (tensor->dtype == PS_INT64) {
        int64_t whole;
        memcpy(&whole, (const char *)tensor->data + index * 8, 8);
        return json_integer(whole);
    }
    if (!ps_dtype_is_floating(tensor->dtype)) { return json_integer((json_int_t)value); }
    json_t *real = json_real(value); /* NULL for what JSON cannot say: NaN and infinities */
    return real == NULL ? json_null() : real;
}

/* Nested lists, as NumPy's tolist. */
static json_t *axis_json(const struct ps_tensor *tensor, int axis, int64_t base)
{
    if (axis == tensor->shape.rank) { return element_json(tensor, base); }
    json_t *list = json_array();
    int64_t size = tensor->shape.dims[axis];
    for (int64_t i = 0; i < size; i++) {
        json_array_append_new(list, axis_json(tensor, axis + 1, base * size + i));
    }
    return list;
}

static int show(const struct settings *settings, const struct ps_inspect_variable *variable,
                const struct ps_tensor *tensor, struct ps_error *err)
{
    char shape[PS_SHAPE_TEXT_BYTES];
    const char *dtype = ps_dtype_name((int)tensor->dtype);
    if (settings->file != NULL) {
        if (ps_npy_write(settings->file, tensor, err) != PS_OK) { return ps_tool_explain(err); }
        fprintf(stderr, "%s %s%s to %s\n", variable->definition.name, dtype,
                ps_shape_format(&tensor->shape, shape), settings->file);
        return PS_EXIT_OK;
    }
    if (!settings->tool.as_json) {
        ps_array_print(tensor, stdout);
        return PS_EXIT_OK;
    }
    return ps_tool_print_json(json_pack("{s:s, s:s, s:o}", "name", variable->definition.name,
                                        "dtype", dtype, "value", axis_json(tensor, 0, 0)),
                              PS_EXIT_OK);
}

int ps_cmd_get(int argc, char **argv)
{
    struct settings settings = { .name = NULL };
    struct ps_error error = PS_ERROR_INIT;
    struct ps_inspector *inspector;
    struct ps_inspect_catalog catalog;
    struct ps_tensor tensor = { 0 };
    struct ps_rows rows;
    int code;
    ps_options_parse(&get_argp, argc, argv, &settings);
    if (!ps_tool_connect(&settings.tool, &inspector, &code)) { return code; }
    enum ps_code rc = find(inspector, settings.name, &catalog, &error);
    const struct ps_inspect_variable *variable = catalog.variables;
    if (rc == PS_OK) {
        rc = choose_rows(settings.slice, &variable->definition.shape, &rows, &error);
    }
    if (rc == PS_OK) { rc = ps_inspect_read(inspector, variable, rows, &tensor, &error); }
    code = rc == PS_OK ? show(&settings, variable, &tensor, &error) : ps_tool_explain(&error);
    ps_tensor_clean(&tensor);
    ps_inspect_catalog_clean(&catalog);
    ps_inspect_close(inspector);
    return code;
}

/* A tensor full of --value. */
static enum ps_code fill(const char *text, const struct ps_definition *definition,
                         struct ps_tensor *tensor_out, struct ps_error *err)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0') {
        return ps_fail(err, PS_INVALID_ARGUMENT, "--value: '%s' is no number", text);
    }
    enum ps_code rc = ps_tensor_init(tensor_out, definition->dtype, &definition->shape, err);
    int64_t count = rc == PS_OK ? ps_shape_elements(&definition->shape) : 0;
    for (int64_t i = 0; i < count; i++) {
        ps_element_set(definition->dtype, tensor_out->data, i, value);
    }
    return rc;
}

/* A file's values; those of a bfloat16 variable, which NumPy has not, come as float32. */
static enum ps_code load(const char *path, const struct ps_definition *definition,
                         struct ps_tensor *tensor_out, struct ps_error *err)
{
    struct ps_tensor file;
    enum ps_code rc = ps_npy_read(path, &file, err);
    bool narrow = definition->dtype == PS_BFLOAT16 && file.dtype == PS_FLOAT;
    if (rc != PS_OK || !narrow) {
        *tensor_out = file;
        return rc;
    }
    rc = ps_tensor_init(tensor_out, PS_BFLOAT16, &file.shape, err);
    int64_t count = rc == PS_OK ? ps_shape_elements(&file.shape) : 0;
    for (int64_t i = 0; i < count; i++) {
        ps_element_set(PS_BFLOAT16, tensor_out->data, i, ps_element_get(PS_FLOAT, file.data, i));
    }
    ps_tensor_clean(&file);
    return rc;
}

/* Asks on a terminal; without one only --yes will do. */
static bool confirmed(const struct settings *settings)
{
    char answer[16] = "";
    if (settings->yes) { return true; }
    if (!isatty(STDIN_FILENO)) {
        fprintf(stderr, "paramd: this replaces the value of '%s'; say --yes to do it\n",
                settings->name);
        return false;
    }
    fprintf(stderr, "Replace the value of '%s'? [y/N] ", settings->name);
    return fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

int ps_cmd_set(int argc, char **argv)
{
    struct settings settings = { .name = NULL };
    struct ps_error error = PS_ERROR_INIT;
    struct ps_inspector *inspector;
    struct ps_inspect_catalog catalog;
    struct ps_tensor tensor = { 0 };
    int code;
    ps_options_parse(&set_argp, argc, argv, &settings);
    if (!confirmed(&settings)) { return PS_EXIT_USAGE; }
    if (!ps_tool_connect(&settings.tool, &inspector, &code)) { return code; }
    enum ps_code rc = find(inspector, settings.name, &catalog, &error);
    const struct ps_inspect_variable *variable = catalog.variables;
    if (rc == PS_OK) {
        rc = settings.file != NULL ? load(settings.file, &variable->definition, &tensor, &error)
                                   : fill(settings.value, &variable->definition, &tensor, &error);
    }
    if (rc == PS_OK) { rc = ps_inspect_assign(inspector, variable, &tensor, &error); }
    code = rc == PS_OK ? PS_EXIT_OK : ps_tool_explain(&error);
    if (rc == PS_OK) {
        char shape[PS_SHAPE_TEXT_BYTES];
        fprintf(stderr, "set %s %s%s\n", settings.name, ps_dtype_name((int)tensor.dtype),
                ps_shape_format(&tensor.shape, shape));
    }
    ps_tensor_clean(&tensor);
    ps_inspect_catalog_clean(&catalog);
    ps_inspect_close(inspector);
    return code;
}
