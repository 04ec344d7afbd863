/* Planes of slices, chunk by chunk, into the data file that is this task's part of a save. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/shard_writer.h"

#include <inttypes.h>
#include <string.h>

#include "checkpoint/bundle_names.h"
#include "proto/codec.h"
#include "server/checkpointer.h"
#include "server/chunk.h"
#include "server/peers.h"
#include "server/service.h"
#include "server/store.h"
#include "server/variable.h"

/* Opens the tensor that a plane of a slice is, or is a slice of. */
static enum ps_code begin(struct ps_bundle_part *part, const struct ps_variable_info *info,
                          const char *name, struct ps_error *err)
{
    struct ps_slice slice;
    struct ps_bundle_tensor tensor = { .name = name,
                                       .dtype = info->definition.dtype,
                                       .shape = info->definition.shape };
    if (info->slice_count > 1) {
        slice = ps_slice_of_rows(&tensor.shape, info->slices[info->slice_index].rows);
        tensor.slice = &slice;
    }
    return ps_bundle_part_begin(part, &tensor, err);
}

/* ---- Our own ---- */

static enum ps_code write_plane(struct ps_checkpointer *checkpointer,
                                const struct ps_saved_plane *plane, struct ps_bundle_part *part,
                                struct ps_error *err)
{
    struct ps_variable *variable;
    struct ps_variable_info info;
    const char *slots[PS_MAX_SLOTS];
    enum ps_code rc;
    PS_TRY(done, rc, ps_store_get(checkpointer->service->store, plane->handle, &variable, err));
    ps_variable_describe(variable, &info, slots);
    int index = ps_variable_plane(variable, plane->slot);
    PS_TRY(done, rc, begin(part, &info, plane->name, err));
    for (size_t i = 0; i < ps_chunk_count(info.bytes); i++) {
        struct ps_chunk *chunk;
        PS_TRY(done, rc, ps_checkpointer_check(checkpointer, err));
        PS_TRY(done, rc, ps_variable_chunk_acquire(variable, index, i, &chunk, err));
        rc = ps_bundle_part_append(part, chunk->data, chunk->size, err);
        ps_chunk_release(chunk);
        if (rc != PS_OK) { goto done; }
    }
    rc = ps_bundle_part_end(part, err);
done:
    return rc;
}

enum ps_code ps_shard_write(struct ps_checkpointer *checkpointer,
                            const struct ps_saved_plane *planes, size_t plane_count,
                            struct ps_bundle_part *part, struct ps_error *err)
{
    for (size_t i = 0; i < plane_count; i++) {
        enum ps_code rc = write_plane(checkpointer, &planes[i], part, err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

/* ---- Another task's ---- */

/* What is fetched, and from whom. */
struct fetch {
    struct ps_checkpointer *checkpointer;
    uint32_t task;
    int64_t deadline_ms;
    struct ps_bundle_part *part;
};

static enum ps_code append_payload(const struct fetch *fetch, const struct ps_payload *payload,
                                   uint64_t expected_bytes, struct ps_error *err)
{
    uint64_t size_bytes = payload == NULL ? 0 : payload->size;
    if (size_bytes != expected_bytes) {
        return ps_fail(err, PS_INTERNAL,
                       "/job:ps/task:%" PRIu32 " sent %" PRIu64 " bytes of %" PRIu64, fetch->task,
                       size_bytes, expected_bytes);
    }
    for (size_t i = 0; payload != NULL && i < payload->span_count; i++) {
        const struct ps_span *span = &payload->spans[i];
        enum ps_code rc = ps_bundle_part_append(fetch->part, span->data, span->size, err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

static enum ps_code fetch_chunk(const struct fetch *fetch, const struct ps_read_request *request,
                                struct ps_error *err)
{
    struct ps_outgoing out = { 0 };
    struct ps_answer answer = { 0 };
    enum ps_code rc;
    PS_TRY(done, rc, ps_checkpointer_check(fetch->checkpointer, err));
    PS_TRY(done, rc, ps_encode_read_request(request, &out.head, err));
    PS_TRY(done, rc,
           ps_peers_call(fetch->checkpointer->peers, fetch->task, PS_METHOD_READ, &out,
                         fetch->deadline_ms, &answer, err));
    rc = append_payload(fetch, answer.message.payload, request->size, err);
done:
    ps_answer_clean(&answer);
    return rc;
}

static enum ps_code fetch_plane(const struct fetch *fetch, const struct ps_saved_plane *plane,
                                const struct ps_variable_info *info, struct ps_error *err)
{
    const struct ps_service *service = fetch->checkpointer->service;
    struct ps_read_request request = {
        .header = { atomic_load(&service->job), atomic_load(&service->generation) },
        .handle = plane->handle,
        .slot = plane->slot,
    };
    enum ps_code rc = begin(fetch->part, info, plane->name, err);
    while (rc == PS_OK && request.offset < info->bytes) {
        uint64_t left = info->bytes - request.offset;
        request.size = left < PS_CHUNK_BYTES ? left : PS_CHUNK_BYTES;
        rc = fetch_chunk(fetch, &request, err);
        request.offset += request.size;
    }
    return rc == PS_OK ? ps_bundle_part_end(fetch->part, err) : rc;
}

enum ps_code ps_shard_fetch(struct ps_checkpointer *checkpointer, uint32_t task,
                            const struct ps_save_share *share, int64_t deadline_ms,
                            struct ps_bundle_part *part, struct ps_error *err)
{
    const struct fetch fetch = { checkpointer, task, deadline_ms, part };
    for (size_t i = 0; i < share->count; i++) {
        enum ps_code rc = fetch_plane(&fetch, &share->planes[i], share->infos[i], err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

/* ---- SaveShard ---- */

enum ps_code ps_shard_nonce_path(const struct ps_bundle_ticket *ticket, struct ps_path *path_out,
                                 struct ps_error *err)
{
    /* No task has that number, so no part does. */
    const struct ps_bundle_name name = { .kind = PS_BUNDLE_PART_TEMPORARY,
                                         .id = ticket->id,
                                         .shard = UINT32_MAX };
    return ps_bundle_path(path_out, ticket->prefix, &name, err);
}

static enum ps_code see_nonce(const struct ps_bundle_ticket *ticket, bool *seen_out,
                              struct ps_error *err)
{
    struct ps_path path;
    struct ps_file_info info;
    struct ps_error detail = PS_ERROR_INIT;
    enum ps_code rc = ps_shard_nonce_path(ticket, &path, err);
    if (rc != PS_OK) { return rc; }
    rc = ticket->files->stat(ticket->files->ctx, path.text, &info, &detail);
    *seen_out = rc == PS_OK;
    if (rc == PS_OK || rc == PS_NOT_FOUND) { return PS_OK; }
    if (err != NULL) { *err = detail; }
    return rc;
}

enum ps_code ps_shard_save(struct ps_checkpointer *checkpointer,
                           const struct ps_save_shard_request *request,
                           struct ps_save_shard_reply *reply, struct ps_buf *rows,
                           struct ps_error *err)
{
    struct ps_path prefix;
    struct ps_bundle_part *part = NULL;
    struct ps_bundle_ticket ticket = { checkpointer->files, prefix.text, request->id };
    enum ps_code rc;
    PS_TRY(done, rc, ps_checkpointer_path(checkpointer, request->prefix, &prefix, err));
    PS_TRY(done, rc, ps_bundle_prefix_check(prefix.text, err));
    PS_TRY(done, rc, see_nonce(&ticket, &reply->seen, err));
    if (!reply->seen || request->plane_count == 0) { return PS_OK; }
    PS_TRY(done, rc, ps_bundle_part_create(&ticket, request->part, &part, err));
    PS_TRY(done, rc,
           ps_shard_write(checkpointer, request->planes, request->plane_count, part, err));
    PS_TRY(done, rc, ps_bundle_part_finish(part, err));
    PS_TRY(done, rc, ps_bundle_rows_encode(ps_bundle_part_rows(part), rows, err));
    reply->bytes = ps_bundle_part_size_bytes(part);
done:
    ps_bundle_part_destroy(part);
    return rc;
}
