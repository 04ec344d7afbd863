/* What the ps tasks of a rig say of themselves, as a test expects it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_CLUSTER_AUDIT_H
#define PARAMD_TESTS_CLUSTER_AUDIT_H

#include <stdint.h>

#include "cluster_rig.h"

/* ck_asserts that every ps task counts step steps and holds nothing staged of any worker. what
 * names the case in failures. */
void audit_expect_settled(const struct cluster_rig *rig, int64_t step, const char *what);

/* The number of the last committed push of a worker; ck_asserts that it is the same on every ps
 * task. */
uint64_t audit_committed(const struct cluster_rig *rig, int worker, const char *what);

#endif
