/* What the parts of one ps task share: its identity, its tables, its counters. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/service.h"

#include <inttypes.h>

enum ps_code ps_service_admit(const struct ps_service *service, const struct ps_header *header,
                              struct ps_error *err)
{
    uint64_t job = atomic_load(&service->job);
    uint64_t generation = atomic_load(&service->generation);
    if (job == 0) {
        return ps_fail(err, PS_UNAVAILABLE, "ps/%" PRIu32 " is up, but has not heard from ps/0 yet",
                       service->task_index);
    }
    if (header->job != 0 && header->job != job) {
        return ps_fail(err, PS_ABORTED,
                       "ps/%" PRIu32 " belongs to job %016" PRIx64
                       ", the request to job %016" PRIx64
                       ". The cluster was started anew; start the worker again",
                       service->task_index, job, header->job);
    }
    if (header->generation != 0 && header->generation != generation) {
        return ps_fail(err, PS_ABORTED,
                       "ps/%" PRIu32 " is in generation %" PRIu64
                       ", the request in generation %" PRIu64
                       ". The cluster was restored meanwhile; start the worker again",
                       service->task_index, generation, header->generation);
    }
    return PS_OK;
}
