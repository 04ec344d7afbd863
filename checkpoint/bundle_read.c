/* Reading values: boxes assembled from stored boxes, every entry checked against its CRC. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "checkpoint/bundle_reader_priv.h"
#include "checkpoint/files.h"
#include "checkpoint/varint.h"
#include "core/alloc.h"

/* Runs at least this long go straight to the caller's memory, shorter ones through the window. */
enum { DIRECT_RUN_BYTES = 64 << 10 };

static struct ps_span span_of(const struct ps_buf *buf)
{
    return (struct ps_span){ .data = buf->data, .size = buf->size };
}

static struct psi_row_state *state_of(const struct ps_bundle_reader *reader,
                                      const struct ps_bundle_row *row)
{
    return &reader->states[row - reader->rows.items];
}

/* The shard of a row, with the row's bytes known to lie inside it. */
enum ps_code psi_bundle_read_shard(const struct ps_bundle_reader *reader,
                                   const struct ps_bundle_row *row,
                                   const struct psi_shard **shard_out, struct ps_error *err)
{
    char text[PS_BUNDLE_KEY_TEXT_BYTES];
    const struct ps_bundle_entry *entry = &row->entry;
    ps_bundle_key_format(span_of(&row->key), text);
    uint32_t index = (uint32_t)entry->shard_index;
    if (index >= reader->shard_count) {
        return ps_fail(err, PS_DATA_LOSS, "'%s' is said to be in data file %u of %u", text, index,
                       reader->shard_count);
    }
    *shard_out = &reader->shards[index];
    if ((*shard_out)->file == NULL) {
        return ps_fail(err, PS_DATA_LOSS, "'%s': data file '%s.data-%05u-of-%05u' is missing", text,
                       reader->prefix, index, reader->shard_count);
    }
    if (entry->offset + entry->size_bytes > (*shard_out)->size_bytes) {
        return ps_fail(err, PS_DATA_LOSS,
                       "'%s': data file '%s.data-%05u-of-%05u' was cut: %" PRIu64 " bytes, and the "
                       "tensor ends at %" PRIu64,
                       text, reader->prefix, index, reader->shard_count, (*shard_out)->size_bytes,
                       entry->offset + entry->size_bytes);
    }
    return PS_OK;
}

static enum ps_code check_size(const struct ps_bundle_row *row, enum ps_dtype dtype,
                               struct ps_error *err)
{
    char text[PS_BUNDLE_KEY_TEXT_BYTES];
    uint64_t expected = (uint64_t)ps_shape_elements(&row->entry.shape);
    expected *= (uint64_t)ps_dtype_size(dtype); /* fits: the shape was checked for 16 */
    if (row->entry.size_bytes == expected) { return PS_OK; }
    return ps_fail(err, PS_DATA_LOSS,
                   "Invalid size in bundle entry: key %s; stored size %" PRIu64
                   "; expected size %" PRIu64,
                   ps_bundle_key_format(span_of(&row->key), text), row->entry.size_bytes, expected);
}

enum ps_code psi_bundle_read_crc(const struct ps_bundle_row *row, uint32_t crc,
                                 struct ps_error *err)
{
    char text[PS_BUNDLE_KEY_TEXT_BYTES];
    uint32_t stored = ps_crc_unmask(row->entry.masked_crc);
    if (stored == crc) { return PS_OK; }
    return ps_fail(err, PS_DATA_LOSS,
                   "'%s': Checksum does not match: stored %08" PRIu32
                   " vs. calculated on the restored bytes %" PRIu32,
                   ps_bundle_key_format(span_of(&row->key), text), stored, crc);
}

static enum ps_code need_window(struct ps_bundle_reader *reader, struct ps_error *err)
{
    if (reader->window == NULL) { reader->window = ps_alloc(PSI_WINDOW_BYTES); }
    if (reader->window != NULL) { return PS_OK; }
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to read '%s'", reader->prefix);
}

/* Reads all bytes of a row and checks them; to out, or, if that is NULL, to nowhere. */
static enum ps_code read_checked(struct ps_bundle_reader *reader, const struct ps_bundle_row *row,
                                 uint8_t *out, struct ps_error *err)
{
    const struct psi_shard *shard;
    uint32_t crc = 0;
    enum ps_code rc;
    PS_TRY(done, rc, psi_bundle_read_shard(reader, row, &shard, err));
    if (out == NULL) { PS_TRY(done, rc, need_window(reader, err)); }
    uint64_t size = row->entry.size_bytes;
    for (uint64_t at = 0; at < size; at += PSI_WINDOW_BYTES) {
        size_t run = size - at < PSI_WINDOW_BYTES ? (size_t)(size - at) : PSI_WINDOW_BYTES;
        uint8_t *to = out == NULL ? reader->window : out + at;
        PS_TRY(done, rc,
               shard->file->ops->read_at(shard->file, row->entry.offset + at, to, run, err));
        crc = ps_crc32c(crc, to, run);
    }
    PS_TRY(done, rc, psi_bundle_read_crc(row, crc, err));
    state_of(reader, row)->is_verified = true;
done:
    return rc;
}

static enum ps_code need_verified(struct ps_bundle_reader *reader, const struct ps_bundle_row *row,
                                  struct ps_error *err)
{
    return state_of(reader, row)->is_verified ? PS_OK : read_checked(reader, row, NULL, err);
}

/* ---- boxes ---- */

/* How the elements common to a stored box and a wanted one lie in both. */
struct box_copy {
    const struct ps_slice *stored;
    const struct ps_slice *wanted;
    struct ps_slice common;
    uint64_t element_bytes;
    int outer_rank; /* dimensions to walk over; the rest is one contiguous run in both */
    uint64_t run_bytes;
    int64_t walk[PS_MAX_RANK];
};

/* The inner dimensions that are whole in both boxes, and the one outside them, make up a run. */
static void plan_runs(struct box_copy *copy)
{
    int dim = copy->common.rank;
    uint64_t elements = 1;
    while (dim > 0) {
        int64_t length = copy->common.extents[--dim].length;
        elements *= (uint64_t)length;
        if (length != copy->stored->extents[dim].length ||
            length != copy->wanted->extents[dim].length) {
            break;
        }
    }
    copy->outer_rank = dim;
    copy->run_bytes = elements * copy->element_bytes;
}

/* The byte at which the run under the walk begins in box. */
static uint64_t run_offset(const struct box_copy *copy, const struct ps_slice *box)
{
    uint64_t element = 0;
    for (int i = 0; i < box->rank; i++) {
        int64_t step = i < copy->outer_rank ? copy->walk[i] : 0;
        int64_t index = copy->common.extents[i].start - box->extents[i].start + step;
        element = element * (uint64_t)box->extents[i].length + (uint64_t)index;
    }
    return element * copy->element_bytes;
}

/* To the next run; false behind the last. */
static bool next_run(struct box_copy *copy)
{
    for (int i = copy->outer_rank - 1; i >= 0; i--) {
        if (++copy->walk[i] < copy->common.extents[i].length) { return true; }
        copy->walk[i] = 0;
    }
    return false;
}

/* Bytes of a row, seen through a window of it that moves forward. */
struct row_window {
    struct ps_bundle_reader *reader;
    const struct ps_bundle_row *row;
    struct ps_file *file;
    uint64_t start;
    size_t size;
};

static enum ps_code window_copy(struct row_window *window, uint64_t at, uint8_t *out, size_t size,
                                struct ps_error *err)
{
    uint64_t offset = window->row->entry.offset;
    if (size >= DIRECT_RUN_BYTES) {
        return window->file->ops->read_at(window->file, offset + at, out, size, err);
    }
    bool is_inside = at >= window->start && at + size <= window->start + window->size;
    if (!is_inside) {
        uint64_t left = window->row->entry.size_bytes - at;
        window->start = at;
        window->size = left < PSI_WINDOW_BYTES ? (size_t)left : PSI_WINDOW_BYTES;
        enum ps_code rc = window->file->ops->read_at(window->file, offset + at,
                                                     window->reader->window, window->size, err);
        if (rc != PS_OK) { return rc; }
    }
    memcpy(out, window->reader->window + (at - window->start), size);
    return PS_OK;
}

/* Copies what a stored row and the wanted box share. */
static enum ps_code copy_box(struct ps_bundle_reader *reader, const struct ps_bundle_row *row,
                             struct box_copy *copy, uint8_t *out, struct ps_error *err)
{
    const struct psi_shard *shard;
    enum ps_code rc;
    plan_runs(copy);
    uint64_t to = run_offset(copy, copy->wanted);
    bool is_one_run = copy->outer_rank == 0 && copy->run_bytes == row->entry.size_bytes;
    if (is_one_run && !state_of(reader, row)->is_verified) {
        return read_checked(reader, row, out + to, err); /* checksum and copy in one pass */
    }
    PS_TRY(done, rc, psi_bundle_read_shard(reader, row, &shard, err));
    PS_TRY(done, rc, need_verified(reader, row, err));
    PS_TRY(done, rc, need_window(reader, err));
    struct row_window window = { .reader = reader, .row = row, .file = shard->file };
    do {
        PS_TRY(done, rc,
               window_copy(&window, run_offset(copy, copy->stored),
                           out + run_offset(copy, copy->wanted), (size_t)copy->run_bytes, err));
    } while (next_run(copy));
done:
    return rc;
}

/* ---- tensors ---- */

static enum ps_code fill_from(struct ps_bundle_reader *reader, const struct psi_target *target,
                              const struct ps_bundle_row *row, const struct ps_slice *stored,
                              struct ps_error *err)
{
    struct box_copy copy = { .stored = stored, .wanted = &target->wanted };
    copy.element_bytes = (uint64_t)ps_dtype_size(target->dtype);
    enum ps_code rc = check_size(row, target->dtype, err);
    if (rc != PS_OK) { return rc; }
    if (target->out == NULL) { return need_verified(reader, row, err); }
    if (row->entry.size_bytes == 0) { return need_verified(reader, row, err); }
    bool do_meet = ps_slice_intersect(stored, &target->wanted, &copy.common);
    return do_meet ? copy_box(reader, row, &copy, target->out, err) : PS_OK;
}

/* The row of one listed slice. */
static enum ps_code find_slice(const struct ps_bundle_reader *reader,
                               const struct psi_target *target, const struct ps_slice *slice,
                               const struct ps_bundle_row **row_out, struct ps_error *err)
{
    char text[PS_SLICE_TEXT_BYTES];
    struct ps_buf key = { 0 };
    const struct ps_bundle_row *whole = target->row;
    enum ps_code rc = ps_ordered_slice_key(&key, span_of(&whole->key), slice, err);
    *row_out = rc == PS_OK ? psi_bundle_reader_row(reader, span_of(&key)) : NULL;
    ps_buf_clean(&key);
    if (rc != PS_OK) { return rc; }
    struct ps_slice resolved = ps_slice_resolve(slice, &whole->entry.shape);
    struct ps_shape shape = ps_slice_shape(&resolved);
    bool is_good = *row_out != NULL && (*row_out)->entry.slice_count == 0 &&
                   (*row_out)->entry.dtype == whole->entry.dtype &&
                   ps_shape_equal(&(*row_out)->entry.shape, &shape);
    if (is_good) { return PS_OK; }
    return ps_fail(err, PS_DATA_LOSS, "slice %s of '%s' is listed, but %s",
                   ps_slice_format(slice, text), (const char *)whole->key.data,
                   *row_out == NULL ? "not stored" : "stored with another dtype or shape");
}

static enum ps_code need_disjoint(struct ps_bundle_reader *reader, const struct ps_bundle_row *row,
                                  struct ps_error *err)
{
    const struct ps_bundle_entry *entry = &row->entry;
    if (state_of(reader, row)->is_verified) { return PS_OK; }
    enum ps_code rc = ps_slice_check_disjoint(entry->slices, entry->slice_count, &entry->shape,
                                              err);
    if (rc != PS_OK) {
        (void)ps_wrap(err, "'%s'", (const char *)row->key.data);
        return rc;
    }
    state_of(reader, row)->is_verified = true;
    return PS_OK;
}

/* Disjoint slices that share as many elements with the box as it has leave no gap. */
static enum ps_code fill_from_slices(struct ps_bundle_reader *reader,
                                     const struct psi_target *target, struct ps_error *err)
{
    char text[PS_SLICE_TEXT_BYTES];
    const struct ps_bundle_entry *entry = &target->row->entry;
    struct ps_shape wanted_shape = ps_slice_shape(&target->wanted);
    int64_t missing = ps_shape_elements(&wanted_shape);
    enum ps_code rc;
    PS_TRY(done, rc, need_disjoint(reader, target->row, err));
    for (size_t i = 0; i < entry->slice_count; i++) {
        struct ps_slice common;
        const struct ps_bundle_row *row;
        struct ps_slice stored = ps_slice_resolve(&entry->slices[i], &entry->shape);
        if (!ps_slice_intersect(&stored, &target->wanted, &common)) { continue; }
        struct ps_shape shape = ps_slice_shape(&common);
        missing -= ps_shape_elements(&shape);
        PS_TRY(done, rc, find_slice(reader, target, &entry->slices[i], &row, err));
        PS_TRY(done, rc, fill_from(reader, target, row, &stored, err));
    }
    if (missing != 0) {
        rc = ps_fail(err, PS_INVALID_ARGUMENT,
                     "Does not have sufficient slices for partitioned tensor %s to restore in "
                     "slice_spec: %s",
                     (const char *)target->row->key.data, ps_slice_format(&target->wanted, text));
    }
done:
    return rc;
}

enum ps_code psi_bundle_read_fill(struct ps_bundle_reader *reader, const struct psi_target *target,
                                  struct ps_error *err)
{
    if (target->row->entry.slice_count > 0) { return fill_from_slices(reader, target, err); }
    struct ps_slice whole = ps_slice_whole(&target->row->entry.shape);
    return fill_from(reader, target, target->row, &whole, err);
}

/* Type and box of a request, checked against what is stored. */
enum ps_code psi_bundle_read_aim(const struct ps_bundle_reader *reader,
                                 const struct ps_bundle_request *request, struct psi_target *target,
                                 struct ps_error *err)
{
    enum ps_code rc;
    PS_TRY(done, rc, psi_bundle_reader_tensor(reader, request->name, &target->row, err));
    const struct ps_bundle_entry *entry = &target->row->entry;
    rc = ps_dtype_from_number(entry->dtype, &target->dtype, err);
    if (rc != PS_OK) { goto wrap; }
    if (request->dtype != PS_DTYPE_INVALID && request->dtype != target->dtype) {
        rc = ps_fail(err, PS_INVALID_ARGUMENT, "Expected dtype %s does not equal restored dtype %s",
                     ps_dtype_name((int)request->dtype), ps_dtype_name((int)target->dtype));
        goto wrap;
    }
    target->wanted = ps_slice_whole(&entry->shape);
    if (request->slice == NULL) { return PS_OK; }
    rc = ps_slice_check(request->slice, &entry->shape, err);
    if (rc != PS_OK) { goto wrap; }
    target->wanted = ps_slice_resolve(request->slice, &entry->shape);
    return PS_OK;
wrap:
    (void)ps_wrap(err, "tensor_name = %s", request->name);
done:
    return rc;
}

enum ps_code ps_bundle_reader_read(struct ps_bundle_reader *reader,
                                   const struct ps_bundle_request *request, void *out,
                                   size_t size_bytes, struct ps_error *err)
{
    uint8_t nothing;
    struct psi_target target = { .out = size_bytes == 0 ? &nothing : out };
    enum ps_code rc = psi_bundle_read_aim(reader, request, &target, err);
    if (rc != PS_OK) { return rc; }
    if (target.dtype == PS_STRING) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "'%s' holds strings: read it as such",
                       request->name);
    }
    struct ps_shape shape = ps_slice_shape(&target.wanted);
    uint64_t need = (uint64_t)ps_shape_elements(&shape) * (uint64_t)ps_dtype_size(target.dtype);
    if (need != size_bytes) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "'%s': room for %zu bytes, but what is asked for has %" PRIu64,
                       request->name, size_bytes, need);
    }
    return psi_bundle_read_fill(reader, &target, err);
}
