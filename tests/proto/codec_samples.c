/* Samples of messages, by hand: no two numbers in one message are equal. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/proto/codec_samples.h"

#define HEADER                                      \
    {                                               \
        .job = 0x0123456789abcdef, .generation = 77 \
    }

/* ---- Variables ---- */

static const double constants[] = { 0.5, -2.25, 1e300 };

#define DEFINITION                                                                        \
    {                                                                                     \
        .name = "scope/weights", .dtype = PS_BFLOAT16,                                    \
        .shape = { .rank = 3, .dims = { 784, 0, 200 } },                                  \
        .initializer = { .kind = PS_INIT_RANDOM_UNIFORM,                                  \
                         .a = -0.35,                                                      \
                         .b = 0.25,                                                       \
                         .seed = UINT64_MAX,                                              \
                         .values = constants,                                             \
                         .value_count = 3,                                                \
                         .scale = 2.0,                                                    \
                         .source = "pr\xc3\xa9"                                           \
                                   "cision",                                              \
                         .crc32c = 0xdeadbeef },                                          \
        .device = "/job:ps/task:7", .partitioner = { PS_PARTITION_MIN_MAX, 1 << 18, 12 }, \
        .trainable = true, .free_shape = true, .strategy = PS_STRATEGY_ROUND_ROBIN        \
    }

#define LEAST_DEFINITION                                                        \
    {                                                                           \
        .name = "b", .dtype = PS_FLOAT, .initializer = {.kind = PS_INIT_ZEROS } \
    }

static const struct ps_slice_place slices[] = {
    { .task = 1, .rows = { 0, 300 } },
    { .task = PS_MAX_TASKS - 1, .rows = { 300, 484 } },
    { .task = 2, .rows = { INT64_MAX - 5, 5 } },
};
static const struct ps_slice_place least_slices[1];

const struct ps_declare_request sample_declare_request = { HEADER, DEFINITION, .worker = 5 };
const struct ps_declare_request least_declare_request = { .definition = LEAST_DEFINITION };

const struct ps_declare_reply sample_declare_reply = { DEFINITION, slices, 3, .created = true };
const struct ps_declare_reply least_declare_reply = { .definition = LEAST_DEFINITION };

const struct ps_create_request sample_create_request = {
    HEADER, DEFINITION, .slice_index = 2, slices, 3, .worker = PS_NO_WORKER,
};
const struct ps_create_request least_create_request = { .definition = LEAST_DEFINITION,
                                                        .slices = least_slices,
                                                        .slice_count = 1 };

const struct ps_create_reply sample_create_reply = { 0xfffffff0, true, true };
const struct ps_create_reply least_create_reply = { 0 };

static const char *const slots[] = { "Momentum", "Adam" };
static const struct ps_variable_info variables[] = {
    { DEFINITION, 1, slices, 3, 41, true, 1001, 1002, 1003, slots, 2 },
    { DEFINITION, 2, slices, 3, 42, false, 2001, 2002, 2003, slots, 1 },
};

const struct ps_list_request sample_list_request = { HEADER, "scope/weights" };
const struct ps_list_request least_list_request = { 0 };

const struct ps_list_reply sample_list_reply = { variables, 2 };
const struct ps_list_reply least_list_reply = { 0 };

/* ---- Control ---- */

const struct ps_hello_request sample_hello_request = { 9, "0.1.0", "ps", 31, HEADER, "h:9" };
const struct ps_hello_request least_hello_request = { 0 };

const struct ps_hello_reply sample_hello_reply = {
    9, "0.1.0", HEADER, 3, 4, 5, PS_TASK_ENDING, 0xfedcba9876543210, 1 << 20,
};
const struct ps_hello_reply least_hello_reply = { 0 };

static const uint32_t handles[] = { 7, 0, UINT32_MAX, 7 };
const struct ps_initialize_request sample_initialize_request = { HEADER, handles, 4, true };
const struct ps_initialize_request least_initialize_request = { 0 };

const struct ps_initialize_reply sample_initialize_reply = { 4 };
const struct ps_initialize_reply least_initialize_reply = { 0 };

static const struct ps_worker_info workers[] = {
    { 11, 12, 13, 14, 15, PS_WORKER_ACTIVE, 16 },
    { 21, 22, 23, 24, 25, PS_WORKER_FINISHED, 26 },
};

const struct ps_status_request sample_status_request = { HEADER };
const struct ps_status_request least_status_request = { { 0 } };

const struct ps_status_reply sample_status_reply = {
    .header = HEADER,
    .task_index = 101,
    .state = PS_TASK_SERVING,
    .uptime_ms = 102,
    .step = -103,
    .variable_count = 104,
    .variable_bytes = 105,
    .slot_bytes = 106,
    .staged_bytes = 107,
    .staged_limit_bytes = 108,
    .pool_bytes = 109,
    .pull_count = 110,
    .push_count = 111,
    .refused_count = 112,
    .dropped_count = 113,
    .duplicate_count = 114,
    .received_bytes = 115,
    .sent_bytes = 116,
    .staleness = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, UINT64_MAX },
    .workers = workers,
    .worker_count = 2,
    .version = "0.1.0",
    .resident_bytes = 117,
};
const struct ps_status_reply least_status_reply = { .header = { 0 } };

const struct ps_read_request sample_read_request = { HEADER, 4, 5, PS_CHUNK_BYTES, "Adam" };
const struct ps_read_request least_read_request = { .handle = 0 };

const struct ps_read_reply sample_read_reply = { INT64_MIN };
const struct ps_read_reply least_read_reply = { 0 };

/* ---- Workers ---- */

static const uint32_t touched[] = { 0, 3, PS_MAX_TASKS - 1 };
static const uint8_t position[] = { 0, 1, 2, 0xff, 0 };

const struct ps_attach_request sample_attach_request = { HEADER, 6, 7, 0x8899aabbccddeeff };
const struct ps_attach_request least_attach_request = { .worker = 0 };

static const struct ps_open_push open_pushes[] = {
    { 30, true, false, false, touched, 3 },
    { 31, false, true, true, touched + 1, 1 },
    { 32, false, false, true, NULL, 0 },
};
const struct ps_attach_reply sample_attach_reply = {
    .accepted = true,
    .incarnation = 8,
    .committed = 29,
    .open = open_pushes,
    .open_count = 3,
    .position = { position, sizeof position },
    .step = 501,
    .credit_bytes = 502,
    .credit_count = 503,
};
const struct ps_attach_reply least_attach_reply = { .accepted = false };

static const uint64_t burnt[] = { 29, 31, UINT64_MAX };
const struct ps_resolve_request sample_resolve_request = { HEADER, 6, 8, 31, burnt, 3 };
const struct ps_resolve_request least_resolve_request = { .worker = 0 };

const struct ps_resolve_reply sample_resolve_reply = { 31 };
const struct ps_resolve_reply least_resolve_reply = { 0 };

const struct ps_finish_request sample_finish_request = { HEADER, 6, 8 };
const struct ps_finish_request least_finish_request = { .worker = 0 };

const struct ps_finish_reply sample_finish_reply = { 2, 3 };
const struct ps_finish_reply least_finish_reply = { 0 };

/* ---- Data ---- */

static const struct ps_piece pieces[] = {
    { 1, 2, 3 },
    { UINT32_MAX, UINT64_MAX - 1, 1 },
    { 4, 0, 1 << 20 },
};

const struct ps_data_request sample_data_request = {
    .header = HEADER,
    .kind = PS_REQUEST_PUSH,
    .worker = 12,
    .incarnation = 13,
    .seq = 14,
    .commit_through = 15,
    .push = { .touched = touched,
              .touched_count = 3,
              .update = { .kind = PS_UPDATE_ADAM,
                          .name = "Adam",
                          .learning_rate = 0.001,
                          .parameters = { 0.9, 0.999, 1e-8 },
                          .parameter_count = 3,
                          .on_nonfinite = PS_NONFINITE_APPLY,
                          .has_shape = true,
                          .shape = { .rank = 2, .dims = { 10, 20 } } },
              .eager = true,
              .part_bytes = 5000001,
              .frame_count = 5,
              .frame_index = 4,
              .base_step = 99,
              .position = { position, sizeof position } },
    .pieces = pieces,
    .piece_count = 3,
    .has_crc32c = true,
    .crc32c = 0x01020304,
};
const struct ps_data_request least_data_request = { .kind = PS_REQUEST_NOTICE };

const struct ps_data_reply sample_data_reply = {
    .kind = PS_REPLY_PULL_FAILED,
    .seq = 21,
    .committed = 22,
    .generation = 23,
    .step = 24,
    .staleness = 25,
    .code = PS_NOT_FOUND,
    .message = "variable 'w': no such handle\n",
    .pieces = pieces,
    .piece_count = 3,
    .frame_index = 26,
    .last = true,
    .credit_bytes = 27,
    .has_crc32c = true,
    .crc32c = 28,
};
const struct ps_data_reply least_data_reply = { .kind = PS_REPLY_NOTED };
