/* The messages of saving and restoring as plain structs. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_PROTO_CHECKPOINT_MESSAGES_H
#define PARAMD_PROTO_CHECKPOINT_MESSAGES_H

#include "proto/messages.h"

/* Limits, checked by the codec. */
enum {
    PS_MAX_PATH_BYTES = 4095,        /* of a prefix or directory (Linux: PATH_MAX with its NUL) */
    PS_MAX_TENSOR_NAME_BYTES = 4096, /* of a tensor in a file */
    PS_MAX_SLOT_NAMES = 8,           /* of one variable */
    PS_MAX_RENAMES = 256,
    PS_MAX_OPTIMIZERS = 64
};

/* What a saver calls a variable. */
struct ps_named_variable {
    const char *name;     /* in the checkpoint */
    const char *variable; /* in the cluster */
};

struct ps_save_request {
    struct ps_header header;
    const char *prefix;
    bool has_step;
    int64_t step; /* not negative */
    bool pad_step;
    const struct ps_named_variable *names; /* none: all variables, and the state of the job */
    size_t name_count;
    int64_t max_to_keep; /* 0 or less: all */
    double keep_every_hours;
    const char *state_name; /* "": "checkpoint" */
    bool absolute_paths;
};

struct ps_save_reply {
    const char *prefix; /* with the step */
    int64_t step;       /* global step */
    uint64_t tensor_count;
    uint64_t bytes;
    uint32_t shard_count;
};

/* One plane of one slice, under its tensor's name. */
struct ps_saved_plane {
    uint32_t handle;
    const char *slot; /* "": the value */
    const char *name;
};

struct ps_save_shard_request {
    struct ps_header header;
    const char *prefix;
    uint64_t id; /* of the save, greater than 0 */
    uint32_t part;
    const struct ps_saved_plane *planes;
    size_t plane_count;
};

/* A row of the exactly-once table. */
struct ps_committed_worker {
    uint32_t worker;
    uint64_t committed;
    struct ps_span position; /* on the worker's home only */
};

struct ps_save_shard_reply {
    bool seen;           /* the directory; if not, nothing was written */
    struct ps_span rows; /* ps_bundle_rows_encode */
    uint64_t bytes;
    const struct ps_committed_worker *workers;
    size_t worker_count;
};

/* A name of the checkpoint is looked for under another. */
struct ps_rename {
    const char *from; /* in the file */
    const char *to;   /* as the saver has it */
    bool pattern;     /* from is a POSIX extended regular expression, to may hold $1 to $9 */
};

struct ps_restore_request {
    struct ps_header header;
    const char *path; /* a prefix, or a directory: its latest */
    const struct ps_named_variable *names;
    size_t name_count;
    const struct ps_rename *renames;
    size_t rename_count;
    bool partial;
    bool reshape;
    bool find_only; /* only says which prefix it would be, "" for none */
    const char *state_name;
};

struct ps_restore_reply {
    const char *prefix;
    int64_t step;
    uint64_t variable_count;
    uint64_t missing_count;
    uint64_t bytes;
    const char *warning; /* checkpoints that were passed over; "" as a rule */
};

enum ps_restore_phase {
    PS_RESTORE_PREPARE = 1, /* read and check, aside */
    PS_RESTORE_FEED = 2,    /* bytes for a task that cannot read the file */
    PS_RESTORE_LOAD = 3,    /* put in place */
    PS_RESTORE_ABANDON = 4
};

struct ps_restored_variable {
    uint32_t handle;
    const char *name;
    struct ps_shape shape; /* of the whole tensor, in the file */
    const char *const *slots;
    size_t slot_count;
};

struct ps_optimizer_powers {
    const char *optimizer;
    float float1, float2;
    double double1, double2;
};

struct ps_restore_shard_request {
    struct ps_header header;
    enum ps_restore_phase phase;
    uint64_t id; /* of the restore, greater than 0 */
    /* PREPARE */
    const char *prefix;
    uint64_t index_bytes;
    uint32_t index_crc32c;
    const struct ps_restored_variable *variables;
    size_t variable_count;
    /* FEED: where the bytes beside the head go */
    uint32_t variable;
    uint32_t plane; /* 0: the value; k: the k-th of its slots */
    uint64_t offset;
    /* LOAD */
    bool whole; /* powers and step are part of it */
    const struct ps_optimizer_powers *powers;
    size_t power_count;
    bool has_step;
    int64_t step;
};

struct ps_restore_shard_reply {
    bool seen; /* PREPARE: it read its slices; if not, they must be fed */
    uint64_t bytes;
};

#endif
