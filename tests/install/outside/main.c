/* A program outside the source tree: it knows the installed header and library, and nothing else.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <paramd.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("%s %s %d\n", ps_version(), ps_code_name(PS_NOT_FOUND), ps_dtype_size(PS_HALF));
        return 0;
    }
    /* Nothing listens there: the library explains itself, and ps_finish tells how it ended. */
    ps_options options = { .ps_hosts = argc == 2 ? argv[1] : "127.0.0.1:1",
                           .worker_count = 1,
                           .start_timeout_ms = 500,
                           .no_environment = 1 };
    ps_session *session = ps_connect(&options);
    ps_var *w = ps_variable(session, "w", PS_FLOAT, PS_SHAPE(2, 3), ps_zeros());
    if (w != NULL || ps_ok(session)) { return 1; }
    return ps_finish(session);
}
