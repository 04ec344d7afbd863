/* Finds the cluster and this process's role in flags, PS_* variables or TF_CONFIG. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CORE_CLUSTER_CONFIG_H
#define PARAMD_CORE_CLUSTER_CONFIG_H

#include <stdbool.h>

#include "core/status.h"

struct ps_cluster;

/* What one person may say; NULL or "" where absent. */
struct ps_cluster_flags {
    const char *cluster;      /* --cluster: a JSON text "{...}", or the name of a file with one */
    const char *ps_hosts;     /* --ps_hosts: "host:port,host:port" */
    const char *worker_hosts; /* --worker_hosts */
    const char *job_name;     /* --job_name */
    const char *task_index;   /* --task_index */
};

/* As getenv, of whatever environment ctx stands for. */
typedef const char *ps_getenv_fn(void *ctx, const char *name);

struct ps_cluster_inputs {
    struct ps_cluster_flags flags;
    ps_getenv_fn *get_env; /* NULL: no environment */
    void *env_ctx;
    bool role_optional; /* for tools that look at a cluster without being a task of it */
};

/* Reads, with this precedence: flags; PS_CLUSTER, PS_HOSTS, PS_WORKER_HOSTS, PS_JOB_NAME and
 * PS_TASK_INDEX; TF_CONFIG. The description of the cluster comes whole from the first that has one,
 * and cluster_out->source says from which. Job and task index come each from the first that has it,
 * but TF_CONFIG's index only together with its task type. A job of one task needs no index.
 * cluster_out: zeroed first, left empty on failure; ps_cluster_clean when done.
 * Errors name the source: INVALID_ARGUMENT (text, with line and column for JSON; role not given),
 * NOT_FOUND (file; role not in the cluster), RESOURCE_EXHAUSTED. Reads files; takes no lock. */
PS_MUST_CHECK enum ps_code ps_cluster_config_load(const struct ps_cluster_inputs *inputs,
                                                  struct ps_cluster *cluster_out,
                                                  struct ps_error *err);

#endif
