/* The output of tasks on its way to their logs and, line by line with a prefix, to the terminal. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/relay.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/alloc.h"

static const char *const colours[] = { "\033[36m", "\033[32m", "\033[33m", "\033[35m", "\033[34m" };
enum { COLOUR_COUNT = sizeof colours / sizeof colours[0] };
static const char launcher_label[] = "launch";
enum { LAUNCHER_INDEX = -1 };

void ps_terminal_init(struct ps_terminal *terminal, FILE *out, FILE *err, int label_width)
{
    const char *no_colour = getenv("NO_COLOR"), *type = getenv("TERM");
    bool dumb = type == NULL || strcmp(type, "dumb") == 0;
    *terminal = (struct ps_terminal){ .out = out, .err = err, .label_width = label_width };
    terminal->is_tty = isatty(fileno(err)) && !dumb;
    terminal->colour = terminal->is_tty && (no_colour == NULL || *no_colour == '\0');
}

static void print_label(const struct ps_terminal *terminal, FILE *stream, const char *label,
                        int index)
{
    const char *colour = index == LAUNCHER_INDEX ? "\033[1m" : colours[index % COLOUR_COUNT];
    bool coloured = terminal->colour && isatty(fileno(stream));
    fprintf(stream, "%s%-*s%s | ", coloured ? colour : "", terminal->label_width, label,
            coloured ? "\033[0m" : "");
}

static void erase_progress(struct ps_terminal *terminal)
{
    if (terminal->progress_shown) { fputs("\r\033[K", terminal->err); }
    fflush(terminal->err);
}

/* A line that wrapped could not be erased: what fits beside the label. */
static int progress_columns(const struct ps_terminal *terminal)
{
    struct winsize size;
    bool known = ioctl(fileno(terminal->err), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    int columns = (known ? size.ws_col : 80) - terminal->label_width - 4;
    return columns < 1 ? 1 : columns;
}

static void draw_progress(struct ps_terminal *terminal)
{
    if (!terminal->progress_shown) { return; }
    print_label(terminal, terminal->err, terminal->progress_label, terminal->progress_index);
    fprintf(terminal->err, "%.*s", progress_columns(terminal), terminal->progress);
    fflush(terminal->err);
}

static void print_line(struct ps_terminal *terminal, FILE *stream, const char *label, int index,
                       const char *line)
{
    erase_progress(terminal);
    print_label(terminal, stream, label, index);
    fputs(line, stream);
    fputc('\n', stream);
    fflush(stream);
    draw_progress(terminal);
}

void ps_terminal_say(struct ps_terminal *terminal, const char *format, ...)
{
    char line[PS_RELAY_LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(line, sizeof line, format, arguments) < 0) { line[0] = '\0'; }
    va_end(arguments);
    print_line(terminal, terminal->err, launcher_label, LAUNCHER_INDEX, line);
}

void ps_terminal_end(struct ps_terminal *terminal)
{
    if (terminal->progress_shown) { fputc('\n', terminal->err); }
    terminal->progress_shown = false;
    fflush(terminal->err);
}

enum ps_code ps_relay_init(struct ps_relay *relay, struct ps_terminal *terminal, const char *label,
                           int index, const char *log_path, struct ps_error *err)
{
    memset(relay, 0, sizeof *relay);
    relay->terminal = terminal;
    relay->index = index;
    snprintf(relay->label, sizeof relay->label, "%s", label);
    relay->log = fopen(log_path, "we");
    if (relay->log == NULL) { return ps_fail_errno(err, errno, "cannot write '%s'", log_path); }
    return PS_OK;
}

void ps_relay_clean(struct ps_relay *relay)
{
    if (relay->log != NULL) { fclose(relay->log); }
    relay->log = NULL;
    for (int i = 0; i < PS_RELAY_TAIL_LINES; i++) {
        ps_free(relay->tail[i]);
        relay->tail[i] = NULL;
    }
}

static void remember(struct ps_relay *relay, const char *line)
{
    char **place = &relay->tail[relay->tail_count++ % PS_RELAY_TAIL_LINES];
    ps_free(*place);
    *place = ps_strdup(line); /* without memory a line is missing from the tail, no more */
}

/* A progress line takes the place of the one before it; elsewhere it is a line as any. */
static bool show_progress(struct ps_relay *relay, const char *line)
{
    struct ps_terminal *terminal = relay->terminal;
    bool in_place = relay->progress && terminal->is_tty && strncmp(line, "step ", 5) == 0;
    if (!in_place) { return false; }
    erase_progress(terminal);
    terminal->progress_shown = true;
    terminal->progress_index = relay->index;
    snprintf(terminal->progress_label, sizeof terminal->progress_label, "%s", relay->label);
    snprintf(terminal->progress, sizeof terminal->progress, "%s", line);
    draw_progress(terminal);
    return true;
}

static void end_line(struct ps_relay *relay, int stream)
{
    struct ps_line_buffer *buffer = &relay->lines[stream];
    while (buffer->size > 0 && buffer->text[buffer->size - 1] == '\r') { buffer->size--; }
    buffer->text[buffer->size] = '\0';
    buffer->size = 0;
    remember(relay, buffer->text);
    if (show_progress(relay, buffer->text)) { return; }
    struct ps_terminal *terminal = relay->terminal;
    print_line(terminal, stream == 0 ? terminal->out : terminal->err, relay->label, relay->index,
               buffer->text);
}

void ps_relay_feed(struct ps_relay *relay, int stream, const char *text, size_t size)
{
    struct ps_line_buffer *buffer = &relay->lines[stream];
    if (relay->log != NULL) {
        (void)!fwrite(text, 1, size, relay->log);
        fflush(relay->log);
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\n') {
            end_line(relay, stream);
            continue;
        }
        if (buffer->size == sizeof buffer->text - 1) { end_line(relay, stream); }
        buffer->text[buffer->size++] = text[i] == '\0' ? ' ' : text[i];
    }
}

void ps_relay_flush(struct ps_relay *relay)
{
    for (int stream = 0; stream < 2; stream++) {
        if (relay->lines[stream].size > 0) { end_line(relay, stream); }
    }
}

void ps_relay_show_tail(const struct ps_relay *relay)
{
    size_t count = relay->tail_count < PS_RELAY_TAIL_LINES ? relay->tail_count
                                                           : PS_RELAY_TAIL_LINES;
    for (size_t i = relay->tail_count - count; i < relay->tail_count; i++) {
        const char *line = relay->tail[i % PS_RELAY_TAIL_LINES];
        if (line == NULL) { continue; }
        print_line(relay->terminal, relay->terminal->err, relay->label, relay->index, line);
    }
}
