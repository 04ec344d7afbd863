/* Messages of control: Hello, Initialize, Status, Read. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "proto/codec_priv.h"

/* ---- Hello: read without a look at protocol, so that the caller can explain a mismatch ---- */

static void hello_request_to_wire(struct psi_codec_out *out, const struct ps_hello_request *message,
                                  Paramd__HelloRequest *wire)
{
    wire->protocol = message->protocol;
    wire->version = PSI_TEXT(message->version);
    wire->job_name = PSI_TEXT(message->job_name);
    wire->task_index = message->task_index;
    wire->header = psi_codec_header_to_wire(out, &message->header);
    wire->address = PSI_TEXT(message->address);
}

static void hello_request_from_wire(struct psi_codec_in *in, const Paramd__HelloRequest *wire,
                                    struct ps_hello_request *message)
{
    message->protocol = wire->protocol;
    message->version = psi_codec_label(in, "version", wire->version);
    message->job_name = psi_codec_label(in, "job_name", wire->job_name);
    message->task_index = wire->task_index;
    message->header = psi_codec_header(wire->header);
    message->address = psi_codec_label(in, "address", wire->address);
    if (wire->task_index < -1) {
        psi_codec_fault(in, "task_index", "%" PRId32 " is no task; -1 stands for none",
                        wire->task_index);
    }
}

PSI_CODEC(hello_request, HelloRequest, PS_MAX_HEAD_BYTES)

static void hello_reply_to_wire(struct psi_codec_out *out, const struct ps_hello_reply *message,
                                Paramd__HelloReply *wire)
{
    wire->protocol = message->protocol;
    wire->version = PSI_TEXT(message->version);
    wire->header = psi_codec_header_to_wire(out, &message->header);
    wire->task_index = message->task_index;
    wire->ps_count = message->ps_count;
    wire->worker_count = message->worker_count;
    wire->state = (uint32_t)message->state;
    wire->boot = message->boot;
    wire->chunk_bytes = message->chunk_bytes;
}

static void hello_reply_from_wire(struct psi_codec_in *in, const Paramd__HelloReply *wire,
                                  struct ps_hello_reply *message)
{
    message->protocol = wire->protocol;
    message->version = psi_codec_label(in, "version", wire->version);
    message->header = psi_codec_header(wire->header);
    message->task_index = psi_codec_range(in, "task_index", wire->task_index, 0, PS_MAX_TASKS - 1);
    message->ps_count = psi_codec_range(in, "ps_count", wire->ps_count, 0, PS_MAX_TASKS);
    message->worker_count = wire->worker_count;
    message->state = (enum ps_task_state)psi_codec_range(in, "state", wire->state, PS_TASK_JOINING,
                                                         PS_TASK_ENDING);
    message->boot = wire->boot;
    message->chunk_bytes = wire->chunk_bytes;
}

PSI_CODEC(hello_reply, HelloReply, PS_MAX_HEAD_BYTES)

/* ---- Initialize ---- */

static void initialize_request_to_wire(struct psi_codec_out *out,
                                       const struct ps_initialize_request *message,
                                       Paramd__InitializeRequest *wire)
{
    wire->header = psi_codec_header_to_wire(out, &message->header);
    wire->n_handles = message->handle_count;
    wire->handles = PSI_UNCONST(uint32_t *, message->handles);
    wire->force = message->force;
}

static void initialize_request_from_wire(struct psi_codec_in *in,
                                         const Paramd__InitializeRequest *wire,
                                         struct ps_initialize_request *message)
{
    message->header = psi_codec_header(wire->header);
    message->handles = wire->handles;
    message->handle_count = psi_codec_count(in, "handles", "handles", wire->n_handles,
                                            PS_MAX_LISTED);
    message->force = wire->force;
}

PSI_CODEC(initialize_request, InitializeRequest, PS_MAX_HEAD_BYTES)

static void initialize_reply_to_wire(struct psi_codec_out *out,
                                     const struct ps_initialize_reply *message,
                                     Paramd__InitializeReply *wire)
{
    (void)out;
    wire->initialized_count = message->initialized_count;
}

static void initialize_reply_from_wire(struct psi_codec_in *in, const Paramd__InitializeReply *wire,
                                       struct ps_initialize_reply *message)
{
    (void)in;
    message->initialized_count = wire->initialized_count;
}

PSI_CODEC(initialize_reply, InitializeReply, PS_MAX_HEAD_BYTES)

/* ---- Status ---- */

static void status_request_to_wire(struct psi_codec_out *out,
                                   const struct ps_status_request *message,
                                   Paramd__StatusRequest *wire)
{
    wire->header = psi_codec_header_to_wire(out, &message->header);
}

static void status_request_from_wire(struct psi_codec_in *in, const Paramd__StatusRequest *wire,
                                     struct ps_status_request *message)
{
    (void)in;
    message->header = psi_codec_header(wire->header);
}

PSI_CODEC(status_request, StatusRequest, PS_MAX_HEAD_BYTES)

/* Numbers that go through as they are. */
#define STATUS_NUMBERS(X) \
    X(task_index)         \
    X(uptime_ms)          \
    X(step)               \
    X(variable_count)     \
    X(variable_bytes)     \
    X(slot_bytes)         \
    X(staged_bytes)       \
    X(staged_limit_bytes) \
    X(pool_bytes)         \
    X(pull_count)         \
    X(push_count)         \
    X(refused_count)      \
    X(dropped_count)      \
    X(duplicate_count)    \
    X(received_bytes)     \
    X(sent_bytes)         \
    X(resident_bytes)

#define WORKER_NUMBERS(X) \
    X(index)              \
    X(incarnation)        \
    X(committed)          \
    X(open_count)         \
    X(staged_bytes)       \
    X(silent_ms)

static void worker_to_wire(const struct ps_worker_info *info, Paramd__Worker *wire)
{
    paramd__worker__init(wire);
#define COPY(field) wire->field = info->field;
    WORKER_NUMBERS(COPY)
#undef COPY
    wire->state = (uint32_t)info->state;
}

static void worker_from_wire(struct psi_codec_in *in, const Paramd__Worker *wire,
                             struct ps_worker_info *info)
{
#define COPY(field) info->field = wire->field;
    WORKER_NUMBERS(COPY)
#undef COPY
    info->state = (enum ps_worker_state)psi_codec_range(in, "state", wire->state, PS_WORKER_ACTIVE,
                                                        PS_WORKER_FINISHED);
}

static void status_reply_to_wire(struct psi_codec_out *out, const struct ps_status_reply *message,
                                 Paramd__StatusReply *wire)
{
    size_t count = message->worker_count;
    Paramd__Worker *workers = psi_codec_out_take(out, count, sizeof *workers);
    wire->n_workers = count;
    wire->workers = psi_codec_out_take(out, count, sizeof *wire->workers);
    for (size_t i = 0; i < count && !out->failed; i++) {
        worker_to_wire(&message->workers[i], &workers[i]);
        wire->workers[i] = &workers[i];
    }
#define COPY(field) wire->field = message->field;
    STATUS_NUMBERS(COPY)
#undef COPY
    wire->header = psi_codec_header_to_wire(out, &message->header);
    wire->state = (uint32_t)message->state;
    wire->version = PSI_TEXT(message->version);
    wire->n_staleness = PS_STALENESS_BUCKETS;
    wire->staleness = PSI_UNCONST(uint64_t *, message->staleness);
}

static void status_workers_from_wire(struct psi_codec_in *in, const Paramd__StatusReply *wire,
                                     struct ps_status_reply *message)
{
    size_t count = psi_codec_count(in, "workers", "workers", wire->n_workers, PS_MAX_LISTED);
    struct ps_worker_info *infos = psi_codec_array(in, count, sizeof *infos);
    in->path = "StatusReply.workers";
    for (size_t i = 0; i < count && in->rc == PS_OK; i++) {
        in->index = (long)i;
        worker_from_wire(in, wire->workers[i], &infos[i]);
    }
    message->workers = infos;
    message->worker_count = count;
}

static void status_reply_from_wire(struct psi_codec_in *in, const Paramd__StatusReply *wire,
                                   struct ps_status_reply *message)
{
#define COPY(field) message->field = wire->field;
    STATUS_NUMBERS(COPY)
#undef COPY
    message->header = psi_codec_header(wire->header);
    message->state = (enum ps_task_state)psi_codec_range(in, "state", wire->state, PS_TASK_JOINING,
                                                         PS_TASK_ENDING);
    message->version = psi_codec_label(in, "version", wire->version);
    size_t bucket_count = psi_codec_count(in, "staleness", "buckets", wire->n_staleness,
                                          PS_STALENESS_BUCKETS);
    for (size_t i = 0; i < bucket_count; i++) { message->staleness[i] = wire->staleness[i]; }
    status_workers_from_wire(in, wire, message);
}

PSI_CODEC(status_reply, StatusReply, PS_MAX_LONG_HEAD_BYTES)

/* ---- Read ---- */

static void read_request_to_wire(struct psi_codec_out *out, const struct ps_read_request *message,
                                 Paramd__ReadRequest *wire)
{
    wire->header = psi_codec_header_to_wire(out, &message->header);
    wire->handle = message->handle;
    wire->offset = message->offset;
    wire->size = message->size;
    wire->slot = PSI_TEXT(message->slot);
}

static void read_request_from_wire(struct psi_codec_in *in, const Paramd__ReadRequest *wire,
                                   struct ps_read_request *message)
{
    message->header = psi_codec_header(wire->header);
    message->handle = wire->handle;
    message->offset = wire->offset;
    message->size = wire->size;
    message->slot = psi_codec_label(in, "slot", wire->slot);
    if (wire->size > PS_CHUNK_BYTES) {
        psi_codec_fault(in, "size", "%" PRIu64 " bytes, at most %d at once", wire->size,
                        PS_CHUNK_BYTES);
    }
    psi_codec_extent(in, "offset", wire->offset, wire->size);
}

PSI_CODEC(read_request, ReadRequest, PS_MAX_HEAD_BYTES)

static void read_reply_to_wire(struct psi_codec_out *out, const struct ps_read_reply *message,
                               Paramd__ReadReply *wire)
{
    (void)out;
    wire->step = message->step;
}

static void read_reply_from_wire(struct psi_codec_in *in, const Paramd__ReadReply *wire,
                                 struct ps_read_reply *message)
{
    (void)in;
    message->step = wire->step;
}

PSI_CODEC(read_reply, ReadReply, PS_MAX_HEAD_BYTES)
