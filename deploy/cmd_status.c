/* paramd status: which tasks are there, and what each has done. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>

#include "client/inspect.h"
#include "core/alloc.h"
#include "deploy/commands.h"
#include "deploy/options.h"
#include "deploy/show.h"
#include "deploy/tool.h"

struct settings {
    struct ps_tool tool;
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &settings->tool; return 0;
    case ARGP_KEY_ARG: argp_error(state, "'%s' is no flag", argument); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = { { &ps_tool_argp, 0, NULL, 0 }, { 0 } };
static const struct argp argp = {
    .parser = parse,
    .children = children,
    .doc = "Examples:\n"
           "  paramd status\n"
           "  paramd status --ps_hosts=h0:2222,h1:2222 --json\n"
           "\n"
           "Asks every ps task of the cluster what it holds and what it has done."
           "\v"
           "Exit codes: 0 every ps task answered, 200 one did not; all of them: paramd --help",
};

/* One worker, as all the ps tasks together see it. */
struct worker {
    uint32_t index;
    uint64_t incarnation;
    uint64_t committed;  /* the furthest */
    uint64_t open_count; /* sums */
    uint64_t staged_bytes;
    uint64_t silent_ms; /* since any ps task heard of it */
    enum ps_worker_state state;
};

struct workers {
    struct worker *items;
    size_t count;
};

static const char *task_state_name(enum ps_task_state state)
{
    switch (state) {
    case PS_TASK_JOINING: return "joining";
    case PS_TASK_SERVING: return "serving";
    case PS_TASK_ENDING: return "ending";
    }
    return "unknown";
}

static struct worker *find_worker(struct workers *workers, uint32_t index)
{
    for (size_t i = 0; i < workers->count; i++) {
        if (workers->items[i].index == index) { return &workers->items[i]; }
    }
    struct worker *worker = &workers->items[workers->count++];
    *worker = (struct worker){ .index = index, .silent_ms = UINT64_MAX, .state = PS_WORKER_ACTIVE };
    return worker;
}

static void add_worker(struct workers *workers, const struct ps_worker_info *info)
{
    struct worker *worker = find_worker(workers, info->index);
    worker->open_count += info->open_count;
    worker->staged_bytes += info->staged_bytes;
    if (info->incarnation > worker->incarnation) { worker->incarnation = info->incarnation; }
    if (info->committed > worker->committed) { worker->committed = info->committed; }
    if (info->silent_ms < worker->silent_ms) { worker->silent_ms = info->silent_ms; }
    if (info->state == PS_WORKER_FINISHED) { worker->state = PS_WORKER_FINISHED; }
}

/* The workers that the ps tasks know, joined; ps_free(items). */
static enum ps_code join_workers(const struct ps_inspect_status *status, struct workers *workers,
                                 struct ps_error *err)
{
    size_t most = 0;
    for (int i = 0; i < status->count; i++) { most += status->replies[i].worker_count; }
    *workers = (struct workers){ .items = ps_alloc_zero(most + 1, sizeof *workers->items) };
    if (workers->items == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for %zu workers", most);
    }
    for (int i = 0; i < status->count; i++) {
        for (size_t w = 0; w < status->replies[i].worker_count; w++) {
            add_worker(workers, &status->replies[i].workers[w]);
        }
    }
    return PS_OK;
}

static enum ps_code add_task_row(struct ps_table *table, const struct ps_inspect_peer *peer,
                                 const struct ps_status_reply *reply, struct ps_error *err)
{
    char task[32], uptime[PS_SHOW_BYTES], step[PS_SHOW_BYTES], variables[PS_SHOW_BYTES];
    char bytes[PS_SHOW_BYTES], slots[PS_SHOW_BYTES], staged[PS_SHOW_BYTES], pulls[PS_SHOW_BYTES];
    char pushes[PS_SHOW_BYTES], refused[PS_SHOW_BYTES], in[PS_SHOW_BYTES], out[PS_SHOW_BYTES];
    char memory[PS_SHOW_BYTES];
    snprintf(task, sizeof task, "ps/%d", peer->index);
    const char *dead[] = { task, peer->address, "DEAD", "", "", "", "", "", "", "", "", "", "", "",
                           "" };
    if (peer->error.code != PS_OK) { return ps_table_add(table, dead, err); }
    const char *cells[] = {
        task,
        peer->address,
        task_state_name(reply->state),
        ps_show_seconds((double)reply->uptime_ms / 1e3, uptime),
        ps_show_count(reply->step < 0 ? 0 : (uint64_t)reply->step, step),
        ps_show_count(reply->variable_count, variables),
        ps_show_size(reply->variable_bytes, bytes),
        ps_show_size(reply->slot_bytes, slots),
        ps_show_size(reply->staged_bytes, staged),
        ps_show_size(reply->resident_bytes, memory),
        ps_show_count(reply->pull_count, pulls),
        ps_show_count(reply->push_count, pushes),
        ps_show_count(reply->refused_count + reply->dropped_count, refused),
        ps_show_size(reply->received_bytes, in),
        ps_show_size(reply->sent_bytes, out),
    };
    return ps_table_add(table, cells, err);
}

static enum ps_code print_tasks(const struct ps_inspector *inspector,
                                const struct ps_inspect_status *status, struct ps_error *err)
{
    static const char *const titles[] = { "TASK",  "ADDRESS", "STATE",   "UPTIME", "STEP",
                                          "VARS",  "BYTES",   "SLOTS",   "STAGED", "MEMORY",
                                          "PULLS", "PUSHES",  "REFUSED", "IN",     "OUT" };
    struct ps_table table;
    enum ps_code rc = PS_OK;
    ps_table_init(&table, titles, "lllrrrrrrrrrrrr");
    for (int i = 0; rc == PS_OK && i < status->count; i++) {
        rc = add_task_row(&table, ps_inspect_peer(inspector, i), &status->replies[i], err);
    }
    if (rc == PS_OK) { ps_table_print(&table, stdout); }
    ps_table_clean(&table);
    return rc;
}

static enum ps_code print_workers(const struct workers *workers, struct ps_error *err)
{
    static const char *const titles[] = { "WORKER", "STATE",  "INCARNATION", "PUSHES",
                                          "OPEN",   "STAGED", "LAST HEARD" };
    struct ps_table table;
    enum ps_code rc = PS_OK;
    if (workers->count == 0) { return PS_OK; }
    ps_table_init(&table, titles, "llrrrrr");
    for (size_t i = 0; rc == PS_OK && i < workers->count; i++) {
        const struct worker *worker = &workers->items[i];
        char name[32], incarnation[PS_SHOW_BYTES], pushes[PS_SHOW_BYTES], open[PS_SHOW_BYTES];
        char staged[PS_SHOW_BYTES], silent[PS_SHOW_BYTES];
        snprintf(name, sizeof name, "worker/%u", worker->index);
        const char *cells[] = { name,
                                worker->state == PS_WORKER_FINISHED ? "finished" : "active",
                                ps_show_count(worker->incarnation, incarnation),
                                ps_show_count(worker->committed, pushes),
                                ps_show_count(worker->open_count, open),
                                ps_show_size(worker->staged_bytes, staged),
                                ps_show_seconds((double)worker->silent_ms / 1e3, silent) };
        rc = ps_table_add(&table, cells, err);
    }
    if (rc == PS_OK) {
        putchar('\n');
        ps_table_print(&table, stdout);
    }
    ps_table_clean(&table);
    return rc;
}

static json_int_t whole(uint64_t value)
{
    return value > INT64_MAX ? INT64_MAX : (json_int_t)value;
}

static json_t *task_json(const struct ps_inspect_peer *peer, const struct ps_status_reply *reply)
{
    if (peer->error.code != PS_OK) {
        return json_pack("{s:i, s:s, s:b, s:s}", "task", peer->index, "address", peer->address,
                         "alive", 0, "reason", peer->error.message);
    }
    json_t *staleness = json_array();
    for (int i = 0; i < PS_STALENESS_BUCKETS; i++) {
        json_array_append_new(staleness, json_integer(whole(reply->staleness[i])));
    }
    json_t *task = json_pack("{s:i, s:s, s:b, s:s, s:s}", "task", peer->index, "address",
                             peer->address, "alive", 1, "state", task_state_name(reply->state),
                             "version", reply->version);
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        { "uptime_ms", reply->uptime_ms },
        { "step", (uint64_t)reply->step },
        { "variables", reply->variable_count },
        { "variable_bytes", reply->variable_bytes },
        { "slot_bytes", reply->slot_bytes },
        { "staged_bytes", reply->staged_bytes },
        { "staged_limit_bytes", reply->staged_limit_bytes },
        { "pool_bytes", reply->pool_bytes },
        { "resident_bytes", reply->resident_bytes },
        { "pulls", reply->pull_count },
        { "pushes", reply->push_count },
        { "refused", reply->refused_count },
        { "dropped", reply->dropped_count },
        { "duplicates", reply->duplicate_count },
        { "received_bytes", reply->received_bytes },
        { "sent_bytes", reply->sent_bytes },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        json_object_set_new(task, numbers[i].name, json_integer(whole(numbers[i].value)));
    }
    json_object_set_new(task, "staleness", staleness);
    return task;
}

static json_t *status_json(const struct ps_inspector *inspector,
                           const struct ps_inspect_status *status, const struct workers *workers)
{
    json_t *tasks = json_array(), *people = json_array();
    for (int i = 0; i < status->count; i++) {
        json_array_append_new(tasks, task_json(ps_inspect_peer(inspector, i), &status->replies[i]));
    }
    for (size_t i = 0; i < workers->count; i++) {
        const struct worker *worker = &workers->items[i];
        json_array_append_new(
            people,
            json_pack("{s:I, s:s, s:I, s:I, s:I, s:I, s:I}", "worker", (json_int_t)worker->index,
                      "state", worker->state == PS_WORKER_FINISHED ? "finished" : "active",
                      "incarnation", whole(worker->incarnation), "pushes", whole(worker->committed),
                      "open", whole(worker->open_count), "staged_bytes",
                      whole(worker->staged_bytes), "silent_ms", whole(worker->silent_ms)));
    }
    return json_pack("{s:o, s:o}", "ps", tasks, "workers", people);
}

int ps_cmd_status(int argc, char **argv)
{
    struct settings settings = { .tool = { .as_json = false } };
    struct ps_error error = PS_ERROR_INIT;
    struct ps_inspector *inspector;
    struct ps_inspect_status status = { 0 };
    struct workers workers = { 0 };
    int code;
    ps_options_parse(&argp, argc, argv, &settings);
    if (!ps_tool_connect(&settings.tool, &inspector, &code)) { return code; }
    enum ps_code rc = ps_inspect_status(inspector, &status, &error);
    code = ps_tool_exit_code(rc);
    if (rc != PS_OK && status.count == 0) {
        code = ps_tool_explain(&error);
        goto done;
    }
    ps_tool_warn_dead(inspector);
    rc = join_workers(&status, &workers, &error);
    if (rc == PS_OK && settings.tool.as_json) {
        code = ps_tool_print_json(status_json(inspector, &status, &workers), code);
    } else if (rc == PS_OK) {
        rc = print_tasks(inspector, &status, &error);
        if (rc == PS_OK) { rc = print_workers(&workers, &error); }
    }
    if (rc != PS_OK) { code = ps_tool_explain(&error); }
done:
    ps_free(workers.items);
    ps_inspect_status_clean(&status);
    ps_inspect_close(inspector);
    return code;
}
