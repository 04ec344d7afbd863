/* paramd ps: one ps task, from its flags to its last line. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "client/inspect.h"
#include "core/clock.h"
#include "core/cluster.h"
#include "core/exit_code.h"
#include "core/log.h"
#include "deploy/cluster_flags.h"
#include "deploy/commands.h"
#include "deploy/options.h"
#include "deploy/run_dir.h"
#include "deploy/show.h"
#include "server/ps_task.h"

enum {
    TICK_MS = 100,        /* how late a signal is seen */
    HEARTBEAT_MS = 30000, /* "is it still doing anything?" */
    HEARTBEAT_DEADLINE_MS = 2000,
    GRACE_MS = 5000 /* for calls in flight at the end; a pull of a large slice takes one */
};

struct settings {
    struct ps_cluster_choice choice;
    struct ps_task_options task;
    const char *bind;
    int port; /* -1: as the cluster says */
    const char *port_file;
    enum ps_log_level log_level;
    enum ps_log_format log_format;
    int64_t heartbeat_ms;
};

enum {
    KEY_PORT = 1,
    KEY_BIND,
    KEY_PORT_FILE,
    KEY_MEMORY,
    KEY_STAGING,
    KEY_ORPHAN,
    KEY_KEEP_ALIVE,
    KEY_THREADS,
    KEY_LOG_LEVEL,
    KEY_LOG_FORMAT,
    KEY_HEARTBEAT
};

static const struct argp_option options[] = {
    { NULL, 0, NULL, 0, "Where it listens:", 20 },
    { "bind", KEY_BIND, "HOST[:PORT]", 0,
      "Interface; default: loopback, or every one where the cluster names another host", 20 },
    { "port", KEY_PORT, "N", 0, "Port, if another than the cluster says; 0 takes a free one", 20 },
    { "port_file", KEY_PORT_FILE, "FILE", 0, "Writes the port that was bound to FILE", 20 },
    { NULL, 0, NULL, 0, "What it may use, and when it ends:", 30 },
    { "memory_limit", KEY_MEMORY, "SIZE", 0,
      "Variables and slots; default: half of the machine's or cgroup's memory", 30 },
    { "staging_limit", KEY_STAGING, "SIZE", 0,
      "Pushes that wait to be committed; default: a quarter of it", 30 },
    { "threads", KEY_THREADS, "N", 0, "Polling threads; default: one a core, at most 4", 30 },
    { "orphan_timeout", KEY_ORPHAN, "TIME", 0,
      "Ends with exit code 202 when no worker was heard of for so long; default: 10m", 30 },
    { "keep_alive", KEY_KEEP_ALIVE, NULL, 0, "Goes on after every worker has finished", 30 },
    { NULL, 0, NULL, 0, "What it says:", 40 },
    { "heartbeat", KEY_HEARTBEAT, "TIME", 0,
      "Between two lines that tell step, rates and bytes; default: 30s", 40 },
    { "log_level", KEY_LOG_LEVEL, "LEVEL", 0, "error, warn, info or debug; default: info", 40 },
    { "log_format", KEY_LOG_FORMAT, "FORMAT", 0, "human or json; default: human", 40 },
    { 0 },
};

static void parse_log(struct settings *settings, int key, const char *text,
                      struct argp_state *state)
{
    struct ps_error error = PS_ERROR_INIT;
    enum ps_code rc = key == KEY_LOG_LEVEL
                          ? ps_log_level_parse(text, &settings->log_level, &error)
                          : ps_log_format_parse(text, &settings->log_format, &error);
    if (rc != PS_OK) { argp_error(state, "%s", error.message); }
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    struct ps_task_options *task = &settings->task;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &settings->choice; return 0;
    case KEY_BIND: settings->bind = argument; return 0;
    case KEY_PORT:
        settings->port = (int)ps_options_number(state, "--port", argument, 0, 65535);
        return 0;
    case KEY_PORT_FILE: settings->port_file = argument; return 0;
    case KEY_MEMORY:
        task->memory_limit_bytes = ps_options_bytes(state, "--memory_limit", argument);
        return 0;
    case KEY_STAGING:
        task->staged_limit_bytes = ps_options_bytes(state, "--staging_limit", argument);
        return 0;
    case KEY_THREADS:
        task->thread_count = (int)ps_options_number(state, "--threads", argument, 1, 256);
        return 0;
    case KEY_ORPHAN:
        task->orphan_timeout_ms = ps_options_duration_ms(state, "--orphan_timeout", argument);
        return 0;
    case KEY_HEARTBEAT:
        settings->heartbeat_ms = ps_options_duration_ms(state, "--heartbeat", argument);
        return 0;
    case KEY_KEEP_ALIVE: task->keep_alive = true; return 0;
    case KEY_LOG_LEVEL:
    case KEY_LOG_FORMAT: parse_log(settings, key, argument, state); return 0;
    case ARGP_KEY_ARG: argp_error(state, "'%s' is no flag", argument); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = { { &ps_cluster_flags_task, 0, NULL, 0 }, { 0 } };
static const struct argp argp = {
    .options = options,
    .parser = parse,
    .children = children,
    .doc = "Examples:\n"
           "  paramd ps --ps_hosts=h0:2222,h1:2222 --worker_hosts=h2,h3 --task_index=0\n"
           "  paramd ps --ps_hosts=localhost:2222 --worker_count=2\n"
           "  TF_CONFIG='{\"cluster\": ...}' paramd ps\n"
           "\n"
           "Runs one ps task, which ends by itself when every worker has finished. SIGTERM: "
           "finishes what is in flight and exits with 0; a second one: exits at once."
           "\v"
           "Exit codes: 64 flags or cluster, 68 cannot listen, 202 orphaned; all of them: paramd "
           "--help",
};

static bool is_loopback(const char *address)
{
    return strncmp(address, "localhost:", 10) == 0 || strncmp(address, "127.", 4) == 0 ||
           strncmp(address, "[::1]:", 6) == 0;
}

/* Whether text ends in a port: "h:1", "[::1]:1"; an IPv6 address without brackets does not. */
static bool has_port(const char *text)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL) { return false; }
    return text[0] == '[' ? colon[-1] == ']' : strchr(text, ':') == colon;
}

/* Whether the whole cluster is on this machine, so that nobody else need reach it. */
static bool is_local(const struct ps_cluster *cluster)
{
    const struct ps_job *job = ps_cluster_find_job(cluster, "ps");
    for (int i = 0; i < job->task_count; i++) {
        if (!is_loopback(job->tasks[i].address)) { return false; }
    }
    return true;
}

/* Where to listen: --bind and --port, and for the rest the task's own address in the cluster. */
static enum ps_code choose_address(const struct settings *settings,
                                   const struct ps_cluster *cluster, char address[PS_ADDRESS_BYTES],
                                   struct ps_error *err)
{
    const char *own;
    enum ps_code rc = ps_cluster_address(cluster, "ps", cluster->task_index, &own, err);
    if (rc != PS_OK) { return rc; }
    const char *host = settings->bind;
    char port[12];
    int size;
    snprintf(port, sizeof port, "%.5s", strrchr(own, ':') + 1);
    if (settings->port >= 0) { snprintf(port, sizeof port, "%d", settings->port); }
    if (host == NULL) { host = is_local(cluster) ? "127.0.0.1" : "0.0.0.0"; }
    if (!has_port(host)) {
        bool bare_v6 = host[0] != '[' && strchr(host, ':') != NULL;
        size = snprintf(address, PS_ADDRESS_BYTES, bare_v6 ? "[%s]:%s" : "%s:%s", host, port);
    } else if (settings->port < 0) {
        size = snprintf(address, PS_ADDRESS_BYTES, "%s", host);
    } else {
        return ps_fail(err, PS_INVALID_ARGUMENT, "--bind=%.80s and --port=%d both give a port",
                       host, settings->port);
    }
    if (size < PS_ADDRESS_BYTES) { return PS_OK; }
    return ps_fail(err, PS_INVALID_ARGUMENT, "--bind=%.40s...: too long for an address", host);
}

/* "host:port" with the port that was bound; returns text. */
static const char *bound_address(const char *address, int port, char text[PS_ADDRESS_BYTES + 8])
{
    int host_size = (int)(strrchr(address, ':') - address);
    snprintf(text, PS_ADDRESS_BYTES + 8, "%.*s:%d", host_size, address, port);
    return text;
}

/* For scripts that let the kernel choose: the file is there, whole, once the task listens. */
static enum ps_code write_port(const char *path, int port, struct ps_error *err)
{
    char text[16];
    if (path == NULL) { return PS_OK; }
    snprintf(text, sizeof text, "%d\n", port);
    return ps_run_dir_write_file(path, text, err);
}

/* ---- The line that shows that it lives ---- */

struct heartbeat {
    struct ps_inspector *inspector; /* of this very task: it sees what others see */
    struct ps_status_reply last;    /* without what it points to */
    int64_t interval_ms;
    int64_t next_ms;
};

static struct ps_inspector *inspect_self(int task_index, const char *bound)
{
    struct ps_cluster cluster = { .source = "this task" };
    struct ps_inspector *inspector = NULL;
    char address[PS_ADDRESS_BYTES + 24];
    bool everywhere = strncmp(bound, "0.0.0.0:", 8) == 0 || strncmp(bound, "[::]:", 5) == 0;
    snprintf(address, sizeof address, "%s%s", everywhere ? "127.0.0.1" : "",
             everywhere ? strrchr(bound, ':') : bound);
    enum ps_code rc = ps_cluster_add(&cluster, "ps", task_index, address, NULL);
    if (rc == PS_OK) { rc = ps_inspect_open(&cluster, HEARTBEAT_DEADLINE_MS, &inspector, NULL); }
    ps_cluster_clean(&cluster);
    return rc == PS_OK ? inspector : NULL;
}

static void log_rates(const struct ps_status_reply *last, const struct ps_status_reply *now)
{
    char step[PS_SHOW_BYTES], held[PS_SHOW_BYTES], in[PS_SHOW_BYTES], out[PS_SHOW_BYTES];
    double seconds = (double)(now->uptime_ms - last->uptime_ms) / 1e3;
    if (seconds <= 0) { return; }
    double in_rate = (double)(now->received_bytes - last->received_bytes) / seconds;
    double out_rate = (double)(now->sent_bytes - last->sent_bytes) / seconds;
    ps_log(PS_LOG_INFO, "ps",
           "step %s; %" PRIu64 " variables, %s; %.0f pulls/s, %.0f pushes/s, in %s/s, out %s/s",
           ps_show_count((uint64_t)now->step, step), now->variable_count,
           ps_show_size(now->variable_bytes + now->slot_bytes, held),
           (double)(now->pull_count - last->pull_count) / seconds,
           (double)(now->push_count - last->push_count) / seconds,
           ps_show_size((uint64_t)in_rate, in), ps_show_size((uint64_t)out_rate, out));
}

static void beat(struct heartbeat *heartbeat)
{
    struct ps_inspect_status status;
    int64_t now_ms = ps_clock_now_ms(ps_clock_monotonic());
    if (heartbeat->inspector == NULL || now_ms < heartbeat->next_ms) { return; }
    heartbeat->next_ms = now_ms + heartbeat->interval_ms;
    if (ps_inspect_status(heartbeat->inspector, &status, NULL) == PS_OK) {
        log_rates(&heartbeat->last, &status.replies[0]);
        heartbeat->last = status.replies[0];
    }
    ps_inspect_status_clean(&status);
}

/* ---- Its life ---- */

/* Written by the handler, read by the loop below. A handler, not a blocked signal that is waited
 * for: OpenBLAS makes threads before main runs, and one of those would take the signal and end the
 * process. */
static volatile sig_atomic_t end_signal;

static void note_signal(int signal_number)
{
    end_signal = signal_number;
}

/* The first SIGTERM or SIGINT is noted; SA_RESETHAND lets the second end the process at once. */
static void catch_signals(void)
{
    struct sigaction action = { .sa_handler = note_signal, .sa_flags = (int)SA_RESETHAND };
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

static enum ps_task_end live(struct ps_server_task *task, struct heartbeat *heartbeat)
{
    enum ps_task_end end = PS_TASK_END_STOPPED;
    bool stopping = false;
    while (!ps_task_wait(task, TICK_MS, &end)) {
        if (end_signal != 0 && !stopping) {
            ps_log(PS_LOG_INFO, "ps",
                   "%s: finishing what is in flight; a second signal ends at once",
                   end_signal == SIGINT ? "SIGINT" : "SIGTERM");
            stopping = true;
            ps_task_stop(task);
        }
        if (!stopping) { beat(heartbeat); }
    }
    return end;
}

/* The first line. Workers that the cluster does not list count too, if someone said how many. */
static void announce(const struct ps_cluster *cluster, int worker_count, const char *bound)
{
    char text[PS_CLUSTER_TEXT_BYTES];
    if (worker_count == 0 || ps_cluster_worker_count(cluster) > 0) {
        ps_log(PS_LOG_INFO, "ps", "%s, listening on %s", ps_cluster_describe(cluster, text), bound);
        return;
    }
    ps_log(PS_LOG_INFO, "ps",
           "cluster: %d ps, %d worker%s (from %s); I am /job:ps/task:%d, listening on %s",
           ps_cluster_task_count(cluster, "ps"), worker_count, worker_count == 1 ? "" : "s",
           cluster->source, cluster->task_index, bound);
}

static int run(const struct settings *settings, const struct ps_cluster *cluster,
               const char *address, struct ps_error *err)
{
    struct ps_task_options task_options = settings->task;
    struct ps_server_task *task = NULL;
    char bound[PS_ADDRESS_BYTES + 8], text[PS_CLUSTER_TEXT_BYTES];
    task_options.cluster = cluster;
    task_options.bind_address = address;
    enum ps_code rc = ps_task_create(&task_options, &task, err);
    if (rc != PS_OK) { return rc == PS_UNAVAILABLE ? PS_EXIT_NO_HOST : ps_exit_code_of(rc); }
    bound_address(address, ps_task_port(task), bound);
    announce(cluster, task_options.worker_count, bound);
    rc = write_port(settings->port_file, ps_task_port(task), err);
    if (rc != PS_OK) {
        ps_task_destroy(task, 0);
        return ps_exit_code_of(rc);
    }
    struct heartbeat heartbeat = {
        .inspector = inspect_self(cluster->task_index, bound),
        .interval_ms = settings->heartbeat_ms,
        .next_ms = ps_clock_now_ms(ps_clock_monotonic()) + settings->heartbeat_ms,
    };
    enum ps_task_end end = live(task, &heartbeat);
    ps_inspect_close(heartbeat.inspector);
    ps_log(PS_LOG_INFO, "ps", "%s", ps_task_summary(task, text, sizeof text));
    ps_task_destroy(task, GRACE_MS);
    return end == PS_TASK_END_ORPHANED ? PS_EXIT_COORDINATOR_LOST : PS_EXIT_OK;
}

int ps_cmd_ps(int argc, char **argv)
{
    struct settings settings = { .port = -1,
                                 .log_level = PS_LOG_INFO,
                                 .heartbeat_ms = HEARTBEAT_MS };
    struct ps_cluster cluster = { 0 };
    struct ps_error error = PS_ERROR_INIT;
    char address[PS_ADDRESS_BYTES];
    int code = PS_EXIT_USAGE;
    ps_options_parse(&argp, argc, argv, &settings);

    catch_signals();
    struct ps_log_options log = { .level = settings.log_level, .format = settings.log_format };
    ps_log_configure(&log);
    enum ps_code rc = ps_cluster_flags_load_ps(&settings.choice, &cluster, &error);
    if (rc == PS_OK) {
        rc = ps_cluster_flags_workers(&settings.choice, &settings.task.worker_count, &error);
    }
    if (rc == PS_OK) { rc = choose_address(&settings, &cluster, address, &error); }
    if (rc == PS_OK) {
        snprintf(log.process, sizeof log.process, "/job:ps/task:%d", cluster.task_index);
        ps_log_configure(&log);
        code = run(&settings, &cluster, address, &error);
    }
    if (error.code != PS_OK) { ps_log(PS_LOG_ERROR, "ps", "%s", error.message); }
    ps_cluster_clean(&cluster);
    return code;
}
