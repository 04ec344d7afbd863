/* Box-Muller with series of our own for logarithm, cosine and sine. Built without fused
 * multiply-add (-ffp-contract=off), so that every machine rounds at the same places. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "server/normal_priv.h"

static const double LN2 = 0.693147180559945309417;
static const double TWO_PI = 6.283185307179586476925;

/* x = 2^e * m with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m-1)/(m+1), |s| < 0.172.
 * The first term left out is below 1e-18. */
double psi_normal_log(double x)
{
    const uint64_t sqrt_half = 0x3fe6a09e667f3bcdu;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t shifted = bits - sqrt_half;
    int64_t exponent = (int64_t)shifted >> 52;
    bits = (shifted & 0x000fffffffffffffu) + sqrt_half;
    double m;
    memcpy(&m, &bits, sizeof m);

    double s = (m - 1.0) / (m + 1.0);
    double q = s * s;
    double series = 1.0 / 21;
    series = series * q + 1.0 / 19;
    series = series * q + 1.0 / 17;
    series = series * q + 1.0 / 15;
    series = series * q + 1.0 / 13;
    series = series * q + 1.0 / 11;
    series = series * q + 1.0 / 9;
    series = series * q + 1.0 / 7;
    series = series * q + 1.0 / 5;
    series = series * q + 1.0 / 3;
    return (double)exponent * LN2 + (2.0 * s + 2.0 * s * (q * series));
}

/* Taylor on [-pi/4, pi/4], where the first terms left out are below 1e-18. */
static double cosine(double x)
{
    double q = x * x;
    double series = 1.0 / 6402373705728000.0; /* 18! */
    series = 1.0 / 20922789888000.0 - series * q;
    series = 1.0 / 87178291200.0 - series * q;
    series = 1.0 / 479001600.0 - series * q;
    series = 1.0 / 3628800.0 - series * q;
    series = 1.0 / 40320.0 - series * q;
    series = 1.0 / 720.0 - series * q;
    series = 1.0 / 24.0 - series * q;
    series = 0.5 - series * q;
    return 1.0 - series * q;
}

static double sine(double x)
{
    double q = x * x;
    double series = 1.0 / 355687428096000.0; /* 17! */
    series = 1.0 / 1307674368000.0 - series * q;
    series = 1.0 / 6227020800.0 - series * q;
    series = 1.0 / 39916800.0 - series * q;
    series = 1.0 / 362880.0 - series * q;
    series = 1.0 / 5040.0 - series * q;
    series = 1.0 / 120.0 - series * q;
    series = 1.0 / 6.0 - series * q;
    return x - x * (series * q);
}

/* The nearest quarter turn is taken off exactly; the rest is within an eighth. */
void psi_normal_turn(double turn, double *cos_out, double *sin_out)
{
    int quarter = (int)(4.0 * turn + 0.5);
    double x = (turn - 0.25 * quarter) * TWO_PI;
    double c = cosine(x);
    double s = sine(x);
    double c_swapped = (quarter & 1) != 0 ? s : c;
    double s_swapped = (quarter & 1) != 0 ? c : s;
    *cos_out = ((quarter + 1) & 2) != 0 ? -c_swapped : c_swapped;
    *sin_out = (quarter & 2) != 0 ? -s_swapped : s_swapped;
}

static double bits53(uint32_t high, uint32_t low)
{
    return (double)(((uint64_t)high << 32 | low) >> 11);
}

void psi_normal_pair(struct ps_philox_block block, double pair_out[2])
{
    double above_zero = (bits53(block.word[0], block.word[1]) + 1.0) * 0x1p-53; /* (0,1] */
    double turn = bits53(block.word[2], block.word[3]) * 0x1p-53;               /* [0,1) */
    double radius = sqrt(-2.0 * psi_normal_log(above_zero));
    double c, s;
    psi_normal_turn(turn, &c, &s);
    pair_out[0] = radius * c;
    pair_out[1] = radius * s;
}
