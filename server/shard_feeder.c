/* Phases of a restore to one task; and the bytes of its slices for one that cannot read them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/shard_feeder.h"

#include <stdio.h>
#include <string.h>

#include "checkpoint/bundle_range.h"
#include "core/alloc.h"
#include "proto/codec_checkpoint.h"
#include "server/checkpointer.h"
#include "server/peers.h"
#include "server/service.h"

static enum ps_code fail_memory(struct ps_error *err)
{
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to restore");
}

static enum ps_code send_here(const struct ps_feeder *feeder,
                              const struct ps_restore_shard_request *request,
                              const struct ps_span *chunk, struct ps_restore_shard_reply *reply,
                              struct ps_error *err)
{
    struct ps_payload *payload = NULL;
    if (chunk != NULL) {
        payload = ps_payload_copy(chunk->data, chunk->size);
        if (payload == NULL) { return fail_memory(err); }
    }
    enum ps_code rc = ps_shard_restore(feeder->checkpointer, request, payload, reply, err);
    ps_payload_release(payload);
    return rc;
}

/* The transport may hold a chunk longer than the call takes, so it gets a copy. */
static enum ps_code attach_chunk(struct ps_outgoing *out, const struct ps_span *chunk,
                                 struct ps_error *err)
{
    if (chunk == NULL || chunk->size == 0) { return PS_OK; }
    void *copy = ps_alloc(chunk->size);
    if (copy == NULL) { return fail_memory(err); }
    out->data = memcpy(copy, chunk->data, chunk->size);
    out->data_size = chunk->size;
    out->owner = copy;
    out->release = ps_free;
    return PS_OK;
}

enum ps_code ps_feeder_send(const struct ps_feeder *feeder,
                            struct ps_restore_shard_request *request, const struct ps_span *chunk,
                            struct ps_restore_shard_reply *reply_out, struct ps_error *err)
{
    struct ps_outgoing out = { 0 };
    struct ps_answer answer = { 0 };
    struct ps_arena arena = { 0 };
    const struct ps_service *service = feeder->checkpointer->service;
    enum ps_code rc;
    request->header = (struct ps_header){ atomic_load(&service->job),
                                          atomic_load(&service->generation) };
    if (feeder->task == service->task_index) {
        return send_here(feeder, request, chunk, reply_out, err);
    }
    rc = ps_encode_restore_shard_request(request, &out.head, err);
    if (rc == PS_OK) { rc = attach_chunk(&out, chunk, err); }
    if (rc != PS_OK) {
        ps_outgoing_clean(&out);
        return rc;
    }
    PS_TRY(done, rc,
           ps_peers_call(feeder->checkpointer->peers, feeder->task, PS_METHOD_RESTORE_SHARD, &out,
                         feeder->deadline_ms, &answer, err));
    rc = ps_decode_restore_shard_reply(answer.message.head, &arena, reply_out, err);
done:
    ps_arena_clean(&arena);
    ps_answer_clean(&answer);
    return rc;
}

/* ---- Feeding ---- */

/* One slice's part of one tensor. */
struct feed {
    const struct ps_feeder *feeder;
    struct ps_bundle_reader *reader;
    uint8_t *window; /* PS_CHUNK_BYTES */
    struct ps_restore_shard_request request;
    struct ps_bundle_info tensor;
    int64_t first; /* element of the whole */
    uint64_t size_bytes;
};

static enum ps_code feed_plane(struct feed *feed, struct ps_error *err)
{
    size_t element_bytes = (size_t)ps_dtype_size((enum ps_dtype)feed->tensor.dtype);
    int64_t first = feed->first;
    for (uint64_t offset = 0; offset < feed->size_bytes; offset += PS_CHUNK_BYTES) {
        struct ps_restore_shard_reply reply;
        uint64_t left = feed->size_bytes - offset;
        size_t run = left < PS_CHUNK_BYTES ? (size_t)left : PS_CHUNK_BYTES;
        int64_t count = (int64_t)(run / element_bytes);
        const struct ps_span chunk = { feed->window, run };
        enum ps_code rc = ps_checkpointer_check(feed->feeder->checkpointer, err);
        if (rc == PS_OK) {
            rc = ps_bundle_range_read(feed->reader, &feed->tensor, first, count, feed->window, err);
        }
        feed->request.offset = offset;
        if (rc == PS_OK) { rc = ps_feeder_send(feed->feeder, &feed->request, &chunk, &reply, err); }
        if (rc != PS_OK) { return rc; }
        first += count;
    }
    return PS_OK;
}

static enum ps_code feed_variable(struct feed *feed, const struct ps_restored_variable *variable,
                                  const struct ps_variable_info *info, struct ps_error *err)
{
    char name[PS_MAX_TENSOR_NAME_BYTES + PS_MAX_NAME_BYTES];
    const struct ps_rows *rows = &info->slices[info->slice_index].rows;
    int64_t row_elements = ps_shape_row_elements(&info->definition.shape);
    bool is_whole = info->slice_count == 1;
    int64_t count = is_whole ? ps_shape_elements(&variable->shape) : rows->count * row_elements;
    enum ps_code rc = PS_OK;
    feed->first = is_whole ? 0 : rows->start * row_elements;
    feed->size_bytes = (uint64_t)count * (uint64_t)ps_dtype_size(info->definition.dtype);
    for (uint32_t plane = 0; plane <= variable->slot_count && rc == PS_OK; plane++) {
        snprintf(name, sizeof name, "%s%s%s", variable->name, plane == 0 ? "" : "/",
                 plane == 0 ? "" : variable->slots[plane - 1]);
        feed->request.plane = plane;
        feed->tensor = (struct ps_bundle_info){ .name = name,
                                                .dtype = (int32_t)info->definition.dtype,
                                                .shape = variable->shape };
        rc = feed_plane(feed, err);
    }
    return rc;
}

enum ps_code ps_feeder_feed(const struct ps_feeder *feeder, const char *prefix, uint64_t id,
                            const struct ps_restore_share *share, struct ps_error *err)
{
    struct feed feed = {
        .feeder = feeder,
        .request = { .phase = PS_RESTORE_FEED, .id = id, .prefix = "" },
    };
    enum ps_code rc;
    feed.window = ps_alloc(PS_CHUNK_BYTES);
    if (feed.window == NULL) { return fail_memory(err); }
    PS_TRY(done, rc, ps_bundle_reader_open(feeder->checkpointer->files, prefix, &feed.reader, err));
    for (size_t i = 0; i < share->count; i++) {
        feed.request.variable = (uint32_t)i;
        PS_TRY(done, rc, feed_variable(&feed, &share->variables[i], share->infos[i], err));
    }
done:
    ps_bundle_reader_close(feed.reader);
    ps_free(feed.window);
    return rc;
}
