/* The variables of a cluster: what each ps task lists, joined to logical variables; their values.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "client/inspect_priv.h"
#include "core/alloc.h"
#include "proto/codec.h"
#include "proto/rpc.h"

/* One line of one task's list. */
struct entry {
    const struct ps_variable_info *info;
    uint32_t task;
};

struct entries {
    struct entry *items;
    size_t count;
    size_t capacity;
};

static enum ps_code fail_memory(struct ps_error *err)
{
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for the list of variables");
}

static enum ps_code ask_list(struct ps_inspector *inspector, int i, const char *name,
                             struct ps_arena *arena, struct ps_list_reply *reply,
                             struct ps_error *err)
{
    const struct ps_list_request message = { .header = inspector->peers[i].hello.header,
                                             .name = name };
    struct ps_outgoing request = { 0 };
    struct ps_answer answer = { 0 };
    enum ps_code rc = ps_encode_list_request(&message, &request.head, err);
    if (rc != PS_OK) {
        ps_outgoing_clean(&request);
        return rc;
    }
    rc = ps_channel_call(inspector->channels[i], PS_METHOD_LIST, &request, inspector->deadline_ms,
                         false, &answer, err);
    if (rc == PS_OK) { rc = ps_decode_list_reply(answer.message.head, arena, reply, err); }
    ps_answer_clean(&answer);
    return rc;
}

static bool add_entries(struct entries *entries, const struct ps_list_reply *reply, uint32_t task)
{
    size_t needed = entries->count + reply->variable_count;
    if (needed > entries->capacity) {
        struct entry *items = ps_realloc(entries->items, 2 * needed * sizeof *items);
        if (items == NULL) { return false; }
        entries->items = items;
        entries->capacity = 2 * needed;
    }
    for (size_t i = 0; i < reply->variable_count; i++) {
        entries->items[entries->count++] = (struct entry){ &reply->variables[i], task };
    }
    return true;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = strcmp(x->info->definition.name, y->info->definition.name);
    if (order != 0) { return order; }
    return (x->info->slice_index > y->info->slice_index) -
           (x->info->slice_index < y->info->slice_index);
}

/* Slices of the variable whose entries start at first: as many as it was cut into. */
static size_t slices_of(const struct ps_variable_info *info)
{
    return info->slice_count == 0 ? 1 : info->slice_count;
}

static size_t entries_of_name(const struct entries *entries, size_t first)
{
    const char *name = entries->items[first].info->definition.name;
    size_t count = 1;
    while (first + count < entries->count &&
           strcmp(entries->items[first + count].info->definition.name, name) == 0) {
        count++;
    }
    return count;
}

static void fill_slice(struct ps_inspect_slice *slice, const struct entry *entry)
{
    slice->task = entry->task;
    slice->listed = true;
    slice->initialized = entry->info->initialized;
    slice->handle = entry->info->handle;
    slice->bytes = entry->info->bytes;
    slice->slot_bytes = entry->info->slot_bytes;
    slice->update_count = entry->info->update_count;
}

/* The slices that the definition speaks of, then what each task said of its own. */
static void fill_variable(struct ps_inspect_variable *variable, const struct entry *entries,
                          size_t entry_count)
{
    const struct ps_variable_info *info = entries[0].info;
    variable->definition = info->definition;
    variable->slots = info->slots;
    variable->slot_count = info->slot_count;
    for (size_t s = 0; s < variable->slice_count; s++) {
        variable->slices[s] = (struct ps_inspect_slice){ 0 };
        if (info->slice_count == 0) { /* whole, on the task that lists it */
            variable->slices[s].rows.count = ps_shape_rows(&info->definition.shape);
        } else {
            variable->slices[s].task = info->slices[s].task;
            variable->slices[s].rows = info->slices[s].rows;
        }
    }
    for (size_t i = 0; i < entry_count; i++) {
        size_t s = entries[i].info->slice_index;
        if (s < variable->slice_count) { fill_slice(&variable->slices[s], &entries[i]); }
    }
    variable->initialized = true;
    for (size_t s = 0; s < variable->slice_count; s++) {
        const struct ps_inspect_slice *slice = &variable->slices[s];
        variable->initialized = variable->initialized && slice->initialized;
        variable->bytes += slice->bytes;
        variable->slot_bytes += slice->slot_bytes;
        if (slice->update_count > variable->update_count) {
            variable->update_count = slice->update_count;
        }
    }
}

static enum ps_code join(struct entries *entries, struct ps_inspect_catalog *catalog,
                         struct ps_error *err)
{
    size_t variable_count = 0, slice_count = 0;
    if (entries->count == 0) { return PS_OK; }
    qsort(entries->items, entries->count, sizeof entries->items[0], compare_entries);
    for (size_t i = 0; i < entries->count; i += entries_of_name(entries, i)) {
        variable_count++;
        slice_count += slices_of(entries->items[i].info);
    }
    catalog->variables = ps_alloc_zero(variable_count, sizeof *catalog->variables);
    catalog->slices = ps_alloc_zero(slice_count, sizeof *catalog->slices);
    if (catalog->variables == NULL || catalog->slices == NULL) { return fail_memory(err); }
    struct ps_inspect_slice *slices = catalog->slices;
    for (size_t i = 0; i < entries->count;) {
        size_t count = entries_of_name(entries, i);
        struct ps_inspect_variable *variable = &catalog->variables[catalog->variable_count++];
        variable->slices = slices;
        variable->slice_count = slices_of(entries->items[i].info);
        slices += variable->slice_count;
        fill_variable(variable, &entries->items[i], count);
        i += count;
    }
    return PS_OK;
}

/* Every peer that answers; a peer that does not keeps its error, the first of which is returned. */
static enum ps_code gather(struct ps_inspector *inspector, const char *name,
                           struct ps_list_reply *replies, struct ps_inspect_catalog *catalog,
                           struct ps_error *err)
{
    struct ps_error first = PS_ERROR_INIT;
    enum ps_code rc = ps_inspect_hello(inspector, &first);
    for (int i = 0; i < inspector->peer_count; i++) {
        struct ps_inspect_peer *peer = &inspector->peers[i];
        if (peer->error.code != PS_OK) { continue; }
        if (ask_list(inspector, i, name, &catalog->arenas[i], &replies[i], &peer->error) == PS_OK) {
            continue;
        }
        peer->error.task = peer->index;
        if (rc == PS_OK) {
            first = peer->error;
            rc = first.code;
        }
    }
    if (rc != PS_OK && err != NULL) { *err = first; }
    return rc;
}

enum ps_code ps_inspect_list(struct ps_inspector *inspector, const char *name,
                             struct ps_inspect_catalog *catalog_out, struct ps_error *err)
{
    struct entries entries = { 0 };
    size_t peer_count = (size_t)inspector->peer_count;
    enum ps_code rc;
    *catalog_out = (struct ps_inspect_catalog){ .arena_count = inspector->peer_count };
    catalog_out->arenas = ps_alloc_zero(peer_count, sizeof *catalog_out->arenas);
    struct ps_list_reply *replies = ps_alloc_zero(peer_count, sizeof *replies);
    if (catalog_out->arenas == NULL || replies == NULL) {
        rc = fail_memory(err);
        goto done;
    }
    rc = gather(inspector, name == NULL ? "" : name, replies, catalog_out, err);
    for (size_t i = 0; i < peer_count; i++) {
        if (!add_entries(&entries, &replies[i], (uint32_t)inspector->peers[i].index)) {
            rc = fail_memory(err);
            goto done;
        }
    }
    enum ps_code joined = join(&entries, catalog_out, rc == PS_OK ? err : NULL);
    rc = rc == PS_OK ? joined : rc;
done:
    ps_free(entries.items);
    ps_free(replies);
    return rc;
}

void ps_inspect_catalog_clean(struct ps_inspect_catalog *catalog)
{
    for (int i = 0; catalog->arenas != NULL && i < catalog->arena_count; i++) {
        ps_arena_clean(&catalog->arenas[i]);
    }
    ps_free(catalog->arenas);
    ps_free(catalog->slices);
    ps_free(catalog->variables);
    *catalog = (struct ps_inspect_catalog){ 0 };
}

/* One piece of one slice, at most a chunk. */
static enum ps_code read_piece(struct ps_inspector *inspector, int position,
                               const struct ps_read_request *message, void *out,
                               struct ps_error *err)
{
    struct ps_outgoing request = { 0 };
    struct ps_answer answer = { 0 };
    enum ps_code rc = ps_encode_read_request(message, &request.head, err);
    if (rc != PS_OK) {
        ps_outgoing_clean(&request);
        return rc;
    }
    rc = ps_channel_call(inspector->channels[position], PS_METHOD_READ, &request,
                         inspector->deadline_ms, false, &answer, err);
    if (rc == PS_OK) {
        const struct ps_payload *payload = answer.message.payload;
        size_t size = payload == NULL ? 0 : payload->size;
        if (size != message->size) {
            rc = ps_fail(err, PS_INTERNAL, "Read from %s gave %zu bytes of %llu",
                         inspector->peers[position].address, size,
                         (unsigned long long)message->size);
        } else if (size > 0) {
            struct ps_cursor cursor = ps_cursor_at(payload, 0);
            PS_ASSERT(ps_cursor_copy(&cursor, out, size));
        }
    }
    ps_answer_clean(&answer);
    return rc;
}

static enum ps_code check_slice(const struct ps_inspect_variable *variable,
                                const struct ps_inspect_slice *slice, struct ps_error *err)
{
    if (!slice->listed) {
        return ps_fail(err, PS_UNAVAILABLE,
                       "a slice of variable '%s' is on /job:ps/task:%u, which does not have it",
                       variable->definition.name, slice->task);
    }
    if (slice->initialized) { return PS_OK; }
    return ps_fail(err, PS_FAILED_PRECONDITION, "Attempting to use uninitialized value %s",
                   variable->definition.name);
}

/* The rows of one slice that are asked for, to their place in data. */
static enum ps_code read_slice(struct ps_inspector *inspector,
                               const struct ps_inspect_variable *variable,
                               const struct ps_inspect_slice *slice, struct ps_rows rows,
                               uint8_t *data, struct ps_error *err)
{
    const struct ps_definition *definition = &variable->definition;
    int64_t first = slice->rows.start > rows.start ? slice->rows.start : rows.start;
    int64_t slice_end = slice->rows.start + slice->rows.count, end = rows.start + rows.count;
    int64_t last = slice_end < end ? slice_end : end;
    int position;
    if (first >= last) { return PS_OK; }
    enum ps_code rc = psi_inspect_find(inspector, slice->task, &position, err);
    if (rc == PS_OK) { rc = check_slice(variable, slice, err); }
    if (rc != PS_OK) { return rc; }

    int64_t row_bytes = ps_shape_row_elements(&definition->shape) *
                        ps_dtype_size(definition->dtype);
    uint64_t left = (uint64_t)((last - first) * row_bytes);
    struct ps_read_request request = { .header = inspector->peers[position].hello.header,
                                       .handle = slice->handle,
                                       .offset = (uint64_t)((first - slice->rows.start) *
                                                            row_bytes) };
    data += (first - rows.start) * row_bytes;
    while (left > 0) {
        request.size = left < PS_CHUNK_BYTES ? left : PS_CHUNK_BYTES;
        rc = read_piece(inspector, position, &request, data, err);
        if (rc != PS_OK) {
            ps_wrap(err, "variable '%s'", definition->name);
            return rc;
        }
        data += request.size;
        request.offset += request.size;
        left -= request.size;
    }
    return PS_OK;
}

enum ps_code ps_inspect_read(struct ps_inspector *inspector,
                             const struct ps_inspect_variable *variable, struct ps_rows rows,
                             struct ps_tensor *tensor_out, struct ps_error *err)
{
    const struct ps_definition *definition = &variable->definition;
    int64_t row_count = ps_shape_rows(&definition->shape);
    struct ps_shape shape = definition->shape;
    *tensor_out = (struct ps_tensor){ 0 };
    if (rows.start < 0 || rows.count < 0 || rows.start > row_count ||
        rows.count > row_count - rows.start) {
        return ps_fail(err, PS_OUT_OF_RANGE,
                       "variable '%s' has %lld rows; rows %lld to %lld are not all of them",
                       definition->name, (long long)row_count, (long long)rows.start,
                       (long long)(rows.start + rows.count));
    }
    if (shape.rank > 0) { shape.dims[0] = rows.count; }
    enum ps_code rc = ps_tensor_init(tensor_out, definition->dtype, &shape, err);
    for (size_t s = 0; rc == PS_OK && s < variable->slice_count; s++) {
        rc = read_slice(inspector, variable, &variable->slices[s], rows, tensor_out->data, err);
    }
    if (rc != PS_OK) { ps_tensor_clean(tensor_out); }
    return rc;
}

static enum ps_code check_value(const struct ps_definition *definition, size_t slice_count,
                                const struct ps_tensor *value, struct ps_error *err)
{
    char have[PS_SHAPE_TEXT_BYTES], want[PS_SHAPE_TEXT_BYTES];
    bool shape_fits = ps_shape_equal(&definition->shape, &value->shape) ||
                      (definition->free_shape && slice_count == 1);
    if (shape_fits && definition->dtype == value->dtype) { return PS_OK; }
    return ps_fail(err, PS_INVALID_ARGUMENT, "variable '%s' is %s%s, but the value is %s%s",
                   definition->name, ps_dtype_name((int)definition->dtype),
                   ps_shape_format(&definition->shape, want), ps_dtype_name((int)value->dtype),
                   ps_shape_format(&value->shape, have));
}

enum ps_code ps_inspect_assign(struct ps_inspector *inspector,
                               const struct ps_inspect_variable *variable,
                               const struct ps_tensor *value, struct ps_error *err)
{
    const struct ps_definition *definition = &variable->definition;
    enum ps_code rc = check_value(definition, variable->slice_count, value, err);
    bool reshapes = !ps_shape_equal(&definition->shape, &value->shape);
    int64_t row_bytes = ps_shape_row_elements(&value->shape) * ps_dtype_size(value->dtype);
    int position;
    /* All of them are there, or nothing is changed. */
    for (size_t s = 0; rc == PS_OK && s < variable->slice_count; s++) {
        rc = psi_inspect_find(inspector, variable->slices[s].task, &position, err);
    }
    for (size_t s = 0; rc == PS_OK && s < variable->slice_count; s++) {
        const struct ps_inspect_slice *slice = &variable->slices[s];
        rc = psi_inspect_find(inspector, slice->task, &position, err);
        if (rc != PS_OK) { break; }
        const struct psi_inspect_assignment assignment = {
            .header = inspector->peers[position].hello.header,
            .task = slice->task,
            .handle = slice->handle,
            .shape = reshapes ? &value->shape : NULL,
            .data = (const uint8_t *)value->data + (reshapes ? 0 : slice->rows.start * row_bytes),
            .size_bytes = reshapes ? value->size_bytes : (uint64_t)(slice->rows.count * row_bytes),
        };
        rc = psi_inspect_assign_slice(inspector->channels[position], &assignment,
                                      inspector->deadline_ms, err);
        if (rc != PS_OK) { ps_wrap(err, "variable '%s'", definition->name); }
    }
    return rc;
}
