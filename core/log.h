/* The log: one line an event on standard error, for people or as JSON. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CORE_LOG_H
#define PARAMD_CORE_LOG_H

#include <stdbool.h>

#include "core/status.h"

enum ps_log_level { PS_LOG_ERROR, PS_LOG_WARN, PS_LOG_INFO, PS_LOG_DEBUG };

enum ps_log_format { PS_LOG_HUMAN, PS_LOG_JSON };

/* The one global of the project, set by main (or by a test) before other threads start. */
struct ps_log_options {
    enum ps_log_level level;
    enum ps_log_format format;
    char process[64]; /* "/job:ps/task:1"; "" when there is none yet */
    /* Where a finished line goes (without newline); NULL: standard error. Called under the log
     * lock, so lines never mix. */
    void (*sink)(void *ctx, enum ps_log_level level, const char *line);
    void *sink_ctx;
};

void ps_log_configure(const struct ps_log_options *options);

/* "error", "warn", "info", "debug" and "human", "json". */
PS_MUST_CHECK enum ps_code ps_log_level_parse(const char *text, enum ps_log_level *level_out,
                                              struct ps_error *err);
PS_MUST_CHECK enum ps_code ps_log_format_parse(const char *text, enum ps_log_format *format_out,
                                               struct ps_error *err);

/* Human: `12:00:01.123 I /job:ps/task:1 store: created 'w' float[784,200]`.
 * JSON: {"ts":..., "level":"info", "process":..., "subject":"store", "message":...}.
 * subject is the module. Threads: any. */
void ps_log(enum ps_log_level level, const char *subject, const char *format, ...) PS_PRINTF(3, 4);

bool ps_log_enabled(enum ps_log_level level);

/* Lets a message through at most once in every interval_ms and says how many were held back:
 * returns -1 to stay silent, else the count since the last line. State is the caller's, zeroed;
 * callers serialise use of one state. */
struct ps_log_limit {
    long long next_ms;
    long held_back;
};
long ps_log_limit_pass(struct ps_log_limit *limit, long long now_ms, long interval_ms);

#endif
