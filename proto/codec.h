/* Between the plain structs of messages.h and protobuf bytes: the only user of protobuf-c. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_PROTO_CODEC_H
#define PARAMD_PROTO_CODEC_H

#include "core/bytes.h"
#include "core/status.h"
#include "proto/arena.h"
#include "proto/messages.h"

/* ListReply, StatusReply and AttachReply grow with the cluster; every other head stays within
 * PS_MAX_HEAD_BYTES. Both are checked at both ends. */
enum { PS_MAX_LONG_HEAD_BYTES = 16 << 20 };

/* For each message: encode appends the packed fields (without tensor bytes) to out; decode reads
 * one head and checks every enumeration, name, shape, count and size against the limits of
 * messages.h; what it points to lives in the arena or is static. Texts are not NULL, except in the
 * push of a request that is no PUSH: that stays zeroed.
 * Encode trusts its message; only a text may be NULL, for "" (an element of slots may not). Its
 * errors: RESOURCE_EXHAUSTED for a head that is too large or no memory; out is as before then.
 * Errors of decode: INVALID_ARGUMENT naming the message and the field, UNIMPLEMENTED for a dtype
 * that is none of ours, RESOURCE_EXHAUSTED at the arena's ceiling; *message_out is zeroed then.
 * Threads: any, an arena a thread. */
#define PS_MESSAGES(X)    \
    X(hello_request)      \
    X(hello_reply)        \
    X(declare_request)    \
    X(declare_reply)      \
    X(create_request)     \
    X(create_reply)       \
    X(initialize_request) \
    X(initialize_reply)   \
    X(list_request)       \
    X(list_reply)         \
    X(status_request)     \
    X(status_reply)       \
    X(read_request)       \
    X(read_reply)         \
    X(attach_request)     \
    X(attach_reply)       \
    X(resolve_request)    \
    X(resolve_reply)      \
    X(finish_request)     \
    X(finish_reply)       \
    X(data_request)       \
    X(data_reply)

#define PS_DECLARE_CODEC(name)                                                               \
    PS_MUST_CHECK enum ps_code ps_encode_##name(const struct ps_##name *message,             \
                                                struct ps_buf *out, struct ps_error *err);   \
    PS_MUST_CHECK enum ps_code ps_decode_##name(struct ps_span head, struct ps_arena *arena, \
                                                struct ps_##name *message_out,               \
                                                struct ps_error *err);
PS_MESSAGES(PS_DECLARE_CODEC)
#undef PS_DECLARE_CODEC

#endif
