/* The messages of paramd.proto as plain structs: what every floor above the codec works with. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_PROTO_MESSAGES_H
#define PARAMD_PROTO_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/cluster.h"
#include "core/dtype.h"
#include "core/placement.h"
#include "core/tensor.h"

/* Raised when an older peer could misread a message; both ends refuse another number. */
enum { PS_PROTOCOL = 1 };

/* Limits on what a peer may ask for, each checked by the codec before anything is kept. */
enum {
    PS_MAX_NAME_BYTES = 256,      /* a variable's name; TensorFlow's are far shorter */
    PS_MAX_POSITION_BYTES = 4096, /* opaque position of a worker's reader */
    PS_MAX_PIECES = 16384,        /* pieces of one frame: 64 bytes each in a full one */
    PS_MAX_PARAMETERS = 16,       /* scalars of an optimizer */
    PS_MAX_CONSTANTS = 4096,      /* values of a constant initializer */
    PS_MAX_LISTED = 1 << 20,      /* variables in one list, handles in one request */
    PS_MAX_OPEN_PUSHES = 64,      /* pushes of one worker between first frame and commit */
    PS_MAX_FRAMES = 1 << 20,      /* frames of one push on one ps task */
    PS_CHUNK_BYTES = 1 << 20,     /* unit of the wire, of copy-on-write and of a frame */
    PS_MAX_HEAD_BYTES = 1 << 20,  /* a message without its tensor bytes */
    PS_STALENESS_BUCKETS = 16
};

/* The worker number of tools and readers that push nothing that counts. */
#define PS_NO_WORKER UINT32_MAX

enum ps_task_state {
    PS_TASK_JOINING = 0, /* has not heard from ps task 0 yet */
    PS_TASK_SERVING = 1,
    PS_TASK_ENDING = 2 /* every worker has finished, or it was told to stop */
};

enum ps_initializer_kind {
    PS_INIT_ZEROS = 1,
    PS_INIT_ONES = 2,
    PS_INIT_CONSTANT = 3,         /* values */
    PS_INIT_RANDOM_NORMAL = 4,    /* a mean, b standard deviation */
    PS_INIT_TRUNCATED_NORMAL = 5, /* a mean, b standard deviation; within 2 of them */
    PS_INIT_RANDOM_UNIFORM = 6,   /* [a, b) */
    PS_INIT_GLOROT_UNIFORM = 7,
    PS_INIT_GLOROT_NORMAL = 8,
    PS_INIT_TENSOR = 9 /* the client pushes the value; crc32c of its bytes */
};

enum ps_update_kind {
    PS_UPDATE_ASSIGN = 1,
    PS_UPDATE_ASSIGN_ADD = 2,
    PS_UPDATE_ASSIGN_SUB = 3,
    PS_UPDATE_INITIALIZE = 4, /* assign where the variable has no value yet */
    PS_UPDATE_SGD = 16,       /* no parameters. From 16 on: optimizers, and a step is counted */
    PS_UPDATE_MOMENTUM = 17,  /* momentum, nesterov (0 or 1) */
    PS_UPDATE_ADAM = 18       /* beta1, beta2, epsilon */
};

enum ps_nonfinite { PS_NONFINITE_REFUSE = 0, PS_NONFINITE_APPLY = 1 };

enum ps_request_kind {
    PS_REQUEST_PUSH = 1,    /* one frame of a push: stage it */
    PS_REQUEST_NOTICE = 2,  /* commit_through alone */
    PS_REQUEST_PULL = 3,    /* pieces, after commit_through has been applied */
    PS_REQUEST_WITHDRAW = 4 /* seq is burnt: forget what came of it, refuse what still comes */
};

enum ps_reply_kind {
    PS_REPLY_STAGED = 1,      /* seq is staged here, or was committed before */
    PS_REPLY_REFUSED = 2,     /* seq was refused here: code, message */
    PS_REPLY_WITHDRAWN = 3,   /* seq is burnt here */
    PS_REPLY_NOTED = 4,       /* committed tells how far */
    PS_REPLY_PULLED = 5,      /* a frame of pull seq; last: no more follow */
    PS_REPLY_PULL_FAILED = 6, /* pull seq failed: code, message */
    PS_REPLY_FENCED = 7       /* this incarnation or generation is over: code, message */
};

enum ps_worker_state { PS_WORKER_ACTIVE = 1, PS_WORKER_FINISHED = 2 };

struct ps_header {
    uint64_t job;
    uint64_t generation;
};

struct ps_hello_request {
    uint32_t protocol;
    const char *version;
    const char *job_name;
    int32_t task_index;
    struct ps_header header;
    const char *address; /* of a ps task whose port was free to choose; "" elsewhere */
};

struct ps_hello_reply {
    uint32_t protocol;
    const char *version;
    struct ps_header header;
    uint32_t task_index;
    uint32_t ps_count;
    uint32_t worker_count;
    enum ps_task_state state;
    uint64_t boot;
    uint32_t chunk_bytes;
};

struct ps_initializer_spec {
    enum ps_initializer_kind kind;
    double a;
    double b;
    uint64_t seed;
    const double *values;
    size_t value_count;
    double scale;
    const char *source;
    uint32_t crc32c;
};

struct ps_partitioner_spec {
    enum ps_partition_kind kind; /* core/placement.h; its numbers are those of the wire */
    uint64_t a;                  /* parts (FIXED), bytes (the others); 0: the default */
    uint64_t b;                  /* most parts; 0: no limit */
};

struct ps_definition {
    const char *name;
    enum ps_dtype dtype;
    struct ps_shape shape; /* of the whole variable */
    struct ps_initializer_spec initializer;
    const char *device; /* as asked for: "/job:ps", "/job:ps/task:7" */
    struct ps_partitioner_spec partitioner;
    bool trainable;
    bool free_shape;
    enum ps_strategy strategy; /* how the coordinator chooses where nothing is pinned */
};

/* Where one slice of a variable lives. */
struct ps_slice_place {
    uint32_t task;
    struct ps_rows rows;
};

struct ps_declare_request {
    struct ps_header header;
    struct ps_definition definition;
    uint32_t worker;
};

struct ps_declare_reply {
    struct ps_definition definition;
    const struct ps_slice_place *slices;
    size_t slice_count;
    bool created;
};

struct ps_create_request {
    struct ps_header header;
    struct ps_definition definition;
    uint32_t slice_index;
    const struct ps_slice_place *slices;
    size_t slice_count;
    uint32_t worker;
};

struct ps_create_reply {
    uint32_t handle;
    bool created;
    bool initialized;
};

struct ps_initialize_request {
    struct ps_header header;
    const uint32_t *handles;
    size_t handle_count;
    bool force;
};

struct ps_initialize_reply {
    uint32_t initialized_count;
};

struct ps_list_request {
    struct ps_header header;
    const char *name;
};

struct ps_variable_info {
    struct ps_definition definition;
    uint32_t slice_index;
    const struct ps_slice_place *slices;
    size_t slice_count;
    uint32_t handle;
    bool initialized;
    uint64_t bytes;
    uint64_t slot_bytes;
    uint64_t update_count;
    const char *const *slots;
    size_t slot_count;
};

struct ps_list_reply {
    const struct ps_variable_info *variables;
    size_t variable_count;
};

struct ps_status_request {
    struct ps_header header;
};

struct ps_worker_info {
    uint32_t index;
    uint64_t incarnation;
    uint64_t committed;
    uint32_t open_count;
    uint64_t staged_bytes;
    enum ps_worker_state state;
    uint64_t silent_ms;
};

struct ps_status_reply {
    struct ps_header header;
    uint32_t task_index;
    enum ps_task_state state;
    uint64_t uptime_ms;
    int64_t step;
    uint64_t variable_count;
    uint64_t variable_bytes;
    uint64_t slot_bytes;
    uint64_t staged_bytes;
    uint64_t staged_limit_bytes;
    uint64_t pool_bytes;
    uint64_t pull_count;
    uint64_t push_count;
    uint64_t refused_count;
    uint64_t dropped_count;
    uint64_t duplicate_count;
    uint64_t received_bytes;
    uint64_t sent_bytes;
    uint64_t staleness[PS_STALENESS_BUCKETS];
    const struct ps_worker_info *workers;
    size_t worker_count;
    const char *version;
    uint64_t resident_bytes;
};

struct ps_read_request {
    struct ps_header header;
    uint32_t handle;
    uint64_t offset;
    uint64_t size;
    const char *slot; /* "": the value */
};

struct ps_read_reply {
    int64_t step; /* the bytes travel beside the head */
};

struct ps_attach_request {
    struct ps_header header;
    uint32_t worker;
    uint64_t incarnation;
    uint64_t process;
};

struct ps_open_push {
    uint64_t seq;
    bool complete;
    bool eager;
    bool burnt;
    const uint32_t *touched; /* none for a number that was burnt before anything of it came */
    size_t touched_count;
};

struct ps_attach_reply {
    bool accepted;
    uint64_t incarnation;
    uint64_t committed;
    const struct ps_open_push *open;
    size_t open_count;
    struct ps_span position;
    int64_t step;
    uint64_t credit_bytes;
    uint32_t credit_count;
};

struct ps_resolve_request {
    struct ps_header header;
    uint32_t worker;
    uint64_t incarnation;
    uint64_t commit_through;
    const uint64_t *burnt; /* rising, at most PS_MAX_OPEN_PUSHES */
    size_t burnt_count;
};

struct ps_resolve_reply {
    uint64_t committed;
};

struct ps_finish_request {
    struct ps_header header;
    uint32_t worker;
    uint64_t incarnation;
};

struct ps_finish_reply {
    uint32_t finished_count;
    uint32_t worker_count;
};

struct ps_piece {
    uint32_t handle;
    uint64_t offset; /* bytes into the slice */
    uint64_t size;   /* bytes */
};

struct ps_update {
    enum ps_update_kind kind;
    const char *name; /* optimizer name: "Momentum", "Adam"; "" for assigns */
    double learning_rate;
    double parameters[PS_MAX_PARAMETERS];
    size_t parameter_count;
    enum ps_nonfinite on_nonfinite;
    bool has_shape;
    struct ps_shape shape;
};

/* Whether a committed push with this update counts as a training step. */
static inline bool ps_update_is_step(enum ps_update_kind kind)
{
    return kind >= PS_UPDATE_SGD;
}

struct ps_push_header {
    const uint32_t *touched; /* ps tasks, rising; a push touches at least one */
    size_t touched_count;
    struct ps_update update;
    bool eager;
    uint64_t part_bytes;
    uint32_t frame_count;
    uint32_t frame_index;
    int64_t base_step;
    struct ps_span position; /* only to the worker's home */
};

struct ps_data_request {
    struct ps_header header;
    enum ps_request_kind kind;
    uint32_t worker;
    uint64_t incarnation;
    uint64_t seq;
    uint64_t commit_through;
    struct ps_push_header push; /* kind PUSH only */
    const struct ps_piece *pieces;
    size_t piece_count;
    bool has_crc32c;
    uint32_t crc32c; /* of the data */
};

struct ps_data_reply {
    enum ps_reply_kind kind;
    uint64_t seq;
    uint64_t committed;
    uint64_t generation;
    int64_t step;
    uint64_t staleness;
    enum ps_code code;
    const char *message;
    const struct ps_piece *pieces;
    size_t piece_count;
    uint32_t frame_index;
    bool last;
    uint64_t credit_bytes;
    bool has_crc32c;
    uint32_t crc32c;
};

#endif
