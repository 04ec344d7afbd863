/* Control calls to a peer: encode, call, decode, with the peer's name in every error. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/call_priv.h"

static enum ps_code exchange(struct psi_peer *peer, enum ps_method method, struct ps_buf *head_take,
                             int64_t timeout_ms, struct ps_answer *answer, struct ps_error *err)
{
    const struct psi_settings *settings = &peer->session->settings;
    struct ps_outgoing request = { .head = *head_take };
    *head_take = (struct ps_buf){ NULL, 0, 0 };
    enum ps_code rc = ps_channel_call(peer->control, method, &request,
                                      timeout_ms > 0 ? timeout_ms : settings->call_timeout_ms,
                                      false, answer, err);
    if (rc != PS_OK && err != NULL) { err->task = (int)peer->index; }
    return rc;
}

#define PSI_DEFINE_CALL(name, id)                                                                  \
    enum ps_code psi_call_##name(struct psi_peer *peer, const struct ps_##name##_request *request, \
                                 int64_t timeout_ms, struct ps_##name##_reply *reply_out,          \
                                 struct ps_error *err)                                             \
    {                                                                                              \
        struct ps_arena *arena = &peer->session->arena;                                            \
        struct ps_buf head = { NULL, 0, 0 };                                                       \
        struct ps_answer answer = { 0 };                                                           \
        enum ps_code rc;                                                                           \
        ps_arena_reset(arena);                                                                     \
        PS_TRY(done, rc, ps_encode_##name##_request(request, &head, err));                         \
        PS_TRY(done, rc, exchange(peer, PS_METHOD_##id, &head, timeout_ms, &answer, err));         \
        rc = ps_decode_##name##_reply(answer.message.head, arena, reply_out, err);                 \
    done:                                                                                          \
        ps_answer_clean(&answer);                                                                  \
        ps_buf_clean(&head);                                                                       \
        return rc;                                                                                 \
    }
PSI_CALLS(PSI_DEFINE_CALL)
