/* paramd ckpt export: a checkpoint as an .npz or .safetensors file. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/exit_code.h"
#include "deploy/archive.h"
#include "deploy/ckpt_priv.h"
#include "deploy/npz.h"
#include "deploy/options.h"
#include "deploy/safetensors_writer.h"
#include "deploy/show.h"
#include "deploy/tool.h"

/* Values pass through this much memory, however large a tensor is. */
enum { PIECE_BYTES = 4 << 20 };

enum format { FORMAT_UNKNOWN, FORMAT_NPZ, FORMAT_SAFETENSORS };

struct settings {
    enum format format;
    const char *where;
    const char *out;
    struct ps_buf wanted; /* names, each with a NUL; empty: all */
};

enum { KEY_TO = 1, KEY_TENSORS };

static const struct argp_option options[] = {
    { "to", KEY_TO, "FORMAT", 0, "npz or safetensors; default: what OUT ends in", 1 },
    { "tensors", KEY_TENSORS, "A,B,...", 0, "Only these; may be given more than once", 1 },
    { 0 },
};

static enum format parse_format(const char *text)
{
    if (strcmp(text, "npz") == 0) { return FORMAT_NPZ; }
    return strcmp(text, "safetensors") == 0 ? FORMAT_SAFETENSORS : FORMAT_UNKNOWN;
}

static void want(struct settings *settings, const char *list)
{
    while (*list != '\0') {
        size_t size = strcspn(list, ",");
        bool added = ps_buf_append(&settings->wanted, list, size, NULL) == PS_OK &&
                     ps_buf_append(&settings->wanted, "", 1, NULL) == PS_OK;
        PS_ASSERT(added); /* a command line is small */
        list += size + (list[size] == ',');
    }
}

static void check_settings(struct settings *settings, struct argp_state *state)
{
    if (settings->where == NULL || settings->out == NULL) {
        argp_error(state, "give a checkpoint and the file to write");
    }
    const char *dot = strrchr(ps_path_base(settings->out), '.');
    if (settings->format == FORMAT_UNKNOWN && dot != NULL) {
        settings->format = parse_format(dot + 1);
    }
    if (settings->format == FORMAT_UNKNOWN) {
        argp_error(state,
                   "'%s' does not end in .npz or .safetensors; say --to=npz or "
                   "--to=safetensors",
                   settings->out);
    }
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    switch (key) {
    case KEY_TO:
        settings->format = parse_format(argument);
        if (settings->format == FORMAT_UNKNOWN) {
            argp_error(state, "--to: '%s' is neither npz nor safetensors", argument);
        }
        return 0;
    case KEY_TENSORS: want(settings, argument); return 0;
    case ARGP_KEY_ARG:
        if (settings->where == NULL) {
            settings->where = argument;
        } else if (settings->out == NULL) {
            settings->out = argument;
        } else {
            argp_error(state, "one checkpoint and one file at a time: '%s'", argument);
        }
        return 0;
    case ARGP_KEY_END: check_settings(settings, state); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "PREFIX|DIRECTORY OUT",
    .doc =
        "Examples:\n"
        "  paramd ckpt export run/model.ckpt-100 weights.npz\n"
        "  paramd ckpt export --to=safetensors run model.safetensors --tensors=w,b\n"
        "\n"
        "Writes tensors for numpy.load or for the safetensors package, partitioned ones as a "
        "whole. "
        "Tensors of strings and of types that no variable has are left out, with a note. NumPy has "
        "no bfloat16: in an .npz such a tensor has the type '<V2', as ml_dtypes saves it; "
        "a.view(ml_dtypes.bfloat16) makes numbers of it."
        "\v"
        "Exit codes: 65 damaged, 66 no such checkpoint or tensor, 203 no space; all of them: "
        "paramd "
        "--help",
};

/* ---- What to write ---- */

static void note(const struct settings *settings, const struct ps_bundle_info *info,
                 size_t *skipped)
{
    if (info->dtype == PS_STRING) {
        fprintf(stderr, "paramd: note: '%s' holds strings; left out\n", info->name);
        ++*skipped;
    } else if (ps_dtype_size((enum ps_dtype)info->dtype) == 0) {
        fprintf(stderr, "paramd: note: '%s' has the type %s, which no variable has; left out\n",
                info->name, ps_dtype_name(info->dtype));
        ++*skipped;
    } else if (info->dtype == PS_BFLOAT16 && settings->format == FORMAT_NPZ) {
        fprintf(stderr,
                "paramd: NOTE: '%s' is bfloat16, which NumPy has not: its type in the file is "
                "'<V2'. For numbers: a.view(ml_dtypes.bfloat16), for bits: a.view('<u2')\n",
                info->name);
    }
}

static enum ps_code add(struct ps_archive_list *tensors, const struct ps_bundle_info *info,
                        struct ps_error *err)
{
    const struct ps_archive_tensor tensor = { .name = (char *)(uintptr_t)info->name, /* copied */
                                              .dtype = (enum ps_dtype)info->dtype,
                                              .shape = info->shape };
    return ps_archive_list_add(tensors, &tensor, err);
}

/* All that can be written; skipped_out counts the rest. */
static enum ps_code choose_all(const struct settings *settings,
                               const struct ps_bundle_reader *reader,
                               struct ps_archive_list *tensors, size_t *skipped_out,
                               struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    for (size_t i = 0; rc == PS_OK && i < ps_bundle_reader_count(reader); i++) {
        struct ps_bundle_info info = ps_bundle_reader_info(reader, i);
        note(settings, &info, skipped_out);
        if (ps_dtype_size((enum ps_dtype)info.dtype) > 0) { rc = add(tensors, &info, err); }
    }
    return rc;
}

static bool is_chosen(const struct ps_archive_list *tensors, const char *name)
{
    for (size_t i = 0; i < tensors->count; i++) {
        if (strcmp(tensors->items[i].name, name) == 0) { return true; }
    }
    return false;
}

/* The named ones, each of which must be possible. */
static enum ps_code choose_wanted(const struct settings *settings,
                                  const struct ps_bundle_reader *reader,
                                  struct ps_archive_list *tensors, struct ps_error *err)
{
    const char *name = (const char *)settings->wanted.data;
    const char *end = name + settings->wanted.size;
    for (; name < end; name += strlen(name) + 1) {
        struct ps_bundle_info info;
        size_t skipped = 0;
        enum ps_code rc = psi_ckpt_find(reader, name, &info, err);
        if (rc != PS_OK) { return rc; }
        if (is_chosen(tensors, info.name)) { continue; }
        if (ps_dtype_size((enum ps_dtype)info.dtype) == 0) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "'%s' has the type %s, which cannot be exported", info.name,
                           ps_dtype_name(info.dtype));
        }
        note(settings, &info, &skipped);
        rc = add(tensors, &info, err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

/* ---- Writing it ---- */

static enum ps_code write_tensor(struct ps_bundle_reader *reader,
                                 const struct ps_archive_tensor *tensor, uint8_t *piece,
                                 struct ps_archive_writer *writer, struct ps_error *err)
{
    int width = ps_dtype_size(tensor->dtype);
    struct psi_ckpt_walk walk;
    struct ps_slice box;
    int64_t count;
    enum ps_code rc = ps_bundle_reader_expect(reader, tensor->name, tensor->dtype, &tensor->shape,
                                              err);
    psi_ckpt_walk_init(&walk, &tensor->shape, PIECE_BYTES / width);
    while (rc == PS_OK && psi_ckpt_walk_next(&walk, &box, &count)) {
        const struct ps_bundle_request request = { .name = tensor->name,
                                                   .dtype = tensor->dtype,
                                                   .slice = &box };
        size_t size = (size_t)(count * width);
        rc = ps_bundle_reader_read(reader, &request, piece, size, err);
        if (rc == PS_OK) { rc = writer->ops->append(writer, piece, size, err); }
    }
    return rc;
}

static enum ps_code write_tensors(struct ps_bundle_reader *reader,
                                  const struct ps_archive_list *tensors,
                                  struct ps_archive_writer *writer, struct ps_error *err)
{
    enum ps_code rc;
    uint8_t *piece = ps_alloc(PIECE_BYTES);
    if (piece == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to export"); }
    for (size_t i = 0; i < tensors->count; i++) {
        PS_TRY(done, rc, writer->ops->begin(writer, i, err));
        PS_TRY(done, rc, write_tensor(reader, &tensors->items[i], piece, writer, err));
        PS_TRY(done, rc, writer->ops->end(writer, err));
    }
    PS_TRY(done, rc, writer->ops->finish(writer, err));
done:
    ps_free(piece);
    return rc;
}

static void summarize(const struct settings *settings, const struct ps_archive_list *tensors,
                      size_t skipped)
{
    char bytes[PS_SHOW_BYTES], left_out[64] = "";
    uint64_t total = 0;
    for (size_t i = 0; i < tensors->count; i++) {
        total += ps_archive_size_bytes(&tensors->items[i]);
    }
    if (skipped > 0) { snprintf(left_out, sizeof left_out, "; %zu left out", skipped); }
    fprintf(stderr, "wrote %s: %zu tensors, %s%s\n", settings->out, tensors->count,
            ps_show_size(total, bytes), left_out);
}

static enum ps_code export(const struct settings *settings, struct ps_bundle_reader *reader,
                           struct ps_error *err) {
    struct ps_archive_list tensors = { .items = NULL }; struct ps_archive_writer *writer = NULL;
    size_t skipped = 0; enum ps_code rc; if (settings->wanted.size > 0){
        PS_TRY(done, rc, choose_wanted(settings, reader, &tensors, err)); }
else
{
    PS_TRY(done, rc, choose_all(settings, reader, &tensors, &skipped, err));
}
rc = settings->format == FORMAT_NPZ
         ? ps_npz_writer_create(settings->out, &tensors, NULL, &writer, err)
         : ps_safetensors_writer_create(settings->out, &tensors, &writer, err);
if (rc != PS_OK) { goto done; }
PS_TRY(done, rc, write_tensors(reader, &tensors, writer, err));
summarize(settings, &tensors, skipped);
done : if (writer != NULL)
{
    writer->ops->destroy(writer);
}
ps_archive_list_clean(&tensors);
return rc;
}

int psi_ckpt_export(int argc, char **argv)
{
    struct settings settings = { .format = FORMAT_UNKNOWN };
    struct ps_error error = PS_ERROR_INIT;
    struct ps_bundle_reader *reader = NULL;
    struct ps_path prefix;
    ps_options_parse(&argp, argc, argv, &settings);
    enum ps_code rc = psi_ckpt_open(settings.where, &prefix, &reader, &error);
    if (rc == PS_OK) { rc = export(&settings, reader, &error); }
    ps_bundle_reader_close(reader);
    ps_buf_clean(&settings.wanted);
    return rc == PS_OK ? PS_EXIT_OK : ps_tool_explain(&error);
}
