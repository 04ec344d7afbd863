/* Rows of an index: gathered, sorted, folded, and carried between tasks as bytes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/bundle_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/table_reader.h"
#include "checkpoint/table_writer.h"
#include "checkpoint/varint.h"
#include "core/alloc.h"

static struct ps_span span_of(const struct ps_buf *buf)
{
    return (struct ps_span){ .data = buf->data, .size = buf->size };
}

static void row_clean(struct ps_bundle_row *row)
{
    ps_buf_clean(&row->key);
    ps_bundle_entry_clean(&row->entry);
}

void ps_bundle_rows_clean(struct ps_bundle_rows *rows)
{
    if (rows == NULL) { return; }
    for (size_t i = 0; i < rows->count; i++) { row_clean(&rows->items[i]); }
    ps_free(rows->items);
    *rows = (struct ps_bundle_rows){ 0 };
}

static enum ps_code make_room(struct ps_bundle_rows *rows, struct ps_error *err)
{
    if (rows->count < rows->capacity) { return PS_OK; }
    size_t capacity = rows->capacity == 0 ? 16 : 2 * rows->capacity;
    struct ps_bundle_row *grown = ps_realloc(rows->items, capacity * sizeof *grown);
    if (grown == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for %zu index rows", capacity);
    }
    rows->items = grown;
    rows->capacity = capacity;
    return PS_OK;
}

enum ps_code ps_bundle_rows_add(struct ps_bundle_rows *rows, struct ps_span key,
                                struct ps_bundle_entry *entry_take, struct ps_error *err)
{
    struct ps_bundle_row row = { .entry = *entry_take, .order = rows->count };
    *entry_take = (struct ps_bundle_entry){ 0 };
    enum ps_code rc = make_room(rows, err);
    if (rc == PS_OK) { rc = ps_buf_append(&row.key, key.data, key.size, err); }
    if (rc == PS_OK) { rc = ps_buf_append(&row.key, "", 1, err); }
    if (rc != PS_OK) {
        row_clean(&row);
        return rc;
    }
    row.key.size--; /* the NUL behind it makes a name a C string */
    rows->items[rows->count++] = row;
    return PS_OK;
}

static int compare_rows(const void *a, const void *b)
{
    const struct ps_bundle_row *left = a;
    const struct ps_bundle_row *right = b;
    int order = ps_table_key_compare(span_of(&left->key), span_of(&right->key));
    if (order != 0) { return order; }
    return (left->order > right->order) - (left->order < right->order);
}

/* Moves the slices of from to the end of those of into. */
static enum ps_code fold_pair(struct ps_bundle_row *into, struct ps_bundle_row *from,
                              struct ps_error *err)
{
    char text[PS_BUNDLE_KEY_TEXT_BYTES];
    if (into->entry.slice_count == 0 || from->entry.slice_count == 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "Duplicate tensor keyed by %s encountered: a name is saved once",
                       ps_bundle_key_format(span_of(&into->key), text));
    }
    if (into->entry.dtype != from->entry.dtype ||
        !ps_shape_equal(&into->entry.shape, &from->entry.shape)) {
        return ps_fail(err, PS_INTERNAL, "slices of %s disagree about its dtype or full shape",
                       ps_bundle_key_format(span_of(&into->key), text));
    }
    if (from->entry.slice_count > PS_BUNDLE_SLICES_MAX - into->entry.slice_count) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "%s has more than %d slices",
                       ps_bundle_key_format(span_of(&into->key), text), PS_BUNDLE_SLICES_MAX);
    }
    for (size_t i = 0; i < from->entry.slice_count; i++) {
        enum ps_code rc = ps_bundle_entry_add_slice(&into->entry, &from->entry.slices[i], err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

static enum ps_code check_overlaps(const struct ps_bundle_rows *rows, struct ps_error *err)
{
    char text[PS_BUNDLE_KEY_TEXT_BYTES];
    for (size_t i = 0; i < rows->count; i++) {
        const struct ps_bundle_entry *entry = &rows->items[i].entry;
        enum ps_code rc = ps_slice_check_disjoint(entry->slices, entry->slice_count, &entry->shape,
                                                  err);
        if (rc != PS_OK) {
            (void)ps_wrap(err, "%s", ps_bundle_key_format(span_of(&rows->items[i].key), text));
            return rc;
        }
    }
    return PS_OK;
}

enum ps_code ps_bundle_rows_fold(struct ps_bundle_rows *rows, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    size_t kept = 0;
    if (rows->count > 1) { qsort(rows->items, rows->count, sizeof *rows->items, compare_rows); }
    for (size_t i = 0; i < rows->count; i++) {
        struct ps_bundle_row *row = &rows->items[i];
        struct ps_bundle_row *last = kept > 0 ? &rows->items[kept - 1] : NULL;
        bool is_same = rc == PS_OK && last != NULL &&
                       ps_table_key_compare(span_of(&last->key), span_of(&row->key)) == 0;
        if (is_same) { rc = fold_pair(last, row, err); }
        if (is_same && rc == PS_OK) {
            row_clean(row);
            continue;
        }
        /* After a failure the rest is only moved together. */
        struct ps_bundle_row moved = *row;
        rows->items[kept++] = moved;
    }
    rows->count = kept;
    for (size_t i = 0; i < kept; i++) { rows->items[i].order = i; }
    return rc == PS_OK ? check_overlaps(rows, err) : rc;
}

static enum ps_code put_sized(struct ps_buf *out, struct ps_span bytes, struct ps_error *err)
{
    uint8_t size[PS_VARINT64_BYTES];
    enum ps_code rc = ps_buf_append(out, size, ps_varint_put(size, bytes.size), err);
    return rc == PS_OK ? ps_buf_append(out, bytes.data, bytes.size, err) : rc;
}

static bool get_sized(const uint8_t **at, const uint8_t *end, struct ps_span *bytes)
{
    uint64_t size;
    if (!ps_varint_get(at, end, &size) || size > (size_t)(end - *at)) { return false; }
    *bytes = (struct ps_span){ .data = *at, .size = (size_t)size };
    *at += size;
    return true;
}

enum ps_code ps_bundle_rows_encode(const struct ps_bundle_rows *rows, struct ps_buf *out,
                                   struct ps_error *err)
{
    struct ps_buf value = { 0 };
    enum ps_code rc = PS_OK;
    for (size_t i = 0; i < rows->count; i++) {
        value.size = 0;
        PS_TRY(done, rc, ps_bundle_entry_encode(&rows->items[i].entry, &value, err));
        PS_TRY(done, rc, put_sized(out, span_of(&rows->items[i].key), err));
        PS_TRY(done, rc, put_sized(out, span_of(&value), err));
    }
done:
    ps_buf_clean(&value);
    return rc;
}

enum ps_code ps_bundle_rows_decode(struct ps_span bytes, struct ps_bundle_rows *rows,
                                   struct ps_error *err)
{
    const uint8_t *at = bytes.data;
    const uint8_t *end = ps_span_end(bytes);
    while (at < end) {
        struct ps_span key, value;
        struct ps_bundle_entry entry;
        if (!get_sized(&at, end, &key) || !get_sized(&at, end, &value)) {
            return ps_fail(err, PS_DATA_LOSS, "index rows are cut or malformed");
        }
        if (key.size == 0 || key.size > PS_TABLE_KEY_LIMIT_BYTES) {
            return ps_fail(err, PS_DATA_LOSS, "an index row with a key of %zu bytes", key.size);
        }
        enum ps_code rc = ps_bundle_entry_decode(value, &entry, err);
        if (rc == PS_OK) { rc = ps_bundle_rows_add(rows, key, &entry, err); }
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

/* Bytes that would spoil a terminal or a log line become dots. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) { *text = '.'; }
    }
}

const char *ps_bundle_key_format(struct ps_span key, char text[PS_BUNDLE_KEY_TEXT_BYTES])
{
    enum { NAME_SHOWN = 160 };
    struct ps_buf name = { 0 };
    struct ps_slice slice;
    char slice_text[PS_SLICE_TEXT_BYTES];
    bool is_slice = key.size > 0 && key.data[0] == 0 &&
                    ps_ordered_slice_key_parse(key, &name, &slice, NULL) == PS_OK;
    struct ps_span shown = is_slice ? span_of(&name) : key;
    int size = shown.size < NAME_SHOWN ? (int)shown.size : NAME_SHOWN;
    const char *data = shown.size == 0 ? "" : (const char *)shown.data;
    if (is_slice) {
        snprintf(text, PS_BUNDLE_KEY_TEXT_BYTES, "%.*s (slice %.100s)", size, data,
                 ps_slice_format(&slice, slice_text));
    } else {
        snprintf(text, PS_BUNDLE_KEY_TEXT_BYTES, "%.*s", size, data);
    }
    make_printable(text);
    ps_buf_clean(&name);
    return text;
}
