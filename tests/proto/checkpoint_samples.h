/* One full and one least message of each kind that saves or restores. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_PROTO_CHECKPOINT_SAMPLES_H
#define PARAMD_TESTS_PROTO_CHECKPOINT_SAMPLES_H

#include "proto/codec_checkpoint.h"

/* As in codec_samples.h. */
#define DECLARE_SAMPLES(name)                    \
    extern const struct ps_##name sample_##name; \
    extern const struct ps_##name least_##name;
PS_CHECKPOINT_MESSAGES(DECLARE_SAMPLES)
#undef DECLARE_SAMPLES

#endif
