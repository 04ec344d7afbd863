/* NumPy's .npz archives: a zip file with an .npy file for each tensor. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_NPZ_H
#define PARAMD_DEPLOY_NPZ_H

#include "deploy/archive.h"

struct ps_zip_writer_options;

/* Opens an archive of numpy.savez or numpy.savez_compressed: the tensor 'a/b' is its member
 * 'a/b.npy'. Errors: those of ps_zip_reader_open and ps_npy_header_parse, naming file and member;
 * DATA_LOSS if a member's size is not its type's and shape's. */
PS_MUST_CHECK enum ps_code ps_npz_reader_open(const char *path,
                                              struct ps_archive_reader **reader_out,
                                              struct ps_error *err);

/* Begins an uncompressed archive. tensors is borrowed until the destroy. options: or NULL. The same
 * tensors make the same bytes. Errors: the file's, RESOURCE_EXHAUSTED. */
PS_MUST_CHECK enum ps_code ps_npz_writer_create(const char *path,
                                                const struct ps_archive_list *tensors,
                                                const struct ps_zip_writer_options *options,
                                                struct ps_archive_writer **writer_out,
                                                struct ps_error *err);

#endif
