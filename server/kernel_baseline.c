/* The kernels for the compiler's default instruction set. */
/* SPDX-License-Identifier: Apache-2.0 */
#define KERNEL_SET      psi_kernel_baseline
#define KERNEL_SET_NAME "baseline"
#include "server/kernel_variant.h"
