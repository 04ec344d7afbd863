/* Variables as handles: what the session needs to let go of them. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CLIENT_VARIABLE_PRIV_H
#define PARAMD_CLIENT_VARIABLE_PRIV_H

#include "client/session_state_priv.h"

/* Takes NULL and half-made ones; not linked in. */
void psi_variable_destroy(struct ps_var *var);

#endif
