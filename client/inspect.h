/* Looking at a running cluster from outside: its tasks, its variables, one value. For tools. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CLIENT_INSPECT_H
#define PARAMD_CLIENT_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"
#include "core/tensor.h"
#include "proto/arena.h"
#include "proto/messages.h"

struct ps_cluster;
struct ps_inspector;

/* One ps task as it was when it was last asked. */
struct ps_inspect_peer {
    int index;
    const char *address;         /* borrowed from the inspector */
    struct ps_error error;       /* PS_OK: it answered; else why it is taken for dead */
    struct ps_hello_reply hello; /* version is borrowed from the inspector */
};

/* Connects to the ps tasks of a cluster, which is only read here. No task needs to be there yet.
 * deadline_ms: of each later call. Close it with ps_inspect_close. Threads: one at a time. */
PS_MUST_CHECK enum ps_code ps_inspect_open(const struct ps_cluster *cluster, int64_t deadline_ms,
                                           struct ps_inspector **inspector_out,
                                           struct ps_error *err);
void ps_inspect_close(struct ps_inspector *inspector); /* takes NULL */

/* Asks every ps task who it is, and makes what each said its peer's state. Returns the first
 * failure, after all were asked: UNAVAILABLE, DEADLINE_EXCEEDED, UNIMPLEMENTED for a peer of
 * another protocol (both versions are named), FAILED_PRECONDITION for a peer of another job. */
PS_MUST_CHECK enum ps_code ps_inspect_hello(struct ps_inspector *inspector, struct ps_error *err);

int ps_inspect_peer_count(const struct ps_inspector *inspector);
/* By position, not by task index; borrowed until the next call on the inspector. */
const struct ps_inspect_peer *ps_inspect_peer(const struct ps_inspector *inspector, int position);

/* What every ps task says of itself. */
struct ps_inspect_status {
    struct ps_status_reply *replies; /* one for each peer, zeroed where the peer has an error */
    struct ps_arena *arenas;         /* holds what the replies point to */
    int count;
};

/* Says hello and asks for the status. Returns the first failure, with the others' replies there.
 * status_out: ps_inspect_status_clean when done, also after a failure. */
PS_MUST_CHECK enum ps_code ps_inspect_status(struct ps_inspector *inspector,
                                             struct ps_inspect_status *status_out,
                                             struct ps_error *err);
void ps_inspect_status_clean(struct ps_inspect_status *status);

/* One slice of a variable, on one ps task. */
struct ps_inspect_slice {
    uint32_t task;
    struct ps_rows rows;
    bool listed; /* its ps task answered and has it; what follows is zero otherwise */
    bool initialized;
    uint32_t handle;
    uint64_t bytes;
    uint64_t slot_bytes;
    uint64_t update_count;
};

/* One logical variable. */
struct ps_inspect_variable {
    struct ps_definition definition;
    struct ps_inspect_slice *slices;
    size_t slice_count;
    bool initialized; /* every slice is listed and has a value */
    uint64_t bytes;   /* of the slices that are listed */
    uint64_t slot_bytes;
    uint64_t update_count; /* of the slice with the most */
    const char *const *slots;
    size_t slot_count;
};

/* Variables by name. */
struct ps_inspect_catalog {
    struct ps_inspect_variable *variables;
    size_t variable_count;
    struct ps_inspect_slice *slices;
    struct ps_arena *arenas;
    int arena_count;
};

/* Says hello, lists the variables of all ps tasks, and joins their slices. name: only this one;
 * NULL or "" for all. Returns the first failure, with what the other tasks have in the catalogue;
 * an unknown name gives an empty catalogue. catalog_out: ps_inspect_catalog_clean when done, also
 * after a failure. */
PS_MUST_CHECK enum ps_code ps_inspect_list(struct ps_inspector *inspector, const char *name,
                                           struct ps_inspect_catalog *catalog_out,
                                           struct ps_error *err);
void ps_inspect_catalog_clean(struct ps_inspect_catalog *catalog);

/* Reads rows of a variable, in pieces of a MiB, while training goes on: each piece is consistent,
 * the whole need not be. rows: within the variable's shape; {0, 1} of a scalar. tensor_out:
 * ps_tensor_clean when done. Errors: OUT_OF_RANGE, FAILED_PRECONDITION (no value yet), UNAVAILABLE
 * (the task of a slice is not there), the peer's own. */
PS_MUST_CHECK enum ps_code ps_inspect_read(struct ps_inspector *inspector,
                                           const struct ps_inspect_variable *variable,
                                           struct ps_rows rows, struct ps_tensor *tensor_out,
                                           struct ps_error *err);

/* Sets a whole variable, slice by slice, each at once; training is not stopped for it. Errors:
 * INVALID_ARGUMENT for another dtype or shape, with both; UNAVAILABLE; the peer's own. */
PS_MUST_CHECK enum ps_code ps_inspect_assign(struct ps_inspector *inspector,
                                             const struct ps_inspect_variable *variable,
                                             const struct ps_tensor *value, struct ps_error *err);

/* grpc.health.v1 of any server: *serving_out tells SERVING. service: "" for the whole process. */
PS_MUST_CHECK enum ps_code ps_inspect_health(const char *address, const char *service,
                                             int64_t deadline_ms, bool *serving_out,
                                             struct ps_error *err);

#endif
