/* A file that appears whole or not at all: a temporary name, then a rename. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_OUTPUT_FILE_H
#define PARAMD_DEPLOY_OUTPUT_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

struct ps_output_file;

/* Creates PATH.<pid>.tmp. Errors of all these calls: those of errno, naming path. */
PS_MUST_CHECK enum ps_code ps_output_file_create(const char *path, struct ps_output_file **file_out,
                                                 struct ps_error *err);

/* Anywhere, in any order: what is written later may lie before what is there. */
PS_MUST_CHECK enum ps_code ps_output_file_write(struct ps_output_file *file, uint64_t offset,
                                                const void *data, size_t size_bytes,
                                                struct ps_error *err);

/* Syncs, and replaces path. Then only destroy. */
PS_MUST_CHECK enum ps_code ps_output_file_finish(struct ps_output_file *file, struct ps_error *err);

/* Without a finish removes what was written. Takes NULL. */
void ps_output_file_destroy(struct ps_output_file *file);

#endif
