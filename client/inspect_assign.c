/* Assigns one slice from outside: an eager push of no worker, over a data stream of its own. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "client/inspect_priv.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/lock.h"
#include "proto/codec.h"
#include "proto/rpc.h"

/* Between the caller, who waits, and the thread of the transport, which sends and hears. */
struct transfer {
    const struct psi_inspect_assignment *assignment;
    uint32_t frame_count;
    uint32_t next_frame; /* of the transport's thread alone */
    struct ps_mutex lock;
    struct ps_cond changed;
    bool answered; /* these are under the lock */
    bool closed;
    struct ps_error error; /* PS_OK with answered: it was applied */
};

static void finish(struct transfer *transfer, enum ps_code code, const char *message)
{
    ps_mutex_lock(&transfer->lock);
    if (!transfer->answered) {
        transfer->answered = true;
        if (code != PS_OK) { ps_fail(&transfer->error, code, "%s", message); }
    }
    ps_cond_broadcast(&transfer->changed);
    ps_mutex_unlock(&transfer->lock);
}

static enum ps_code encode_frame(const struct transfer *transfer, uint64_t offset, uint64_t size,
                                 const void *data, struct ps_buf *head, struct ps_error *err)
{
    const struct psi_inspect_assignment *assignment = transfer->assignment;
    const struct ps_piece piece = { assignment->handle, offset, size };
    struct ps_data_request request = {
        .header = assignment->header,
        .kind = PS_REQUEST_PUSH,
        .worker = PS_NO_WORKER,
        .push = { .touched = &assignment->task,
                  .touched_count = 1,
                  .update = { .kind = PS_UPDATE_ASSIGN,
                              .name = "",
                              .on_nonfinite = PS_NONFINITE_APPLY },
                  .eager = true,
                  .part_bytes = assignment->size_bytes,
                  .frame_count = transfer->frame_count,
                  .frame_index = transfer->next_frame },
        .pieces = &piece,
        .piece_count = 1,
        .has_crc32c = true,
        .crc32c = ps_crc32c(0, data, size),
    };
    if (assignment->shape != NULL) {
        request.push.update.has_shape = true;
        request.push.update.shape = *assignment->shape;
    }
    return ps_encode_data_request(&request, head, err);
}

/* The next frame, with a copy of its bytes: the caller's may be gone before the transport lets go.
 */
static bool produce(void *ctx, struct ps_outgoing *out)
{
    struct transfer *transfer = ctx;
    const struct psi_inspect_assignment *assignment = transfer->assignment;
    struct ps_error error = PS_ERROR_INIT;
    if (transfer->next_frame == transfer->frame_count) { return false; }
    uint64_t offset = (uint64_t)transfer->next_frame * PS_CHUNK_BYTES;
    uint64_t left = assignment->size_bytes - offset;
    uint64_t size = left < PS_CHUNK_BYTES ? left : PS_CHUNK_BYTES;
    void *data = ps_alloc(size == 0 ? 1 : size);
    if (data == NULL) {
        transfer->next_frame = transfer->frame_count;
        finish(transfer, PS_RESOURCE_EXHAUSTED, "no memory for a frame");
        return false;
    }
    if (size > 0) { memcpy(data, assignment->data + offset, size); }
    if (encode_frame(transfer, offset, size, data, &out->head, &error) != PS_OK) {
        ps_free(data);
        transfer->next_frame = transfer->frame_count;
        finish(transfer, error.code, error.message);
        return false;
    }
    out->data = data;
    out->data_size = size;
    out->release = ps_free;
    out->owner = data;
    transfer->next_frame++;
    return true;
}

static void consume(void *ctx, const struct ps_incoming *message)
{
    struct transfer *transfer = ctx;
    struct ps_arena arena = { 0 };
    struct ps_data_reply reply;
    struct ps_error error = PS_ERROR_INIT;
    if (ps_decode_data_reply(message->head, &arena, &reply, &error) != PS_OK) {
        finish(transfer, error.code, error.message);
    } else if (reply.kind == PS_REPLY_STAGED) {
        finish(transfer, PS_OK, "");
    } else if (reply.kind == PS_REPLY_REFUSED || reply.kind == PS_REPLY_FENCED) {
        finish(transfer, reply.code == PS_OK ? PS_UNKNOWN : reply.code, reply.message);
    }
    ps_arena_clean(&arena);
}

static void closed(void *ctx, enum ps_code code, const char *message)
{
    struct transfer *transfer = ctx;
    finish(transfer, code == PS_OK ? PS_UNAVAILABLE : code,
           code == PS_OK ? "the ps task ended the stream before it answered" : message);
    ps_mutex_lock(&transfer->lock);
    transfer->closed = true;
    ps_cond_broadcast(&transfer->changed);
    ps_mutex_unlock(&transfer->lock);
}

/* Waits for the answer, ends the stream, and waits until the transport has let go of us. */
static void await(struct transfer *transfer, struct ps_stream *stream, const char *address,
                  int64_t deadline_ms)
{
    int64_t deadline_ns = ps_clock_now_ns(ps_clock_monotonic()) + deadline_ms * 1000000;
    bool in_time = true;
    ps_mutex_lock(&transfer->lock);
    while (!transfer->answered && in_time) {
        in_time = ps_cond_wait_until(&transfer->changed, &transfer->lock, deadline_ns);
    }
    if (!transfer->answered) {
        transfer->answered = true;
        ps_fail(&transfer->error, PS_DEADLINE_EXCEEDED, "%s did not answer an assign in %lld s",
                address, (long long)(deadline_ms / 1000));
    }
    bool applied = transfer->error.code == PS_OK;
    ps_mutex_unlock(&transfer->lock);
    ps_stream_end(stream, applied ? PS_OK : PS_CANCELLED, "");
    ps_mutex_lock(&transfer->lock);
    while (!transfer->closed) { ps_cond_wait(&transfer->changed, &transfer->lock); }
    ps_mutex_unlock(&transfer->lock);
}

enum ps_code psi_inspect_assign_slice(struct ps_channel *channel,
                                      const struct psi_inspect_assignment *assignment,
                                      int64_t deadline_ms, struct ps_error *err)
{
    static const struct ps_stream_events events = { produce, consume, closed };
    /* A tool's deadline is for a small message; a large value gets a second for each 32 MiB on top.
     */
    deadline_ms += (int64_t)(assignment->size_bytes >> 25) * 1000;
    struct transfer transfer = { .assignment = assignment, .error = PS_ERROR_INIT };
    uint64_t frames = (assignment->size_bytes + PS_CHUNK_BYTES - 1) / PS_CHUNK_BYTES;
    transfer.frame_count = frames == 0 ? 1 : (uint32_t)frames;
    if (frames > PS_MAX_FRAMES) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "%llu bytes are too many for one assign",
                       (unsigned long long)assignment->size_bytes);
    }
    struct ps_stream *stream = NULL;
    ps_mutex_init(&transfer.lock, "assign", PS_RANK_SESSION);
    ps_cond_init(&transfer.changed);
    enum ps_code rc = ps_channel_open(channel, &events, &transfer, &stream, err);
    if (rc == PS_OK) {
        ps_stream_wake(stream);
        await(&transfer, stream, ps_channel_address(channel), deadline_ms);
        ps_stream_release(stream);
        rc = transfer.error.code;
        if (rc != PS_OK && err != NULL) { *err = transfer.error; }
    }
    ps_cond_clean(&transfer.changed);
    ps_mutex_clean(&transfer.lock);
    return rc;
}
