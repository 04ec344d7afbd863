/* Opening a checkpoint: index into memory, data files opened, questions about it answered. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/bundle_reader.h"

#include <string.h>

#include "checkpoint/bundle_names.h"
#include "checkpoint/bundle_reader_priv.h"
#include "checkpoint/files.h"
#include "checkpoint/recover.h"
#include "checkpoint/table_reader.h"
#include "checkpoint/table_writer.h"
#include "core/alloc.h"

/* A checkpoint replaced so often while it is opened belongs to someone who does nothing else. */
enum { OPEN_ATTEMPTS = 16 };

static struct ps_span span_of(const struct ps_buf *buf)
{
    return (struct ps_span){ .data = buf->data, .size = buf->size };
}

/* ---- the index ---- */

static enum ps_code check_key(struct ps_span key, struct ps_error *err)
{
    char text[PS_BUNDLE_KEY_TEXT_BYTES];
    struct ps_slice slice;
    struct ps_buf name = { 0 };
    if (key.data[0] == 0) {
        enum ps_code rc = ps_ordered_slice_key_parse(key, &name, &slice, err);
        ps_buf_clean(&name);
        return rc;
    }
    if (memchr(key.data, 0, key.size) == NULL && key.size <= PS_BUNDLE_NAME_BYTES_MAX) {
        return PS_OK;
    }
    return ps_fail(err, PS_DATA_LOSS, "the name '%s' holds a NUL byte or is longer than %d bytes",
                   ps_bundle_key_format(key, text), PS_BUNDLE_NAME_BYTES_MAX);
}

static enum ps_code take_row(struct ps_bundle_reader *reader, struct ps_span key,
                             struct ps_span value, size_t *budget, struct ps_error *err)
{
    char text[PS_BUNDLE_KEY_TEXT_BYTES];
    struct ps_bundle_entry entry = { 0 };
    enum ps_code rc;
    PS_TRY(fail, rc, check_key(key, err));
    PS_TRY(fail, rc, ps_bundle_entry_decode(value, &entry, err));
    /* Twice what is counted: arrays grow by doubling. */
    size_t need = 2 * (sizeof(struct ps_bundle_row) + key.size +
                       entry.slice_count * sizeof(struct ps_slice));
    if (need > *budget) {
        rc = ps_fail(err, PS_RESOURCE_EXHAUSTED, "the index needs more than %d bytes of memory",
                     PS_BUNDLE_INDEX_BUDGET_BYTES);
        goto fail;
    }
    *budget -= need;
    return ps_bundle_rows_add(&reader->rows, key, &entry, err);
fail:
    ps_bundle_entry_clean(&entry);
    (void)ps_wrap(err, "entry '%s'", ps_bundle_key_format(key, text));
    return rc;
}

static enum ps_code read_rows(struct ps_bundle_reader *reader, struct ps_table_reader *table,
                              struct ps_error *err)
{
    struct ps_span key, value;
    bool has_entry;
    size_t budget = PS_BUNDLE_INDEX_BUDGET_BYTES;
    struct ps_bundle_header header;
    enum ps_code rc;
    PS_TRY(done, rc, ps_table_reader_next(table, &key, &value, &has_entry, err));
    if (!has_entry || key.size != 0) {
        return ps_fail(err, PS_DATA_LOSS, "'%s.index' has no header", reader->prefix);
    }
    PS_TRY(done, rc, ps_bundle_header_decode(value, &header, err));
    reader->shard_count = (uint32_t)header.shard_count;
    for (;;) {
        PS_TRY(done, rc, ps_table_reader_next(table, &key, &value, &has_entry, err));
        if (!has_entry) { return PS_OK; }
        PS_TRY(done, rc, take_row(reader, key, value, &budget, err));
    }
done:
    return rc;
}

/* The rows that are tensors, and one state a row. */
static enum ps_code list_tensors(struct ps_bundle_reader *reader, struct ps_error *err)
{
    size_t count = reader->rows.count;
    if (count == 0) { return PS_OK; }
    reader->states = ps_alloc_zero(count, sizeof *reader->states);
    reader->tensors = ps_alloc_zero(count, sizeof *reader->tensors);
    if (reader->states == NULL || reader->tensors == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for the index of '%s'",
                       reader->prefix);
    }
    for (size_t i = 0; i < count; i++) {
        if (reader->rows.items[i].key.data[0] == 0) { continue; }
        reader->tensors[reader->tensor_count++] = i;
    }
    return PS_OK;
}

static enum ps_code read_index(struct ps_bundle_reader *reader, struct ps_file *file,
                               const char *path, struct ps_error *err)
{
    struct ps_table_reader *table = NULL;
    enum ps_code rc;
    PS_TRY(done, rc, ps_table_reader_create(file, path, &table, err));
    rc = read_rows(reader, table, err);
    if (rc != PS_OK) {
        (void)ps_wrap(err, "checkpoint '%s'", reader->prefix);
        goto done;
    }
    PS_TRY(done, rc, list_tensors(reader, err));
done:
    ps_table_reader_destroy(table);
    return rc;
}

/* ---- the data files ---- */

static enum ps_code open_shard(struct ps_bundle_reader *reader, const struct ps_files *files,
                               uint32_t shard, struct ps_error *err)
{
    struct ps_path path;
    struct ps_file_info info;
    struct ps_error detail = PS_ERROR_INIT;
    const struct ps_bundle_name name = { .kind = PS_BUNDLE_DATA,
                                         .shard = shard,
                                         .shard_count = reader->shard_count };
    enum ps_code rc = ps_bundle_path(&path, reader->prefix, &name, err);
    if (rc != PS_OK) { return rc; }
    rc = files->open(files->ctx, path.text, &reader->shards[shard].file, &detail);
    if (rc == PS_NOT_FOUND) { return PS_OK; } /* what is in it cannot be read, the rest can */
    if (rc == PS_OK) {
        struct ps_file *file = reader->shards[shard].file;
        rc = file->ops->info(file, &info, &detail);
        reader->shards[shard].size_bytes = info.size_bytes;
    }
    if (rc != PS_OK && err != NULL) { *err = detail; }
    return rc;
}

static enum ps_code open_shards(struct ps_bundle_reader *reader, const struct ps_files *files,
                                struct ps_error *err)
{
    if (reader->shard_count == 0) { return PS_OK; }
    reader->shards = ps_alloc_zero(reader->shard_count, sizeof *reader->shards);
    if (reader->shards == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for %u data files",
                       reader->shard_count);
    }
    for (size_t i = 0; i < reader->rows.count; i++) {
        const struct ps_bundle_entry *entry = &reader->rows.items[i].entry;
        uint32_t shard = (uint32_t)entry->shard_index;
        bool is_needed = entry->slice_count == 0 && shard < reader->shard_count &&
                         reader->shards[shard].file == NULL;
        if (!is_needed) { continue; }
        enum ps_code rc = open_shard(reader, files, shard, err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

/* ---- open and close ---- */

/* There is no PREFIX.index: says what there is instead. */
static enum ps_code explain_missing(const struct ps_files *files, const char *prefix,
                                    struct ps_error *err)
{
    struct ps_file_info info;
    size_t base = ps_bundle_leftover_prefix(ps_path_base(prefix));
    const char *dot = strrchr(prefix, '.');
    bool is_index = dot != NULL && strcmp(dot, ".index") == 0;
    bool is_data = dot != NULL && strncmp(dot, ".data-", 6) == 0;
    if (files->stat(files->ctx, prefix, &info, NULL) != PS_OK || info.is_directory) {
        return ps_fail(err, PS_NOT_FOUND,
                       "Unsuccessful TensorSliceReader constructor: Failed to get matching files "
                       "on %s: there is no '%s.index'",
                       prefix, prefix);
    }
    if (is_index || is_data || base != 0) {
        return ps_fail(err, PS_DATA_LOSS,
                       "Unable to open table file %s: Data loss: not an sstable (bad magic "
                       "number): perhaps your file is in a different file format and you need to "
                       "use a different restore operator? It looks like a file of a V2 checkpoint: "
                       "give the prefix, '%.*s'",
                       prefix, dot == NULL ? 0 : (int)(dot - prefix), prefix);
    }
    return ps_fail(err, PS_UNIMPLEMENTED,
                   "V1 checkpoint (single-file) is not supported: '%s'; load it in TensorFlow and "
                   "save it with write_version=V2",
                   prefix);
}

/* Whether file is still what path names. */
static enum ps_code check_current(const struct ps_files *files, struct ps_file *file,
                                  const struct ps_path *path, bool *is_current_out,
                                  struct ps_error *err)
{
    struct ps_file_info opened, named;
    enum ps_code rc;
    *is_current_out = false;
    PS_TRY(done, rc, file->ops->info(file, &opened, err));
    if (files->stat(files->ctx, path->text, &named, NULL) != PS_OK) { return PS_OK; }
    *is_current_out = opened.device == named.device && opened.inode == named.inode;
done:
    return rc;
}

/* Index and data files belong together if the index is the same before and after all are open. */
static enum ps_code open_once(const struct ps_files *files, const char *prefix,
                              struct ps_bundle_reader *reader, bool *is_current_out,
                              struct ps_error *err)
{
    struct ps_path path;
    struct ps_file *file = NULL;
    const struct ps_bundle_name index = { .kind = PS_BUNDLE_INDEX };
    struct ps_error detail = PS_ERROR_INIT;
    enum ps_code rc;
    PS_TRY(done, rc, ps_bundle_path(&path, prefix, &index, err));
    rc = files->open(files->ctx, path.text, &file, &detail);
    if (rc == PS_NOT_FOUND) {
        rc = explain_missing(files, prefix, err);
        goto done;
    }
    if (rc != PS_OK) {
        if (err != NULL) { *err = detail; }
        goto done;
    }
    PS_TRY(done, rc, read_index(reader, file, path.text, err));
    PS_TRY(done, rc, open_shards(reader, files, err));
    PS_TRY(done, rc, ps_recover_roll_forward(files, prefix, err));
    PS_TRY(done, rc, check_current(files, file, &path, is_current_out, err));
done:
    ps_files_drop(&file);
    return rc;
}

static enum ps_code make_reader(const char *prefix, struct ps_bundle_reader **reader_out,
                                struct ps_error *err)
{
    struct ps_bundle_reader *reader = ps_alloc_zero(1, sizeof *reader);
    if (reader != NULL) { reader->prefix = ps_strdup(prefix); }
    *reader_out = reader;
    if (reader != NULL && reader->prefix != NULL) { return PS_OK; }
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to open '%s'", prefix);
}

enum ps_code ps_bundle_reader_open(const struct ps_files *files, const char *prefix,
                                   struct ps_bundle_reader **reader_out, struct ps_error *err)
{
    *reader_out = NULL;
    if (files == NULL) { files = ps_files_posix(); }
    enum ps_code rc = ps_bundle_prefix_check(prefix, err);
    for (int attempt = 0; rc == PS_OK && attempt < OPEN_ATTEMPTS; attempt++) {
        struct ps_bundle_reader *reader = NULL;
        bool is_current = false;
        struct ps_error detail = PS_ERROR_INIT;
        rc = ps_recover_roll_forward(files, prefix, &detail);
        if (rc == PS_OK) { rc = make_reader(prefix, &reader, &detail); }
        if (rc == PS_OK) { rc = open_once(files, prefix, reader, &is_current, &detail); }
        if (rc == PS_OK && is_current) {
            *reader_out = reader;
            return PS_OK;
        }
        ps_bundle_reader_close(reader);
        if (rc != PS_OK && err != NULL) { *err = detail; }
    }
    if (rc != PS_OK) { return rc; }
    return ps_fail(err, PS_UNAVAILABLE, "checkpoint '%s' was replaced %d times while it was opened",
                   prefix, OPEN_ATTEMPTS);
}

void ps_bundle_reader_close(struct ps_bundle_reader *reader)
{
    if (reader == NULL) { return; }
    for (uint32_t i = 0; reader->shards != NULL && i < reader->shard_count; i++) {
        ps_files_drop(&reader->shards[i].file);
    }
    ps_bundle_rows_clean(&reader->rows);
    ps_free(reader->shards);
    ps_free(reader->states);
    ps_free(reader->tensors);
    ps_free(reader->window);
    ps_free(reader->prefix);
    ps_free(reader);
}

/* ---- questions ---- */

const struct ps_bundle_row *psi_bundle_reader_row(const struct ps_bundle_reader *reader,
                                                  struct ps_span key)
{
    size_t low = 0;
    size_t high = reader->rows.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct ps_bundle_row *row = &reader->rows.items[middle];
        int order = ps_table_key_compare(span_of(&row->key), key);
        if (order == 0) { return row; }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

enum ps_code psi_bundle_reader_tensor(const struct ps_bundle_reader *reader, const char *name,
                                      const struct ps_bundle_row **row_out, struct ps_error *err)
{
    struct ps_span key = { .data = (const uint8_t *)name, .size = strlen(name) };
    *row_out = key.size == 0 ? NULL : psi_bundle_reader_row(reader, key);
    if (*row_out != NULL) { return PS_OK; }
    return ps_fail(err, PS_NOT_FOUND, "Key %s not found in checkpoint", name);
}

/* Slices lie next to their tensor's number only in the order of keys, so each is looked up. */
static uint64_t stored_bytes(const struct ps_bundle_reader *reader, const struct ps_bundle_row *row)
{
    struct ps_buf key = { 0 };
    uint64_t total = row->entry.size_bytes;
    for (size_t i = 0; i < row->entry.slice_count; i++) {
        key.size = 0;
        enum ps_code rc = ps_ordered_slice_key(&key, span_of(&row->key), &row->entry.slices[i],
                                               NULL);
        const struct ps_bundle_row *slice = rc == PS_OK
                                                ? psi_bundle_reader_row(reader, span_of(&key))
                                                : NULL;
        if (slice != NULL) { (void)ps_add_u64(total, slice->entry.size_bytes, &total); }
    }
    ps_buf_clean(&key);
    return total;
}

static struct ps_bundle_info info_of(const struct ps_bundle_reader *reader,
                                     const struct ps_bundle_row *row)
{
    return (struct ps_bundle_info){
        .name = (const char *)row->key.data,
        .dtype = row->entry.dtype,
        .shape = row->entry.shape,
        .slice_count = row->entry.slice_count,
        .size_bytes = stored_bytes(reader, row),
    };
}

size_t ps_bundle_reader_count(const struct ps_bundle_reader *reader)
{
    return reader->tensor_count;
}

struct ps_bundle_info ps_bundle_reader_info(const struct ps_bundle_reader *reader, size_t index)
{
    PS_ASSERT(index < reader->tensor_count);
    return info_of(reader, &reader->rows.items[reader->tensors[index]]);
}

enum ps_code ps_bundle_reader_find(const struct ps_bundle_reader *reader, const char *name,
                                   struct ps_bundle_info *info_out, struct ps_error *err)
{
    const struct ps_bundle_row *row;
    enum ps_code rc = psi_bundle_reader_tensor(reader, name, &row, err);
    if (rc == PS_OK) { *info_out = info_of(reader, row); }
    return rc;
}

enum ps_code ps_bundle_reader_expect(const struct ps_bundle_reader *reader, const char *name,
                                     enum ps_dtype dtype, const struct ps_shape *shape,
                                     struct ps_error *err)
{
    char wanted[PS_SHAPE_TEXT_BYTES], stored[PS_SHAPE_TEXT_BYTES];
    const struct ps_bundle_row *row;
    enum ps_dtype stored_dtype;
    enum ps_code rc;
    PS_TRY(done, rc, psi_bundle_reader_tensor(reader, name, &row, err));
    rc = ps_dtype_from_number(row->entry.dtype, &stored_dtype, err);
    if (rc != PS_OK) {
        (void)ps_wrap(err, "tensor '%s'", name);
        return rc;
    }
    if (stored_dtype != dtype) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "tensor_name = %s; Expected dtype %s does not equal restored dtype %s", name,
                       ps_dtype_name((int)dtype), ps_dtype_name((int)stored_dtype));
    }
    if (ps_shape_equal(&row->entry.shape, shape)) { return PS_OK; }
    ps_shape_format(shape, wanted);
    ps_shape_format(&row->entry.shape, stored);
    if (row->entry.slice_count > 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "tensor_name = %s; Shape in shape_and_slice spec %s does not match the "
                       "shape stored in checkpoint: %s",
                       name, wanted, stored);
    }
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "variable '%s': Assign requires shapes of both tensors to match. lhs shape= %s "
                   "rhs shape= %s",
                   name, wanted, stored);
done:
    return rc;
}
