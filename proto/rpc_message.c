/* Messages as gRPC wants them: slices that borrow our bytes, payloads that borrow its slices. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/alloc.h"
#include "proto/rpc_grpc.h"
#include "proto/wire.h"

/* Up to here a copy costs less than a slice of its own (two allocations, one more iovec). */
enum { COPY_BYTES = 1024 };

/* Lives as long as gRPC needs the bytes of one message. */
struct attachment {
    void (*release)(void *owner);
    void *owner;
    struct psi_debt *debt;
};

void psi_debt_init(struct psi_debt *debt)
{
    ps_mutex_init(&debt->lock, "borrowed messages", PS_RANK_POOL);
    ps_cond_init(&debt->paid);
}

void psi_debt_settle(struct psi_debt *debt)
{
    ps_mutex_lock(&debt->lock);
    while (debt->count > 0) { ps_cond_wait(&debt->paid, &debt->lock); }
    ps_mutex_unlock(&debt->lock);
}

void psi_debt_clean(struct psi_debt *debt)
{
    if (debt->lock.name == NULL) { return; }
    ps_cond_clean(&debt->paid);
    ps_mutex_clean(&debt->lock);
}

static void debt_add(struct psi_debt *debt, long change)
{
    ps_mutex_lock(&debt->lock);
    debt->count += change;
    /* Under the lock: whoever waits may free it right after. */
    if (debt->count == 0) { ps_cond_broadcast(&debt->paid); }
    ps_mutex_unlock(&debt->lock);
}

/* On any thread, perhaps inside locks of gRPC. */
static void attachment_done(void *user_data)
{
    struct attachment *attachment = user_data;
    PSI_TSAN_ACQUIRE(attachment);
    struct psi_debt *debt = attachment->debt;
    attachment->release(attachment->owner);
    ps_free(attachment);
    debt_add(debt, -1);
}

static void release_data(const struct ps_outgoing *message)
{
    if (message->release != NULL) { message->release(message->owner); }
}

static grpc_slice data_slice(const struct ps_outgoing *message, struct psi_debt *debt)
{
    if (message->release == NULL) { /* bytes that live for ever */
        return grpc_slice_from_static_buffer(message->data, message->data_size);
    }
    struct attachment *attachment = ps_alloc(sizeof *attachment);
    if (attachment == NULL) { /* then a copy must do */
        grpc_slice copy = grpc_slice_from_copied_buffer(message->data, message->data_size);
        message->release(message->owner);
        return copy;
    }
    *attachment = (struct attachment){ .release = message->release,
                                       .owner = message->owner,
                                       .debt = debt };
    debt_add(debt, 1);
    PSI_TSAN_RELEASE(attachment);
    return grpc_slice_new_with_user_data((void *)(uintptr_t)message->data, message->data_size,
                                         attachment_done, attachment);
}

grpc_byte_buffer *psi_pack_take(struct ps_outgoing *message, struct psi_debt *debt)
{
    uint8_t tail[PS_WIRE_TAIL_BYTES];
    size_t tail_size = message->data_size == 0 ? 0 : ps_wire_tail(message->data_size, tail);
    size_t copied_size = message->data_size <= COPY_BYTES ? message->data_size : 0;

    grpc_slice slices[2];
    size_t slice_count = 1;
    slices[0] = grpc_slice_malloc(message->head.size + tail_size + copied_size);
    uint8_t *to = GRPC_SLICE_START_PTR(slices[0]);
    if (message->head.size > 0) { memcpy(to, message->head.data, message->head.size); }
    to += message->head.size;
    if (tail_size > 0) { memcpy(to, tail, tail_size); }
    if (copied_size > 0) { memcpy(to + tail_size, message->data, copied_size); }
    if (copied_size == message->data_size) {
        release_data(message);
    } else {
        slices[slice_count++] = data_slice(message, debt);
    }

    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(slices, slice_count);
    for (size_t i = 0; i < slice_count; i++) { grpc_slice_unref(slices[i]); }
    ps_buf_clean(&message->head);
    *message = (struct ps_outgoing){ 0 };
    return buffer;
}

void ps_outgoing_clean(struct ps_outgoing *message)
{
    if (message == NULL) { return; }
    release_data(message);
    ps_buf_clean(&message->head);
    *message = (struct ps_outgoing){ 0 };
}

/* On whatever thread drops the last reference. */
static void received_free(void *owner)
{
    struct psi_received *received = owner;
    if (received->buffer != NULL) { grpc_byte_buffer_destroy(received->buffer); }
    ps_free(received->own);
    ps_free(received);
}

struct psi_received *psi_received_release(struct psi_received *received)
{
    if (received != NULL) { ps_payload_release(&received->payload); }
    return NULL;
}

/* The slices stay in the buffer, and the buffer stays as it is until it is destroyed: pointers
 * into them (also into small ones, which live inside the buffer) are good that long. */
static void borrow_slices(struct psi_received *received)
{
    grpc_slice_buffer *slices = &received->buffer->data.raw.slice_buffer;
    for (size_t i = 0; i < slices->count; i++) {
        received->spans[i].data = GRPC_SLICE_START_PTR(slices->slices[i]);
        received->spans[i].size = GRPC_SLICE_LENGTH(slices->slices[i]);
    }
    received->payload.spans = received->spans;
    received->payload.span_count = slices->count;
    received->payload.size = slices->length;
}

/* Head in one piece: as a rule it lies in the first slice already. */
static enum ps_code join_head(struct psi_received *received, size_t head_size, struct ps_error *err)
{
    struct ps_span *head = &received->incoming.head;
    head->size = head_size;
    if (head_size == 0) { return PS_OK; }
    if (received->spans[0].size >= head_size) {
        head->data = received->spans[0].data;
        return PS_OK;
    }
    received->own = ps_alloc(head_size);
    if (received->own == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a message head of %zu bytes",
                       head_size);
    }
    struct ps_cursor cursor = ps_cursor_at(&received->payload, 0);
    bool copied = ps_cursor_copy(&cursor, received->own, head_size);
    PS_ASSERT(copied);
    head->data = received->own;
    return PS_OK;
}

/* The payload becomes what follows offset. */
static void drop_front(struct psi_received *received, size_t offset)
{
    struct ps_payload *payload = &received->payload;
    struct ps_cursor at = ps_cursor_at(payload, offset);
    payload->spans += at.span_index;
    payload->span_count -= at.span_index;
    payload->size -= offset;
    if (payload->span_count > 0) {
        struct ps_span *first = &received->spans[at.span_index];
        first->data += at.span_offset;
        first->size -= at.span_offset;
    }
}

/* A peer whose serializer does not write fields in order: everything is copied once. */
static enum ps_code rearrange(struct psi_received *received, const struct ps_wire_cut *cut,
                              struct ps_error *err)
{
    received->own = ps_alloc(cut->head_size + cut->data_size);
    if (received->own == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED,
                       "no memory to put a message of %zu bytes in "
                       "order",
                       received->payload.size);
    }
    uint8_t *data = received->own + cut->head_size;
    ps_wire_copy_apart(&received->payload, cut, received->own, data);
    received->incoming.head = (struct ps_span){ received->own, cut->head_size };
    received->spans[0] = (struct ps_span){ data, cut->data_size };
    received->payload.spans = received->spans;
    received->payload.span_count = 1;
    received->payload.size = cut->data_size;
    grpc_byte_buffer_destroy(received->buffer);
    received->buffer = NULL;
    return PS_OK;
}

static enum ps_code cut_apart(struct psi_received *received, size_t max_head_size,
                              struct ps_error *err)
{
    struct ps_wire_cut cut;
    enum ps_code rc = ps_wire_find(&received->payload, &cut, err);
    if (rc != PS_OK) { return rc; }
    if (cut.head_size > max_head_size) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "a message head of %zu bytes is too large: at most %zu besides tensor bytes",
                       cut.head_size, max_head_size);
    }
    if (!cut.tidy) {
        rc = rearrange(received, &cut, err);
    } else {
        rc = join_head(received, cut.head_size, err);
        if (rc == PS_OK && cut.data_size > 0) { drop_front(received, cut.data_offset); }
    }
    if (rc == PS_OK && cut.data_size > 0) { received->incoming.payload = &received->payload; }
    return rc;
}

enum ps_code psi_unpack_take(grpc_byte_buffer *buffer, size_t max_head_size,
                             struct psi_received **received_out, struct ps_error *err)
{
    *received_out = NULL;
    if (buffer->type != GRPC_BB_RAW) {
        grpc_byte_buffer_destroy(buffer);
        return ps_fail(err, PS_INTERNAL, "a message arrived in an unknown form");
    }
    size_t span_count = buffer->data.raw.slice_buffer.count;
    size_t spans_size = (span_count == 0 ? 1 : span_count) * sizeof(struct ps_span);
    struct psi_received *received = ps_alloc(sizeof *received + spans_size);
    if (received == NULL) {
        grpc_byte_buffer_destroy(buffer);
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a received message");
    }
    *received = (struct psi_received){ .buffer = buffer };
    received->payload.owner = received;
    received->payload.free_owner = received_free;
    received->payload.reference_count = 1;
    borrow_slices(received);
    enum ps_code rc = cut_apart(received, max_head_size, err);
    if (rc == PS_OK) {
        *received_out = received;
    } else {
        psi_received_release(received);
    }
    return rc;
}
