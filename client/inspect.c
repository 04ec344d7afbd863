/* Looking at a running cluster from outside: who is there, and what each ps task says of itself. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/inspect.h"

#include <string.h>

#include "client/inspect_priv.h"
#include "core/alloc.h"
#include "core/cluster.h"
#include "proto/codec.h"
#include "proto/rpc.h"

/* Tools read one piece at a time, so a window of one chunk is enough. */
enum { LOOKAHEAD_BYTES = 2 * PS_CHUNK_BYTES };

static enum ps_code fail_memory(struct ps_error *err)
{
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to inspect the cluster");
}

static enum ps_code add_peer(struct ps_inspector *inspector, const struct ps_task *task,
                             struct ps_error *err)
{
    int i = inspector->peer_count;
    inspector->addresses[i] = ps_strdup(task->address);
    if (inspector->addresses[i] == NULL) { return fail_memory(err); }
    inspector->peers[i] = (struct ps_inspect_peer){ .index = task->index,
                                                    .address = inspector->addresses[i] };
    enum ps_code rc = ps_channel_create(inspector->client, task->address, LOOKAHEAD_BYTES,
                                        &inspector->channels[i], err);
    inspector->peer_count++;
    return rc;
}

enum ps_code ps_inspect_open(const struct ps_cluster *cluster, int64_t deadline_ms,
                             struct ps_inspector **inspector_out, struct ps_error *err)
{
    const struct ps_job *job = ps_cluster_find_job(cluster, "ps");
    size_t count = job == NULL ? 0 : (size_t)job->task_count;
    enum ps_code rc;
    *inspector_out = NULL;
    if (count == 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "the cluster (from %s) has no ps task",
                       cluster->source);
    }
    struct ps_inspector *inspector = ps_alloc_zero(1, sizeof *inspector);
    if (inspector == NULL) { return fail_memory(err); }
    ps_rpc_start();
    inspector->deadline_ms = deadline_ms;
    inspector->peers = ps_alloc_zero(count, sizeof *inspector->peers);
    inspector->channels = ps_alloc_zero(count, sizeof(struct ps_channel *));
    inspector->addresses = ps_alloc_zero(count, sizeof(char *));
    inspector->arenas = ps_alloc_zero(count, sizeof *inspector->arenas);
    if (inspector->peers == NULL || inspector->channels == NULL || inspector->addresses == NULL ||
        inspector->arenas == NULL) {
        rc = fail_memory(err);
        goto fail;
    }
    PS_TRY(fail, rc, ps_rpc_client_create(&inspector->client, err));
    for (size_t i = 0; i < count; i++) {
        PS_TRY(fail, rc, add_peer(inspector, &job->tasks[i], err));
    }
    *inspector_out = inspector;
    return PS_OK;
fail:
    ps_inspect_close(inspector);
    return rc;
}

void ps_inspect_close(struct ps_inspector *inspector)
{
    if (inspector == NULL) { return; }
    for (int i = 0; i < inspector->peer_count; i++) {
        ps_channel_destroy(inspector->channels[i]);
        ps_free(inspector->addresses[i]);
        ps_arena_clean(&inspector->arenas[i]);
    }
    if (inspector->client != NULL) { ps_rpc_client_destroy(inspector->client); }
    ps_free(inspector->peers);
    ps_free(inspector->channels);
    ps_free(inspector->addresses);
    ps_free(inspector->arenas);
    ps_free(inspector);
    ps_rpc_stop();
}

int ps_inspect_peer_count(const struct ps_inspector *inspector)
{
    return inspector->peer_count;
}

const struct ps_inspect_peer *ps_inspect_peer(const struct ps_inspector *inspector, int position)
{
    return &inspector->peers[position];
}

enum ps_code psi_inspect_find(const struct ps_inspector *inspector, uint32_t task,
                              int *position_out, struct ps_error *err)
{
    *position_out = -1;
    for (int i = 0; i < inspector->peer_count; i++) {
        const struct ps_inspect_peer *peer = &inspector->peers[i];
        if ((uint32_t)peer->index != task) { continue; }
        *position_out = i;
        if (peer->error.code == PS_OK) { return PS_OK; }
        return ps_fail(err, PS_UNAVAILABLE, "%s", peer->error.message);
    }
    return ps_fail(err, PS_UNAVAILABLE, "/job:ps/task:%u is not in the cluster description", task);
}

/* The first failure of several is the one to return. */
static void keep_first(struct ps_error *first, const struct ps_error *next)
{
    if (first->code == PS_OK) { *first = *next; }
}

static enum ps_code give_error(const struct ps_error *from, struct ps_error *err)
{
    if (from->code != PS_OK && err != NULL) { *err = *from; }
    return from->code;
}

static enum ps_code say_hello(struct ps_inspector *inspector, int i, struct ps_error *err)
{
    const struct ps_hello_request hello = {
        .protocol = PS_PROTOCOL, .version = PS_VERSION, .job_name = "admin", .task_index = -1
    };
    struct ps_inspect_peer *peer = &inspector->peers[i];
    struct ps_outgoing request = { 0 };
    struct ps_answer answer = { 0 };
    enum ps_code rc;
    ps_arena_reset(&inspector->arenas[i]);
    peer->hello = (struct ps_hello_reply){ 0 };
    PS_TRY(unsent, rc, ps_encode_hello_request(&hello, &request.head, err));
    PS_TRY(done, rc,
           ps_channel_call(inspector->channels[i], PS_METHOD_HELLO, &request,
                           inspector->deadline_ms, false, &answer, err));
    rc = ps_decode_hello_reply(answer.message.head, &inspector->arenas[i], &peer->hello, err);
    if (rc == PS_OK && peer->hello.protocol != PS_PROTOCOL) {
        rc = ps_fail(err, PS_UNIMPLEMENTED,
                     "version mismatch: /job:ps/task:%d at %s is paramd %s (protocol %u), this is "
                     "paramd %s (protocol %d); install the same version on both",
                     peer->index, peer->address, peer->hello.version, peer->hello.protocol,
                     PS_VERSION, PS_PROTOCOL);
    } else if (rc == PS_OK && peer->hello.task_index != (uint32_t)peer->index) {
        rc = ps_fail(err, PS_FAILED_PRECONDITION,
                     "%s is /job:ps/task:%u, but the cluster description calls it "
                     "/job:ps/task:%d; are its addresses mixed up?",
                     peer->address, peer->hello.task_index, peer->index);
    }
done:
    ps_answer_clean(&answer);
    return rc;
unsent:
    ps_outgoing_clean(&request);
    return rc;
}

/* A ps that still waits for ps task 0 has no job yet; one with another job is not of this cluster.
 */
static void check_job(struct ps_inspect_peer *peer, const struct ps_inspect_peer *first)
{
    if (peer == first || peer->error.code != PS_OK || first->error.code != PS_OK) { return; }
    if (peer->hello.state == PS_TASK_JOINING) {
        ps_fail(&peer->error, PS_UNAVAILABLE,
                "/job:ps/task:%d at %s has started, but has not joined /job:ps/task:%d yet",
                peer->index, peer->address, first->index);
    } else if (peer->hello.header.job != first->hello.header.job) {
        ps_fail(&peer->error, PS_FAILED_PRECONDITION,
                "/job:ps/task:%d at %s belongs to another job than /job:ps/task:%d at %s",
                peer->index, peer->address, first->index, first->address);
    }
}

enum ps_code ps_inspect_hello(struct ps_inspector *inspector, struct ps_error *err)
{
    struct ps_error first = PS_ERROR_INIT;
    for (int i = 0; i < inspector->peer_count; i++) {
        struct ps_inspect_peer *peer = &inspector->peers[i];
        peer->error = (struct ps_error)PS_ERROR_INIT;
        if (say_hello(inspector, i, &peer->error) != PS_OK) {
            peer->error.task = peer->index;
            peer->hello = (struct ps_hello_reply){ 0 };
        }
        check_job(peer, &inspector->peers[0]);
        keep_first(&first, &peer->error);
    }
    return give_error(&first, err);
}

static enum ps_code ask_status(struct ps_inspector *inspector, int i, struct ps_arena *arena,
                               struct ps_status_reply *reply, struct ps_error *err)
{
    const struct ps_status_request message = { inspector->peers[i].hello.header };
    struct ps_outgoing request = { 0 };
    struct ps_answer answer = { 0 };
    enum ps_code rc = ps_encode_status_request(&message, &request.head, err);
    if (rc != PS_OK) {
        ps_outgoing_clean(&request);
        return rc;
    }
    rc = ps_channel_call(inspector->channels[i], PS_METHOD_STATUS, &request, inspector->deadline_ms,
                         false, &answer, err);
    if (rc == PS_OK) { rc = ps_decode_status_reply(answer.message.head, arena, reply, err); }
    ps_answer_clean(&answer);
    return rc;
}

enum ps_code ps_inspect_status(struct ps_inspector *inspector, struct ps_inspect_status *status_out,
                               struct ps_error *err)
{
    struct ps_error first = PS_ERROR_INIT;
    size_t count = (size_t)inspector->peer_count;
    *status_out = (struct ps_inspect_status){ .count = inspector->peer_count };
    status_out->replies = ps_alloc_zero(count, sizeof *status_out->replies);
    status_out->arenas = ps_alloc_zero(count, sizeof *status_out->arenas);
    if (status_out->replies == NULL || status_out->arenas == NULL) {
        ps_inspect_status_clean(status_out);
        return fail_memory(err);
    }
    enum ps_code greeted = ps_inspect_hello(inspector, &first);
    (void)greeted; /* it is first.code */
    for (int i = 0; i < inspector->peer_count; i++) {
        struct ps_inspect_peer *peer = &inspector->peers[i];
        if (peer->error.code != PS_OK) { continue; }
        if (ask_status(inspector, i, &status_out->arenas[i], &status_out->replies[i],
                       &peer->error) != PS_OK) {
            peer->error.task = peer->index;
            keep_first(&first, &peer->error);
        }
    }
    return give_error(&first, err);
}

void ps_inspect_status_clean(struct ps_inspect_status *status)
{
    for (int i = 0; status->arenas != NULL && i < status->count; i++) {
        ps_arena_clean(&status->arenas[i]);
    }
    ps_free(status->arenas);
    ps_free(status->replies);
    *status = (struct ps_inspect_status){ 0 };
}

enum ps_code ps_inspect_health(const char *address, const char *service, int64_t deadline_ms,
                               bool *serving_out, struct ps_error *err)
{
    struct ps_rpc_client *client = NULL;
    struct ps_channel *channel = NULL;
    enum ps_code rc;
    *serving_out = false;
    ps_rpc_start();
    PS_TRY(done, rc, ps_rpc_client_create(&client, err));
    PS_TRY(done, rc, ps_channel_create(client, address, LOOKAHEAD_BYTES, &channel, err));
    rc = ps_channel_health(channel, service, deadline_ms, serving_out, err);
done:
    ps_channel_destroy(channel);
    if (client != NULL) { ps_rpc_client_destroy(client); }
    ps_rpc_stop();
    return rc;
}
