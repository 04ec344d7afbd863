/* LevelDB-format tables, read in order: footer, index block, then one data block after another. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/table_reader.h"

#include <string.h>

#include "checkpoint/files.h"
#include "checkpoint/snappy.h"
#include "checkpoint/table_writer.h"
#include "checkpoint/varint.h"
#include "core/alloc.h"

enum { BLOCK_RAW = 0, BLOCK_SNAPPY = 1 };

/* Entries of one block, in order. */
struct block_cursor {
    struct ps_buf contents; /* as stored, or decompressed */
    const uint8_t *at;
    const uint8_t *end; /* of the entries; the restart array follows */
    struct ps_buf key;
    struct ps_span value;
};

struct ps_table_reader {
    struct ps_file *file;
    const char *path;
    uint64_t file_size;
    struct ps_buf stored; /* a block as it is in the file, before decompression */
    struct block_cursor index;
    struct block_cursor data;
    bool has_data; /* data is inside a block */
    struct ps_buf last_key;
    bool has_last_key;
};

struct handle {
    uint64_t offset;
    uint64_t size; /* without the trailer */
};

static struct ps_span span_of(const struct ps_buf *buf)
{
    return (struct ps_span){ .data = buf->data, .size = buf->size };
}

static bool get_handle(const uint8_t **at, const uint8_t *end, struct handle *handle)
{
    return ps_varint_get(at, end, &handle->offset) && ps_varint_get(at, end, &handle->size);
}

static enum ps_code damaged(const struct ps_table_reader *reader, const char *what, uint64_t offset,
                            struct ps_error *err)
{
    return ps_fail(err, PS_DATA_LOSS, "'%s' at byte %llu: %s", reader->path,
                   (unsigned long long)offset, what);
}

static enum ps_code check_handle(const struct ps_table_reader *reader, const struct handle *handle,
                                 struct ps_error *err)
{
    if (handle->offset > reader->file_size ||
        reader->file_size - handle->offset < PS_TABLE_TRAILER_BYTES ||
        handle->size > reader->file_size - handle->offset - PS_TABLE_TRAILER_BYTES) {
        return damaged(reader, "truncated block read", handle->offset, err);
    }
    if (handle->size > PS_TABLE_BLOCK_LIMIT_BYTES) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED,
                       "'%s' at byte %llu: a block of %llu bytes; the limit is %d", reader->path,
                       (unsigned long long)handle->offset, (unsigned long long)handle->size,
                       PS_TABLE_BLOCK_LIMIT_BYTES);
    }
    return PS_OK;
}

/* Reads a block and checks its CRC; the contents end up in cursor->contents. */
static enum ps_code load_contents(struct ps_table_reader *reader, const struct handle *handle,
                                  struct block_cursor *cursor, struct ps_error *err)
{
    enum ps_code rc;
    size_t size = (size_t)handle->size;
    PS_TRY(done, rc, check_handle(reader, handle, err));
    PS_TRY(done, rc, ps_buf_reserve(&reader->stored, size + PS_TABLE_TRAILER_BYTES, err));
    uint8_t *stored = reader->stored.data;
    PS_TRY(done, rc,
           reader->file->ops->read_at(reader->file, handle->offset, stored,
                                      size + PS_TABLE_TRAILER_BYTES, err));
    uint32_t expected = ps_crc_unmask(ps_fixed32_get(stored + size + 1));
    if (ps_crc32c(0, stored, size + 1) != expected) {
        return damaged(reader, "block checksum mismatch", handle->offset, err);
    }
    struct ps_span contents = { .data = stored, .size = size };
    switch (stored[size]) {
    case BLOCK_RAW:
        cursor->contents.size = 0;
        return ps_buf_append(&cursor->contents, contents.data, contents.size, err);
    case BLOCK_SNAPPY:
        rc = ps_snappy_decompress(contents, PS_TABLE_BLOCK_LIMIT_BYTES, &cursor->contents, err);
        if (rc != PS_OK) {
            return ps_wrap(err, "'%s' at byte %llu", reader->path,
                           (unsigned long long)handle->offset);
        }
        return PS_OK;
    default: return damaged(reader, "bad block type", handle->offset, err);
    }
done:
    return rc;
}

/* Loads a block and stands before its first entry. */
static enum ps_code cursor_load(struct ps_table_reader *reader, const struct handle *handle,
                                struct block_cursor *cursor, struct ps_error *err)
{
    enum ps_code rc = load_contents(reader, handle, cursor, err);
    if (rc != PS_OK) { return rc; }
    size_t size = cursor->contents.size;
    if (size < 4) { return damaged(reader, "bad block contents", handle->offset, err); }
    uint32_t restart_count = ps_fixed32_get(cursor->contents.data + size - 4);
    if (restart_count > (size - 4) / 4) {
        return damaged(reader, "bad block contents", handle->offset, err);
    }
    cursor->at = cursor->contents.data;
    cursor->end = cursor->contents.data + size - 4 - 4 * (size_t)restart_count;
    cursor->key.size = 0;
    return PS_OK;
}

static bool cursor_is_done(const struct block_cursor *cursor)
{
    return cursor->at == cursor->end;
}

/* Steps to the next entry; the cursor is not done. */
static enum ps_code cursor_next(const struct ps_table_reader *reader, struct block_cursor *cursor,
                                struct ps_error *err)
{
    uint32_t shared, rest, value_size;
    uint64_t place = (uint64_t)(cursor->at - cursor->contents.data);
    if (!ps_varint_get32(&cursor->at, cursor->end, &shared) ||
        !ps_varint_get32(&cursor->at, cursor->end, &rest) ||
        !ps_varint_get32(&cursor->at, cursor->end, &value_size) || shared > cursor->key.size ||
        rest > (size_t)(cursor->end - cursor->at) ||
        value_size > (size_t)(cursor->end - cursor->at) - rest) {
        return damaged(reader, "bad entry in block (counted from its start)", place, err);
    }
    if ((uint64_t)shared + rest > PS_TABLE_KEY_LIMIT_BYTES) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "'%s': a key of %llu bytes; the limit is %d",
                       reader->path, (unsigned long long)shared + rest, PS_TABLE_KEY_LIMIT_BYTES);
    }
    cursor->key.size = shared;
    enum ps_code rc = ps_buf_append(&cursor->key, cursor->at, rest, err);
    if (rc != PS_OK) { return rc; }
    cursor->at += rest;
    cursor->value = (struct ps_span){ .data = cursor->at, .size = value_size };
    cursor->at += value_size;
    return PS_OK;
}

static enum ps_code open_footer(struct ps_table_reader *reader, struct ps_error *err)
{
    uint8_t footer[PS_TABLE_FOOTER_BYTES];
    struct ps_file_info info;
    struct handle meta, index;
    enum ps_code rc;
    PS_TRY(done, rc, reader->file->ops->info(reader->file, &info, err));
    reader->file_size = info.size_bytes;
    if (info.size_bytes < sizeof footer) {
        return ps_fail(err, PS_DATA_LOSS, "'%s': file is too short to be an sstable", reader->path);
    }
    uint64_t place = info.size_bytes - sizeof footer;
    PS_TRY(done, rc, reader->file->ops->read_at(reader->file, place, footer, sizeof footer, err));
    const uint8_t *magic = footer + sizeof footer - 8;
    if (ps_fixed32_get(magic) != 0x8b80fb57u || ps_fixed32_get(magic + 4) != 0xdb477524u) {
        return ps_fail(err, PS_DATA_LOSS, "'%s': not an sstable (bad magic number)", reader->path);
    }
    const uint8_t *at = footer;
    if (!get_handle(&at, magic, &meta) || !get_handle(&at, magic, &index)) {
        return damaged(reader, "bad block handle", place, err);
    }
    return cursor_load(reader, &index, &reader->index, err);
done:
    return rc;
}

enum ps_code ps_table_reader_create(struct ps_file *file, const char *path,
                                    struct ps_table_reader **reader_out, struct ps_error *err)
{
    *reader_out = NULL;
    struct ps_table_reader *reader = ps_alloc_zero(1, sizeof *reader);
    if (reader == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to read '%s'", path);
    }
    reader->file = file;
    reader->path = path;
    enum ps_code rc = open_footer(reader, err);
    if (rc != PS_OK) {
        ps_table_reader_destroy(reader);
        return rc;
    }
    *reader_out = reader;
    return PS_OK;
}

void ps_table_reader_destroy(struct ps_table_reader *reader)
{
    if (reader == NULL) { return; }
    ps_buf_clean(&reader->stored);
    ps_buf_clean(&reader->index.contents);
    ps_buf_clean(&reader->index.key);
    ps_buf_clean(&reader->data.contents);
    ps_buf_clean(&reader->data.key);
    ps_buf_clean(&reader->last_key);
    ps_free(reader);
}

/* The next index entry's block. A block must be wholly at or below its index key: TensorFlow finds
 * keys by it, so a table that breaks the rule would read differently there and here. */
static enum ps_code next_block(struct ps_table_reader *reader, struct ps_error *err)
{
    struct handle handle;
    enum ps_code rc = cursor_next(reader, &reader->index, err);
    if (rc != PS_OK) { return rc; }
    const uint8_t *at = reader->index.value.data;
    if (!get_handle(&at, at + reader->index.value.size, &handle)) {
        return ps_fail(err, PS_DATA_LOSS, "'%s': bad block handle in the index", reader->path);
    }
    if (reader->has_last_key &&
        ps_table_key_compare(span_of(&reader->index.key), span_of(&reader->last_key)) < 0) {
        return damaged(reader, "index keys are out of order", handle.offset, err);
    }
    rc = cursor_load(reader, &handle, &reader->data, err);
    if (rc != PS_OK) { return rc; }
    if (cursor_is_done(&reader->data)) { /* else one block, named a million times, costs hours */
        return damaged(reader, "a data block without entries", handle.offset, err);
    }
    reader->has_data = true;
    return PS_OK;
}

/* Keys rise strictly, over the whole table, and stay within the block's index key. */
static enum ps_code check_order(struct ps_table_reader *reader, struct ps_error *err)
{
    struct ps_span key = span_of(&reader->data.key);
    if (reader->has_last_key && ps_table_key_compare(span_of(&reader->last_key), key) >= 0) {
        return ps_fail(err, PS_DATA_LOSS, "'%s': keys are out of order", reader->path);
    }
    if (ps_table_key_compare(key, span_of(&reader->index.key)) > 0) {
        return ps_fail(err, PS_DATA_LOSS, "'%s': a key lies outside its block", reader->path);
    }
    reader->has_last_key = true;
    reader->last_key.size = 0;
    return ps_buf_append(&reader->last_key, key.data, key.size, err);
}

enum ps_code ps_table_reader_next(struct ps_table_reader *reader, struct ps_span *key,
                                  struct ps_span *value, bool *has_entry_out, struct ps_error *err)
{
    enum ps_code rc;
    *has_entry_out = false;
    if (!reader->has_data || cursor_is_done(&reader->data)) {
        if (cursor_is_done(&reader->index)) { return PS_OK; }
        PS_TRY(done, rc, next_block(reader, err));
    }
    PS_TRY(done, rc, cursor_next(reader, &reader->data, err));
    PS_TRY(done, rc, check_order(reader, err));
    *key = span_of(&reader->data.key);
    *value = reader->data.value;
    *has_entry_out = true;
done:
    return rc;
}
