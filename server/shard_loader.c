/* Slices of this task out of a checkpoint: chunk by chunk into replacements, then all at once. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/shard_loader.h"

#include <inttypes.h>
#include <string.h>

#include "checkpoint/bundle_range.h"
#include "core/alloc.h"
#include "core/log.h"
#include "proto/arena.h"
#include "server/checkpointer.h"
#include "server/index_print.h"
#include "server/job_state.h"
#include "server/replacement.h"
#include "server/service.h"
#include "server/store.h"

/* One slice that is restored. */
struct item {
    struct ps_variable *variable;
    struct ps_bundle_info tensors[PS_MAX_PLANES]; /* where value and slots are */
    const char *slots[PS_MAX_SLOTS];
    size_t slot_count;
    struct ps_shape shape; /* that the variable will have */
    bool is_deferred;      /* checked, but to be read again when the old value is gone */
    uint64_t fed_bytes;
    struct ps_replacement replacement;
};

struct ps_shard_loader {
    struct ps_checkpointer *checkpointer;
    uint64_t id;
    struct ps_bundle_reader *reader; /* NULL: does not see the checkpoint, is fed */
    struct ps_arena arena;           /* of names */
    struct item *items;
    size_t count;
    uint64_t bytes;
};

/* ---- The same file? ---- */

/* Opens the checkpoint if it is the one that ps task 0 sees; *reader_out NULL: it is not. */
static enum ps_code open_same(struct ps_checkpointer *checkpointer,
                              const struct ps_restore_shard_request *request,
                              struct ps_bundle_reader **reader_out, struct ps_error *err)
{
    struct ps_path prefix;
    struct ps_index_print print;
    *reader_out = NULL;
    enum ps_code rc = ps_checkpointer_path(checkpointer, request->prefix, &prefix, err);
    if (rc != PS_OK) { return rc; }
    if (ps_bundle_reader_open(checkpointer->files, prefix.text, reader_out, NULL) == PS_OK &&
        ps_index_print_take(checkpointer->files, prefix.text, &print, NULL) == PS_OK &&
        print.size_bytes == request->index_bytes && print.crc32c == request->index_crc32c) {
        return PS_OK;
    }
    ps_bundle_reader_close(*reader_out);
    *reader_out = NULL;
    return PS_OK;
}

/* ---- Items ---- */

static enum ps_code fail_memory(struct ps_error *err)
{
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to restore");
}

static const char *copy_text(struct ps_arena *arena, const char *first, const char *second)
{
    size_t first_size = strlen(first), second_size = strlen(second);
    char *copy = ps_arena_alloc(arena, first_size + second_size + 2);
    if (copy == NULL) { return NULL; }
    memcpy(copy, first, first_size + 1);
    if (second_size > 0) {
        copy[first_size] = '/';
        memcpy(copy + first_size + 1, second, second_size + 1);
    }
    return copy;
}

static enum ps_code name_tensors(struct ps_shard_loader *loader,
                                 const struct ps_restored_variable *from, struct item *item,
                                 struct ps_error *err)
{
    for (size_t i = 0; i <= from->slot_count; i++) {
        const char *slot = i == 0 ? "" : from->slots[i - 1];
        item->tensors[i] = (struct ps_bundle_info){
            .name = copy_text(&loader->arena, from->name, slot),
            .dtype = (int32_t)item->variable->definition.dtype,
            .shape = from->shape,
        };
        if (i > 0) { item->slots[i - 1] = copy_text(&loader->arena, slot, ""); }
        bool complete = item->tensors[i].name != NULL && (i == 0 || item->slots[i - 1] != NULL);
        if (!complete) { return fail_memory(err); }
    }
    item->slot_count = from->slot_count;
    return PS_OK;
}

static enum ps_code make_item(struct ps_shard_loader *loader,
                              const struct ps_restored_variable *from, struct item *item,
                              struct ps_error *err)
{
    struct ps_store *store = loader->checkpointer->service->store;
    enum ps_code rc = ps_store_get(store, from->handle, &item->variable, err);
    if (rc != PS_OK) { return rc; }
    const struct ps_definition *definition = &item->variable->definition;
    item->shape = definition->free_shape ? from->shape : definition->shape;
    if (ps_shape_elements(&item->shape) != ps_shape_elements(&from->shape)) {
        char wanted[PS_SHAPE_TEXT_BYTES], stored[PS_SHAPE_TEXT_BYTES];
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "variable '%s': Assign requires shapes of both tensors to match. lhs "
                       "shape= %s rhs shape= %s",
                       definition->name, ps_shape_format(&item->shape, wanted),
                       ps_shape_format(&from->shape, stored));
    }
    PS_TRY(done, rc, name_tensors(loader, from, item, err));
    rc = ps_replacement_init(&item->replacement, item->variable, &item->shape, item->slots,
                             item->slot_count, err);
    bool can_wait = loader->reader != NULL && ps_variable_state(item->variable).initialized;
    if (rc == PS_RESOURCE_EXHAUSTED && can_wait) {
        ps_log(PS_LOG_INFO, "restore",
               "no room for the old and the new value of '%s' at once; it is read twice",
               definition->name);
        item->is_deferred = true;
        rc = PS_OK;
    }
    loader->bytes += (item->slot_count + 1) * ps_variable_slice_bytes(item->variable, &item->shape);
done:
    return rc;
}

/* ---- Reading ---- */

/* Reads the slice's part of a tensor; to the chunks of a plane, or, if that is NULL, to window. */
static enum ps_code read_tensor(struct ps_shard_loader *loader, const struct item *item,
                                const struct ps_bundle_info *tensor, struct ps_chunk **chunks,
                                uint8_t *window, struct ps_error *err)
{
    int64_t first = ps_variable_first_element(item->variable);
    uint64_t size_bytes = ps_variable_slice_bytes(item->variable, &item->shape);
    for (size_t i = 0; i < ps_chunk_count(size_bytes); i++) {
        size_t run = ps_chunk_size_at(size_bytes, i);
        int64_t count = (int64_t)(run / item->variable->element_bytes);
        void *to = chunks != NULL ? chunks[i]->data : window;
        enum ps_code rc = ps_checkpointer_check(loader->checkpointer, err);
        if (rc == PS_OK) {
            rc = ps_bundle_range_read(loader->reader, tensor, first, count, to, err);
        }
        if (rc != PS_OK) { return rc; }
        first += count;
    }
    return PS_OK;
}

static enum ps_code read_item(struct ps_shard_loader *loader, struct item *item,
                              struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    for (int i = 0; i < item->replacement.plane_count && rc == PS_OK; i++) {
        rc = read_tensor(loader, item, &item->tensors[i], item->replacement.planes[i].chunks, NULL,
                         err);
    }
    return rc;
}

static enum ps_code check_item(struct ps_shard_loader *loader, struct item *item,
                               struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    uint8_t *window = ps_alloc(PS_CHUNK_BYTES);
    if (window == NULL) { return fail_memory(err); }
    for (size_t i = 0; i <= item->slot_count && rc == PS_OK; i++) {
        rc = read_tensor(loader, item, &item->tensors[i], NULL, window, err);
    }
    ps_free(window);
    return rc;
}

static enum ps_code read_all(struct ps_shard_loader *loader, struct ps_error *err)
{
    for (size_t i = 0; i < loader->count; i++) {
        struct item *item = &loader->items[i];
        enum ps_code rc = item->is_deferred ? check_item(loader, item, err)
                                            : read_item(loader, item, err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

/* ---- Prepare ---- */

static void loader_destroy(struct ps_shard_loader *loader)
{
    if (loader == NULL) { return; }
    for (size_t i = 0; i < loader->count; i++) {
        if (loader->items[i].variable == NULL) { continue; }
        ps_replacement_clean(&loader->items[i].replacement, loader->items[i].variable);
    }
    ps_bundle_reader_close(loader->reader);
    ps_arena_clean(&loader->arena);
    ps_free(loader->items);
    ps_free(loader);
}

/* A copy of the checkpoint that is damaged here may be whole where ps task 0 reads it. */
static enum ps_code read_or_be_fed(struct ps_shard_loader *loader, struct ps_error *err)
{
    if (loader->reader == NULL) { return PS_OK; }
    struct ps_error detail = PS_ERROR_INIT;
    enum ps_code rc = read_all(loader, &detail);
    bool is_own_trouble = rc == PS_DATA_LOSS && loader->checkpointer->service->task_index != 0;
    for (size_t i = 0; i < loader->count; i++) {
        is_own_trouble = is_own_trouble && !loader->items[i].is_deferred;
    }
    if (rc == PS_OK) { return PS_OK; }
    if (!is_own_trouble) {
        if (err != NULL) { *err = detail; }
        return rc;
    }
    ps_log(PS_LOG_WARN, "restore", "cannot read the checkpoint here, so ps/0 is asked for it: %s",
           detail.message);
    ps_bundle_reader_close(loader->reader);
    loader->reader = NULL;
    return PS_OK;
}

static enum ps_code prepare(struct ps_checkpointer *checkpointer,
                            const struct ps_restore_shard_request *request,
                            struct ps_shard_loader **loader_out, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    *loader_out = NULL;
    struct ps_shard_loader *loader = ps_alloc_zero(1, sizeof *loader);
    if (loader == NULL) { return fail_memory(err); }
    loader->checkpointer = checkpointer;
    loader->id = request->id;
    loader->items = ps_alloc_zero(request->variable_count + 1, sizeof *loader->items);
    if (loader->items == NULL) {
        rc = fail_memory(err);
        goto fail;
    }
    if (request->variable_count > 0) {
        PS_TRY(fail, rc, open_same(checkpointer, request, &loader->reader, err));
    }
    for (; loader->count < request->variable_count; loader->count++) {
        struct item *item = &loader->items[loader->count];
        rc = make_item(loader, &request->variables[loader->count], item, err);
        if (rc != PS_OK) { goto fail; }
    }
    PS_TRY(fail, rc, read_or_be_fed(loader, err));
    *loader_out = loader;
    return PS_OK;
fail:
    loader_destroy(loader);
    return rc;
}

/* ---- Feed and load ---- */

static enum ps_code feed(struct ps_shard_loader *loader,
                         const struct ps_restore_shard_request *request,
                         const struct ps_payload *payload, struct ps_error *err)
{
    uint64_t size = payload == NULL ? 0 : payload->size;
    struct item *item = request->variable < loader->count ? &loader->items[request->variable]
                                                          : NULL;
    bool fits = item != NULL && request->plane < (uint32_t)item->replacement.plane_count &&
                request->offset % PS_CHUNK_BYTES == 0 &&
                request->offset < item->replacement.size_bytes &&
                size == ps_chunk_size_at(item->replacement.size_bytes,
                                         (size_t)(request->offset / PS_CHUNK_BYTES));
    if (!fits) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "%" PRIu64 " bytes at %" PRIu64 " of plane %" PRIu32 " of variable %" PRIu32
                       " are no chunk of what is prepared",
                       size, request->offset, request->plane, request->variable);
    }
    struct ps_chunk **chunks = item->replacement.planes[request->plane].chunks;
    struct ps_cursor cursor = ps_cursor_at(payload, 0);
    (void)ps_cursor_copy(&cursor, chunks[request->offset / PS_CHUNK_BYTES]->data, (size_t)size);
    item->fed_bytes += size;
    return PS_OK;
}

static enum ps_code check_fed(const struct ps_shard_loader *loader, struct ps_error *err)
{
    for (size_t i = 0; loader->reader == NULL && i < loader->count; i++) {
        const struct item *item = &loader->items[i];
        uint64_t all = (uint64_t)item->replacement.plane_count * item->replacement.size_bytes;
        if (item->fed_bytes == all) { continue; }
        return ps_fail(err, PS_FAILED_PRECONDITION, "'%s' was fed %" PRIu64 " of %" PRIu64 " bytes",
                       item->variable->definition.name, item->fed_bytes, all);
    }
    return PS_OK;
}

static enum ps_code load_item(struct ps_shard_loader *loader, struct item *item,
                              struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    if (item->is_deferred) {
        ps_replacement_vacate(item->variable);
        PS_TRY(done, rc,
               ps_replacement_init(&item->replacement, item->variable, &item->shape, item->slots,
                                   item->slot_count, err));
        PS_TRY(done, rc, read_item(loader, item, err));
    }
    rc = ps_replacement_install(&item->replacement, item->variable, err);
done:
    return rc;
}

static enum ps_code load(struct ps_shard_loader *loader,
                         const struct ps_restore_shard_request *request, struct ps_error *err)
{
    enum ps_code rc = check_fed(loader, err);
    for (size_t i = 0; i < loader->count && rc == PS_OK; i++) {
        rc = load_item(loader, &loader->items[i], err);
    }
    return rc == PS_OK ? ps_job_state_load(loader->checkpointer->service, request, err) : rc;
}

/* ---- RestoreShard ---- */

/* The prepared loader, out of its place; NULL: none of that id. id 0: whichever is there. */
static struct ps_shard_loader *take(struct ps_checkpointer *checkpointer, uint64_t id)
{
    ps_mutex_lock(&checkpointer->lock);
    struct ps_shard_loader *loader = checkpointer->loader;
    if (loader != NULL && id != 0 && loader->id != id) { loader = NULL; }
    if (loader != NULL) { checkpointer->loader = NULL; }
    ps_mutex_unlock(&checkpointer->lock);
    return loader;
}

/* Back into its place; one that came there meanwhile gives way. */
static void put(struct ps_checkpointer *checkpointer, struct ps_shard_loader *loader)
{
    ps_mutex_lock(&checkpointer->lock);
    struct ps_shard_loader *other = checkpointer->loader;
    checkpointer->loader = loader;
    ps_mutex_unlock(&checkpointer->lock);
    loader_destroy(other);
}

void ps_shard_restore_forget(struct ps_checkpointer *checkpointer)
{
    if (checkpointer != NULL) { loader_destroy(take(checkpointer, 0)); }
}

enum ps_code ps_shard_restore(struct ps_checkpointer *checkpointer,
                              const struct ps_restore_shard_request *request,
                              const struct ps_payload *payload,
                              struct ps_restore_shard_reply *reply_out, struct ps_error *err)
{
    bool is_new = request->phase == PS_RESTORE_PREPARE;
    struct ps_shard_loader *loader = take(checkpointer, is_new ? 0 : request->id);
    enum ps_code rc = PS_OK;
    *reply_out = (struct ps_restore_shard_reply){ 0 };
    if (loader == NULL &&
        (request->phase == PS_RESTORE_FEED || request->phase == PS_RESTORE_LOAD)) {
        return ps_fail(err, PS_FAILED_PRECONDITION,
                       "ps/%" PRIu32 " has not prepared restore %016" PRIx64
                       ". Was it restarted, or another restore begun? Restore again",
                       checkpointer->service->task_index, request->id);
    }
    if (request->phase == PS_RESTORE_FEED) {
        rc = feed(loader, request, payload, err);
        put(checkpointer, loader);
        return rc;
    }
    if (request->phase == PS_RESTORE_LOAD) { rc = load(loader, request, err); }
    loader_destroy(loader);
    if (!is_new) { return rc; }
    rc = prepare(checkpointer, request, &loader, err);
    if (rc != PS_OK) { return rc; }
    reply_out->seen = loader->reader != NULL || loader->count == 0;
    reply_out->bytes = loader->bytes;
    put(checkpointer, loader);
    return PS_OK;
}
