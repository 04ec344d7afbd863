/* The cluster's tasks: added with every check, looked up, counted, described. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cluster.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/alloc.h"

/* Jobs whose tasks are workers, in the order in which they are numbered. */
static const char *const worker_jobs[] = { "chief", "master", "worker" };
enum { WORKER_JOB_COUNT = sizeof worker_jobs / sizeof worker_jobs[0], PORT_MAX = 65535 };

void ps_cluster_clean(struct ps_cluster *cluster)
{
    if (cluster == NULL) { return; }
    for (int j = 0; j < cluster->job_count; j++) {
        struct ps_job *job = &cluster->jobs[j];
        for (int t = 0; t < job->task_count; t++) { ps_free(job->tasks[t].address); }
        ps_free(job->tasks);
    }
    ps_free(cluster->jobs);
    *cluster = (struct ps_cluster){ 0 };
}

static enum ps_code fail_memory(struct ps_error *err)
{
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for the cluster's list of tasks");
}

static bool host_is_valid(const char *host, size_t size, bool bracketed)
{
    if (size == 0) { return false; }
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)host[i];
        bool good = bracketed ? isalnum(c) || strchr(":.%", c) != NULL
                              : isalnum(c) || strchr("._-", c) != NULL;
        if (c == '\0' || !good) { return false; }
    }
    return true;
}

/* The port of ":port" at text, the default if text is empty, 0 if it is neither. */
static int read_port(const char *text)
{
    int port = 0;
    if (*text == '\0') { return PS_DEFAULT_PORT; }
    if (*text != ':') { return 0; }
    for (text++; isdigit((unsigned char)*text) && port <= PORT_MAX; text++) {
        port = port * 10 + (*text - '0');
    }
    return *text == '\0' && port <= PORT_MAX ? port : 0;
}

enum ps_code ps_cluster_normalize_address(const char *address, char out[PS_ADDRESS_BYTES],
                                          struct ps_error *err)
{
    out[0] = '\0';
    bool bracketed = address[0] == '[';
    size_t host_size = bracketed ? strcspn(address + 1, "]") : strcspn(address, ":");
    const char *host = bracketed ? address + 1 : address;
    const char *rest = host + host_size;
    if (bracketed) { rest += *rest == ']' ? 1 : 0; }
    if (!bracketed && *rest == ':' && strchr(rest + 1, ':') != NULL) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "address '%s' has several ':'; an IPv6 address needs brackets, as in "
                       "[::1]:2222",
                       address);
    }
    if (host_size == 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "address '%s' has no host; expected host:port, as in ps0.example:2222",
                       address);
    }
    bool closed = !bracketed || rest[-1] == ']';
    if (!closed || !host_is_valid(host, host_size, bracketed)) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "address '%s' has a bad host; expected host:port with letters, digits, "
                       "'.', '-' and '_' in the host, as in ps0.example:2222",
                       address);
    }
    int port = read_port(rest);
    if (port == 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "address '%s' has a bad port; expected a number from 1 to 65535", address);
    }
    int used = snprintf(out, PS_ADDRESS_BYTES, "%s%.*s%s:%d", bracketed ? "[" : "", (int)host_size,
                        host, bracketed ? "]" : "", port);
    if (used >= PS_ADDRESS_BYTES) {
        out[0] = '\0';
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "an address has %zu bytes; a host name has at most 253", strlen(address));
    }
    return PS_OK;
}

const struct ps_job *ps_cluster_find_job(const struct ps_cluster *cluster, const char *job)
{
    for (int j = 0; j < cluster->job_count; j++) {
        if (strcmp(cluster->jobs[j].name, job) == 0) { return &cluster->jobs[j]; }
    }
    return NULL;
}

/* Position of the first task whose index is not below index. */
static int lower_bound(const struct ps_job *job, int index)
{
    int low = 0;
    int high = job->task_count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (job->tasks[middle].index < index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static const struct ps_task *find_task(const struct ps_job *job, int index)
{
    int at = lower_bound(job, index);
    return at < job->task_count && job->tasks[at].index == index ? &job->tasks[at] : NULL;
}

static int count_all(const struct ps_cluster *cluster)
{
    int count = 0;
    for (int j = 0; j < cluster->job_count; j++) { count += cluster->jobs[j].task_count; }
    return count;
}

/* Two processes cannot listen on one address: most often a line copied and not changed. */
static enum ps_code check_address_is_new(const struct ps_cluster *cluster, const char *job,
                                         int index, const char *address, struct ps_error *err)
{
    for (int j = 0; j < cluster->job_count; j++) {
        const struct ps_job *other = &cluster->jobs[j];
        for (int t = 0; t < other->task_count; t++) {
            if (strcasecmp(other->tasks[t].address, address) != 0) { continue; }
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "/job:%s/task:%d and /job:%s/task:%d have the same address %s; each "
                           "task needs its own",
                           other->name, other->tasks[t].index, job, index, address);
        }
    }
    return PS_OK;
}

static enum ps_code check_new_task(const struct ps_cluster *cluster, const char *job, int index,
                                   struct ps_error *err)
{
    if (!ps_device_job_name_is_valid(job)) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "'%s' is no job name; expected a letter, then letters, digits and '_', "
                       "fewer than %d",
                       job, PS_JOB_NAME_BYTES);
    }
    if (index < 0 || index > PS_MAX_TASK_INDEX) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "job '%s': task index %d is not in 0 to %d", job,
                       index, PS_MAX_TASK_INDEX);
    }
    const struct ps_job *known = ps_cluster_find_job(cluster, job);
    if (known != NULL && find_task(known, index) != NULL) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "/job:%s/task:%d is given twice", job, index);
    }
    if (count_all(cluster) == PS_MAX_TASKS) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "the cluster has more than %d tasks",
                       PS_MAX_TASKS);
    }
    return PS_OK;
}

/* The job, added if it is new; NULL when out of memory. */
static struct ps_job *add_job(struct ps_cluster *cluster, const char *name)
{
    struct ps_job *known = (struct ps_job *)ps_cluster_find_job(cluster, name);
    if (known != NULL) { return known; }
    size_t size = (size_t)(cluster->job_count + 1) * sizeof *cluster->jobs;
    struct ps_job *jobs = ps_realloc(cluster->jobs, size);
    if (jobs == NULL) { return NULL; }
    cluster->jobs = jobs;
    struct ps_job *job = &jobs[cluster->job_count++];
    *job = (struct ps_job){ 0 };
    memcpy(job->name, name, strlen(name) + 1);
    return job;
}

/* Inserts in order, owning address; false (address not taken) when out of memory. */
static bool insert_task_take(struct ps_job *job, int index, char *address)
{
    if (job->task_count == job->task_capacity) {
        int capacity = job->task_capacity == 0 ? 8 : job->task_capacity * 2;
        struct ps_task *tasks = ps_realloc(job->tasks, (size_t)capacity * sizeof *tasks);
        if (tasks == NULL) { return false; }
        job->tasks = tasks;
        job->task_capacity = capacity;
    }
    int at = lower_bound(job, index);
    memmove(&job->tasks[at + 1], &job->tasks[at],
            (size_t)(job->task_count - at) * sizeof job->tasks[0]);
    job->tasks[at] = (struct ps_task){ .index = index, .address = address };
    job->task_count++;
    return true;
}

enum ps_code ps_cluster_add(struct ps_cluster *cluster, const char *job, int index,
                            const char *address, struct ps_error *err)
{
    char normal[PS_ADDRESS_BYTES];
    enum ps_code rc;
    PS_TRY(done, rc, check_new_task(cluster, job, index, err));
    rc = ps_cluster_normalize_address(address, normal, err);
    if (rc != PS_OK) {
        ps_wrap(err, "/job:%s/task:%d", job, index);
        goto done;
    }
    PS_TRY(done, rc, check_address_is_new(cluster, job, index, normal, err));

    char *own_address = ps_strdup(normal);
    struct ps_job *own_job = own_address == NULL ? NULL : add_job(cluster, job);
    if (own_job == NULL || !insert_task_take(own_job, index, own_address)) {
        ps_free(own_address);
        rc = fail_memory(err);
    }
done:
    return rc;
}

static enum ps_code copy_job(const struct ps_job *from, struct ps_job *to, struct ps_error *err)
{
    memcpy(to->name, from->name, sizeof to->name);
    for (int t = 0; t < from->task_count; t++) {
        char *address = ps_strdup(from->tasks[t].address);
        if (address == NULL || !insert_task_take(to, from->tasks[t].index, address)) {
            ps_free(address);
            return fail_memory(err);
        }
    }
    return PS_OK;
}

enum ps_code ps_cluster_copy(const struct ps_cluster *from, struct ps_cluster *to,
                             struct ps_error *err)
{
    *to = *from;
    to->job_count = 0;
    to->jobs = ps_alloc_zero((size_t)from->job_count, sizeof *to->jobs);
    enum ps_code rc = to->jobs == NULL ? fail_memory(err) : PS_OK;
    while (rc == PS_OK && to->job_count < from->job_count) {
        int j = to->job_count++;
        rc = copy_job(&from->jobs[j], &to->jobs[j], err);
    }
    if (rc != PS_OK) { ps_cluster_clean(to); }
    return rc;
}

/* Appends what fits: these texts are for people, and a cut one still helps. */
static void PS_PRINTF(3, 4) append_text(char *text, size_t size, const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(text + used, size - used, format, arguments) < 0) { text[used] = '\0'; }
    va_end(arguments);
}

static enum ps_code fail_no_job(const struct ps_cluster *cluster, const char *job,
                                struct ps_error *err)
{
    char jobs[256] = "";
    for (int j = 0; j < cluster->job_count; j++) {
        append_text(jobs, sizeof jobs, "%s%s", j == 0 ? "" : ", ", cluster->jobs[j].name);
    }
    if (cluster->job_count == 0) { append_text(jobs, sizeof jobs, "none"); }
    return ps_fail(err, PS_NOT_FOUND, "No such job in cluster: '%s'; its jobs: %s", job, jobs);
}

static enum ps_code fail_no_task(const struct ps_job *job, int index, struct ps_error *err)
{
    int last = job->task_count - 1;
    return ps_fail(err, PS_NOT_FOUND,
                   "No task with index %d in job '%s'; it has %d, numbered from %d to %d", index,
                   job->name, job->task_count, last < 0 ? 0 : job->tasks[0].index,
                   last < 0 ? 0 : job->tasks[last].index);
}

enum ps_code ps_cluster_address(const struct ps_cluster *cluster, const char *job, int index,
                                const char **address_out, struct ps_error *err)
{
    *address_out = NULL;
    const struct ps_job *known = ps_cluster_find_job(cluster, job);
    if (known == NULL) { return fail_no_job(cluster, job, err); }
    const struct ps_task *task = find_task(known, index);
    if (task == NULL) { return fail_no_task(known, index, err); }
    *address_out = task->address;
    return PS_OK;
}

enum ps_code ps_cluster_set_role(struct ps_cluster *cluster, const char *job, int index,
                                 struct ps_error *err)
{
    if (strcmp(job, "evaluator") == 0) {
        if (index < 0 || index > PS_MAX_TASK_INDEX) {
            return ps_fail(err, PS_INVALID_ARGUMENT, "evaluator: task index %d is not in 0 to %d",
                           index, PS_MAX_TASK_INDEX);
        }
    } else {
        const char *address;
        enum ps_code rc = ps_cluster_address(cluster, job, index, &address, err);
        if (rc != PS_OK) { return rc; }
    }
    snprintf(cluster->job_name, sizeof cluster->job_name, "%s", job);
    cluster->task_index = index;
    return PS_OK;
}

bool ps_cluster_has_role(const struct ps_cluster *cluster)
{
    return cluster->job_name[0] != '\0';
}

int ps_cluster_task_count(const struct ps_cluster *cluster, const char *job)
{
    const struct ps_job *known = ps_cluster_find_job(cluster, job);
    return known == NULL ? 0 : known->task_count;
}

static bool is_worker_job(const char *job)
{
    for (int i = 0; i < WORKER_JOB_COUNT; i++) {
        if (strcmp(worker_jobs[i], job) == 0) { return true; }
    }
    return false;
}

int ps_cluster_worker_count(const struct ps_cluster *cluster)
{
    int count = 0;
    for (int i = 0; i < WORKER_JOB_COUNT; i++) {
        count += ps_cluster_task_count(cluster, worker_jobs[i]);
    }
    return count;
}

int ps_cluster_worker_index(const struct ps_cluster *cluster, const char *job, int task_index)
{
    int before = 0;
    for (int i = 0; i < WORKER_JOB_COUNT; i++) {
        if (strcmp(worker_jobs[i], job) == 0) { return before + task_index; }
        before += ps_cluster_task_count(cluster, worker_jobs[i]);
    }
    return -1;
}

const char *ps_cluster_describe(const struct ps_cluster *cluster, char text[PS_CLUSTER_TEXT_BYTES])
{
    size_t size = PS_CLUSTER_TEXT_BYTES;
    int worker_count = ps_cluster_worker_count(cluster);
    text[0] = '\0';
    append_text(text, size, "cluster: %d ps, %d worker%s", ps_cluster_task_count(cluster, "ps"),
                worker_count, worker_count == 1 ? "" : "s");
    for (int j = 0; j < cluster->job_count; j++) {
        const struct ps_job *job = &cluster->jobs[j];
        if (strcmp(job->name, "ps") == 0 || is_worker_job(job->name)) { continue; }
        append_text(text, size, ", %d %s", job->task_count, job->name);
    }
    if (cluster->source[0] != '\0') { append_text(text, size, " (from %s)", cluster->source); }
    if (ps_cluster_has_role(cluster)) {
        append_text(text, size, "; I am /job:%s/task:%d", cluster->job_name, cluster->task_index);
    }
    return text;
}
