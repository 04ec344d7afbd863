/* The `checkpoint` state file: parsed leniently, written exactly, replaced atomically. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/state_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/bundle_names.h"
#include "checkpoint/recover.h"
#include "checkpoint/state_text.h"
#include "core/alloc.h"

/* Longest decimal of a double that is read; longer spellings are no timestamps. */
enum { NUMBER_TEXT_BYTES = 64 };

void ps_state_clean(struct ps_state *state)
{
    if (state == NULL) { return; }
    for (size_t i = 0; i < state->count; i++) { ps_free(state->all[i].path); }
    ps_free(state->all);
    ps_free(state->latest);
    *state = (struct ps_state){ 0 };
}

enum ps_code ps_state_add(struct ps_state *state, const char *path, double timestamp_s,
                          struct ps_error *err)
{
    size_t count = state->count;
    char *copy = ps_strdup(path);
    if (copy != NULL && (count & (count - 1)) == 0) { /* grows at powers of two */
        size_t capacity = count == 0 ? 1 : 2 * count;
        struct ps_state_checkpoint *grown = ps_realloc(state->all, capacity * sizeof *grown);
        if (grown == NULL) {
            ps_free(copy);
            copy = NULL;
        } else {
            state->all = grown;
        }
    }
    if (copy == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a list of checkpoints");
    }
    state->all[state->count++] = (struct ps_state_checkpoint){ .path = copy,
                                                               .timestamp_s = timestamp_s };
    return PS_OK;
}

enum ps_code ps_state_set_latest(struct ps_state *state, const char *path, struct ps_error *err)
{
    char *copy = ps_strdup(path);
    if (copy == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a path"); }
    ps_free(state->latest);
    state->latest = copy;
    return PS_OK;
}

/* ---- writing ---- */

static enum ps_code put_path(struct ps_buf *text, const char *field, const char *path,
                             struct ps_error *err)
{
    enum ps_code rc;
    PS_TRY(done, rc, ps_buf_printf(text, err, "%s: ", field));
    PS_TRY(done, rc, ps_state_text_quote(text, path, err));
    PS_TRY(done, rc, ps_buf_append(text, "\n", 1, err));
done:
    return rc;
}

/* The shortest decimal that reads back as the same double, with ".0" behind a whole number. */
static enum ps_code put_number(struct ps_buf *text, const char *field, double value,
                               struct ps_error *err)
{
    char number[NUMBER_TEXT_BYTES];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(number, sizeof number, "%.*g", digits, value);
        if (strtod(number, NULL) == value) { break; }
    }
    const char *zero = strpbrk(number, ".en") == NULL ? ".0" : "";
    return ps_buf_printf(text, err, "%s: %s%s\n", field, number, zero);
}

enum ps_code ps_state_format(const struct ps_state *state, struct ps_buf *text,
                             struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    bool has_times = state->count > 0;
    if (state->latest != NULL) {
        PS_TRY(done, rc, put_path(text, "model_checkpoint_path", state->latest, err));
    }
    for (size_t i = 0; i < state->count; i++) {
        PS_TRY(done, rc, put_path(text, "all_model_checkpoint_paths", state->all[i].path, err));
        has_times = has_times && state->all[i].timestamp_s != 0;
    }
    for (size_t i = 0; has_times && i < state->count; i++) {
        PS_TRY(done, rc,
               put_number(text, "all_model_checkpoint_timestamps", state->all[i].timestamp_s, err));
    }
    if (state->last_preserved_s != 0) {
        PS_TRY(done, rc,
               put_number(text, "last_preserved_timestamp", state->last_preserved_s, err));
    }
done:
    return rc;
}

/* ---- reading ---- */

struct parse {
    struct ps_state_text text;
    struct ps_state *state;
    struct ps_buf string;
    struct ps_buf times; /* double each: they come apart from the paths */
};

static bool is_field(struct ps_span word, const char *name)
{
    return word.size == strlen(name) && memcmp(word.data, name, word.size) == 0;
}

static enum ps_code parse_number(struct parse *parse, double *value_out, struct ps_error *err)
{
    char number[NUMBER_TEXT_BYTES];
    char *end;
    struct ps_span word = ps_state_text_word(&parse->text);
    if (word.size == 0 || word.size >= sizeof number) {
        return ps_state_text_fail(&parse->text, "a number is missing", err);
    }
    memcpy(number, word.data, word.size);
    number[word.size] = '\0';
    *value_out = strtod(number, &end);
    if (*end == 'f' || *end == 'F') { end++; }
    if (*end != '\0' || !isfinite(*value_out)) {
        return ps_state_text_fail(&parse->text, "this is no number", err);
    }
    return PS_OK;
}

static enum ps_code parse_path(struct parse *parse, bool is_latest, struct ps_error *err)
{
    enum ps_code rc = ps_state_text_string(&parse->text, &parse->string, err);
    if (rc != PS_OK) { return rc; }
    const char *path = (const char *)parse->string.data;
    if (strlen(path) != parse->string.size || parse->string.size >= PS_PATH_BYTES) {
        return ps_state_text_fail(&parse->text, "a path holds a NUL byte or is too long", err);
    }
    return is_latest ? ps_state_set_latest(parse->state, path, err)
                     : ps_state_add(parse->state, path, 0, err);
}

/* One value, or a list of them in brackets, of a field we know. */
static enum ps_code parse_values(struct parse *parse, struct ps_span field, struct ps_error *err)
{
    enum ps_code rc;
    double number;
    if (!ps_state_text_take(&parse->text, ':')) {
        return ps_state_text_fail(&parse->text, "':' is missing", err);
    }
    bool is_list = ps_state_text_take(&parse->text, '[');
    if (is_list && ps_state_text_take(&parse->text, ']')) { return PS_OK; }
    do {
        if (is_field(field, "model_checkpoint_path")) {
            PS_TRY(done, rc, parse_path(parse, true, err));
        } else if (is_field(field, "all_model_checkpoint_paths")) {
            PS_TRY(done, rc, parse_path(parse, false, err));
        } else {
            PS_TRY(done, rc, parse_number(parse, &number, err));
            if (is_field(field, "last_preserved_timestamp")) {
                parse->state->last_preserved_s = number;
            } else {
                PS_TRY(done, rc, ps_buf_append(&parse->times, &number, sizeof number, err));
            }
        }
    } while (is_list && ps_state_text_take(&parse->text, ','));
    if (is_list && !ps_state_text_take(&parse->text, ']')) {
        rc = ps_state_text_fail(&parse->text, "']' is missing", err);
    }
done:
    return rc;
}

static enum ps_code parse_field(struct parse *parse, struct ps_error *err)
{
    static const char *const known[] = { "model_checkpoint_path", "all_model_checkpoint_paths",
                                         "all_model_checkpoint_timestamps",
                                         "last_preserved_timestamp" };
    struct ps_span field = ps_state_text_word(&parse->text);
    enum ps_code rc = PS_OK;
    bool is_known = false;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        is_known = is_known || is_field(field, known[i]);
    }
    if (is_known) {
        rc = parse_values(parse, field, err);
    } else if (field.size > 0) {
        rc = ps_state_text_skip_value(&parse->text, err);
    } else {
        rc = ps_state_text_fail(&parse->text, "a field's name is missing", err);
    }
    if (rc == PS_OK && !ps_state_text_take(&parse->text, ',')) {
        (void)ps_state_text_take(&parse->text, ';');
    }
    return rc;
}

/* Times belong to paths by position; when there are not as many, none is believed. */
static void assign_times(struct parse *parse)
{
    struct ps_state *state = parse->state;
    if (parse->times.size != state->count * sizeof(double)) { return; }
    for (size_t i = 0; i < state->count; i++) {
        memcpy(&state->all[i].timestamp_s, parse->times.data + i * sizeof(double), sizeof(double));
    }
}

enum ps_code ps_state_parse(struct ps_span text, struct ps_state *state_out, struct ps_error *err)
{
    *state_out = (struct ps_state){ 0 };
    const char *start = text.size == 0 ? "" : (const char *)text.data;
    struct parse parse = { .state = state_out };
    parse.text = (struct ps_state_text){
        .at = start, .end = start + text.size, .line_start = start, .line = 1
    };
    enum ps_code rc = PS_OK;
    ps_state_text_skip_space(&parse.text);
    while (rc == PS_OK && parse.text.at < parse.text.end) {
        rc = parse_field(&parse, err);
        ps_state_text_skip_space(&parse.text);
    }
    if (rc == PS_OK) { assign_times(&parse); }
    ps_buf_clean(&parse.string);
    ps_buf_clean(&parse.times);
    if (rc != PS_OK) { ps_state_clean(state_out); }
    return rc;
}

/* ---- the file ---- */

static enum ps_code load(const struct ps_files *files, const char *path, struct ps_buf *text,
                         struct ps_error *err)
{
    struct ps_file *file = NULL;
    struct ps_file_info info;
    enum ps_code rc;
    PS_TRY(done, rc, files->open(files->ctx, path, &file, err));
    PS_TRY(done, rc, file->ops->info(file, &info, err));
    if (info.size_bytes > PS_STATE_FILE_MAX_BYTES) {
        rc = ps_fail(err, PS_RESOURCE_EXHAUSTED, "'%s' is larger than %d bytes", path,
                     PS_STATE_FILE_MAX_BYTES);
        goto done;
    }
    PS_TRY(done, rc, ps_buf_reserve(text, (size_t)info.size_bytes + 1, err));
    PS_TRY(done, rc, file->ops->read_at(file, 0, text->data, (size_t)info.size_bytes, err));
    text->size = (size_t)info.size_bytes;
done:
    ps_files_drop(&file);
    return rc;
}

enum ps_code ps_state_read(const struct ps_files *files, const char *path,
                           struct ps_state *state_out, struct ps_error *err)
{
    struct ps_buf text = { 0 };
    *state_out = (struct ps_state){ 0 };
    enum ps_code rc = load(files, path, &text, err);
    if (rc == PS_OK) {
        rc = ps_state_parse((struct ps_span){ text.data, text.size }, state_out, err);
        if (rc != PS_OK) { (void)ps_wrap(err, "state file '%s'", path); }
    }
    ps_buf_clean(&text);
    return rc;
}

enum ps_code ps_state_write(const struct ps_files *files, const char *path,
                            const struct ps_state *state, struct ps_error *err)
{
    struct ps_buf text = { 0 };
    enum ps_code rc = ps_state_format(state, &text, err);
    if (rc == PS_OK) { rc = ps_files_replace(files, path, text.data, text.size, err); }
    ps_buf_clean(&text);
    return rc;
}

enum ps_code ps_state_resolve(const char *directory, const char *path, struct ps_path *path_out,
                              struct ps_error *err)
{
    if (path[0] == '/') { return ps_path_set(path_out, err, "%s", path); }
    return ps_path_set(path_out, err, "%s/%s", directory, path);
}

const char *ps_state_relative(const char *directory, const char *prefix)
{
    size_t size = strlen(directory);
    while (size > 1 && directory[size - 1] == '/') { size--; }
    if (strcmp(directory, ".") == 0 && prefix[0] != '/') { return prefix; }
    if (strncmp(prefix, directory, size) != 0) { return prefix; }
    const char *rest = prefix + size;
    if (*rest != '/' && size > 0 && directory[size - 1] != '/') { return prefix; }
    while (*rest == '/') { rest++; }
    return *rest == '\0' ? prefix : rest;
}

/* Whether a checkpoint is there; fills its time if that is not known. */
static enum ps_code refresh_one(const struct ps_files *files, const char *directory,
                                struct ps_state_checkpoint *checkpoint, bool *exists_out,
                                struct ps_error *err)
{
    struct ps_path prefix, index;
    struct ps_file_info info;
    struct ps_error detail = PS_ERROR_INIT;
    const struct ps_bundle_name name = { .kind = PS_BUNDLE_INDEX };
    enum ps_code rc;
    *exists_out = false;
    PS_TRY(done, rc, ps_state_resolve(directory, checkpoint->path, &prefix, err));
    PS_TRY(done, rc, ps_bundle_path(&index, prefix.text, &name, err));
    rc = ps_recover_roll_forward(files, prefix.text, &detail);
    if (rc == PS_OK) { rc = files->stat(files->ctx, index.text, &info, &detail); }
    if (rc == PS_NOT_FOUND || rc == PS_INVALID_ARGUMENT) { return PS_OK; }
    if (rc != PS_OK) {
        if (err != NULL) { *err = detail; }
        return rc;
    }
    *exists_out = true;
    if (checkpoint->timestamp_s == 0) { checkpoint->timestamp_s = info.modified_s; }
done:
    return rc;
}

enum ps_code ps_state_refresh(const struct ps_files *files, const char *directory,
                              struct ps_state *state, struct ps_error *err)
{
    size_t kept = 0;
    enum ps_code rc = PS_OK;
    for (size_t i = 0; i < state->count; i++) {
        bool exists = true;
        if (rc == PS_OK) { rc = refresh_one(files, directory, &state->all[i], &exists, err); }
        if (!exists) {
            ps_free(state->all[i].path);
            continue;
        }
        struct ps_state_checkpoint moved = state->all[i];
        state->all[kept++] = moved;
    }
    /* The list grows at powers of two: after dropping some, its end may lie below its room, and the
     * next growth then only moves it. Never the other way round. */
    state->count = kept;
    return rc;
}
