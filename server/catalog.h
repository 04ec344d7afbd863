/* Every variable of the cluster, its slices joined from what each ps task lists. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_CATALOG_H
#define PARAMD_SERVER_CATALOG_H

#include <stdbool.h>

#include "proto/arena.h"
#include "proto/messages.h"

struct ps_checkpointer;

struct ps_catalog_slice {
    uint32_t task;
    const struct ps_variable_info *info; /* NULL: its task does not have it */
};

struct ps_catalog_variable {
    const struct ps_definition *definition; /* with the shape that it has now */
    struct ps_catalog_slice *slices;
    size_t slice_count;
    bool complete;    /* every slice is there */
    bool initialized; /* and has a value */
};

/* Zero-initialise; ps_catalog_clean. What it points to belongs to it, or to the store. */
struct ps_catalog {
    struct ps_catalog_variable *variables; /* by name */
    size_t variable_count;
    struct ps_catalog_slice *slices;
    struct ps_arena *arenas; /* of the replies, one a task */
    uint32_t task_count;
};

/* Asks every ps task, on ps task 0. Errors: UNAVAILABLE (one does not answer); RESOURCE_EXHAUSTED.
 */
PS_MUST_CHECK enum ps_code ps_catalog_gather(struct ps_checkpointer *checkpointer,
                                             int64_t deadline_ms, struct ps_catalog *catalog_out,
                                             struct ps_error *err);
void ps_catalog_clean(struct ps_catalog *catalog); /* takes NULL */

/* NULL: there is none. */
const struct ps_catalog_variable *ps_catalog_find(const struct ps_catalog *catalog,
                                                  const char *name);

#endif
