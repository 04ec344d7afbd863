/* The table of slices: uthash by name, an array by handle, one lock for both. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/lock.h"
#include "proto/definition.h"
#include "server/budget.h"
#include "server/chunk.h"
#include "server/fresh.h"
#include "server/variable.h"

/* Out of memory is an answer, not the end of the process. */
#define HASH_NONFATAL_OOM            1
#define uthash_malloc(size)          ps_alloc(size)
#define uthash_free(memory, size)    ps_free(memory)
#define uthash_nonfatal_oom(element) ((void)(added = false))
#include <uthash.h>

/* A name, and its slices on this task linked by next_slice in the order of their creation. */
struct entry {
    const char *name; /* the first slice's */
    struct ps_variable *first;
    UT_hash_handle hh;
};

struct ps_store {
    /* set by create, never changed */
    uint32_t task_index;
    struct ps_chunk_pool *pool;
    struct ps_budget budget;
    /* guarded by lock */
    struct ps_mutex lock;
    struct entry *entries;
    struct ps_variable **variables; /* by handle */
    uint32_t count;
    uint32_t capacity;
};

struct ps_store *ps_store_create(const struct ps_store_options *options)
{
    struct ps_store *store = ps_alloc_zero(1, sizeof *store);
    if (store == NULL) { return NULL; }
    char task[PS_BUDGET_TASK_BYTES];
    snprintf(task, sizeof task, "ps/%" PRIu32, options->task_index);
    store->task_index = options->task_index;
    ps_budget_init(&store->budget, task, options->memory_limit_bytes);
    ps_mutex_init(&store->lock, "store", PS_RANK_TASK);
    store->pool = ps_chunk_pool_create(options->free_limit_bytes);
    if (store->pool == NULL) {
        ps_store_destroy(store);
        return NULL;
    }
    return store;
}

void ps_store_destroy(struct ps_store *store)
{
    if (store == NULL) { return; }
    struct entry *entry, *next;
    HASH_ITER (hh, store->entries, entry, next) {
        HASH_DEL(store->entries, entry);
        ps_free(entry);
    }
    for (uint32_t i = 0; i < store->count; i++) { ps_variable_destroy(store->variables[i]); }
    ps_free(store->variables);
    ps_chunk_pool_destroy(store->pool);
    ps_mutex_clean(&store->lock);
    ps_free(store);
}

static struct entry *find_entry_locked(struct ps_store *store, const char *name)
{
    struct entry *entry = NULL;
    HASH_FIND_STR(store->entries, name, entry);
    return entry;
}

static const char *worker_format(uint32_t worker, char text[32])
{
    if (worker == PS_NO_WORKER) {
        snprintf(text, 32, "a tool");
    } else {
        snprintf(text, 32, "worker %" PRIu32, worker);
    }
    return text;
}

/* Room for each half of a message, so that neither pushes the other out. */
enum { HALF_TEXT_BYTES = 160 };

static enum ps_code refuse_definition(const struct ps_store *store,
                                      const struct ps_variable *variable,
                                      const struct ps_create_request *request, struct ps_error *err)
{
    char ours[HALF_TEXT_BYTES], theirs[HALF_TEXT_BYTES], definer[32], asker[32];
    return ps_fail(err, PS_ALREADY_EXISTS,
                   "variable '%s' is %s on /job:ps/task:%" PRIu32
                   " (defined by %s); %s asks for %s. Same program on all workers?",
                   variable->definition.name,
                   ps_definition_format(&variable->definition, ours, sizeof ours),
                   store->task_index, worker_format(variable->defined_by, definer),
                   worker_format(request->worker, asker),
                   ps_definition_format(&request->definition, theirs, sizeof theirs));
}

static bool slices_equal(const struct ps_variable *variable,
                         const struct ps_create_request *request)
{
    if (variable->slice_count != request->slice_count) { return false; }
    for (size_t i = 0; i < request->slice_count; i++) {
        const struct ps_slice_place *ours = &variable->slices[i], *theirs = &request->slices[i];
        if (ours->task != theirs->task || ours->rows.start != theirs->rows.start ||
            ours->rows.count != theirs->rows.count) {
            return false;
        }
    }
    return true;
}

/* Whether a slice that is there is of the variable that the request means. */
static enum ps_code check_same(const struct ps_store *store, const struct ps_variable *variable,
                               const struct ps_create_request *request, struct ps_error *err)
{
    if (!ps_definition_equal(&variable->definition, &request->definition)) {
        return refuse_definition(store, variable, request, err);
    }
    if (!slices_equal(variable, request)) {
        char definer[32], asker[32];
        return ps_fail(err, PS_ALREADY_EXISTS,
                       "variable '%s' has other slices on /job:ps/task:%" PRIu32
                       " (%zu, as %s was told) than %s believes (%zu). Declare it on ps task 0 "
                       "first, which decides once for all",
                       variable->definition.name, store->task_index, variable->slice_count,
                       worker_format(variable->defined_by, definer),
                       worker_format(request->worker, asker), request->slice_count);
    }
    return PS_OK;
}

static enum ps_code check_task(const struct ps_store *store,
                               const struct ps_create_request *request, struct ps_error *err)
{
    if (request->slice_index >= request->slice_count) { return PS_OK; } /* create says it */
    uint32_t task = request->slices[request->slice_index].task;
    if (task == store->task_index) { return PS_OK; }
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "slice %" PRIu32 " of '%s' belongs to /job:ps/task:%" PRIu32
                   ", this is /job:ps/task:%" PRIu32,
                   request->slice_index, request->definition.name, task, store->task_index);
}

static enum ps_code reserve_handle_locked(struct ps_store *store, struct ps_error *err)
{
    if (store->count < store->capacity) { return PS_OK; }
    if (store->count == PS_MAX_LISTED) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "ps/%" PRIu32 " has %d variables, the most",
                       store->task_index, PS_MAX_LISTED);
    }
    uint32_t capacity = store->capacity == 0 ? 16 : store->capacity * 2;
    struct ps_variable **variables = ps_realloc(store->variables,
                                                capacity * sizeof *store->variables);
    if (variables == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a table of %" PRIu32 " variables",
                       capacity);
    }
    store->variables = variables;
    store->capacity = capacity;
    return PS_OK;
}

/* A new name. On failure the table is as before. */
static enum ps_code add_entry_locked(struct ps_store *store, struct ps_variable *variable,
                                     struct ps_error *err)
{
    bool added = true; /* uthash_nonfatal_oom clears it */
    struct entry *entry = ps_alloc_zero(1, sizeof *entry);
    if (entry != NULL) {
        entry->name = variable->definition.name;
        entry->first = variable;
        HASH_ADD_KEYPTR(hh, store->entries, entry->name, strlen(entry->name), entry);
        if (added) { return PS_OK; }
        ps_free(entry);
    }
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for variable '%s'",
                   variable->definition.name);
}

/* Adds a slice that is not there; entry: of its name, or NULL. */
static enum ps_code add_locked(struct ps_store *store, struct entry *entry,
                               const struct ps_create_request *request,
                               struct ps_variable **variable_out, struct ps_error *err)
{
    enum ps_code rc;
    struct ps_variable *variable = NULL;
    PS_TRY(fail, rc, check_task(store, request, err));
    PS_TRY(fail, rc, reserve_handle_locked(store, err));
    PS_TRY(fail, rc, ps_variable_create(request, store->pool, &store->budget, &variable, err));
    variable->handle = store->count;
    if (entry == NULL) {
        PS_TRY(fail, rc, add_entry_locked(store, variable, err));
    } else {
        struct ps_variable *last = entry->first;
        while (last->next_slice != NULL) { last = last->next_slice; }
        last->next_slice = variable;
    }
    store->variables[store->count++] = variable;
    *variable_out = variable;
    return PS_OK;
fail:
    ps_variable_destroy(variable);
    return rc;
}

static enum ps_code create_locked(struct ps_store *store, const struct ps_create_request *request,
                                  struct ps_variable **variable_out, bool *created_out,
                                  struct ps_error *err)
{
    struct entry *entry = find_entry_locked(store, request->definition.name);
    struct ps_variable *variable = entry == NULL ? NULL : entry->first;
    if (variable != NULL) {
        enum ps_code rc = check_same(store, variable, request, err);
        if (rc != PS_OK) { return rc; }
    }
    while (variable != NULL && variable->slice_index != request->slice_index) {
        variable = variable->next_slice;
    }
    *variable_out = variable;
    *created_out = variable == NULL;
    if (variable != NULL) { return PS_OK; }
    return add_locked(store, entry, request, variable_out, err);
}

enum ps_code ps_store_create_variable(struct ps_store *store,
                                      const struct ps_create_request *request,
                                      struct ps_variable **variable_out, bool *created_out,
                                      struct ps_error *err)
{
    *variable_out = NULL;
    *created_out = false;
    ps_mutex_lock(&store->lock);
    enum ps_code rc = create_locked(store, request, variable_out, created_out, err);
    ps_mutex_unlock(&store->lock);
    if (rc != PS_OK) { *created_out = false; }
    return rc;
}

struct ps_variable *ps_store_find(struct ps_store *store, const char *name)
{
    ps_mutex_lock(&store->lock);
    struct entry *entry = find_entry_locked(store, name);
    struct ps_variable *variable = entry == NULL ? NULL : entry->first;
    ps_mutex_unlock(&store->lock);
    return variable;
}

struct ps_variable *ps_store_next_slice(struct ps_store *store, struct ps_variable *variable)
{
    ps_mutex_lock(&store->lock);
    struct ps_variable *next = variable->next_slice;
    ps_mutex_unlock(&store->lock);
    return next;
}

uint32_t ps_store_count(struct ps_store *store)
{
    ps_mutex_lock(&store->lock);
    uint32_t count = store->count;
    ps_mutex_unlock(&store->lock);
    return count;
}

struct ps_variable *ps_store_at(struct ps_store *store, uint32_t handle)
{
    ps_mutex_lock(&store->lock);
    struct ps_variable *variable = handle < store->count ? store->variables[handle] : NULL;
    ps_mutex_unlock(&store->lock);
    return variable;
}

enum ps_code ps_store_get(struct ps_store *store, uint32_t handle,
                          struct ps_variable **variable_out, struct ps_error *err)
{
    *variable_out = ps_store_at(store, handle);
    if (*variable_out != NULL) { return PS_OK; }
    return ps_fail(err, PS_NOT_FOUND,
                   "ps/%" PRIu32 " has no variable with handle %" PRIu32 " (it has %" PRIu32
                   "). Handles end with the process that gave them: create the variable again",
                   store->task_index, handle, ps_store_count(store));
}

enum ps_code ps_store_initialize(struct ps_store *store,
                                 const struct ps_initialize_request *request,
                                 uint32_t *initialized_count_out, struct ps_error *err)
{
    *initialized_count_out = 0;
    struct ps_variable *variable;
    for (size_t i = 0; i < request->handle_count; i++) {
        enum ps_code rc = ps_store_get(store, request->handles[i], &variable, err);
        if (rc != PS_OK) { return rc; }
    }
    size_t count = request->handle_count == 0 ? ps_store_count(store) : request->handle_count;
    for (size_t i = 0; i < count; i++) {
        bool initialized;
        uint32_t handle = request->handle_count == 0 ? (uint32_t)i : request->handles[i];
        enum ps_code rc = ps_fresh_initialize(ps_store_at(store, handle), request->force,
                                              &initialized, err);
        if (rc != PS_OK) { return rc; }
        if (initialized) { (*initialized_count_out)++; }
    }
    return PS_OK;
}

struct ps_store_totals ps_store_totals(struct ps_store *store)
{
    struct ps_store_totals totals = { .variable_count = ps_store_count(store) };
    for (uint32_t i = 0; i < totals.variable_count; i++) {
        struct ps_variable_state state = ps_variable_state(ps_store_at(store, i));
        totals.variable_bytes += state.size_bytes;
        totals.slot_bytes += state.slot_bytes;
    }
    struct ps_chunk_pool_stats stats = ps_chunk_pool_stats(store->pool);
    totals.pool_bytes = stats.used_bytes + stats.free_bytes;
    totals.promised_bytes = ps_budget_promised(&store->budget);
    return totals;
}

struct ps_chunk_pool *ps_store_pool(struct ps_store *store)
{
    return store->pool;
}
