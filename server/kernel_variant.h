/* All kernels for the instruction set of the file that includes this, in a table called
 * KERNEL_SET with the name KERNEL_SET_NAME. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_KERNEL_VARIANT_H
#define PARAMD_SERVER_KERNEL_VARIANT_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "server/kernel_element.h"
#include "server/kernel_priv.h"

#define SAME(x) (x)

#define NAME(op) op##_float
#define ELEMENT  float
#define COMPUTE  float
#define LOAD     SAME
#define STORE    SAME
#define SQRT     sqrtf
#define BITS     uint32_t
#define EXPONENT 0x7f800000u
#include "server/kernel_floating.h"

#define NAME(op) op##_double
#define ELEMENT  double
#define COMPUTE  double
#define LOAD     SAME
#define STORE    SAME
#define SQRT     sqrt
#define BITS     uint64_t
#define EXPONENT 0x7ff0000000000000u
#include "server/kernel_floating.h"

#define NAME(op) op##_half
#define ELEMENT  uint16_t
#define COMPUTE  float
#define LOAD     half_to_float
#define STORE    float_to_half
#define SQRT     sqrtf
#define BITS     uint16_t
#define EXPONENT 0x7c00u
#include "server/kernel_floating.h"

#define NAME(op) op##_bfloat16
#define ELEMENT  uint16_t
#define COMPUTE  float
#define LOAD     bfloat16_to_float
#define STORE    float_to_bfloat16
#define SQRT     sqrtf
#define BITS     uint16_t
#define EXPONENT 0x7f80u
#include "server/kernel_floating.h"

#define NAME(op) op##_8
#define ELEMENT  uint8_t
#include "server/kernel_integer.h"

#define NAME(op) op##_16
#define ELEMENT  uint16_t
#include "server/kernel_integer.h"

#define NAME(op) op##_32
#define ELEMENT  uint32_t
#include "server/kernel_integer.h"

#define NAME(op) op##_64
#define ELEMENT  uint64_t
#include "server/kernel_integer.h"

#define FLOATING(op)                                                           \
    [PS_FLOAT] = op##_float, [PS_DOUBLE] = op##_double, [PS_HALF] = op##_half, \
    [PS_BFLOAT16] = op##_bfloat16

#define INTEGERS(op)                                                                      \
    [PS_INT8] = op##_8, [PS_UINT8] = op##_8, [PS_INT16] = op##_16, [PS_UINT16] = op##_16, \
    [PS_INT32] = op##_32, [PS_UINT32] = op##_32, [PS_INT64] = op##_64, [PS_UINT64] = op##_64

const struct psi_kernel_set KERNEL_SET = {
    .name = KERNEL_SET_NAME,
    .ops = { [PS_KERNEL_ASSIGN] = { FLOATING(assign), INTEGERS(assign), [PS_BOOL] = assign_8 },
             [PS_KERNEL_ADD] = { FLOATING(add), INTEGERS(add) },
             [PS_KERNEL_SUB] = { FLOATING(sub), INTEGERS(sub) },
             [PS_KERNEL_SGD] = { FLOATING(sgd) },
             [PS_KERNEL_MOMENTUM] = { FLOATING(momentum) },
             [PS_KERNEL_NESTEROV] = { FLOATING(nesterov) },
             [PS_KERNEL_ADAM] = { FLOATING(adam) } },
    .first_nonfinite = { FLOATING(first_nonfinite) },
};

#endif
