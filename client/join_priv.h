/* Joining a cluster: hello to every ps task, and taking this worker's place among the writers. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CLIENT_JOIN_PRIV_H
#define PARAMD_CLIENT_JOIN_PRIV_H

#include "client/session_state_priv.h"

/* Waits for every ps task (saying for whom, until the start time-out), checks that they and we fit
 * together, then attaches: fences older processes of this worker index everywhere, resolves what
 * they left open, and makes the pusher go on from there.
 * Errors: DEADLINE_EXCEEDED (who is missing and why), UNIMPLEMENTED (versions),
 * FAILED_PRECONDITION (jobs or addresses mixed up), ABORTED (a younger process took the place). */
PS_MUST_CHECK enum ps_code psi_join(struct ps_session *session, struct ps_error *err);

#endif
