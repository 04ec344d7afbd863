/* Which variables the cluster has and where: decided once, on ps task 0, by who asks first. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_DIRECTORY_H
#define PARAMD_SERVER_DIRECTORY_H

#include "proto/messages.h"

struct ps_directory;

/* NULL when out of memory. */
struct ps_directory *ps_directory_create(uint32_t ps_count);
void ps_directory_destroy(struct ps_directory *directory);

/* Places a variable, or finds it. reply_out points into the directory; entries are never changed
 * or removed. Errors: ALREADY_EXISTS (defined differently; both are shown), INVALID_ARGUMENT
 * (partitioner, device), RESOURCE_EXHAUSTED. Threads: any. */
PS_MUST_CHECK enum ps_code ps_directory_declare(struct ps_directory *directory,
                                                const struct ps_declare_request *request,
                                                struct ps_declare_reply *reply_out,
                                                struct ps_error *err);

#endif
