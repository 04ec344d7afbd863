/* From an index, the catalog and a saver's names to what each ps task has to read. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/restore_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/bundle_reader.h"
#include "checkpoint/nearest_name.h"
#include "core/alloc.h"
#include "core/log.h"
#include "server/catalog.h"
#include "server/rename.h"

/* What TensorFlow's optimizers call their slots, before "_1", "_2" and so on. */
static const char *const slot_names[] = { "Momentum", "Adam", "Adagrad",         "Adadelta",
                                          "RMSProp",  "Ftrl", "ProximalAdagrad", "AdagradDA" };

/* While a plan is made. */
struct planning {
    const struct ps_catalog *catalog;
    const struct ps_bundle_reader *reader;
    const struct ps_restore_request *request;
    struct ps_rename_map renames;
    struct ps_restore_plan *plan;
    bool *taken; /* of each variable of the catalog: the shares have room for it once */
    const char *first_missing;
    size_t misfit_count;
    struct ps_error first_misfit;
};

static enum ps_code fail_memory(struct ps_error *err)
{
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to plan a restore");
}

/* ---- Slots ---- */

/* "Adam", "Adam_1": name, or name and a number. */
static bool is_numbered(const char *text, const char *name)
{
    size_t size = strlen(name);
    if (strncmp(text, name, size) != 0) { return false; }
    const char *rest = text + size;
    if (*rest == '\0') { return true; }
    return *rest == '_' && rest[1] != '\0' && strspn(rest + 1, "0123456789") == strlen(rest + 1);
}

static bool is_slot_name(const struct ps_catalog_variable *variable, const char *text)
{
    for (size_t i = 0; i < sizeof slot_names / sizeof slot_names[0]; i++) {
        if (is_numbered(text, slot_names[i])) { return true; }
    }
    const struct ps_variable_info *info = variable->slices[0].info;
    for (size_t i = 0; i < info->slot_count; i++) {
        if (strcmp(info->slots[i], text) == 0) { return true; }
    }
    return false;
}

/* Whether the saver restores a variable under that name: then it is no slot of another. */
static bool is_wanted(const struct planning *planning, const char *name)
{
    const struct ps_restore_request *request = planning->request;
    for (size_t i = 0; i < request->name_count; i++) {
        if (strcmp(request->names[i].name, name) == 0) { return true; }
    }
    return request->name_count == 0 && ps_catalog_find(planning->catalog, name) != NULL;
}

/* The first tensor whose name is not below name. */
static size_t lower_bound(const struct ps_bundle_reader *reader, const char *name)
{
    size_t low = 0, high = ps_bundle_reader_count(reader);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(ps_bundle_reader_info(reader, middle).name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The slots of a variable that the checkpoint has as `name`. */
static enum ps_code find_slots(struct planning *planning,
                               const struct ps_catalog_variable *variable,
                               const struct ps_bundle_info *tensor,
                               struct ps_restored_variable *restored, struct ps_error *err)
{
    char prefix[PS_MAX_TENSOR_NAME_BYTES + 2];
    const struct ps_bundle_reader *reader = planning->reader;
    size_t size = (size_t)snprintf(prefix, sizeof prefix, "%s/", tensor->name);
    const char **slots = ps_arena_alloc(&planning->plan->arena, PS_MAX_SLOT_NAMES * sizeof *slots);
    if (slots == NULL || size >= sizeof prefix) { return fail_memory(err); }
    restored->slots = slots;
    for (size_t i = lower_bound(reader, prefix); i < ps_bundle_reader_count(reader); i++) {
        struct ps_bundle_info info = ps_bundle_reader_info(reader, i);
        if (strncmp(info.name, prefix, size) != 0) { break; }
        const char *slot = info.name + size;
        bool is_slot = info.dtype == tensor->dtype && strchr(slot, '/') == NULL &&
                       ps_shape_equal(&info.shape, &tensor->shape) &&
                       is_slot_name(variable, slot) && !is_wanted(planning, info.name);
        if (!is_slot) { continue; }
        if (restored->slot_count == PS_MAX_SLOT_NAMES) {
            ps_log(PS_LOG_WARN, "restore", "'%s' has more than %d slots; '%s' is left out",
                   tensor->name, PS_MAX_SLOT_NAMES, slot);
            break;
        }
        slots[restored->slot_count++] = slot;
    }
    return PS_OK;
}

/* ---- Variables ---- */

static enum ps_code check_complete(const struct ps_catalog_variable *variable, struct ps_error *err)
{
    for (size_t i = 0; i < variable->slice_count; i++) {
        if (variable->slices[i].info != NULL) { continue; }
        return ps_fail(err, PS_FAILED_PRECONDITION,
                       "slice %zu of variable '%s' was never created on ps/%" PRIu32
                       ". Did the worker that declared it fail?",
                       i, variable->definition->name, variable->slices[i].task);
    }
    return PS_OK;
}

/* Whether what is stored can become the variable. */
static enum ps_code check_fit(const struct planning *planning,
                              const struct ps_catalog_variable *variable,
                              const struct ps_bundle_info *tensor, struct ps_error *err)
{
    const struct ps_definition *definition = variable->definition;
    bool same_count = ps_shape_elements(&definition->shape) == ps_shape_elements(&tensor->shape);
    bool takes_shape = definition->free_shape || (planning->request->reshape && same_count);
    const struct ps_shape *shape = takes_shape ? &tensor->shape : &definition->shape;
    return ps_bundle_reader_expect(planning->reader, tensor->name, definition->dtype, shape, err);
}

static void add_to_shares(struct planning *planning, const struct ps_catalog_variable *variable,
                          const struct ps_restored_variable *restored)
{
    for (size_t i = 0; i < variable->slice_count; i++) {
        struct ps_restore_share *share = &planning->plan->shares[variable->slices[i].task];
        share->infos[share->count] = variable->slices[i].info;
        share->variables[share->count] = *restored;
        share->variables[share->count++].handle = variable->slices[i].info->handle;
    }
    planning->plan->variable_count++;
}

static enum ps_code plan_variable(struct planning *planning, const char *wanted,
                                  const struct ps_catalog_variable *variable, struct ps_error *err)
{
    struct ps_bundle_info tensor;
    struct ps_error detail = PS_ERROR_INIT;
    const char *name = ps_rename_map_find(&planning->renames, wanted);
    if (ps_bundle_reader_find(planning->reader, name, &tensor, NULL) != PS_OK) {
        if (planning->first_missing == NULL) { planning->first_missing = name; }
        planning->plan->missing_count++;
        return PS_OK;
    }
    enum ps_code rc = check_complete(variable, err);
    if (rc != PS_OK) { return rc; }
    if (check_fit(planning, variable, &tensor, &detail) != PS_OK) {
        if (planning->misfit_count++ == 0) { planning->first_misfit = detail; }
        return PS_OK;
    }
    struct ps_restored_variable restored = { .name = tensor.name, .shape = tensor.shape };
    rc = find_slots(planning, variable, &tensor, &restored, err);
    if (rc == PS_OK) { add_to_shares(planning, variable, &restored); }
    return rc;
}

static enum ps_code plan_named(struct planning *planning, const struct ps_named_variable *named,
                               struct ps_error *err)
{
    const struct ps_catalog *catalog = planning->catalog;
    const struct ps_catalog_variable *variable = ps_catalog_find(catalog, named->variable);
    if (variable == NULL) {
        return ps_fail(err, PS_NOT_FOUND, "no variable '%s' to restore '%s' into", named->variable,
                       named->name);
    }
    if (planning->taken[variable - catalog->variables]) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "The same saveable will be restored with two names: %s; one is '%s'",
                       named->variable, named->name);
    }
    planning->taken[variable - catalog->variables] = true;
    return plan_variable(planning, named->name, variable, err);
}

static enum ps_code plan_all(struct planning *planning, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    const struct ps_restore_request *request = planning->request;
    const struct ps_catalog *catalog = planning->catalog;
    for (size_t i = 0; i < request->name_count && rc == PS_OK; i++) {
        rc = plan_named(planning, &request->names[i], err);
    }
    for (size_t i = 0; request->name_count == 0 && i < catalog->variable_count && rc == PS_OK;
         i++) {
        const struct ps_catalog_variable *variable = &catalog->variables[i];
        rc = plan_variable(planning, variable->definition->name, variable, err);
    }
    return rc;
}

/* ---- What is wrong, in one message ---- */

static enum ps_code report_missing(const struct planning *planning, struct ps_error *err)
{
    char closest[PS_MAX_NAME_BYTES + 32] = "";
    const struct ps_restore_plan *plan = planning->plan;
    size_t would_load = plan->variable_count + planning->misfit_count;
    size_t all = would_load + plan->missing_count;
    const char *nearest = ps_nearest_name(planning->reader, planning->first_missing);
    if (nearest != NULL) { snprintf(closest, sizeof closest, " (closest: '%s')", nearest); }
    if (would_load == 0) {
        return ps_fail(err, PS_NOT_FOUND,
                       "Key %s not found in checkpoint: none of the %zu variables is%s. Is it the "
                       "right checkpoint? See its names with: paramd ckpt ls",
                       planning->first_missing, all, closest);
    }
    return ps_fail(err, PS_NOT_FOUND,
                   "Key %s not found in checkpoint: %zu of %zu not in checkpoint, e.g. '%s'%s. %zu "
                   "would load. --partial to load those",
                   planning->first_missing, plan->missing_count, all, planning->first_missing,
                   closest, would_load);
}

static enum ps_code report(const struct planning *planning, struct ps_error *err)
{
    const struct ps_restore_plan *plan = planning->plan;
    bool is_empty = plan->variable_count + planning->misfit_count == 0;
    if (plan->missing_count > 0 && (!planning->request->partial || is_empty)) {
        return report_missing(planning, err);
    }
    if (planning->misfit_count == 0) { return PS_OK; }
    if (planning->misfit_count == 1) {
        return ps_fail(err, planning->first_misfit.code, "%s", planning->first_misfit.message);
    }
    return ps_fail(err, planning->first_misfit.code, "%s (and %zu more variables do not fit)",
                   planning->first_misfit.message, planning->misfit_count - 1);
}

/* ---- The plan ---- */

static enum ps_code make_room(const struct ps_catalog *catalog, struct ps_restore_plan *plan,
                              struct ps_error *err)
{
    plan->shares = ps_alloc_zero(catalog->task_count, sizeof *plan->shares);
    if (plan->shares == NULL) { return fail_memory(err); }
    for (size_t i = 0; i < catalog->variable_count; i++) {
        const struct ps_catalog_variable *variable = &catalog->variables[i];
        for (size_t k = 0; k < variable->slice_count; k++) {
            if (variable->slices[k].info != NULL) {
                plan->shares[variable->slices[k].task].count++;
            }
        }
    }
    for (uint32_t i = 0; i < plan->task_count; i++) {
        struct ps_restore_share *share = &plan->shares[i];
        share->variables = ps_alloc_zero(share->count + 1, sizeof *share->variables);
        share->infos = ps_alloc_zero(share->count + 1, sizeof *share->infos);
        share->count = 0;
        if (share->variables == NULL || share->infos == NULL) { return fail_memory(err); }
    }
    return PS_OK;
}

enum ps_code ps_restore_plan_make(const struct ps_catalog *catalog,
                                  const struct ps_bundle_reader *reader,
                                  const struct ps_restore_request *request,
                                  struct ps_restore_plan *plan_out, struct ps_error *err)
{
    enum ps_code rc;
    *plan_out = (struct ps_restore_plan){ .task_count = catalog->task_count };
    struct planning planning = {
        .catalog = catalog, .reader = reader, .request = request, .plan = plan_out
    };
    planning.taken = ps_alloc_zero(catalog->variable_count + 1, sizeof *planning.taken);
    if (planning.taken == NULL) {
        rc = fail_memory(err);
        goto done;
    }
    PS_TRY(done, rc, make_room(catalog, plan_out, err));
    PS_TRY(done, rc,
           ps_rename_map_make(reader, request->renames, request->rename_count, &planning.renames,
                              err));
    PS_TRY(done, rc, plan_all(&planning, err));
    if (plan_out->variable_count + plan_out->missing_count + planning.misfit_count == 0) {
        rc = ps_fail(err, PS_FAILED_PRECONDITION,
                     "the cluster has no variables to restore; create them first");
        goto done;
    }
    PS_TRY(done, rc, report(&planning, err));
done:
    ps_rename_map_clean(&planning.renames);
    ps_free(planning.taken);
    if (rc != PS_OK) { ps_restore_plan_clean(plan_out); }
    return rc;
}

void ps_restore_plan_clean(struct ps_restore_plan *plan)
{
    if (plan == NULL) { return; }
    for (uint32_t i = 0; plan->shares != NULL && i < plan->task_count; i++) {
        ps_free(plan->shares[i].variables);
        ps_free(plan->shares[i].infos);
    }
    ps_free(plan->shares);
    ps_arena_clean(&plan->arena);
    *plan = (struct ps_restore_plan){ 0 };
}
