/* The kernels for AVX2. */
/* SPDX-License-Identifier: Apache-2.0 */
#if defined(__x86_64__)
#define KERNEL_SET      psi_kernel_avx2
#define KERNEL_SET_NAME "avx2"
#include "server/kernel_variant.h"
#else
typedef int ps_nothing_here; /* ISO C wants a declaration */
#endif
