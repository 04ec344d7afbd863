/* Unary methods that save and restore. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/codec_checkpoint.h"
#include "server/committed.h"
#include "server/control_priv.h"
#include "server/restore.h"
#include "server/save.h"
#include "server/shard_loader.h"
#include "server/shard_writer.h"

enum ps_code psi_control_save(struct psi_call *call, struct ps_error *err)
{
    struct ps_service *service = call->service;
    struct ps_save_request request;
    struct ps_save_reply reply;
    enum ps_code rc;
    PS_TRY(done, rc, ps_decode_save_request(call->request, &call->arena, &request, err));
    PS_TRY(done, rc, ps_service_admit(service, &request.header, err));
    PS_TRY(done, rc,
           ps_save_run(service->checkpointer, &request, call->remaining_ms, &call->arena, &reply,
                       err));
    rc = ps_encode_save_reply(&reply, &call->out->head, err);
done:
    return rc;
}

enum ps_code psi_control_save_shard(struct psi_call *call, struct ps_error *err)
{
    struct ps_service *service = call->service;
    struct ps_save_shard_request request;
    struct ps_save_shard_reply reply = { 0 };
    struct ps_committed_table committed;
    struct ps_buf rows = { NULL, 0, 0 };
    enum ps_code rc;
    PS_TRY(done, rc, ps_decode_save_shard_request(call->request, &call->arena, &request, err));
    PS_TRY(done, rc, ps_service_admit(service, &request.header, err));
    PS_TRY(done, rc, ps_shard_save(service->checkpointer, &request, &reply, &rows, err));
    PS_TRY(done, rc, ps_committed_collect(service->workers, &call->arena, &committed, err));
    reply.rows = (struct ps_span){ rows.data, rows.size };
    reply.workers = committed.rows;
    reply.worker_count = committed.count;
    rc = ps_encode_save_shard_reply(&reply, &call->out->head, err);
done:
    ps_buf_clean(&rows);
    return rc;
}

enum ps_code psi_control_restore(struct psi_call *call, struct ps_error *err)
{
    struct ps_service *service = call->service;
    struct ps_restore_request request;
    struct ps_restore_reply reply;
    enum ps_code rc;
    PS_TRY(done, rc, ps_decode_restore_request(call->request, &call->arena, &request, err));
    PS_TRY(done, rc, ps_service_admit(service, &request.header, err));
    PS_TRY(done, rc,
           ps_restore_run(service->checkpointer, &request, call->remaining_ms, &call->arena, &reply,
                          err));
    rc = ps_encode_restore_reply(&reply, &call->out->head, err);
done:
    return rc;
}

enum ps_code psi_control_restore_shard(struct psi_call *call, struct ps_error *err)
{
    struct ps_service *service = call->service;
    struct ps_restore_shard_request request;
    struct ps_restore_shard_reply reply;
    enum ps_code rc;
    PS_TRY(done, rc, ps_decode_restore_shard_request(call->request, &call->arena, &request, err));
    PS_TRY(done, rc, ps_service_admit(service, &request.header, err));
    PS_TRY(done, rc, ps_shard_restore(service->checkpointer, &request, call->payload, &reply, err));
    rc = ps_encode_restore_shard_reply(&reply, &call->out->head, err);
done:
    return rc;
}
