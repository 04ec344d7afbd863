/* The output of tasks on its way to their logs and, line by line with a prefix, to the terminal. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_RELAY_H
#define PARAMD_DEPLOY_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "core/status.h"

enum {
    PS_RELAY_TAIL_LINES = 20,
    PS_RELAY_LINE_BYTES = 4096, /* a longer line is shown in pieces; the log has it as it came */
    PS_RELAY_LABEL_BYTES = 24
};

/* Where the lines of all tasks meet. Zero-initialise through ps_terminal_init. */
struct ps_terminal {
    FILE *out; /* what tasks write to standard output */
    FILE *err; /* what they write to standard error, and what the launcher says */
    bool is_tty;
    bool colour;
    int label_width;
    bool progress_shown; /* a line without its newline, to be replaced by the next */
    char progress[PS_RELAY_LINE_BYTES];
    int progress_index; /* colour of its task */
    char progress_label[PS_RELAY_LABEL_BYTES];
};

/* Looks at err for a terminal, and at NO_COLOR and TERM. */
void ps_terminal_init(struct ps_terminal *terminal, FILE *out, FILE *err, int label_width);
/* A line of the launcher's own. */
void ps_terminal_say(struct ps_terminal *terminal, const char *format, ...) PS_PRINTF(2, 3);
/* Ends a progress line that is still open. */
void ps_terminal_end(struct ps_terminal *terminal);

/* One stream of one task, cut into lines. */
struct ps_line_buffer {
    char text[PS_RELAY_LINE_BYTES];
    size_t size;
};

/* One task: its two streams, its log, its last lines. Zero-initialise through ps_relay_init. */
struct ps_relay {
    struct ps_terminal *terminal;
    char label[PS_RELAY_LABEL_BYTES]; /* "worker/1" */
    int index;                        /* chooses the colour */
    bool progress;                    /* lines "step ..." are replaced in place on a terminal */
    FILE *log;
    struct ps_line_buffer lines[2];  /* standard output, standard error */
    char *tail[PS_RELAY_TAIL_LINES]; /* a ring; ps_free */
    size_t tail_count;               /* lines so far */
};

/* Opens the log for writing. Errors: those of errno, naming the path. ps_relay_clean when done. */
PS_MUST_CHECK enum ps_code ps_relay_init(struct ps_relay *relay, struct ps_terminal *terminal,
                                         const char *label, int index, const char *log_path,
                                         struct ps_error *err);
void ps_relay_clean(struct ps_relay *relay);

/* Takes what came on a stream (0: standard output, 1: standard error). */
void ps_relay_feed(struct ps_relay *relay, int stream, const char *text, size_t size);
/* Passes on a last line without a newline. */
void ps_relay_flush(struct ps_relay *relay);

/* Shows the last lines of a task again, on err. */
void ps_relay_show_tail(const struct ps_relay *relay);

#endif
