/* Whether two ps tasks see the same checkpoint. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_INDEX_PRINT_H
#define PARAMD_SERVER_INDEX_PRINT_H

#include <stdint.h>

#include "core/status.h"

struct ps_files;

/* Tells one index file from another: all that a checkpoint holds follows from it, checksums of the
 * data files included. */
struct ps_index_print {
    uint64_t size_bytes;
    uint32_t crc32c;
};

/* Of PREFIX.index. Errors: the files'. */
PS_MUST_CHECK enum ps_code ps_index_print_take(const struct ps_files *files, const char *prefix,
                                               struct ps_index_print *print_out,
                                               struct ps_error *err);

#endif
