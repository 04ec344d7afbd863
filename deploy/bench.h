/* `paramd bench`: push, pull and apply, measured against what this machine can do at most. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_BENCH_H
#define PARAMD_DEPLOY_BENCH_H

/* argv[0] is "paramd bench", the flags follow. Returns the exit code (core/exit_code.h). Forks:
 * called before any thread or gRPC is started in this process. */
int ps_bench_main(int argc, char **argv);

#endif
