/* paramd ckpt import: an .npz or .safetensors file as a checkpoint. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/bundle_names.h"
#include "checkpoint/bundle_writer.h"
#include "core/alloc.h"
#include "core/exit_code.h"
#include "deploy/archive.h"
#include "deploy/ckpt_priv.h"
#include "deploy/npz.h"
#include "deploy/options.h"
#include "deploy/safetensors_reader.h"
#include "deploy/show.h"
#include "deploy/tool.h"

struct settings {
    const char *in;
    const char *prefix;
    bool force;
};

enum { KEY_FORCE = 1 };

static const struct argp_option options[] = {
    { "force", KEY_FORCE, NULL, 0, "Replaces a checkpoint of that prefix", 1 },
    { 0 },
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    switch (key) {
    case KEY_FORCE: settings->force = true; return 0;
    case ARGP_KEY_ARG:
        if (settings->in == NULL) {
            settings->in = argument;
        } else if (settings->prefix == NULL) {
            settings->prefix = argument;
        } else {
            argp_error(state, "one file and one checkpoint at a time: '%s'", argument);
        }
        return 0;
    case ARGP_KEY_END:
        if (settings->prefix == NULL) {
            argp_error(state, "give a file and a checkpoint's prefix");
        }
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "IN PREFIX",
    .doc =
        "Examples:\n"
        "  paramd ckpt import weights.npz run/model.ckpt-0\n"
        "  paramd ckpt import model.safetensors run/model.ckpt-0 --force\n"
        "\n"
        "Makes a checkpoint of the arrays in a file of numpy.savez, numpy.savez_compressed or the "
        "safetensors package, sorted by name, as TensorFlow's Saver would write them. The whole "
        "file "
        "is checked before anything is written. The directory's state file stays as it is."
        "\v"
        "Exit codes: 65 a damaged file, a type that no variable has, or the checkpoint exists, 66 "
        "no "
        "such file, 203 no space; all of them: paramd --help",
};

/* ---- Opening ---- */

/* The format shows in the first bytes: every member of a zip file, and its end, begins with PK. */
static enum ps_code open_archive(const char *path, struct ps_archive_reader **archive_out,
                                 struct ps_error *err)
{
    const struct ps_files *files = ps_files_posix();
    struct ps_file *file = NULL;
    char start[2] = "";
    *archive_out = NULL;
    enum ps_code rc = files->open(files->ctx, path, &file, err);
    if (rc != PS_OK) { return rc; }
    /* A file of less than two bytes is neither, which the reader says better. */
    (void)!file->ops->read_at(file, 0, start, sizeof start, NULL);
    ps_files_drop(&file);
    return memcmp(start, "PK", sizeof start) == 0
               ? ps_npz_reader_open(path, archive_out, err)
               : ps_safetensors_reader_open(path, archive_out, err);
}

/* ---- Checking ---- */

/* Tensors in the order of their names, as indices. */
struct order {
    const struct ps_archive_tensor *tensors;
    size_t *indices;
    size_t count;
};

static int compare_names(const void *a, const void *b, void *ctx)
{
    const struct ps_archive_tensor *tensors = ctx;
    return strcmp(tensors[*(const size_t *)a].name, tensors[*(const size_t *)b].name);
}

static enum ps_code sort(const struct ps_archive_reader *archive, const char *path,
                         struct order *order, struct ps_error *err)
{
    struct ps_archive_tensor *tensors = archive->tensors.items;
    size_t count = archive->tensors.count;
    if (count == 0) { return ps_fail(err, PS_INVALID_ARGUMENT, "'%s' holds no tensors", path); }
    *order = (struct order){ tensors, ps_alloc(count * sizeof *order->indices), count };
    if (order->indices == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for %zu tensors", count);
    }
    for (size_t i = 0; i < count; i++) { order->indices[i] = i; }
    qsort_r(order->indices, count, sizeof *order->indices, compare_names, tensors);
    for (size_t i = 0; i + 1 < count; i++) {
        const char *name = tensors[order->indices[i]].name;
        if (strcmp(name, tensors[order->indices[i + 1]].name) == 0) {
            return ps_fail(err, PS_INVALID_ARGUMENT, "'%s' holds '%s' twice", path, name);
        }
    }
    return PS_OK;
}

/* TensorFlow stores a bool as 0 or 1 and nothing else; what it does with others is undefined. */
static enum ps_code check_piece(void *ctx, const void *data, size_t size, struct ps_error *err)
{
    const struct ps_archive_tensor *tensor = ctx;
    const uint8_t *bytes = data;
    for (size_t i = 0; tensor->dtype == PS_BOOL && i < size; i++) {
        if (bytes[i] <= 1) { continue; }
        return ps_fail(err, PS_DATA_LOSS, "'%s' is of bools, but holds the byte %d", tensor->name,
                       bytes[i]);
    }
    return PS_OK;
}

static enum ps_code check_values(struct ps_archive_reader *archive, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    for (size_t i = 0; rc == PS_OK && i < archive->tensors.count; i++) {
        rc = archive->ops->stream(archive, i, check_piece, &archive->tensors.items[i], err);
    }
    return rc;
}

/* A save that was decided counts as one that is there. */
static enum ps_code check_prefix(const struct settings *settings, struct ps_error *err)
{
    struct ps_bundle_reader *reader;
    enum ps_code rc = ps_bundle_prefix_check(settings->prefix, err);
    if (rc != PS_OK || settings->force) { return rc; }
    rc = ps_bundle_reader_open(NULL, settings->prefix, &reader, NULL);
    ps_bundle_reader_close(reader);
    if (rc == PS_NOT_FOUND) { return PS_OK; }
    return ps_fail(err, PS_ALREADY_EXISTS, "there is a checkpoint '%s'; say --force to replace it",
                   settings->prefix);
}

/* ---- Writing ---- */

static enum ps_code write_piece(void *ctx, const void *data, size_t size, struct ps_error *err)
{
    return ps_bundle_part_append(ctx, data, size, err);
}

static enum ps_code write_tensors(struct ps_archive_reader *archive, const struct order *order,
                                  struct ps_bundle_writer *writer, struct ps_error *err)
{
    struct ps_bundle_part *part = ps_bundle_writer_part(writer);
    enum ps_code rc;
    for (size_t i = 0; i < order->count; i++) {
        size_t index = order->indices[i];
        const struct ps_archive_tensor *from = &order->tensors[index];
        const struct ps_bundle_tensor tensor = { .name = from->name,
                                                 .dtype = from->dtype,
                                                 .shape = from->shape };
        PS_TRY(done, rc, ps_bundle_part_begin(part, &tensor, err));
        PS_TRY(done, rc, archive->ops->stream(archive, index, write_piece, part, err));
        PS_TRY(done, rc, ps_bundle_part_end(part, err));
    }
    PS_TRY(done, rc, ps_bundle_writer_finish(writer, err));
done:
    return rc;
}

static enum ps_code import(const struct settings *settings, struct ps_error *err)
{
    struct ps_archive_reader *archive = NULL;
    struct ps_bundle_writer *writer = NULL;
    struct order order = { .indices = NULL };
    char bytes[PS_SHOW_BYTES];
    enum ps_code rc;
    PS_TRY(done, rc, open_archive(settings->in, &archive, err));
    PS_TRY(done, rc, sort(archive, settings->in, &order, err));
    PS_TRY(done, rc, check_values(archive, err));
    PS_TRY(done, rc, check_prefix(settings, err));
    PS_TRY(done, rc, ps_bundle_writer_create(settings->prefix, NULL, &writer, err));
    PS_TRY(done, rc, write_tensors(archive, &order, writer, err));
    uint64_t total = ps_bundle_part_size_bytes(ps_bundle_writer_part(writer));
    fprintf(stderr, "wrote %s: %zu tensors, %s\n", settings->prefix, order.count,
            ps_show_size(total, bytes));
done:
    ps_bundle_writer_destroy(writer);
    ps_free(order.indices);
    if (archive != NULL) { archive->ops->close(archive); }
    return rc;
}

int psi_ckpt_import(int argc, char **argv)
{
    struct settings settings = { .in = NULL };
    struct ps_error error = PS_ERROR_INIT;
    ps_options_parse(&argp, argc, argv, &settings);
    return import(&settings, &error) == PS_OK ? PS_EXIT_OK : ps_tool_explain(&error);
}
