/* The name of a checkpoint that was most likely meant by one that is not in it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_NEAREST_NAME_H
#define PARAMD_CHECKPOINT_NEAREST_NAME_H

#include "checkpoint/bundle_reader.h"

/* The stored name with the fewest letters to insert, remove or change, at most a third of name's;
 * NULL when none is near. Looks at the first 20,000 names. Borrowed from the reader. */
const char *ps_nearest_name(const struct ps_bundle_reader *reader, const char *name);

#endif
