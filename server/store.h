/* All slices of one ps task: by name for programs that join, by handle for every message after. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_STORE_H
#define PARAMD_SERVER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/messages.h"

struct ps_chunk_pool;
struct ps_store;
struct ps_variable;

struct ps_store_options {
    uint32_t task_index;
    uint64_t memory_limit_bytes; /* for values and slots; 0: none */
    uint64_t free_limit_bytes;   /* chunks kept for reuse at most */
};

struct ps_store_totals {
    uint64_t variable_count; /* slices */
    uint64_t variable_bytes;
    uint64_t slot_bytes;
    uint64_t pool_bytes;     /* chunks in use, by variables, readers and copies, and kept free */
    uint64_t promised_bytes; /* counted against the limit */
};

/* NULL when out of memory. Threads: any, for all functions but destroy. Variables live as long as
 * the store and are never moved. */
struct ps_store *ps_store_create(const struct ps_store_options *options);
void ps_store_destroy(struct ps_store *store);

/* The slice that request asks for: made now (created_out), or the one that is there if it is
 * defined equally.
 * Errors: ALREADY_EXISTS (another definition or other slices under that name; the message shows
 * both), INVALID_ARGUMENT, RESOURCE_EXHAUSTED; nothing is made then. */
PS_MUST_CHECK enum ps_code ps_store_create_variable(struct ps_store *store,
                                                    const struct ps_create_request *request,
                                                    struct ps_variable **variable_out,
                                                    bool *created_out, struct ps_error *err);

/* The first slice called name on this task (others: ps_store_next_slice), or NULL. */
struct ps_variable *ps_store_find(struct ps_store *store, const char *name);
struct ps_variable *ps_store_next_slice(struct ps_store *store, struct ps_variable *variable);

/* Handles are 0, 1, 2, ... in the order of creation: iterate up to ps_store_count. at gives NULL
 * for one that is not there. get: NOT_FOUND says that handles do not survive a restart. */
uint32_t ps_store_count(struct ps_store *store);
struct ps_variable *ps_store_at(struct ps_store *store, uint32_t handle);
PS_MUST_CHECK enum ps_code ps_store_get(struct ps_store *store, uint32_t handle,
                                        struct ps_variable **variable_out, struct ps_error *err);

/* Runs initializers: of the handles, or of all if handle_count is 0; of variables that have a
 * value only with force. Those whose value a client pushes are passed over.
 * Errors: NOT_FOUND (before anything is done), RESOURCE_EXHAUSTED (what was done stays). */
PS_MUST_CHECK enum ps_code ps_store_initialize(struct ps_store *store,
                                               const struct ps_initialize_request *request,
                                               uint32_t *initialized_count_out,
                                               struct ps_error *err);

struct ps_store_totals ps_store_totals(struct ps_store *store);

/* For chunks of others on this task, which count as pool_bytes. */
struct ps_chunk_pool *ps_store_pool(struct ps_store *store);

#endif
