/* The flags that say where the cluster is, shared by the subcommands. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_CLUSTER_FLAGS_H
#define PARAMD_DEPLOY_CLUSTER_FLAGS_H

#include <argp.h>

#include "core/cluster_config.h"
#include "core/status.h"

struct ps_cluster;

/* Input of the parsers below: strings of argv, not copied. Zero-initialise. */
struct ps_cluster_choice {
    struct ps_cluster_flags flags;
    int worker_count; /* --worker_count; 0: not given */
};

/* argp children. task: for a task of the cluster; tool: for a process that looks at it. */
extern const struct argp ps_cluster_flags_task;
extern const struct argp ps_cluster_flags_tool;

/* The value of --worker_count, else of PS_WORKER_COUNT; 0 when neither is given.
 * INVALID_ARGUMENT for one that is no number. */
PS_MUST_CHECK enum ps_code ps_cluster_flags_workers(const struct ps_cluster_choice *choice,
                                                    int *count_out, struct ps_error *err);

/* The cluster of this ps task: flags, PS_*, TF_CONFIG. Errors: as ps_cluster_config_load, and
 * INVALID_ARGUMENT when this process is another task than a ps. */
PS_MUST_CHECK enum ps_code ps_cluster_flags_load_ps(const struct ps_cluster_choice *choice,
                                                    struct ps_cluster *cluster_out,
                                                    struct ps_error *err);

/* The cluster that a tool is to look at: flags, PS_*, TF_CONFIG, else the one that `paramd launch`
 * started last from this directory. Says on standard error which it was. */
PS_MUST_CHECK enum ps_code ps_cluster_flags_load_tool(const struct ps_cluster_choice *choice,
                                                      struct ps_cluster *cluster_out,
                                                      struct ps_error *err);

#endif
