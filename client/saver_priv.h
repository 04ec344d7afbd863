/* Savers of a session, as its end sees them. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CLIENT_SAVER_PRIV_H
#define PARAMD_CLIENT_SAVER_PRIV_H

struct ps_session;

/* Frees all savers, and what they returned. */
void psi_savers_clean(struct ps_session *session);

#endif
