/* One slice of a variable on this ps task: its value and slots, in chunks, and two locks. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_VARIABLE_H
#define PARAMD_SERVER_VARIABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/lock.h"
#include "proto/messages.h"
#include "server/budget.h"
#include "server/chunk.h"

/* Planes are arrays of the slice's shape: plane 0 is the value, the others are slots. Eight slots
 * are the two or three of one optimizer, a few times over. */
enum { PS_PLANE_VALUE = 0, PS_MAX_SLOTS = 8, PS_MAX_PLANES = 1 + PS_MAX_SLOTS };

struct ps_plane {
    char *name;               /* "Adam_1", as in the checkpoint name "w/Adam_1"; "" for the value */
    double initial;           /* what a slot starts from */
    uint32_t purpose;         /* ps_update_kind * 256 + place in its formula; 0: not known yet */
    struct ps_chunk **chunks; /* NULL: the value is uninitialized, the slot not in use */
};

/* The owner may read and add up what is guarded; everybody else goes through the functions. */
struct ps_variable {
    /* set by create, never changed */
    struct ps_definition definition; /* as first asked for */
    struct ps_slice_place *slices;
    size_t slice_count;
    uint32_t slice_index;
    uint32_t handle;
    uint32_t defined_by; /* worker, or PS_NO_WORKER */
    size_t element_bytes;
    struct ps_chunk_pool *pool;
    struct ps_budget *budget;
    /* guarded by the store's lock */
    struct ps_variable *next_slice; /* of the same variable on this task */
    /* Serialises updates; held for one whole update of this slice (PS_RANK_UPDATE). */
    struct ps_mutex update;
    /* Short: guards the struct below while a pointer is taken or swapped, or one chunk changed in
     * place (PS_RANK_CHUNKS). What is in use changes only under both locks, so that holding either
     * one is enough to read it. */
    struct ps_mutex lock;
    struct {
        struct ps_shape shape; /* of the whole variable, now */
        uint64_t size_bytes;   /* of this slice's value, and of each slot */
        uint64_t slot_bytes;   /* of all slots in use */
        size_t chunk_count;    /* of each plane in use */
        bool initialized;
        int plane_count;
        struct ps_plane planes[PS_MAX_PLANES];
        uint64_t update_count; /* finished updates */
        uint64_t version;      /* +1 whenever something became visible */
        uint64_t layout;       /* +1 whenever what was prepared for it before does not fit now */
    } guarded;
};

/* What a reader needs to know before it reads. */
struct ps_variable_state {
    struct ps_shape shape;
    uint64_t size_bytes;
    uint64_t slot_bytes;
    bool initialized;
    int plane_count;
    uint64_t update_count;
    uint64_t version;
};

/* Makes the slice request->slice_index, without a value; promises its bytes to budget.
 * request: borrowed. pool and budget outlive the variable.
 * Errors: INVALID_ARGUMENT (shape, initializer, slices), RESOURCE_EXHAUSTED (budget, memory). */
PS_MUST_CHECK enum ps_code ps_variable_create(const struct ps_create_request *request,
                                              struct ps_chunk_pool *pool, struct ps_budget *budget,
                                              struct ps_variable **variable_out,
                                              struct ps_error *err);
void ps_variable_destroy(struct ps_variable *variable);

struct ps_variable_state ps_variable_state(struct ps_variable *variable);

/* Bytes of the slice if the whole variable had this shape. */
uint64_t ps_variable_slice_bytes(const struct ps_variable *variable, const struct ps_shape *shape);

/* Index in the whole variable of the slice's first element. */
int64_t ps_variable_first_element(const struct ps_variable *variable);

/* The plane of a slot in use by its name, the value's for ""; -1: there is none. Threads: any. */
int ps_variable_plane(struct ps_variable *variable, const char *slot);

/* A reference to chunk index of a plane: a state that no update is halfway through, and that never
 * changes again. The caller releases it.
 * Errors: FAILED_PRECONDITION `Attempting to use uninitialized value NAME`, OUT_OF_RANGE.
 * Threads: any; waits at most for one chunk to be updated. */
PS_MUST_CHECK enum ps_code ps_variable_chunk_acquire(struct ps_variable *variable, int plane,
                                                     size_t index, struct ps_chunk **chunk_out,
                                                     struct ps_error *err);

/* Copies [offset, offset + size) of a plane out, chunk by chunk. Errors as above. */
PS_MUST_CHECK enum ps_code ps_variable_read(struct ps_variable *variable, int plane,
                                            uint64_t offset, struct ps_buf *out, size_t size,
                                            struct ps_error *err);

/* Fills info; everything it points to belongs to the variable, the list of slot names to the
 * caller. */
void ps_variable_describe(struct ps_variable *variable, struct ps_variable_info *info_out,
                          const char *slots[PS_MAX_SLOTS]);

#endif
