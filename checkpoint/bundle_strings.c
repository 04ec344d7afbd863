/* Reading tensors of strings: lengths, their own checksum, the bytes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "checkpoint/bundle_reader_priv.h"
#include "checkpoint/files.h"
#include "checkpoint/varint.h"
#include "core/alloc.h"

void ps_bundle_strings_clean(struct ps_bundle_strings *strings)
{
    if (strings == NULL) { return; }
    ps_free(strings->items);
    ps_buf_clean(&strings->bytes);
    *strings = (struct ps_bundle_strings){ 0 };
}

static enum ps_code bad_strings(const struct ps_bundle_row *row, const char *what,
                                struct ps_error *err)
{
    return ps_fail(err, PS_DATA_LOSS, "string tensor '%s': %s", (const char *)row->key.data, what);
}

/* All bytes of the row, and how many strings they should be. */
static enum ps_code load_strings(struct ps_bundle_reader *reader, const struct ps_bundle_row *row,
                                 struct ps_bundle_strings *strings, struct ps_error *err)
{
    const struct psi_shard *shard;
    uint64_t size = row->entry.size_bytes;
    uint64_t count = (uint64_t)ps_shape_elements(&row->entry.shape);
    enum ps_code rc;
    PS_TRY(done, rc, psi_bundle_read_shard(reader, row, &shard, err));
    if (count > size) { return bad_strings(row, "fewer bytes than strings", err); }
    if (size > PS_BUNDLE_STRINGS_MAX_BYTES) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED,
                       "string tensor '%s' has %" PRIu64 " bytes; the limit is %d",
                       (const char *)row->key.data, size, PS_BUNDLE_STRINGS_MAX_BYTES);
    }
    PS_TRY(done, rc, ps_buf_reserve(&strings->bytes, (size_t)size + 1, err));
    strings->bytes.size = (size_t)size;
    strings->count = (size_t)count;
    strings->items = ps_alloc_zero((size_t)count + 1, sizeof *strings->items);
    if (strings->items == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for %" PRIu64 " strings", count);
    }
    PS_TRY(done, rc,
           shard->file->ops->read_at(shard->file, row->entry.offset, strings->bytes.data,
                                     (size_t)size, err));
done:
    return rc;
}

/* Lengths, their checksum, the bytes; the entry's CRC covers lengths as words, not as varints. */
static enum ps_code split_strings(const struct ps_bundle_row *row,
                                  struct ps_bundle_strings *strings, struct ps_error *err)
{
    const uint8_t *at = strings->bytes.data;
    const uint8_t *end = at + strings->bytes.size;
    uint32_t crc = 0;
    if (strings->bytes.size == 0) { return PS_OK; }
    for (size_t i = 0; i < strings->count; i++) {
        uint64_t size;
        uint8_t word[8];
        if (!ps_varint_get(&at, end, &size) || size > strings->bytes.size) {
            return bad_strings(row, "a length is malformed", err);
        }
        ps_fixed32_put(word, (uint32_t)size);
        crc = ps_crc32c(crc, word, 4); /* the limit on all bytes keeps each length below 32 bits */
        strings->items[i].size = (size_t)size;
    }
    if (end - at < 4) { return bad_strings(row, "the checksum of the lengths is cut", err); }
    if (ps_crc_unmask(ps_fixed32_get(at)) != crc) {
        return bad_strings(row, "the length checksum does not match", err);
    }
    crc = ps_crc32c(crc, at, (size_t)(end - at));
    at += 4;
    for (size_t i = 0; i < strings->count; i++) {
        if (strings->items[i].size > (size_t)(end - at)) {
            return bad_strings(row, "the strings are longer than the entry", err);
        }
        strings->items[i].data = at;
        at += strings->items[i].size;
    }
    if (at != end) { return bad_strings(row, "bytes left over", err); }
    return psi_bundle_read_crc(row, crc, err);
}

enum ps_code ps_bundle_reader_read_strings(struct ps_bundle_reader *reader, const char *name,
                                           struct ps_bundle_strings *strings_out,
                                           struct ps_error *err)
{
    enum ps_code rc;
    struct psi_target target = { 0 };
    const struct ps_bundle_request request = { .name = name, .dtype = PS_STRING };
    *strings_out = (struct ps_bundle_strings){ 0 };
    PS_TRY(done, rc, psi_bundle_read_aim(reader, &request, &target, err));
    if (target.row->entry.slice_count > 0) {
        return ps_fail(err, PS_UNIMPLEMENTED, "'%s': partitioned string tensors are not supported",
                       name);
    }
    PS_TRY(fail, rc, load_strings(reader, target.row, strings_out, err));
    PS_TRY(fail, rc, split_strings(target.row, strings_out, err));
    return PS_OK;
fail:
    ps_bundle_strings_clean(strings_out);
done:
    return rc;
}
