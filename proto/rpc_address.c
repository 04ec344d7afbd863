/* Reads host:port, and finds out why a port cannot be had. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/rpc_address.h"

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/rpc.h"

enum { PORT_MAX = 65535, PORT_TEXT_BYTES = 12, HOLDER_BYTES = 128, FIRST_FREE_PORT = 1024 };

static bool parse_port(const char *text, int *port_out)
{
    char *end;
    if (*text < '0' || *text > '9') { return false; } /* strtol would take signs and spaces */
    long port = strtol(text, &end, 10);
    if (*end != '\0' || port > PORT_MAX) { return false; }
    *port_out = (int)port;
    return true;
}

enum ps_code psi_address_parse(const char *text, struct psi_address *address_out,
                               struct ps_error *err)
{
    *address_out = (struct psi_address){ .port = -1 };
    const char *colon = strrchr(text, ':');
    if (colon == NULL || !parse_port(colon + 1, &address_out->port)) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "'%s' is no address: expected host:port, as in 10.0.0.7:2222", text);
    }
    const char *host = text;
    size_t size = (size_t)(colon - text);
    if (size >= 2 && host[0] == '[' && host[size - 1] == ']') {
        host++;
        size -= 2;
    } else if (memchr(host, ':', size) != NULL) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "'%s' is no address: an IPv6 host needs brackets, as in [::1]:2222", text);
    }
    if (size == 0 || size >= sizeof address_out->host || memchr(host, '/', size) != NULL) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "'%s' is no address: the host is %s; expected host:port, as in "
                       "10.0.0.7:2222",
                       text, size == 0 ? "missing" : "none");
    }
    memcpy(address_out->host, host, size);
    return PS_OK;
}

/* 0, or the errno of binding and listening at one resolved address. */
static int try_listen(const struct addrinfo *at)
{
    const int on = 1;
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0) { return errno; }
    /* As gRPC does: connections in TIME_WAIT are no obstacle. */
    int failed = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (failed == 0) { failed = bind(fd, at->ai_addr, at->ai_addrlen); }
    if (failed == 0) { failed = listen(fd, 1); }
    int error = failed == 0 ? 0 : errno;
    close(fd);
    return error;
}

static enum ps_code explain_errno(const char *text, int port, int error, struct ps_error *err)
{
    char holder[HOLDER_BYTES];
    switch (error) {
    case EADDRINUSE:
        ps_port_holder(port, holder, sizeof holder);
        return ps_fail(err, PS_UNAVAILABLE,
                       "cannot listen on %s: in use%s%s. Stop it, or --port=0 to take a free one",
                       text, holder[0] == '\0' ? " by another process" : " by ", holder);
    case EADDRNOTAVAIL:
        return ps_fail(err, PS_UNAVAILABLE,
                       "cannot listen on %s: no interface of this machine has that address. Name "
                       "one that `ip addr` shows, or 0.0.0.0 for all of them",
                       text);
    case EACCES:
        return ps_fail(err, PS_UNAVAILABLE,
                       "cannot listen on %s: permission denied. Take a port from %d up, or "
                       "--port=0 for a free one",
                       text, FIRST_FREE_PORT);
    default:
        return ps_fail(err, PS_UNAVAILABLE, "cannot listen on %s: %s", text,
                       error == 0 ? "it was taken a moment ago and is free now. Try again"
                                  : strerrordesc_np(error));
    }
}

enum ps_code psi_address_explain_bind(const char *text, const struct psi_address *address,
                                      struct ps_error *err)
{
    char port[PORT_TEXT_BYTES];
    snprintf(port, sizeof port, "%d", address->port);
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(address->host, port, &hints, &found);
    if (failed != 0) {
        return ps_fail(err, PS_UNAVAILABLE,
                       "cannot listen on %s: the name '%s' does not resolve (%s). Use a local IP "
                       "address, or 0.0.0.0 for all of them",
                       text, address->host, gai_strerror(failed));
    }
    int error = 0;
    for (const struct addrinfo *at = found; at != NULL && error == 0; at = at->ai_next) {
        error = try_listen(at);
    }
    freeaddrinfo(found);
    return explain_errno(text, address->port, error, err);
}
