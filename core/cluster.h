/* The cluster: which tasks there are, where each listens, and which of them this process is. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CORE_CLUSTER_H
#define PARAMD_CORE_CLUSTER_H

#include <stdbool.h>

#include "core/device.h"
#include "core/status.h"

enum {
    PS_DEFAULT_PORT = 2222, /* the port of TensorFlow's examples and of TFJob */
    /* "host:port": a DNS name has at most 253 bytes, brackets and ":65535" come on top. */
    PS_ADDRESS_BYTES = 264,
    /* A ps task keeps a connection and a ledger row for each worker, and addresses are compared in
     * pairs: far above the largest clusters known, and still checked in the blink of an eye. */
    PS_MAX_TASKS = 4096,
    /* Sparse worker numbers may run ahead of their count, as workers come and go. */
    PS_MAX_TASK_INDEX = 65535,
    PS_CLUSTER_SOURCE_BYTES = 256,
    PS_CLUSTER_TEXT_BYTES = 640
};

struct ps_task {
    int index;
    char *address; /* "host:port", never without a port */
};

struct ps_job {
    char name[PS_JOB_NAME_BYTES];
    struct ps_task *tasks; /* by rising index; gaps are allowed */
    int task_count;
    int task_capacity;
};

/* Zero-initialise; ps_cluster_clean when done. Not locked: built first, then only read. */
struct ps_cluster {
    struct ps_job *jobs; /* in the order they were added */
    int job_count;
    char job_name[PS_JOB_NAME_BYTES]; /* of this process; "" when it has no role */
    int task_index;
    char source[PS_CLUSTER_SOURCE_BYTES]; /* "flags", "TF_CONFIG", "file X", "launcher" */
};

void ps_cluster_clean(struct ps_cluster *cluster);

/* A copy of its own. to: zeroed before; zeroed again on failure. */
PS_MUST_CHECK enum ps_code ps_cluster_copy(const struct ps_cluster *from, struct ps_cluster *to,
                                           struct ps_error *err);

/* Adds one task. address: "host", "host:port" or "[v6]:port"; port 2222 when it has none. Port 0
 * is refused: nobody could find it. Errors: INVALID_ARGUMENT for a bad job, index or address, for a
 * task given twice, and for an address that another task has (both are named). */
PS_MUST_CHECK enum ps_code ps_cluster_add(struct ps_cluster *cluster, const char *job, int index,
                                          const char *address, struct ps_error *err);

/* Says which task this process is. NOT_FOUND if the cluster has no such task; an evaluator is the
 * exception: it is never in the cluster, since nobody waits for it. */
PS_MUST_CHECK enum ps_code ps_cluster_set_role(struct ps_cluster *cluster, const char *job,
                                               int index, struct ps_error *err);
bool ps_cluster_has_role(const struct ps_cluster *cluster);

/* NULL if there is none. Borrowed until the cluster changes. */
const struct ps_job *ps_cluster_find_job(const struct ps_cluster *cluster, const char *job);

/* "host:port", borrowed. NOT_FOUND: "No such job in cluster: 'x'", "No task with index 3 in job
 * 'ps'", each with what there is. */
PS_MUST_CHECK enum ps_code ps_cluster_address(const struct ps_cluster *cluster, const char *job,
                                              int index, const char **address_out,
                                              struct ps_error *err);

/* Tasks of a job; 0 if there is none. */
int ps_cluster_task_count(const struct ps_cluster *cluster, const char *job);

/* Workers are the tasks of the jobs chief, master and worker, counted in this order. */
int ps_cluster_worker_count(const struct ps_cluster *cluster);
/* A task's number among the workers: with a chief, the chief is worker 0 and /job:worker/task:0
 * is worker 1. -1 if the job holds no workers. */
int ps_cluster_worker_index(const struct ps_cluster *cluster, const char *job, int task_index);

/* "cluster: 2 ps, 4 workers (from TF_CONFIG); I am /job:ps/task:1". Returns text. */
const char *ps_cluster_describe(const struct ps_cluster *cluster, char text[PS_CLUSTER_TEXT_BYTES]);

/* Checks an address and writes it with its port: "host" becomes "host:2222". */
PS_MUST_CHECK enum ps_code ps_cluster_normalize_address(const char *address,
                                                        char out[PS_ADDRESS_BYTES],
                                                        struct ps_error *err);

#endif
