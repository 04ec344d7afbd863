/* Writes .safetensors files: a JSON header of types, shapes and offsets, then the bytes. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_SAFETENSORS_WRITER_H
#define PARAMD_DEPLOY_SAFETENSORS_WRITER_H

#include "deploy/archive.h"

/* Begins a file. tensors is borrowed until the destroy. Data is laid out with the widest types
 * first, so that all of it is aligned. Errors: the file's; INVALID_ARGUMENT (the one name that the
 * format reserves, too many tensors for a header); RESOURCE_EXHAUSTED. */
PS_MUST_CHECK enum ps_code ps_safetensors_writer_create(const char *path,
                                                        const struct ps_archive_list *tensors,
                                                        struct ps_archive_writer **writer_out,
                                                        struct ps_error *err);

#endif
