/* What a session is told: options, flags and environment made into settings. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/settings_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cluster_config.h"

enum {
    START_TIMEOUT_MS = 300000,
    CALL_TIMEOUT_MS = 120000,
    RESEND_TIMEOUT_MS = 20000, /* far above any healthy reply, below most call time-outs */
    MOST_WORKERS = 65536
};

/* ---- Flags ---- */

enum flag_kind { FLAG_TEXT, FLAG_INTEGER, FLAG_SECONDS, FLAG_SWITCH };

struct flag {
    const char *name;
    enum flag_kind kind;
    size_t offset; /* in psi_flags */
    const char *help;
};

#define OPTION(field) offsetof(struct psi_flags, options.field)

static const struct flag flags[] = {
    { "ps_hosts", FLAG_TEXT, OPTION(ps_hosts), "h1:2222,h2:2222" },
    { "worker_hosts", FLAG_TEXT, OPTION(worker_hosts), "h3:2222,h4:2222" },
    { "cluster", FLAG_TEXT, OPTION(cluster), "ClusterSpec: a JSON file, or JSON" },
    { "job_name", FLAG_TEXT, OPTION(job_name), "worker" },
    { "task_index", FLAG_INTEGER, OPTION(task_index), "number of this worker" },
    { "worker_count", FLAG_INTEGER, OPTION(worker_count), "where no worker hosts are listed" },
    { "start_timeout", FLAG_SECONDS, OPTION(start_timeout_ms),
      "seconds to wait for ps tasks; 300" },
    { "call_timeout", FLAG_SECONDS, OPTION(call_timeout_ms),
      "seconds to wait for a lost ps task; 120" },
    { "eager", FLAG_SWITCH, OPTION(eager), "apply pushes on arrival" },
    { "checksums", FLAG_SWITCH, OPTION(checksums), "CRC-32C of tensor bytes on the wire" },
    { "round_robin", FLAG_SWITCH, OPTION(round_robin), "place variables by turns" },
    { "quiet", FLAG_SWITCH, OPTION(quiet), "print errors only" },
    { "log_level", FLAG_TEXT, offsetof(struct psi_flags, log_level), "error, warn, info, debug" },
    { "log_format", FLAG_TEXT, offsetof(struct psi_flags, log_format), "human, json" },
};

enum { FLAG_COUNT = sizeof flags / sizeof flags[0] };

static void print_help(void)
{
    fprintf(stderr, "Flags of paramd (also as PS_* variables, or TF_CONFIG):\n");
    for (int i = 0; i < FLAG_COUNT; i++) {
        fprintf(stderr, "  --%-14s %s\n", flags[i].name, flags[i].help);
    }
}

/* The flag that argument names, and its value after '=' (NULL: none there). */
static const struct flag *find_flag(const char *argument, const char **value_out)
{
    if (argument[0] != '-') { return NULL; }
    const char *name = argument + (argument[1] == '-' ? 2 : 1);
    size_t length = strcspn(name, "=");
    *value_out = name[length] == '=' ? name + length + 1 : NULL;
    for (int i = 0; i < FLAG_COUNT; i++) {
        if (strlen(flags[i].name) == length && strncmp(flags[i].name, name, length) == 0) {
            return &flags[i];
        }
    }
    return NULL;
}

static enum ps_code parse_number(const char *name, const char *text, long least, long most,
                                 long *number_out, struct ps_error *err)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < least || number > most) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "--%s=%s: a whole number from %ld to %ld is needed", name, text, least,
                       most);
    }
    *number_out = number;
    return PS_OK;
}

static enum ps_code store_flag(const struct flag *flag, const char *value, struct psi_flags *to,
                               struct ps_error *err)
{
    char *field = (char *)to + flag->offset;
    long number = 1;
    enum ps_code rc = PS_OK;
    if (flag->kind == FLAG_TEXT) {
        memcpy(field, &value, sizeof value);
        return PS_OK;
    }
    if (flag->kind == FLAG_SECONDS) {
        char seconds[16];
        size_t length = strcspn(value, "s");
        snprintf(seconds, sizeof seconds, "%.*s",
                 strcmp(value + length, "s") == 0 ? (int)length : 15, value);
        rc = parse_number(flag->name, seconds, 1, 86400, &number, err);
        int64_t milliseconds = number * 1000;
        if (rc == PS_OK) { memcpy(field, &milliseconds, sizeof milliseconds); }
        return rc;
    }
    if (flag->kind == FLAG_INTEGER || value != NULL) {
        rc = parse_number(flag->name, value, 0, MOST_WORKERS, &number, err);
    }
    int integer = (int)number;
    if (rc == PS_OK) { memcpy(field, &integer, sizeof integer); }
    return rc;
}

enum ps_code psi_settings_parse(int *argc, char **argv, struct psi_flags *flags_out,
                                struct ps_error *err)
{
    memset(flags_out, 0, sizeof *flags_out);
    flags_out->options.task_index = -1;
    int kept = 1;
    bool ours = true;
    for (int i = 1; i < *argc; i++) {
        const char *value = NULL;
        if (strcmp(argv[i], "--") == 0) { ours = false; }
        if (ours && strcmp(argv[i], "--help_paramd") == 0) {
            print_help();
            flags_out->help = true;
            continue;
        }
        const struct flag *flag = ours ? find_flag(argv[i], &value) : NULL;
        if (flag == NULL) {
            argv[kept++] = argv[i];
            continue;
        }
        if (value == NULL && flag->kind != FLAG_SWITCH) {
            if (i + 1 >= *argc) {
                return ps_fail(err, PS_INVALID_ARGUMENT, "--%s needs a value: %s", flag->name,
                               flag->help);
            }
            value = argv[++i];
        }
        enum ps_code rc = store_flag(flag, value, flags_out, err);
        if (rc != PS_OK) { return rc; }
    }
    argv[kept] = NULL;
    *argc = kept;
    return PS_OK;
}

/* ---- Environment and defaults ---- */

static const char *environment(void *ctx, const char *name)
{
    (void)ctx;
    return getenv(name);
}

/* As environment, without the role: of a cluster that does not list its workers. */
static const char *environment_without_role(void *ctx, const char *name)
{
    bool role = strcmp(name, "PS_JOB_NAME") == 0 || strcmp(name, "PS_TASK_INDEX") == 0;
    return role ? NULL : environment(ctx, name);
}

static const char *from_environment(const ps_options *options, const char *name)
{
    const char *value = options->no_environment ? NULL : getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* How many workers there are, where they are not listed; 0: nobody says so. */
static enum ps_code count_unlisted(const ps_options *options, long *count_out, struct ps_error *err)
{
    *count_out = options->worker_count;
    const char *text = from_environment(options, "PS_WORKER_COUNT");
    if (*count_out > 0 || text == NULL) { return PS_OK; }
    return parse_number("worker_count (PS_WORKER_COUNT)", text, 1, MOST_WORKERS, count_out, err);
}

static enum ps_code refuse_job(const char *job, struct ps_error *err)
{
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "this program is a worker, but its job is '%s'. ps tasks are started with: "
                   "paramd ps",
                   job);
}

/* The role in a cluster that lists ps tasks only: worker 0 unless something else is said. */
static enum ps_code choose_role(const ps_options *options, struct psi_settings *settings,
                                struct ps_error *err)
{
    const char *job = options->job_name != NULL ? options->job_name
                                                : from_environment(options, "PS_JOB_NAME");
    const char *text = from_environment(options, "PS_TASK_INDEX");
    long index = options->task_index > 0 ? options->task_index : 0, count = 0;
    if (job != NULL && strcmp(job, "worker") != 0) { return refuse_job(job, err); }
    enum ps_code rc = count_unlisted(options, &count, err);
    if (rc == PS_OK && options->task_index < 0 && text != NULL) {
        rc = parse_number("task_index (PS_TASK_INDEX)", text, 0, MOST_WORKERS, &index, err);
    }
    if (rc != PS_OK) { return rc; }
    if (count == 0) { count = index + 1; }
    if (index >= count) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "--task_index=%ld, but there are %ld workers: 0 to %ld", index, count,
                       count - 1);
    }
    settings->task_index = (int)index;
    settings->worker_count = (int)count;
    return PS_OK;
}

/* Whether the cluster names ps tasks and no workers: then it is loaded. Anything else, mistakes
 * too, is left to load_listed. */
static bool load_unlisted(const ps_options *options, struct psi_settings *settings)
{
    struct ps_cluster_inputs inputs = {
        .flags = { .cluster = options->cluster,
                   .ps_hosts = options->ps_hosts,
                   .worker_hosts = options->worker_hosts },
        .get_env = options->no_environment ? NULL : environment_without_role,
        .role_optional = true,
    };
    struct ps_cluster *cluster = &settings->cluster;
    if (ps_cluster_config_load(&inputs, cluster, NULL) != PS_OK) { return false; }
    bool unlisted = ps_cluster_task_count(cluster, "ps") > 0 &&
                    ps_cluster_worker_count(cluster) == 0 && !ps_cluster_has_role(cluster);
    if (!unlisted) { ps_cluster_clean(cluster); }
    return unlisted;
}

static enum ps_code load_listed(const ps_options *options, struct psi_settings *settings,
                                struct ps_error *err)
{
    char index[16];
    snprintf(index, sizeof index, "%d", options->task_index);
    bool job_is_clear = options->job_name == NULL && options->task_index >= 0 &&
                        from_environment(options, "PS_JOB_NAME") == NULL;
    struct ps_cluster_inputs inputs = {
        .flags = { .cluster = options->cluster,
                   .ps_hosts = options->ps_hosts,
                   .worker_hosts = options->worker_hosts,
                   .job_name = job_is_clear && options->worker_hosts != NULL ? "worker"
                                                                             : options->job_name,
                   .task_index = options->task_index >= 0 ? index : NULL },
        .get_env = options->no_environment ? NULL : environment,
    };
    struct ps_cluster *cluster = &settings->cluster;
    enum ps_code rc = ps_cluster_config_load(&inputs, cluster, err);
    if (rc != PS_OK) { return rc; }
    settings->task_index = ps_cluster_worker_index(cluster, cluster->job_name, cluster->task_index);
    settings->worker_count = ps_cluster_worker_count(cluster);
    return settings->task_index >= 0 ? PS_OK : refuse_job(cluster->job_name, err);
}

enum ps_code psi_settings_load(const ps_options *options, struct psi_settings *settings_out,
                               struct ps_error *err)
{
    struct psi_settings *settings = settings_out;
    memset(settings, 0, sizeof *settings);
    settings->start_timeout_ms = options->start_timeout_ms > 0 ? options->start_timeout_ms
                                                               : START_TIMEOUT_MS;
    settings->call_timeout_ms = options->call_timeout_ms > 0 ? options->call_timeout_ms
                                                             : CALL_TIMEOUT_MS;
    settings->resend_timeout_ms = options->resend_timeout_ms > 0 ? options->resend_timeout_ms
                                                                 : RESEND_TIMEOUT_MS;
    settings->eager = options->eager != 0;
    settings->checksums = options->checksums != 0;
    settings->quiet = options->quiet != 0;
    settings->strategy = options->round_robin ? PS_STRATEGY_ROUND_ROBIN : PS_STRATEGY_BALANCED;
    const char *directory = from_environment(options, "PS_SUMMARY_DIR");
    snprintf(settings->summary_dir, sizeof settings->summary_dir, "%s",
             directory != NULL ? directory : "");

    enum ps_code rc = load_unlisted(options, settings) ? choose_role(options, settings, err)
                                                       : load_listed(options, settings, err);
    if (rc == PS_OK && ps_cluster_task_count(&settings->cluster, "ps") == 0) {
        rc = ps_fail(err, PS_INVALID_ARGUMENT,
                     "the cluster (from %s) has no ps task. Give --ps_hosts, or run everything on "
                     "this machine: paramd launch --ps 2 --workers 2 -- ./my-worker",
                     settings->cluster.source);
    }
    return rc;
}

void psi_settings_clean(struct psi_settings *settings)
{
    ps_cluster_clean(&settings->cluster);
}
