/* Progress: the line that worker 0 prints, and the summary that a session leaves behind. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/progress_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include <jansson.h>

#include "core/clock.h"

static const int64_t LINE_EVERY_NS = 1000000000;

static int64_t now_of_clock(void)
{
    return ps_clock_now_ns(ps_clock_monotonic());
}

static double seconds(int64_t ns)
{
    return (double)ns * 1e-9;
}

int64_t ps_step(const ps_session *session)
{
    if (session == NULL) { return 0; }
    struct ps_session *locked = (struct ps_session *)session;
    ps_mutex_lock(&locked->lock);
    int64_t step = locked->step;
    ps_mutex_unlock(&locked->lock);
    return step;
}

void ps_set_goal(ps_session *session, int64_t steps)
{
    if (session != NULL) { session->progress.goal = steps; }
}

void ps_get_stats(const ps_session *session, ps_stats *stats_out)
{
    *stats_out = (ps_stats){ .last_loss = NAN, .test_accuracy = NAN };
    if (session == NULL) { return; }
    struct ps_session *locked = (struct ps_session *)session;
    ps_mutex_lock(&locked->lock);
    *stats_out = session->stats;
    uint64_t commits = session->staleness_count;
    stats_out->mean_staleness = commits > 0 ? (double)session->staleness_sum / (double)commits
                                            : 0.0;
    ps_mutex_unlock(&locked->lock);
    int64_t all = session->first_pull_ns > 0 ? now_of_clock() - session->first_pull_ns : 0;
    stats_out->wait_seconds = seconds(session->wait_ns);
    stats_out->communication_seconds = seconds(session->inside_ns - session->wait_ns);
    stats_out->compute_seconds = seconds(all - session->inside_ns);
}

/* ---- The line ---- */

static void format_optional(char *text, size_t size, const char *label, double value,
                            const char *format)
{
    text[0] = '\0';
    if (isnan(value) || value < 0) { return; }
    char number[32];
    snprintf(number, sizeof number, "%.3f", value);
    if (format != NULL) { snprintf(number, sizeof number, "%.1f %%", value * 100.0); }
    snprintf(text, size, "  %s %s", label, number);
}

static void print_line(struct ps_session *session, int64_t step, int64_t now)
{
    struct psi_progress *progress = &session->progress;
    ps_stats stats;
    ps_get_stats(session, &stats);
    double elapsed = seconds(now - progress->printed_ns);
    double steps_a_second = (double)(step - progress->printed_step) / elapsed;
    double examples_a_step = stats.steps > 0 ? stats.examples / (double)stats.steps : 0.0;
    char goal[32] = "", eta[48] = "", loss[48], accuracy[48], test[48];
    if (progress->goal > 0) {
        snprintf(goal, sizeof goal, "/%" PRId64, progress->goal);
        if (steps_a_second > 0 && step < progress->goal) {
            snprintf(eta, sizeof eta, "  eta %.0f s",
                     (double)(progress->goal - step) / steps_a_second);
        }
    }
    format_optional(loss, sizeof loss, "loss", progress->loss, NULL);
    format_optional(accuracy, sizeof accuracy, "batch", progress->accuracy, "%");
    format_optional(test, sizeof test, "test", stats.test_accuracy, "%");
    fprintf(stderr, "step %" PRId64 "%s%s%s%s  %.1f k examples/s  staleness %.1f%s\n", step, goal,
            loss, accuracy, test, steps_a_second * examples_a_step / 1000.0, stats.mean_staleness,
            eta);
    progress->printed_ns = now;
    progress->printed_step = step;
}

int64_t ps_report(ps_session *session, double loss, double accuracy, size_t examples)
{
    if (session == NULL) { return 0; }
    struct psi_progress *progress = &session->progress;
    int64_t step = ps_step(session);
    int64_t now = now_of_clock();
    progress->loss = loss;
    progress->accuracy = accuracy;
    session->stats.last_loss = loss;
    session->stats.examples += (double)examples;
    if (progress->printed_ns == 0) {
        progress->printed_ns = now;
        progress->printed_step = step;
    }
    bool prints = session->settings.task_index == 0 && !session->settings.quiet;
    if (prints && now - progress->printed_ns >= LINE_EVERY_NS) { print_line(session, step, now); }
    return step;
}

void ps_report_test(ps_session *session, double accuracy)
{
    if (session != NULL) { session->stats.test_accuracy = accuracy; }
}

/* ---- The summary ---- */

static json_t *number_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *summary_of(struct ps_session *session, int exit_code)
{
    ps_stats stats;
    ps_get_stats(session, &stats);
    double total = stats.compute_seconds + stats.communication_seconds + stats.wait_seconds;
    return json_pack(
        "{s:i, s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:o, s:o,"
        " s:i, s:s}",
        "task", session->settings.task_index, "steps", (json_int_t)stats.steps, "global_step",
        (json_int_t)ps_step(session), "seconds", total, "pulls", (json_int_t)stats.pulls, "pushes",
        (json_int_t)stats.pushes, "pulled_bytes", (json_int_t)stats.pulled_bytes, "pushed_bytes",
        (json_int_t)stats.pushed_bytes, "refused", (json_int_t)stats.refused, "dropped",
        (json_int_t)stats.dropped, "retries", (json_int_t)stats.retries, "mean_staleness",
        stats.mean_staleness, "compute_seconds", stats.compute_seconds, "communication_seconds",
        stats.communication_seconds, "wait_seconds", stats.wait_seconds, "examples", stats.examples,
        "last_loss", number_or_null(stats.last_loss), "test_accuracy",
        number_or_null(stats.test_accuracy), "exit_code", exit_code, "message",
        session->failed ? session->error.message : "");
}

void psi_progress_write_summary(struct ps_session *session, int exit_code)
{
    const char *directory = session->settings.summary_dir;
    if (directory[0] == '\0') { return; }
    char path[640], temporary[700];
    snprintf(path, sizeof path, "%s/worker-%d.json", directory, session->settings.task_index);
    snprintf(temporary, sizeof temporary, "%s.tmp.%ld", path, (long)getpid());
    json_t *summary = summary_of(session, exit_code);
    bool written = summary != NULL &&
                   json_dump_file(summary, temporary, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) ==
                       0 &&
                   rename(temporary, path) == 0;
    if (!written) { ps_log(PS_LOG_WARN, "session", "cannot write the summary %s", path); }
    json_decref(summary);
}
