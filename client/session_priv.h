/* Sessions: what tests of this folder may do beyond the public interface. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CLIENT_SESSION_PRIV_H
#define PARAMD_CLIENT_SESSION_PRIV_H

#include "client/session_state_priv.h"

/* As ps_connect, with streams opened by link (NULL: ps_channel_open). */
ps_session *psi_session_connect(const ps_options *options, const struct psi_link *link);

#endif
