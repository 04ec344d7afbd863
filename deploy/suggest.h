/* "Did you mean": the known word nearest to one that was mistyped. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_SUGGEST_H
#define PARAMD_DEPLOY_SUGGEST_H

#include <stddef.h>

/* The name of names that word was most likely meant to be; NULL when none is near: more than a
 * third of its letters would have to change. '-' and '_' count as equal, as does case. Borrowed. */
const char *ps_suggest_nearest(const char *word, const char *const *names, size_t count);

#endif
