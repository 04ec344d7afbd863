/* Device names in TensorFlow's grammar: which task, or which device of it, is meant. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CORE_DEVICE_H
#define PARAMD_CORE_DEVICE_H

#include <stdbool.h>

#include "core/status.h"

/* A job name is a letter, then letters, digits and '_'; both limits count the final NUL.
 * The text limit holds every canonical name: three numbers, both names, the five keys. */
enum { PS_JOB_NAME_BYTES = 64, PS_DEVICE_TYPE_BYTES = 32, PS_DEVICE_TEXT_BYTES = 192 };

/* A device, or a pattern of devices: a field without its flag is not specified. */
struct ps_device {
    bool has_job;
    bool has_replica;
    bool has_task;
    bool has_type;
    bool has_id;
    char job[PS_JOB_NAME_BYTES];
    int replica;
    int task;
    char type[PS_DEVICE_TYPE_BYTES]; /* upper case: "CPU" */
    int id;
};

/* Reads "/job:ps/replica:0/task:7/cpu:0", "/task:7", "/device:CPU:0", "/job:*", "", "/": fields in
 * any order, any subset of them; '*' means not specified; a later repetition overwrites.
 * Errors: INVALID_ARGUMENT names the part and the text, and says what is expected. */
PS_MUST_CHECK enum ps_code ps_device_parse(const char *text, struct ps_device *device_out,
                                           struct ps_error *err);

/* Canonical: job, replica, task, "/device:TYPE:ID" ('*' for a missing one of the two); "" when
 * nothing is specified. Returns text. */
const char *ps_device_format(const struct ps_device *device, char text[PS_DEVICE_TEXT_BYTES]);

/* What inner specifies, and for the rest what outer does: nested device scopes. */
struct ps_device ps_device_merge(const struct ps_device *outer, const struct ps_device *inner);

/* Whether device has every field that pattern specifies, with the same value. */
bool ps_device_matches(const struct ps_device *pattern, const struct ps_device *device);

bool ps_device_job_name_is_valid(const char *name);

#endif
