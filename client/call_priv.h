/* Control calls to a peer: encode, call, decode, with the peer's name in every error. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CLIENT_CALL_PRIV_H
#define PARAMD_CLIENT_CALL_PRIV_H

#include "client/session_state_priv.h"
#include "proto/codec_checkpoint.h"

/* Each sends request to the peer and decodes its reply into session->arena, which is reset first:
 * what reply_out points to lives until the next call. timeout_ms: 0 for the call time-out.
 * Threads: the session's own only. */
#define PSI_CALLS(X)          \
    X(hello, HELLO)           \
    X(declare, DECLARE)       \
    X(create, CREATE)         \
    X(initialize, INITIALIZE) \
    X(list, LIST)             \
    X(attach, ATTACH)         \
    X(resolve, RESOLVE)       \
    X(finish, FINISH)         \
    X(save, SAVE)             \
    X(restore, RESTORE)

#define PSI_DECLARE_CALL(name, id)                                                            \
    PS_MUST_CHECK enum ps_code psi_call_##name(                                               \
        struct psi_peer *peer, const struct ps_##name##_request *request, int64_t timeout_ms, \
        struct ps_##name##_reply *reply_out, struct ps_error *err);
PSI_CALLS(PSI_DECLARE_CALL)
#undef PSI_DECLARE_CALL

#endif
