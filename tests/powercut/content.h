/* Checkpoints that tell their number: every byte of one follows from it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_CONTENT_H
#define PARAMD_TESTS_CONTENT_H

#include <stdint.h>

#include "core/status.h"

struct ps_files;

/* Saves checkpoint number (> 0) to prefix, with one data file through a writer or with several
 * parts: that follows from number as well. */
PS_MUST_CHECK enum ps_code content_save(const struct ps_files *files, const char *prefix,
                                        uint64_t number, struct ps_error *err);

/* Opens prefix and compares every tensor with what a checkpoint of the number it states holds.
 * Errors: NOT_FOUND (no checkpoint there); DATA_LOSS (anything else than one whole number). */
PS_MUST_CHECK enum ps_code content_load(const struct ps_files *files, const char *prefix,
                                        uint64_t *number_out, struct ps_error *err);

/* Data files, and bytes in them. */
int content_shard_count(uint64_t number);
uint64_t content_size_bytes(uint64_t number);

#endif
