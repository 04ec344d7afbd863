/* Saves, state file and retention as a trainer does them, with notes before and after each. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/powercut/committer.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "checkpoint/recover.h"
#include "checkpoint/retention.h"
#include "core/philox.h"
#include "tests/checkpoint/fault_files.h"
#include "tests/powercut/content.h"
#include "tests/powercut/disk.h"
#include "tests/powercut/sync_mutant.h"

#define PREFIX_TEXT "model.ckpt-"

enum { CHECKPOINTS_KEPT = 3, SAME_PREFIX_PERCENT = 40 };

struct committer {
    const struct committer_plan *plan;
    const struct ps_files *files;
    struct sync_mutant_files mutated;
    struct ps_fault_files counted;
    struct ps_path state_path;
    struct ps_retention retention;
    struct ps_rng rng;
    uint64_t next_number;
};

void committer_prefix_format(char text[PREFIX_TEXT_BYTES], uint64_t prefix)
{
    snprintf(text, PREFIX_TEXT_BYTES, PREFIX_TEXT "%" PRIu64, prefix);
}

uint64_t committer_prefix_parse(const char *text, const char **rest_out)
{
    size_t size = strlen(PREFIX_TEXT);
    char *end = (char *)text;
    uint64_t prefix = 0;
    if (strncmp(text, PREFIX_TEXT, size) == 0) { prefix = strtoull(text + size, &end, 10); }
    *rest_out = end;
    return prefix;
}

/* What returns after a cut began promises nothing: power takes the process along, and an fsync that
 * meets a shutdown half-way may report success for a journal that was never written. */
static bool is_too_late(const struct journal *journal, enum event_kind kind)
{
    bool is_promise = kind == EVENT_SAVED || kind == EVENT_STATE_WRITTEN || kind == EVENT_REMOVED;
    return is_promise && atomic_load(&journal->is_cut);
}

static void note(struct committer *committer, enum event_kind kind, uint64_t prefix,
                 uint64_t number)
{
    struct journal *journal = committer->plan->journal;
    if (is_too_late(journal, kind)) { return; }
    unsigned count = atomic_load(&journal->count);
    PS_ASSERT(count < JOURNAL_EVENTS_MAX);
    journal->events[count] = (struct event){ kind, prefix, number };
    atomic_store(&journal->count, count + 1);
}

/* The call that is the last one. */
static void cut(void *visit_ctx)
{
    const struct committer_plan *plan = visit_ctx;
    atomic_store(&plan->journal->is_cut, true);
    if (plan->disk != NULL && disk_cut(plan->disk, &plan->journal->failure) != PS_OK) {
        atomic_store(&plan->journal->is_cut, false);
        _exit(EXIT_FAILURE);
    }
    kill(getpid(), SIGKILL);
}

/* POSIX below, the missing fsync above it, the counting of calls on top. */
static void stack_files(struct committer *committer)
{
    const struct committer_plan *plan = committer->plan;
    committer->files = ps_files_posix();
    if (plan->mutant != NULL) {
        sync_mutant_init(&committer->mutated, committer->files, plan->mutant);
        committer->files = &committer->mutated.files;
    }
    ps_fault_files_init(&committer->counted, committer->files, PS_FAULT_VISIT, plan->cut_at_call);
    committer->counted.visit = cut;
    committer->counted.visit_ctx = (void *)plan;
    committer->files = &committer->counted.files;
}

/* What a trainer does at its start. */
static enum ps_code recover(struct committer *committer, struct ps_error *err)
{
    static const struct ps_retention_options options = { .max_to_keep = CHECKPOINTS_KEPT };
    const struct ps_files *files = committer->files;
    const char *directory = committer->plan->directory;
    struct ps_state state = { 0 };
    enum ps_code rc;
    ps_retention_init(&committer->retention, &options, 1);
    PS_TRY(done, rc, ps_path_set(&committer->state_path, err, "%s/checkpoint", directory));
    PS_TRY(done, rc, ps_files_mkdirs(files, directory, err));
    PS_TRY(done, rc, ps_recover_directory(files, directory, err));
    rc = ps_state_read(files, committer->state_path.text, &state, err);
    if (rc == PS_NOT_FOUND) { return PS_OK; }
    if (rc != PS_OK) { return rc; }
    PS_TRY(done, rc, ps_state_refresh(files, directory, &state, err));
    ps_retention_recover(&committer->retention, &state);
done:
    ps_state_clean(&state);
    return rc;
}

/* A new prefix, or one of those that are there. */
static uint64_t choose_prefix(struct committer *committer)
{
    const struct ps_state *state = &committer->retention.state;
    const char *rest;
    bool is_same = ps_rng_below(&committer->rng, 100) < SAME_PREFIX_PERCENT;
    if (state->count == 0 || !is_same) { return committer->next_number; }
    size_t index = (size_t)ps_rng_below(&committer->rng, state->count);
    return committer_prefix_parse(state->all[index].path, &rest);
}

static enum ps_code remove_one(struct committer *committer, const char *path, struct ps_error *err)
{
    struct ps_path full;
    const char *rest;
    enum ps_code rc;
    uint64_t prefix = committer_prefix_parse(path, &rest);
    PS_TRY(done, rc, ps_state_resolve(committer->plan->directory, path, &full, err));
    note(committer, EVENT_REMOVE_BEGIN, prefix, 0);
    PS_TRY(done, rc, ps_recover_remove(committer->files, full.text, err));
    note(committer, EVENT_REMOVED, prefix, 0);
done:
    return rc;
}

/* The state file with this prefix as the latest, then what retention says. */
static enum ps_code update_state(struct committer *committer, uint64_t prefix, struct ps_error *err)
{
    struct ps_state remove = { 0 };
    struct ps_retention *retention = &committer->retention;
    char text[PREFIX_TEXT_BYTES];
    enum ps_code rc;
    committer_prefix_format(text, prefix);
    double now_s = (double)committer->next_number; /* any clock that rises */
    PS_TRY(done, rc, ps_retention_saved(retention, text, now_s, &remove, err));
    note(committer, EVENT_STATE_BEGIN, prefix, 0);
    PS_TRY(done, rc,
           ps_state_write(committer->files, committer->state_path.text, &retention->state, err));
    note(committer, EVENT_STATE_WRITTEN, prefix, 0);
    for (size_t i = 0; i < remove.count; i++) {
        PS_TRY(done, rc, remove_one(committer, remove.all[i].path, err));
    }
done:
    ps_state_clean(&remove);
    return rc;
}

static enum ps_code commit_one(struct committer *committer, struct ps_error *err)
{
    struct ps_path path;
    char text[PREFIX_TEXT_BYTES];
    uint64_t prefix = choose_prefix(committer);
    uint64_t number = committer->next_number++;
    enum ps_code rc;
    committer_prefix_format(text, prefix);
    PS_TRY(done, rc, ps_path_set(&path, err, "%s/%s", committer->plan->directory, text));
    note(committer, EVENT_SAVE_BEGIN, prefix, number);
    PS_TRY(done, rc, content_save(committer->files, path.text, number, err));
    note(committer, EVENT_SAVED, prefix, number);
    PS_TRY(done, rc, update_state(committer, prefix, err));
done:
    return rc;
}

static void run(const struct committer_plan *plan)
{
    static struct committer committer;
    committer = (struct committer){ .plan = plan, .next_number = plan->first_number };
    committer.rng = ps_rng_make(plan->seed, PS_STREAM_TEST);
    stack_files(&committer);
    enum ps_code rc = recover(&committer, &plan->journal->failure);
    while (rc == PS_OK) { rc = commit_one(&committer, &plan->journal->failure); }
    ps_retention_clean(&committer.retention);
}

enum ps_code committer_start(const struct committer_plan *plan, pid_t *pid_out,
                             struct ps_error *err)
{
    pid_t parent = getpid();
    atomic_store(&plan->journal->count, 0);
    atomic_store(&plan->journal->is_cut, false);
    plan->journal->failure = (struct ps_error)PS_ERROR_INIT;
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) { return ps_fail_errno(err, errno, "start a committer"); }
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent) { run(plan); }
        _exit(EXIT_FAILURE);
    }
    *pid_out = pid;
    return PS_OK;
}
