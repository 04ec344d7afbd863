/* A ps task: everything behind one port; several can run in one process. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/ps_task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/cluster.h"
#include "core/log.h"
#include "proto/rpc.h"
#include "server/checkpointer.h"
#include "server/control.h"
#include "server/data_stream.h"
#include "server/directory.h"
#include "server/join.h"
#include "server/optimizer_state.h"
#include "server/push.h"
#include "server/shard_loader.h"
#include "server/store.h"
#include "server/workers.h"

enum {
    ORPHAN_TIMEOUT_MS = 600000,
    STAGED_WORKERS = 4 /* shares of the staging memory where nobody says how many workers come */
};

struct ps_server_task {
    struct ps_service service;
    struct ps_rpc_server *server;
    struct ps_join *join; /* NULL on ps task 0 */
    int64_t orphan_timeout_ms;
    bool keep_alive;
    struct ps_mutex lock; /* PS_RANK_POOL: the end */
    struct ps_cond ended;
    bool has_ended;
    enum ps_task_end end;
};

/* ---- Limits ---- */

/* The memory of the machine, or of the cgroup if that is less. */
static uint64_t available_bytes(void)
{
    static const char *const limits[] = { "/sys/fs/cgroup/memory.max",
                                          "/sys/fs/cgroup/memory/memory.limit_in_bytes" };
    uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        FILE *file = fopen(limits[i], "r");
        unsigned long long limit = 0;
        if (file == NULL) { continue; }
        if (fscanf(file, "%llu", &limit) == 1 && limit > 0 && limit < bytes) { bytes = limit; }
        fclose(file);
    }
    return bytes;
}

static uint64_t random_number(void)
{
    uint64_t number = 0;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number) {
        number = (uint64_t)ps_clock_now_ns(ps_clock_monotonic()) ^ (uint64_t)getpid() << 40;
    }
    return number | 1u;
}

/* ---- The end ---- */

static void end_with(struct ps_server_task *task, enum ps_task_end end)
{
    ps_mutex_lock(&task->lock);
    if (!task->has_ended) {
        task->has_ended = true;
        task->end = end;
    }
    ps_cond_broadcast(&task->ended);
    ps_mutex_unlock(&task->lock);
}

static void complete(void *ctx)
{
    struct ps_server_task *task = ctx;
    if (task->keep_alive) { return; }
    atomic_store(&task->service.state, PS_TASK_ENDING);
    end_with(task, PS_TASK_END_COMPLETE);
}

void ps_task_stop(struct ps_server_task *task)
{
    end_with(task, PS_TASK_END_STOPPED);
}

static bool is_orphaned(struct ps_server_task *task)
{
    struct ps_service *service = &task->service;
    int64_t silent_ms = ps_clock_now_ms(ps_clock_monotonic()) - atomic_load(&service->heard_ms);
    return atomic_load(&service->open_streams) == 0 && silent_ms >= task->orphan_timeout_ms;
}

bool ps_task_wait(struct ps_server_task *task, int64_t timeout_ms, enum ps_task_end *end_out)
{
    int64_t deadline_ns = ps_clock_now_ns(ps_clock_monotonic()) + timeout_ms * 1000000;
    if (!task->keep_alive && is_orphaned(task)) { end_with(task, PS_TASK_END_ORPHANED); }
    ps_mutex_lock(&task->lock);
    while (!task->has_ended && ps_cond_wait_until(&task->ended, &task->lock, deadline_ns)) {}
    bool ended = task->has_ended;
    *end_out = task->end;
    ps_mutex_unlock(&task->lock);
    return ended;
}

/* ---- Handlers ---- */

static enum ps_code call(void *ctx, enum ps_method method, const struct ps_incoming *request,
                         int64_t remaining_ms, struct ps_outgoing *reply, struct ps_error *err)
{
    struct ps_server_task *task = ctx;
    return ps_control_call(&task->service, method, request, remaining_ms, reply, err);
}

static const struct ps_stream_events *open_stream(void *ctx, struct ps_stream *stream,
                                                  void **stream_ctx_out, struct ps_error *err)
{
    struct ps_server_task *task = ctx;
    return ps_data_stream_open(&task->service, stream, stream_ctx_out, err);
}

static bool healthy(void *ctx, const char *service, bool *known_out)
{
    struct ps_server_task *task = ctx;
    bool live = strcmp(service, "paramd.live") == 0;
    *known_out = live || service[0] == '\0' || strcmp(service, "paramd.ready") == 0 ||
                 strcmp(service, "paramd.ParameterServer") == 0;
    return live || atomic_load(&task->service.state) == PS_TASK_SERVING;
}

/* ---- Create ---- */

static enum ps_code make_tables(struct ps_server_task *task, const struct ps_task_options *options,
                                struct ps_error *err)
{
    struct ps_service *service = &task->service;
    uint64_t memory = options->memory_limit_bytes;
    if (memory == 0) { memory = available_bytes() / 2; }
    service->staged_limit_bytes = options->staged_limit_bytes;
    if (service->staged_limit_bytes == 0) { service->staged_limit_bytes = memory / 4; }
    uint32_t sharers = service->worker_count > 0 ? service->worker_count : STAGED_WORKERS;
    struct ps_store_options store = { service->task_index, memory, service->staged_limit_bytes };

    service->store = ps_store_create(&store);
    service->optimizers = ps_optimizer_state_create();
    service->workers = ps_workers_create(service->staged_limit_bytes / sharers,
                                         ps_push_frame_table(service));
    const struct ps_checkpointer_options checkpoints = { options->cluster, options->files,
                                                         options->checkpoint_root };
    enum ps_code rc = ps_checkpointer_create(service, &checkpoints, &service->checkpointer, err);
    if (rc != PS_OK) { return rc; }
    bool complete = service->store != NULL && service->optimizers != NULL &&
                    service->workers != NULL;
    if (service->task_index == 0) {
        service->directory = ps_directory_create(service->ps_count);
        complete = complete && service->directory != NULL;
    }
    return complete ? PS_OK : ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a ps task");
}

/* Loopback where the cluster is on this machine, every interface where it is not. */
static void choose_address(const struct ps_cluster *cluster, const char *own, char *address,
                           size_t size)
{
    bool local = true;
    const struct ps_job *job = ps_cluster_find_job(cluster, "ps");
    for (int i = 0; i < job->task_count; i++) {
        const char *at = job->tasks[i].address;
        local = local && (strncmp(at, "127.", 4) == 0 || strncmp(at, "localhost:", 10) == 0 ||
                          strncmp(at, "[::1]:", 6) == 0);
    }
    const char *port = strrchr(own, ':') + 1;
    snprintf(address, size, "%s:%s", local ? "127.0.0.1" : "0.0.0.0", port);
}

static enum ps_code serve(struct ps_server_task *task, const struct ps_task_options *options,
                          struct ps_error *err)
{
    const char *own;
    char address[PS_ADDRESS_BYTES];
    enum ps_code rc = ps_cluster_address(options->cluster, "ps", (int)task->service.task_index,
                                         &own, err);
    if (rc != PS_OK) { return rc; }
    choose_address(options->cluster, own, address, sizeof address);
    struct ps_rpc_server_options server = {
        .address = options->bind_address != NULL ? options->bind_address : address,
        .thread_count = options->thread_count,
        .handlers = { task, call, open_stream, healthy },
    };
    return ps_rpc_server_create(&server, &task->server, err);
}

/* Where a task that took any free port is to be found: the host that the cluster names, and that
 * port. "" for one whose port the cluster knows. */
static void find_own_address(const struct ps_server_task *task,
                             const struct ps_task_options *options, char *address, size_t size)
{
    const char *own = "", *bound = options->bind_address != NULL ? options->bind_address : "";
    const char *port = strrchr(bound, ':');
    address[0] = '\0';
    if (port == NULL || strcmp(port, ":0") != 0) { return; }
    if (ps_cluster_address(options->cluster, "ps", (int)task->service.task_index, &own, NULL) ==
        PS_OK) {
        int host_size = (int)(strrchr(own, ':') - own);
        snprintf(address, size, "%.*s:%d", host_size, own, ps_rpc_server_port(task->server));
    }
}

static enum ps_code join_job(struct ps_server_task *task, const struct ps_task_options *options,
                             struct ps_error *err)
{
    struct ps_service *service = &task->service;
    if (service->task_index == 0) {
        atomic_store(&service->generation, 1);
        atomic_store(&service->state, PS_TASK_SERVING);
        atomic_store(&service->job, random_number());
        return PS_OK;
    }
    const char *first;
    char own[PS_ADDRESS_BYTES];
    enum ps_code rc = ps_cluster_address(options->cluster, "ps", 0, &first, err);
    if (rc != PS_OK) { return rc; }
    find_own_address(task, options, own, sizeof own);
    return ps_join_start(service, first, own, &task->join, err);
}

static enum ps_code check_role(const struct ps_cluster *cluster, struct ps_error *err)
{
    if (strcmp(cluster->job_name, "ps") == 0) { return PS_OK; }
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "this process is a ps task, but its job is '%s'. Set --job_name=ps, or start "
                   "workers with: paramd worker",
                   cluster->job_name);
}

enum ps_code ps_task_create(const struct ps_task_options *options, struct ps_server_task **task_out,
                            struct ps_error *err)
{
    *task_out = NULL;
    const struct ps_cluster *cluster = options->cluster;
    enum ps_code rc = check_role(cluster, err);
    if (rc != PS_OK) { return rc; }
    struct ps_server_task *task = ps_alloc_zero(1, sizeof *task);
    if (task == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a ps task"); }
    ps_rpc_start();
    ps_mutex_init(&task->lock, "task end", PS_RANK_POOL);
    ps_cond_init(&task->ended);
    task->keep_alive = options->keep_alive;
    task->orphan_timeout_ms = options->orphan_timeout_ms > 0 ? options->orphan_timeout_ms
                                                             : ORPHAN_TIMEOUT_MS;

    struct ps_service *service = &task->service;
    ps_mutex_init(&service->claim_lock, "step claim", PS_RANK_STEP);
    service->task_index = (uint32_t)cluster->task_index;
    service->ps_count = (uint32_t)ps_cluster_task_count(cluster, "ps");
    service->worker_count = options->worker_count > 0 ? (uint32_t)options->worker_count
                                                      : (uint32_t)ps_cluster_worker_count(cluster);
    service->boot = random_number();
    service->started_ms = ps_clock_now_ms(ps_clock_monotonic());
    service->complete = complete;
    service->complete_ctx = task;
    atomic_store(&service->heard_ms, service->started_ms);
    PS_TRY(fail, rc, make_tables(task, options, err));
    PS_TRY(fail, rc, serve(task, options, err));
    PS_TRY(fail, rc, join_job(task, options, err));
    *task_out = task;
    return PS_OK;
fail:
    ps_task_destroy(task, 0);
    return rc;
}

int ps_task_port(const struct ps_server_task *task)
{
    return ps_rpc_server_port(task->server);
}

const char *ps_task_summary(struct ps_server_task *task, char *text, unsigned long size)
{
    static const char *const ends[] = { [PS_TASK_END_COMPLETE] = "job complete",
                                        [PS_TASK_END_STOPPED] = "stopped",
                                        [PS_TASK_END_ORPHANED] = "left alone" };
    const struct ps_service *service = &task->service;
    const struct ps_counters *counters = &service->counters;
    ps_mutex_lock(&task->lock);
    enum ps_task_end end = task->end;
    ps_mutex_unlock(&task->lock);
    snprintf(
        text, size,
        "%s at step %" PRId64 "; served %" PRIu64 " pulls and %" PRIu64 " pushes, refused %" PRIu64,
        ends[end], (int64_t)atomic_load(&service->step), (uint64_t)atomic_load(&counters->pulls),
        (uint64_t)atomic_load(&counters->pushes), (uint64_t)atomic_load(&counters->refused));
    return text;
}

void ps_task_destroy(struct ps_server_task *task, int64_t grace_ms)
{
    if (task == NULL) { return; }
    ps_checkpointer_stop(task->service.checkpointer);
    ps_join_stop(task->join);
    ps_rpc_server_destroy(task->server, grace_ms);
    ps_shard_restore_forget(task->service.checkpointer);
    ps_checkpointer_destroy(task->service.checkpointer);
    ps_workers_destroy(task->service.workers);
    ps_directory_destroy(task->service.directory);
    ps_optimizer_state_destroy(task->service.optimizers);
    ps_store_destroy(task->service.store);
    ps_mutex_clean(&task->service.claim_lock);
    ps_cond_clean(&task->ended);
    ps_mutex_clean(&task->lock);
    ps_free(task);
    ps_rpc_stop();
}
