/* Runs the processes of a launch: starts them, passes on their output, and sees them all end. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_SUPERVISOR_H
#define PARAMD_DEPLOY_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "deploy/child.h"
#include "deploy/launch_policy.h"
#include "deploy/relay.h"

/* A process to run. Zero-initialise, set the first four. */
struct ps_supervised {
    enum ps_launch_role role;
    int index;                      /* of the task in its job */
    char *const *argv;              /* borrowed */
    const struct ps_child_env *env; /* borrowed */
    struct ps_relay relay;          /* made by the caller, who cleans it */
    struct ps_child child;
    bool started;
    bool ended;
    int exit_code; /* once ended */
    int64_t started_ms;
    int64_t ended_ms;
};

struct ps_supervisor {
    struct ps_terminal *terminal;
    struct ps_supervised *tasks;
    int task_count;
    int64_t grace_ms;
    struct ps_launch_policy policy; /* the outcome, after ps_supervisor_run */
    int stray_count;                /* processes that tasks left behind, and that were killed */
};

/* Starts every task and returns when all have ended, and nothing below this process runs any more.
 * SIGINT, SIGTERM and SIGHUP are taken meanwhile: the first asks the tasks to end, the second kills
 * them. Returns the exit code of the launch: 0, that of the first task that failed, or 128 + n
 * for signal n. What failed was said on the terminal, with the task's last lines. Call it in a
 * process without threads of its own (those that OpenBLAS made before main end at the first fork).
 */
int ps_supervisor_run(struct ps_supervisor *supervisor);

#endif
