/* Text from outside: UTF-8 without control characters, of bounded length. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_PROTO_TEXT_PRIV_H
#define PARAMD_PROTO_TEXT_PRIV_H

#include <stddef.h>

#include "core/status.h"

/* INVALID_ARGUMENT: "300 bytes long, at most 256", "byte 3 is not UTF-8", "byte 3 is a control
 * character". The text itself is never in the message: it may not be printable. Threads: any. */
PS_MUST_CHECK enum ps_code psi_text_check(const char *text, size_t most_bytes,
                                          struct ps_error *err);

#endif
