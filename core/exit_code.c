/* Exit codes of every program of paramd: which failures a supervisor should retry. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/exit_code.h"

int ps_exit_code_of(enum ps_code code)
{
    switch (code) {
    case PS_OK: return PS_EXIT_OK;
    case PS_INVALID_ARGUMENT:
    case PS_ALREADY_EXISTS:
    case PS_OUT_OF_RANGE:
    case PS_DATA_LOSS:
    case PS_FAILED_PRECONDITION: return PS_EXIT_DATA;
    case PS_NOT_FOUND: return PS_EXIT_NO_INPUT;
    case PS_UNIMPLEMENTED: return PS_EXIT_PROTOCOL;
    case PS_PERMISSION_DENIED:
    case PS_UNAUTHENTICATED: return PS_EXIT_USAGE;
    case PS_UNAVAILABLE:
    case PS_ABORTED:
    case PS_CANCELLED: return PS_EXIT_PEER_LOST;
    case PS_DEADLINE_EXCEEDED: return PS_EXIT_START_TIMEOUT;
    case PS_RESOURCE_EXHAUSTED: return PS_EXIT_STORAGE;
    case PS_UNKNOWN:
    case PS_INTERNAL: return PS_EXIT_SOFTWARE;
    }
    return PS_EXIT_SOFTWARE;
}

const char *ps_exit_code_help(void)
{
    return "Exit codes: 0 success.\n"
           "Permanent, do not retry:\n"
           "   64 usage: flags, environment, cluster description, permissions\n"
           "   65 data: shapes, dtypes, values, damaged files\n"
           "   66 input not found: data set, file, variable\n"
           "   68 address cannot be resolved or bound\n"
           "   70 internal error\n"
           "   76 versions or jobs that do not fit together\n"
           "Transient, retry:\n"
           "  200 a task was lost or answers no more\n"
           "  201 not every task was there in time\n"
           "  202 the coordinator was lost\n"
           "  203 storage or memory exhausted\n";
}
