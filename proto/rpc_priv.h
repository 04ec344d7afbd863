/* Calls by path: what the named methods are made of, and what tests use to call the others. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_PROTO_RPC_PRIV_H
#define PARAMD_PROTO_RPC_PRIV_H

#include "proto/rpc.h"

/* As ps_channel_call; path is "/package.Service/Method", name stands in messages. */
struct psi_call_options {
    const char *path;
    const char *name;
    int64_t deadline_ms;
    bool wait_for_ready;
};
PS_MUST_CHECK enum ps_code psi_channel_call(struct ps_channel *channel,
                                            const struct psi_call_options *options,
                                            struct ps_outgoing *request,
                                            struct ps_answer *answer_out, struct ps_error *err);

/* As ps_channel_open. path lives for ever. */
PS_MUST_CHECK enum ps_code psi_channel_open(struct ps_channel *channel, const char *path,
                                            const struct ps_stream_events *events, void *ctx,
                                            struct ps_stream **stream_out, struct ps_error *err);

#endif
