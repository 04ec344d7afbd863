/* From a saver's names and the catalog to planes for each ps task. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/save_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "server/catalog.h"

/* A variable that is to be saved. */
struct chosen {
    const char *name; /* in the checkpoint */
    const struct ps_catalog_variable *variable;
};

static enum ps_code fail_memory(struct ps_error *err)
{
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to plan a save");
}

/* ---- Which variables ---- */

static int compare_by_variable(const void *a, const void *b)
{
    const struct chosen *x = a, *y = b;
    return (x->variable > y->variable) - (x->variable < y->variable);
}

static enum ps_code check_chosen(struct chosen *chosen, size_t count, struct ps_error *err)
{
    size_t empty = 0;
    const char *first = NULL;
    qsort(chosen, count, sizeof *chosen, compare_by_variable);
    for (size_t i = 0; i < count; i++) {
        const char *name = chosen[i].variable->definition->name;
        if (i > 0 && chosen[i].variable == chosen[i - 1].variable) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "The same saveable will be restored with two names: %s ('%s' and '%s')",
                           name, chosen[i - 1].name, chosen[i].name);
        }
        if (chosen[i].variable->initialized) { continue; }
        if (first == NULL) { first = name; }
        empty++;
    }
    if (empty == 0) { return PS_OK; }
    return ps_fail(err, PS_FAILED_PRECONDITION,
                   "Attempting to use uninitialized value %s: %zu of %zu variables to save have no "
                   "value. Initialize or restore them first",
                   first, empty, count);
}

static enum ps_code choose(const struct ps_catalog *catalog, const struct ps_save_request *request,
                           struct chosen *chosen, struct ps_error *err)
{
    for (size_t i = 0; i < request->name_count; i++) {
        const struct ps_named_variable *named = &request->names[i];
        chosen[i] = (struct chosen){ named->name, ps_catalog_find(catalog, named->variable) };
        if (chosen[i].variable == NULL) {
            return ps_fail(err, PS_NOT_FOUND, "no variable '%s' to save as '%s'", named->variable,
                           named->name);
        }
    }
    for (size_t i = 0; request->name_count == 0 && i < catalog->variable_count; i++) {
        const struct ps_catalog_variable *variable = &catalog->variables[i];
        chosen[i] = (struct chosen){ variable->definition->name, variable };
    }
    return PS_OK;
}

/* ---- Which planes ---- */

static bool has_slot(const struct ps_variable_info *info, const char *slot)
{
    for (size_t i = 0; i < info->slot_count; i++) {
        if (strcmp(info->slots[i], slot) == 0) { return true; }
    }
    return false;
}

static bool all_have_slot(const struct ps_catalog_variable *variable, const char *slot)
{
    for (size_t i = 0; i < variable->slice_count; i++) {
        if (!has_slot(variable->slices[i].info, slot)) { return false; }
    }
    return true;
}

/* Tells each plane of a variable; what is told may come to nothing (the first round counts). */
typedef enum ps_code plane_fn(struct ps_save_plan *plan, const struct ps_catalog_variable *variable,
                              const char *name, const char *slot, struct ps_error *err);

static enum ps_code visit_planes(struct ps_save_plan *plan, const struct chosen *chosen,
                                 plane_fn *visit, struct ps_error *err)
{
    const struct ps_variable_info *first = chosen->variable->slices[0].info;
    enum ps_code rc = visit(plan, chosen->variable, chosen->name, "", err);
    for (size_t i = 0; i < first->slot_count && rc == PS_OK; i++) {
        if (!all_have_slot(chosen->variable, first->slots[i])) { continue; }
        rc = visit(plan, chosen->variable, chosen->name, first->slots[i], err);
    }
    return rc;
}

static enum ps_code count_plane(struct ps_save_plan *plan,
                                const struct ps_catalog_variable *variable, const char *name,
                                const char *slot, struct ps_error *err)
{
    (void)name;
    (void)slot;
    (void)err;
    plan->name_count++;
    for (size_t i = 0; i < variable->slice_count; i++) {
        plan->shares[variable->slices[i].task].count++;
    }
    return PS_OK;
}

static enum ps_code add_plane(struct ps_save_plan *plan, const struct ps_catalog_variable *variable,
                              const char *name, const char *slot, struct ps_error *err)
{
    const char *full = name;
    if (slot[0] != '\0') {
        size_t size = strlen(name) + strlen(slot) + 2;
        char *joined = ps_arena_alloc(&plan->arena, size);
        if (joined == NULL) { return fail_memory(err); }
        snprintf(joined, size, "%s/%s", name, slot);
        full = joined;
    }
    plan->names[plan->name_count++] = full;
    for (size_t i = 0; i < variable->slice_count; i++) {
        struct ps_save_share *share = &plan->shares[variable->slices[i].task];
        const struct ps_variable_info *info = variable->slices[i].info;
        share->infos[share->count] = info;
        share->planes[share->count++] = (struct ps_saved_plane){ info->handle, slot, full };
    }
    return PS_OK;
}

static enum ps_code make_room(struct ps_save_plan *plan, struct ps_error *err)
{
    plan->names = ps_alloc_zero(plan->name_count + 1, sizeof *plan->names);
    bool complete = plan->names != NULL;
    for (uint32_t i = 0; i < plan->task_count; i++) {
        struct ps_save_share *share = &plan->shares[i];
        share->planes = ps_alloc_zero(share->count + 1, sizeof *share->planes);
        share->infos = ps_alloc_zero(share->count + 1, sizeof *share->infos);
        complete = complete && share->planes != NULL && share->infos != NULL;
        share->count = 0;
    }
    plan->name_count = 0;
    return complete ? PS_OK : fail_memory(err);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum ps_code check_names(struct ps_save_plan *plan, struct ps_error *err)
{
    qsort(plan->names, plan->name_count, sizeof *plan->names, compare_names);
    for (size_t i = 1; i < plan->name_count; i++) {
        if (strcmp(plan->names[i - 1], plan->names[i]) != 0) { continue; }
        return ps_fail(err, PS_INVALID_ARGUMENT, "At least two variables have the same name: %s",
                       plan->names[i]);
    }
    return PS_OK;
}

static enum ps_code plan_planes(struct ps_save_plan *plan, const struct chosen *chosen,
                                size_t count, struct ps_error *err)
{
    enum ps_code rc;
    for (size_t i = 0; i < count; i++) {
        PS_TRY(done, rc, visit_planes(plan, &chosen[i], count_plane, err));
    }
    PS_TRY(done, rc, make_room(plan, err));
    for (size_t i = 0; i < count; i++) {
        PS_TRY(done, rc, visit_planes(plan, &chosen[i], add_plane, err));
    }
    PS_TRY(done, rc, check_names(plan, err));
done:
    return rc;
}

/* By name, so that a file does not depend on addresses. */
static int compare_by_name(const void *a, const void *b)
{
    return strcmp(((const struct chosen *)a)->name, ((const struct chosen *)b)->name);
}

enum ps_code ps_save_plan_make(const struct ps_catalog *catalog,
                               const struct ps_save_request *request, struct ps_save_plan *plan_out,
                               struct ps_error *err)
{
    enum ps_code rc;
    size_t count = request->name_count > 0 ? request->name_count : catalog->variable_count;
    *plan_out = (struct ps_save_plan){ .task_count = catalog->task_count };
    if (count == 0) { return ps_fail(err, PS_INVALID_ARGUMENT, "No variables to save"); }
    struct chosen *chosen = ps_alloc_zero(count, sizeof *chosen);
    plan_out->shares = ps_alloc_zero(catalog->task_count, sizeof *plan_out->shares);
    if (chosen == NULL || plan_out->shares == NULL) {
        rc = fail_memory(err);
        goto done;
    }
    PS_TRY(done, rc, choose(catalog, request, chosen, err));
    PS_TRY(done, rc, check_chosen(chosen, count, err));
    qsort(chosen, count, sizeof *chosen, compare_by_name);
    PS_TRY(done, rc, plan_planes(plan_out, chosen, count, err));
done:
    ps_free(chosen);
    if (rc != PS_OK) { ps_save_plan_clean(plan_out); }
    return rc;
}

void ps_save_plan_clean(struct ps_save_plan *plan)
{
    if (plan == NULL) { return; }
    for (uint32_t i = 0; plan->shares != NULL && i < plan->task_count; i++) {
        ps_free(plan->shares[i].planes);
        ps_free(plan->shares[i].infos);
    }
    ps_free(plan->shares);
    ps_free(plan->names);
    ps_arena_clean(&plan->arena);
    *plan = (struct ps_save_plan){ 0 };
}

bool ps_save_plan_has(const struct ps_save_plan *plan, const char *name)
{
    return plan->name_count > 0 && bsearch(&name, plan->names, plan->name_count,
                                           sizeof *plan->names, compare_names) != NULL;
}
