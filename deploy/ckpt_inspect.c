/* paramd ckpt inspect: what a checkpoint holds, in the forms of TensorFlow's inspect_checkpoint. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/exit_code.h"
#include "deploy/array_text.h"
#include "deploy/ckpt_priv.h"
#include "deploy/options.h"
#include "deploy/tool.h"

struct settings {
    const char *where;
    const char *tensor_name;
    bool all_tensors;
    bool as_json;
};

enum { KEY_FILE = 1, KEY_TENSOR, KEY_ALL, KEY_JSON };

static const struct argp_option options[] = {
    { "tensor_name", KEY_TENSOR, "NAME", 0, "Prints the value of this tensor", 1 },
    { "all_tensors", KEY_ALL, "BOOL", OPTION_ARG_OPTIONAL, "Prints the value of every tensor", 1 },
    { "file_name", KEY_FILE, "PREFIX", 0, "The checkpoint, as TensorFlow's tool has it", 2 },
    { "json", KEY_JSON, NULL, 0, "Prints JSON, for scripts", 3 },
    { 0 },
};

static void set_where(struct settings *settings, char *argument, struct argp_state *state)
{
    if (settings->where != NULL) { argp_error(state, "one checkpoint at a time: '%s'", argument); }
    settings->where = argument;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    switch (key) {
    case KEY_TENSOR: settings->tensor_name = argument[0] == '\0' ? NULL : argument; return 0;
    case KEY_ALL:
        settings->all_tensors = argument == NULL || strcasecmp(argument, "true") == 0 ||
                                strcmp(argument, "1") == 0;
        return 0;
    case KEY_JSON: settings->as_json = true; return 0;
    case KEY_FILE:
    case ARGP_KEY_ARG: set_where(settings, argument, state); return 0;
    case ARGP_KEY_END:
        if (settings->where == NULL) {
            argp_error(state, "which checkpoint? Give its prefix, or a directory for its latest");
        }
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "PREFIX|DIRECTORY",
    .doc = "Examples:\n"
           "  paramd ckpt inspect run/model.ckpt-100\n"
           "  paramd ckpt inspect run --tensor_name=hidden1/biases\n"
           "  paramd ckpt inspect --file_name=run/model.ckpt-100 --all_tensors\n"
           "\n"
           "Lists the tensors of a checkpoint with type and shape, a partitioned one under its own "
           "name; or prints values as NumPy would."
           "\v"
           "Exit codes: 65 damaged, 66 no such checkpoint or tensor; all of them: paramd --help",
};

/* ---- Strings, as Python prints bytes ---- */

static void print_bytes(struct ps_span bytes)
{
    bool has_single = bytes.size > 0 && memchr(bytes.data, '\'', bytes.size) != NULL;
    bool has_double = bytes.size > 0 && memchr(bytes.data, '"', bytes.size) != NULL;
    char quote = has_single && !has_double ? '"' : '\'';
    printf("b%c", quote);
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char byte = bytes.data[i];
        switch (byte) {
        case '\n': fputs("\\n", stdout); break;
        case '\r': fputs("\\r", stdout); break;
        case '\t': fputs("\\t", stdout); break;
        case '\\': fputs("\\\\", stdout); break;
        default:
            if (byte == (unsigned char)quote) {
                printf("\\%c", byte);
            } else if (byte >= 0x20 && byte < 0x7f) {
                putchar(byte);
            } else {
                printf("\\x%02x", byte);
            }
        }
    }
    putchar(quote);
}

/* Nested brackets; rows of an outer axis on lines of their own. */
static void print_string_axis(const struct ps_shape *shape, const struct ps_span *items, int axis,
                              int64_t base)
{
    if (axis == shape->rank) {
        print_bytes(items[base]);
        return;
    }
    putchar('[');
    for (int64_t i = 0; i < shape->dims[axis]; i++) {
        if (i > 0 && axis + 1 < shape->rank) {
            printf("\n%*s", axis + 1, "");
        } else if (i > 0) {
            putchar(' ');
        }
        print_string_axis(shape, items, axis + 1, base * shape->dims[axis] + i);
    }
    putchar(']');
}

static enum ps_code print_strings(struct ps_bundle_reader *reader,
                                  const struct ps_bundle_info *info, struct ps_error *err)
{
    struct ps_bundle_strings strings;
    enum ps_code rc = ps_bundle_reader_read_strings(reader, info->name, &strings, err);
    if (rc != PS_OK) { return rc; }
    printf("tensor_name:  %s\n", info->name);
    print_string_axis(&info->shape, strings.items, 0, 0);
    putchar('\n');
    ps_bundle_strings_clean(&strings);
    return PS_OK;
}

/* ---- For people ---- */

static void print_line(const struct ps_bundle_info *info)
{
    char type[PSI_CKPT_TYPE_BYTES], shape[PS_SHAPE_TEXT_BYTES];
    printf("%s (%s) %s", info->name, psi_ckpt_type(info->dtype, type),
           ps_shape_format(&info->shape, shape));
    if (info->slice_count > 0) {
        printf(" (%zu slice%s)", info->slice_count, info->slice_count == 1 ? "" : "s");
    }
    putchar('\n');
}

static enum ps_code print_value(struct ps_bundle_reader *reader, const struct ps_bundle_info *info,
                                struct ps_error *err)
{
    struct ps_tensor tensor;
    if (info->dtype == PS_STRING) { return print_strings(reader, info, err); }
    enum ps_code rc = psi_ckpt_read(reader, info, &tensor, err);
    if (rc != PS_OK) { return rc; }
    printf("tensor_name:  %s\n", info->name);
    ps_array_print(&tensor, stdout);
    ps_tensor_clean(&tensor);
    return PS_OK;
}

/* ---- For scripts ---- */

static json_t *element_json(const struct ps_tensor *tensor, int64_t index)
{
    double value = ps_element_get(tensor->dtype, tensor->data, index);
    if (tensor->dtype == PS_BOOL) { return json_boolean(value != 0); }
    if (ps_dtype_is_floating(tensor->dtype)) {
        return isfinite(value) ? json_real(value)
                               : json_null(); /* JSON has no other way to say it */
    }
    int64_t whole = 0;
    if (tensor->dtype == PS_INT64 || tensor->dtype == PS_UINT64) {
        memcpy(&whole, (const char *)tensor->data + index * 8, 8);
    } else {
        whole = (int64_t)value;
    }
    bool too_large = tensor->dtype == PS_UINT64 && whole < 0;
    return too_large ? json_real(value) : json_integer(whole);
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

/* Strings as a flat list; null for one that is no UTF-8. */
static enum ps_code strings_json(struct ps_bundle_reader *reader, const struct ps_bundle_info *info,
                                 json_t **value_out, struct ps_error *err)
{
    struct ps_bundle_strings strings;
    enum ps_code rc = ps_bundle_reader_read_strings(reader, info->name, &strings, err);
    if (rc != PS_OK) { return rc; }
    *value_out = json_array();
    for (size_t i = 0; i < strings.count; i++) {
        const char *text = strings.items[i].size == 0 ? "" : (const char *)strings.items[i].data;
        json_t *item = json_stringn(text, strings.items[i].size);
        json_array_append_new(*value_out, item == NULL ? json_null() : item);
    }
    ps_bundle_strings_clean(&strings);
    return PS_OK;
}

static enum ps_code value_json(struct ps_bundle_reader *reader, const struct ps_bundle_info *info,
                               json_t **value_out, struct ps_error *err)
{
    struct ps_tensor tensor;
    if (info->dtype == PS_STRING) { return strings_json(reader, info, value_out, err); }
    enum ps_code rc = psi_ckpt_read(reader, info, &tensor, err);
    if (rc != PS_OK) { return rc; }
    *value_out = axis_json(&tensor, 0, 0);
    ps_tensor_clean(&tensor);
    return PS_OK;
}

static enum ps_code tensor_json(struct ps_bundle_reader *reader, const struct ps_bundle_info *info,
                                bool with_value, json_t *list, struct ps_error *err)
{
    json_t *shape = json_array(), *value = NULL;
    for (int i = 0; i < info->shape.rank; i++) {
        json_array_append_new(shape, json_integer(info->shape.dims[i]));
    }
    json_t *item = json_pack("{s:s%, s:s, s:o, s:I, s:I}", "name", info->name, strlen(info->name),
                             "dtype", ps_dtype_name(info->dtype), "shape", shape, "slices",
                             (json_int_t)info->slice_count, "bytes", (json_int_t)info->size_bytes);
    if (item == NULL) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "'%s' is not UTF-8, which JSON requires",
                       info->name);
    }
    enum ps_code rc = with_value ? value_json(reader, info, &value, err) : PS_OK;
    if (value != NULL) { json_object_set_new(item, "value", value); }
    json_array_append_new(list, item);
    return rc;
}

/* ---- Both ---- */

static enum ps_code show(const struct settings *settings, struct ps_bundle_reader *reader,
                         const struct ps_bundle_info *info, json_t *list, struct ps_error *err)
{
    bool with_value = settings->tensor_name != NULL || settings->all_tensors;
    if (list != NULL) { return tensor_json(reader, info, with_value, list, err); }
    if (with_value) { return print_value(reader, info, err); }
    print_line(info);
    return PS_OK;
}

static enum ps_code show_all(const struct settings *settings, struct ps_bundle_reader *reader,
                             json_t *list, struct ps_error *err)
{
    struct ps_bundle_info info;
    enum ps_code rc = PS_OK;
    if (settings->tensor_name != NULL) {
        rc = psi_ckpt_find(reader, settings->tensor_name, &info, err);
        return rc == PS_OK ? show(settings, reader, &info, list, err) : rc;
    }
    for (size_t i = 0; rc == PS_OK && i < ps_bundle_reader_count(reader); i++) {
        info = ps_bundle_reader_info(reader, i);
        rc = show(settings, reader, &info, list, err);
    }
    return rc;
}

int psi_ckpt_inspect(int argc, char **argv)
{
    struct settings settings = { .where = NULL };
    struct ps_error error = PS_ERROR_INIT;
    struct ps_bundle_reader *reader = NULL;
    struct ps_path prefix;
    ps_options_parse(&argp, argc, argv, &settings);
    json_t *list = settings.as_json ? json_array() : NULL;
    setvbuf(stdout, NULL, _IOFBF, BUFSIZ); /* ten thousand lines need not be ten thousand writes */
    enum ps_code rc = psi_ckpt_open(settings.where, &prefix, &reader, &error);
    if (rc == PS_OK) { rc = show_all(&settings, reader, list, &error); }
    int code = rc == PS_OK ? PS_EXIT_OK : ps_tool_explain(&error);
    if (rc == PS_OK && list != NULL) {
        code = ps_tool_print_json(json_pack("{s:s, s:O}", "prefix", prefix.text, "tensors", list),
                                  code);
    }
    json_decref(list);
    ps_bundle_reader_close(reader);
    return code;
}
