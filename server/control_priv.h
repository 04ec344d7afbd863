/* One unary call on its way through a ps task, and the methods that answer it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_CONTROL_PRIV_H
#define PARAMD_SERVER_CONTROL_PRIV_H

#include "proto/codec.h"
#include "proto/rpc.h"
#include "server/service.h"

/* The request is decoded into arena, the reply encoded into out. */
struct psi_call {
    struct ps_service *service;
    struct ps_span request;
    const struct ps_payload *payload; /* tensor bytes of the request; NULL: none */
    int64_t remaining_ms;             /* until the caller's deadline */
    struct ps_arena arena;
    struct ps_outgoing *out;
};

typedef enum ps_code psi_method_fn(struct psi_call *call, struct ps_error *err);

/* control_status.c */
psi_method_fn psi_control_hello, psi_control_status;
/* control_variables.c */
psi_method_fn psi_control_declare, psi_control_create, psi_control_initialize, psi_control_list,
    psi_control_read;
/* control_workers.c */
psi_method_fn psi_control_attach, psi_control_resolve, psi_control_finish;
/* control_checkpoint.c */
psi_method_fn psi_control_save, psi_control_save_shard, psi_control_restore,
    psi_control_restore_shard;

#endif
