/* Time: a monotonic clock behind a table of one function, so that tests can turn it by hand. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CORE_CLOCK_H
#define PARAMD_CORE_CLOCK_H

#include <stdint.h>

/* Nanoseconds since an arbitrary start; never goes back. Wall clocks are for log lines only. */
struct ps_clock {
    int64_t (*now_ns)(void *ctx);
    void *ctx;
};

/* CLOCK_MONOTONIC. Static; never freed. */
const struct ps_clock *ps_clock_monotonic(void);

static inline int64_t ps_clock_now_ns(const struct ps_clock *clock)
{
    return clock->now_ns(clock->ctx);
}

static inline int64_t ps_clock_now_ms(const struct ps_clock *clock)
{
    return clock->now_ns(clock->ctx) / 1000000;
}

/* A clock that stands still until it is turned. Not thread-safe. */
struct ps_fake_clock {
    struct ps_clock clock;
    int64_t now_ns;
};

void ps_fake_clock_init(struct ps_fake_clock *fake, int64_t now_ns);

#endif
