/* Initial values, each a pure function of seed and element index: the slicing never shows. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_INITIALIZER_H
#define PARAMD_SERVER_INITIALIZER_H

#include <stdint.h>

#include "core/status.h"
#include "proto/messages.h"

/* Whether the definition's initializer fits its type and shape. INVALID_ARGUMENT names the
 * variable and says why not. Random numbers: normal and glorot for floating types, uniform also
 * for integers (whole bounds); constants must be values of the type. */
PS_MUST_CHECK enum ps_code ps_initializer_check(const struct ps_definition *definition,
                                                struct ps_error *err);

/* Elements [first, first + count) of the WHOLE variable in row-major order into out (aligned to
 * the element). The definition was checked and is not of kind PS_INIT_TENSOR. Values are the same
 * on every machine. Threads: any. */
void ps_initializer_fill(const struct ps_definition *definition, int64_t first, void *out,
                         int64_t count);

#endif
