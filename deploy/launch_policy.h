/* What a launch does when a task ends, a signal comes or time passes. Pure: no I/O, no clock. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_LAUNCH_POLICY_H
#define PARAMD_DEPLOY_LAUNCH_POLICY_H

#include <stdbool.h>
#include <stdint.h>

enum ps_launch_role { PS_LAUNCH_PS, PS_LAUNCH_WORKER };

enum ps_launch_phase {
    PS_LAUNCH_RUNNING,
    PS_LAUNCH_PS_LEFT,  /* a ps task has ended well while workers run: they must be ending too */
    PS_LAUNCH_ENDING,   /* every worker has ended well: the ps tasks must follow by themselves */
    PS_LAUNCH_STOPPING, /* everyone was asked to end */
    PS_LAUNCH_KILLING   /* everyone was killed */
};

/* Why a launch did not simply complete. */
enum ps_launch_cause {
    PS_LAUNCH_NO_CAUSE,
    PS_LAUNCH_TASK_FAILED,
    PS_LAUNCH_PS_LEFT_WORKERS, /* a ps task ended, and workers went on without it */
    PS_LAUNCH_PS_STAYED,       /* ps tasks did not end after the last worker */
    PS_LAUNCH_SIGNALLED
};

/* What to do to every task that still runs. */
enum ps_launch_action { PS_LAUNCH_NOTHING, PS_LAUNCH_TERMINATE, PS_LAUNCH_KILL };

struct ps_launch_policy {
    enum ps_launch_phase phase;
    enum ps_launch_cause cause;
    int exit_code; /* of the whole launch; the first failure's */
    int ps_running;
    int workers_running;
    int64_t deadline_ms; /* of the phase; 0: none */
    int64_t grace_ms;    /* between asking to end and killing, and for ps tasks to follow workers */
};

struct ps_launch_policy ps_launch_policy_start(int ps_count, int worker_count, int64_t grace_ms);

/* Each is told the time and returns what to do now. exit_code: 128 + n for signal n. */
enum ps_launch_action ps_launch_policy_ended(struct ps_launch_policy *policy, int64_t now_ms,
                                             enum ps_launch_role role, int exit_code);
enum ps_launch_action ps_launch_policy_signal(struct ps_launch_policy *policy, int64_t now_ms,
                                              int signal_number);
enum ps_launch_action ps_launch_policy_tick(struct ps_launch_policy *policy, int64_t now_ms);

/* Whether every task has ended. */
bool ps_launch_policy_over(const struct ps_launch_policy *policy);

#endif
