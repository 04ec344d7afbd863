/* LevelDB-format tables: prefix-compressed blocks, an index of them, a footer. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/table_writer.h"

#include <string.h>

#include "checkpoint/files.h"
#include "checkpoint/varint.h"

enum {
    DATA_RESTART_INTERVAL = 16,
    INDEX_RESTART_INTERVAL = 1, /* so that an index key can be found without the ones before */
    OVERLY_LARGE_BLOCKS = 2     /* an entry of so many block sizes gets a block of its own */
};

static const uint8_t footer_magic[8] = { 0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb };

int ps_table_key_compare(struct ps_span a, struct ps_span b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0) { return order; }
    return (a.size > b.size) - (a.size < b.size);
}

static struct ps_span span_of(const struct ps_buf *buf)
{
    return (struct ps_span){ .data = buf->data, .size = buf->size };
}

static size_t common_prefix(struct ps_span a, struct ps_span b)
{
    size_t limit = a.size < b.size ? a.size : b.size;
    size_t i = 0;
    while (i < limit && a.data[i] == b.data[i]) { i++; }
    return i;
}

static enum ps_code append_varint(struct ps_buf *buf, uint64_t value, struct ps_error *err)
{
    uint8_t bytes[PS_VARINT64_BYTES];
    return ps_buf_append(buf, bytes, ps_varint_put(bytes, value), err);
}

static enum ps_code block_restart(struct ps_table_block *block, struct ps_error *err)
{
    uint8_t offset[4];
    ps_fixed32_put(offset, (uint32_t)block->bytes.size);
    block->entries_since_restart = 0;
    return ps_buf_append(&block->restarts, offset, sizeof offset, err);
}

/* Entry: shared, non-shared and value size, the rest of the key, the value. */
static enum ps_code block_add(struct ps_table_block *block, struct ps_span key,
                              struct ps_span value, struct ps_error *err)
{
    enum ps_code rc;
    size_t shared = 0;
    bool is_restart = block->restarts.size == 0 ||
                      block->entries_since_restart == block->restart_interval;
    if (is_restart) {
        PS_TRY(done, rc, block_restart(block, err));
    } else {
        shared = common_prefix(span_of(&block->last_key), key);
    }
    PS_TRY(done, rc, append_varint(&block->bytes, shared, err));
    PS_TRY(done, rc, append_varint(&block->bytes, key.size - shared, err));
    PS_TRY(done, rc, append_varint(&block->bytes, value.size, err));
    if (key.size > shared) {
        PS_TRY(done, rc, ps_buf_append(&block->bytes, key.data + shared, key.size - shared, err));
    }
    PS_TRY(done, rc, ps_buf_append(&block->bytes, value.data, value.size, err));
    block->last_key.size = 0;
    PS_TRY(done, rc, ps_buf_append(&block->last_key, key.data, key.size, err));
    block->entries_since_restart++;
done:
    return rc;
}

/* Size on disk so far, without the trailer; even an empty block has one restart point. */
static size_t block_size(const struct ps_table_block *block)
{
    size_t restarts = block->restarts.size == 0 ? 4 : block->restarts.size;
    return block->bytes.size + restarts + 4;
}

/* Appends block and trailer to the file, empties the block, tells where it went. */
static enum ps_code write_block(struct ps_table_writer *writer, struct ps_table_block *block,
                                uint64_t *offset_out, uint64_t *size_out, struct ps_error *err)
{
    enum ps_code rc;
    uint8_t word[4];
    uint8_t trailer[PS_TABLE_TRAILER_BYTES] = { 0 }; /* type 0: not compressed */
    if (block->restarts.size == 0) { PS_TRY(done, rc, block_restart(block, err)); }
    ps_fixed32_put(word, (uint32_t)(block->restarts.size / 4));
    PS_TRY(done, rc, ps_buf_append(&block->bytes, block->restarts.data, block->restarts.size, err));
    PS_TRY(done, rc, ps_buf_append(&block->bytes, word, sizeof word, err));

    *offset_out = writer->offset;
    *size_out = block->bytes.size;
    uint32_t crc = ps_crc32c(0, block->bytes.data, block->bytes.size);
    ps_fixed32_put(trailer + 1, ps_crc_mask(ps_crc32c(crc, trailer, 1)));
    PS_TRY(done, rc, ps_buf_append(&block->bytes, trailer, sizeof trailer, err));
    PS_TRY(done, rc,
           writer->file->ops->append(writer->file, block->bytes.data, block->bytes.size, err));
    writer->offset += block->bytes.size;
    block->bytes.size = 0;
    block->restarts.size = 0;
done:
    return rc;
}

static enum ps_code flush_data(struct ps_table_writer *writer, struct ps_error *err)
{
    if (writer->data.bytes.size == 0) { return PS_OK; }
    writer->has_pending = true;
    return write_block(writer, &writer->data, &writer->pending_offset, &writer->pending_size, err);
}

/* Cuts key to size bytes and adds one to the last of them. */
static void cut_and_raise(struct ps_buf *key, size_t size)
{
    key->size = size;
    key->data[size - 1]++;
}

/* Makes last the shortest key >= last and < next that LevelDB finds: cut after the first differing
 * byte, plus one, if that is still below next. */
static void shortest_separator(struct ps_buf *last, struct ps_span next)
{
    size_t i = common_prefix(span_of(last), next);
    if (i == last->size || i == next.size) { return; } /* one is a prefix of the other */
    if (last->data[i] == 0xff || last->data[i] + 1 >= next.data[i]) { return; }
    cut_and_raise(last, i + 1);
}

/* The same for the last block, which has no next: cut after the first byte that can be raised. */
static void short_successor(struct ps_buf *last)
{
    for (size_t i = 0; i < last->size; i++) {
        if (last->data[i] == 0xff) { continue; }
        cut_and_raise(last, i + 1);
        return;
    }
}

/* Writes the flushed block's index entry; next is NULL behind the last block. */
static enum ps_code index_pending(struct ps_table_writer *writer, const struct ps_span *next,
                                  struct ps_error *err)
{
    if (!writer->has_pending) { return PS_OK; }
    struct ps_buf *last = &writer->data.last_key;
    if (next != NULL) {
        shortest_separator(last, *next);
    } else {
        short_successor(last);
    }
    uint8_t handle[2 * PS_VARINT64_BYTES];
    size_t size = ps_varint_put(handle, writer->pending_offset);
    size += ps_varint_put(handle + size, writer->pending_size);
    writer->has_pending = false;
    return block_add(&writer->index, span_of(last), (struct ps_span){ handle, size }, err);
}

void ps_table_writer_init(struct ps_table_writer *writer, struct ps_file *file,
                          size_t block_size_bytes)
{
    *writer = (struct ps_table_writer){
        .file = file,
        .block_size_bytes = block_size_bytes,
        .data.restart_interval = DATA_RESTART_INTERVAL,
        .index.restart_interval = INDEX_RESTART_INTERVAL,
    };
}

static void block_clean(struct ps_table_block *block)
{
    ps_buf_clean(&block->bytes);
    ps_buf_clean(&block->restarts);
    ps_buf_clean(&block->last_key);
}

void ps_table_writer_clean(struct ps_table_writer *writer)
{
    if (writer == NULL) { return; }
    block_clean(&writer->data);
    block_clean(&writer->index);
}

enum ps_code ps_table_writer_add(struct ps_table_writer *writer, struct ps_span key,
                                 struct ps_span value, struct ps_error *err)
{
    enum ps_code rc;
    if (writer->entry_count > 0) {
        PS_ASSERT(ps_table_key_compare(span_of(&writer->data.last_key), key) < 0);
        if (key.size + value.size >= OVERLY_LARGE_BLOCKS * writer->block_size_bytes) {
            PS_TRY(done, rc, flush_data(writer, err));
        }
    }
    PS_TRY(done, rc, index_pending(writer, &key, err));
    PS_TRY(done, rc, block_add(&writer->data, key, value, err));
    writer->entry_count++;
    if (block_size(&writer->data) < writer->block_size_bytes) { return PS_OK; }
    PS_TRY(done, rc, flush_data(writer, err));
done:
    return rc;
}

enum ps_code ps_table_writer_finish(struct ps_table_writer *writer, struct ps_error *err)
{
    enum ps_code rc;
    uint8_t footer[PS_TABLE_FOOTER_BYTES] = { 0 };
    uint64_t offset, size;
    struct ps_table_block meta = { .restart_interval = DATA_RESTART_INTERVAL }; /* always empty */
    PS_TRY(done, rc, flush_data(writer, err));
    PS_TRY(done, rc, write_block(writer, &meta, &offset, &size, err));
    size_t used = ps_varint_put(footer, offset);
    used += ps_varint_put(footer + used, size);
    PS_TRY(done, rc, index_pending(writer, NULL, err));
    PS_TRY(done, rc, write_block(writer, &writer->index, &offset, &size, err));
    used += ps_varint_put(footer + used, offset);
    ps_varint_put(footer + used, size);
    memcpy(footer + sizeof footer - sizeof footer_magic, footer_magic, sizeof footer_magic);
    PS_TRY(done, rc, writer->file->ops->append(writer->file, footer, sizeof footer, err));
    writer->offset += sizeof footer;
done:
    block_clean(&meta);
    return rc;
}
