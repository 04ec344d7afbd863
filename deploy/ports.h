/* Free ports for tasks that are started a moment later. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_PORTS_H
#define PARAMD_DEPLOY_PORTS_H

#include "core/status.h"

/* One port of 127.0.0.1 that nobody else is given while socket is open. It is bound with
 * SO_REUSEADDR and does not listen: Linux gives such a port to no one who asks for any port, and
 * still lets a task that names it, with SO_REUSEADDR as gRPC sets, listen on it. So the port cannot
 * be lost between choosing it and the task's bind, as it can when the socket is closed first. */
struct ps_port {
    int number;
    int socket; /* close-on-exec */
};

/* Fills ports; ps_ports_release when the tasks listen or are gone. Errors: those of errno. */
PS_MUST_CHECK enum ps_code ps_ports_reserve(struct ps_port *ports, int count, struct ps_error *err);
void ps_ports_release(struct ps_port *ports, int count);

#endif
