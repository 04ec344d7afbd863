/* Samples of messages that save and restore, by hand: no two numbers in one message are equal. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/proto/checkpoint_samples.h"

#define HEADER                                      \
    {                                               \
        .job = 0x0123456789abcdef, .generation = 77 \
    }

static const struct ps_named_variable names[] = { { "my_v2", "v2" }, { "a/b", "pr\xc3\xa9" } };
static const uint8_t bytes[] = { 0, 1, 2, 0xff, 0 };

const struct ps_save_request sample_save_request = {
    HEADER, "run/model.ckpt", true, 1000, true, names, 2, -1, 0.5, "latest", true,
};
const struct ps_save_request least_save_request = { .prefix = "m" };

const struct ps_save_reply sample_save_reply = { "run/model.ckpt-1000", 1001, 12, 1 << 20, 3 };
const struct ps_save_reply least_save_reply = { .prefix = "m" };

static const struct ps_saved_plane planes[] = { { 7, "Adam_1", "my_v2/Adam_1" },
                                                { UINT32_MAX, NULL, "my_v2" } };
const struct ps_save_shard_request sample_save_shard_request = {
    HEADER, "run/model.ckpt-1000", 0xfedcba9876543210, 4095, planes, 2,
};
const struct ps_save_shard_request least_save_shard_request = { .prefix = "m", .id = 1 };

static const struct ps_committed_worker workers[] = {
    { 3, 400, { bytes, sizeof bytes } },
    { 5, UINT64_MAX, { NULL, 0 } },
};
const struct ps_save_shard_reply sample_save_shard_reply = {
    true, { bytes, sizeof bytes }, 123456789, workers, 2,
};
const struct ps_save_shard_reply least_save_shard_reply = { .seen = false };

static const struct ps_rename renames[] = { { "v2/(.*)", "v3/$1", true }, { "a", "b", false } };
const struct ps_restore_request sample_restore_request = {
    HEADER, "run", names, 2, renames, 2, true, true, true, "latest",
};
const struct ps_restore_request least_restore_request = { .path = "m" };

const struct ps_restore_reply sample_restore_reply = {
    "run/model.ckpt-1000", 1001, 40, 3, 1 << 20, "one was passed over",
};
const struct ps_restore_reply least_restore_reply = { .prefix = NULL };

static const char *const slots[] = { "Adam", "Adam_1" };
static const struct ps_restored_variable variables[] = {
    { 9, "my_v2", { 2, { 784, 200 } }, slots, 2 },
    { 10, "scalar", { 0, { 0 } }, NULL, 0 },
};
static const struct ps_optimizer_powers powers[] = { { "Adam", 0.5F, 0.25F, 0.125, 0.75 },
                                                     { "Other", 1.5F, 2.5F, 3.5, 4.5 } };
const struct ps_restore_shard_request sample_restore_shard_request = {
    .header = HEADER,
    .phase = PS_RESTORE_LOAD,
    .id = 0xfedcba9876543210,
    .prefix = "run/model.ckpt-1000",
    .index_bytes = 501,
    .index_crc32c = 0xdeadbeef,
    .variables = variables,
    .variable_count = 2,
    .variable = 502,
    .plane = 8,
    .offset = 503,
    .whole = true,
    .powers = powers,
    .power_count = 2,
    .has_step = true,
    .step = -504,
};
const struct ps_restore_shard_request least_restore_shard_request = { .phase = PS_RESTORE_ABANDON,
                                                                      .id = 1 };

const struct ps_restore_shard_reply sample_restore_shard_reply = { true, 77 };
const struct ps_restore_shard_reply least_restore_shard_reply = { false, 0 };
