/* How a ps task other than the first learns which job it belongs to. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_JOIN_H
#define PARAMD_SERVER_JOIN_H

#include "server/service.h"

struct ps_join;

/* Asks ps task 0 at address, in a thread of its own, until it answers; then sets job, generation
 * and state of the service. Says whom it waits for. own_address: where this task is to be found, ""
 * for where the cluster says; copied. */
PS_MUST_CHECK enum ps_code ps_join_start(struct ps_service *service, const char *address,
                                         const char *own_address, struct ps_join **join_out,
                                         struct ps_error *err);
/* Ends the thread, whether it has succeeded or not. Takes NULL. */
void ps_join_stop(struct ps_join *join);

#endif
