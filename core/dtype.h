/* Element types, by TensorFlow's numbers. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CORE_DTYPE_H
#define PARAMD_CORE_DTYPE_H

#include <stdint.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The types a variable can have. Numbers are TensorFlow's DataType; the others of that list
 * (complex, quantised, string, resource, variant, float8, int4) are refused by name. */
enum ps_dtype {
    PS_DTYPE_INVALID = 0,
    PS_FLOAT = 1,
    PS_DOUBLE = 2,
    PS_INT32 = 3,
    PS_UINT8 = 4,
    PS_INT16 = 5,
    PS_INT8 = 6,
    PS_STRING = 7, /* checkpoint files only: never a variable's type */
    PS_INT64 = 9,
    PS_BOOL = 10,
    PS_BFLOAT16 = 14,
    PS_UINT16 = 17,
    PS_HALF = 19,
    PS_UINT32 = 22,
    PS_UINT64 = 23
};

/* Bytes an element; 0 for PS_STRING and for every number that is no type of ours. */
int ps_dtype_size(enum ps_dtype dtype);

/* TensorFlow's short name ("float", "half", "int64"); for its unsupported types too
 * ("complex64"); "type 57" style numbers give "unknown". */
const char *ps_dtype_name(int number);

/* "float", "float32", "DT_FLOAT" ... INVALID_ARGUMENT names the text and what is supported. */
PS_MUST_CHECK enum ps_code ps_dtype_parse(const char *text, enum ps_dtype *dtype_out,
                                          struct ps_error *err);

/* A number from a file or the wire; UNIMPLEMENTED naming the type if it is not one of ours. */
PS_MUST_CHECK enum ps_code ps_dtype_from_number(long number, enum ps_dtype *dtype_out,
                                                struct ps_error *err);

/* Whether optimizers accept it: float, double, half, bfloat16. */
int ps_dtype_is_floating(enum ps_dtype dtype);

/* Conversions, round to nearest even; NaN stays NaN, infinities stay. */
uint16_t ps_float_to_half(float value);
float ps_half_to_float(uint16_t bits);
uint16_t ps_float_to_bfloat16(float value);
float ps_bfloat16_to_float(uint16_t bits);

#ifdef __cplusplus
}
#endif

#endif
