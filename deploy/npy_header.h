/* The header of an .npy file: the type and shape of one array, as text between fixed bytes. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_NPY_HEADER_H
#define PARAMD_DEPLOY_NPY_HEADER_H

#include "core/bytes.h"
#include "core/tensor.h"

/* Bytes from which the size of a header is known; every header has more. And the largest that is
 * read: a shape and a type need 200 bytes, only records of fields need more. */
enum { PS_NPY_START_BYTES = 12, PS_NPY_HEADER_BYTES_MAX = 1 << 16 };

/* Appends the header that numpy.save writes, a multiple of 64 bytes. bfloat16, which NumPy lacks,
 * becomes '<V2', as it does when ml_dtypes saves it. */
PS_MUST_CHECK enum ps_code ps_npy_header_format(enum ps_dtype dtype, const struct ps_shape *shape,
                                                struct ps_buf *out, struct ps_error *err);

/* The size of the header that begins so. INVALID_ARGUMENT if it is none, or too large. */
PS_MUST_CHECK enum ps_code ps_npy_header_size(const uint8_t start[PS_NPY_START_BYTES],
                                              size_t *size_out, struct ps_error *err);

/* A whole header of version 1, 2 or 3. INVALID_ARGUMENT with what is wrong, and what to call in
 * NumPy first: not C order, not little-endian, a type or rank that no variable has. */
PS_MUST_CHECK enum ps_code ps_npy_header_parse(struct ps_span header, enum ps_dtype *dtype_out,
                                               struct ps_shape *shape_out, struct ps_error *err);

#endif
