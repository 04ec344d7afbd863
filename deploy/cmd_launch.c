/* paramd launch: a whole job on this machine, from free ports to the summary. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "core/exit_code.h"
#include "deploy/commands.h"
#include "deploy/options.h"
#include "deploy/ports.h"
#include "deploy/run_dir.h"
#include "deploy/summary.h"
#include "deploy/supervisor.h"

/* One machine: more tasks than this only wait for each other. */
enum { MAX_TASKS = 256, DEFAULT_GRACE_MS = 10000, MAX_ARGUMENTS = 4096, ENV_COUNT = 11 };

struct settings {
    int ps_count;
    int worker_count;
    const char *parent;
    int64_t grace_ms;
    bool as_json;
    const char *log_level; /* of the ps tasks */
    char **arguments;      /* what follows "--" */
    int argument_count;
};

enum { KEY_PS = 1, KEY_WORKERS, KEY_DIR, KEY_GRACE, KEY_JSON, KEY_LOG_LEVEL };

static const struct argp_option options[] = {
    { "ps", KEY_PS, "N", 0, "ps tasks; default: 1", 1 },
    { "workers", KEY_WORKERS, "N", 0, "workers; default: 1", 1 },
    { "dir", KEY_DIR, "DIR", 0, "Where the run's directory is made; default: " PS_RUN_PARENT, 1 },
    { "json", KEY_JSON, NULL, 0,
      "Prints the summary as JSON on standard output, and all else on standard error", 1 },
    { "grace", KEY_GRACE, "TIME", 0,
      "Between asking a task to end and killing it, and for ps tasks to end after the last worker; "
      "default: 10s",
      1 },
    { "log_level", KEY_LOG_LEVEL, "LEVEL", 0, "Of the ps tasks: error, warn, info or debug", 1 },
    { 0 },
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    switch (key) {
    case KEY_PS:
        settings->ps_count = (int)ps_options_number(state, "--ps", argument, 1, MAX_TASKS);
        return 0;
    case KEY_WORKERS:
        settings->worker_count = (int)ps_options_number(state, "--workers", argument, 1, MAX_TASKS);
        return 0;
    case KEY_DIR: settings->parent = argument; return 0;
    case KEY_GRACE:
        settings->grace_ms = ps_options_duration_ms(state, "--grace", argument);
        return 0;
    case KEY_JSON: settings->as_json = true; return 0;
    case KEY_LOG_LEVEL: settings->log_level = argument; return 0;
    case ARGP_KEY_ARGS: /* only after "--": anything else is a flag, or forgot it */
        if (strcmp(state->argv[state->next - 1], "--") != 0) {
            argp_error(state, "'%s': what the workers run comes after --",
                       state->argv[state->next]);
        }
        settings->arguments = state->argv + state->next;
        settings->argument_count = state->argc - state->next;
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "[-- FLAGS-OF-PARAMD-WORKER | -- PROGRAM ARGUMENTS]",
    .doc =
        "Examples:\n"
        "  paramd launch --ps 2 --workers 2\n"
        "  paramd launch --ps 2 --workers 2 -- --layers=784-200-10 --steps=6000\n"
        "  paramd launch --ps 2 --workers 4 -- ./my-worker --its --flags\n"
        "\n"
        "Runs ps tasks and workers on this machine, on free ports of 127.0.0.1, and watches over "
        "them. The workers run `paramd worker`, or a program of yours that calls ps_start. Logs, "
        "the cluster's addresses and summary.json stay in " PS_RUN_PARENT
        "/<time>-<pid>/; " PS_RUN_PARENT "/latest points there."
        "\v"
        "Exit code: 0 when every task ended with 0, else that of the first that did not (128 + n "
        "for signal n), 70 when ps tasks did not end after the workers. All of them: paramd "
        "--help",
};

/* A launch in the making. */
struct launch {
    const struct settings *settings;
    struct ps_terminal terminal;
    char program[4096]; /* this executable */
    char *run;
    char *ps_hosts;
    struct ps_port ports[MAX_TASKS];
    int port_count;           /* reserved */
    const char **worker_argv; /* of the workers; points into argv */
    const char *ps_argv[5];
    struct ps_child_env *env; /* ENV_COUNT for each task */
    char (*numbers)[16];      /* their task indices, as text */
    char worker_count_text[16];
    char threads_text[16];
    struct ps_supervisor supervisor;
    int task_count;
    int64_t started_ms;
};

static enum ps_code fail_memory(struct ps_error *err)
{
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to launch");
}

/* "127.0.0.1:40001,127.0.0.1:40002", and as a ClusterSpec for the tools. */
static enum ps_code describe_cluster(struct launch *launch, struct ps_error *err)
{
    struct ps_buf hosts = { 0 }, spec = { 0 };
    enum ps_code rc = ps_buf_printf(&spec, err, "{\"ps\": [");
    for (int i = 0; rc == PS_OK && i < launch->settings->ps_count; i++) {
        int port = launch->ports[i].number;
        rc = ps_buf_printf(&hosts, err, "%s127.0.0.1:%d", i == 0 ? "" : ",", port);
        if (rc == PS_OK) {
            rc = ps_buf_printf(&spec, err, "%s\"127.0.0.1:%d\"", i == 0 ? "" : ", ", port);
        }
    }
    if (rc == PS_OK) { rc = ps_buf_printf(&spec, err, "]}\n"); }
    if (rc == PS_OK) {
        launch->ps_hosts = ps_strdup((const char *)hosts.data);
        rc = launch->ps_hosts == NULL
                 ? fail_memory(err)
                 : ps_run_dir_write(launch->run, "cluster.json", (const char *)spec.data, err);
    }
    ps_buf_clean(&hosts);
    ps_buf_clean(&spec);
    return rc;
}

/* A program of the user's, or the flags of `paramd worker`. */
static enum ps_code choose_worker(struct launch *launch, struct ps_error *err)
{
    const struct settings *settings = launch->settings;
    int count = 0;
    if (settings->argument_count > MAX_ARGUMENTS) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "more than %d arguments", MAX_ARGUMENTS);
    }
    launch->worker_argv = ps_alloc_zero((size_t)settings->argument_count + 3,
                                        sizeof *launch->worker_argv);
    if (launch->worker_argv == NULL) { return fail_memory(err); }
    if (settings->argument_count == 0 || settings->arguments[0][0] == '-') {
        launch->worker_argv[count++] = launch->program;
        launch->worker_argv[count++] = "worker";
    }
    for (int i = 0; i < settings->argument_count; i++) {
        launch->worker_argv[count++] = settings->arguments[i];
    }
    return PS_OK;
}

/* Processors for each worker: its own library would take all of them, and they would fight. */
static int threads_each(int worker_count)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores > worker_count ? (int)(cores / worker_count) : 1;
}

/* What a task is told, over what the launcher's own environment may say of another cluster. */
static void fill_env(const struct launch *launch, struct ps_child_env *env, bool is_ps,
                     const char *index)
{
    size_t n = 0;
    env[n++] = (struct ps_child_env){ "PS_HOSTS", launch->ps_hosts };
    env[n++] = (struct ps_child_env){ "PS_JOB_NAME", is_ps ? "ps" : "worker" };
    env[n++] = (struct ps_child_env){ "PS_TASK_INDEX", index };
    env[n++] = (struct ps_child_env){ "PS_WORKER_COUNT", launch->worker_count_text };
    env[n++] = (struct ps_child_env){ "PS_SUMMARY_DIR", launch->run };
    env[n++] = (struct ps_child_env){ "PS_WORKER_HOSTS", NULL };
    env[n++] = (struct ps_child_env){ "PS_CLUSTER", NULL };
    env[n++] = (struct ps_child_env){ "TF_CONFIG", NULL };
    if (getenv("OPENBLAS_NUM_THREADS") == NULL) {
        env[n++] = (struct ps_child_env){ "OPENBLAS_NUM_THREADS", launch->threads_text };
    }
    if (getenv("OMP_NUM_THREADS") == NULL) {
        env[n++] = (struct ps_child_env){ "OMP_NUM_THREADS", launch->threads_text };
    }
    PS_ASSERT(n < ENV_COUNT);
    env[n] = (struct ps_child_env){ NULL, NULL };
}

static enum ps_code make_task(struct launch *launch, int i, struct ps_error *err)
{
    struct ps_supervised *task = &launch->supervisor.tasks[i];
    struct ps_child_env *env = &launch->env[(size_t)i * ENV_COUNT];
    bool is_ps = i < launch->settings->ps_count;
    char label[PS_RELAY_LABEL_BYTES], log_name[32];
    task->role = is_ps ? PS_LAUNCH_PS : PS_LAUNCH_WORKER;
    task->index = is_ps ? i : i - launch->settings->ps_count;
    task->argv = (char *const *)(is_ps ? launch->ps_argv : launch->worker_argv);
    task->env = env;
    snprintf(launch->numbers[i], sizeof launch->numbers[i], "%d", task->index);
    fill_env(launch, env, is_ps, launch->numbers[i]);
    snprintf(label, sizeof label, "%s/%d", is_ps ? "ps" : "worker", task->index);
    snprintf(log_name, sizeof log_name, "%s-%d.log", is_ps ? "ps" : "worker", task->index);
    char *path = ps_run_dir_path(launch->run, log_name);
    if (path == NULL) { return fail_memory(err); }
    enum ps_code rc = ps_relay_init(&task->relay, &launch->terminal, label, i, path, err);
    task->relay.progress = !is_ps && task->index == 0;
    ps_free(path);
    return rc;
}

static enum ps_code make_tasks(struct launch *launch, struct ps_error *err)
{
    const struct settings *settings = launch->settings;
    size_t count = (size_t)launch->task_count;
    const char *ps_argv[] = { launch->program, "ps",
                              settings->log_level == NULL ? NULL : "--log_level",
                              settings->log_level, NULL };
    memcpy(launch->ps_argv, ps_argv, sizeof ps_argv);
    snprintf(launch->worker_count_text, sizeof launch->worker_count_text, "%d",
             settings->worker_count);
    snprintf(launch->threads_text, sizeof launch->threads_text, "%d",
             threads_each(settings->worker_count));
    launch->env = ps_alloc_zero(count * ENV_COUNT, sizeof *launch->env);
    launch->numbers = ps_alloc_zero(count, sizeof *launch->numbers);
    launch->supervisor.tasks = ps_alloc_zero(count, sizeof *launch->supervisor.tasks);
    if (launch->env == NULL || launch->numbers == NULL || launch->supervisor.tasks == NULL) {
        return fail_memory(err);
    }
    for (int i = 0; i < launch->task_count; i++) {
        launch->supervisor.task_count++;
        enum ps_code rc = make_task(launch, i, err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

static enum ps_code prepare(struct launch *launch, struct ps_error *err)
{
    const struct settings *settings = launch->settings;
    enum ps_code rc;
    ssize_t size = readlink("/proc/self/exe", launch->program, sizeof launch->program - 1);
    if (size < 0) { return ps_fail_errno(err, errno, "cannot find this program's own file"); }
    launch->program[size] = '\0';
    PS_TRY(done, rc, choose_worker(launch, err));
    PS_TRY(done, rc, ps_run_dir_create(settings->parent, &launch->run, err));
    char *absolute = realpath(launch->run, NULL); /* a worker may change its directory */
    if (absolute != NULL) {
        char *copy = ps_strdup(absolute);
        free(absolute);
        if (copy != NULL) {
            ps_free(launch->run);
            launch->run = copy;
        }
    }
    PS_TRY(done, rc, ps_ports_reserve(launch->ports, settings->ps_count, err));
    launch->port_count = settings->ps_count;
    PS_TRY(done, rc, describe_cluster(launch, err));
    rc = make_tasks(launch, err);
done:
    return rc;
}

static void announce(struct launch *launch)
{
    const struct settings *settings = launch->settings;
    ps_terminal_say(&launch->terminal, "%d ps, %d worker%s on this machine; logs in %s",
                    settings->ps_count, settings->worker_count,
                    settings->worker_count == 1 ? "" : "s", launch->run);
}

/* ---- The end ---- */

static enum ps_code build_summary(const struct launch *launch, json_t **summary_out,
                                  struct ps_error *err)
{
    char(*texts)[2][48] = ps_alloc_zero((size_t)launch->task_count, sizeof *texts);
    struct ps_summary_task *tasks = ps_alloc_zero((size_t)launch->task_count, sizeof *tasks);
    enum ps_code rc = texts == NULL || tasks == NULL ? fail_memory(err) : PS_OK;
    *summary_out = NULL;
    for (int i = 0; rc == PS_OK && i < launch->task_count; i++) {
        const struct ps_supervised *task = &launch->supervisor.tasks[i];
        const char *job = task->role == PS_LAUNCH_PS ? "ps" : "worker";
        snprintf(texts[i][0], sizeof texts[i][0], "/job:%s/task:%d", job, task->index);
        snprintf(texts[i][1], sizeof texts[i][1], "%s-%d.log", job, task->index);
        tasks[i] = (struct ps_summary_task){
            .task = texts[i][0],
            .log = texts[i][1],
            .exit_code = task->exit_code,
            .seconds = (double)(task->ended_ms - task->started_ms) / 1e3,
        };
    }
    if (rc == PS_OK) {
        const struct ps_summary_options summary = {
            .run = launch->run,
            .command = launch->worker_argv,
            .tasks = tasks,
            .task_count = (size_t)launch->task_count,
            .ps_count = launch->settings->ps_count,
            .worker_count = launch->settings->worker_count,
            .exit_code = launch->supervisor.policy.exit_code,
            .seconds = (double)(ps_clock_now_ms(ps_clock_monotonic()) - launch->started_ms) / 1e3,
        };
        rc = ps_summary_build(&summary, summary_out, err);
    }
    ps_free(texts);
    ps_free(tasks);
    return rc;
}

/* summary.json in the run's directory, and on standard output where asked for. */
static enum ps_code write_summary(const struct launch *launch, const json_t *summary,
                                  struct ps_error *err)
{
    char *text = json_dumps(summary, JSON_INDENT(2));
    struct ps_buf file = { 0 };
    enum ps_code rc = text == NULL ? fail_memory(err) : ps_buf_printf(&file, err, "%s\n", text);
    if (rc == PS_OK) {
        rc = ps_run_dir_write(launch->run, "summary.json", (const char *)file.data, err);
    }
    if (text != NULL && launch->settings->as_json) { puts(text); }
    ps_buf_clean(&file);
    free(text);
    return rc;
}

static int conclude(struct launch *launch)
{
    struct ps_error error = PS_ERROR_INIT;
    char line[PS_SUMMARY_LINE_BYTES];
    json_t *summary;
    int code = launch->supervisor.policy.exit_code;
    enum ps_code rc = build_summary(launch, &summary, &error);
    if (rc == PS_OK) { rc = write_summary(launch, summary, &error); }
    if (rc == PS_OK) {
        ps_terminal_say(&launch->terminal, "%s after %s", code == PS_EXIT_OK ? "done" : "failed",
                        ps_summary_format(summary, line));
        ps_terminal_say(&launch->terminal, "summary: %s/summary.json", launch->run);
    } else {
        ps_terminal_say(&launch->terminal, "no summary: %s", error.message);
        if (code == PS_EXIT_OK) { code = ps_exit_code_of(rc); }
    }
    json_decref(summary);
    if (launch->supervisor.stray_count > 0) {
        ps_terminal_say(&launch->terminal, "killed %d processes that tasks had left behind",
                        launch->supervisor.stray_count);
    }
    if (code == PS_EXIT_OK) {
        ps_terminal_say(&launch->terminal, "no process is left");
    } else {
        ps_terminal_say(&launch->terminal, "no process is left; exit code %d", code);
    }
    return code;
}

static void clean(struct launch *launch)
{
    ps_ports_release(launch->ports, launch->port_count);
    for (int i = 0; i < launch->supervisor.task_count; i++) {
        ps_relay_clean(&launch->supervisor.tasks[i].relay);
    }
    ps_free(launch->supervisor.tasks);
    ps_free(launch->env);
    ps_free(launch->numbers);
    ps_free(launch->worker_argv);
    ps_free(launch->ps_hosts);
    ps_free(launch->run);
}

/* Wide enough for "worker/99" and "launch". */
static int label_width(const struct settings *settings)
{
    int most = settings->worker_count > settings->ps_count ? settings->worker_count
                                                           : settings->ps_count;
    return most > 100 ? 10 : most > 10 ? 9 : 8;
}

int ps_cmd_launch(int argc, char **argv)
{
    struct settings settings = {
        .ps_count = 1, .worker_count = 1, .parent = PS_RUN_PARENT, .grace_ms = DEFAULT_GRACE_MS
    };
    struct ps_error error = PS_ERROR_INIT;
    ps_options_parse(&argp, argc, argv, &settings);
    struct launch *launch = ps_alloc_zero(1, sizeof *launch);
    if (launch == NULL) {
        fputs("paramd launch: no memory\n", stderr);
        return PS_EXIT_STORAGE;
    }
    launch->settings = &settings;
    launch->task_count = settings.ps_count + settings.worker_count;
    launch->started_ms = ps_clock_now_ms(ps_clock_monotonic());
    launch->supervisor.terminal = &launch->terminal;
    launch->supervisor.grace_ms = settings.grace_ms;
    ps_terminal_init(&launch->terminal, settings.as_json ? stderr : stdout, stderr,
                     label_width(&settings));
    int code;
    if (prepare(launch, &error) == PS_OK) {
        announce(launch);
        ps_supervisor_run(&launch->supervisor);
        code = conclude(launch);
    } else {
        fprintf(stderr, "paramd launch: %s\n", error.message);
        code = error.code == PS_INVALID_ARGUMENT ? PS_EXIT_USAGE : ps_exit_code_of(error.code);
    }
    clean(launch);
    ps_free(launch);
    return code;
}
