/* The unary methods of a ps task. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_CONTROL_H
#define PARAMD_SERVER_CONTROL_H

#include "proto/rpc.h"
#include "server/service.h"

/* What ps_rpc_handlers.call of a ps task does. */
enum ps_code ps_control_call(struct ps_service *service, enum ps_method method,
                             const struct ps_incoming *request, int64_t remaining_ms,
                             struct ps_outgoing *reply, struct ps_error *err);

#endif
