/* A process that saves checkpoint after checkpoint, and notes each promise outside of the disk. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_COMMITTER_H
#define PARAMD_TESTS_COMMITTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/status.h"

struct disk;
struct sync_mutant;

/* "Begin" is noted before the first call, the other one when the last has returned success. */
enum event_kind {
    EVENT_SAVE_BEGIN,
    EVENT_SAVED,
    EVENT_STATE_BEGIN, /* the state file, with prefix as the latest */
    EVENT_STATE_WRITTEN,
    EVENT_REMOVE_BEGIN, /* by retention */
    EVENT_REMOVED
};

struct event {
    enum event_kind kind;
    uint64_t prefix; /* model.ckpt-PREFIX */
    uint64_t number; /* see content.h; of a save */
};

enum { JOURNAL_EVENTS_MAX = 1 << 16 };

/* Shared memory: it outlives the committer, and knows nothing of disks. */
struct journal {
    atomic_uint count;
    atomic_bool is_cut;      /* from here on a failure is no surprise */
    struct ps_error failure; /* why the committer gave up */
    struct event events[JOURNAL_EVENTS_MAX];
};

struct committer_plan {
    const char *directory; /* created if it is not there */
    uint64_t seed;
    uint64_t first_number;   /* this and higher ones were never saved */
    long cut_at_call;        /* before that call to the file system the committer cuts; 0: never */
    const struct disk *disk; /* that it cuts the power of; NULL: it only dies */
    const struct sync_mutant *mutant; /* NULL: none */
    struct journal *journal;
};

/* Forks; the child sweeps, recovers what the state file says and goes on until it dies or a call
 * fails, then exits with 1. It dies with its parent. */
PS_MUST_CHECK enum ps_code committer_start(const struct committer_plan *plan, pid_t *pid_out,
                                           struct ps_error *err);

/* "model.ckpt-7", and back (0: not of this form). */
enum { PREFIX_TEXT_BYTES = 40 };
void committer_prefix_format(char text[PREFIX_TEXT_BYTES], uint64_t prefix);
uint64_t committer_prefix_parse(const char *text, const char **rest_out);

#endif
