/* The directory that a launch leaves behind: logs, the cluster's addresses, the summary. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_RUN_DIR_H
#define PARAMD_DEPLOY_RUN_DIR_H

#include "core/status.h"

#define PS_RUN_PARENT         "run"
#define PS_RUN_LATEST_CLUSTER PS_RUN_PARENT "/latest/cluster.json"
#define PS_RUN_LATEST_SUMMARY PS_RUN_PARENT "/latest/summary.json"

/* Makes parent (if it is not there) and in it a directory of its own, named by time and pid:
 * "run/20250131-142501-4711", and points parent/latest to it. *path_out: ps_free.
 * Errors: those of errno, naming the path. */
PS_MUST_CHECK enum ps_code ps_run_dir_create(const char *parent, char **path_out,
                                             struct ps_error *err);

/* "directory/name"; NULL when out of memory. ps_free. */
char *ps_run_dir_path(const char *directory, const char *name);

/* Writes text to path, whole or not at all. */
PS_MUST_CHECK enum ps_code ps_run_dir_write_file(const char *path, const char *text,
                                                 struct ps_error *err);
/* The same for directory/name. */
PS_MUST_CHECK enum ps_code ps_run_dir_write(const char *directory, const char *name,
                                            const char *text, struct ps_error *err);

#endif
