/* Pushes as a ps task answers them: staged, committed by notice, withdrawn. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_PUSH_H
#define PARAMD_SERVER_PUSH_H

#include <stdbool.h>

#include "server/ledger.h"
#include "server/service.h"

struct ps_worker_row;

/* Frames and stagings as the ledger lets go of them. */
struct ps_frame_table ps_push_frame_table(struct ps_service *service);

/* One page and what goes with it: a worker's row (locked), or the page of a tool's stream. */
struct ps_push_target {
    struct ps_page *page;
    struct ps_worker_row *row; /* NULL: of a tool, which may only assign, and commits at once */
};

/* What to answer. Texts live in err. */
struct ps_push_answer {
    bool replies;
    enum ps_reply_kind kind;
    enum ps_code code;
};

/* Handles PUSH, NOTICE and WITHDRAW, and the notice of a PULL (which it does not answer).
 * payload: the frame's bytes, NULL for none; acquired if kept. The caller serialises calls on one
 * target. A FENCED answer means that the stream should end. */
struct ps_push_answer ps_push_handle(struct ps_service *service, struct ps_push_target target,
                                     const struct ps_data_request *request,
                                     struct ps_payload *payload, struct ps_error *err);

/* Resolves what older incarnations left open, and commits what counts of it. */
PS_MUST_CHECK enum ps_code ps_push_resolve(struct ps_service *service, struct ps_worker_row *row,
                                           const struct ps_resolve_request *request,
                                           struct ps_error *err);

#endif
