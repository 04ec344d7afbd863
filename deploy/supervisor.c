/* Runs the processes of a launch: starts them, passes on their output, and sees them all end. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/exit_code.h"

enum {
    TICK_MS = 100, /* how late a deadline is seen */
    READ_BYTES = 16384
};

static int64_t now_ms(void)
{
    return ps_clock_now_ms(ps_clock_monotonic());
}

static void act(struct ps_supervisor *supervisor, enum ps_launch_action action, int signal_number)
{
    if (action == PS_LAUNCH_NOTHING) { return; }
    for (int i = 0; i < supervisor->task_count; i++) {
        const struct ps_supervised *task = &supervisor->tasks[i];
        if (!task->started || task->ended) { continue; }
        ps_child_signal(&task->child, action == PS_LAUNCH_KILL ? SIGKILL : signal_number);
    }
}

/* ---- Output ---- */

static int *stream_fd(struct ps_supervised *task, int stream)
{
    return stream == 0 ? &task->child.out_fd : &task->child.err_fd;
}

/* Reads what is there; closes the stream at its end. At most a few rounds, so that one task that
 * never stops printing cannot keep the others waiting. */
static void read_stream(struct ps_supervised *task, int stream)
{
    char buffer[READ_BYTES];
    int *fd = stream_fd(task, stream);
    for (int round = 0; round < 8 && *fd >= 0; round++) {
        ssize_t size = read(*fd, buffer, sizeof buffer);
        if (size > 0) {
            ps_relay_feed(&task->relay, stream, buffer, (size_t)size);
            continue;
        }
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) { return; }
        close(*fd);
        *fd = -1;
    }
}

/* A task has ended, and its group was killed: what it still had to say is in the pipes. */
static void drain(struct ps_supervised *task)
{
    for (int stream = 0; stream < 2; stream++) {
        int *fd = stream_fd(task, stream);
        struct pollfd more = { .fd = *fd, .events = POLLIN };
        while (*fd >= 0 && poll(&more, 1, 0) > 0) { read_stream(task, stream); }
        if (*fd >= 0) { close(*fd); }
        *fd = -1;
    }
    ps_relay_flush(&task->relay);
}

/* ---- Ends ---- */

static const char *meaning(int exit_code)
{
    switch (exit_code) {
    case PS_EXIT_USAGE: return "flags, environment or cluster description";
    case PS_EXIT_DATA: return "data that does not fit or is damaged";
    case PS_EXIT_NO_INPUT: return "input not found";
    case PS_EXIT_NO_HOST: return "an address that cannot be bound or resolved";
    case PS_EXIT_SOFTWARE: return "internal error";
    case PS_EXIT_PROTOCOL: return "versions or jobs that do not fit together";
    case PS_EXIT_PEER_LOST: return "a task was lost";
    case PS_EXIT_START_TIMEOUT: return "not every task was there in time";
    case PS_EXIT_COORDINATOR_LOST: return "the coordinator was lost";
    case PS_EXIT_STORAGE: return "storage or memory exhausted";
    default: return "see its log";
    }
}

static void explain(struct ps_supervisor *supervisor, const struct ps_supervised *task)
{
    struct ps_terminal *terminal = supervisor->terminal;
    const char *label = task->relay.label;
    int lines = task->relay.tail_count < PS_RELAY_TAIL_LINES ? (int)task->relay.tail_count
                                                             : PS_RELAY_TAIL_LINES;
    if (task->exit_code > 128 && task->exit_code < 128 + NSIG) {
        ps_terminal_say(terminal, "%s was killed by signal %d (%s); its last %d lines:", label,
                        task->exit_code - 128, strsignal(task->exit_code - 128), lines);
    } else {
        ps_terminal_say(terminal, "%s ended with exit code %d (%s); its last %d lines:", label,
                        task->exit_code, meaning(task->exit_code), lines);
    }
    ps_relay_show_tail(&task->relay);
    ps_terminal_say(terminal, "ending the other tasks");
}

static void explain_deadline(struct ps_supervisor *supervisor, enum ps_launch_phase before)
{
    struct ps_terminal *terminal = supervisor->terminal;
    long long seconds = (long long)(supervisor->grace_ms / 1000);
    if (before == PS_LAUNCH_PS_LEFT) {
        ps_terminal_say(terminal,
                        "a ps task has ended, but workers still run %lld s later; ending them",
                        seconds);
    } else if (before == PS_LAUNCH_ENDING) {
        ps_terminal_say(terminal,
                        "the workers are done, but ps tasks still run %lld s later; stopping them",
                        seconds);
    } else {
        ps_terminal_say(
            terminal, "tasks still run %lld s after they were asked to end; killing them", seconds);
    }
}

/* The task is a zombie: its group still exists, so killing the group cannot hit a stranger. */
static void bury(struct ps_supervisor *supervisor, struct ps_supervised *task)
{
    int status = 0;
    ps_child_signal(&task->child, SIGKILL);
    waitpid(task->child.pid, &status, 0);
    task->ended = true;
    task->ended_ms = now_ms();
    task->exit_code = ps_child_exit_code(status);
    drain(task);
    enum ps_launch_cause before = supervisor->policy.cause;
    enum ps_launch_action action = ps_launch_policy_ended(&supervisor->policy, task->ended_ms,
                                                          task->role, task->exit_code);
    if (before == PS_LAUNCH_NO_CAUSE && supervisor->policy.cause != PS_LAUNCH_NO_CAUSE) {
        explain(supervisor, task);
    }
    act(supervisor, action, SIGTERM);
}

static struct ps_supervised *find_task(struct ps_supervisor *supervisor, pid_t pid)
{
    for (int i = 0; i < supervisor->task_count; i++) {
        struct ps_supervised *task = &supervisor->tasks[i];
        if (task->started && !task->ended && task->child.pid == pid) { return task; }
    }
    return NULL;
}

/* Looks before it reaps, so that a task's group is killed while its pid is still taken. */
static void bury_all(struct ps_supervisor *supervisor)
{
    for (;;) {
        siginfo_t info = { .si_pid = 0 };
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) {
            return;
        }
        struct ps_supervised *task = find_task(supervisor, info.si_pid);
        if (task != NULL) {
            bury(supervisor, task);
        } else {
            waitpid(info.si_pid, NULL, 0); /* an orphan of a task */
        }
    }
}

/* ---- The loop ---- */

static sigset_t watched_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    return set;
}

static void take_signals(struct ps_supervisor *supervisor, int signal_fd)
{
    struct signalfd_siginfo info;
    while (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        int number = (int)info.ssi_signo;
        if (number == SIGCHLD) { continue; }
        enum ps_launch_action action = ps_launch_policy_signal(&supervisor->policy, now_ms(),
                                                               number);
        ps_terminal_say(supervisor->terminal, "%s: %s", strsignal(number),
                        action == PS_LAUNCH_KILL ? "killing the tasks"
                                                 : "asking the tasks to end; again to kill them");
        act(supervisor, action, number == SIGHUP ? SIGTERM : number);
    }
}

/* Puts the streams of task i into polls at 1 + 2 * i and after it; returns how many there are. */
static nfds_t list_streams(struct ps_supervisor *supervisor, struct pollfd *polls)
{
    for (int i = 0; i < supervisor->task_count; i++) {
        for (int stream = 0; stream < 2; stream++) {
            /* poll ignores a negative descriptor */
            bool open = supervisor->tasks[i].started;
            polls[1 + 2 * i + stream] = (struct pollfd){
                .fd = open ? *stream_fd(&supervisor->tasks[i], stream) : -1, .events = POLLIN
            };
        }
    }
    return (nfds_t)(1 + 2 * supervisor->task_count);
}

static void watch(struct ps_supervisor *supervisor, int signal_fd, struct pollfd *polls)
{
    while (!ps_launch_policy_over(&supervisor->policy)) {
        polls[0] = (struct pollfd){ .fd = signal_fd, .events = POLLIN };
        int ready = poll(polls, list_streams(supervisor, polls), TICK_MS);
        for (int i = 0; ready > 0 && i < 2 * supervisor->task_count; i++) {
            if (polls[1 + i].revents != 0) { read_stream(&supervisor->tasks[i / 2], i % 2); }
        }
        if (ready > 0 && polls[0].revents != 0) { take_signals(supervisor, signal_fd); }
        bury_all(supervisor);
        enum ps_launch_phase before = supervisor->policy.phase;
        enum ps_launch_action action = ps_launch_policy_tick(&supervisor->policy, now_ms());
        if (action != PS_LAUNCH_NOTHING) { explain_deadline(supervisor, before); }
        act(supervisor, action, SIGTERM);
    }
}

/* A task that cannot be started counts as one that failed at once. */
static void start_all(struct ps_supervisor *supervisor)
{
    for (int i = 0; i < supervisor->task_count; i++) {
        struct ps_supervised *task = &supervisor->tasks[i];
        struct ps_error error = PS_ERROR_INIT;
        enum ps_code rc = PS_CANCELLED; /* after a failure nobody else is started */
        task->started_ms = now_ms();
        if (supervisor->policy.cause == PS_LAUNCH_NO_CAUSE) {
            rc = ps_child_start(task->argv, task->env, &task->child, &error);
        }
        task->started = rc == PS_OK;
        if (rc == PS_OK) { continue; }
        task->ended = true;
        task->ended_ms = task->started_ms;
        task->exit_code = ps_exit_code_of(rc);
        if (error.code != PS_OK) {
            ps_terminal_say(supervisor->terminal, "%s: %s", task->relay.label, error.message);
        }
        act(supervisor,
            ps_launch_policy_ended(&supervisor->policy, task->ended_ms, task->role,
                                   task->exit_code),
            SIGTERM);
    }
}

int ps_supervisor_run(struct ps_supervisor *supervisor)
{
    sigset_t set = watched_signals(), old;
    int ps_count = 0;
    for (int i = 0; i < supervisor->task_count; i++) {
        ps_count += supervisor->tasks[i].role == PS_LAUNCH_PS;
    }
    supervisor->policy = ps_launch_policy_start(ps_count, supervisor->task_count - ps_count,
                                                supervisor->grace_ms);
    struct pollfd *polls = ps_alloc_zero((size_t)(1 + 2 * supervisor->task_count), sizeof *polls);
    sigprocmask(SIG_BLOCK, &set, &old);
    int signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (polls == NULL || signal_fd < 0) {
        ps_terminal_say(supervisor->terminal, "cannot watch over tasks: %s", strerror(errno));
        supervisor->policy.exit_code = PS_EXIT_STORAGE;
    } else {
        signal(SIGPIPE, SIG_IGN); /* a reader of our output that goes away ends nobody */
        ps_child_adopt();
        start_all(supervisor);
        watch(supervisor, signal_fd, polls);
        supervisor->stray_count = ps_child_kill_rest();
    }
    ps_terminal_end(supervisor->terminal);
    if (signal_fd >= 0) { close(signal_fd); }
    ps_free(polls);
    sigprocmask(SIG_SETMASK, &old, NULL);
    return supervisor->policy.exit_code;
}
