/* A directory: its checkpoints, leftovers of saves, and what the state file says of them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/ckpt_scan_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/bundle_names.h"
#include "checkpoint/recover.h"
#include "checkpoint/state_file.h"
#include "core/alloc.h"
#include "core/bytes.h"
#include "deploy/ckpt_priv.h"

/* A file of some checkpoint. */
struct file {
    char *prefix; /* without the directory */
    struct ps_bundle_name name;
    uint64_t size_bytes;
    double time_s;
};

struct listing {
    const char *directory;
    struct ps_buf files; /* struct file */
};

static struct file *files_of(const struct listing *listing, size_t *count_out)
{
    *count_out = listing->files.size / sizeof(struct file);
    return (struct file *)(void *)listing->files.data;
}

static void listing_clean(struct listing *listing)
{
    size_t count;
    struct file *files = files_of(listing, &count);
    for (size_t i = 0; i < count; i++) { ps_free(files[i].prefix); }
    ps_buf_clean(&listing->files);
}

/* ---- Reading the directory ---- */

/* The prefix of a file name, which may hold dots itself: each is tried. NULL: none, or no memory.
 */
static char *find_prefix(const char *file_name, struct ps_bundle_name *name_out)
{
    for (const char *dot = strchr(file_name, '.'); dot != NULL; dot = strchr(dot + 1, '.')) {
        if (dot == file_name) { continue; }
        char *prefix = ps_strdup(file_name);
        if (prefix == NULL) { return NULL; }
        prefix[dot - file_name] = '\0';
        *name_out = ps_bundle_name_parse(prefix, file_name);
        if (name_out->kind != PS_BUNDLE_OTHER) { return prefix; }
        ps_free(prefix);
    }
    return NULL;
}

static enum ps_code visit(void *ctx, const char *file_name, struct ps_error *err)
{
    struct listing *listing = ctx;
    const struct ps_files *files = ps_files_posix();
    struct file file = { .prefix = NULL };
    struct ps_file_info info;
    struct ps_path path;
    enum ps_code rc = ps_path_set(&path, err, "%s/%s", listing->directory, file_name);
    if (rc != PS_OK) { return rc; }
    file.prefix = find_prefix(file_name, &file.name);
    if (file.prefix == NULL) { return PS_OK; }
    bool is_file = files->stat(files->ctx, path.text, &info, NULL) == PS_OK && !info.is_directory;
    if (is_file) {
        file.size_bytes = info.size_bytes;
        file.time_s = info.modified_s;
        rc = ps_buf_append(&listing->files, &file, sizeof file, err);
    }
    if (!is_file || rc != PS_OK) { ps_free(file.prefix); }
    return rc;
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->prefix, ((const struct file *)b)->prefix);
}

static enum ps_code list(struct listing *listing, struct ps_error *err)
{
    const struct ps_files *files = ps_files_posix();
    enum ps_code rc = files->list(files->ctx, listing->directory, visit, listing, err);
    size_t count;
    struct file *items = files_of(listing, &count);
    if (count > 0) { qsort(items, count, sizeof *items, compare_files); }
    return rc;
}

/* Completes decided saves; what cannot be completed shows when the checkpoint is opened. Whether
 * there were any, so that the listing is out of date. */
static bool roll_forward(const struct listing *listing)
{
    size_t count;
    bool found_any = false;
    const struct file *files = files_of(listing, &count);
    for (size_t i = 0; i < count; i++) {
        struct ps_path prefix;
        if (files[i].name.kind != PS_BUNDLE_INDEX_COMMIT) { continue; }
        if (ps_path_set(&prefix, NULL, "%s/%s", listing->directory, files[i].prefix) == PS_OK) {
            (void)!ps_recover_roll_forward(ps_files_posix(), prefix.text, NULL);
        }
        found_any = true;
    }
    return found_any;
}

/* ---- What the files of one prefix are ---- */

static int64_t step_of(const char *name)
{
    const char *dash = strrchr(name, '-');
    const char *at = dash == NULL ? "" : dash + 1;
    int64_t step = 0;
    if (*at == '\0') { return -1; }
    for (; *at != '\0'; at++) {
        int digit = *at - '0';
        if (digit < 0 || digit > 9 || step > (INT64_MAX - digit) / 10) { return -1; }
        step = step * 10 + digit;
    }
    return step;
}

/* Opens the checkpoint, for what only its index knows. */
static void look_inside(const char *directory, struct psi_ckpt_found *found)
{
    struct ps_bundle_reader *reader = NULL;
    struct psi_ckpt_index index = { .shard_count = 0 };
    struct ps_error error = PS_ERROR_INIT;
    struct ps_path prefix;
    enum ps_code rc;
    PS_TRY(done, rc, ps_path_set(&prefix, &error, "%s/%s", directory, found->name));
    PS_TRY(done, rc, ps_bundle_reader_open(NULL, prefix.text, &reader, &error));
    PS_TRY(done, rc, psi_ckpt_index_read(prefix.text, &index, &error));
    found->tensor_count = ps_bundle_reader_count(reader);
    found->shard_count = index.shard_count;
done:
    if (rc != PS_OK) { snprintf(found->problem, sizeof found->problem, "%.255s", error.message); }
    ps_bundle_rows_clean(&index.rows);
    ps_bundle_reader_close(reader);
}

/* Adds up count files of one prefix: those of the checkpoint, and those that are left over. */
static void sum_files(const struct file *files, size_t count, struct psi_ckpt_found *found)
{
    uint32_t shards = 0;
    for (size_t i = 0; i < count; i++) {
        enum ps_bundle_kind kind = files[i].name.kind;
        bool is_data = kind == PS_BUNDLE_DATA && found->has_index &&
                       (found->problem[0] != '\0' ||
                        files[i].name.shard_count == found->shard_count);
        if (kind == PS_BUNDLE_INDEX) { found->time_s = files[i].time_s; }
        if (kind == PS_BUNDLE_INDEX || is_data) {
            found->size_bytes += files[i].size_bytes;
            shards += is_data;
        } else {
            found->leftover_count++;
            found->leftover_bytes += files[i].size_bytes;
        }
    }
    if (found->has_index && found->problem[0] == '\0' && shards < found->shard_count) {
        snprintf(found->problem, sizeof found->problem, "%u of %u data files are missing",
                 found->shard_count - shards, found->shard_count);
    }
}

/* ---- All prefixes ---- */

static struct psi_ckpt_found *add(struct psi_ckpt_scan *scan, const char *name,
                                  struct ps_error *err)
{
    struct psi_ckpt_found *items = ps_realloc(scan->items, (scan->count + 1) * sizeof *items);
    char *copy = ps_strdup(name);
    if (items != NULL) { scan->items = items; }
    if (items == NULL || copy == NULL) {
        ps_free(copy);
        (void)ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a directory's contents");
        return NULL;
    }
    items[scan->count] = (struct psi_ckpt_found){ .name = copy, .step = step_of(name) };
    return &items[scan->count++];
}

static enum ps_code group(const struct listing *listing, struct psi_ckpt_scan *scan,
                          struct ps_error *err)
{
    size_t count, next;
    const struct file *files = files_of(listing, &count);
    for (size_t i = 0; i < count; i = next) {
        struct psi_ckpt_found *found = add(scan, files[i].prefix, err);
        if (found == NULL) { return PS_RESOURCE_EXHAUSTED; }
        for (next = i; next < count && strcmp(files[next].prefix, found->name) == 0; next++) {
            found->has_index = found->has_index || files[next].name.kind == PS_BUNDLE_INDEX;
        }
        if (found->has_index) { look_inside(listing->directory, found); }
        sum_files(files + i, next - i, found);
    }
    return PS_OK;
}

static struct psi_ckpt_found *find(struct psi_ckpt_scan *scan, const char *path)
{
    for (size_t i = 0; i < scan->count; i++) {
        if (strcmp(scan->items[i].name, ps_path_base(path)) == 0) { return &scan->items[i]; }
    }
    return NULL;
}

/* Marks what the state file lists. Its paths may be absolute, from before the directory was moved,
 * so only names are compared. */
static enum ps_code apply_state(const char *directory, struct psi_ckpt_scan *scan,
                                struct ps_error *err)
{
    struct ps_path path;
    struct ps_state state = { 0 };
    struct ps_error detail = PS_ERROR_INIT;
    enum ps_code rc;
    PS_TRY(done, rc, ps_path_set(&path, err, "%s/checkpoint", directory));
    rc = ps_state_read(ps_files_posix(), path.text, &state, &detail);
    if (rc != PS_OK) {
        if (rc != PS_NOT_FOUND) { fprintf(stderr, "paramd: %s\n", detail.message); }
        return PS_OK;
    }
    scan->has_state = true;
    for (size_t i = 0; i < state.count; i++) {
        struct psi_ckpt_found *found = find(scan, state.all[i].path);
        if (found == NULL) { found = add(scan, ps_path_base(state.all[i].path), err); }
        if (found == NULL) {
            rc = PS_RESOURCE_EXHAUSTED;
            goto done;
        }
        found->is_listed = true;
    }
    struct psi_ckpt_found *latest = state.latest == NULL ? NULL : find(scan, state.latest);
    if (latest != NULL) { latest->is_latest = latest->is_listed = true; }
done:
    ps_state_clean(&state);
    return rc;
}

static int compare_age(const void *a, const void *b)
{
    const struct psi_ckpt_found *x = a, *y = b;
    if (x->time_s != y->time_s) { return x->time_s < y->time_s ? -1 : 1; }
    if (x->step != y->step) { return x->step < y->step ? -1 : 1; }
    return strcmp(x->name, y->name);
}

enum ps_code psi_ckpt_scan_read(const char *directory, struct psi_ckpt_scan *scan,
                                struct ps_error *err)
{
    struct listing listing = { .directory = directory };
    enum ps_code rc;
    PS_TRY(done, rc, list(&listing, err));
    if (roll_forward(&listing)) {
        listing_clean(&listing);
        PS_TRY(done, rc, list(&listing, err));
    }
    PS_TRY(done, rc, group(&listing, scan, err));
    PS_TRY(done, rc, apply_state(directory, scan, err));
    if (scan->count > 0) { qsort(scan->items, scan->count, sizeof *scan->items, compare_age); }
done:
    listing_clean(&listing);
    return rc;
}

void psi_ckpt_scan_clean(struct psi_ckpt_scan *scan)
{
    for (size_t i = 0; i < scan->count; i++) { ps_free(scan->items[i].name); }
    ps_free(scan->items);
    *scan = (struct psi_ckpt_scan){ .items = NULL };
}
