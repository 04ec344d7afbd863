/* Free ports for tasks that are started a moment later. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static enum ps_code reserve(struct ps_port *port, struct ps_error *err)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof address;
    const int on = 1;
    port->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (port->socket < 0 ||
        setsockopt(port->socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(port->socket, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(port->socket, (struct sockaddr *)&address, &size) != 0) {
        return ps_fail_errno(err, errno, "cannot reserve a port on 127.0.0.1");
    }
    port->number = ntohs(address.sin_port);
    return PS_OK;
}

enum ps_code ps_ports_reserve(struct ps_port *ports, int count, struct ps_error *err)
{
    for (int i = 0; i < count; i++) {
        enum ps_code rc = reserve(&ports[i], err);
        if (rc == PS_OK) { continue; }
        ps_ports_release(ports, i + 1);
        return rc;
    }
    return PS_OK;
}

void ps_ports_release(struct ps_port *ports, int count)
{
    for (int i = 0; i < count; i++) {
        if (ports[i].socket >= 0) { close(ports[i].socket); }
        ports[i].socket = -1;
    }
}
