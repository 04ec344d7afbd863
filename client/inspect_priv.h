/* What the parts of the inspector share. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CLIENT_INSPECT_PRIV_H
#define PARAMD_CLIENT_INSPECT_PRIV_H

#include "client/inspect.h"

struct ps_channel;
struct ps_rpc_client;

struct ps_inspector {
    struct ps_rpc_client *client;
    struct ps_inspect_peer *peers;
    struct ps_channel **channels; /* of the peers, in the same order */
    char **addresses;
    struct ps_arena *arenas; /* of the hello replies */
    int peer_count;
    int64_t deadline_ms;
};

/* The peer with a task index that answered: UNAVAILABLE, with its reason, if it did not. */
PS_MUST_CHECK enum ps_code psi_inspect_find(const struct ps_inspector *inspector, uint32_t task,
                                            int *position_out, struct ps_error *err);

/* Assigns bytes to one whole slice over a data stream of its own. shape: of the variable from now
 * on, NULL: as it is. */
struct psi_inspect_assignment {
    struct ps_header header;
    uint32_t task;
    uint32_t handle;
    const struct ps_shape *shape;
    const uint8_t *data;
    uint64_t size_bytes;
};
PS_MUST_CHECK enum ps_code psi_inspect_assign_slice(struct ps_channel *channel,
                                                    const struct psi_inspect_assignment *assignment,
                                                    int64_t deadline_ms, struct ps_error *err);

#endif
