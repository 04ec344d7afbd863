/* The server's end of a data stream: requests in, acknowledgements and pulled frames out. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_DATA_STREAM_H
#define PARAMD_SERVER_DATA_STREAM_H

#include "proto/rpc.h"
#include "server/service.h"

/* What ps_rpc_handlers.open of a ps task does. */
const struct ps_stream_events *ps_data_stream_open(struct ps_service *service,
                                                   struct ps_stream *stream, void **stream_ctx_out,
                                                   struct ps_error *err);

#endif
