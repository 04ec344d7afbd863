/* A whole new value for a variable, built aside and then put in its place at once. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_FRESH_H
#define PARAMD_SERVER_FRESH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "core/tensor.h"

struct ps_chunk;
struct ps_variable;

/* Zero-initialise. Chunks are the owner's to write, until installed; NULL: empty. */
struct ps_fresh {
    struct ps_shape shape; /* of the whole variable */
    uint64_t size_bytes;   /* of this slice */
    struct ps_chunk **chunks;
    bool promised; /* its bytes come on top of the variable's own promise to the budget */
};

/* Zeros in the given shape; another one than the current is for variables in one slice only.
 * promise: whether the bytes are promised anew, as they must be unless both shapes stay equal
 * until the installation.
 * Errors: RESOURCE_EXHAUSTED. Threads: any. */
PS_MUST_CHECK enum ps_code ps_fresh_init(struct ps_fresh *fresh, struct ps_variable *variable,
                                         const struct ps_shape *shape, bool promise,
                                         struct ps_error *err);
void ps_fresh_clean(struct ps_fresh *fresh, struct ps_variable *variable);

/* Makes fresh the variable's value; the caller holds its update lock. Slots are dropped, to start
 * anew at their next use, if drop_slots or if the shape has changed. fresh is empty afterwards.
 * Cannot fail. */
void ps_fresh_install(struct ps_fresh *fresh, struct ps_variable *variable, bool drop_slots);

/* Runs the variable's initializer if there is no value yet or force is set: value and slots start
 * anew, the shape is the definition's. initialized_out: whether it ran; it does not for
 * PS_INIT_TENSOR, whose value a client pushes. On an error nothing has changed.
 * Errors: RESOURCE_EXHAUSTED. Threads: any; holds the update lock while it computes. */
PS_MUST_CHECK enum ps_code ps_fresh_initialize(struct ps_variable *variable, bool force,
                                               bool *initialized_out, struct ps_error *err);

#endif
