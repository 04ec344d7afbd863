/* Slots of a variable: what an optimizer remembers for each of its elements. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_SLOT_H
#define PARAMD_SERVER_SLOT_H

#include <stdint.h>

#include "core/status.h"

struct ps_variable;

/* The plane of the slot called name, made (bytes promised, every element initial) if it is not in
 * use yet. purpose: what the plane is for, see ps_plane; 0 takes any.
 * Errors: INVALID_ARGUMENT (the name serves another purpose, too many slots), RESOURCE_EXHAUSTED.
 * Threads: any; does not wait for a running update. */
PS_MUST_CHECK enum ps_code ps_slot_open(struct ps_variable *variable, const char *name,
                                        double initial, uint32_t purpose, int *plane_out,
                                        struct ps_error *err);

#endif
