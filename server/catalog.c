/* Lists of all ps tasks, sorted by name and slice, and cut into variables. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "proto/codec.h"
#include "server/checkpointer.h"
#include "server/peers.h"
#include "server/service.h"
#include "server/store.h"
#include "server/variable.h"

/* What is gathered, a reply a task. */
struct gathering {
    struct ps_checkpointer *checkpointer;
    int64_t deadline_ms;
    struct ps_arena *arenas;
    struct ps_list_reply *replies;
};

/* One line of one task's list. */
struct line {
    const struct ps_variable_info *info;
    uint32_t task;
};

static enum ps_code fail_memory(struct ps_error *err)
{
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for the list of variables");
}

/* This task's own list, without a call. */
static enum ps_code list_store(struct ps_store *store, struct ps_arena *arena,
                               struct ps_list_reply *reply, struct ps_error *err)
{
    uint32_t count = ps_store_count(store);
    struct ps_variable_info *infos = ps_arena_alloc(arena, (count + 1u) * sizeof *infos);
    if (infos == NULL) { return fail_memory(err); }
    for (uint32_t i = 0; i < count; i++) {
        const char **slots = ps_arena_alloc(arena, PS_MAX_SLOTS * sizeof *slots);
        if (slots == NULL) { return fail_memory(err); }
        ps_variable_describe(ps_store_at(store, i), &infos[i], slots);
    }
    *reply = (struct ps_list_reply){ infos, count };
    return PS_OK;
}

static enum ps_code list_peer(const struct gathering *gathering, uint32_t task,
                              struct ps_error *err)
{
    const struct ps_service *service = gathering->checkpointer->service;
    const struct ps_list_request request = {
        .header = { atomic_load(&service->job), atomic_load(&service->generation) }, .name = ""
    };
    struct ps_outgoing out = { 0 };
    struct ps_answer answer = { 0 };
    enum ps_code rc = ps_encode_list_request(&request, &out.head, err);
    if (rc != PS_OK) { return rc; }
    rc = ps_peers_call(gathering->checkpointer->peers, task, PS_METHOD_LIST, &out,
                       gathering->deadline_ms, &answer, err);
    if (rc == PS_OK) {
        rc = ps_decode_list_reply(answer.message.head, &gathering->arenas[task],
                                  &gathering->replies[task], err);
    }
    ps_answer_clean(&answer);
    return rc;
}

static enum ps_code list_one(void *ctx, uint32_t task, struct ps_error *err)
{
    struct gathering *gathering = ctx;
    struct ps_service *service = gathering->checkpointer->service;
    if (task != service->task_index) { return list_peer(gathering, task, err); }
    return list_store(service->store, &gathering->arenas[task], &gathering->replies[task], err);
}

static int compare_lines(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    int order = strcmp(x->info->definition.name, y->info->definition.name);
    if (order != 0) { return order; }
    return (x->info->slice_index > y->info->slice_index) -
           (x->info->slice_index < y->info->slice_index);
}

/* The variable whose first line this is; returns how many lines it has. */
static size_t join_variable(const struct line *lines, size_t line_count,
                            struct ps_catalog_slice *slices, struct ps_catalog_variable *variable)
{
    const struct ps_variable_info *first = lines[0].info;
    size_t count = 0;
    *variable = (struct ps_catalog_variable){ .definition = &first->definition,
                                              .slices = slices,
                                              .slice_count = first->slice_count,
                                              .complete = true,
                                              .initialized = true };
    for (size_t i = 0; i < first->slice_count; i++) {
        slices[i] = (struct ps_catalog_slice){ .task = first->slices[i].task };
    }
    while (count < line_count &&
           strcmp(lines[count].info->definition.name, first->definition.name) == 0) {
        uint32_t index = lines[count].info->slice_index;
        bool is_there = index < first->slice_count && slices[index].task == lines[count].task;
        if (is_there) { slices[index].info = lines[count].info; }
        count++;
    }
    for (size_t i = 0; i < first->slice_count; i++) {
        const struct ps_variable_info *info = slices[i].info;
        variable->complete = variable->complete && info != NULL;
        variable->initialized = variable->initialized && info != NULL && info->initialized;
    }
    return count;
}

static enum ps_code join(const struct ps_list_reply *replies, struct ps_catalog *catalog,
                         struct ps_error *err)
{
    size_t line_count = 0, slice_count = 0, used = 0;
    for (uint32_t task = 0; task < catalog->task_count; task++) {
        line_count += replies[task].variable_count;
    }
    struct line *lines = ps_alloc_zero(line_count + 1, sizeof *lines);
    if (lines == NULL) { return fail_memory(err); }
    for (uint32_t task = 0; task < catalog->task_count; task++) {
        for (size_t i = 0; i < replies[task].variable_count; i++) {
            lines[used++] = (struct line){ &replies[task].variables[i], task };
            slice_count += replies[task].variables[i].slice_count;
        }
    }
    qsort(lines, line_count, sizeof *lines, compare_lines);
    catalog->variables = ps_alloc_zero(line_count + 1, sizeof *catalog->variables);
    catalog->slices = ps_alloc_zero(slice_count + 1, sizeof *catalog->slices);
    if (catalog->variables == NULL || catalog->slices == NULL) {
        ps_free(lines);
        return fail_memory(err);
    }
    struct ps_catalog_slice *slices = catalog->slices;
    for (size_t at = 0; at < line_count;) {
        struct ps_catalog_variable *variable = &catalog->variables[catalog->variable_count++];
        at += join_variable(&lines[at], line_count - at, slices, variable);
        slices += variable->slice_count;
    }
    ps_free(lines);
    return PS_OK;
}

enum ps_code ps_catalog_gather(struct ps_checkpointer *checkpointer, int64_t deadline_ms,
                               struct ps_catalog *catalog_out, struct ps_error *err)
{
    uint32_t count = ps_peers_count(checkpointer->peers);
    enum ps_code rc;
    *catalog_out = (struct ps_catalog){ .task_count = count };
    catalog_out->arenas = ps_alloc_zero(count, sizeof *catalog_out->arenas);
    struct ps_list_reply *replies = ps_alloc_zero(count, sizeof *replies);
    if (catalog_out->arenas == NULL || replies == NULL) {
        rc = fail_memory(err);
        goto done;
    }
    struct gathering gathering = { checkpointer, deadline_ms, catalog_out->arenas, replies };
    PS_TRY(done, rc, ps_peers_each(count, list_one, &gathering, err));
    PS_TRY(done, rc, join(replies, catalog_out, err));
done:
    ps_free(replies);
    if (rc != PS_OK) { ps_catalog_clean(catalog_out); }
    return rc;
}

void ps_catalog_clean(struct ps_catalog *catalog)
{
    if (catalog == NULL) { return; }
    for (uint32_t i = 0; catalog->arenas != NULL && i < catalog->task_count; i++) {
        ps_arena_clean(&catalog->arenas[i]);
    }
    ps_free(catalog->arenas);
    ps_free(catalog->slices);
    ps_free(catalog->variables);
    *catalog = (struct ps_catalog){ 0 };
}

const struct ps_catalog_variable *ps_catalog_find(const struct ps_catalog *catalog,
                                                  const char *name)
{
    size_t low = 0, high = catalog->variable_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(catalog->variables[middle].definition->name, name);
        if (order == 0) { return &catalog->variables[middle]; }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}
