/* Saving and restoring a running cluster from outside: one call to ps task 0. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/inspect_checkpoint.h"

#include "client/inspect_priv.h"
#include "proto/codec_checkpoint.h"
#include "proto/rpc.h"

/* Where ps task 0 is among the peers, and the job that it says it has. */
static enum ps_code find_first(struct ps_inspector *inspector, int *position_out,
                               struct ps_header *header_out, struct ps_error *err)
{
    enum ps_code rc;
    PS_TRY(done, rc, ps_inspect_hello(inspector, err));
    PS_TRY(done, rc, psi_inspect_find(inspector, 0, position_out, err));
    *header_out = inspector->peers[*position_out].hello.header;
done:
    return rc;
}

enum ps_code ps_inspect_save(struct ps_inspector *inspector, struct ps_save_request *request,
                             int64_t timeout_ms, struct ps_arena *arena,
                             struct ps_save_reply *reply_out, struct ps_error *err)
{
    struct ps_outgoing out = { 0 };
    struct ps_answer answer = { 0 };
    int position;
    enum ps_code rc;
    PS_TRY(done, rc, find_first(inspector, &position, &request->header, err));
    PS_TRY(done, rc, ps_encode_save_request(request, &out.head, err));
    PS_TRY(done, rc,
           ps_channel_call(inspector->channels[position], PS_METHOD_SAVE, &out, timeout_ms, false,
                           &answer, err));
    rc = ps_decode_save_reply(answer.message.head, arena, reply_out, err);
done:
    ps_answer_clean(&answer);
    return rc;
}

enum ps_code ps_inspect_restore(struct ps_inspector *inspector, struct ps_restore_request *request,
                                int64_t timeout_ms, struct ps_arena *arena,
                                struct ps_restore_reply *reply_out, struct ps_error *err)
{
    struct ps_outgoing out = { 0 };
    struct ps_answer answer = { 0 };
    int position;
    enum ps_code rc;
    PS_TRY(done, rc, find_first(inspector, &position, &request->header, err));
    PS_TRY(done, rc, ps_encode_restore_request(request, &out.head, err));
    PS_TRY(done, rc,
           ps_channel_call(inspector->channels[position], PS_METHOD_RESTORE, &out, timeout_ms,
                           false, &answer, err));
    rc = ps_decode_restore_reply(answer.message.head, arena, reply_out, err);
done:
    ps_answer_clean(&answer);
    return rc;
}
