/* Definitions of variables as values: copy, compare, check and print them. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_PROTO_DEFINITION_H
#define PARAMD_PROTO_DEFINITION_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"
#include "proto/messages.h"

enum { PS_DEFINITION_TEXT_BYTES = 512 };

/* Deep copy into one block of memory of its own; clean frees it. */
PS_MUST_CHECK enum ps_code ps_definition_copy(const struct ps_definition *from,
                                              struct ps_definition *to_out, struct ps_error *err);
void ps_definition_clean(struct ps_definition *definition);

/* Whether two definitions ask for the same variable: name, dtype, shape, initializer, free_shape.
 * Device, partitioner and placement are wishes of whoever comes first. */
bool ps_definition_equal(const struct ps_definition *a, const struct ps_definition *b);

/* "float[784,200] random_normal(0, 0.35, seed 1)"; cut at size. Returns text. */
const char *ps_definition_format(const struct ps_definition *definition, char *text, size_t size);
/* "random_normal(0, 0.35, seed 1)", "2 * initialized_value(weights)". Returns text. */
const char *ps_initializer_format(const struct ps_initializer_spec *spec, char *text, size_t size);

/* A variable's name: 1 to PS_MAX_NAME_BYTES bytes of valid UTF-8 without control characters, not
 * starting with "_paramd/" (ours) or "/". INVALID_ARGUMENT says which rule. */
PS_MUST_CHECK enum ps_code ps_name_check(const char *name, struct ps_error *err);

#endif
