/* Message-level faults between a session and its ps tasks: a layer around every data stream. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_FAULT_LINK_H
#define PARAMD_TESTS_FAULT_LINK_H

#include <stdint.h>

#include "client/session_state_priv.h"

/* Chances are in 10,000 messages, of either direction. */
struct fault_plan {
    uint64_t seed;
    unsigned drop;      /* it never arrives: the session's resend time-out repairs that */
    unsigned duplicate; /* it arrives now, and once more after some others */
    unsigned delay;     /* it arrives after some others: a request perhaps on a later stream, a
                           reply perhaps just before its stream closes */
    unsigned cut;       /* the stream ends here, with what was under way */
    void (*on_message)(void *ctx); /* each message before its fate; any thread; may be NULL */
    void *ctx;
};

struct fault_counts {
    long messages;
    long dropped;
    long duplicated;
    long delayed;
    long late; /* sent on a later stream than the one they were made for */
    long cut;
};

struct fault_link;

/* For one session. NULL when out of memory. */
struct fault_link *fault_link_create(const struct fault_plan *plan);
/* The session has finished. Takes NULL. */
void fault_link_destroy(struct fault_link *link);

/* What psi_session_connect wants to be given. */
struct psi_link fault_link_hook(struct fault_link *link);

/* Threads: any. */
struct fault_counts fault_link_counts(struct fault_link *link);

#endif
