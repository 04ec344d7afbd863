/* A ps task: everything behind one port; several can run in one process. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_PS_TASK_H
#define PARAMD_SERVER_PS_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

struct ps_cluster;
struct ps_files;
struct ps_server_task;

struct ps_task_options {
    const struct ps_cluster *cluster; /* borrowed for create; its role must be a ps task */
    const char *bind_address;         /* "127.0.0.1:0"; NULL: loopback, or every interface where the
                                      cluster names another host, at the port of the cluster */
    uint64_t
        memory_limit_bytes; /* variables and slots; 0: half of what the machine or cgroup has */
    uint64_t staged_limit_bytes; /* staged pushes; 0: a quarter of it */
    int64_t orphan_timeout_ms;   /* without a word from any worker; 0: 10 minutes */
    int worker_count;            /* workers to expect; 0: as the cluster says, else whoever comes */
    int thread_count;            /* polling threads; 0: half the cores, at most 4 */
    bool keep_alive;             /* goes on after every worker has finished */
    const char *checkpoint_root; /* relative checkpoint paths are below it; NULL: the working
                                    directory */
    const struct ps_files *files; /* of checkpoints; NULL: POSIX. Outlives the task */
};

/* Why a task ended. */
enum ps_task_end {
    PS_TASK_END_COMPLETE, /* every worker has finished */
    PS_TASK_END_STOPPED,  /* ps_task_stop */
    PS_TASK_END_ORPHANED  /* no worker was heard of for the orphan time-out */
};

/* Binds, serves, and joins the job of ps task 0 in the background. Errors: as
 * ps_rpc_server_create; INVALID_ARGUMENT for a cluster without this role. */
PS_MUST_CHECK enum ps_code ps_task_create(const struct ps_task_options *options,
                                          struct ps_server_task **task_out, struct ps_error *err);

/* The port it listens on. */
int ps_task_port(const struct ps_server_task *task);

/* Waits until the job has ended, in slices of at most timeout_ms: false when the time has passed
 * first, so that the caller can look at its signals. Threads: one at a time. */
bool ps_task_wait(struct ps_server_task *task, int64_t timeout_ms, enum ps_task_end *end_out);

/* Makes ps_task_wait return. Threads: any; not from a signal handler. */
void ps_task_stop(struct ps_server_task *task);

/* One line for the end: "job complete at step 6000; 48,112 pulls, 12,000 pushes served". */
const char *ps_task_summary(struct ps_server_task *task, char *text, unsigned long size);

/* Drains for at most grace_ms, joins every thread, frees. Takes NULL. */
void ps_task_destroy(struct ps_server_task *task, int64_t grace_ms);

#endif
