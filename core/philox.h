/* Counter-based random numbers (Philox4x32-10): value i of a seed is a pure function of both. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CORE_PHILOX_H
#define PARAMD_CORE_PHILOX_H

#include <stdint.h>

/* 128 random bits for (seed, stream, index). */
struct ps_philox_block {
    uint32_t word[4];
};

/* stream separates uses of one seed (see ps_philox_stream). Threads: any; pure. */
struct ps_philox_block ps_philox(uint64_t seed, uint32_t stream, uint64_t index);

enum ps_philox_stream {
    PS_STREAM_INITIALIZER = 1,
    PS_STREAM_SHUFFLE = 2,
    PS_STREAM_SYNTHETIC = 3,
    PS_STREAM_TEST = 100
};

/* Uniform in [0,1) with 53 bits from words 0 and 1. */
double ps_philox_uniform(struct ps_philox_block block);
/* Standard normal (Box-Muller on words 0-1 and 2-3; u1 in (0,1], so never infinite). */
double ps_philox_normal(struct ps_philox_block block);

/* A sequential generator over one (seed, stream), for shuffles and tests. */
struct ps_rng {
    uint64_t seed;
    uint32_t stream;
    uint64_t next_index;
};

struct ps_rng ps_rng_make(uint64_t seed, uint32_t stream);
uint64_t ps_rng_u64(struct ps_rng *rng);
double ps_rng_uniform(struct ps_rng *rng);
/* Uniform in [0, bound), without bias; bound > 0. */
uint64_t ps_rng_below(struct ps_rng *rng, uint64_t bound);

#endif
