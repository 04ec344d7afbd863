/* Cluster descriptions in JSON: TensorFlow's ClusterSpec and TF_CONFIG. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CORE_CLUSTER_JSON_PRIV_H
#define PARAMD_CORE_CLUSTER_JSON_PRIV_H

#include "core/cluster.h"
#include "core/status.h"

/* The most tasks there can be, with 250 bytes for each: a larger text is no description. */
enum { PS_CLUSTER_JSON_BYTES = 1 << 20 };

/* TF_CONFIG's "task". */
struct psi_tf_task {
    char type[PS_JOB_NAME_BYTES]; /* "" when there is none */
    int index;                    /* -1 when not given */
};

/* Adds the tasks of {"ps": ["host:port"], "worker": {"3": "host:port"}}.
 * source is named in errors. Evaluators are left out: nobody waits for them. */
PS_MUST_CHECK enum ps_code psi_cluster_json_spec(const char *text, const char *source,
                                                 struct ps_cluster *cluster, struct ps_error *err);

/* Adds the tasks of TF_CONFIG's "cluster" or "sparseCluster", if it has one, and reads "task". */
PS_MUST_CHECK enum ps_code psi_cluster_json_tf_config(const char *text, struct ps_cluster *cluster,
                                                      struct psi_tf_task *task_out,
                                                      struct ps_error *err);

/* A decimal number in [0, PS_MAX_TASK_INDEX], or -1. */
int psi_cluster_json_index(const char *text);

#endif
