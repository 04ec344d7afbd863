/* One variable reached below the public interface: by unary calls of a channel of its own. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/bench_unary_priv.h"

#include <string.h>

#include "client/inspect.h"
#include "core/cluster.h"
#include "deploy/bench_meter_priv.h"
#include "proto/codec.h"
#include "proto/rpc.h"

enum { READ_BYTES = 4, DEADLINE_MS = 10000 };

/* The slice of a variable in a list of this one name, made by a single ps task. */
static enum ps_code take_target(const struct ps_inspect_catalog *catalog, const char *variable,
                                struct psi_bench_target *target, struct ps_error *err)
{
    if (catalog->variable_count == 0 || catalog->variables[0].slice_count == 0) {
        return ps_fail(err, PS_NOT_FOUND, "no variable '%s' on %s", variable, target->address);
    }
    target->handle = catalog->variables[0].slices[0].handle;
    target->size_bytes = catalog->variables[0].bytes;
    return PS_OK;
}

enum ps_code psi_bench_target_find(const char *address, const char *variable,
                                   struct psi_bench_target *target_out, struct ps_error *err)
{
    struct ps_cluster cluster = { 0 };
    struct ps_inspector *inspector = NULL;
    struct ps_inspect_catalog catalog = { 0 };
    enum ps_code rc = PS_OK;
    *target_out = (struct psi_bench_target){ .address = address };
    PS_TRY(done, rc, ps_cluster_add(&cluster, "ps", 0, address, err));
    PS_TRY(done, rc, ps_inspect_open(&cluster, DEADLINE_MS, &inspector, err));
    PS_TRY(done, rc, ps_inspect_list(inspector, variable, &catalog, err));
    PS_TRY(done, rc, take_target(&catalog, variable, target_out, err));
    target_out->header = ps_inspect_peer(inspector, 0)->hello.header;
done:
    ps_inspect_catalog_clean(&catalog);
    ps_inspect_close(inspector);
    ps_cluster_clean(&cluster);
    return rc;
}

enum ps_code psi_bench_unary_open(const struct psi_bench_target *target, pid_t server,
                                  struct psi_bench_unary *unary_out, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    *unary_out = (struct psi_bench_unary){ .target = *target, .server = server };
    ps_rpc_start();
    PS_TRY(fail, rc, ps_rpc_client_create(&unary_out->client, err));
    PS_TRY(fail, rc,
           ps_channel_create(unary_out->client, target->address, 0, &unary_out->channel, err));
    return PS_OK;
fail:
    psi_bench_unary_close(unary_out);
    return rc;
}

void psi_bench_unary_close(struct psi_bench_unary *unary)
{
    if (unary->target.address == NULL) { return; }
    ps_channel_destroy(unary->channel);
    if (unary->client != NULL) { ps_rpc_client_destroy(unary->client); }
    ps_arena_clean(&unary->arena);
    memset(unary, 0, sizeof *unary);
    ps_rpc_stop();
}

static enum ps_code check_answer(struct psi_bench_unary *unary, const struct ps_answer *answer,
                                 struct ps_error *err)
{
    struct ps_read_reply reply;
    float value = 0.0F;
    ps_arena_reset(&unary->arena);
    enum ps_code rc = ps_decode_read_reply(answer->message.head, &unary->arena, &reply, err);
    if (rc != PS_OK) { return rc; }
    const struct ps_payload *payload = answer->message.payload;
    if (payload == NULL || payload->size != READ_BYTES) {
        return ps_fail(err, PS_INTERNAL, "%d bytes were asked for, %zu came", READ_BYTES,
                       payload == NULL ? (size_t)0 : payload->size);
    }
    struct ps_cursor cursor = ps_cursor_at(payload, 0);
    ps_cursor_copy(&cursor, &value, sizeof value);
    return PS_OK;
}

static enum ps_code run(void *ctx, double *seconds_out, struct ps_error *err)
{
    struct psi_bench_unary *unary = ctx;
    const struct ps_read_request request = { .header = unary->target.header,
                                             .handle = unary->target.handle,
                                             .size = READ_BYTES };
    struct ps_outgoing out = { 0 };
    struct ps_answer answer = { 0 };
    double start = psi_bench_now();
    enum ps_code rc = ps_encode_read_request(&request, &out.head, err);
    if (rc != PS_OK) { return rc; }
    rc = ps_channel_call(unary->channel, PS_METHOD_READ, &out, DEADLINE_MS, false, &answer, err);
    if (rc != PS_OK) { return rc; }
    rc = check_answer(unary, &answer, err);
    ps_answer_clean(&answer);
    *seconds_out = psi_bench_now() - start;
    return rc;
}

struct psi_bench_op psi_bench_unary_op(struct psi_bench_unary *unary, const char *name)
{
    return (struct psi_bench_op){
        .name = name, .size_bytes = READ_BYTES, .server = unary->server, .ctx = unary, .run = run
    };
}
