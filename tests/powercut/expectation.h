/* What must be on a disk after a cut, from the promises that were made before it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_EXPECTATION_H
#define PARAMD_TESTS_EXPECTATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

struct journal;

/* Orphans included: a checkpoint whose save came through and whose state file did not. And saves
 * that were begun one after the other without a promise: one a cut that nobody looked at. */
enum { EXPECTATION_SLOTS_MAX = 256, EXPECTATION_BEGUN_MAX = 8 };

/* One prefix: it may hold any number that was begun since the last promise, or that one. */
struct expectation_slot {
    uint64_t prefix;
    uint64_t promised; /* number reported durable, or seen by a reader; 0: none */
    uint64_t begun[EXPECTATION_BEGUN_MAX];
    size_t begun_count;
    bool is_being_removed;
    /* during a verify */
    bool has_index;
    int data_file_count;
};

struct expectation {
    struct expectation_slot slots[EXPECTATION_SLOTS_MAX];
    size_t slot_count;
    uint64_t latest; /* prefix that the state file was promised to name; 0: no state file yet */
    uint64_t latest_begun[EXPECTATION_BEGUN_MAX];
    size_t latest_begun_count;
    uint64_t highest_number; /* over all events */
    long saved_count;        /* promises */
};

/* An empty disk; numbers and counts go on. */
void expectation_reset(struct expectation *expectation);

/* Events of one committer, after its end. */
void expectation_absorb(struct expectation *expectation, const struct journal *journal);

/* Looks at directory as a restart finds it, recovers it, reads all of it, and expects from then on
 * what it saw. DATA_LOSS says which promise was broken. */
PS_MUST_CHECK enum ps_code expectation_verify(struct expectation *expectation,
                                              const char *directory, struct ps_error *err);

#endif
