/* A worker's side of exactly-once pushes: what to send to whom, and when a push is decided. Pure.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CLIENT_PUSHER_H
#define PARAMD_CLIENT_PUSHER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

/* No I/O, no clock, no threads. The caller reports replies and lost connections, and asks for each
 * peer (ps task) what to send next. The rules are those of proto/README.md: a push is decided when
 * every peer that it touches has staged it, and every earlier push is decided; a push that one peer
 * refuses is withdrawn from all of them, and is decided as an empty one when all have confirmed;
 * decided_through rides on every message, and goes alone when there is no other. */

enum ps_part_state {
    PS_PART_SENDING, /* frames from next_frame on are still to be sent */
    PS_PART_SENT,    /* all were sent, no answer yet */
    PS_PART_STAGED,
    PS_PART_WITHDRAW, /* a withdrawal is to be sent */
    PS_PART_WITHDRAW_SENT,
    PS_PART_WITHDRAWN
};

/* The part of a push that goes to one peer. */
struct ps_part {
    uint32_t peer;
    uint32_t frame_count; /* at least 1 */
    uint64_t size_bytes;
    /* kept by the pusher */
    enum ps_part_state state;
    uint32_t next_frame;
};

/* One push, from ps_pusher_add until every peer it touched has committed it. */
struct ps_flight {
    struct ps_flight *next; /* by rising seq */
    uint64_t seq;
    bool decided;
    bool refused;      /* decided, or being decided, as an empty push */
    enum ps_code code; /* why it was refused */
    uint32_t refusing_peer;
    void *user; /* the caller's, untouched */
    uint32_t part_count;
    struct ps_part parts[]; /* by rising peer */
};

struct ps_pusher_peer {
    uint64_t credit_bytes;      /* most bytes of ours that it keeps staged */
    uint64_t outstanding_bytes; /* sent or to be sent, not yet known to be committed */
    uint64_t noticed_through;   /* the highest decided_through that was sent */
    uint64_t committed_through; /* as it answered */
};

struct ps_pusher {
    struct ps_pusher_peer *peers;
    uint32_t peer_count;
    uint64_t last_seq;        /* of the youngest push */
    uint64_t decided_through; /* every push up to here is decided */
    struct ps_flight *flights;
};

/* committed: the last push of this worker that counts, on every peer. */
PS_MUST_CHECK enum ps_code ps_pusher_init(struct ps_pusher *pusher, uint32_t peer_count,
                                          uint64_t committed, struct ps_error *err);
/* Frees the flights too. */
void ps_pusher_clean(struct ps_pusher *pusher);

void ps_pusher_set_credit(struct ps_pusher *pusher, uint32_t peer, uint64_t credit_bytes);

enum ps_admission {
    PS_ADMIT_NOW,
    PS_ADMIT_LATER, /* when peers have committed more: blocking_peer says which to wait for */
    PS_ADMIT_NEVER  /* a part is larger than blocking_peer's whole credit */
};

/* Whether a push with these parts may be added now. eager parts need no credit. */
enum ps_admission ps_pusher_admits(const struct ps_pusher *pusher, const struct ps_part *parts,
                                   uint32_t part_count, bool eager, uint32_t *blocking_peer_out);

/* Adds a push; parts are copied. flight_out stays valid until it is both decided and released by
 * ps_pusher_forget. */
PS_MUST_CHECK enum ps_code ps_pusher_add(struct ps_pusher *pusher, const struct ps_part *parts,
                                         uint32_t part_count, void *user,
                                         struct ps_flight **flight_out, struct ps_error *err);

enum ps_send_kind { PS_SEND_NOTHING, PS_SEND_FRAME, PS_SEND_WITHDRAW, PS_SEND_NOTICE };

struct ps_send {
    enum ps_send_kind kind;
    struct ps_flight *flight; /* FRAME, WITHDRAW */
    struct ps_part *part;
    uint32_t frame_index;    /* FRAME */
    uint64_t commit_through; /* to put on the message, whatever it is */
};

/* What to send to this peer next; counts it as sent. A caller that sends a message of its own
 * (a pull) puts decided_through on it and calls ps_pusher_noticed. */
struct ps_send ps_pusher_next(struct ps_pusher *pusher, uint32_t peer);
void ps_pusher_noticed(struct ps_pusher *pusher, uint32_t peer);

/* Replies of a peer; those that say nothing new are ignored. refused: whether it did. */
void ps_pusher_staged(struct ps_pusher *pusher, uint32_t peer, uint64_t seq);
bool ps_pusher_refused(struct ps_pusher *pusher, uint32_t peer, uint64_t seq, enum ps_code code);
void ps_pusher_withdrawn(struct ps_pusher *pusher, uint32_t peer, uint64_t seq);
void ps_pusher_committed(struct ps_pusher *pusher, uint32_t peer, uint64_t through);

/* The connection to a peer was lost, or an answer is overdue: whatever it has not acknowledged is
 * sent again. */
void ps_pusher_lost(struct ps_pusher *pusher, uint32_t peer);

/* Whether a peer has something of ours to answer. */
bool ps_pusher_awaits(const struct ps_pusher *pusher, uint32_t peer);

/* The oldest flight that is decided and committed by every peer it touched, unlinked; the caller
 * frees it with ps_free. NULL: none. */
struct ps_flight *ps_pusher_forget(struct ps_pusher *pusher);

#endif
