/* One worker's page of the exactly-once ledger: what is committed, staged, burnt. Pure. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_LEDGER_H
#define PARAMD_SERVER_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/status.h"
#include "proto/messages.h"

/* No I/O, no clock, no threads: the caller serialises the calls on one page and carries out what
 * they decide. Tensor bytes are opaque frames here. The rules are those of proto/README.md:
 * pushes of a worker are numbered 1, 2, 3, ...; each arrives as frames in any order, any number of
 * times; it is staged when all its frames are here; it is committed, in order, by a notice that
 * names a number at or above its own; a burnt number can never be staged or committed again. */

enum ps_open_state {
    PS_OPEN_ARRIVING, /* some frames are missing */
    PS_OPEN_STAGED,   /* all are here */
    PS_OPEN_BURNT     /* refused or withdrawn: committed as an empty push */
};

/* A push between its first frame and its commit. Read by the caller, changed by the ledger. */
struct ps_open {
    struct ps_open *next; /* by rising seq */
    uint64_t seq;
    enum ps_open_state state;
    uint32_t frames_missing;
    uint64_t bytes_missing;
    void **frames;            /* header.frame_count of them; NULL: not here, or eager */
    uint8_t *arrived;         /* a bit a frame */
    void *staging;            /* the caller's, for the whole push; closed when the push is let go */
    struct ps_error *refusal; /* BURNT: why it was refused here, as far as remembered */
    struct ps_push_header header; /* what its pointers point to is owned; frame_index is moot */
};

/* How what the caller hung on a push is let go. */
struct ps_frame_table {
    void *ctx;
    void (*release)(void *ctx, void *frame);
    void (*close)(void *ctx, void *staging); /* before its frames are released; NULL: never set */
};

struct ps_page {
    /* set once */
    uint32_t worker;
    uint64_t credit_bytes; /* most bytes staged at once */
    struct ps_frame_table frame_table;
    /* who writes */
    uint64_t incarnation; /* 0: nobody yet */
    uint64_t process;
    bool resolved; /* the incarnation has settled what older ones left open */
    bool finished;
    /* what is written */
    uint64_t committed;
    struct ps_open *open;
    uint32_t open_count;
    uint64_t staged_bytes;  /* reserved by open pushes that are kept (not eager, not burnt) */
    struct ps_buf position; /* of the last committed push that had one */
};

void ps_page_init(struct ps_page *page, uint32_t worker, uint64_t credit_bytes,
                  struct ps_frame_table frame_table);
void ps_page_clean(struct ps_page *page);

/* What became of an offered frame. */
enum ps_offer {
    PS_OFFER_NEW,       /* check it, then ps_page_keep it or ps_page_burn the push */
    PS_OFFER_DUPLICATE, /* it is here already; the push may be staged or still arriving */
    PS_OFFER_COMMITTED, /* the push was committed before */
    PS_OFFER_BURNT,     /* the push was refused or withdrawn before: to be answered as a refusal,
                           since the first answer may have been lost */
    PS_OFFER_FENCED,    /* sent by an incarnation that may not write; err says why */
    PS_OFFER_REFUSED    /* err says why; the push has been burnt here */
};

/* One frame of a push. open_out: the push it belongs to, for NEW and DUPLICATE.
 * err: the reason, for FENCED and REFUSED; for BURNT that of ps_page_blame, if there was one. */
enum ps_offer ps_page_offer(struct ps_page *page, const struct ps_data_request *request,
                            struct ps_open **open_out, struct ps_error *err);

/* Keeps the frame that was just offered as NEW, and of which size_bytes is the size. frame NULL:
 * it was applied on arrival (eager). Takes frame, also on failure. PS_OK, or INVALID_ARGUMENT if
 * the sizes do not add up to what the header announced (the push is then burnt). */
PS_MUST_CHECK enum ps_code ps_page_keep(struct ps_page *page, struct ps_open *open,
                                        uint32_t frame_index, void *frame_take, uint64_t size_bytes,
                                        struct ps_error *err);

/* Burns a number above committed, whether anything of it is here or not; later frames of it are
 * answered BURNT. A number at or below committed is left alone. RESOURCE_EXHAUSTED if there is no
 * memory to remember it: nothing has changed then. */
PS_MUST_CHECK enum ps_code ps_page_burn(struct ps_page *page, uint64_t seq, struct ps_error *err);

/* Remembers why a burnt push was refused: the answer may be lost, and its sender ask again. The
 * first reason stays. Does nothing for a push that is not burnt, or without memory. */
void ps_page_blame(struct ps_page *page, uint64_t seq, const struct ps_error *why);

/* Called for each push as it is committed, in order; the push is freed afterwards. */
typedef void ps_commit_fn(void *ctx, const struct ps_page *page, const struct ps_open *open);

/* A notice: every push up to through is decided. Commits what is staged here, and forgets what was
 * burnt. Numbers that never touched this task just pass. INTERNAL if one of them is still arriving
 * here: it cannot have been decided, so nothing after it is committed. */
PS_MUST_CHECK enum ps_code ps_page_commit(struct ps_page *page, uint64_t through,
                                          ps_commit_fn *commit, void *ctx, struct ps_error *err);

/* A process asks to write as this incarnation. False if a younger one, or another process with the
 * same number, holds the page. Older incarnations are fenced from here on. */
bool ps_page_attach(struct ps_page *page, uint64_t incarnation, uint64_t process);

/* The incarnation settles what older ones left open, as checkpoint/resolution.h decided it: burns
 * the numbers of burnt, commits through commit_through, discards every push above it. Burnt numbers
 * stay open (at or below committed) until the first notice: the incarnation sends one, or anything
 * that carries one, only after every ps task has resolved. Errors:
 * ABORTED for an incarnation that does not hold the page, INTERNAL if a rule would be broken. Asked
 * again it changes nothing. */
PS_MUST_CHECK enum ps_code ps_page_resolve(struct ps_page *page,
                                           const struct ps_resolve_request *request,
                                           ps_commit_fn *commit, void *ctx, struct ps_error *err);

/* PS_OK if this incarnation may write now; ABORTED (older, or unknown here) or FAILED_PRECONDITION
 * (it has not resolved yet) if not. */
PS_MUST_CHECK enum ps_code ps_page_admit(const struct ps_page *page, uint64_t incarnation,
                                         struct ps_error *err);

#endif
