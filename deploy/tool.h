/* What the tools that look at a running cluster share: flags, connecting, saying what failed. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_TOOL_H
#define PARAMD_DEPLOY_TOOL_H

#include <argp.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "deploy/cluster_flags.h"

struct ps_inspector;

/* Flags of every tool. Zero-initialise. */
struct ps_tool {
    struct ps_cluster_choice choice;
    bool as_json;
    int64_t timeout_ms;
};

/* argp child for --json and --timeout, whose input is a struct ps_tool; the cluster's flags are a
 * child of its own. */
extern const struct argp ps_tool_argp;

/* Finds the cluster and connects. *exit_code_out: the process's exit code on failure, which has
 * been explained on standard error. */
bool ps_tool_connect(const struct ps_tool *tool, struct ps_inspector **inspector_out,
                     int *exit_code_out);

/* The exit code of a failed call: a task that does not answer in time is lost, not late. */
int ps_tool_exit_code(enum ps_code code);

/* "paramd: <message>" on standard error, and the exit code of err. */
int ps_tool_explain(const struct ps_error *err);

/* A line on standard error for each ps task that did not answer. */
void ps_tool_warn_dead(const struct ps_inspector *inspector);

/* Prints root on standard output and drops it; NULL (no memory): PS_EXIT_STORAGE, else code. */
int ps_tool_print_json(json_t *root, int code);

#endif
