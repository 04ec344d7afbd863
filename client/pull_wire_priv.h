/* Pulls on the wire: requests out, frames of tensor bytes into the caller's memory. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CLIENT_PULL_WIRE_PRIV_H
#define PARAMD_CLIENT_PULL_WIRE_PRIV_H

#include "client/session_state_priv.h"

/* Fills out with the next request of a pull; false: none is due. */
bool psi_pull_produce_locked(struct psi_peer *peer, struct ps_outgoing *out);

/* A frame of a pull, or its failure. Drops the lock while it copies. True if another request is
 * due now. */
bool psi_pull_consume_locked(struct psi_peer *peer, const struct ps_data_reply *reply,
                             const struct ps_payload *payload);

/* The stream is gone: what was asked for and has not come must be asked for again. */
void psi_pull_lost_locked(struct psi_peer *peer);

/* Whether a pull waits for this peer, and not for a push before it. */
bool psi_pull_awaits_locked(const struct psi_peer *peer);

#endif
