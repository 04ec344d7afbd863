/* What a launch does when a task ends, a signal comes or time passes. Pure: no I/O, no clock. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/launch_policy.h"

#include "core/exit_code.h"

struct ps_launch_policy ps_launch_policy_start(int ps_count, int worker_count, int64_t grace_ms)
{
    return (struct ps_launch_policy){ .phase = PS_LAUNCH_RUNNING,
                                      .cause = PS_LAUNCH_NO_CAUSE,
                                      .exit_code = PS_EXIT_OK,
                                      .ps_running = ps_count,
                                      .workers_running = worker_count,
                                      .grace_ms = grace_ms };
}

bool ps_launch_policy_over(const struct ps_launch_policy *policy)
{
    return policy->ps_running == 0 && policy->workers_running == 0;
}

static void enter(struct ps_launch_policy *policy, enum ps_launch_phase phase, int64_t now_ms)
{
    policy->phase = phase;
    policy->deadline_ms = now_ms + policy->grace_ms;
}

/* The first cause counts; what follows is its consequence. */
static enum ps_launch_action fail(struct ps_launch_policy *policy, int64_t now_ms,
                                  enum ps_launch_cause cause, int exit_code)
{
    if (policy->cause == PS_LAUNCH_NO_CAUSE) {
        policy->cause = cause;
        policy->exit_code = exit_code;
    }
    if (policy->phase >= PS_LAUNCH_STOPPING) { return PS_LAUNCH_NOTHING; }
    enter(policy, PS_LAUNCH_STOPPING, now_ms);
    return PS_LAUNCH_TERMINATE;
}

enum ps_launch_action ps_launch_policy_ended(struct ps_launch_policy *policy, int64_t now_ms,
                                             enum ps_launch_role role, int exit_code)
{
    int *running = role == PS_LAUNCH_PS ? &policy->ps_running : &policy->workers_running;
    (*running)--;
    if (policy->phase >= PS_LAUNCH_STOPPING) { return PS_LAUNCH_NOTHING; }
    if (exit_code != PS_EXIT_OK) { return fail(policy, now_ms, PS_LAUNCH_TASK_FAILED, exit_code); }
    if (policy->workers_running == 0 && policy->ps_running > 0) {
        if (policy->phase != PS_LAUNCH_ENDING) { enter(policy, PS_LAUNCH_ENDING, now_ms); }
    } else if (policy->workers_running > 0 && role == PS_LAUNCH_PS &&
               policy->phase == PS_LAUNCH_RUNNING) {
        enter(policy, PS_LAUNCH_PS_LEFT, now_ms);
    }
    return PS_LAUNCH_NOTHING;
}

enum ps_launch_action ps_launch_policy_signal(struct ps_launch_policy *policy, int64_t now_ms,
                                              int signal_number)
{
    if (policy->phase < PS_LAUNCH_STOPPING) {
        return fail(policy, now_ms, PS_LAUNCH_SIGNALLED, 128 + signal_number);
    }
    enter(policy, PS_LAUNCH_KILLING, now_ms); /* a second signal: no more patience */
    return PS_LAUNCH_KILL;
}

enum ps_launch_action ps_launch_policy_tick(struct ps_launch_policy *policy, int64_t now_ms)
{
    if (policy->deadline_ms == 0 || now_ms < policy->deadline_ms) { return PS_LAUNCH_NOTHING; }
    switch (policy->phase) {
    case PS_LAUNCH_RUNNING: return PS_LAUNCH_NOTHING;
    case PS_LAUNCH_PS_LEFT:
        return fail(policy, now_ms, PS_LAUNCH_PS_LEFT_WORKERS, PS_EXIT_PEER_LOST);
    case PS_LAUNCH_ENDING: return fail(policy, now_ms, PS_LAUNCH_PS_STAYED, PS_EXIT_SOFTWARE);
    case PS_LAUNCH_STOPPING:
    case PS_LAUNCH_KILLING: break;
    }
    enter(policy, PS_LAUNCH_KILLING, now_ms);
    return PS_LAUNCH_KILL;
}
