/* Exit codes of every program of paramd: which failures a supervisor should retry. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CORE_EXIT_CODE_H
#define PARAMD_CORE_EXIT_CODE_H

#include "core/status.h"

/* Permanent failures are sysexits' 64 to 78, transient ones 200 to 209: Kubernetes operators
 * retry codes from 128 on, and shells read 128 to 192 as signals. */
enum ps_exit_code {
    PS_EXIT_OK = 0,
    PS_EXIT_USAGE = 64,          /* flags, environment, cluster description */
    PS_EXIT_DATA = 65,           /* shapes, dtypes, names, values, files that are damaged */
    PS_EXIT_NO_INPUT = 66,       /* a data set, file or variable that is not there */
    PS_EXIT_NO_HOST = 68,        /* an address that cannot be resolved or bound */
    PS_EXIT_SOFTWARE = 70,       /* a fault of ours */
    PS_EXIT_PROTOCOL = 76,       /* versions or jobs that do not fit together */
    PS_EXIT_PEER_LOST = 200,     /* a task went away, or answers no more */
    PS_EXIT_START_TIMEOUT = 201, /* not everyone was there in time */
    PS_EXIT_COORDINATOR_LOST = 202,
    PS_EXIT_STORAGE = 203 /* disk full, I/O error, out of memory */
};

/* The exit code of a failure. */
int ps_exit_code_of(enum ps_code code);

/* The table, a line a code, for --help. */
const char *ps_exit_code_help(void);

#endif
