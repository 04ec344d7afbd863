/* Message-level faults between a session and its ps tasks: a layer around every data stream. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_link.h"

#include <stdatomic.h>
#include <string.h>

#include "core/alloc.h"
#include "core/philox.h"

enum {
    MOST_LANES = 8,
    MOST_HELD = 64,     /* of one lane and direction: more pass as they are */
    MOST_OVERTAKERS = 9 /* messages that may pass a held one */
};

enum fate { PASSES, DROPPED, DUPLICATED, DELAYED, CUT };

/* A deep copy of a message: the original's memory is its owner's again. */
struct held {
    struct held *next;
    unsigned overtakers; /* messages that are still to pass it */
    long epoch;          /* of the stream that it was made for */
    struct ps_buf head;
    void *data; /* of a request; NULL: none */
    size_t data_size;
    struct ps_payload *payload; /* of a reply: a reference, since payloads never change */
};

/* Held messages and dice of one direction; used by one callback, which never overlaps itself. */
struct direction {
    struct ps_rng dice;
    struct held *held;
    int held_count;
};

/* All streams that a session opens to one ps task, one after the other. */
struct lane {
    struct fault_link *link;
    const struct ps_stream_events *events;
    void *events_ctx; /* NULL: not used yet */
    struct direction out, in;
    struct ps_mutex lock;
    /* guarded by lock */
    struct ps_stream *stream; /* NULL: closed, or not known yet */
    bool open;
    atomic_long epoch;
};

struct fault_link {
    struct fault_plan plan;
    struct lane lanes[MOST_LANES];
    int lane_count; /* changed by open alone: a session opens one stream at a time */
    atomic_long messages, dropped, duplicated, delayed, late, cut;
};

/* ---- Held messages ---- */

static void held_free(struct held *held)
{
    if (held == NULL) { return; }
    ps_buf_clean(&held->head);
    ps_free(held->data);
    ps_payload_release(held->payload);
    ps_free(held);
}

static struct held *copy_head(const void *head, size_t size)
{
    struct held *held = ps_alloc_zero(1, sizeof *held);
    PS_ASSERT(held != NULL && ps_buf_append(&held->head, head, size, NULL) == PS_OK);
    return held;
}

static struct held *copy_outgoing(const struct ps_outgoing *message)
{
    struct held *held = copy_head(message->head.data, message->head.size);
    if (message->data == NULL) { return held; }
    held->data = ps_alloc(message->data_size + 1);
    PS_ASSERT(held->data != NULL);
    memcpy(held->data, message->data, message->data_size);
    held->data_size = message->data_size;
    return held;
}

static struct held *copy_incoming(const struct ps_incoming *message)
{
    struct held *held = copy_head(message->head.data, message->head.size);
    if (message->payload != NULL) { held->payload = ps_payload_acquire(message->payload); }
    return held;
}

static void hold(struct direction *direction, struct held *held, long epoch)
{
    struct held **end = &direction->held;
    while (*end != NULL) { end = &(*end)->next; }
    *end = held;
    held->overtakers = 1 + (unsigned)ps_rng_below(&direction->dice, MOST_OVERTAKERS);
    held->epoch = epoch;
    direction->held_count++;
}

static struct held *unlink_held(struct direction *direction, struct held **place)
{
    struct held *held = *place;
    *place = held->next;
    held->next = NULL;
    direction->held_count--;
    return held;
}

/* One whose time has come; NULL: none. */
static struct held *take_due(struct direction *direction)
{
    for (struct held **place = &direction->held; *place != NULL; place = &(*place)->next) {
        if ((*place)->overtakers == 0) { return unlink_held(direction, place); }
    }
    return NULL;
}

static void count_overtaking(struct direction *direction)
{
    for (struct held *held = direction->held; held != NULL; held = held->next) {
        if (held->overtakers > 0) { held->overtakers--; }
    }
}

/* ---- Fates ---- */

static enum fate decide(struct lane *lane, struct direction *direction)
{
    struct fault_link *link = lane->link;
    const struct fault_plan *plan = &link->plan;
    if (plan->on_message != NULL) { plan->on_message(plan->ctx); }
    atomic_fetch_add(&link->messages, 1);
    count_overtaking(direction);
    uint64_t dice = ps_rng_below(&direction->dice, 10000);
    bool full = direction->held_count >= MOST_HELD;
    uint64_t below = plan->drop;
    if (dice < below) { return DROPPED; }
    below += plan->duplicate;
    if (dice < below) { return full ? PASSES : DUPLICATED; }
    below += plan->delay;
    if (dice < below) { return full ? PASSES : DELAYED; }
    below += plan->cut;
    return dice < below ? CUT : PASSES;
}

/* The session learns of it as of a lost connection. */
static void cut(struct lane *lane)
{
    ps_mutex_lock(&lane->lock);
    struct ps_stream *stream = lane->stream != NULL ? ps_stream_acquire(lane->stream) : NULL;
    ps_mutex_unlock(&lane->lock);
    if (stream == NULL) { return; }
    atomic_fetch_add(&lane->link->cut, 1);
    ps_stream_end(stream, PS_UNAVAILABLE, "cut by the test");
    ps_stream_release(stream);
}

/* ---- Requests ---- */

static bool send_held(struct lane *lane, struct held *held, struct ps_outgoing *out)
{
    if (held == NULL) { return false; }
    if (held->epoch != atomic_load(&lane->epoch)) { atomic_fetch_add(&lane->link->late, 1); }
    *out = (struct ps_outgoing){ .head = held->head };
    if (held->data != NULL) {
        out->data = held->data;
        out->data_size = held->data_size;
        out->release = ps_free;
        out->owner = held->data;
    }
    held->head = (struct ps_buf){ NULL, 0, 0 };
    held->data = NULL;
    held_free(held);
    return true;
}

/* Nothing else is to be sent: what is held goes now, or waits for later messages, or for a later
 * stream. */
static bool send_when_idle(struct lane *lane, struct ps_outgoing *out)
{
    struct direction *direction = &lane->out;
    if (direction->held == NULL || ps_rng_below(&direction->dice, 2) == 0) { return false; }
    return send_held(lane, unlink_held(direction, &direction->held), out);
}

static bool produce(void *ctx, struct ps_outgoing *out)
{
    struct lane *lane = ctx;
    struct fault_link *link = lane->link;
    for (;;) {
        if (send_held(lane, take_due(&lane->out), out)) { return true; }
        if (!lane->events->produce(lane->events_ctx, out)) { return send_when_idle(lane, out); }
        long epoch = atomic_load(&lane->epoch);
        switch (decide(lane, &lane->out)) {
        case PASSES: return true;
        case CUT: cut(lane); return true;
        case DUPLICATED:
            hold(&lane->out, copy_outgoing(out), epoch);
            atomic_fetch_add(&link->duplicated, 1);
            return true;
        case DELAYED:
            hold(&lane->out, copy_outgoing(out), epoch);
            atomic_fetch_add(&link->delayed, 1);
            break;
        case DROPPED: atomic_fetch_add(&link->dropped, 1); break;
        }
        ps_outgoing_clean(out);
        *out = (struct ps_outgoing){ .data = NULL };
    }
}

/* ---- Replies ---- */

static void deliver_held(struct lane *lane, struct held *held)
{
    struct ps_incoming message = { { held->head.data, held->head.size }, held->payload };
    lane->events->consume(lane->events_ctx, &message);
    held_free(held);
}

static void consume(void *ctx, const struct ps_incoming *message)
{
    struct lane *lane = ctx;
    struct fault_link *link = lane->link;
    enum fate fate = decide(lane, &lane->in);
    switch (fate) {
    case DROPPED: atomic_fetch_add(&link->dropped, 1); break;
    case DUPLICATED:
        hold(&lane->in, copy_incoming(message), 0);
        atomic_fetch_add(&link->duplicated, 1);
        break;
    case DELAYED:
        hold(&lane->in, copy_incoming(message), 0);
        atomic_fetch_add(&link->delayed, 1);
        break;
    case CUT: cut(lane); break;
    case PASSES: break;
    }
    if (fate != DROPPED && fate != DELAYED) { lane->events->consume(lane->events_ctx, message); }
    for (struct held *due; (due = take_due(&lane->in)) != NULL;) { deliver_held(lane, due); }
}

/* ---- Streams ---- */

/* After the session has been told, it may open the next stream: the lane is not touched then. */
static void closed(void *ctx, enum ps_code code, const char *message)
{
    struct lane *lane = ctx;
    while (lane->in.held != NULL) {
        struct held *held = unlink_held(&lane->in, &lane->in.held);
        if (ps_rng_below(&lane->in.dice, 2) == 0) {
            deliver_held(lane, held);
        } else {
            held_free(held);
        }
    }
    ps_mutex_lock(&lane->lock);
    struct ps_stream *stream = lane->stream;
    lane->stream = NULL;
    lane->open = false;
    ps_mutex_unlock(&lane->lock);
    ps_stream_release(stream);
    lane->events->closed(lane->events_ctx, code, message);
}

static const struct ps_stream_events faulty_events = { produce, consume, closed };

static struct lane *lane_of(struct fault_link *link, const struct ps_stream_events *events,
                            void *events_ctx)
{
    for (int i = 0; i < link->lane_count; i++) {
        if (link->lanes[i].events_ctx == events_ctx) { return &link->lanes[i]; }
    }
    PS_ASSERT(link->lane_count < MOST_LANES);
    uint64_t number = (uint64_t)link->lane_count++;
    struct lane *lane = &link->lanes[number];
    uint64_t seed = (link->plan.seed * MOST_LANES + number) * 2;
    lane->events = events;
    lane->events_ctx = events_ctx;
    lane->out.dice = ps_rng_make(seed, PS_STREAM_TEST);
    lane->in.dice = ps_rng_make(seed + 1, PS_STREAM_TEST);
    return lane;
}

static enum ps_code open_faulty(void *ctx, struct ps_channel *channel,
                                const struct ps_stream_events *events, void *events_ctx,
                                struct ps_stream **stream_out, struct ps_error *err)
{
    struct lane *lane = lane_of(ctx, events, events_ctx);
    atomic_fetch_add(&lane->epoch, 1);
    ps_mutex_lock(&lane->lock);
    lane->open = true;
    ps_mutex_unlock(&lane->lock);
    enum ps_code rc = ps_channel_open(channel, &faulty_events, lane, stream_out, err);
    if (rc != PS_OK) { return rc; }
    ps_mutex_lock(&lane->lock);
    if (lane->open) { lane->stream = ps_stream_acquire(*stream_out); }
    ps_mutex_unlock(&lane->lock);
    return PS_OK;
}

/* ---- The link ---- */

struct fault_link *fault_link_create(const struct fault_plan *plan)
{
    struct fault_link *link = ps_alloc_zero(1, sizeof *link);
    if (link == NULL) { return NULL; }
    link->plan = *plan;
    for (int i = 0; i < MOST_LANES; i++) {
        link->lanes[i].link = link;
        ps_mutex_init(&link->lanes[i].lock, "fault lane", PS_RANK_POOL);
    }
    return link;
}

static void drop_all(struct direction *direction)
{
    while (direction->held != NULL) { held_free(unlink_held(direction, &direction->held)); }
}

void fault_link_destroy(struct fault_link *link)
{
    if (link == NULL) { return; }
    for (int i = 0; i < MOST_LANES; i++) {
        PS_ASSERT(link->lanes[i].stream == NULL);
        drop_all(&link->lanes[i].out);
        drop_all(&link->lanes[i].in);
        ps_mutex_clean(&link->lanes[i].lock);
    }
    ps_free(link);
}

struct psi_link fault_link_hook(struct fault_link *link)
{
    return (struct psi_link){ .ctx = link, .open = open_faulty };
}

struct fault_counts fault_link_counts(struct fault_link *link)
{
    return (struct fault_counts){
        .messages = atomic_load(&link->messages),
        .dropped = atomic_load(&link->dropped),
        .duplicated = atomic_load(&link->duplicated),
        .delayed = atomic_load(&link->delayed),
        .late = atomic_load(&link->late),
        .cut = atomic_load(&link->cut),
    };
}
