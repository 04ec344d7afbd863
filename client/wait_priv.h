/* The one place where a session waits for its peers: with a deadline, and saying for whom. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CLIENT_WAIT_PRIV_H
#define PARAMD_CLIENT_WAIT_PRIV_H

#include "client/session_state_priv.h"

typedef bool psi_ready_fn(struct ps_session *session, void *ctx);

/* Waits until ready (called under the lock) says so, or the session has failed. Peers whose stream
 * broke are opened again meanwhile. A peer that is awaited and has been lost for the call time-out
 * fails the session with UNAVAILABLE, naming it. what: "pull", "push 17 to be staged", for the
 * lines that say for whom and since when. even_failed: goes on in a failed session, for at most
 * limit_ms (0: the call time-out), without failing it again. Returns whether ready. */
struct psi_wait {
    psi_ready_fn *ready;
    void *ctx;
    const char *what;
    bool even_failed;
    int64_t limit_ms;
};
bool psi_wait(struct ps_session *session, const struct psi_wait *wait);

#endif
