/* A directory: its checkpoints, leftovers of saves, and what the state file says of them. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_CKPT_SCAN_PRIV_H
#define PARAMD_DEPLOY_CKPT_SCAN_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

/* One prefix. */
struct psi_ckpt_found {
    char *name;     /* without the directory */
    bool has_index; /* it is a checkpoint; the next six say what kind of one */
    double time_s;
    size_t tensor_count;
    uint32_t shard_count;
    uint64_t size_bytes; /* of its files */
    char problem[256];   /* why it cannot be read; "" if it can */
    int64_t step;        /* at the end of its name; -1: none */
    bool is_listed;      /* in the state file; without has_index: only there */
    bool is_latest;
    size_t leftover_count; /* files of unfinished saves and removals */
    uint64_t leftover_bytes;
};

struct psi_ckpt_scan {
    struct psi_ckpt_found *items; /* oldest first */
    size_t count;
    bool has_state; /* there is a state file */
};

/* Scans a directory, completing decided saves first. Zero-initialise; psi_ckpt_scan_clean. A state
 * file that cannot be read is reported on standard error. Errors: the directory's, memory. */
PS_MUST_CHECK enum ps_code psi_ckpt_scan_read(const char *directory, struct psi_ckpt_scan *scan,
                                              struct ps_error *err);
void psi_ckpt_scan_clean(struct psi_ckpt_scan *scan);

#endif
