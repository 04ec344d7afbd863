/* What the ps tasks of a rig say of themselves, as a test expects it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster_audit.h"

#include <check.h>

#include "client/inspect.h"
#include "core/cluster.h"
#include "core/cluster_config.h"

enum { ASK_TIMEOUT_MS = 60000 };

typedef void visit_fn(void *ctx, const struct ps_status_reply *reply);

static void visit_all(const struct cluster_rig *rig, visit_fn *visit, void *ctx)
{
    struct ps_cluster_inputs inputs = { .flags = { .ps_hosts = rig->ps_hosts },
                                        .role_optional = true };
    struct ps_cluster cluster;
    struct ps_inspector *inspector;
    struct ps_inspect_status status;
    struct ps_error err = PS_ERROR_INIT;
    enum ps_code rc = ps_cluster_config_load(&inputs, &cluster, &err);
    ck_assert_msg(rc == PS_OK, "%s", err.message);
    rc = ps_inspect_open(&cluster, ASK_TIMEOUT_MS, &inspector, &err);
    ck_assert_msg(rc == PS_OK, "%s", err.message);
    rc = ps_inspect_status(inspector, &status, &err);
    ck_assert_msg(rc == PS_OK, "%s", err.message);
    ck_assert_int_eq(status.count, rig->ps_count);
    for (int i = 0; i < status.count; i++) { visit(ctx, &status.replies[i]); }
    ps_inspect_status_clean(&status);
    ps_inspect_close(inspector);
    ps_cluster_clean(&cluster);
}

struct settled {
    int64_t step;
    const char *what;
};

static void expect_settled(void *ctx, const struct ps_status_reply *reply)
{
    const struct settled *wanted = ctx;
    ck_assert_msg(reply->step == wanted->step, "%s: ps/%u counts %lld steps, not %lld",
                  wanted->what, reply->task_index, (long long)reply->step, (long long)wanted->step);
    ck_assert_msg(reply->staged_bytes == 0, "%s: ps/%u keeps %llu staged bytes", wanted->what,
                  reply->task_index, (unsigned long long)reply->staged_bytes);
    for (size_t i = 0; i < reply->worker_count; i++) {
        const struct ps_worker_info *worker = &reply->workers[i];
        ck_assert_msg(worker->open_count == 0, "%s: %u pushes of worker %u are open on ps/%u",
                      wanted->what, worker->open_count, worker->index, reply->task_index);
    }
}

void audit_expect_settled(const struct cluster_rig *rig, int64_t step, const char *what)
{
    struct settled wanted = { step, what };
    visit_all(rig, expect_settled, &wanted);
}

struct committed {
    uint32_t worker;
    const char *what;
    uint64_t highest, lowest;
};

static void find_committed(void *ctx, const struct ps_status_reply *reply)
{
    struct committed *found = ctx;
    uint64_t committed = 0;
    for (size_t i = 0; i < reply->worker_count; i++) {
        if (reply->workers[i].index == found->worker) { committed = reply->workers[i].committed; }
    }
    if (committed > found->highest) { found->highest = committed; }
    if (committed < found->lowest) { found->lowest = committed; }
}

uint64_t audit_committed(const struct cluster_rig *rig, int worker, const char *what)
{
    struct committed found = { (uint32_t)worker, what, 0, UINT64_MAX };
    visit_all(rig, find_committed, &found);
    ck_assert_msg(found.lowest == found.highest,
                  "%s: pushes of worker %d are committed through %llu here, through %llu there",
                  what, worker, (unsigned long long)found.lowest,
                  (unsigned long long)found.highest);
    return found.highest;
}
