/* Random tensors made from a number, written with the writer or in parts, and compared. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/powercut/content.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/bundle_merge.h"
#include "checkpoint/bundle_reader.h"
#include "checkpoint/bundle_writer.h"
#include "checkpoint/files.h"
#include "checkpoint/recover.h"
#include "core/philox.h"

enum { TENSORS_MAX = 6, SHARDS_MAX = 3, NAME_BYTES = 24 };

/* A data file is written 1 MiB at a time, past the page cache: some tensors are larger. */
enum { LARGE_BYTES = (1 << 20) + 4096, TENSOR_BYTES_MAX = LARGE_BYTES + (1 << 16) };

/* Streams of one number: what it looks like, and from this one on its tensors. */
enum { SHAPE_STREAM = PS_STREAM_TEST, TENSOR_STREAM = PS_STREAM_TEST + 1 };

static struct ps_philox_block shape_of(uint64_t number, uint64_t index)
{
    return ps_philox(number, SHAPE_STREAM, index);
}

static int tensor_count(uint64_t number)
{
    return 1 + (int)(shape_of(number, 0).word[0] % TENSORS_MAX);
}

/* Few tensors are large, many smaller than a block of a disk, some empty. */
static size_t tensor_size(uint64_t number, int tensor)
{
    static const uint32_t limits[] = { 1, 64, 64, 5000, 5000, 5000, 40000, 40000 };
    struct ps_philox_block block = shape_of(number, 1 + (uint64_t)tensor);
    if (block.word[0] % 24 == 0) { return LARGE_BYTES + block.word[1] % (1 << 16); }
    return block.word[1] % limits[block.word[2] % (sizeof limits / sizeof limits[0])];
}

int content_shard_count(uint64_t number)
{
    int wanted = 1 + (int)(shape_of(number, 0).word[1] % SHARDS_MAX);
    int tensors = tensor_count(number);
    return wanted < tensors ? wanted : tensors;
}

uint64_t content_size_bytes(uint64_t number)
{
    uint64_t size_bytes = sizeof number;
    for (int i = 0; i < tensor_count(number); i++) { size_bytes += tensor_size(number, i); }
    return size_bytes;
}

static void fill(uint8_t *data, size_t size_bytes, uint64_t number, int tensor)
{
    for (size_t at = 0; at < size_bytes; at += sizeof(struct ps_philox_block)) {
        struct ps_philox_block block = ps_philox(number, TENSOR_STREAM + (uint32_t)tensor, at);
        size_t left = size_bytes - at;
        memcpy(data + at, &block, left < sizeof block ? left : sizeof block);
    }
}

/* Where tensors are prepared: one program saves or loads one at a time. */
static uint8_t *scratch(void)
{
    static uint8_t memory[2 * TENSOR_BYTES_MAX];
    return memory;
}

/* ---- saving ---- */

static enum ps_code add(struct ps_bundle_part *part, const struct ps_bundle_tensor *tensor,
                        const void *data, size_t size_bytes, struct ps_error *err)
{
    enum ps_code rc;
    PS_TRY(done, rc, ps_bundle_part_begin(part, tensor, err));
    PS_TRY(done, rc, ps_bundle_part_append(part, data, size_bytes, err));
    PS_TRY(done, rc, ps_bundle_part_end(part, err));
done:
    return rc;
}

/* The tensors of one shard: every shard_count-th; the number itself is in the first. */
static enum ps_code add_shard(struct ps_bundle_part *part, uint64_t number, int shard,
                              struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    if (shard == 0) {
        const struct ps_bundle_tensor scalar = { .name = "number", .dtype = PS_UINT64 };
        PS_TRY(done, rc, add(part, &scalar, &number, sizeof number, err));
    }
    for (int i = shard; i < tensor_count(number); i += content_shard_count(number)) {
        char name[NAME_BYTES];
        size_t size_bytes = tensor_size(number, i);
        const struct ps_bundle_tensor tensor = { .name = name,
                                                 .dtype = PS_UINT8,
                                                 .shape = { 1, { (int64_t)size_bytes } } };
        snprintf(name, sizeof name, "tensor_%d", i);
        fill(scratch(), size_bytes, number, i);
        PS_TRY(done, rc, add(part, &tensor, scratch(), size_bytes, err));
    }
done:
    return rc;
}

static enum ps_code save_with_writer(const struct ps_files *files, const char *prefix,
                                     uint64_t number, struct ps_error *err)
{
    const struct ps_bundle_writer_options options = { .files = files, .id = number };
    struct ps_bundle_writer *writer;
    enum ps_code rc;
    PS_TRY(done, rc, ps_bundle_writer_create(prefix, &options, &writer, err));
    PS_TRY(done, rc, add_shard(ps_bundle_writer_part(writer), number, 0, err));
    PS_TRY(done, rc, ps_bundle_writer_finish(writer, err));
done:
    ps_bundle_writer_destroy(writer);
    return rc;
}

/* As several tasks do it: each its part, one of them the rest. */
static enum ps_code save_in_parts(const struct ps_bundle_ticket *ticket, struct ps_error *err)
{
    struct ps_bundle_part *parts[SHARDS_MAX] = { NULL };
    const struct ps_bundle_rows *rows[SHARDS_MAX] = { NULL };
    int count = content_shard_count(ticket->id);
    enum ps_code rc = PS_OK;
    for (int i = 0; i < count; i++) {
        PS_TRY(fail, rc, ps_bundle_part_create(ticket, (uint32_t)i, &parts[i], err));
        PS_TRY(fail, rc, add_shard(parts[i], ticket->id, i, err));
        PS_TRY(fail, rc, ps_bundle_part_finish(parts[i], err));
        rows[i] = ps_bundle_part_rows(parts[i]);
    }
    PS_TRY(fail, rc, ps_bundle_merge(ticket, rows, (size_t)count, err));
    PS_TRY(fail, rc, ps_bundle_commit(ticket, err));
fail:
    for (int i = 0; i < count; i++) { ps_bundle_part_destroy(parts[i]); }
    if (rc != PS_OK) { ps_bundle_abandon(ticket); }
    return rc;
}

enum ps_code content_save(const struct ps_files *files, const char *prefix, uint64_t number,
                          struct ps_error *err)
{
    struct ps_path directory;
    const struct ps_bundle_ticket ticket = { .files = files, .prefix = prefix, .id = number };
    if (content_shard_count(number) == 1) { return save_with_writer(files, prefix, number, err); }
    ps_path_directory(prefix, &directory);
    enum ps_code rc = ps_files_mkdirs(files, directory.text, err);
    if (rc == PS_OK) { rc = ps_recover_sweep(files, prefix, err); }
    return rc == PS_OK ? save_in_parts(&ticket, err) : rc;
}

/* ---- loading ---- */

static enum ps_code compare(struct ps_bundle_reader *reader, uint64_t number, int tensor,
                            struct ps_error *err)
{
    char name[NAME_BYTES];
    size_t size_bytes = tensor_size(number, tensor);
    const struct ps_shape shape = { 1, { (int64_t)size_bytes } };
    const struct ps_bundle_request request = { .name = name, .dtype = PS_UINT8 };
    uint8_t *expected = scratch(), *found = scratch() + TENSOR_BYTES_MAX;
    enum ps_code rc;
    snprintf(name, sizeof name, "tensor_%d", tensor);
    PS_TRY(done, rc, ps_bundle_reader_expect(reader, name, PS_UINT8, &shape, err));
    PS_TRY(done, rc, ps_bundle_reader_read(reader, &request, found, size_bytes, err));
    fill(expected, size_bytes, number, tensor);
    if (memcmp(found, expected, size_bytes) != 0) {
        rc = ps_fail(err, PS_DATA_LOSS, "%s is not the one of number %" PRIu64, name, number);
    }
done:
    return rc;
}

static enum ps_code compare_all(struct ps_bundle_reader *reader, uint64_t *number_out,
                                struct ps_error *err)
{
    const struct ps_bundle_request request = { .name = "number", .dtype = PS_UINT64 };
    uint64_t number;
    enum ps_code rc;
    PS_TRY(done, rc, ps_bundle_reader_read(reader, &request, &number, sizeof number, err));
    size_t count = ps_bundle_reader_count(reader);
    if (count != 1 + (size_t)tensor_count(number)) {
        return ps_fail(err, PS_DATA_LOSS, "%zu tensors in number %" PRIu64 ", which has %d", count,
                       number, 1 + tensor_count(number));
    }
    for (int i = 0; i < tensor_count(number); i++) {
        PS_TRY(done, rc, compare(reader, number, i, err));
    }
    *number_out = number;
done:
    return rc;
}

enum ps_code content_load(const struct ps_files *files, const char *prefix, uint64_t *number_out,
                          struct ps_error *err)
{
    struct ps_error detail = PS_ERROR_INIT;
    struct ps_bundle_reader *reader;
    *number_out = 0;
    enum ps_code rc = ps_bundle_reader_open(files, prefix, &reader, err);
    if (rc != PS_OK) { return rc; }
    rc = compare_all(reader, number_out, &detail);
    ps_bundle_reader_close(reader);
    if (rc == PS_OK) { return PS_OK; }
    return ps_fail(err, PS_DATA_LOSS, "'%s': %s", prefix, detail.message);
}
