/* The directory of a zip file, with every number in it checked against the file. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/zip_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/files.h"
#include "core/alloc.h"
#include "core/bytes.h"
#include "deploy/zip_format.h"

/* A comment behind the end record may have 64 KiB; deflate cannot pack better than 1032 to 1. */
enum { TAIL_BYTES_MAX = PS_ZIP_END_BYTES + 0xffff, DEFLATE_RATIO_MAX = 1032 };
#define ONES32 0xffffffffu

static enum ps_code damaged(const struct ps_zip_reader *zip, const char *what, struct ps_error *err)
{
    return ps_fail(err, PS_DATA_LOSS, "'%s' is no zip file, or a damaged one: %s", zip->path, what);
}

static enum ps_code read_at(const struct ps_zip_reader *zip, uint64_t offset, void *out,
                            size_t size, struct ps_error *err)
{
    return zip->file->ops->read_at(zip->file, offset, out, size, err);
}

/* ---- The end record ---- */

struct end {
    uint64_t offset; /* where the first of the end's records begins */
    uint64_t count;
    uint64_t directory_offset;
    uint64_t directory_bytes;
};

/* The last place where an end record fits with its comment up to the file's end; -1: nowhere. */
static long find_end(const uint8_t *tail, size_t size)
{
    for (long at = (long)size - PS_ZIP_END_BYTES; at >= 0; at--) {
        if (ps_zip_get32(tail + at) != PS_ZIP_END_SIGNATURE) { continue; }
        if (ps_zip_get16(tail + at + 20) == size - PS_ZIP_END_BYTES - (size_t)at) { return at; }
    }
    return -1;
}

/* The second end record, if a locator stands before the first. */
static enum ps_code read_end64(const struct ps_zip_reader *zip, struct end *end,
                               struct ps_error *err)
{
    uint8_t locator[PS_ZIP_LOCATOR_BYTES], record[PS_ZIP_END64_BYTES];
    enum ps_code rc = PS_OK;
    if (end->offset < PS_ZIP_LOCATOR_BYTES) { return PS_OK; }
    uint64_t locator_offset = end->offset - PS_ZIP_LOCATOR_BYTES;
    PS_TRY(done, rc, read_at(zip, locator_offset, locator, sizeof locator, err));
    if (ps_zip_get32(locator) != PS_ZIP_LOCATOR_SIGNATURE) { return PS_OK; }
    uint64_t offset = ps_zip_get64(locator + 8);
    if (offset > locator_offset || locator_offset - offset < sizeof record) {
        return damaged(zip, "its 64-bit end record lies outside", err);
    }
    PS_TRY(done, rc, read_at(zip, offset, record, sizeof record, err));
    if (ps_zip_get32(record) != PS_ZIP_END64_SIGNATURE) {
        return damaged(zip, "its 64-bit end record is none", err);
    }
    end->offset = offset;
    end->count = ps_zip_get64(record + 32);
    end->directory_bytes = ps_zip_get64(record + 40);
    end->directory_offset = ps_zip_get64(record + 48);
done:
    return rc;
}

static enum ps_code read_end(const struct ps_zip_reader *zip, struct end *end, struct ps_error *err)
{
    struct ps_file_info info;
    uint8_t *tail = NULL;
    enum ps_code rc;
    PS_TRY(done, rc, zip->file->ops->info(zip->file, &info, err));
    size_t size = info.size_bytes < TAIL_BYTES_MAX ? (size_t)info.size_bytes : TAIL_BYTES_MAX;
    tail = ps_alloc(size + 1);
    if (tail == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to read a zip file");
    }
    PS_TRY(done, rc, read_at(zip, info.size_bytes - size, tail, size, err));
    long at = find_end(tail, size);
    if (at < 0) {
        rc = damaged(zip, "it has no end record; was it copied completely?", err);
        goto done;
    }
    end->offset = info.size_bytes - size + (uint64_t)at;
    end->count = ps_zip_get16(tail + at + 10);
    end->directory_bytes = ps_zip_get32(tail + at + 12);
    end->directory_offset = ps_zip_get32(tail + at + 16);
    PS_TRY(done, rc, read_end64(zip, end, err));
    if (end->directory_offset > end->offset ||
        end->directory_bytes != end->offset - end->directory_offset) {
        rc = damaged(zip, "its directory is not where its end says", err);
    } else if (end->directory_bytes > PS_ZIP_DIRECTORY_BYTES_MAX) {
        rc = ps_fail(err, PS_RESOURCE_EXHAUSTED,
                     "'%s' has a directory of %" PRIu64 " bytes; the limit is %d", zip->path,
                     end->directory_bytes, PS_ZIP_DIRECTORY_BYTES_MAX);
    } else if (end->count > end->directory_bytes / PS_ZIP_CENTRAL_BYTES) {
        rc = damaged(zip, "it claims more members than its directory has room for", err);
    }
done:
    ps_free(tail);
    return rc;
}

/* ---- The directory ---- */

/* The next of the numbers that the extra field holds for those that are all ones. */
static bool take64(struct ps_span *field, uint64_t *number)
{
    if (field->size < 8) { return false; }
    *number = ps_zip_get64(field->data);
    field->data += 8;
    field->size -= 8;
    return true;
}

/* Finds a field of the extra bytes; size 0 if it is not there. False if they are malformed. */
static bool find_extra(struct ps_span extra, uint32_t tag, struct ps_span *field_out)
{
    *field_out = (struct ps_span){ .size = 0 };
    while (extra.size >= 4) {
        size_t size = ps_zip_get16(extra.data + 2);
        if (size > extra.size - 4) { return false; }
        if (ps_zip_get16(extra.data) == tag) {
            *field_out = (struct ps_span){ extra.data + 4, size };
            return true;
        }
        extra.data += 4 + size;
        extra.size -= 4 + size;
    }
    return true; /* fewer than four bytes of padding: seen in the wild */
}

static bool read_numbers(const uint8_t *record, struct ps_span extra, struct ps_zip_member *member)
{
    struct ps_span wide;
    member->packed_bytes = ps_zip_get32(record + 20);
    member->size_bytes = ps_zip_get32(record + 24);
    member->header_offset = ps_zip_get32(record + 42);
    if (!find_extra(extra, PS_ZIP_EXTRA64, &wide)) { return false; }
    return (member->size_bytes != ONES32 || take64(&wide, &member->size_bytes)) &&
           (member->packed_bytes != ONES32 || take64(&wide, &member->packed_bytes)) &&
           (member->header_offset != ONES32 || take64(&wide, &member->header_offset));
}

static enum ps_code copy_name(const struct ps_zip_reader *zip, struct ps_span name, bool is_utf8,
                              char **name_out, struct ps_error *err)
{
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] == 0) { return damaged(zip, "a name holds a NUL byte", err); }
        if (name.data[i] >= 0x80 && !is_utf8) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "'%s': a name is not ASCII, and not said to be "
                           "UTF-8",
                           zip->path);
        }
    }
    char *copy = ps_alloc(name.size + 1);
    if (copy == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a name"); }
    memcpy(copy, name.data, name.size);
    copy[name.size] = '\0';
    *name_out = copy;
    return PS_OK;
}

static enum ps_code check_method(const struct ps_zip_reader *zip,
                                 const struct ps_zip_member *member, uint32_t flags,
                                 uint32_t method, struct ps_error *err)
{
    if ((flags & PS_ZIP_FLAG_ENCRYPTED) != 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "'%s': '%.200s' is encrypted", zip->path,
                       member->name);
    }
    if (method != PS_ZIP_STORED && method != PS_ZIP_DEFLATED) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "'%s': '%.200s' is packed by method %u; NumPy writes 0 "
                       "(stored) and 8 (deflated)",
                       zip->path, member->name, method);
    }
    bool good = method == PS_ZIP_STORED
                    ? member->size_bytes == member->packed_bytes
                    : member->size_bytes / DEFLATE_RATIO_MAX <= member->packed_bytes;
    return good ? PS_OK : damaged(zip, "a member's two sizes do not fit together", err);
}

/* One record of the directory, taken off its bytes. */
static enum ps_code take_member(struct ps_zip_reader *zip, struct ps_span *directory,
                                struct ps_error *err)
{
    const uint8_t *record = directory->data;
    struct ps_zip_member *member = &zip->members[zip->count];
    if (directory->size < PS_ZIP_CENTRAL_BYTES ||
        ps_zip_get32(record) != PS_ZIP_CENTRAL_SIGNATURE) {
        return damaged(zip, "its directory ends early or holds something else", err);
    }
    uint32_t flags = ps_zip_get16(record + 8);
    struct ps_span name = { record + PS_ZIP_CENTRAL_BYTES, ps_zip_get16(record + 28) };
    struct ps_span extra = { name.data + name.size, ps_zip_get16(record + 30) };
    size_t whole = PS_ZIP_CENTRAL_BYTES + name.size + extra.size + ps_zip_get16(record + 32);
    if (whole > directory->size || !read_numbers(record, extra, member)) {
        return damaged(zip, "a record of its directory is cut", err);
    }
    enum ps_code rc = copy_name(zip, name, (flags & PS_ZIP_FLAG_UTF8) != 0, &member->name, err);
    if (rc != PS_OK) { return rc; }
    zip->count++;
    member->crc = ps_zip_get32(record + 16);
    member->is_deflated = ps_zip_get16(record + 10) == PS_ZIP_DEFLATED;
    directory->data += whole;
    directory->size -= whole;
    return check_method(zip, member, flags, ps_zip_get16(record + 10), err);
}

static enum ps_code read_directory(struct ps_zip_reader *zip, struct ps_error *err)
{
    struct end end = { 0 };
    uint8_t *bytes = NULL;
    enum ps_code rc;
    PS_TRY(done, rc, read_end(zip, &end, err));
    zip->directory_offset = end.directory_offset;
    zip->members = ps_alloc_zero((size_t)end.count + 1, sizeof *zip->members);
    bytes = ps_alloc((size_t)end.directory_bytes + 1);
    if (zip->members == NULL || bytes == NULL) {
        rc = ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for the directory of '%s'", zip->path);
        goto done;
    }
    PS_TRY(done, rc, read_at(zip, end.directory_offset, bytes, (size_t)end.directory_bytes, err));
    struct ps_span directory = { bytes, (size_t)end.directory_bytes };
    while (zip->count < end.count) { PS_TRY(done, rc, take_member(zip, &directory, err)); }
    if (directory.size > 0) { rc = damaged(zip, "its directory has bytes left over", err); }
done:
    ps_free(bytes);
    return rc;
}

/* ---- The members ---- */

/* A member's own header must tell the same story; it alone tells where the data begins. */
static enum ps_code find_data(const struct ps_zip_reader *zip, struct ps_zip_member *member,
                              struct ps_error *err)
{
    uint8_t header[PS_ZIP_LOCAL_BYTES];
    size_t name_size = strlen(member->name);
    uint8_t *name = NULL;
    enum ps_code rc;
    if (member->header_offset > zip->directory_offset ||
        zip->directory_offset - member->header_offset < sizeof header + name_size) {
        return damaged(zip, "a member begins outside", err);
    }
    PS_TRY(done, rc, read_at(zip, member->header_offset, header, sizeof header, err));
    uint32_t method = member->is_deflated ? PS_ZIP_DEFLATED : PS_ZIP_STORED;
    if (ps_zip_get32(header) != PS_ZIP_LOCAL_SIGNATURE || ps_zip_get16(header + 26) != name_size ||
        ps_zip_get16(header + 8) != method) {
        return damaged(zip, "a member's header differs from the directory", err);
    }
    name = ps_alloc(name_size + 1);
    if (name == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a name"); }
    PS_TRY(done, rc, read_at(zip, member->header_offset + sizeof header, name, name_size, err));
    member->data_offset = member->header_offset + sizeof header + name_size +
                          ps_zip_get16(header + 28);
    if (memcmp(name, member->name, name_size) != 0) {
        rc = damaged(zip, "a member's name differs from the directory", err);
    }
done:
    ps_free(name);
    return rc;
}

static int compare_offsets(const void *a, const void *b)
{
    const struct ps_zip_member *x = a, *y = b;
    return (x->header_offset > y->header_offset) - (x->header_offset < y->header_offset);
}

/* No byte belongs to two members, which is how small files claim to be endless. */
static enum ps_code check_members(struct ps_zip_reader *zip, struct ps_error *err)
{
    if (zip->count > 0) { qsort(zip->members, zip->count, sizeof *zip->members, compare_offsets); }
    for (size_t i = 0; i < zip->count; i++) {
        struct ps_zip_member *member = &zip->members[i];
        uint64_t next = i + 1 < zip->count ? member[1].header_offset : zip->directory_offset;
        enum ps_code rc = find_data(zip, member, err);
        if (rc != PS_OK) { return rc; }
        if (member->data_offset > next || member->packed_bytes > next - member->data_offset) {
            return damaged(zip, "two members overlap, or one ends outside", err);
        }
    }
    return PS_OK;
}

enum ps_code ps_zip_reader_open(const char *path, struct ps_zip_reader *zip, struct ps_error *err)
{
    const struct ps_files *files = ps_files_posix();
    enum ps_code rc;
    *zip = (struct ps_zip_reader){ .path = ps_strdup(path) };
    if (zip->path == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for '%s'", path);
    }
    PS_TRY(fail, rc, files->open(files->ctx, path, &zip->file, err));
    PS_TRY(fail, rc, read_directory(zip, err));
    PS_TRY(fail, rc, check_members(zip, err));
    return PS_OK;
fail:
    ps_zip_reader_close(zip);
    return rc;
}

void ps_zip_reader_close(struct ps_zip_reader *zip)
{
    if (zip == NULL) { return; }
    for (size_t i = 0; i < zip->count; i++) { ps_free(zip->members[i].name); }
    ps_free(zip->members);
    ps_free(zip->path);
    ps_files_drop(&zip->file);
    *zip = (struct ps_zip_reader){ .file = NULL };
}
