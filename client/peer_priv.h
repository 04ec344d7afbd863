/* The data stream of one ps task: opened when needed, taken up again when it breaks. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CLIENT_PEER_PRIV_H
#define PARAMD_CLIENT_PEER_PRIV_H

#include "client/session_state_priv.h"

/* Makes the channels; no traffic yet. */
PS_MUST_CHECK enum ps_code psi_peer_init(struct psi_peer *peer, struct ps_session *session,
                                         uint32_t index, const char *address, struct ps_error *err);
/* The stream has closed. Takes half-made peers. */
void psi_peer_clean(struct psi_peer *peer);

/* What follows is called without the lock. */

/* Lets the streams that are up send what there is. */
void psi_peers_wake(struct ps_session *session);

/* Opens the stream if it is down, something is awaited of it, and the time for another try has
 * come; ends one that has kept silent for the resend time-out, so that it is opened anew and
 * whatever was lost is sent again. Returns when to look again (monotonic nanoseconds). */
int64_t psi_peer_maintain(struct psi_peer *peer, int64_t now_ns);

/* Whether anything is awaited of the peer: replies to pushes, pulls. */
bool psi_peer_awaits_locked(const struct psi_peer *peer);

/* Ends the stream; true once it has closed. */
bool psi_peer_stop(struct psi_peer *peer);

#endif
