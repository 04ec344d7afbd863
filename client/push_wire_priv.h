/* Pushes on the wire: frames, withdrawals and notices out, acknowledgements in. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CLIENT_PUSH_WIRE_PRIV_H
#define PARAMD_CLIENT_PUSH_WIRE_PRIV_H

#include "client/session_state_priv.h"

/* Fills out with the next message of the pusher for this peer; false: none, or the session has
 * failed for want of memory. */
bool psi_push_produce_locked(struct psi_peer *peer, struct ps_outgoing *out);

/* Any reply: what it says of pushes, credit and steps. True if there may be something new to send
 * to other peers. */
bool psi_push_consume_locked(struct psi_peer *peer, const struct ps_data_reply *reply);

#endif
