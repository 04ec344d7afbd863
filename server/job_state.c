/* The state of a job as tensors: TensorFlow's names for what it knows, ours for the rest. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/job_state.h"

#include <stdio.h>
#include <string.h>

#include "checkpoint/bundle_part.h"
#include "checkpoint/bundle_reader.h"
#include "core/log.h"
#include "server/catalog.h"
#include "server/optimizer_state.h"
#include "server/save_plan.h"
#include "server/service.h"

static const char STEP[] = "_paramd/step";
static const char OPTIMIZERS[] = "_paramd/optimizer";          /* string[k] */
static const char POWERS[] = "_paramd/beta_power";             /* double[k,2] */
static const char FLOAT_POWERS[] = "_paramd/beta_power_float"; /* float[k,2] */

static enum ps_code fail_memory(struct ps_error *err)
{
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for the state of the job");
}

enum ps_code ps_job_state_collect(struct ps_service *service, struct ps_arena *arena,
                                  struct ps_job_state *state_out, struct ps_error *err)
{
    struct ps_beta_powers powers;
    const char *name;
    size_t count = 0;
    struct ps_optimizer_powers *list = ps_arena_alloc(arena, PS_MAX_OPTIMIZERS * sizeof *list);
    *state_out = (struct ps_job_state){ 0 };
    if (list == NULL) { return fail_memory(err); }
    while (count < PS_MAX_OPTIMIZERS &&
           (name = ps_optimizer_state_at(service->optimizers, count, &powers)) != NULL) {
        list[count++] = (struct ps_optimizer_powers){ name, powers.float1, powers.float2,
                                                      powers.double1, powers.double2 };
    }
    *state_out = (struct ps_job_state){ .job = atomic_load(&service->job),
                                        .generation = atomic_load(&service->generation),
                                        .has_step = true,
                                        .step = atomic_load(&service->step),
                                        .powers = list,
                                        .power_count = count };
    return PS_OK;
}

/* ---- Writing ---- */

static struct ps_shape vector_of(size_t count)
{
    return (struct ps_shape){ .rank = 1, .dims = { (int64_t)count } };
}

static enum ps_code add(struct ps_bundle_part *part, const char *name, enum ps_dtype dtype,
                        const struct ps_shape *shape, const void *data, struct ps_error *err)
{
    const struct ps_bundle_tensor tensor = { .name = name, .dtype = dtype, .shape = *shape };
    size_t size_bytes = (size_t)ps_shape_elements(shape) * (size_t)ps_dtype_size(dtype);
    enum ps_code rc;
    PS_TRY(done, rc, ps_bundle_part_begin(part, &tensor, err));
    PS_TRY(done, rc, ps_bundle_part_append(part, data, size_bytes, err));
    PS_TRY(done, rc, ps_bundle_part_end(part, err));
done:
    return rc;
}

static enum ps_code add_scalar(struct ps_bundle_part *part, const char *name, enum ps_dtype dtype,
                               const void *data, struct ps_error *err)
{
    const struct ps_shape scalar = { .rank = 0 };
    return add(part, name, dtype, &scalar, data, err);
}

/* TensorFlow's: "beta1_power", "beta1_power_1", ... */
static enum ps_code add_power(struct ps_bundle_part *part, const struct ps_save_plan *plan,
                              int beta, size_t index, float power, struct ps_error *err)
{
    char name[64];
    if (index == 0) {
        snprintf(name, sizeof name, "beta%d_power", beta);
    } else {
        snprintf(name, sizeof name, "beta%d_power_%zu", beta, index);
    }
    if (ps_save_plan_has(plan, name)) { return PS_OK; }
    return add_scalar(part, name, PS_FLOAT, &power, err);
}

static enum ps_code write_powers(const struct ps_job_state *state, const struct ps_save_plan *plan,
                                 struct ps_bundle_part *part, struct ps_error *err)
{
    double doubles[PS_MAX_OPTIMIZERS][2];
    float floats[PS_MAX_OPTIMIZERS][2];
    struct ps_span names[PS_MAX_OPTIMIZERS];
    const struct ps_shape pairs = { .rank = 2, .dims = { (int64_t)state->power_count, 2 } };
    const struct ps_shape list = vector_of(state->power_count);
    enum ps_code rc = PS_OK;
    if (state->power_count == 0) { return PS_OK; }
    for (size_t i = 0; i < state->power_count; i++) {
        const struct ps_optimizer_powers *powers = &state->powers[i];
        PS_TRY(done, rc, add_power(part, plan, 1, i, powers->float1, err));
        PS_TRY(done, rc, add_power(part, plan, 2, i, powers->float2, err));
        floats[i][0] = powers->float1;
        floats[i][1] = powers->float2;
        doubles[i][0] = powers->double1;
        doubles[i][1] = powers->double2;
        names[i] = (struct ps_span){ (const uint8_t *)powers->optimizer,
                                     strlen(powers->optimizer) };
    }
    PS_TRY(done, rc, ps_bundle_part_strings(part, OPTIMIZERS, &list, names, err));
    PS_TRY(done, rc, add(part, POWERS, PS_DOUBLE, &pairs, doubles, err));
    PS_TRY(done, rc, add(part, FLOAT_POWERS, PS_FLOAT, &pairs, floats, err));
done:
    return rc;
}

static enum ps_code write_committed(const struct ps_committed_table *table,
                                    struct ps_bundle_part *part, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    struct ps_arena arena = { 0 };
    const struct ps_shape list = vector_of(table->count);
    if (table->count == 0) { return PS_OK; }
    int64_t *workers = ps_arena_alloc(&arena, table->count * sizeof *workers);
    int64_t *committed = ps_arena_alloc(&arena, table->count * sizeof *committed);
    struct ps_span *positions = ps_arena_alloc(&arena, table->count * sizeof *positions);
    if (workers == NULL || committed == NULL || positions == NULL) {
        rc = fail_memory(err);
        goto done;
    }
    for (size_t i = 0; i < table->count; i++) {
        workers[i] = (int64_t)table->rows[i].worker;
        committed[i] = (int64_t)table->rows[i].committed;
        positions[i] = table->rows[i].position;
    }
    PS_TRY(done, rc, add(part, "_paramd/worker", PS_INT64, &list, workers, err));
    PS_TRY(done, rc, add(part, "_paramd/committed", PS_INT64, &list, committed, err));
    PS_TRY(done, rc, ps_bundle_part_strings(part, "_paramd/position", &list, positions, err));
done:
    ps_arena_clean(&arena);
    return rc;
}

enum ps_code ps_job_state_write(const struct ps_job_state *state, const struct ps_save_plan *plan,
                                struct ps_bundle_part *part, struct ps_error *err)
{
    enum ps_code rc;
    int64_t job = (int64_t)state->job, generation = (int64_t)state->generation;
    PS_TRY(done, rc, write_powers(state, plan, part, err));
    if (!ps_save_plan_has(plan, "global_step")) {
        PS_TRY(done, rc, add_scalar(part, "global_step", PS_INT64, &state->step, err));
    }
    PS_TRY(done, rc, add_scalar(part, STEP, PS_INT64, &state->step, err));
    PS_TRY(done, rc, add_scalar(part, "_paramd/job", PS_INT64, &job, err));
    PS_TRY(done, rc, add_scalar(part, "_paramd/generation", PS_INT64, &generation, err));
    PS_TRY(done, rc, write_committed(&state->committed, part, err));
done:
    return rc;
}

/* ---- Reading ---- */

/* Reads count elements of a tensor of that type, if there is one. */
static enum ps_code find(struct ps_bundle_reader *reader, const char *name, enum ps_dtype dtype,
                         size_t count, void *out, bool *found_out, struct ps_error *err)
{
    struct ps_bundle_info info;
    *found_out = false;
    if (ps_bundle_reader_find(reader, name, &info, NULL) != PS_OK || info.dtype != (int32_t)dtype ||
        ps_shape_elements(&info.shape) != (int64_t)count) {
        return PS_OK;
    }
    *found_out = true;
    const struct ps_bundle_request request = { .name = name, .dtype = dtype };
    return ps_bundle_reader_read(reader, &request, out, count * (size_t)ps_dtype_size(dtype), err);
}

static enum ps_code read_step(struct ps_bundle_reader *reader, const struct ps_catalog *catalog,
                              struct ps_job_state *state, struct ps_error *err)
{
    int32_t narrow = 0;
    enum ps_code rc;
    PS_TRY(done, rc, find(reader, STEP, PS_INT64, 1, &state->step, &state->has_step, err));
    if (state->has_step || ps_catalog_find(catalog, "global_step") != NULL) { return PS_OK; }
    PS_TRY(done, rc, find(reader, "global_step", PS_INT64, 1, &state->step, &state->has_step, err));
    if (state->has_step) { return PS_OK; }
    PS_TRY(done, rc, find(reader, "global_step", PS_INT32, 1, &narrow, &state->has_step, err));
    if (state->has_step) { state->step = narrow; }
done:
    return rc;
}

/* Of a checkpoint of ours: names and both precisions. */
static enum ps_code read_own_powers(struct ps_bundle_reader *reader, struct ps_arena *arena,
                                    struct ps_job_state *state, struct ps_error *err)
{
    struct ps_bundle_strings names = { 0 };
    double doubles[PS_MAX_OPTIMIZERS][2];
    float floats[PS_MAX_OPTIMIZERS][2];
    bool has_doubles = false, has_floats = false;
    enum ps_code rc;
    PS_TRY(done, rc, ps_bundle_reader_read_strings(reader, OPTIMIZERS, &names, err));
    size_t count = names.count <= PS_MAX_OPTIMIZERS ? names.count : 0;
    PS_TRY(done, rc, find(reader, POWERS, PS_DOUBLE, 2 * count, doubles, &has_doubles, err));
    PS_TRY(done, rc, find(reader, FLOAT_POWERS, PS_FLOAT, 2 * count, floats, &has_floats, err));
    if (count == 0 || !has_doubles || !has_floats) {
        rc = ps_fail(err, PS_DATA_LOSS, "'%s' names %zu optimizers, but '%s' does not fit it",
                     OPTIMIZERS, names.count, has_doubles ? FLOAT_POWERS : POWERS);
        goto done;
    }
    struct ps_optimizer_powers *powers = ps_arena_alloc(arena, count * sizeof *powers);
    for (size_t i = 0; i < count && powers != NULL; i++) {
        char *name = ps_arena_alloc(arena, names.items[i].size + 1);
        if (name == NULL) {
            powers = NULL;
            break;
        }
        memcpy(name, names.items[i].data, names.items[i].size);
        name[names.items[i].size] = '\0';
        powers[i] = (struct ps_optimizer_powers){ name, floats[i][0], floats[i][1], doubles[i][0],
                                                  doubles[i][1] };
    }
    if (powers == NULL) {
        rc = fail_memory(err);
        goto done;
    }
    state->powers = powers;
    state->power_count = count;
done:
    ps_bundle_strings_clean(&names);
    return rc;
}

/* Of TensorFlow's: those of its first Adam, which is called so unless the program said otherwise.
 */
static enum ps_code read_foreign_powers(struct ps_bundle_reader *reader,
                                        const struct ps_catalog *catalog, struct ps_arena *arena,
                                        struct ps_job_state *state, struct ps_error *err)
{
    float beta1 = 0, beta2 = 0;
    bool has_beta1, has_beta2;
    enum ps_code rc;
    if (ps_catalog_find(catalog, "beta1_power") != NULL) { return PS_OK; }
    PS_TRY(done, rc, find(reader, "beta1_power", PS_FLOAT, 1, &beta1, &has_beta1, err));
    PS_TRY(done, rc, find(reader, "beta2_power", PS_FLOAT, 1, &beta2, &has_beta2, err));
    if (!has_beta1 || !has_beta2) { return PS_OK; }
    struct ps_optimizer_powers *powers = ps_arena_alloc(arena, sizeof *powers);
    if (powers == NULL) { return fail_memory(err); }
    *powers = (struct ps_optimizer_powers){ "Adam", beta1, beta2, (double)beta1, (double)beta2 };
    state->powers = powers;
    state->power_count = 1;
done:
    return rc;
}

enum ps_code ps_job_state_read(struct ps_bundle_reader *reader, const struct ps_catalog *catalog,
                               struct ps_arena *arena, struct ps_job_state *state_out,
                               struct ps_error *err)
{
    struct ps_bundle_info info;
    enum ps_code rc;
    *state_out = (struct ps_job_state){ 0 };
    PS_TRY(done, rc, read_step(reader, catalog, state_out, err));
    if (ps_bundle_reader_find(reader, OPTIMIZERS, &info, NULL) == PS_OK) {
        rc = read_own_powers(reader, arena, state_out, err);
    } else {
        rc = read_foreign_powers(reader, catalog, arena, state_out, err);
    }
done:
    return rc;
}

enum ps_code ps_job_state_load(struct ps_service *service,
                               const struct ps_restore_shard_request *request, struct ps_error *err)
{
    if (!request->whole) { return PS_OK; }
    ps_optimizer_state_forget(service->optimizers);
    for (size_t i = 0; i < request->power_count; i++) {
        const struct ps_optimizer_powers *from = &request->powers[i];
        const struct ps_beta_powers powers = { from->float1, from->float2, from->double1,
                                               from->double2 };
        enum ps_code rc = ps_optimizer_state_set(service->optimizers, from->optimizer, &powers,
                                                 err);
        if (rc != PS_OK) { return rc; }
    }
    if (request->has_step) { atomic_store(&service->step, request->step); }
    return PS_OK;
}
