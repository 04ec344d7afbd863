/* Roll forward, sweep and remove: everything that reads a directory and puts it in order. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/recover.h"

#include <string.h>

#include "checkpoint/bundle_entry.h"
#include "checkpoint/bundle_names.h"
#include "checkpoint/files.h"
#include "checkpoint/table_reader.h"
#include "core/log.h"

/* The files of one prefix. */
struct scan {
    const struct ps_files *files;
    const char *prefix;
    struct ps_path directory;
    struct ps_buf names; /* struct ps_bundle_name each */
};

static const struct ps_bundle_name *scan_names(const struct scan *scan, size_t *count_out)
{
    *count_out = scan->names.size / sizeof(struct ps_bundle_name);
    return (const struct ps_bundle_name *)(const void *)scan->names.data;
}

static enum ps_code scan_visit(void *visit_ctx, const char *file_name, struct ps_error *err)
{
    struct scan *scan = visit_ctx;
    struct ps_path path;
    struct ps_bundle_name name = ps_bundle_name_parse(scan->prefix, file_name);
    if (name.kind == PS_BUNDLE_OTHER) { return PS_OK; }
    enum ps_code rc = ps_bundle_path(&path, scan->prefix, &name, err);
    if (rc != PS_OK) { return rc; }
    /* "data-0000001-of-00002" parses, but nobody of us writes it: leave it alone. */
    if (strcmp(ps_path_base(path.text), file_name) != 0) { return PS_OK; }
    return ps_buf_append(&scan->names, &name, sizeof name, err);
}

static enum ps_code scan_init(struct scan *scan, const struct ps_files *files, const char *prefix,
                              struct ps_error *err)
{
    enum ps_code rc;
    *scan = (struct scan){ .files = files, .prefix = prefix };
    PS_TRY(done, rc, ps_bundle_prefix_check(prefix, err));
    ps_path_directory(prefix, &scan->directory);
    PS_TRY(done, rc, files->list(files->ctx, scan->directory.text, scan_visit, scan, err));
done:
    return rc;
}

static void scan_clean(struct scan *scan)
{
    ps_buf_clean(&scan->names);
}

static enum ps_code sync_directory(const struct scan *scan, struct ps_error *err)
{
    return scan->files->sync_dir(scan->files->ctx, scan->directory.text, err);
}

static bool exists(const struct scan *scan, const struct ps_bundle_name *name)
{
    struct ps_path path;
    struct ps_file_info info;
    return ps_bundle_path(&path, scan->prefix, name, NULL) == PS_OK &&
           scan->files->stat(scan->files->ctx, path.text, &info, NULL) != PS_NOT_FOUND;
}

/* The header of an index file. */
static enum ps_code read_header(const struct scan *scan, const struct ps_bundle_name *name,
                                struct ps_bundle_header *header, struct ps_error *err)
{
    struct ps_path path;
    struct ps_file *file = NULL;
    struct ps_table_reader *reader = NULL;
    struct ps_span key, value;
    bool has_entry;
    enum ps_code rc;
    PS_TRY(done, rc, ps_bundle_path(&path, scan->prefix, name, err));
    PS_TRY(done, rc, scan->files->open(scan->files->ctx, path.text, &file, err));
    PS_TRY(done, rc, ps_table_reader_create(file, path.text, &reader, err));
    PS_TRY(done, rc, ps_table_reader_next(reader, &key, &value, &has_entry, err));
    if (!has_entry || key.size != 0) {
        rc = ps_fail(err, PS_DATA_LOSS, "'%s' has no header", path.text);
        goto done;
    }
    PS_TRY(done, rc, ps_bundle_header_decode(value, header, err));
done:
    ps_table_reader_destroy(reader);
    ps_files_drop(&file);
    return rc;
}

/* A rename that someone else may have done already. */
static enum ps_code rename_once(const struct scan *scan, const struct ps_bundle_name *from,
                                const struct ps_bundle_name *to, struct ps_error *err)
{
    struct ps_path from_path, to_path;
    struct ps_error detail = PS_ERROR_INIT;
    enum ps_code rc = ps_bundle_path(&from_path, scan->prefix, from, err);
    if (rc == PS_OK) { rc = ps_bundle_path(&to_path, scan->prefix, to, err); }
    if (rc != PS_OK) { return rc; }
    rc = scan->files->rename(scan->files->ctx, from_path.text, to_path.text, &detail);
    if (rc == PS_NOT_FOUND) { return PS_OK; }
    if (rc != PS_OK && err != NULL) { *err = detail; }
    return rc;
}

static struct ps_bundle_name shard_name(enum ps_bundle_kind kind, uint32_t shard,
                                        uint32_t shard_count, uint64_t id)
{
    return (struct ps_bundle_name){
        .kind = kind, .id = id, .shard = shard, .shard_count = shard_count
    };
}

/* DATA_LOSS unless every data file of the marker is there, under either name. */
static enum ps_code check_shards(const struct scan *scan, uint64_t id, uint32_t shard_count,
                                 struct ps_error *err)
{
    for (uint32_t i = 0; i < shard_count; i++) {
        struct ps_bundle_name from = shard_name(PS_BUNDLE_DATA_TEMPORARY, i, shard_count, id);
        struct ps_bundle_name to = shard_name(PS_BUNDLE_DATA, i, shard_count, 0);
        if (exists(scan, &from) || exists(scan, &to)) { continue; }
        return ps_fail(err, PS_DATA_LOSS, "data file %u of %u is missing", i, shard_count);
    }
    return PS_OK;
}

static enum ps_code roll_one(const struct scan *scan, const struct ps_bundle_name *marker,
                             struct ps_error *err)
{
    enum ps_code rc;
    struct ps_bundle_header header;
    struct ps_bundle_name index = { .kind = PS_BUNDLE_INDEX };
    PS_TRY(done, rc, read_header(scan, marker, &header, err));
    uint32_t shard_count = (uint32_t)header.shard_count;
    PS_TRY(done, rc, check_shards(scan, marker->id, shard_count, err));
    for (uint32_t i = 0; i < shard_count; i++) {
        struct ps_bundle_name from = shard_name(PS_BUNDLE_DATA_TEMPORARY, i, shard_count,
                                                marker->id);
        struct ps_bundle_name to = shard_name(PS_BUNDLE_DATA, i, shard_count, 0);
        PS_TRY(done, rc, rename_once(scan, &from, &to, err));
    }
    PS_TRY(done, rc, sync_directory(scan, err));
    PS_TRY(done, rc, rename_once(scan, marker, &index, err));
    PS_TRY(done, rc, sync_directory(scan, err));
done:
    return rc;
}

static enum ps_code roll_scanned(const struct scan *scan, struct ps_error *err)
{
    size_t count;
    const struct ps_bundle_name *names = scan_names(scan, &count);
    for (size_t i = 0; i < count; i++) {
        struct ps_error detail = PS_ERROR_INIT;
        if (names[i].kind != PS_BUNDLE_INDEX_COMMIT) { continue; }
        enum ps_code rc = roll_one(scan, &names[i], &detail);
        bool is_gone = !exists(scan, &names[i]); /* by us, or by a faster one */
        if (rc == PS_OK || is_gone) { continue; }
        if (rc == PS_DATA_LOSS) {
            ps_log(PS_LOG_WARN, "recover", "%s: an unfinished save is damaged and ignored: %s",
                   scan->prefix, detail.message);
        } else {
            if (err != NULL) { *err = detail; }
            return rc;
        }
    }
    return PS_OK;
}

enum ps_code ps_recover_roll_forward(const struct ps_files *files, const char *prefix,
                                     struct ps_error *err)
{
    struct scan scan;
    enum ps_code rc = scan_init(&scan, files, prefix, err);
    if (rc == PS_OK) { rc = roll_scanned(&scan, err); }
    scan_clean(&scan);
    return rc;
}

static enum ps_code remove_name(const struct scan *scan, const struct ps_bundle_name *name,
                                struct ps_error *err)
{
    struct ps_path path;
    enum ps_code rc = ps_bundle_path(&path, scan->prefix, name, err);
    return rc == PS_OK ? ps_files_remove(scan->files, path.text, err) : rc;
}

static enum ps_code remove_kind(const struct scan *scan, enum ps_bundle_kind kind,
                                struct ps_error *err)
{
    size_t count;
    const struct ps_bundle_name *names = scan_names(scan, &count);
    for (size_t i = 0; i < count; i++) {
        if (names[i].kind != kind) { continue; }
        enum ps_code rc = remove_name(scan, &names[i], err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

static bool has_kind(const struct scan *scan, enum ps_bundle_kind kind)
{
    size_t count;
    const struct ps_bundle_name *names = scan_names(scan, &count);
    for (size_t i = 0; i < count; i++) {
        if (names[i].kind == kind) { return true; }
    }
    return false;
}

/* Data files of a checkpoint that was replaced by one of another shard count. */
static enum ps_code remove_stale(const struct scan *scan, struct ps_error *err)
{
    size_t count;
    struct ps_bundle_header header;
    const struct ps_bundle_name index = { .kind = PS_BUNDLE_INDEX };
    const struct ps_bundle_name *names = scan_names(scan, &count);
    if (read_header(scan, &index, &header, NULL) != PS_OK) { return PS_OK; }
    for (size_t i = 0; i < count; i++) {
        bool is_stale = names[i].kind == PS_BUNDLE_DATA &&
                        names[i].shard_count != (uint32_t)header.shard_count;
        if (!is_stale) { continue; }
        enum ps_code rc = remove_name(scan, &names[i], err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

/* The removal's marker is there: data first, then the marker. */
static enum ps_code finish_removal(const struct scan *scan, struct ps_error *err)
{
    enum ps_code rc;
    /* An index beside the marker: the prefix was saved again, and the data files are its own. */
    if (!has_kind(scan, PS_BUNDLE_INDEX)) {
        PS_TRY(done, rc, remove_kind(scan, PS_BUNDLE_DATA, err));
        PS_TRY(done, rc, sync_directory(scan, err));
    }
    PS_TRY(done, rc, remove_kind(scan, PS_BUNDLE_INDEX_REMOVED, err));
done:
    return rc;
}

enum ps_code ps_recover_sweep(const struct ps_files *files, const char *prefix,
                              struct ps_error *err)
{
    struct scan scan;
    enum ps_code rc = ps_recover_roll_forward(files, prefix, err);
    if (rc != PS_OK) { return rc; }
    PS_TRY(done, rc, scan_init(&scan, files, prefix, err));
    if (has_kind(&scan, PS_BUNDLE_INDEX_REMOVED)) { PS_TRY(done, rc, finish_removal(&scan, err)); }
    PS_TRY(done, rc, remove_kind(&scan, PS_BUNDLE_INDEX_COMMIT, err)); /* damaged ones only */
    PS_TRY(done, rc, remove_kind(&scan, PS_BUNDLE_INDEX_TEMPORARY, err));
    PS_TRY(done, rc, remove_kind(&scan, PS_BUNDLE_DATA_TEMPORARY, err));
    PS_TRY(done, rc, remove_kind(&scan, PS_BUNDLE_PART_TEMPORARY, err));
    PS_TRY(done, rc, remove_stale(&scan, err));
done:
    scan_clean(&scan);
    return rc;
}

void ps_recover_drop_save(const struct ps_files *files, const char *prefix, uint64_t id)
{
    static const enum ps_bundle_kind kinds[] = { PS_BUNDLE_INDEX_TEMPORARY,
                                                 PS_BUNDLE_DATA_TEMPORARY,
                                                 PS_BUNDLE_PART_TEMPORARY };
    struct scan scan;
    size_t count;
    if (scan_init(&scan, files, prefix, NULL) != PS_OK) { goto done; }
    const struct ps_bundle_name *names = scan_names(&scan, &count);
    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
        for (size_t i = 0; i < count; i++) {
            if (names[i].kind != kinds[kind] || names[i].id != id) { continue; }
            (void)!remove_name(&scan, &names[i], NULL);
        }
    }
done:
    scan_clean(&scan);
}

struct collect {
    const char *directory;
    struct ps_buf prefixes; /* struct ps_path each */
};

/* The length of PREFIX in PREFIX.data-NNNNN-of-NNNNN, 0 for any other name: a prefix that was saved
 * again with another number of shards may have data files of both. */
static size_t data_prefix(const char *file_name)
{
    size_t size = 0;
    for (const char *at = file_name; (at = strstr(at, ".data-")) != NULL; at++) {
        size = (size_t)(at - file_name);
    }
    struct ps_path prefix;
    if (size == 0 || ps_path_set(&prefix, NULL, "%.*s", (int)size, file_name) != PS_OK) {
        return 0;
    }
    return ps_bundle_name_parse(prefix.text, file_name).kind == PS_BUNDLE_DATA ? size : 0;
}

static enum ps_code collect_visit(void *visit_ctx, const char *file_name, struct ps_error *err)
{
    struct collect *collect = visit_ctx;
    struct ps_path prefix;
    size_t size = ps_bundle_leftover_prefix(file_name);
    if (size == 0) { size = data_prefix(file_name); }
    if (size == 0) { return PS_OK; }
    enum ps_code rc = ps_path_set(&prefix, err, "%s/%.*s", collect->directory, (int)size,
                                  file_name);
    if (rc != PS_OK) { return rc; }
    size_t count = collect->prefixes.size / sizeof prefix;
    const struct ps_path *known = (const struct ps_path *)(const void *)collect->prefixes.data;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(known[i].text, prefix.text) == 0) { return PS_OK; }
    }
    return ps_buf_append(&collect->prefixes, &prefix, sizeof prefix, err);
}

enum ps_code ps_recover_directory(const struct ps_files *files, const char *directory,
                                  struct ps_error *err)
{
    enum ps_code rc;
    struct collect collect = { .directory = directory };
    PS_TRY(done, rc, files->list(files->ctx, directory, collect_visit, &collect, err));
    for (size_t at = 0; at < collect.prefixes.size; at += sizeof(struct ps_path)) {
        const struct ps_path *prefix =
            (const struct ps_path *)(const void *)(collect.prefixes.data + at);
        PS_TRY(done, rc, ps_recover_sweep(files, prefix->text, err));
    }
done:
    ps_buf_clean(&collect.prefixes);
    return rc;
}

enum ps_code ps_recover_remove(const struct ps_files *files, const char *prefix,
                               struct ps_error *err)
{
    struct scan scan;
    struct ps_path index, removed;
    const struct ps_bundle_name from = { .kind = PS_BUNDLE_INDEX };
    const struct ps_bundle_name to = { .kind = PS_BUNDLE_INDEX_REMOVED };
    enum ps_code rc = ps_recover_roll_forward(files, prefix, err);
    if (rc != PS_OK) { return rc; }
    PS_TRY(done, rc, scan_init(&scan, files, prefix, err));
    PS_TRY(done, rc, ps_bundle_path(&index, prefix, &from, err));
    PS_TRY(done, rc, ps_bundle_path(&removed, prefix, &to, err));
    PS_TRY(done, rc, files->rename(files->ctx, index.text, removed.text, err));
    PS_TRY(done, rc, sync_directory(&scan, err));
    scan_clean(&scan);
    PS_TRY(done, rc, scan_init(&scan, files, prefix, err));
    PS_TRY(done, rc, finish_removal(&scan, err));
done:
    scan_clean(&scan);
    return rc;
}
