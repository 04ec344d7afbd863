/* paramd ckpt: checkpoint files looked at, checked, compared, converted and pruned, offline. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_CKPT_H
#define PARAMD_DEPLOY_CKPT_H

/* argv[0] is "paramd ckpt", argv[1] the subcommand. Returns the process's exit code. */
int ps_ckpt_main(int argc, char **argv);

#endif
