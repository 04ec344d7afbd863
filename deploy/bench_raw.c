/* Raw TCP over loopback between two processes: what the transport is compared with. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/bench_raw_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/alloc.h"
#include "deploy/bench_meter_priv.h"

enum {
    ACK_BYTES = 8, /* the longest answer */
    BACKLOG = 8
};

/* What a connection begins with: how much comes each time, and how much goes back. */
struct terms {
    uint64_t size_bytes;
    uint64_t answer_bytes;
};

static bool send_all(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            if (sent < 0 && errno == EINTR) { continue; }
            return false;
        }
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* false at the end of the stream too, errno 0 then. */
static bool receive_all(int fd, void *data, size_t size)
{
    char *at = data;
    while (size > 0) {
        ssize_t received = recv(fd, at, size, MSG_WAITALL);
        if (received <= 0) {
            if (received < 0 && errno == EINTR) { continue; }
            if (received == 0) { errno = 0; }
            return false;
        }
        at += received;
        size -= (size_t)received;
    }
    return true;
}

static void serve_connection(int fd, char *buffer, size_t capacity)
{
    static const char ack[ACK_BYTES];
    struct terms terms;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!receive_all(fd, &terms, sizeof terms)) { return; }
    if (terms.size_bytes > capacity || terms.answer_bytes > sizeof ack) { return; }
    while (receive_all(fd, buffer, (size_t)terms.size_bytes) &&
           send_all(fd, ack, (size_t)terms.answer_bytes)) {}
}

/* The life of the peer: one connection after the other, until it is killed. */
static void serve(int listener, size_t capacity)
{
    char *buffer = ps_alloc_aligned(capacity);
    if (buffer == NULL) { _exit(1); }
    memset(buffer, 1, capacity); /* so that no page is touched for the first time while measured */
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) { continue; }
        serve_connection(fd, buffer, capacity);
        close(fd);
    }
}

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* A socket that listens on a free port; -1 on failure. */
static int listen_anywhere(int *port_out)
{
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) { return -1; }
    if (bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        close(fd);
        return -1;
    }
    *port_out = ntohs(address.sin_port);
    return fd;
}

enum ps_code psi_bench_raw_start(size_t largest_bytes, struct psi_bench_raw_peer *peer_out,
                                 struct ps_error *err)
{
    *peer_out = (struct psi_bench_raw_peer){ .largest_bytes = largest_bytes };
    int listener = listen_anywhere(&peer_out->port);
    if (listener < 0) { return ps_fail_errno(err, errno, "raw TCP: cannot listen on loopback"); }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        /* Dies with the bench, however that ends; it may have ended already. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) { _exit(1); }
        serve(listener, largest_bytes);
    }
    int error = errno;
    close(listener);
    if (pid < 0) { return ps_fail_errno(err, error, "raw TCP: cannot start a process"); }
    peer_out->pid = pid;
    return PS_OK;
}

void psi_bench_raw_stop(struct psi_bench_raw_peer *peer)
{
    if (peer->pid == 0) { return; }
    kill(peer->pid, SIGKILL);
    while (waitpid(peer->pid, NULL, 0) < 0 && errno == EINTR) {}
    peer->pid = 0;
}

enum ps_code psi_bench_raw_open(const struct psi_bench_raw_peer *peer, const void *data,
                                size_t size_bytes, size_t answer_bytes,
                                struct psi_bench_raw *raw_out, struct ps_error *err)
{
    struct sockaddr_in address = loopback(peer->port);
    const struct terms terms = { size_bytes, answer_bytes };
    int on = 1;
    PS_ASSERT(size_bytes <= peer->largest_bytes && answer_bytes <= ACK_BYTES);
    *raw_out = (struct psi_bench_raw){ -1, peer->pid, size_bytes, answer_bytes, data };
    raw_out->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (raw_out->fd < 0) { return ps_fail_errno(err, errno, "raw TCP: no socket"); }
    setsockopt(raw_out->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(raw_out->fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        !send_all(raw_out->fd, &terms, sizeof terms)) {
        return ps_fail_errno(err, errno, "raw TCP: cannot reach port %d", peer->port);
    }
    return PS_OK;
}

void psi_bench_raw_close(struct psi_bench_raw *raw)
{
    if (raw->fd >= 0) { close(raw->fd); }
    raw->fd = -1;
}

static enum ps_code run(void *ctx, double *seconds_out, struct ps_error *err)
{
    const struct psi_bench_raw *raw = ctx;
    char answer[ACK_BYTES];
    double start = psi_bench_now();
    if (!send_all(raw->fd, raw->data, raw->size_bytes) ||
        !receive_all(raw->fd, answer, raw->answer_bytes)) {
        return ps_fail_errno(err, errno, "raw TCP: the other process is gone");
    }
    *seconds_out = psi_bench_now() - start;
    return PS_OK;
}

struct psi_bench_op psi_bench_raw_op(struct psi_bench_raw *raw, const char *name)
{
    return (struct psi_bench_op){
        .name = name,
        .size_bytes = raw->size_bytes,
        .server = raw->server,
        .ctx = raw,
        .run = run,
    };
}
