/* Random numbers by counter: Random123's Philox4x32-10 and what is made of its bits. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/philox.h"

#include <math.h>

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include <Random123/philox.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#include "core/status.h"

static const double TWO_PI = 6.283185307179586476925;

struct ps_philox_block ps_philox(uint64_t seed, uint32_t stream, uint64_t index)
{
    philox4x32_ctr_t counter = { { (uint32_t)index, (uint32_t)(index >> 32), stream, 0 } };
    philox4x32_key_t key = { { (uint32_t)seed, (uint32_t)(seed >> 32) } };
    philox4x32_ctr_t bits = philox4x32(counter, key);
    return (struct ps_philox_block){ { bits.v[0], bits.v[1], bits.v[2], bits.v[3] } };
}

static uint64_t join(uint32_t high, uint32_t low)
{
    return (uint64_t)high << 32 | low;
}

/* The upper 53 bits: as many as a double holds exactly. */
static double bits53(uint32_t high, uint32_t low)
{
    return (double)(join(high, low) >> 11);
}

double ps_philox_uniform(struct ps_philox_block block)
{
    return bits53(block.word[0], block.word[1]) * 0x1p-53;
}

double ps_philox_normal(struct ps_philox_block block)
{
    double above_zero = (bits53(block.word[0], block.word[1]) + 1.0) * 0x1p-53; /* (0,1] */
    double turn = bits53(block.word[2], block.word[3]) * 0x1p-53;               /* [0,1) */
    return sqrt(-2.0 * log(above_zero)) * cos(TWO_PI * turn);
}

struct ps_rng ps_rng_make(uint64_t seed, uint32_t stream)
{
    return (struct ps_rng){ .seed = seed, .stream = stream };
}

static struct ps_philox_block next_block(struct ps_rng *rng)
{
    return ps_philox(rng->seed, rng->stream, rng->next_index++);
}

uint64_t ps_rng_u64(struct ps_rng *rng)
{
    struct ps_philox_block block = next_block(rng);
    return join(block.word[0], block.word[1]);
}

double ps_rng_uniform(struct ps_rng *rng)
{
    return ps_philox_uniform(next_block(rng));
}

uint64_t ps_rng_below(struct ps_rng *rng, uint64_t bound)
{
    PS_ASSERT(bound > 0);
    /* 2^64 mod bound: below it, the low residues would come up once too often. */
    uint64_t rejected = (UINT64_MAX - bound + 1) % bound;
    uint64_t drawn;
    do {
        drawn = ps_rng_u64(rng);
    } while (drawn < rejected);
    return drawn % bound;
}
