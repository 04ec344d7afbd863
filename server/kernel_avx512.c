/* The kernels for AVX-512 (F, BW, DQ, VL). */
/* SPDX-License-Identifier: Apache-2.0 */
#if defined(__x86_64__)
#define KERNEL_SET      psi_kernel_avx512
#define KERNEL_SET_NAME "avx512"
#include "server/kernel_variant.h"
#else
typedef int ps_nothing_here; /* ISO C wants a declaration */
#endif
