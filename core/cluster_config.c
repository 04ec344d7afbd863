/* Which of the sources describes the cluster, and which says who this process is. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cluster_config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/cluster.h"
#include "core/cluster_json_priv.h"
#include "core/log.h"

/* The flags, or the PS_* variables, which say the same things. */
struct source {
    struct ps_cluster_flags values;
    struct ps_cluster_flags names; /* what to call each in messages */
    const char *label;             /* where a description came from; NULL: the value's own name */
};

/* What is known so far of "who am I". */
struct role {
    const char *job; /* NULL: not given */
    int index;       /* -1: not given */
};

static const struct ps_cluster_flags flag_names = {
    .cluster = "--cluster",
    .ps_hosts = "--ps_hosts",
    .worker_hosts = "--worker_hosts",
    .job_name = "--job_name",
    .task_index = "--task_index",
};

static const struct ps_cluster_flags env_names = {
    .cluster = "PS_CLUSTER",
    .ps_hosts = "PS_HOSTS",
    .worker_hosts = "PS_WORKER_HOSTS",
    .job_name = "PS_JOB_NAME",
    .task_index = "PS_TASK_INDEX",
};

static const char *get_env(const struct ps_cluster_inputs *inputs, const char *name)
{
    return inputs->get_env == NULL ? NULL : inputs->get_env(inputs->env_ctx, name);
}

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static void set_source(struct ps_cluster *cluster, const char *prefix, const char *name)
{
    snprintf(cluster->source, sizeof cluster->source, "%s%s", prefix, name);
}

/* Adds "host:port, host:port" as tasks 0, 1, ... of job. */
static enum ps_code add_hosts(struct ps_cluster *cluster, const char *job, const char *hosts,
                              const char *name, struct ps_error *err)
{
    const char *at = hosts;
    for (int index = 0;; index++) {
        at += strspn(at, " \t\n");
        size_t size = strcspn(at, ",");
        const char *next = at + size;
        while (size > 0 && strchr(" \t\n", at[size - 1]) != NULL) { size--; }

        char address[PS_ADDRESS_BYTES];
        if (size >= sizeof address) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "%s: the address of task %d has %zu bytes; a host name has at most 253",
                           name, index, size);
        }
        memcpy(address, at, size);
        address[size] = '\0';
        enum ps_code rc = ps_cluster_add(cluster, job, index, address, err);
        if (rc != PS_OK) {
            ps_wrap(err, "%s", name);
            return rc;
        }
        if (*next == '\0') { return PS_OK; }
        at = next + 1;
    }
}

/* The whole file, NUL-terminated in buf, if it is not larger than a description may be. */
static enum ps_code read_file(const char *path, struct ps_buf *buf, struct ps_error *err)
{
    enum ps_code rc;
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return ps_fail_errno(err, errno, "cannot open the description of the cluster '%s'", path);
    }
    PS_TRY(done, rc, ps_buf_reserve(buf, PS_CLUSTER_JSON_BYTES + 2, err));
    buf->size = fread(buf->data, 1, PS_CLUSTER_JSON_BYTES + 1, file);
    if (ferror(file)) {
        rc = ps_fail_errno(err, errno, "cannot read the description of the cluster '%s'", path);
    } else if (buf->size > PS_CLUSTER_JSON_BYTES) {
        rc = ps_fail(err, PS_INVALID_ARGUMENT,
                     "file %s: more than %d bytes are too many for a description of a cluster",
                     path, PS_CLUSTER_JSON_BYTES);
    } else if (memchr(buf->data, '\0', buf->size) != NULL) {
        rc = ps_fail(err, PS_INVALID_ARGUMENT, "file %s: not a text: it has a zero byte", path);
    }
    buf->data[buf->size] = '\0';
done:
    fclose(file);
    return rc;
}

/* value is JSON, or else names a file of it. */
static enum ps_code add_json(struct ps_cluster *cluster, const char *value, const char *name,
                             const char *label, struct ps_error *err)
{
    if (value[strspn(value, " \t\r\n")] == '{') {
        set_source(cluster, "", label == NULL ? name : label);
        return psi_cluster_json_spec(value, name, cluster, err);
    }
    struct ps_buf buf = { 0 };
    enum ps_code rc;
    set_source(cluster, "file ", value);
    rc = read_file(value, &buf, err);
    if (rc != PS_OK) {
        ps_wrap(err, "%s", name);
    } else {
        rc = psi_cluster_json_spec((const char *)buf.data, cluster->source, cluster, err);
    }
    ps_buf_clean(&buf);
    return rc;
}

static bool describes_cluster(const struct source *source)
{
    return given(source->values.cluster) || given(source->values.ps_hosts) ||
           given(source->values.worker_hosts);
}

static enum ps_code read_description(const struct source *source, struct ps_cluster *cluster,
                                     struct ps_error *err)
{
    const struct ps_cluster_flags *values = &source->values;
    const struct ps_cluster_flags *names = &source->names;
    bool hosts = given(values->ps_hosts) || given(values->worker_hosts);
    if (given(values->cluster) && hosts) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "give %s, or %s and %s, but not both",
                       names->cluster, names->ps_hosts, names->worker_hosts);
    }
    if (!hosts) { return add_json(cluster, values->cluster, names->cluster, source->label, err); }

    enum ps_code rc = PS_OK;
    set_source(cluster, "", source->label == NULL ? names->ps_hosts : source->label);
    if (given(values->ps_hosts)) {
        rc = add_hosts(cluster, "ps", values->ps_hosts, names->ps_hosts, err);
    }
    if (rc == PS_OK && given(values->worker_hosts)) {
        rc = add_hosts(cluster, "worker", values->worker_hosts, names->worker_hosts, err);
    }
    return rc;
}

/* Fills in what no source before this one has said. */
static enum ps_code read_role(const struct source *source, struct role *role, struct ps_error *err)
{
    const struct ps_cluster_flags *values = &source->values;
    if (role->job == NULL && given(values->job_name)) {
        if (!ps_device_job_name_is_valid(values->job_name)) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "%s '%s' is no job name; expected ps, worker, chief, coordinator or "
                           "another job of the cluster",
                           source->names.job_name, values->job_name);
        }
        role->job = values->job_name;
    }
    if (role->index < 0 && given(values->task_index)) {
        role->index = psi_cluster_json_index(values->task_index);
        if (role->index < 0) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "%s '%s' is no task index; expected a number from 0 to %d",
                           source->names.task_index, values->task_index, PS_MAX_TASK_INDEX);
        }
    }
    return PS_OK;
}

/* TF_CONFIG's task counts whole: its index belongs to its type. "worker" asked for elsewhere is
 * satisfied by a chief or master, which are workers that come first. */
static void take_tf_role(const struct psi_tf_task *task, struct role *role)
{
    bool leads = strcmp(task->type, "chief") == 0 || strcmp(task->type, "master") == 0;
    if (task->type[0] == '\0') { return; }
    if (role->job != NULL && role->index >= 0) { return; }
    bool agrees = role->job == NULL || strcmp(role->job, task->type) == 0 ||
                  (leads && strcmp(role->job, "worker") == 0);
    if (!agrees) { return; }
    role->job = task->type;
    if (role->index < 0) { role->index = task->index; }
}

/* Reads TF_CONFIG if something is still missing: a broken one that nobody needs does no harm. */
static enum ps_code read_tf_config(const char *text, bool described, struct ps_cluster *cluster,
                                   struct psi_tf_task *task, struct ps_error *err)
{
    struct ps_cluster found = { 0 };
    enum ps_code rc = psi_cluster_json_tf_config(text, &found, task, err);
    if (rc != PS_OK || described) {
        ps_cluster_clean(&found);
        return rc;
    }
    *cluster = found;
    set_source(cluster, "", "TF_CONFIG");
    return PS_OK;
}

/* The index a job of one task has without saying, and an evaluator's. */
static int only_index(const struct ps_cluster *cluster, const char *job)
{
    const struct ps_job *known = ps_cluster_find_job(cluster, job);
    if (strcmp(job, "evaluator") == 0) { return 0; }
    return known != NULL && known->task_count == 1 ? known->tasks[0].index : -1;
}

static enum ps_code settle_role(struct ps_cluster *cluster, const struct role *role,
                                bool role_optional, struct ps_error *err)
{
    if (role->job == NULL && role_optional) { return PS_OK; }
    if (role->job == NULL) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "role not given. Set --job_name and --task_index, or TF_CONFIG; or run "
                       "everything on this machine: paramd launch --ps 2 --workers 2");
    }
    int index = role->index >= 0 ? role->index : only_index(cluster, role->job);
    if (index < 0 && ps_cluster_find_job(cluster, role->job) != NULL) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "role not given: job '%s' has %d tasks and this could be any of them. Set "
                       "--task_index",
                       role->job, ps_cluster_task_count(cluster, role->job));
    }
    return ps_cluster_set_role(cluster, role->job, index < 0 ? 0 : index, err);
}

/* Whether the cluster can hold variables, and has an address for each of their homes. */
static enum ps_code check_ps_tasks(const struct ps_cluster *cluster, struct ps_error *err)
{
    const struct ps_job *ps = ps_cluster_find_job(cluster, "ps");
    bool is_ps = strcmp(cluster->job_name, "ps") == 0;
    bool is_evaluator = strcmp(cluster->job_name, "evaluator") == 0;
    if (ps == NULL || ps->task_count == 0) {
        if (is_evaluator) { return PS_OK; } /* it may live on checkpoints alone */
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "the cluster (from %s) has no ps task; name one at least, as in "
                       "--ps_hosts=ps0.example:2222",
                       cluster->source);
    }
    if (is_ps) { return PS_OK; } /* a sparse description shows a ps only itself */
    for (int i = 0; i < ps->task_count; i++) {
        if (ps->tasks[i].index == i) { continue; }
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "the cluster (from %s) has no /job:ps/task:%d but has task %d; ps tasks "
                       "are numbered from 0 without gaps",
                       cluster->source, i, ps->tasks[i].index);
    }
    return PS_OK;
}

static enum ps_code check_described(const struct ps_cluster *cluster, const struct role *role,
                                    bool role_optional, struct ps_error *err)
{
    bool needs_none = role->job != NULL && strcmp(role->job, "evaluator") == 0;
    bool role_missing = role->job == NULL && !role_optional; /* settle_role says so */
    if (cluster->source[0] != '\0' && cluster->job_count > 0) { return PS_OK; }
    if (needs_none || role_missing) { return PS_OK; }
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "cluster not given. Set --ps_hosts and --worker_hosts, --cluster, or TF_CONFIG; "
                   "or run everything on this machine: paramd launch --ps 2 --workers 2");
}

enum ps_code ps_cluster_config_load(const struct ps_cluster_inputs *inputs,
                                    struct ps_cluster *cluster_out, struct ps_error *err)
{
    struct source sources[] = {
        { .values = inputs->flags, .names = flag_names, .label = "flags" },
        { .names = env_names },
    };
    sources[1].values = (struct ps_cluster_flags){
        .cluster = get_env(inputs, env_names.cluster),
        .ps_hosts = get_env(inputs, env_names.ps_hosts),
        .worker_hosts = get_env(inputs, env_names.worker_hosts),
        .job_name = get_env(inputs, env_names.job_name),
        .task_index = get_env(inputs, env_names.task_index),
    };
    const char *tf_config = get_env(inputs, "TF_CONFIG");
    struct psi_tf_task tf_task = { .index = -1 };
    struct ps_cluster cluster = { 0 };
    struct role role = { .job = NULL, .index = -1 };
    bool described = false;
    enum ps_code rc;
    *cluster_out = cluster;

    for (int i = 0; i < 2; i++) {
        if (!described && describes_cluster(&sources[i])) {
            described = true;
            PS_TRY(fail, rc, read_description(&sources[i], &cluster, err));
        }
        PS_TRY(fail, rc, read_role(&sources[i], &role, err));
    }
    bool complete = described && role.job != NULL && role.index >= 0;
    if (!complete && given(tf_config)) {
        PS_TRY(fail, rc, read_tf_config(tf_config, described, &cluster, &tf_task, err));
        take_tf_role(&tf_task, &role);
    }
    PS_TRY(fail, rc, check_described(&cluster, &role, inputs->role_optional, err));
    PS_TRY(fail, rc, settle_role(&cluster, &role, inputs->role_optional, err));
    PS_TRY(fail, rc, check_ps_tasks(&cluster, err));
    *cluster_out = cluster;
    return PS_OK;
fail:
    ps_cluster_clean(&cluster);
    return rc;
}
