/* Progress: the line that worker 0 prints, and the summary that a session leaves behind. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CLIENT_PROGRESS_PRIV_H
#define PARAMD_CLIENT_PROGRESS_PRIV_H

#include "client/session_state_priv.h"

/* Writes worker-N.json into the summary directory, if there is one. Failures are logged only. */
void psi_progress_write_summary(struct ps_session *session, int exit_code);

#endif
