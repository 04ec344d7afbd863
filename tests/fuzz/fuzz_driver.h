/* What a fuzz target gives and what runs it where libFuzzer is not. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_FUZZ_DRIVER_H
#define PARAMD_TESTS_FUZZ_DRIVER_H

#include <stddef.h>
#include <stdint.h>

/* libFuzzer's entry: must return 0 whatever the bytes are; aborts on a broken promise. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Inputs to begin with, as hex bytes ("+N": N zeros); NULL ends the list. */
extern const char *const ps_fuzz_seeds[];

#endif
