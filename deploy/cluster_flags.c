/* The flags that say where the cluster is, shared by the subcommands. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/cluster_flags.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/cluster.h"
#include "deploy/options.h"
#include "deploy/run_dir.h"

enum {
    KEY_CLUSTER = 1000,
    KEY_PS_HOSTS,
    KEY_WORKER_HOSTS,
    KEY_JOB_NAME,
    KEY_TASK_INDEX,
    KEY_WORKER_COUNT
};

#define CLUSTER_OPTIONS                                                                           \
    { "ps_hosts", KEY_PS_HOSTS, "HOST:PORT,...", 0, "Addresses of the ps tasks", 10 },            \
        { "worker_hosts", KEY_WORKER_HOSTS, "HOST:PORT,...", 0, "Addresses of the workers", 10 }, \
    {                                                                                             \
        "cluster", KEY_CLUSTER, "FILE|JSON", 0,                                                   \
            "The cluster as a ClusterSpec: {\"ps\": [\"h:2222\"], \"worker\": ...}", 10           \
    }

static const struct argp_option task_options[] = {
    { NULL, 0, NULL, 0,
      "Which cluster this is, and which task of it (or PS_*, or TF_CONFIG):", 10 },
    CLUSTER_OPTIONS,
    { "job_name", KEY_JOB_NAME, "JOB", 0, "Job of this task", 10 },
    { "task_index", KEY_TASK_INDEX, "N", 0, "Index of this task in its job", 10 },
    { "worker_count", KEY_WORKER_COUNT, "N", 0,
      "How many workers will come, where the cluster does not list them", 10 },
    { 0 },
};

static const struct argp_option tool_options[] = {
    { NULL, 0, NULL, 0,
      "Which cluster to look at (or PS_*, or TF_CONFIG; else the last one launched here):", 10 },
    CLUSTER_OPTIONS,
    { 0 },
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct ps_cluster_choice *choice = state->input;
    switch (key) {
    case KEY_CLUSTER: choice->flags.cluster = argument; return 0;
    case KEY_PS_HOSTS: choice->flags.ps_hosts = argument; return 0;
    case KEY_WORKER_HOSTS: choice->flags.worker_hosts = argument; return 0;
    case KEY_JOB_NAME: choice->flags.job_name = argument; return 0;
    case KEY_TASK_INDEX: choice->flags.task_index = argument; return 0;
    case KEY_WORKER_COUNT:
        choice->worker_count = (int)ps_options_number(state, "--worker_count", argument, 1,
                                                      PS_MAX_TASKS);
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

const struct argp ps_cluster_flags_task = { .options = task_options, .parser = parse };
const struct argp ps_cluster_flags_tool = { .options = tool_options, .parser = parse };

static const char *from_environment(void *ctx, const char *name)
{
    (void)ctx;
    return getenv(name);
}

/* A tool is no task: what the environment says of a role is of the process that started it. */
static const char *without_role(void *ctx, const char *name)
{
    bool role = strcmp(name, "PS_JOB_NAME") == 0 || strcmp(name, "PS_TASK_INDEX") == 0;
    return role ? NULL : from_environment(ctx, name);
}

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

enum ps_code ps_cluster_flags_workers(const struct ps_cluster_choice *choice, int *count_out,
                                      struct ps_error *err)
{
    const char *text = getenv("PS_WORKER_COUNT");
    *count_out = choice->worker_count;
    if (choice->worker_count > 0 || !given(text)) { return PS_OK; }
    char *end;
    long count = strtol(text, &end, 10);
    if (*end != '\0' || count < 1 || count > PS_MAX_TASKS) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "PS_WORKER_COUNT '%s' is not a whole number from 1 to %d", text,
                       PS_MAX_TASKS);
    }
    *count_out = (int)count;
    return PS_OK;
}

enum ps_code ps_cluster_flags_load_ps(const struct ps_cluster_choice *choice,
                                      struct ps_cluster *cluster_out, struct ps_error *err)
{
    struct ps_cluster_inputs inputs = { .flags = choice->flags, .get_env = from_environment };
    bool said = given(choice->flags.job_name) || given(getenv("PS_JOB_NAME")) ||
                given(getenv("TF_CONFIG"));
    if (!said) { inputs.flags.job_name = "ps"; } /* the subcommand says it */
    enum ps_code rc = ps_cluster_config_load(&inputs, cluster_out, err);
    if (rc != PS_OK || strcmp(cluster_out->job_name, "ps") == 0) { return rc; }
    rc = ps_fail(err, PS_INVALID_ARGUMENT,
                 "this command runs a ps task, but the cluster (from %s) makes this process "
                 "/job:%s/task:%d. Give --job_name=ps, or run paramd worker",
                 cluster_out->source, cluster_out->job_name, cluster_out->task_index);
    ps_cluster_clean(cluster_out);
    return rc;
}

enum ps_code ps_cluster_flags_load_tool(const struct ps_cluster_choice *choice,
                                        struct ps_cluster *cluster_out, struct ps_error *err)
{
    struct ps_cluster_inputs inputs = { .flags = choice->flags,
                                        .get_env = without_role,
                                        .role_optional = true };
    const struct ps_cluster_flags *flags = &choice->flags;
    bool described = given(flags->cluster) || given(flags->ps_hosts) ||
                     given(flags->worker_hosts) || given(getenv("PS_CLUSTER")) ||
                     given(getenv("PS_HOSTS")) || given(getenv("TF_CONFIG"));
    *cluster_out = (struct ps_cluster){ 0 };
    if (!described && access(PS_RUN_LATEST_CLUSTER, R_OK) != 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "cluster not given, and none was launched from this directory. Give "
                       "--ps_hosts=HOST:PORT, or start one: paramd launch --ps 2 --workers 2");
    }
    if (!described) { inputs.flags.cluster = PS_RUN_LATEST_CLUSTER; }
    enum ps_code rc = ps_cluster_config_load(&inputs, cluster_out, err);
    if (rc != PS_OK) { return rc; }
    fprintf(stderr, "cluster: %d ps (from %s)\n", ps_cluster_task_count(cluster_out, "ps"),
            cluster_out->source);
    if (!described && access(PS_RUN_LATEST_SUMMARY, R_OK) == 0) {
        fprintf(stderr, "note: that job has ended; see %s\n", PS_RUN_LATEST_SUMMARY);
    }
    return PS_OK;
}
