/* NumPy's .npy files: one tensor with its type and shape. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_NPY_H
#define PARAMD_DEPLOY_NPY_H

#include "core/status.h"

struct ps_tensor;

/* Writes path whole or not at all (a temporary name, then a rename). bfloat16, which NumPy has not,
 * becomes float32. Errors: those of errno, naming the path. */
PS_MUST_CHECK enum ps_code ps_npy_write(const char *path, const struct ps_tensor *tensor,
                                        struct ps_error *err);

/* Reads versions 1 to 3, little-endian, C order. tensor_out: ps_tensor_clean when done.
 * Errors name the path: NOT_FOUND, INVALID_ARGUMENT (no .npy file; an order, type or shape that is
 * none of ours, with what to call in NumPy first), DATA_LOSS (shorter or longer than its shape). */
PS_MUST_CHECK enum ps_code ps_npy_read(const char *path, struct ps_tensor *tensor_out,
                                       struct ps_error *err);

#endif
