/* A whole new state of a variable, value and slots, built aside and put in place at once. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_REPLACEMENT_H
#define PARAMD_SERVER_REPLACEMENT_H

#include "server/variable.h"

/* Zero-initialise. Chunks are the owner's to write, until installed. */
struct ps_replacement {
    struct ps_shape shape; /* of the whole variable */
    uint64_t size_bytes;   /* of this slice, each plane */
    uint64_t promised_bytes;
    int plane_count; /* 0: empty */
    struct ps_plane planes[PS_MAX_PLANES];
};

/* Memory for the value and the named slots, all zeros. Until the installation it comes on top of
 * what the variable has. Errors: INVALID_ARGUMENT (too many slots), RESOURCE_EXHAUSTED. Threads:
 * any. */
PS_MUST_CHECK enum ps_code ps_replacement_init(struct ps_replacement *replacement,
                                               struct ps_variable *variable,
                                               const struct ps_shape *shape,
                                               const char *const *slots, size_t slot_count,
                                               struct ps_error *err);
void ps_replacement_clean(struct ps_replacement *replacement, struct ps_variable *variable);

/* The variable has this value and these slots from now on, and no others. replacement is empty
 * afterwards. INVALID_ARGUMENT if other optimizers took the places of the slots meanwhile: nothing
 * has changed then. Threads: any; takes the update lock. */
PS_MUST_CHECK enum ps_code ps_replacement_install(struct ps_replacement *replacement,
                                                  struct ps_variable *variable,
                                                  struct ps_error *err);

/* Gives up value and slots, to make room: the variable is uninitialized then. */
void ps_replacement_vacate(struct ps_variable *variable);

#endif
