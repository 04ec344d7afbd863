/* One trial: start a committer, cut at a seeded moment, restart, look, and again. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/powercut/trial.h"

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint/files.h"
#include "core/philox.h"
#include "tests/powercut/committer.h"
#include "tests/powercut/disk.h"
#include "tests/powercut/expectation.h"

/* A disk starts empty again after so many cuts: orphans do not pile up, and first saves are cut. */
enum { CUTS_PER_DISK = 25 };

/* A save makes some 60 calls, a recovery some 10: a quarter of the cuts by number falls early. */
enum { CALLS_EARLY = 60, CALLS_LATE = 600 };

/* Cuts by the clock fall inside of a call, too. A save takes from one to some ten ms. */
enum { MOMENT_US_MAX = 50000, SURVIVOR_DEADLINE_S = 30 };

struct trial {
    const struct trial_options *options;
    struct journal *journal;
    struct expectation expectation;
    struct disk disk;
    struct ps_path directory;
    struct ps_rng rng;
    int unseen_count; /* cuts since the last inspection */
};

/* How one cut comes about. */
struct moment {
    long call;      /* by the committer itself, before that call; 0: by the clock */
    long delay_us;  /* by the clock */
    bool lives_on;  /* the process sees the disk fail before it ends */
    bool is_unseen; /* the next committer finds it, not the inspection */
};

static struct moment choose_moment(struct trial *trial)
{
    struct moment moment = { 0 };
    bool may_be_unseen = trial->unseen_count < EXPECTATION_BEGUN_MAX - 2;
    if (ps_rng_below(&trial->rng, 2) == 0) {
        bool is_early = ps_rng_below(&trial->rng, 4) == 0;
        moment.call = 1 + (long)ps_rng_below(&trial->rng, is_early ? CALLS_EARLY : CALLS_LATE);
    } else {
        moment.delay_us = (long)ps_rng_below(&trial->rng, MOMENT_US_MAX);
        moment.lives_on = trial->options->kind != NULL && ps_rng_below(&trial->rng, 2) == 0;
    }
    moment.is_unseen = ps_rng_below(&trial->rng, 4) == 0 && may_be_unseen;
    return moment;
}

/* ---- the committer's end ---- */

/* Whether the process ended within the time. */
static enum ps_code await_end(pid_t pid, struct timespec time, bool *has_ended_out,
                              struct ps_error *err)
{
    struct pollfd end = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
    if (end.fd < 0) { return ps_fail_errno(err, errno, "pidfd_open"); }
    int ready = ppoll(&end, 1, &time, NULL);
    close(end.fd);
    *has_ended_out = ready == 1;
    return PS_OK;
}

/* The power goes, or only the process. */
static enum ps_code cut_by_clock(struct trial *trial, pid_t pid, const struct moment *moment,
                                 struct ps_error *err)
{
    const struct timespec delay = { .tv_nsec = moment->delay_us * 1000 };
    const struct timespec patience = { .tv_sec = SURVIVOR_DEADLINE_S };
    bool has_ended;
    enum ps_code rc = await_end(pid, delay, &has_ended, err);
    if (rc != PS_OK || has_ended) { return rc; }
    atomic_store(&trial->journal->is_cut, true);
    if (trial->options->kind != NULL) { PS_TRY(done, rc, disk_cut(&trial->disk, err)); }
    if (!moment->lives_on) { goto done; }
    PS_TRY(done, rc, await_end(pid, patience, &has_ended, err));
    if (!has_ended) {
        rc = ps_fail(err, PS_DEADLINE_EXCEEDED, "saves go on after the disk is gone");
    }
done:
    return rc;
}

static enum ps_code run_committer(struct trial *trial, const struct moment *moment,
                                  struct ps_error *err)
{
    pid_t pid;
    enum ps_code rc;
    const struct committer_plan plan = {
        .directory = trial->directory.text,
        .seed = ps_rng_u64(&trial->rng),
        .first_number = trial->expectation.highest_number + 1,
        .cut_at_call = moment->call,
        .disk = trial->options->kind == NULL ? NULL : &trial->disk,
        .mutant = trial->options->mutant,
        .journal = trial->journal,
    };
    PS_TRY(done, rc, committer_start(&plan, &pid, err));
    if (moment->call == 0) {
        rc = cut_by_clock(trial, pid, moment, err);
        kill(pid, SIGKILL);
    }
    if (waitpid(pid, NULL, 0) != pid) { return ps_fail_errno(err, errno, "wait"); }
    expectation_absorb(&trial->expectation, trial->journal);
done:
    return rc;
}

/* ---- one cut ---- */

static enum ps_code inspect(struct trial *trial, struct ps_error *err)
{
    trial->unseen_count = 0;
    return expectation_verify(&trial->expectation, trial->directory.text, err);
}

/* A committer that failed by itself met what an unseen cut had broken, or is broken. */
static enum ps_code explain_failure(struct trial *trial, struct ps_error *err)
{
    const char *why = trial->journal->failure.message;
    enum ps_code rc = inspect(trial, err);
    if (rc != PS_OK) { return rc; }
    return ps_fail(err, PS_INTERNAL, "the committer failed before the cut: %s",
                   why[0] == '\0' ? "it died" : why);
}

static enum ps_code cut_once(struct trial *trial, bool is_last, struct ps_error *err)
{
    enum ps_code rc;
    struct moment moment = choose_moment(trial);
    PS_TRY(done, rc, run_committer(trial, &moment, err));
    if (!atomic_load(&trial->journal->is_cut)) { return explain_failure(trial, err); }
    if (trial->options->kind != NULL) {
        PS_TRY(done, rc, disk_unmount(&trial->disk, err));
        PS_TRY(done, rc, disk_mount(&trial->disk, err));
    }
    trial->unseen_count++;
    if (is_last || !moment.is_unseen) { PS_TRY(done, rc, inspect(trial, err)); }
done:
    return rc;
}

/* ---- the place ---- */

static int remove_visited(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

static void remove_directory(const struct trial *trial)
{
    (void)nftw(trial->directory.text, remove_visited, 8, FTW_DEPTH | FTW_PHYS);
}

static enum ps_code empty_place(struct trial *trial, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    expectation_reset(&trial->expectation);
    if (trial->options->kind == NULL) {
        remove_directory(trial);
        return PS_OK;
    }
    if (trial->disk.mount_fd >= 0) { PS_TRY(done, rc, disk_unmount(&trial->disk, err)); }
    PS_TRY(done, rc, disk_format(&trial->disk, err));
    PS_TRY(done, rc, disk_mount(&trial->disk, err));
done:
    return rc;
}

static enum ps_code open_place(struct trial *trial, struct trial_result *result,
                               struct ps_error *err)
{
    const struct trial_options *options = trial->options;
    const char *root = options->folder;
    trial->disk = (struct disk){ .loop_fd = -1, .mount_fd = -1 };
    if (options->kind != NULL) {
        enum ps_code rc = disk_open(&trial->disk, options->kind, err);
        if (rc != PS_OK) { return rc; }
        root = trial->disk.mount_point;
    }
    result->is_possible = true;
    return ps_path_set(&trial->directory, err, "%s/run", root);
}

static enum ps_code run_cuts(struct trial *trial, struct trial_result *result, struct ps_error *err)
{
    long wanted = trial->options->cut_count;
    enum ps_code rc = PS_OK;
    for (long i = 0; i < wanted; i++) {
        bool is_last = i + 1 == wanted || (i + 1) % CUTS_PER_DISK == 0;
        if (i % CUTS_PER_DISK == 0) { PS_TRY(done, rc, empty_place(trial, err)); }
        result->cut_count = i + 1;
        PS_TRY(done, rc, cut_once(trial, is_last, err));
    }
done:
    result->saved_count = trial->expectation.saved_count;
    return rc;
}

enum ps_code trial_run(const struct trial_options *options, struct trial_result *result_out,
                       struct ps_error *err)
{
    static struct trial trial;
    enum ps_code rc;
    *result_out = (struct trial_result){ .is_possible = false };
    trial = (struct trial){ .options = options, .rng = ps_rng_make(options->seed, PS_STREAM_TEST) };
    trial.journal = mmap(NULL, sizeof *trial.journal, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (trial.journal == MAP_FAILED) { return ps_fail_errno(err, errno, "map the journal"); }
    rc = open_place(&trial, result_out, err);
    if (rc == PS_OK) { rc = run_cuts(&trial, result_out, err); }
    if (options->kind == NULL && rc == PS_OK) { remove_directory(&trial); }
    disk_close(&trial.disk);
    munmap(trial.journal, sizeof *trial.journal);
    return rc;
}
