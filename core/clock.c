/* The monotonic clock, and one that tests turn by hand. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"

#include <time.h>

static int64_t monotonic_now_ns(void *ctx)
{
    (void)ctx;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail: the clock exists, the pointer is good */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static const struct ps_clock monotonic = { .now_ns = monotonic_now_ns };

const struct ps_clock *ps_clock_monotonic(void)
{
    return &monotonic;
}

static int64_t fake_now_ns(void *ctx)
{
    return ((const struct ps_fake_clock *)ctx)->now_ns;
}

void ps_fake_clock_init(struct ps_fake_clock *fake, int64_t now_ns)
{
    *fake = (struct ps_fake_clock){ .clock = { .now_ns = fake_now_ns, .ctx = fake },
                                    .now_ns = now_ns };
}
