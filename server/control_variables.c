/* Unary methods about variables: declared, created, initialized, listed, read. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "core/alloc.h"
#include "core/log.h"
#include "proto/definition.h"
#include "server/control_priv.h"
#include "server/directory.h"
#include "server/store.h"
#include "server/variable.h"

enum ps_code psi_control_declare(struct psi_call *call, struct ps_error *err)
{
    struct ps_service *service = call->service;
    struct ps_declare_request request;
    struct ps_declare_reply reply = { 0 };
    enum ps_code rc;
    PS_TRY(done, rc, ps_decode_declare_request(call->request, &call->arena, &request, err));
    PS_TRY(done, rc, ps_service_admit(service, &request.header, err));
    if (service->directory == NULL) {
        return ps_fail(err, PS_FAILED_PRECONDITION, "ps/%" PRIu32 " places no variables: ask ps/0",
                       service->task_index);
    }
    PS_TRY(done, rc, ps_directory_declare(service->directory, &request, &reply, err));
    rc = ps_encode_declare_reply(&reply, &call->out->head, err);
done:
    return rc;
}

static void log_created(const struct ps_create_request *request)
{
    char text[PS_DEFINITION_TEXT_BYTES];
    const struct ps_rows *rows = &request->slices[request->slice_index].rows;
    ps_definition_format(&request->definition, text, sizeof text);
    if (request->slice_count == 1) {
        ps_log(PS_LOG_INFO, "store", "created '%s' %s", request->definition.name, text);
    } else {
        ps_log(PS_LOG_INFO, "store", "created rows %" PRId64 " to %" PRId64 " of '%s' %s",
               rows->start, rows->start + rows->count, request->definition.name, text);
    }
}

enum ps_code psi_control_create(struct psi_call *call, struct ps_error *err)
{
    struct ps_service *service = call->service;
    struct ps_create_request request;
    struct ps_create_reply reply = { 0 };
    struct ps_variable *variable;
    enum ps_code rc;
    PS_TRY(done, rc, ps_decode_create_request(call->request, &call->arena, &request, err));
    PS_TRY(done, rc, ps_service_admit(service, &request.header, err));
    if (request.slices[request.slice_index].task != service->task_index) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "slice %" PRIu32 " of '%s' lives on ps/%" PRIu32 ", not here on ps/%" PRIu32,
                       request.slice_index, request.definition.name,
                       request.slices[request.slice_index].task, service->task_index);
    }
    PS_TRY(done, rc,
           ps_store_create_variable(service->store, &request, &variable, &reply.created, err));
    if (reply.created) { log_created(&request); }
    reply.handle = variable->handle;
    reply.initialized = ps_variable_state(variable).initialized;
    rc = ps_encode_create_reply(&reply, &call->out->head, err);
done:
    return rc;
}

enum ps_code psi_control_initialize(struct psi_call *call, struct ps_error *err)
{
    struct ps_initialize_request request;
    struct ps_initialize_reply reply = { 0 };
    enum ps_code rc;
    PS_TRY(done, rc, ps_decode_initialize_request(call->request, &call->arena, &request, err));
    PS_TRY(done, rc, ps_service_admit(call->service, &request.header, err));
    PS_TRY(done, rc,
           ps_store_initialize(call->service->store, &request, &reply.initialized_count, err));
    rc = ps_encode_initialize_reply(&reply, &call->out->head, err);
done:
    return rc;
}

/* ---- List ---- */

static enum ps_code describe(struct psi_call *call, struct ps_variable *variable,
                             struct ps_variable_info *info_out, struct ps_error *err)
{
    const char **slots = ps_arena_alloc(&call->arena, PS_MAX_SLOTS * sizeof *slots);
    if (slots == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a list"); }
    ps_variable_describe(variable, info_out, slots);
    return PS_OK;
}

static enum ps_code list_all(struct psi_call *call, struct ps_list_reply *reply,
                             struct ps_error *err)
{
    struct ps_store *store = call->service->store;
    uint32_t count = ps_store_count(store);
    struct ps_variable_info *infos = ps_arena_alloc(&call->arena, (count + 1u) * sizeof *infos);
    if (infos == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a list"); }
    enum ps_code rc = PS_OK;
    for (uint32_t i = 0; i < count && rc == PS_OK; i++) {
        rc = describe(call, ps_store_at(store, i), &infos[i], err);
    }
    *reply = (struct ps_list_reply){ infos, count };
    return rc;
}

static enum ps_code list_one(struct psi_call *call, const char *name, struct ps_list_reply *reply,
                             struct ps_error *err)
{
    struct ps_store *store = call->service->store;
    size_t count = 0;
    for (struct ps_variable *v = ps_store_find(store, name); v != NULL;
         v = ps_store_next_slice(store, v)) {
        count++;
    }
    struct ps_variable_info *infos = ps_arena_alloc(&call->arena, (count + 1) * sizeof *infos);
    if (infos == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a list"); }
    enum ps_code rc = PS_OK;
    size_t used = 0;
    for (struct ps_variable *v = ps_store_find(store, name); v != NULL && used < count;
         v = ps_store_next_slice(store, v)) {
        if (rc == PS_OK) { rc = describe(call, v, &infos[used++], err); }
    }
    *reply = (struct ps_list_reply){ infos, used };
    return rc;
}

enum ps_code psi_control_list(struct psi_call *call, struct ps_error *err)
{
    struct ps_list_request request;
    struct ps_list_reply reply;
    enum ps_code rc;
    PS_TRY(done, rc, ps_decode_list_request(call->request, &call->arena, &request, err));
    PS_TRY(done, rc, ps_service_admit(call->service, &request.header, err));
    if (request.name[0] != '\0') {
        PS_TRY(done, rc, list_one(call, request.name, &reply, err));
    } else {
        PS_TRY(done, rc, list_all(call, &reply, err));
    }
    rc = ps_encode_list_reply(&reply, &call->out->head, err);
done:
    return rc;
}

/* ---- Read ---- */

enum ps_code psi_control_read(struct psi_call *call, struct ps_error *err)
{
    struct ps_service *service = call->service;
    struct ps_read_request request;
    struct ps_variable *variable;
    struct ps_buf bytes = { NULL, 0, 0 };
    struct ps_read_reply reply = { .step = atomic_load(&service->step) };
    enum ps_code rc;
    PS_TRY(fail, rc, ps_decode_read_request(call->request, &call->arena, &request, err));
    PS_TRY(fail, rc, ps_service_admit(service, &request.header, err));
    PS_TRY(fail, rc, ps_store_get(service->store, request.handle, &variable, err));
    int plane = ps_variable_plane(variable, request.slot);
    if (plane < 0) {
        rc = ps_fail(err, PS_NOT_FOUND, "variable '%s' has no slot '%s' on ps/%" PRIu32,
                     variable->definition.name, request.slot, service->task_index);
        goto fail;
    }
    PS_TRY(fail, rc,
           ps_variable_read(variable, plane, request.offset, &bytes, (size_t)request.size, err));
    PS_TRY(fail, rc, ps_encode_read_reply(&reply, &call->out->head, err));
    call->out->data = bytes.data;
    call->out->data_size = bytes.size;
    call->out->release = ps_free;
    call->out->owner = bytes.data;
    return PS_OK;
fail:
    ps_buf_clean(&bytes);
    return rc;
}
