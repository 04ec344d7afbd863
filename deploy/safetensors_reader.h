/* Reads .safetensors files: a JSON header of types, shapes and offsets, then the bytes. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_SAFETENSORS_READER_H
#define PARAMD_DEPLOY_SAFETENSORS_READER_H

#include "deploy/archive.h"

/* Errors name the path: NOT_FOUND; DATA_LOSS (no such file, cut, offsets that overlap, leave gaps
 * or do not fit their shapes); INVALID_ARGUMENT (a type that no variable has). The format has no
 * checksums: a changed value is not seen. */
PS_MUST_CHECK enum ps_code ps_safetensors_reader_open(const char *path,
                                                      struct ps_archive_reader **reader_out,
                                                      struct ps_error *err);

#endif
