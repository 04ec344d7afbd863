/* The log: builds a line on the stack, never allocates, and writes it in one piece. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "core/lock.h"

/* An error message (768) with context around it fits; a longer one is cut. */
enum { MESSAGE_BYTES = 1536, LINE_BYTES = 4096, CLOSING_BYTES = 4 };

struct line {
    char text[LINE_BYTES];
    size_t size;
};

static const struct {
    const char *name;
    char letter;
} levels[] = {
    [PS_LOG_ERROR] = { "error", 'E' },
    [PS_LOG_WARN] = { "warn", 'W' },
    [PS_LOG_INFO] = { "info", 'I' },
    [PS_LOG_DEBUG] = { "debug", 'D' },
};

enum { LEVEL_COUNT = sizeof levels / sizeof levels[0] };

/* The one global of the project. */
static struct {
    struct ps_mutex lock;
    struct ps_log_options options;
} sink = {
    .lock = { .mutex = PTHREAD_MUTEX_INITIALIZER, .name = "log", .rank = PS_RANK_LOG },
    .options = { .level = PS_LOG_INFO },
};

void ps_log_configure(const struct ps_log_options *options)
{
    ps_mutex_lock(&sink.lock);
    sink.options = *options;
    sink.options.process[sizeof sink.options.process - 1] = '\0';
    ps_mutex_unlock(&sink.lock);
}

enum ps_code ps_log_level_parse(const char *text, enum ps_log_level *level_out,
                                struct ps_error *err)
{
    *level_out = PS_LOG_INFO;
    for (int i = 0; i < LEVEL_COUNT; i++) {
        if (strcasecmp(text, levels[i].name) == 0) {
            *level_out = (enum ps_log_level)i;
            return PS_OK;
        }
    }
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "unknown log level '%s'; expected error, warn, info or debug", text);
}

enum ps_code ps_log_format_parse(const char *text, enum ps_log_format *format_out,
                                 struct ps_error *err)
{
    bool json = strcasecmp(text, "json") == 0;
    *format_out = json ? PS_LOG_JSON : PS_LOG_HUMAN;
    if (json || strcasecmp(text, "human") == 0) { return PS_OK; }
    return ps_fail(err, PS_INVALID_ARGUMENT, "unknown log format '%s'; expected human or json",
                   text);
}

bool ps_log_enabled(enum ps_log_level level)
{
    return level <= sink.options.level;
}

/* Appends whole or not at all, keeping room to close a JSON line. */
static bool put(struct line *line, const char *text, size_t size)
{
    if (line->size + size > LINE_BYTES - CLOSING_BYTES) { return false; }
    memcpy(line->text + line->size, text, size);
    line->size += size;
    return true;
}

static void put_text(struct line *line, const char *text)
{
    (void)put(line, text, strlen(text));
}

/* Bytes of the UTF-8 character at text, 0 if it is not well formed. The NUL at the end stops it:
 * it is no continuation byte. */
static size_t character_bytes(const unsigned char *text)
{
    unsigned char lead = text[0];
    if (lead < 0x80) { return 1; }
    size_t need = lead >= 0xf0 && lead <= 0xf4  ? 4
                  : lead >= 0xe0 && lead < 0xf0 ? 3
                  : lead >= 0xc2 && lead < 0xe0 ? 2
                                                : 0;
    for (size_t i = 1; i < need; i++) {
        if ((text[i] & 0xc0u) != 0x80u) { return 0; }
    }
    bool overlong = (lead == 0xe0 && text[1] < 0xa0) || (lead == 0xf0 && text[1] < 0x90);
    bool outside = (lead == 0xed && text[1] >= 0xa0) || (lead == 0xf4 && text[1] >= 0x90);
    return overlong || outside ? 0 : need;
}

/* One character of a JSON string. */
static bool put_json_character(struct line *line, const char *text, size_t bytes)
{
    char escaped[8];
    unsigned char byte = (unsigned char)*text;
    if (bytes == 0) { return put(line, "\\ufffd", 6); } /* not UTF-8 */
    if (byte == '"' || byte == '\\') {
        escaped[0] = '\\';
        escaped[1] = *text;
        return put(line, escaped, 2);
    }
    if (byte == '\n') { return put(line, "\\n", 2); }
    if (byte == '\t') { return put(line, "\\t", 2); }
    if (byte < 0x20) {
        snprintf(escaped, sizeof escaped, "\\u%04x", byte);
        return put(line, escaped, 6);
    }
    return put(line, text, bytes);
}

/* One character for a terminal: a name from a peer must not forge a line or a colour. */
static bool put_human_character(struct line *line, const char *text, size_t bytes)
{
    char escaped[8];
    unsigned char byte = (unsigned char)*text;
    if (byte == '\n') { return put(line, "\\n", 2); }
    if (bytes == 0 || byte < 0x20 || byte == 0x7f) {
        snprintf(escaped, sizeof escaped, "\\x%02x", byte);
        return put(line, escaped, 4);
    }
    return put(line, text, bytes);
}

static void put_foreign(struct line *line, const char *text, enum ps_log_format format)
{
    while (*text != '\0') {
        size_t bytes = character_bytes((const unsigned char *)text);
        bool fits = format == PS_LOG_JSON ? put_json_character(line, text, bytes)
                                          : put_human_character(line, text, bytes);
        if (!fits) { return; }
        text += bytes == 0 ? 1 : bytes;
    }
}

static void put_time(struct line *line, enum ps_log_format format)
{
    struct timespec now;
    struct tm calendar;
    char date[48], text[64];
    clock_gettime(CLOCK_REALTIME, &now);
    bool json = format == PS_LOG_JSON;
    if (json) {
        gmtime_r(&now.tv_sec, &calendar);
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &calendar);
    } else {
        localtime_r(&now.tv_sec, &calendar);
        strftime(date, sizeof date, "%H:%M:%S", &calendar);
    }
    snprintf(text, sizeof text, "%s.%03ld%s", date, now.tv_nsec / 1000000, json ? "Z" : "");
    put_text(line, text);
}

static void put_json_field(struct line *line, const char *name, const char *value)
{
    put_text(line, "\",\"");
    put_text(line, name);
    put_text(line, "\":\"");
    put_foreign(line, value, PS_LOG_JSON);
}

static void build_json(struct line *line, enum ps_log_level level, const char *subject,
                       const char *message)
{
    put_text(line, "{\"ts\":\"");
    put_time(line, PS_LOG_JSON);
    put_json_field(line, "level", levels[level].name);
    put_json_field(line, "process", sink.options.process);
    put_json_field(line, "subject", subject);
    put_json_field(line, "message", message);
    memcpy(line->text + line->size, "\"}", 2); /* the room was kept by put */
    line->size += 2;
}

static void build_human(struct line *line, enum ps_log_level level, const char *subject,
                        const char *message)
{
    put_time(line, PS_LOG_HUMAN);
    (void)put(line, (char[]){ ' ', levels[level].letter, ' ' }, 3);
    if (sink.options.process[0] != '\0') {
        put_text(line, sink.options.process);
        put_text(line, " ");
    }
    put_text(line, subject);
    put_text(line, ": ");
    put_foreign(line, message, PS_LOG_HUMAN);
}

void ps_log(enum ps_log_level level, const char *subject, const char *format, ...)
{
    if (!ps_log_enabled(level)) { return; }
    char message[MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(message, sizeof message, format, arguments) < 0) { message[0] = '\0'; }
    va_end(arguments);

    struct line line;
    line.size = 0;
    if (sink.options.format == PS_LOG_JSON) {
        build_json(&line, level, subject, message);
    } else {
        build_human(&line, level, subject, message);
    }
    ps_mutex_lock(&sink.lock);
    if (sink.options.sink != NULL) {
        line.text[line.size] = '\0';
        sink.options.sink(sink.options.sink_ctx, level, line.text);
    } else {
        line.text[line.size++] = '\n';
        (void)!fwrite(line.text, 1, line.size, stderr);
    }
    ps_mutex_unlock(&sink.lock);
}

long ps_log_limit_pass(struct ps_log_limit *limit, long long now_ms, long interval_ms)
{
    if (now_ms < limit->next_ms) {
        limit->held_back++;
        return -1;
    }
    long held_back = limit->held_back;
    limit->held_back = 0;
    limit->next_ms = now_ms + interval_ms;
    return held_back;
}
