/* Pairs of standard normal numbers from random bits, with the same bits out on every machine. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_NORMAL_PRIV_H
#define PARAMD_SERVER_NORMAL_PRIV_H

#include "core/philox.h"

/* Box-Muller on the block's two 64-bit halves. The C library's log, sin and cos differ in the
 * last bit between its versions and between processors, so that two slices of one variable could
 * come from two different functions; these are ours and use only correctly rounded operations. */
void psi_normal_pair(struct ps_philox_block block, double pair_out[2]);

/* For tests. */
double psi_normal_log(double x); /* natural logarithm; x normal, > 0 */
void psi_normal_turn(double turn, double *cos_out, double *sin_out); /* of 2*pi*turn, in [0,1) */

#endif
