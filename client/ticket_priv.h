/* Tickets: one asynchronous call, its bindings cut into a share for each peer. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CLIENT_TICKET_PRIV_H
#define PARAMD_CLIENT_TICKET_PRIV_H

#include "client/session_state_priv.h"

/* Which peers get a share, besides those that hold a part of the data. */
enum psi_reach {
    PSI_REACH_DATA, /* no other */
    PSI_REACH_HOME, /* this worker's home: every push touches it */
    PSI_REACH_ALL   /* all: they count training steps alike */
};

/* Plans a call; not linked into the session yet.
 * Errors: INVALID_ARGUMENT for a NULL variable, a variable of another session, one that is there
 * twice, a count that is not the variable's. */
PS_MUST_CHECK enum ps_code psi_ticket_create(struct ps_session *session, enum psi_ticket_kind kind,
                                             const ps_binding *bindings, size_t count,
                                             enum psi_reach reach, struct psi_ticket **ticket_out,
                                             struct ps_error *err);
/* Takes NULL. No pins are left. */
void psi_ticket_destroy(struct psi_ticket *ticket);

struct psi_share *psi_ticket_share(struct psi_ticket *ticket, uint32_t peer);

/* Links a ticket in and gives it its number. */
void psi_ticket_link_locked(struct ps_session *session, struct psi_ticket *ticket);
struct psi_ticket *psi_ticket_find_locked(struct ps_session *session, ps_ticket id);
/* Unlinks and destroys. */
void psi_ticket_drop_locked(struct ps_session *session, struct psi_ticket *ticket);

/* The caller's memory is in use somewhere; unpin takes the session's lock and wakes who waits. */
void psi_ticket_unpin(void *ticket);

#endif
