/* The bytes of one member of a zip file, stored or deflated, from its first to its last. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_ZIP_STREAM_H
#define PARAMD_DEPLOY_ZIP_STREAM_H

#include <stddef.h>

#include "core/status.h"

struct ps_zip_reader;
struct ps_zip_stream;

/* zip is borrowed until the close. RESOURCE_EXHAUSTED only. */
PS_MUST_CHECK enum ps_code ps_zip_stream_open(const struct ps_zip_reader *zip, size_t index,
                                              struct ps_zip_stream **stream_out,
                                              struct ps_error *err);
void ps_zip_stream_close(struct ps_zip_stream *stream); /* takes NULL */

/* The next size_bytes bytes. DATA_LOSS if there are fewer, or the packed data is damaged; when
 * these are the member's last, also if its checksum does not match. */
PS_MUST_CHECK enum ps_code ps_zip_stream_read(struct ps_zip_stream *stream, void *out,
                                              size_t size_bytes, struct ps_error *err);

#endif
