/* Element types: the table of names and sizes, half and bfloat16 conversions. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/dtype.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define SUPPORTED                                                                               \
    "float, double, half, bfloat16, int8, int16, int32, int64, uint8, uint16, uint32, uint64, " \
    "bool"

struct dtype_row {
    const char *name;
    const char *alias; /* another spelling, NULL if none */
    int size_bytes;    /* 0: not a variable's type */
};

/* Index: TensorFlow's DataType. Rows of size 0 are known by name only. */
static const struct dtype_row rows[] = {
    [0] = { "invalid", NULL, 0 },
    [PS_FLOAT] = { "float", "float32", 4 },
    [PS_DOUBLE] = { "double", "float64", 8 },
    [PS_INT32] = { "int32", "int", 4 },
    [PS_UINT8] = { "uint8", NULL, 1 },
    [PS_INT16] = { "int16", NULL, 2 },
    [PS_INT8] = { "int8", NULL, 1 },
    [PS_STRING] = { "string", NULL, 0 },
    [8] = { "complex64", NULL, 0 },
    [PS_INT64] = { "int64", NULL, 8 },
    [PS_BOOL] = { "bool", NULL, 1 },
    [11] = { "qint8", NULL, 0 },
    [12] = { "quint8", NULL, 0 },
    [13] = { "qint32", NULL, 0 },
    [PS_BFLOAT16] = { "bfloat16", NULL, 2 },
    [15] = { "qint16", NULL, 0 },
    [16] = { "quint16", NULL, 0 },
    [PS_UINT16] = { "uint16", NULL, 2 },
    [18] = { "complex128", NULL, 0 },
    [PS_HALF] = { "half", "float16", 2 },
    [20] = { "resource", NULL, 0 },
    [21] = { "variant", NULL, 0 },
    [PS_UINT32] = { "uint32", NULL, 4 },
    [PS_UINT64] = { "uint64", NULL, 8 },
    [24] = { "float8_e5m2", NULL, 0 },
    [25] = { "float8_e4m3fn", NULL, 0 },
    [29] = { "int4", NULL, 0 },
    [30] = { "uint4", NULL, 0 },
};

enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

/* NULL for numbers TensorFlow has not given out, or that we do not know. */
static const struct dtype_row *find_row(long number)
{
    if (number < 0 || number >= ROW_COUNT || rows[number].name == NULL) { return NULL; }
    return &rows[number];
}

int ps_dtype_size(enum ps_dtype dtype)
{
    const struct dtype_row *row = find_row((long)dtype);
    return row == NULL ? 0 : row->size_bytes;
}

const char *ps_dtype_name(int number)
{
    const struct dtype_row *row = find_row(number);
    return row == NULL ? "unknown" : row->name;
}

static bool row_is_called(const struct dtype_row *row, const char *text)
{
    return row->name != NULL && (strcasecmp(row->name, text) == 0 ||
                                 (row->alias != NULL && strcasecmp(row->alias, text) == 0));
}

enum ps_code ps_dtype_parse(const char *text, enum ps_dtype *dtype_out, struct ps_error *err)
{
    *dtype_out = PS_DTYPE_INVALID;
    const char *name = strncasecmp(text, "DT_", 3) == 0 ? text + 3 : text;
    for (int number = 1; number < ROW_COUNT; number++) {
        if (!row_is_called(&rows[number], name)) { continue; }
        if (rows[number].size_bytes == 0) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "a variable cannot have the type '%s'; it can have: " SUPPORTED, text);
        }
        *dtype_out = (enum ps_dtype)number;
        return PS_OK;
    }
    return ps_fail(err, PS_INVALID_ARGUMENT, "unknown type '%s'; expected one of: " SUPPORTED,
                   text);
}

enum ps_code ps_dtype_from_number(long number, enum ps_dtype *dtype_out, struct ps_error *err)
{
    *dtype_out = PS_DTYPE_INVALID;
    const struct dtype_row *row = find_row(number);
    if (row == NULL || number == 0) {
        return ps_fail(err, PS_UNIMPLEMENTED,
                       "type number %ld is none that is known; known are: " SUPPORTED, number);
    }
    if (row->size_bytes == 0 && number != PS_STRING) {
        return ps_fail(err, PS_UNIMPLEMENTED,
                       "type %s (number %ld) is not supported; supported are: " SUPPORTED,
                       row->name, number);
    }
    *dtype_out = (enum ps_dtype)number;
    return PS_OK;
}

int ps_dtype_is_floating(enum ps_dtype dtype)
{
    return dtype == PS_FLOAT || dtype == PS_DOUBLE || dtype == PS_HALF || dtype == PS_BFLOAT16;
}

static uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* value / 2^shift to the nearest integer, ties to even; 1 <= shift <= 31. */
static uint32_t shift_nearest_even(uint32_t value, uint32_t shift)
{
    uint32_t kept = value >> shift;
    uint32_t rest = value & ((1u << shift) - 1);
    uint32_t middle = 1u << (shift - 1);
    return kept + (rest > middle || (rest == middle && (kept & 1u) != 0));
}

uint16_t ps_float_to_half(float value)
{
    uint32_t bits = float_bits(value);
    uint32_t sign = bits >> 16 & 0x8000u;
    uint32_t magnitude = bits & 0x7fffffffu;
    uint32_t exponent = magnitude >> 23;
    uint32_t half;
    if (magnitude > 0x7f800000u) { /* NaN: quiet, with the upper payload bits */
        half = 0x7e00u | (magnitude >> 13 & 0x3ffu);
    } else if (magnitude >= 0x477ff000u) { /* 65520 and above round to infinity */
        half = 0x7c00u;
    } else if (exponent >= 113) { /* 2^-14 and above: normal; rebias 127 to 15 and round */
        half = shift_nearest_even(magnitude - (112u << 23), 13);
    } else if (exponent >= 102) { /* subnormal, in units of 2^-24 */
        half = shift_nearest_even((magnitude & 0x7fffffu) | 0x800000u, 126 - exponent);
    } else { /* below 2^-25 */
        half = 0;
    }
    return (uint16_t)(sign | half);
}

float ps_half_to_float(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    uint32_t exponent = bits >> 10 & 0x1fu;
    uint32_t fraction = bits & 0x3ffu;
    if (exponent == 0) { /* zero and subnormal: exact in float */
        float magnitude = (float)fraction * 0x1p-24f;
        return float_from_bits(sign | float_bits(magnitude));
    }
    if (exponent == 31) { return float_from_bits(sign | 0x7f800000u | fraction << 13); }
    return float_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t ps_float_to_bfloat16(float value)
{
    uint32_t bits = float_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) { return (uint16_t)(bits >> 16 | 0x40u); }
    return (uint16_t)shift_nearest_even(bits, 16);
}

float ps_bfloat16_to_float(uint16_t bits)
{
    return float_from_bits((uint32_t)bits << 16);
}
