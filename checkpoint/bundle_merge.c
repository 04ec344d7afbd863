/* Merging index rows of several parts, and the one moment at which a save is decided. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/bundle_merge.h"

#include "checkpoint/bundle_names.h"
#include "checkpoint/files.h"
#include "checkpoint/recover.h"
#include "checkpoint/table_writer.h"
#include "core/log.h"

static struct ps_span span_of(const struct ps_buf *buf)
{
    return (struct ps_span){ .data = buf->data, .size = buf->size };
}

static bool has_rows(const struct ps_bundle_rows *rows)
{
    return rows != NULL && rows->count > 0;
}

/* A copy of row for shard. The list of slices of a partitioned tensor gets the number too, although
 * it has no bytes there: TensorFlow's merge does the same. */
static enum ps_code copy_row(struct ps_bundle_rows *merged, const struct ps_bundle_row *row,
                             int32_t shard_index, struct ps_error *err)
{
    struct ps_bundle_entry entry = row->entry;
    entry.slices = NULL;
    entry.slice_count = 0;
    entry.shard_index = shard_index;
    for (size_t i = 0; i < row->entry.slice_count; i++) {
        enum ps_code rc = ps_bundle_entry_add_slice(&entry, &row->entry.slices[i], err);
        if (rc != PS_OK) {
            ps_bundle_entry_clean(&entry);
            return rc;
        }
    }
    return ps_bundle_rows_add(merged, span_of(&row->key), &entry, err);
}

static enum ps_code gather(const struct ps_bundle_rows *const *parts, size_t part_count,
                           struct ps_bundle_rows *merged, uint32_t *shard_count_out,
                           struct ps_error *err)
{
    uint32_t shard_count = 0;
    for (size_t part = 0; part < part_count; part++) {
        if (!has_rows(parts[part])) { continue; }
        if (shard_count == PS_BUNDLE_SHARDS_MAX) {
            return ps_fail(err, PS_RESOURCE_EXHAUSTED, "more than %d shards", PS_BUNDLE_SHARDS_MAX);
        }
        for (size_t i = 0; i < parts[part]->count; i++) {
            enum ps_code rc = copy_row(merged, &parts[part]->items[i], (int32_t)shard_count, err);
            if (rc != PS_OK) { return rc; }
        }
        shard_count++;
    }
    *shard_count_out = shard_count;
    if (shard_count > 0) { return PS_OK; }
    return ps_fail(err, PS_INVALID_ARGUMENT, "No variables to save");
}

/* PREFIX.part-NNNNN.tempstateID becomes PREFIX.data-NNNNN-of-NNNNN.tempstateID. */
static enum ps_code number_part(const struct ps_bundle_ticket *ticket, uint32_t part,
                                uint32_t shard, uint32_t shard_count, struct ps_error *err)
{
    struct ps_path from_path, to_path;
    const struct ps_bundle_name from = { .kind = PS_BUNDLE_PART_TEMPORARY,
                                         .id = ticket->id,
                                         .shard = part };
    const struct ps_bundle_name to = { .kind = PS_BUNDLE_DATA_TEMPORARY,
                                       .id = ticket->id,
                                       .shard = shard,
                                       .shard_count = shard_count };
    enum ps_code rc;
    PS_TRY(done, rc, ps_bundle_path(&from_path, ticket->prefix, &from, err));
    PS_TRY(done, rc, ps_bundle_path(&to_path, ticket->prefix, &to, err));
    PS_TRY(done, rc, ticket->files->rename(ticket->files->ctx, from_path.text, to_path.text, err));
done:
    return rc;
}

static enum ps_code write_rows(struct ps_table_writer *writer, const struct ps_bundle_rows *rows,
                               uint32_t shard_count, struct ps_error *err)
{
    struct ps_buf value = { 0 };
    const struct ps_bundle_header header = { .shard_count = (int32_t)shard_count };
    const struct ps_span header_key = { .data = (const uint8_t *)"", .size = 0 };
    enum ps_code rc;
    PS_TRY(done, rc, ps_bundle_header_encode(&header, &value, err));
    PS_TRY(done, rc, ps_table_writer_add(writer, header_key, span_of(&value), err));
    for (size_t i = 0; i < rows->count; i++) {
        value.size = 0;
        PS_TRY(done, rc, ps_bundle_entry_encode(&rows->items[i].entry, &value, err));
        PS_TRY(done, rc,
               ps_table_writer_add(writer, span_of(&rows->items[i].key), span_of(&value), err));
    }
    PS_TRY(done, rc, ps_table_writer_finish(writer, err));
done:
    ps_buf_clean(&value);
    return rc;
}

static enum ps_code write_index(const struct ps_bundle_ticket *ticket,
                                const struct ps_bundle_rows *rows, uint32_t shard_count,
                                struct ps_error *err)
{
    struct ps_path path;
    struct ps_file *file = NULL;
    struct ps_table_writer writer;
    const struct ps_bundle_name name = { .kind = PS_BUNDLE_INDEX_TEMPORARY, .id = ticket->id };
    enum ps_code rc = ps_bundle_path(&path, ticket->prefix, &name, err);
    if (rc == PS_OK) { rc = ticket->files->create(ticket->files->ctx, path.text, &file, err); }
    if (rc != PS_OK) { return rc; }
    ps_table_writer_init(&writer, file, PS_TABLE_BLOCK_BYTES);
    rc = write_rows(&writer, rows, shard_count, err);
    if (rc == PS_OK) { rc = file->ops->sync(file, err); }
    enum ps_code closed = file->ops->close(file, rc == PS_OK ? err : NULL);
    ps_table_writer_clean(&writer);
    return rc == PS_OK ? closed : rc;
}

enum ps_code ps_bundle_merge(const struct ps_bundle_ticket *ticket,
                             const struct ps_bundle_rows *const *parts, size_t part_count,
                             struct ps_error *err)
{
    struct ps_bundle_rows merged = { 0 };
    uint32_t shard_count;
    enum ps_code rc;
    PS_TRY(done, rc, gather(parts, part_count, &merged, &shard_count, err));
    PS_TRY(done, rc, ps_bundle_rows_fold(&merged, err));
    PS_TRY(done, rc, write_index(ticket, &merged, shard_count, err));
    uint32_t shard = 0;
    for (size_t i = 0; i < part_count; i++) {
        if (!has_rows(parts[i])) { continue; }
        PS_TRY(done, rc, number_part(ticket, (uint32_t)i, shard++, shard_count, err));
    }
done:
    ps_bundle_rows_clean(&merged);
    return rc;
}

static enum ps_code sync_directory(const struct ps_bundle_ticket *ticket, struct ps_error *err)
{
    struct ps_path directory;
    ps_path_directory(ticket->prefix, &directory);
    return ticket->files->sync_dir(ticket->files->ctx, directory.text, err);
}

/* From the rename on, the save is decided: whoever opens the prefix completes it. */
static enum ps_code decide(const struct ps_bundle_ticket *ticket, struct ps_error *err)
{
    struct ps_path temporary, marker;
    const struct ps_bundle_name from = { .kind = PS_BUNDLE_INDEX_TEMPORARY, .id = ticket->id };
    const struct ps_bundle_name to = { .kind = PS_BUNDLE_INDEX_COMMIT, .id = ticket->id };
    enum ps_code rc;
    PS_TRY(done, rc, ps_bundle_path(&temporary, ticket->prefix, &from, err));
    PS_TRY(done, rc, ps_bundle_path(&marker, ticket->prefix, &to, err));
    PS_TRY(done, rc, sync_directory(ticket, err));
    PS_TRY(done, rc, ticket->files->rename(ticket->files->ctx, temporary.text, marker.text, err));
    PS_TRY(done, rc, sync_directory(ticket, err));
done:
    return rc;
}

/* NOT_FOUND if the save has no marker (any more). */
static enum ps_code stat_marker(const struct ps_bundle_ticket *ticket, struct ps_error *err)
{
    struct ps_path path;
    struct ps_file_info info;
    const struct ps_bundle_name name = { .kind = PS_BUNDLE_INDEX_COMMIT, .id = ticket->id };
    enum ps_code rc;
    PS_TRY(done, rc, ps_bundle_path(&path, ticket->prefix, &name, err));
    PS_TRY(done, rc, ticket->files->stat(ticket->files->ctx, path.text, &info, err));
done:
    return rc;
}

enum ps_code ps_bundle_commit(const struct ps_bundle_ticket *ticket, struct ps_error *err)
{
    enum ps_code rc;
    struct ps_error detail = PS_ERROR_INIT;
    PS_TRY(done, rc, decide(ticket, err));
    PS_TRY(done, rc, ps_recover_roll_forward(ticket->files, ticket->prefix, err));
    rc = stat_marker(ticket, &detail);
    if (rc == PS_OK) { /* rolling forward refused it */
        return ps_fail(err, PS_DATA_LOSS, "'%s': data files of the save vanished before its end",
                       ticket->prefix);
    }
    if (rc != PS_NOT_FOUND) {
        if (err != NULL) { *err = detail; }
        return rc;
    }
    rc = PS_OK;
    /* The save is complete; what is left of the old one can wait for the next sweep. */
    if (ps_recover_sweep(ticket->files, ticket->prefix, &detail) != PS_OK) {
        ps_log(PS_LOG_WARN, "bundle_merge", "%s: saved, but old files remain: %s", ticket->prefix,
               detail.message);
    }
done:
    return rc;
}

void ps_bundle_abandon(const struct ps_bundle_ticket *ticket)
{
    if (stat_marker(ticket, NULL) != PS_NOT_FOUND) { return; }
    ps_recover_drop_save(ticket->files, ticket->prefix, ticket->id);
}
