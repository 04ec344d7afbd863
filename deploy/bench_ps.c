/* A ps task in a process of its own, started from this very executable. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/bench_ps_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "deploy/bench_meter_priv.h"

/* A ps task listens within 50 ms; a busy machine takes its time. */
static const double START_SECONDS = 20.0;
static const double END_SECONDS = 3.0;

enum { PATH_BYTES = 128, POLL_MS = 5 };

static void wait_a_little(void)
{
    const struct timespec pause = { 0, POLL_MS * 1000000L };
    nanosleep(&pause, NULL);
}

/* In the child: becomes `paramd ps`. Everything that takes memory was made before the fork. */
static void become_ps(char *const *arguments, int log_fd, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) { _exit(1); }
    if (dup2(log_fd, STDOUT_FILENO) >= 0 && dup2(log_fd, STDERR_FILENO) >= 0) {
        execv("/proc/self/exe", arguments);
    }
    _exit(127);
}

static enum ps_code spawn(const char *port_file, int worker_count, struct psi_bench_ps *ps,
                          struct ps_error *err)
{
    char port_flag[PATH_BYTES + 32];
    char count_flag[48];
    char program[] = "paramd", command[] = "ps", hosts[] = "--ps_hosts=127.0.0.1:2222",
         job[] = "--job_name=ps", task[] = "--task_index=0", bind[] = "--bind=127.0.0.1",
         port[] = "--port=0";
    char *const arguments[] = { program, command, hosts,     job,        task,
                                bind,    port,    port_flag, count_flag, NULL };
    snprintf(port_flag, sizeof port_flag, "--port_file=%s", port_file);
    snprintf(count_flag, sizeof count_flag, "--worker_count=%d", worker_count);
    ps->log = tmpfile();
    if (ps->log == NULL) { return ps_fail_errno(err, errno, "no temporary file for the ps task"); }
    pid_t parent = getpid();
    ps->pid = fork();
    if (ps->pid == 0) { become_ps(arguments, fileno(ps->log), parent); }
    if (ps->pid > 0) { return PS_OK; }
    ps->pid = 0;
    return ps_fail_errno(err, errno, "cannot start a ps task");
}

/* The port in the file; 0 while it is not there. */
static int read_port(const char *port_file)
{
    int port = 0;
    FILE *file = fopen(port_file, "re");
    if (file == NULL) { return 0; }
    if (fscanf(file, "%d", &port) != 1) { port = 0; }
    fclose(file);
    return port;
}

static bool has_ended(struct psi_bench_ps *ps)
{
    if (ps->pid == 0) { return true; }
    if (waitpid(ps->pid, NULL, WNOHANG) != ps->pid) { return false; }
    ps->pid = 0;
    return true;
}

/* The last line of the log, without its end. */
static void read_last_words(FILE *log, char words[256])
{
    char line[256];
    words[0] = '\0';
    rewind(log);
    while (fgets(line, sizeof line, log) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] != '\0') { memcpy(words, line, sizeof line); }
    }
}

static enum ps_code await_port(const char *port_file, struct psi_bench_ps *ps, struct ps_error *err)
{
    char words[256];
    double end = psi_bench_now() + START_SECONDS;
    bool ended = false;
    int port = 0;
    while (port == 0 && !ended && psi_bench_now() < end) {
        ended = has_ended(ps);
        port = read_port(port_file);
        if (port == 0) { wait_a_little(); }
    }
    if (port != 0 && !ended) {
        snprintf(ps->address, sizeof ps->address, "127.0.0.1:%d", port);
        return PS_OK;
    }
    read_last_words(ps->log, words);
    return ps_fail(err, PS_UNAVAILABLE, "the ps task %s; it said: %s",
                   ended ? "ended at once" : "does not listen",
                   words[0] != '\0' ? words : "nothing");
}

enum ps_code psi_bench_ps_start(int worker_count, struct psi_bench_ps *ps_out, struct ps_error *err)
{
    const char *parent = getenv("TMPDIR");
    char directory[PATH_BYTES];
    char port_file[PATH_BYTES + 8];
    snprintf(directory, sizeof directory, "%s/paramd-bench-XXXXXX",
             parent != NULL && parent[0] != '\0' ? parent : "/tmp");
    memset(ps_out, 0, sizeof *ps_out);
    if (mkdtemp(directory) == NULL) {
        return ps_fail_errno(err, errno, "cannot make %s", directory);
    }
    snprintf(port_file, sizeof port_file, "%s/port", directory);
    enum ps_code rc = spawn(port_file, worker_count, ps_out, err);
    if (rc == PS_OK) { rc = await_port(port_file, ps_out, err); }
    unlink(port_file);
    rmdir(directory);
    if (rc != PS_OK) { psi_bench_ps_stop(ps_out); }
    return rc;
}

static bool await_end(struct psi_bench_ps *ps)
{
    double end = psi_bench_now() + END_SECONDS;
    while (!has_ended(ps) && psi_bench_now() < end) { wait_a_little(); }
    return ps->pid == 0;
}

void psi_bench_ps_stop(struct psi_bench_ps *ps)
{
    static const int signals[] = { SIGTERM, SIGKILL };
    for (size_t i = 0; i < 2 && ps->pid != 0 && !await_end(ps); i++) { kill(ps->pid, signals[i]); }
    if (ps->pid != 0) { waitpid(ps->pid, NULL, 0); }
    if (ps->log != NULL) { fclose(ps->log); }
    memset(ps, 0, sizeof *ps);
}
