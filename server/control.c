/* The unary methods of a ps task. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/control.h"

#include "server/control_priv.h"

static psi_method_fn *const methods[PS_METHOD_COUNT] = {
    [PS_METHOD_HELLO] = psi_control_hello,
    [PS_METHOD_DECLARE] = psi_control_declare,
    [PS_METHOD_CREATE] = psi_control_create,
    [PS_METHOD_INITIALIZE] = psi_control_initialize,
    [PS_METHOD_LIST] = psi_control_list,
    [PS_METHOD_STATUS] = psi_control_status,
    [PS_METHOD_READ] = psi_control_read,
    [PS_METHOD_ATTACH] = psi_control_attach,
    [PS_METHOD_RESOLVE] = psi_control_resolve,
    [PS_METHOD_FINISH] = psi_control_finish,
    [PS_METHOD_SAVE] = psi_control_save,
    [PS_METHOD_SAVE_SHARD] = psi_control_save_shard,
    [PS_METHOD_RESTORE] = psi_control_restore,
    [PS_METHOD_RESTORE_SHARD] = psi_control_restore_shard,
};

enum ps_code ps_control_call(struct ps_service *service, enum ps_method method,
                             const struct ps_incoming *request, int64_t remaining_ms,
                             struct ps_outgoing *reply, struct ps_error *err)
{
    struct psi_call call = { .service = service,
                             .request = request->head,
                             .payload = request->payload,
                             .remaining_ms = remaining_ms,
                             .out = reply };
    enum ps_code rc = methods[method](&call, err);
    ps_arena_clean(&call.arena);
    if (rc != PS_OK) { ps_outgoing_clean(reply); }
    return rc;
}
