/* One child process of the launcher: started in a group of its own, and never outliving us. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READ = 0, WRITE = 1, EXIT_CANNOT_EXEC = 127 };

struct pipes {
    int out[2];
    int err[2];
    int failure[2]; /* carries errno of a failed exec; closed by a successful one */
};

static void close_fd(int *fd)
{
    if (*fd >= 0) { close(*fd); }
    *fd = -1;
}

static void close_pipes(struct pipes *pipes)
{
    for (int end = READ; end <= WRITE; end++) {
        close_fd(&pipes->out[end]);
        close_fd(&pipes->err[end]);
        close_fd(&pipes->failure[end]);
    }
}

static bool open_pipes(struct pipes *pipes)
{
    *pipes = (struct pipes){ { -1, -1 }, { -1, -1 }, { -1, -1 } };
    return pipe2(pipes->out, O_CLOEXEC) == 0 && pipe2(pipes->err, O_CLOEXEC) == 0 &&
           pipe2(pipes->failure, O_CLOEXEC) == 0 &&
           fcntl(pipes->out[READ], F_SETFL, O_NONBLOCK) == 0 &&
           fcntl(pipes->err[READ], F_SETFL, O_NONBLOCK) == 0;
}

static bool set_environment(const struct ps_child_env *env)
{
    for (; env->name != NULL; env++) {
        int failed = env->value == NULL ? unsetenv(env->name) : setenv(env->name, env->value, 1);
        if (failed) { return false; }
    }
    return true;
}

/* In the child, up to exec. The process had one thread, so every function may be called. */
static void become(char *const *argv, const struct ps_child_env *env, const struct pipes *pipes,
                   pid_t launcher)
{
    sigset_t none;
    sigemptyset(&none);
    int null = open("/dev/null", O_RDONLY);
    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
    bool ready = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
                 sigprocmask(SIG_SETMASK, &none, NULL) == 0 && dup2(null, STDIN_FILENO) >= 0 &&
                 dup2(pipes->out[WRITE], STDOUT_FILENO) >= 0 &&
                 dup2(pipes->err[WRITE], STDERR_FILENO) >= 0 && set_environment(env);
    if (getppid() != launcher) { _exit(EXIT_CANNOT_EXEC); } /* it died before prctl */
    if (ready) { execvp(argv[0], argv); }
    int failure = errno;
    ssize_t written = write(pipes->failure[WRITE], &failure, sizeof failure);
    (void)written; /* nobody is left to tell */
    _exit(EXIT_CANNOT_EXEC);
}

/* errno of the child's exec, 0 when it succeeded. */
static int read_failure(int fd)
{
    int failure = 0;
    ssize_t size;
    do {
        size = read(fd, &failure, sizeof failure);
    } while (size < 0 && errno == EINTR);
    return size == (ssize_t)sizeof failure ? failure : 0;
}

enum ps_code ps_child_start(char *const *argv, const struct ps_child_env *env,
                            struct ps_child *child_out, struct ps_error *err)
{
    struct pipes pipes;
    pid_t launcher = getpid();
    *child_out = (struct ps_child){ .pid = -1, .out_fd = -1, .err_fd = -1 };
    fflush(NULL); /* or the child would have a copy of what is not written yet */
    pid_t pid = open_pipes(&pipes) ? fork() : -1;
    if (pid == 0) { become(argv, env, &pipes, launcher); }
    if (pid < 0) {
        enum ps_code rc = ps_fail_errno(err, errno, "cannot start '%s'", argv[0]);
        close_pipes(&pipes);
        return rc;
    }
    setpgid(pid, pid); /* here too: whoever comes first, the group is there when we go on */
    close_fd(&pipes.failure[WRITE]);
    int failure = read_failure(pipes.failure[READ]);
    if (failure == 0) {
        *child_out = (struct ps_child){ pid, pipes.out[READ], pipes.err[READ] };
        pipes.out[READ] = pipes.err[READ] = -1;
    } else {
        waitpid(pid, NULL, 0);
    }
    close_pipes(&pipes);
    return failure == 0 ? PS_OK : ps_fail_errno(err, failure, "cannot start '%s'", argv[0]);
}

void ps_child_signal(const struct ps_child *child, int signal_number)
{
    if (child->pid > 0) { kill(-child->pid, signal_number); }
}

int ps_child_exit_code(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

void ps_child_adopt(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/* Kills the children that the kernel lists for us; it lists them only after wait has cleared away
 * those that have ended. */
static int kill_children(void)
{
    char path[64];
    long pid;
    int count = 0;
    snprintf(path, sizeof path, "/proc/self/task/%ld/children", (long)getpid());
    FILE *list = fopen(path, "r");
    if (list == NULL) { return 0; }
    while (fscanf(list, "%ld", &pid) == 1) {
        kill((pid_t)pid, SIGKILL);
        count++;
    }
    fclose(list);
    return count;
}

int ps_child_kill_rest(void)
{
    int count = 0;
    while (waitpid(-1, NULL, WNOHANG) > 0) { /* had ended by itself */
    }
    /* Each round may orphan the next generation, which then is ours. */
    for (int killed = kill_children(); killed > 0; killed = kill_children()) {
        count += killed;
        for (int i = 0; i < killed; i++) { waitpid(-1, NULL, 0); }
    }
    return count;
}
