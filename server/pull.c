/* Pulls as a ps task answers them: frame after frame, each taken from the variables when it is
 * sent. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/pull.h"

#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"
#include "proto/codec.h"
#include "server/chunk.h"
#include "server/store.h"
#include "server/variable.h"

/* From here on a run is sent as a reference to its chunk; smaller ones are copied together. */
enum { ZERO_COPY_BYTES = 64 << 10 };

static enum ps_code check_piece(struct ps_service *service, const struct ps_piece *piece,
                                struct ps_error *err)
{
    struct ps_variable *variable;
    enum ps_code rc = ps_store_get(service->store, piece->handle, &variable, err);
    if (rc != PS_OK) { return rc; }
    const char *name = variable->definition.name;
    struct ps_variable_state state = ps_variable_state(variable);
    if (!state.initialized) {
        return ps_fail(err, PS_FAILED_PRECONDITION,
                       "Attempting to use uninitialized value %s. Call ps_initialize (or restore "
                       "it) first",
                       name);
    }
    if (piece->offset > state.size_bytes || piece->size > state.size_bytes - piece->offset) {
        return ps_fail(err, PS_OUT_OF_RANGE,
                       "bytes %" PRIu64 " to %" PRIu64 " of variable '%s' were asked for, but its "
                       "slice on ps/%" PRIu32 " has %" PRIu64
                       ". Did another worker change its shape?",
                       piece->offset, piece->offset + piece->size, name, service->task_index,
                       state.size_bytes);
    }
    return PS_OK;
}

enum ps_code ps_pull_create(struct ps_service *service, const struct ps_data_request *request,
                            struct ps_pull **pull_out, struct ps_error *err)
{
    *pull_out = NULL;
    for (size_t i = 0; i < request->piece_count; i++) {
        enum ps_code rc = check_piece(service, &request->pieces[i], err);
        if (rc != PS_OK) { return rc; }
    }
    struct ps_pull *pull = ps_alloc_zero(1, sizeof *pull);
    size_t bytes = request->piece_count * sizeof *pull->pieces;
    if (pull != NULL) { pull->pieces = ps_alloc(bytes + 1); }
    if (pull == NULL || pull->pieces == NULL) {
        ps_pull_destroy(pull);
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a pull");
    }
    if (bytes > 0) { memcpy(pull->pieces, request->pieces, bytes); }
    pull->piece_count = request->piece_count;
    pull->seq = request->seq;
    pull->step = atomic_load(&service->step);
    pull->checksums = request->has_crc32c;
    *pull_out = pull;
    return PS_OK;
}

void ps_pull_destroy(struct ps_pull *pull)
{
    if (pull == NULL) { return; }
    ps_free(pull->pieces);
    ps_free(pull);
}

static void skip_finished_pieces(struct ps_pull *pull)
{
    while (pull->piece_index < pull->piece_count &&
           pull->piece_done == pull->pieces[pull->piece_index].size) {
        pull->piece_index++;
        pull->piece_done = 0;
    }
}

/* The next run: up to the end of its piece and of its chunk. */
struct run {
    struct ps_piece piece;
    struct ps_chunk *chunk; /* a reference */
    const uint8_t *data;
};

static uint64_t next_run_size(const struct ps_pull *pull)
{
    const struct ps_piece *piece = &pull->pieces[pull->piece_index];
    uint64_t left = piece->size - pull->piece_done;
    uint64_t to_border = PS_CHUNK_BYTES - (piece->offset + pull->piece_done) % PS_CHUNK_BYTES;
    return left < to_border ? left : to_border;
}

static enum ps_code take_run(struct ps_service *service, struct ps_pull *pull, struct run *run_out,
                             struct ps_error *err)
{
    const struct ps_piece *piece = &pull->pieces[pull->piece_index];
    uint64_t offset = piece->offset + pull->piece_done;
    uint64_t size = next_run_size(pull);
    size_t in_chunk = (size_t)(offset % PS_CHUNK_BYTES);
    struct ps_variable *variable;
    struct ps_chunk *chunk;
    enum ps_code rc = ps_store_get(service->store, piece->handle, &variable, err);
    if (rc != PS_OK) { return rc; }
    rc = ps_variable_chunk_acquire(variable, PS_PLANE_VALUE, (size_t)(offset / PS_CHUNK_BYTES),
                                   &chunk, err);
    if (rc != PS_OK) { return rc; }
    if (in_chunk + size > chunk->size) {
        ps_chunk_release(chunk);
        return ps_fail(err, PS_OUT_OF_RANGE,
                       "variable '%s' was given another shape while it was pulled",
                       variable->definition.name);
    }
    *run_out = (struct run){ { piece->handle, offset, size }, chunk, chunk->data + in_chunk };
    pull->piece_done += size;
    skip_finished_pieces(pull);
    return PS_OK;
}

static void release_chunk(void *chunk)
{
    ps_chunk_release(chunk);
}

/* One large run, by reference. */
static enum ps_code fill_by_reference(struct ps_service *service, struct ps_pull *pull,
                                      struct ps_data_reply *reply, struct ps_piece *piece_out,
                                      struct ps_outgoing *out, struct ps_error *err)
{
    struct run run;
    enum ps_code rc = take_run(service, pull, &run, err);
    if (rc != PS_OK) { return rc; }
    *piece_out = run.piece;
    reply->pieces = piece_out;
    reply->piece_count = 1;
    out->data = run.data;
    out->data_size = (size_t)run.piece.size;
    out->release = release_chunk;
    out->owner = run.chunk;
    return PS_OK;
}

/* What one frame of small runs will hold. */
static void measure(const struct ps_pull *pull, size_t *piece_count_out, size_t *size_out)
{
    struct ps_pull ahead = *pull;
    *piece_count_out = *size_out = 0;
    while (ahead.piece_index < ahead.piece_count && *piece_count_out < PS_MAX_PIECES) {
        uint64_t size = next_run_size(&ahead);
        if (size >= ZERO_COPY_BYTES || *size_out + size > PS_CHUNK_BYTES) { return; }
        *size_out += (size_t)size;
        (*piece_count_out)++;
        ahead.piece_done += size;
        skip_finished_pieces(&ahead);
    }
}

/* Small runs, copied together. */
static enum ps_code fill_by_copy(struct ps_service *service, struct ps_pull *pull,
                                 struct ps_data_reply *reply, struct ps_arena *arena,
                                 struct ps_outgoing *out, struct ps_error *err)
{
    size_t count, size;
    measure(pull, &count, &size);
    struct ps_piece *pieces = ps_arena_alloc(arena, (count + 1) * sizeof *pieces);
    uint8_t *bytes = ps_alloc(size + 1);
    if (pieces == NULL || bytes == NULL) {
        ps_free(bytes);
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a frame of a pull");
    }
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        struct run run;
        enum ps_code rc = take_run(service, pull, &run, err);
        if (rc != PS_OK) {
            ps_free(bytes);
            return rc;
        }
        memcpy(bytes + used, run.data, (size_t)run.piece.size);
        used += (size_t)run.piece.size;
        pieces[i] = run.piece;
        ps_chunk_release(run.chunk);
    }
    reply->pieces = pieces;
    reply->piece_count = count;
    out->data = bytes;
    out->data_size = used;
    out->release = ps_free;
    out->owner = bytes;
    return PS_OK;
}

enum ps_code ps_pull_next(struct ps_service *service, struct ps_pull *pull,
                          struct ps_data_reply *reply, struct ps_outgoing *out,
                          struct ps_error *err)
{
    struct ps_arena arena = { 0 };
    struct ps_piece piece;
    enum ps_code rc = PS_OK;
    reply->kind = PS_REPLY_PULLED;
    reply->seq = pull->seq;
    reply->step = pull->step;
    reply->frame_index = pull->frame_index;
    skip_finished_pieces(pull);
    if (pull->piece_index < pull->piece_count) {
        rc = next_run_size(pull) >= ZERO_COPY_BYTES
                 ? fill_by_reference(service, pull, reply, &piece, out, err)
                 : fill_by_copy(service, pull, reply, &arena, out, err);
    }
    if (rc == PS_OK) {
        pull->frame_index++;
        pull->finished = pull->piece_index == pull->piece_count;
        reply->last = pull->finished;
        reply->has_crc32c = pull->checksums;
        if (pull->checksums) { reply->crc32c = ps_crc32c(0, out->data, out->data_size); }
        rc = ps_encode_data_reply(reply, &out->head, err);
    }
    ps_arena_clean(&arena);
    if (rc != PS_OK) { ps_outgoing_clean(out); }
    return rc;
}
