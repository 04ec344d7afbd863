/* The summary of a launch: what its sessions reported, joined; as JSON and as a line for people. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/summary.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "deploy/run_dir.h"
#include "deploy/show.h"

/* What is added up over the workers. */
static const char *const counts[] = { "pulls",   "pushes",  "pulled_bytes", "pushed_bytes",
                                      "refused", "dropped", "retries" };
enum { COUNT_COUNT = sizeof counts / sizeof counts[0] };

struct totals {
    json_int_t counts[COUNT_COUNT];
    json_int_t global_step;
    double staleness; /* sum over steps */
    double steps;
    double examples;
    double compute, communication, wait;
    double longest;         /* seconds of the longest session */
    int reported;           /* workers that left a file */
    const json_t *accuracy; /* the last reported, null if none */
    const json_t *loss;
};

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key)); /* 0 for what is absent or null */
}

static void add_worker(struct totals *totals, const json_t *worker)
{
    double steps = number(worker, "steps"), seconds = number(worker, "seconds");
    json_int_t global_step = json_integer_value(json_object_get(worker, "global_step"));
    for (int i = 0; i < COUNT_COUNT; i++) {
        totals->counts[i] += json_integer_value(json_object_get(worker, counts[i]));
    }
    if (global_step > totals->global_step) { totals->global_step = global_step; }
    if (seconds > totals->longest) { totals->longest = seconds; }
    totals->steps += steps;
    totals->staleness += steps * number(worker, "mean_staleness");
    totals->examples += number(worker, "examples");
    totals->compute += number(worker, "compute_seconds");
    totals->communication += number(worker, "communication_seconds");
    totals->wait += number(worker, "wait_seconds");
    const json_t *accuracy = json_object_get(worker, "test_accuracy");
    const json_t *loss = json_object_get(worker, "last_loss");
    if (totals->accuracy == NULL && json_is_number(accuracy)) { totals->accuracy = accuracy; }
    if (totals->loss == NULL && json_is_number(loss)) { totals->loss = loss; }
    totals->reported++;
}

/* worker-N.json of the run; NULL without an error where there is none. */
static enum ps_code read_worker(const char *run, int index, json_t **worker_out,
                                struct ps_error *err)
{
    char name[32];
    json_error_t error;
    snprintf(name, sizeof name, "worker-%d.json", index);
    char *path = ps_run_dir_path(run, name);
    enum ps_code rc = PS_OK;
    *worker_out = NULL;
    if (path == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a summary"); }
    if (access(path, F_OK) == 0) {
        *worker_out = json_load_file(path, 0, &error);
        if (*worker_out == NULL) {
            rc = ps_fail(err, PS_DATA_LOSS, "%s: line %d: %s", path, error.line, error.text);
        }
    }
    ps_free(path);
    return rc;
}

/* What is said of every worker, so that the whole can be traced to its parts. */
static enum ps_code read_workers(const struct ps_summary_options *options, json_t *sessions,
                                 struct totals *totals, struct ps_error *err)
{
    for (int i = 0; i < options->worker_count; i++) {
        json_t *worker;
        enum ps_code rc = read_worker(options->run, i, &worker, err);
        if (rc != PS_OK) { return rc; }
        if (worker == NULL) { continue; }
        if (json_array_append_new(sessions, worker) != 0) {
            return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a summary");
        }
        add_worker(totals, worker); /* sessions keeps it alive */
    }
    return PS_OK;
}

static void set_real_or_null(json_t *root, const char *key, bool known, double value)
{
    json_object_set_new(root, key, known ? json_real(value) : json_null());
}

static void set_totals(json_t *root, const struct totals *totals)
{
    double time = totals->compute + totals->communication + totals->wait;
    bool timed = time > 0;
    json_object_set_new(root, "workers_reported", json_integer(totals->reported));
    json_object_set_new(root, "steps", json_integer(totals->global_step));
    set_real_or_null(root, "test_accuracy", totals->accuracy != NULL,
                     json_number_value(totals->accuracy));
    set_real_or_null(root, "last_loss", totals->loss != NULL, json_number_value(totals->loss));
    json_object_set_new(root, "examples", json_real(totals->examples));
    set_real_or_null(root, "examples_per_second", totals->longest > 0,
                     totals->longest > 0 ? totals->examples / totals->longest : 0);
    for (int i = 0; i < COUNT_COUNT; i++) {
        json_object_set_new(root, counts[i], json_integer(totals->counts[i]));
    }
    set_real_or_null(root, "mean_staleness", totals->steps > 0,
                     totals->steps > 0 ? totals->staleness / totals->steps : 0);
    set_real_or_null(root, "compute_share", timed, timed ? totals->compute / time : 0);
    set_real_or_null(root, "communication_share", timed, timed ? totals->communication / time : 0);
    set_real_or_null(root, "wait_share", timed, timed ? totals->wait / time : 0);
}

static void set_tasks(json_t *root, const struct ps_summary_options *options)
{
    json_t *command = json_array(), *tasks = json_array();
    for (const char *const *word = options->command; *word != NULL; word++) {
        json_array_append_new(command, json_string(*word));
    }
    for (size_t i = 0; i < options->task_count; i++) {
        const struct ps_summary_task *task = &options->tasks[i];
        json_array_append_new(tasks, json_pack("{s:s, s:i, s:f, s:s}", "task", task->task,
                                               "exit_code", task->exit_code, "seconds",
                                               task->seconds, "log", task->log));
    }
    json_object_set_new(root, "command", command);
    json_object_set_new(root, "tasks", tasks);
}

enum ps_code ps_summary_build(const struct ps_summary_options *options, json_t **summary_out,
                              struct ps_error *err)
{
    struct totals totals = { .reported = 0 };
    json_t *sessions = json_array();
    *summary_out = NULL;
    json_t *root = json_pack("{s:s, s:i, s:f, s:i, s:i}", "run", options->run, "exit_code",
                             options->exit_code, "seconds", options->seconds, "ps_tasks",
                             options->ps_count, "workers", options->worker_count);
    enum ps_code rc = sessions == NULL || root == NULL
                          ? ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a summary")
                          : read_workers(options, sessions, &totals, err);
    if (rc != PS_OK) {
        json_decref(sessions);
        json_decref(root);
        return rc;
    }
    set_totals(root, &totals);
    set_tasks(root, options);
    json_object_set_new(root, "sessions", sessions);
    *summary_out = root;
    return PS_OK;
}

static void PS_PRINTF(2, 3) append(char line[PS_SUMMARY_LINE_BYTES], const char *format, ...)
{
    size_t used = strlen(line);
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(line + used, PS_SUMMARY_LINE_BYTES - used, format, arguments) < 0) {
        line[used] = '\0';
    }
    va_end(arguments);
}

static uint64_t count_of(const json_t *summary, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(summary, key));
}

const char *ps_summary_format(const json_t *summary, char line[PS_SUMMARY_LINE_BYTES])
{
    char text[PS_SHOW_BYTES];
    line[0] = '\0';
    append(line, "%s", ps_show_seconds(number(summary, "seconds"), text));
    if (count_of(summary, "workers_reported") == 0) { return line; } /* no session, no figures */
    append(line, "; step %s", ps_show_count(count_of(summary, "steps"), text));
    if (json_is_number(json_object_get(summary, "test_accuracy"))) {
        append(line, "; test accuracy %.1f %%", 100 * number(summary, "test_accuracy"));
    }
    if (number(summary, "examples") > 0) {
        append(line, "; %s examples/s", ps_show_rate(number(summary, "examples_per_second"), text));
    }
    append(line, "; pulls %s", ps_show_count(count_of(summary, "pulls"), text));
    append(line, ", pushes %s", ps_show_count(count_of(summary, "pushes"), text));
    append(line, ", dropped %s", ps_show_count(count_of(summary, "dropped"), text));
    append(line, ", refused %s", ps_show_count(count_of(summary, "refused"), text));
    append(line, ", mean staleness %.1f", number(summary, "mean_staleness"));
    if (json_is_number(json_object_get(summary, "compute_share"))) {
        append(line, "; compute %.0f %% / communication %.0f %% / wait %.0f %%",
               100 * number(summary, "compute_share"), 100 * number(summary, "communication_share"),
               100 * number(summary, "wait_share"));
    }
    return line;
}
