/* One child process of the launcher: started in a group of its own, and never outliving us. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_CHILD_H
#define PARAMD_DEPLOY_CHILD_H

#include <stddef.h>
#include <sys/types.h>

#include "core/status.h"

/* A variable of the child's environment; value NULL removes it. */
struct ps_child_env {
    const char *name;
    const char *value;
};

struct ps_child {
    pid_t pid;
    int out_fd; /* read ends of its standard output and standard error, non-blocking */
    int err_fd;
};

/* Starts argv[0], searched for in PATH, with standard input from /dev/null. The child leads its own
 * process group, has no signal blocked, and is killed by the kernel if the calling process dies,
 * however it dies. Call from the main thread of a process without other threads: the kernel ties
 * the child to the thread that started it. env: ended by a NULL name.
 * Errors: NOT_FOUND, PERMISSION_DENIED, ... when the program cannot be run, naming it. */
PS_MUST_CHECK enum ps_code ps_child_start(char *const *argv, const struct ps_child_env *env,
                                          struct ps_child *child_out, struct ps_error *err);

/* Sends a signal to the child's whole group. A group that is gone is no error. */
void ps_child_signal(const struct ps_child *child, int signal_number);

/* The exit code that a shell would show for a status of wait: 128 + n for signal n. */
int ps_child_exit_code(int wait_status);

/* Kills and reaps every process that is still below us, grandchildren that were left to us
 * (ps_child_adopt) included. Returns how many there were. */
int ps_child_kill_rest(void);

/* From now on orphans of our children become our children, so that none can hide. */
void ps_child_adopt(void);

#endif
