/* One full and one least message of each kind, for tests of the codec and as seeds to fuzz it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_PROTO_CODEC_SAMPLES_H
#define PARAMD_TESTS_PROTO_CODEC_SAMPLES_H

#include "proto/codec.h"
#include "proto/messages.h"

/* full: no field has its default, so that one left out on the way is missed. least: what a decoder
 * demands and nothing else; texts are NULL. Static. */
#define DECLARE_SAMPLES(name)                    \
    extern const struct ps_##name sample_##name; \
    extern const struct ps_##name least_##name;
PS_MESSAGES(DECLARE_SAMPLES)
#undef DECLARE_SAMPLES

#endif
