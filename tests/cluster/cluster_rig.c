/* A cluster inside one process: ps tasks on free ports, sessions that talk to them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster_rig.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "core/cluster.h"

/* A ps task needs the address of task 0 and the number of tasks; where it will listen itself it
 * finds out by listening, so its own entry and those of later tasks are made up. */
static void describe(struct ps_cluster *cluster, const struct cluster_rig *rig, int self,
                     const int *ports)
{
    struct ps_error err = PS_ERROR_INIT;
    for (int i = 0; i < rig->ps_count; i++) {
        char address[32];
        snprintf(address, sizeof address, "127.0.0.1:%d", i < self ? ports[i] : i + 1);
        ck_assert_msg(ps_cluster_add(cluster, "ps", i, address, &err) == PS_OK, "%s", err.message);
    }
    ck_assert_msg(ps_cluster_set_role(cluster, "ps", self, &err) == PS_OK, "%s", err.message);
}

void rig_start_tuned(struct cluster_rig *rig, int ps_count, int worker_count, rig_tune_fn *tune,
                     void *ctx)
{
    int ports[RIG_MAX_PS] = { 0 };
    size_t used = 0;
    memset(rig, 0, sizeof *rig);
    rig->ps_count = ps_count;
    rig->worker_count = worker_count;
    for (int i = 0; i < ps_count; i++) {
        struct ps_cluster cluster = { 0 };
        struct ps_error err = PS_ERROR_INIT;
        describe(&cluster, rig, i, ports);
        struct ps_task_options options = {
            .cluster = &cluster,
            .bind_address = "127.0.0.1:0",
            .worker_count = worker_count,
        };
        if (tune != NULL) { tune(ctx, i, &options); }
        enum ps_code rc = ps_task_create(&options, &rig->tasks[i], &err);
        ck_assert_msg(rc == PS_OK, "%s", err.message);
        ports[i] = ps_task_port(rig->tasks[i]);
        used += (size_t)snprintf(rig->ps_hosts + used, sizeof rig->ps_hosts - used,
                                 "%s127.0.0.1:%d", i > 0 ? "," : "", ports[i]);
        ps_cluster_clean(&cluster);
    }
}

static void limit_staging(void *ctx, int index, struct ps_task_options *options)
{
    (void)index;
    options->staged_limit_bytes = *(const uint64_t *)ctx;
}

void rig_start_limited(struct cluster_rig *rig, int ps_count, int worker_count,
                       uint64_t staged_limit_bytes)
{
    rig_start_tuned(rig, ps_count, worker_count, limit_staging, &staged_limit_bytes);
}

void rig_start(struct cluster_rig *rig, int ps_count, int worker_count)
{
    rig_start_tuned(rig, ps_count, worker_count, NULL, NULL);
}

void rig_stop(struct cluster_rig *rig)
{
    for (int i = 0; i < rig->ps_count; i++) {
        ps_task_destroy(rig->tasks[i], 2000);
        rig->tasks[i] = NULL;
    }
}

ps_options rig_options(const struct cluster_rig *rig, int index)
{
    return (ps_options){
        .ps_hosts = rig->ps_hosts,
        .task_index = index,
        .worker_count = rig->worker_count,
        .start_timeout_ms = 30000,
        .call_timeout_ms = 30000,
        .no_environment = 1,
        .quiet = 1,
    };
}

ps_session *rig_connect(const struct cluster_rig *rig, int index)
{
    ps_options options = rig_options(rig, index);
    ps_session *session = ps_connect(&options);
    ck_assert_msg(ps_ok(session), "%s", ps_message(session));
    return session;
}

void rig_expect_complete(struct cluster_rig *rig)
{
    for (int i = 0; i < rig->ps_count; i++) {
        enum ps_task_end end;
        ck_assert(ps_task_wait(rig->tasks[i], 30000, &end));
        ck_assert_int_eq(end, PS_TASK_END_COMPLETE);
    }
}
