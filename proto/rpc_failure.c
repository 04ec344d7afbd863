/* Failures in words for people: what gRPC tells of them, and what to do next. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/rpc_grpc.h"

void psi_status_init(struct psi_status *status, enum ps_code code, const char *message)
{
    *status = (struct psi_status){ .code = (grpc_status_code)code,
                                   .details = grpc_slice_from_copied_string(message) };
    status->mark.key = grpc_slice_from_static_string(PSI_ANSWER_KEY);
    status->mark.value = grpc_slice_from_static_string(PS_VERSION);
}

grpc_op psi_status_op(struct psi_status *status)
{
    grpc_op op = { .op = GRPC_OP_SEND_STATUS_FROM_SERVER,
                   .data.send_status_from_server.status = status->code };
    if (status->code != GRPC_STATUS_OK) {
        op.data.send_status_from_server.status_details = &status->details;
        op.data.send_status_from_server.trailing_metadata = &status->mark;
        op.data.send_status_from_server.trailing_metadata_count = 1;
    }
    return op;
}

void psi_status_clean(struct psi_status *status)
{
    grpc_slice_unref(status->details);
}

/* What gRPC itself says when a deadline passes; a handler's own text would differ. */
static const char deadline_text[] = "Deadline Exceeded";

/* Texts that gRPC makes up when there is no peer to speak for itself. The first match counts. */
static const struct {
    const char *found; /* in the status text */
    const char *found_too;
    enum ps_code code;
    const char *words;
    bool ask_health; /* whether `paramd health` is the next step */
} causes[] = {
    { "Connection refused", "", PS_UNAVAILABLE,
      "connection refused (nothing listens there). Started it?", true },
    { "resolution failed", "", PS_UNAVAILABLE,
      "the host name does not resolve. Check its spelling in the cluster description, or the name "
      "service; an IP address works without it",
      false },
    { "No route to host", "", PS_UNAVAILABLE, "no route to that host. Is the network up?", true },
    { "Network is unreachable", "", PS_UNAVAILABLE,
      "its network is unreachable from here. Is the network up?", true },
    { "Connection timed out", "", PS_UNAVAILABLE,
      "the host does not answer (down, or a firewall drops it). Is the machine up?", true },
    { "failed to connect", "imeout", PS_UNAVAILABLE,
      "the host does not answer (down, or a firewall drops it). Is the machine up?", true },
    { "http1.x", "", PS_UNIMPLEMENTED,
      "no paramd: an HTTP server answers there. Check host and port in the cluster description",
      false },
    { "http2 header with status", "", PS_UNIMPLEMENTED,
      "no paramd: an HTTP server or a proxy answers there. Check host and port in the cluster "
      "description",
      false },
    { "failed to connect", "Socket closed", PS_UNAVAILABLE,
      "whatever listens there hangs up at once: no paramd, or one that is just stopping. Check "
      "host and port",
      true },
    { "failed to connect", "", PS_UNAVAILABLE, "cannot connect.", true },
    { "keepalive", "", PS_UNAVAILABLE,
      "connection lost: nothing came for 30 s (the machine is down, or the network is cut).",
      true },
    { "Socket closed", "", PS_UNAVAILABLE,
      "connection lost: the other end has closed it (stopped or killed).", true },
    { "Connection reset", "", PS_UNAVAILABLE,
      "connection lost: the other end has reset it (stopped or killed).", true },
    { "Broken pipe", "", PS_UNAVAILABLE,
      "connection lost: the other end has closed it (stopped or killed).", true },
    { "GOAWAY", "", PS_UNAVAILABLE, "connection lost: the other end is stopping.", true },
};

static enum ps_code explain_deadline(const struct psi_failure *failure, struct ps_error *err)
{
    if (failure->connected) {
        return ps_fail(err, PS_DEADLINE_EXCEEDED,
                       "%s: no answer within %" PRId64 " ms. It is reachable, so busy or stuck: "
                       "see its log. Try: paramd status %s",
                       failure->subject, failure->deadline_ms, failure->address);
    }
    return ps_fail(err, PS_DEADLINE_EXCEEDED,
                   "%s: no connection within %" PRId64 " ms (not started yet, or the host does not "
                   "answer). Try: paramd health %s",
                   failure->subject, failure->deadline_ms, failure->address);
}

/* The status text without gRPC's trail of files and times, if it should hold one. */
static enum ps_code repeat_peer(const struct psi_failure *failure, enum ps_code code,
                                struct ps_error *err)
{
    const char *trail = strstr(failure->details, "{\"created\"");
    if (trail == NULL) { trail = strstr(failure->details, " {file:"); }
    int size = trail == NULL ? (int)strlen(failure->details) : (int)(trail - failure->details);
    if (size == 0) { return ps_fail(err, code, "%s: %s", failure->subject, ps_code_text(code)); }
    return ps_fail(err, code, "%s: %.*s", failure->subject, size, failure->details);
}

bool psi_failure_is_answer(const grpc_metadata_array *trailing)
{
    for (size_t i = 0; i < trailing->count; i++) {
        if (grpc_slice_str_cmp(trailing->metadata[i].key, PSI_ANSWER_KEY) == 0) { return true; }
    }
    return false;
}

/* gRPC's own words, matched; false when none of them. */
static bool explain_cause(const struct psi_failure *failure, struct ps_error *err,
                          enum ps_code *code_out)
{
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++) {
        if (strstr(failure->details, causes[i].found) == NULL ||
            strstr(failure->details, causes[i].found_too) == NULL) {
            continue;
        }
        *code_out = ps_fail(err, causes[i].code, "%s: %s%s%s", failure->subject, causes[i].words,
                            causes[i].ask_health ? " Try: paramd health " : "",
                            causes[i].ask_health ? failure->address : "");
        return true;
    }
    return false;
}

enum ps_code psi_failure_explain(const struct psi_failure *failure, struct ps_error *err)
{
    enum ps_code code = ps_code_from_number((long)failure->status);
    if (code == PS_OK) { code = PS_UNKNOWN; }
    if (failure->is_answer) { return repeat_peer(failure, code, err); }
    if (code == PS_DEADLINE_EXCEEDED && strcmp(failure->details, deadline_text) == 0) {
        return explain_deadline(failure, err);
    }
    if (explain_cause(failure, err, &code)) { return code; }
    if (code == PS_UNIMPLEMENTED) {
        return ps_fail(err, code,
                       "%s: no paramd: another gRPC service answers there. Check host and port in "
                       "the cluster description",
                       failure->subject);
    }
    if (code == PS_CANCELLED) {
        /* Nobody here cancels a call: a server that stops does, when it has not taken it up yet. */
        return ps_fail(err, PS_UNAVAILABLE, "%s: the other end is stopping. Try: paramd health %s",
                       failure->subject, failure->address);
    }
    return repeat_peer(failure, code, err);
}
