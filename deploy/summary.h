/* The summary of a launch: what its sessions reported, joined; as JSON and as a line for people. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_SUMMARY_H
#define PARAMD_DEPLOY_SUMMARY_H

#include <jansson.h>
#include <stddef.h>

#include "core/status.h"

enum { PS_SUMMARY_LINE_BYTES = 512 };

/* One task of the launch, as its supervisor saw it. */
struct ps_summary_task {
    const char *task; /* "/job:worker/task:1" */
    const char *log;  /* name of its log */
    int exit_code;
    double seconds;
};

struct ps_summary_options {
    const char *run;            /* the directory: worker-N.json are read from it */
    const char *const *command; /* what the workers ran, ended by NULL */
    const struct ps_summary_task *tasks;
    size_t task_count;
    int ps_count;
    int worker_count;
    int exit_code;
    double seconds; /* of the launch */
};

/* Reads worker-0.json to worker-(N-1).json, where they are, and joins them: counts are summed,
 * steps is the furthest global step, staleness is weighted by steps, shares are of all workers'
 * time. A worker without a file (it failed, or is no session) is left out and counted as missing.
 * *summary_out: json_decref. Errors: RESOURCE_EXHAUSTED; DATA_LOSS for a file that is no JSON. */
PS_MUST_CHECK enum ps_code ps_summary_build(const struct ps_summary_options *options,
                                            json_t **summary_out, struct ps_error *err);

/* "18.4 s; step 6,000; test accuracy 86.7 %; 38 k examples/s; ..."; returns line. */
const char *ps_summary_format(const json_t *summary, char line[PS_SUMMARY_LINE_BYTES]);

#endif
