/* Pulls and pushes as calls: started, waited for, timed. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CLIENT_TRANSFER_PRIV_H
#define PARAMD_CLIENT_TRANSFER_PRIV_H

#include "client/session_state_priv.h"

/* Starts a push; 0 after a failure. The session is usable. */
ps_ticket psi_push_start(struct ps_session *session, const struct ps_update *update,
                         const ps_binding *bindings, size_t count);
/* Starts it and waits until it is decided. */
void psi_push_wait(struct ps_session *session, const struct ps_update *update,
                   const ps_binding *bindings, size_t count);

/* Waits until every push is committed on every peer it touched, at most limit_ms; also in a failed
 * session, whose refused pushes are then withdrawn everywhere. */
bool psi_drain(struct ps_session *session, int64_t limit_ms);

/* Stops every stream and waits until nothing holds the caller's memory, at most limit_ms. */
bool psi_stop_streams(struct ps_session *session, int64_t limit_ms);

#endif
