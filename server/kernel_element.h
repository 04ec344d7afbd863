/* Half and bfloat16 to float and back, without branches, so that loops over them vectorise. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_KERNEL_ELEMENT_H
#define PARAMD_SERVER_KERNEL_ELEMENT_H

#include <stdint.h>
#include <string.h>

static inline uint32_t bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Shifting exponent and fraction into place leaves the exponent 112 too small. A subnormal half
 * gets the exponent of 2^-14 and then loses the leading one that it does not have. */
static inline float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t magnitude = (uint32_t)(half & 0x7fffu) << 13;
    uint32_t exponent = magnitude & 0x0f800000u;
    uint32_t normal = magnitude + (112u << 23);
    uint32_t special = magnitude + (224u << 23); /* infinity, NaN */
    uint32_t subnormal = bits_of_float(float_of_bits(magnitude + (113u << 23)) -
                                       float_of_bits(113u << 23));
    uint32_t bits = exponent == 0x0f800000u ? special : normal;
    bits = exponent == 0 ? subnormal : bits;
    return float_of_bits(bits | sign);
}

/* Rounds to nearest even. A number below 2^-14 is rounded by adding one half: the sum has the
 * spacing of subnormal halves, 2^-24. */
static inline uint16_t float_to_half(float value)
{
    uint32_t bits = bits_of_float(value);
    uint32_t sign = bits >> 16 & 0x8000u;
    uint32_t magnitude = bits & 0x7fffffffu;
    uint32_t odd = magnitude >> 13 & 1u;
    uint32_t normal = (magnitude - (112u << 23) + 0xfffu + odd) >> 13;
    uint32_t subnormal = bits_of_float(float_of_bits(magnitude) + 0.5f) - 0x3f000000u;
    uint32_t nan = 0x7e00u | (magnitude >> 13 & 0x3ffu);
    uint32_t half = magnitude < 113u << 23 ? subnormal : normal;
    half = magnitude >= 0x477ff000u ? 0x7c00u : half; /* 65520 and above */
    half = magnitude > 0x7f800000u ? nan : half;
    return (uint16_t)(half | sign);
}

static inline float bfloat16_to_float(uint16_t bfloat)
{
    return float_of_bits((uint32_t)bfloat << 16);
}

static inline uint16_t float_to_bfloat16(float value)
{
    uint32_t bits = bits_of_float(value);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    uint32_t nan = bits >> 16 | 0x40u;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

#endif
