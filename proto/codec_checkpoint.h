/* The codec of saving and restoring, as codec.h has it for everything else. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_PROTO_CODEC_CHECKPOINT_H
#define PARAMD_PROTO_CODEC_CHECKPOINT_H

#include "proto/checkpoint_messages.h"
#include "proto/codec.h"

/* SaveShard and RestoreShard have heads of up to PS_MAX_LONG_HEAD_BYTES, both ways. */
#define PS_CHECKPOINT_MESSAGES(X) \
    X(save_request)               \
    X(save_reply)                 \
    X(save_shard_request)         \
    X(save_shard_reply)           \
    X(restore_request)            \
    X(restore_reply)              \
    X(restore_shard_request)      \
    X(restore_shard_reply)

#define PS_DECLARE_CODEC(name)                                                               \
    PS_MUST_CHECK enum ps_code ps_encode_##name(const struct ps_##name *message,             \
                                                struct ps_buf *out, struct ps_error *err);   \
    PS_MUST_CHECK enum ps_code ps_decode_##name(struct ps_span head, struct ps_arena *arena, \
                                                struct ps_##name *message_out,               \
                                                struct ps_error *err);
PS_CHECKPOINT_MESSAGES(PS_DECLARE_CODEC)
#undef PS_DECLARE_CODEC

#endif
