/* The state of a session, and its first failure: what every file of this folder works on. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CLIENT_SESSION_STATE_PRIV_H
#define PARAMD_CLIENT_SESSION_STATE_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "client/paramd.h"
#include "client/pusher.h"
#include "core/cluster.h"
#include "core/device.h"
#include "core/lock.h"
#include "core/log.h"
#include "proto/codec.h"
#include "proto/messages.h"
#include "proto/rpc.h"

enum { PSI_MAX_DEVICE_SCOPES = 16 };

/* What a session was told, defaults filled in. */
struct psi_settings {
    struct ps_cluster cluster;
    int task_index;   /* of this worker */
    int worker_count; /* at least 1 */
    int64_t start_timeout_ms;
    int64_t call_timeout_ms;
    int64_t resend_timeout_ms;
    bool eager;
    bool checksums;
    bool quiet;
    enum ps_strategy strategy;
    char summary_dir[512]; /* "" : no summary is written */
};

/* How streams are opened; tests put a layer of faults here. */
struct psi_link {
    void *ctx;
    enum ps_code (*open)(void *ctx, struct ps_channel *channel,
                         const struct ps_stream_events *events, void *events_ctx,
                         struct ps_stream **stream_out, struct ps_error *err);
};

/* One slice of a variable, on one peer. */
struct psi_slice {
    uint32_t peer;
    uint32_t handle;
    struct ps_rows rows;
    uint64_t offset_bytes; /* in the whole value */
    uint64_t size_bytes;
    char device[PS_DEVICE_TEXT_BYTES];
};

struct ps_var {
    struct ps_var *next;
    struct ps_session *session;
    struct ps_definition definition; /* owned copy */
    void *tensor;                    /* value of PS_INIT_TENSOR, scaled; else NULL */
    struct ps_shape shape;           /* now: ps_assign_shaped changes it */
    size_t size_bytes;
    struct psi_slice *slices;
    size_t slice_count;
};

struct ps_optimizer {
    struct ps_optimizer *next;
    struct ps_session *session;
    struct ps_update update;
};

/* A run of bytes between the caller's memory and one slice. */
struct psi_run {
    uint32_t handle;
    uint64_t offset; /* bytes into the slice */
    uint64_t size;
    uint8_t *data;
};

/* Runs that travel in one message: at most PS_CHUNK_BYTES. */
struct psi_frame {
    uint32_t first_run;
    uint32_t run_count;
    uint64_t size;
};

/* What one asynchronous call moves to or from one peer. */
struct psi_share {
    uint32_t peer;
    struct psi_run *runs;
    uint32_t run_count;
    struct psi_frame *frames; /* push only */
    uint32_t frame_count;
    uint64_t size_bytes;
    /* pull only, guarded by the session's lock */
    uint64_t pull_seq;    /* of the request under way; 0: to be asked for */
    uint32_t first_asked; /* runs of that request: at most PS_MAX_PIECES */
    uint32_t asked_count;
    uint64_t bytes_missing;  /* of that request */
    uint8_t *frames_arrived; /* a bit a frame of the reply */
    uint32_t frame_capacity;
    bool done;
};

enum psi_ticket_kind { PSI_TICKET_PULL, PSI_TICKET_PUSH };

/* One call on its way. Guarded by the session's lock once it is linked in. */
struct psi_ticket {
    struct psi_ticket *next;
    struct ps_session *session;
    ps_ticket id;
    enum psi_ticket_kind kind;
    bool done;
    int pin_count; /* slices of the caller's memory that the transport holds, copies under way */
    uint64_t size_bytes;
    struct psi_share *shares; /* by rising peer */
    uint32_t share_count;
    /* pull */
    uint32_t shares_missing;
    uint64_t after_push; /* number of the youngest push before it: it must be decided first */
    /* push */
    struct ps_push_header header;
    uint32_t *touched;
    struct ps_buf position;
    uint8_t *copy; /* of the data where the caller may not keep it; NULL as a rule */
};

enum psi_peer_state {
    PSI_PEER_DOWN, /* no stream; one is opened when there is something to wait for */
    PSI_PEER_OPENING,
    PSI_PEER_UP,
    PSI_PEER_ENDING /* ended by us, closed has not come yet */
};

/* One ps task, as this session sees it. */
struct psi_peer {
    struct ps_session *session;
    uint32_t index;
    const char *address; /* of the cluster */
    struct ps_channel *control;
    struct ps_channel *data;
    struct ps_arena arena; /* of the replies; used by consume alone */
    /* guarded by the session's lock */
    enum psi_peer_state state;
    struct ps_stream *stream;
    int64_t retry_at_ns; /* DOWN: not before */
    int64_t backoff_ms;
    bool awaited;      /* something is, since heard_ns at least */
    int64_t heard_ns;  /* last sign of life, or when waiting for one began */
    int64_t active_ns; /* last message either way on this stream, or its opening */
    uint64_t unheard;  /* bytes sent on this stream since then or since the last reply */
    uint32_t silences; /* streams in a row that were ended without a reply */
    char reason[256];  /* why it is down, or was */
};

struct psi_progress {
    int64_t goal;
    int64_t started_ns;
    int64_t printed_ns;
    int64_t printed_step;
    double printed_examples;
    double loss, accuracy;
};

struct ps_session {
    /* set by the start, never changed */
    struct psi_settings settings;
    struct psi_link link;
    struct ps_rpc_client *rpc;
    struct psi_peer *peers;
    uint32_t peer_count;
    struct ps_header header;
    uint64_t process;
    uint64_t incarnation;
    struct ps_buf first_position; /* as the cluster had it at the start */

    /* of the calling thread alone */
    struct ps_var *vars;
    struct ps_optimizer *optimizers;
    struct ps_saver *savers;
    char *latest_checkpoint; /* as last found; owned */
    struct ps_device devices[PSI_MAX_DEVICE_SCOPES];
    int device_count;
    struct ps_buf next_position;
    struct psi_progress progress;
    int64_t first_pull_ns;
    int64_t inside_ns; /* in calls that move tensors, since the first pull */
    int64_t wait_ns;   /* of which: for credit or for a lost peer */
    struct ps_stats stats;
    struct ps_arena arena;

    /* guarded by lock */
    struct ps_mutex lock; /* PS_RANK_SESSION */
    struct ps_cond changed;
    bool failed;
    bool finishing;
    struct ps_error error;
    bool has_pusher;
    struct ps_pusher pusher;
    struct psi_ticket *tickets; /* by rising id */
    ps_ticket last_ticket;
    uint64_t last_pull_seq;
    int64_t step;      /* as last heard of the home ps task */
    int64_t pull_step; /* step of the last pull: what gradients are computed from */
    uint64_t staleness_sum, staleness_count, staleness_seq;
};

/* Records the first failure, prints it and wakes who waits; later ones are forgotten. Returns
 * err->code. The second form is for callers that hold the lock. */
enum ps_code psi_fail(struct ps_session *session, const struct ps_error *err);
enum ps_code psi_fail_locked(struct ps_session *session, const struct ps_error *err);

/* The peer that every push of this worker touches, and that keeps its position. */
static inline uint32_t psi_home(const struct ps_session *session)
{
    return (uint32_t)session->settings.task_index % session->peer_count;
}

/* Whether calls may do anything: false for NULL and after a failure. */
bool psi_usable(const struct ps_session *session);

#endif
