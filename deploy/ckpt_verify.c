/* paramd ckpt verify: every byte of a checkpoint read and checked. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/bundle_names.h"
#include "checkpoint/ordered_code.h"
#include "checkpoint/table_writer.h"
#include "core/alloc.h"
#include "core/exit_code.h"
#include "deploy/ckpt_priv.h"
#include "deploy/options.h"
#include "deploy/show.h"
#include "deploy/tool.h"

struct settings {
    char **wheres;
    size_t count;
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    (void)argument;
    switch (key) {
    case ARGP_KEY_ARGS:
        settings->wheres = state->argv + state->next;
        settings->count = (size_t)(state->argc - state->next);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which checkpoint? Give its prefix, or a directory for its latest");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .parser = parse,
    .args_doc = "PREFIX|DIRECTORY...",
    .doc =
        "Examples:\n"
        "  paramd ckpt verify run/model.ckpt-100\n"
        "  paramd ckpt verify run && cp run/model.ckpt-100.* /backup\n"
        "\n"
        "Reads checkpoints to the last byte: every checksum, all sizes, slices that overlap or are "
        "missing, bytes that two tensors claim."
        "\v"
        "Exit codes: 65 damaged, 66 no such checkpoint; all of them: paramd --help",
};

/* What is being verified, and what was found. */
struct check {
    const char *prefix;
    struct ps_bundle_reader *reader;
    struct psi_ckpt_index index;
    size_t problem_count;
    enum ps_code first_problem;
};

/* ---- Where things are ---- */

static struct ps_span key_of(const struct ps_bundle_row *row)
{
    return (struct ps_span){ row->key.data, row->key.size };
}

static bool is_slice(const struct ps_bundle_row *row)
{
    return row->key.size > 0 && row->key.data[0] == 0;
}

/* Whether a row has bytes of its own, rather than a list of slices. */
static bool has_bytes(const struct ps_bundle_row *row)
{
    return row->entry.slice_count == 0;
}

static const struct ps_bundle_row *find_row(const struct check *check, struct ps_span key)
{
    size_t low = 0, high = check->index.rows.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct ps_bundle_row *row = &check->index.rows.items[middle];
        int order = ps_table_key_compare(key_of(row), key);
        if (order == 0) { return row; }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* The data file of a row. */
static const char *file_of(const struct check *check, const struct ps_bundle_row *row,
                           struct ps_path *path)
{
    const struct ps_bundle_name name = { .kind = PS_BUNDLE_DATA,
                                         .shard = (uint32_t)row->entry.shard_index,
                                         .shard_count = check->index.shard_count };
    return ps_bundle_path(path, check->prefix, &name, NULL) == PS_OK ? path->text : check->prefix;
}

/* ---- Problems ---- */

static void report(struct check *check, enum ps_code code, const char *place, const char *what)
{
    if (check->problem_count++ == 0) { check->first_problem = code; }
    printf("%s: %s\n", place, what);
}

/* The slice of a tensor that a message speaks of; else the tensor itself. */
static const struct ps_bundle_row *blame(const struct check *check, const char *name,
                                         const char *message)
{
    struct ps_span key = { (const uint8_t *)name, strlen(name) };
    const struct ps_bundle_row *row = find_row(check, key);
    struct ps_buf slice_key = { 0 };
    char text[PS_BUNDLE_KEY_TEXT_BYTES];
    for (size_t i = 0; row != NULL && i < row->entry.slice_count; i++) {
        slice_key.size = 0;
        if (ps_ordered_slice_key(&slice_key, key, &row->entry.slices[i], NULL) != PS_OK) { break; }
        struct ps_span span = { slice_key.data, slice_key.size };
        const struct ps_bundle_row *slice = find_row(check, span);
        if (slice != NULL && strstr(message, ps_bundle_key_format(span, text)) != NULL) {
            row = slice;
            break;
        }
    }
    ps_buf_clean(&slice_key);
    return row;
}

/* ---- Checks ---- */

static int compare_offsets(const void *a, const void *b)
{
    const struct ps_bundle_entry *x = &(*(const struct ps_bundle_row *const *)a)->entry;
    const struct ps_bundle_entry *y = &(*(const struct ps_bundle_row *const *)b)->entry;
    if (x->shard_index != y->shard_index) { return x->shard_index < y->shard_index ? -1 : 1; }
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static void report_shared(struct check *check, const struct ps_bundle_row *a,
                          const struct ps_bundle_row *b)
{
    char what[2 * PS_BUNDLE_KEY_TEXT_BYTES + 160], one[PS_BUNDLE_KEY_TEXT_BYTES];
    char other[PS_BUNDLE_KEY_TEXT_BYTES];
    struct ps_path path;
    snprintf(what, sizeof what,
             "'%s' (bytes %" PRIu64 " to %" PRIu64 ") and '%s' (from %" PRIu64 ") overlap",
             ps_bundle_key_format(key_of(a), one), a->entry.offset,
             a->entry.offset + a->entry.size_bytes, ps_bundle_key_format(key_of(b), other),
             b->entry.offset);
    report(check, PS_DATA_LOSS, file_of(check, b, &path), what);
}

/* No byte of a data file belongs to two tensors. */
static enum ps_code check_shared_bytes(struct check *check, struct ps_error *err)
{
    size_t count = 0;
    const struct ps_bundle_rows *rows = &check->index.rows;
    const struct ps_bundle_row **sorted = ps_alloc((rows->count + 1) * sizeof *sorted);
    if (sorted == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to check %zu entries", rows->count);
    }
    for (size_t i = 0; i < rows->count; i++) {
        const struct ps_bundle_row *row = &rows->items[i];
        if (has_bytes(row) && row->entry.size_bytes > 0) { sorted[count++] = row; }
    }
    qsort(sorted, count, sizeof *sorted, compare_offsets);
    for (size_t i = 0; i + 1 < count; i++) {
        const struct ps_bundle_entry *entry = &sorted[i]->entry, *next = &sorted[i + 1]->entry;
        if (entry->shard_index == next->shard_index &&
            next->offset - entry->offset < entry->size_bytes) {
            report_shared(check, sorted[i], sorted[i + 1]);
        }
    }
    ps_free(sorted);
    return PS_OK;
}

/* Marks the slices that a tensor lists. */
static enum ps_code mark_slices(const struct check *check, const struct ps_bundle_row *tensor,
                                bool *is_listed, struct ps_error *err)
{
    struct ps_buf key = { 0 };
    enum ps_code rc = PS_OK;
    for (size_t i = 0; i < tensor->entry.slice_count; i++) {
        key.size = 0;
        PS_TRY(done, rc, ps_ordered_slice_key(&key, key_of(tensor), &tensor->entry.slices[i], err));
        const struct ps_bundle_row *slice = find_row(check, (struct ps_span){ key.data, key.size });
        if (slice != NULL) { is_listed[slice - check->index.rows.items] = true; }
    }
done:
    ps_buf_clean(&key);
    return rc;
}

/* Every slice belongs to a tensor that knows it; others would be lost without a word. */
static enum ps_code check_listed(struct check *check, struct ps_error *err)
{
    const struct ps_bundle_rows *rows = &check->index.rows;
    bool *is_listed = ps_alloc_zero(rows->count + 1, sizeof *is_listed);
    enum ps_code rc = PS_OK;
    if (is_listed == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to check slices");
    }
    for (size_t i = 0; i < rows->count; i++) {
        PS_TRY(done, rc, mark_slices(check, &rows->items[i], is_listed, err));
    }
    for (size_t i = 0; i < rows->count; i++) {
        char what[PS_BUNDLE_KEY_TEXT_BYTES + 64], text[PS_BUNDLE_KEY_TEXT_BYTES];
        if (!is_slice(&rows->items[i]) || is_listed[i]) { continue; }
        snprintf(what, sizeof what, "'%s' is stored, but no tensor lists it",
                 ps_bundle_key_format(key_of(&rows->items[i]), text));
        report(check, PS_DATA_LOSS, check->prefix, what);
    }
done:
    ps_free(is_listed);
    return rc;
}

static void check_tensors(struct check *check)
{
    for (size_t i = 0; i < ps_bundle_reader_count(check->reader); i++) {
        struct ps_bundle_info info = ps_bundle_reader_info(check->reader, i);
        struct ps_error error = PS_ERROR_INIT;
        struct ps_path path;
        if (ps_bundle_reader_verify(check->reader, info.name, &error) == PS_OK) { continue; }
        const struct ps_bundle_row *row = blame(check, info.name, error.message);
        bool has_file = row != NULL && has_bytes(row);
        report(check, error.code, has_file ? file_of(check, row, &path) : check->prefix,
               error.message);
    }
}

static void summarize(const struct check *check)
{
    char bytes[PS_SHOW_BYTES], count[PS_SHOW_BYTES];
    uint64_t total = 0;
    size_t tensors = ps_bundle_reader_count(check->reader);
    for (size_t i = 0; i < tensors; i++) {
        total += ps_bundle_reader_info(check->reader, i).size_bytes;
    }
    if (check->problem_count > 0) {
        printf("%s: %zu problem%s\n", check->prefix, check->problem_count,
               check->problem_count == 1 ? "" : "s");
        return;
    }
    printf("%s: good: %s tensors, %s in %u data file%s, every checksum matches\n", check->prefix,
           ps_show_count(tensors, count), ps_show_size(total, bytes), check->index.shard_count,
           check->index.shard_count == 1 ? "" : "s");
}

static int verify(const char *where)
{
    struct check check = { .first_problem = PS_OK };
    struct ps_error error = PS_ERROR_INIT;
    struct ps_path prefix;
    enum ps_code rc;
    PS_TRY(done, rc, psi_ckpt_open(where, &prefix, &check.reader, &error));
    check.prefix = prefix.text;
    PS_TRY(done, rc, psi_ckpt_index_read(prefix.text, &check.index, &error));
    check_tensors(&check);
    PS_TRY(done, rc, check_shared_bytes(&check, &error));
    PS_TRY(done, rc, check_listed(&check, &error));
    summarize(&check);
    rc = error.code = check.first_problem;
done:
    ps_bundle_rows_clean(&check.index.rows);
    ps_bundle_reader_close(check.reader);
    if (rc == PS_OK) { return PS_EXIT_OK; }
    return check.problem_count > 0 ? ps_tool_exit_code(rc) : ps_tool_explain(&error);
}

int psi_ckpt_verify(int argc, char **argv)
{
    struct settings settings = { .count = 0 };
    int code = PS_EXIT_OK;
    ps_options_parse(&argp, argc, argv, &settings);
    for (size_t i = 0; i < settings.count; i++) {
        int one = verify(settings.wheres[i]);
        if (code == PS_EXIT_OK) { code = one; }
    }
    return code;
}
