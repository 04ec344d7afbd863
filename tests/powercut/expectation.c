/* Promises by prefix; and the inspection of a directory that has to keep them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/powercut/expectation.h"

#include <inttypes.h>
#include <string.h>

#include "checkpoint/bundle_names.h"
#include "checkpoint/recover.h"
#include "checkpoint/state_file.h"
#include "tests/powercut/committer.h"
#include "tests/powercut/content.h"

/* ---- promises ---- */

void expectation_reset(struct expectation *expectation)
{
    expectation->slot_count = 0;
    expectation->latest = 0;
    expectation->latest_begun_count = 0;
}

static struct expectation_slot *find(struct expectation *expectation, uint64_t prefix)
{
    for (size_t i = 0; i < expectation->slot_count; i++) {
        if (expectation->slots[i].prefix == prefix) { return &expectation->slots[i]; }
    }
    return NULL;
}

static struct expectation_slot *find_or_add(struct expectation *expectation, uint64_t prefix)
{
    struct expectation_slot *slot = find(expectation, prefix);
    if (slot != NULL) { return slot; }
    PS_ASSERT(expectation->slot_count < EXPECTATION_SLOTS_MAX);
    slot = &expectation->slots[expectation->slot_count++];
    *slot = (struct expectation_slot){ .prefix = prefix };
    return slot;
}

static void forget(struct expectation *expectation, struct expectation_slot *slot)
{
    *slot = expectation->slots[--expectation->slot_count];
}

static void settle(struct expectation_slot *slot, uint64_t number)
{
    slot->promised = number;
    slot->begun_count = 0;
    slot->is_being_removed = false;
}

static void absorb_save(struct expectation *expectation, const struct event *event)
{
    struct expectation_slot *slot = find_or_add(expectation, event->prefix);
    expectation->highest_number = event->number;
    if (event->kind == EVENT_SAVED) {
        settle(slot, event->number);
        expectation->saved_count++;
    } else {
        PS_ASSERT(slot->begun_count < EXPECTATION_BEGUN_MAX);
        slot->begun[slot->begun_count++] = event->number;
    }
}

static void absorb_state(struct expectation *expectation, const struct event *event)
{
    if (event->kind == EVENT_STATE_WRITTEN) {
        expectation->latest = event->prefix;
        expectation->latest_begun_count = 0;
    } else {
        PS_ASSERT(expectation->latest_begun_count < EXPECTATION_BEGUN_MAX);
        expectation->latest_begun[expectation->latest_begun_count++] = event->prefix;
    }
}

void expectation_absorb(struct expectation *expectation, const struct journal *journal)
{
    for (unsigned i = 0; i < atomic_load(&journal->count); i++) {
        const struct event *event = &journal->events[i];
        switch (event->kind) {
        case EVENT_SAVE_BEGIN:
        case EVENT_SAVED: absorb_save(expectation, event); break;
        case EVENT_STATE_BEGIN:
        case EVENT_STATE_WRITTEN: absorb_state(expectation, event); break;
        case EVENT_REMOVE_BEGIN:
            find_or_add(expectation, event->prefix)->is_being_removed = true;
            break;
        case EVENT_REMOVED: forget(expectation, find_or_add(expectation, event->prefix)); break;
        }
    }
}

/* ---- inspection ---- */

struct inspection {
    struct expectation *expectation;
    const struct ps_files *files;
    const char *directory;
};

static bool must_exist(const struct expectation_slot *slot)
{
    return slot->promised != 0 && !slot->is_being_removed;
}

static enum ps_code slot_path(const struct inspection *inspection,
                              const struct expectation_slot *slot, struct ps_path *path,
                              struct ps_error *err)
{
    char text[PREFIX_TEXT_BYTES];
    committer_prefix_format(text, slot->prefix);
    return ps_path_set(path, err, "%s/%s", inspection->directory, text);
}

/* Before any recovery: TensorFlow knows final names only. */
static enum ps_code check_final_names(const struct inspection *inspection, struct ps_error *err)
{
    const struct ps_bundle_name index = { .kind = PS_BUNDLE_INDEX };
    const struct expectation *expectation = inspection->expectation;
    for (size_t i = 0; i < expectation->slot_count; i++) {
        struct ps_path prefix, path;
        struct ps_file_info info;
        const struct expectation_slot *slot = &expectation->slots[i];
        enum ps_code rc = slot_path(inspection, slot, &prefix, err);
        if (rc == PS_OK) { rc = ps_bundle_path(&path, prefix.text, &index, err); }
        if (rc != PS_OK) { return rc; }
        rc = inspection->files->stat(inspection->files->ctx, path.text, &info, NULL);
        if (rc == PS_OK || !must_exist(slot)) { continue; }
        return ps_fail(err, PS_DATA_LOSS,
                       "number %" PRIu64 " was reported durable, but '%s' is not there after the "
                       "cut",
                       slot->promised, path.text);
    }
    return PS_OK;
}

static bool is_allowed(const struct expectation_slot *slot, uint64_t number)
{
    bool is_begun = false;
    for (size_t i = 0; i < slot->begun_count; i++) {
        is_begun = is_begun || slot->begun[i] == number;
    }
    return is_begun || number == slot->promised;
}

/* One prefix: a whole number that may be there, or nothing where that may be. */
static enum ps_code check_slot(const struct inspection *inspection, struct expectation_slot *slot,
                               struct ps_error *err)
{
    struct ps_path path;
    struct ps_error detail = PS_ERROR_INIT;
    uint64_t number = 0;
    enum ps_code rc = slot_path(inspection, slot, &path, err);
    if (rc != PS_OK) { return rc; }
    rc = content_load(inspection->files, path.text, &number, &detail);
    bool is_gone = rc == PS_NOT_FOUND;
    if (is_gone && must_exist(slot)) {
        return ps_fail(err, PS_DATA_LOSS, "number %" PRIu64 " was reported durable: %s",
                       slot->promised, detail.message);
    }
    if (rc != PS_OK && !is_gone) {
        return ps_fail(err, PS_DATA_LOSS,
                       "unreadable, with number %" PRIu64 " reported durable: %s", slot->promised,
                       detail.message);
    }
    if (!is_gone && !is_allowed(slot, number)) {
        return ps_fail(err, PS_DATA_LOSS,
                       "'%s' is number %" PRIu64 ", although %" PRIu64 " was reported durable",
                       path.text, number, slot->promised);
    }
    settle(slot, number);
    return PS_OK;
}

static enum ps_code check_slots(const struct inspection *inspection, struct ps_error *err)
{
    struct expectation *expectation = inspection->expectation;
    for (size_t i = expectation->slot_count; i-- > 0;) {
        struct expectation_slot *slot = &expectation->slots[i];
        enum ps_code rc = check_slot(inspection, slot, err);
        if (rc != PS_OK) { return rc; }
        if (slot->promised == 0) { forget(expectation, slot); }
    }
    return PS_OK;
}

/* Nothing but checkpoints that were begun, and the state file. */
static enum ps_code visit_name(void *visit_ctx, const char *file_name, struct ps_error *err)
{
    struct inspection *inspection = visit_ctx;
    const char *rest;
    /* The temporary state file is the next write's to remove. */
    if (strcmp(file_name, "checkpoint") == 0 || strcmp(file_name, "checkpoint.tmp") == 0) {
        return PS_OK;
    }
    uint64_t prefix = committer_prefix_parse(file_name, &rest);
    struct expectation_slot *slot = find(inspection->expectation, prefix);
    if (prefix == 0 || slot == NULL) {
        return ps_fail(err, PS_DATA_LOSS, "'%s' is there, which was removed or never begun",
                       file_name);
    }
    char text[PREFIX_TEXT_BYTES];
    committer_prefix_format(text, prefix);
    struct ps_bundle_name name = ps_bundle_name_parse(text, file_name);
    if (name.kind == PS_BUNDLE_INDEX) {
        slot->has_index = true;
    } else if (name.kind == PS_BUNDLE_DATA) {
        slot->data_file_count++;
    } else {
        return ps_fail(err, PS_DATA_LOSS, "'%s' is left over after the sweep", file_name);
    }
    return PS_OK;
}

static enum ps_code count_files(struct inspection *inspection, struct ps_error *err)
{
    struct expectation *expectation = inspection->expectation;
    for (size_t i = 0; i < expectation->slot_count; i++) {
        expectation->slots[i].has_index = false;
        expectation->slots[i].data_file_count = 0;
    }
    return inspection->files->list(inspection->files->ctx, inspection->directory, visit_name,
                                   inspection, err);
}

static enum ps_code check_files(struct inspection *inspection, struct ps_error *err)
{
    const struct expectation *expectation = inspection->expectation;
    enum ps_code rc;
    PS_TRY(done, rc, count_files(inspection, err));
    for (size_t i = 0; i < expectation->slot_count; i++) {
        const struct expectation_slot *slot = &expectation->slots[i];
        int wanted = content_shard_count(slot->promised);
        if (slot->has_index && slot->data_file_count == wanted) { continue; }
        return ps_fail(err, PS_DATA_LOSS, "model.ckpt-%" PRIu64 " has %d data files, not %d",
                       slot->prefix, slot->data_file_count, wanted);
    }
done:
    return rc;
}

static bool may_be_latest(const struct expectation *expectation, uint64_t prefix)
{
    bool is_begun = false;
    for (size_t i = 0; i < expectation->latest_begun_count; i++) {
        is_begun = is_begun || expectation->latest_begun[i] == prefix;
    }
    return is_begun || prefix == expectation->latest;
}

/* The latest one is the promised or a later one; it and all others are there. */
static enum ps_code check_state(struct expectation *expectation, const struct ps_state *state,
                                struct ps_error *err)
{
    const char *rest;
    const char *text = state->latest == NULL ? "" : state->latest;
    uint64_t latest = committer_prefix_parse(text, &rest);
    if (latest == 0 || !may_be_latest(expectation, latest) || find(expectation, latest) == NULL) {
        return ps_fail(err, PS_DATA_LOSS,
                       "the state file names '%s' as the latest, after model.ckpt-%" PRIu64
                       " was reported durable",
                       text, expectation->latest);
    }
    for (size_t i = 0; i < state->count; i++) {
        uint64_t prefix = committer_prefix_parse(state->all[i].path, &rest);
        if (find(expectation, prefix) != NULL) { continue; }
        return ps_fail(err, PS_DATA_LOSS, "the state file lists '%s', which is not there",
                       state->all[i].path);
    }
    expectation->latest = latest;
    expectation->latest_begun_count = 0;
    return PS_OK;
}

static enum ps_code check_state_file(const struct inspection *inspection, struct ps_error *err)
{
    struct ps_path path;
    struct ps_state state;
    struct ps_error detail = PS_ERROR_INIT;
    struct expectation *expectation = inspection->expectation;
    enum ps_code rc = ps_path_set(&path, err, "%s/checkpoint", inspection->directory);
    if (rc != PS_OK) { return rc; }
    rc = ps_state_read(inspection->files, path.text, &state, &detail);
    if (rc == PS_NOT_FOUND && expectation->latest == 0) {
        expectation->latest_begun_count = 0;
        return PS_OK;
    }
    if (rc != PS_OK) { return ps_fail(err, PS_DATA_LOSS, "%s", detail.message); }
    rc = check_state(expectation, &state, err);
    ps_state_clean(&state);
    return rc;
}

enum ps_code expectation_verify(struct expectation *expectation, const char *directory,
                                struct ps_error *err)
{
    struct ps_error detail = PS_ERROR_INIT;
    struct inspection inspection = { .expectation = expectation,
                                     .files = ps_files_posix(),
                                     .directory = directory };
    enum ps_code rc;
    PS_TRY(done, rc, check_final_names(&inspection, err));
    rc = ps_recover_directory(inspection.files, directory, &detail);
    if (rc == PS_NOT_FOUND && expectation->latest == 0) {
        expectation_reset(expectation); /* not even the directory came through */
        return PS_OK;
    }
    if (rc != PS_OK) { return ps_fail(err, PS_DATA_LOSS, "recovery: %s", detail.message); }
    PS_TRY(done, rc, check_slots(&inspection, err));
    PS_TRY(done, rc, check_files(&inspection, err));
    PS_TRY(done, rc, check_state_file(&inspection, err));
done:
    return rc;
}
