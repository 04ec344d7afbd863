/* The subcommands of paramd: argv[0] is "paramd <name>"; each returns the process's exit code. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_COMMANDS_H
#define PARAMD_DEPLOY_COMMANDS_H

int ps_cmd_launch(int argc, char **argv);
int ps_cmd_ps(int argc, char **argv);
int ps_cmd_status(int argc, char **argv);
int ps_cmd_vars(int argc, char **argv);
int ps_cmd_get(int argc, char **argv);
int ps_cmd_set(int argc, char **argv);
int ps_cmd_save(int argc, char **argv);
int ps_cmd_restore(int argc, char **argv);
int ps_cmd_health(int argc, char **argv);

#endif
