/* A cluster inside one process: ps tasks on free ports, sessions that talk to them. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_CLUSTER_RIG_H
#define PARAMD_TESTS_CLUSTER_RIG_H

#include "client/paramd.h"
#include "server/ps_task.h"

enum { RIG_MAX_PS = 8 };

struct cluster_rig {
    int ps_count;
    int worker_count;
    struct ps_server_task *tasks[RIG_MAX_PS];
    char ps_hosts[RIG_MAX_PS * 32];
};

/* Starts the ps tasks; ck_asserts that they start. staged_limit_bytes 0: the default. */
void rig_start(struct cluster_rig *rig, int ps_count, int worker_count);
void rig_start_limited(struct cluster_rig *rig, int ps_count, int worker_count,
                       uint64_t staged_limit_bytes);
/* The same; tune may change the options of each task before it is made. */
typedef void rig_tune_fn(void *ctx, int index, struct ps_task_options *options);
void rig_start_tuned(struct cluster_rig *rig, int ps_count, int worker_count, rig_tune_fn *tune,
                     void *ctx);
void rig_stop(struct cluster_rig *rig);

/* Options of worker index: short time-outs, nothing from the environment, quiet. */
ps_options rig_options(const struct cluster_rig *rig, int index);
/* A connected session; ck_asserts that it is usable. */
ps_session *rig_connect(const struct cluster_rig *rig, int index);

/* Waits until every ps task has ended by itself, at most 30 s each. */
void rig_expect_complete(struct cluster_rig *rig);

#endif
