/* The program `paramd worker`: trains a network with as many workers as the cluster has. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_WORKER_TRAIN_H
#define PARAMD_WORKER_TRAIN_H

/* Runs one worker to the end. argv[0] is the program's name, the flags follow. Returns the exit
 * code (core/exit_code.h); what went wrong has been said on standard error. */
int ps_train_main(int argc, char **argv);

#endif
