/* Tokens of protobuf's text format: words, quoted strings with escapes, and skipping the rest. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/state_text.h"

#include <string.h>

void ps_state_text_skip_space(struct ps_state_text *text)
{
    for (; text->at < text->end; text->at++) {
        char here = *text->at;
        if (here == '#') {
            while (text->at < text->end && *text->at != '\n') { text->at++; }
            if (text->at == text->end) { return; }
            here = '\n';
        }
        if (here == '\n') {
            text->line++;
            text->line_start = text->at + 1;
        } else if (here != ' ' && here != '\t' && here != '\r' && here != '\v' && here != '\f') {
            return;
        }
    }
}

enum ps_code ps_state_text_fail(const struct ps_state_text *text, const char *what,
                                struct ps_error *err)
{
    return ps_fail(err, PS_INVALID_ARGUMENT, "line %d, column %ld: %s", text->line,
                   (long)(text->at - text->line_start) + 1, what);
}

bool ps_state_text_take(struct ps_state_text *text, char wanted)
{
    ps_state_text_skip_space(text);
    if (text->at == text->end || *text->at != wanted) { return false; }
    text->at++;
    return true;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-' || c == '+';
}

struct ps_span ps_state_text_word(struct ps_state_text *text)
{
    ps_state_text_skip_space(text);
    struct ps_span word = { .data = (const uint8_t *)text->at };
    while (text->at < text->end && is_word(*text->at)) { text->at++; }
    word.size = (size_t)((const uint8_t *)text->at - word.data);
    return word;
}

/* The value of a digit in base 8 or 16, or -1. */
static int digit_value(char c, int base)
{
    int value = -1;
    if (c >= '0' && c <= '9') { value = c - '0'; }
    if (c >= 'a' && c <= 'f') { value = c - 'a' + 10; }
    if (c >= 'A' && c <= 'F') { value = c - 'A' + 10; }
    return value < base ? value : -1;
}

/* Digits of an escape, at most `most`; false if there is none or the value is no byte. */
static bool take_digits(struct ps_state_text *text, int base, int most, char *byte_out)
{
    int value = 0;
    int count = 0;
    while (count < most && text->at < text->end && digit_value(*text->at, base) >= 0) {
        value = value * base + digit_value(*text->at++, base);
        count++;
    }
    *byte_out = (char)value;
    return count > 0 && value <= 0xff;
}

/* What follows a backslash. */
static bool take_escape(struct ps_state_text *text, char *byte_out)
{
    static const char names[] = "abfnrtv\\'\"?";
    static const char bytes[] = "\a\b\f\n\r\t\v\\'\"?";
    if (text->at == text->end) { return false; }
    char name = *text->at;
    if (digit_value(name, 8) >= 0) { return take_digits(text, 8, 3, byte_out); }
    text->at++;
    if (name == 'x' || name == 'X') { return take_digits(text, 16, 2, byte_out); }
    const char *found = name == '\0' ? NULL : strchr(names, name);
    if (found == NULL) { return false; }
    *byte_out = bytes[found - names];
    return true;
}

static enum ps_code take_quoted(struct ps_state_text *text, char quote, struct ps_buf *out,
                                struct ps_error *err)
{
    while (text->at < text->end && *text->at != '\n') {
        char byte = *text->at++;
        if (byte == quote) { return PS_OK; }
        if (byte == '\\' && !take_escape(text, &byte)) {
            return ps_state_text_fail(text, "unknown escape in a string", err);
        }
        enum ps_code rc = ps_buf_append(out, &byte, 1, err);
        if (rc != PS_OK) { return rc; }
    }
    return ps_state_text_fail(text, "a string does not end", err);
}

enum ps_code ps_state_text_string(struct ps_state_text *text, struct ps_buf *out,
                                  struct ps_error *err)
{
    bool has_any = false;
    out->size = 0;
    for (;;) {
        char quote = ps_state_text_take(text, '"') ? '"' : '\'';
        if (quote == '\'' && !ps_state_text_take(text, '\'')) { break; }
        enum ps_code rc = take_quoted(text, quote, out, err);
        if (rc != PS_OK) { return rc; }
        has_any = true;
    }
    if (!has_any) { return ps_state_text_fail(text, "a quoted string is missing", err); }
    enum ps_code rc = ps_buf_append(out, "", 1, err);
    if (rc == PS_OK) { out->size--; }
    return rc;
}

/* Counts brackets instead of recursing: depth costs nothing. Which bracket closes which is not
 * checked; what is skipped is not ours. */
enum ps_code ps_state_text_skip_value(struct ps_state_text *text, struct ps_error *err)
{
    struct ps_buf ignored = { 0 };
    enum ps_code rc = PS_OK;
    size_t depth = 0;
    bool is_inside = ps_state_text_take(text, ':');
    do {
        ps_state_text_skip_space(text);
        char here = text->at < text->end ? *text->at : '\0';
        if (here == '"' || here == '\'') {
            rc = ps_state_text_string(text, &ignored, err);
        } else if (here == '{' || here == '<' || here == '[') {
            text->at++;
            depth++;
            is_inside = true;
        } else if (depth > 0 && (here == '}' || here == '>' || here == ']')) {
            text->at++;
            depth--;
        } else if (depth > 0 && (here == ':' || here == ',' || here == ';' || here == '/')) {
            text->at++;
        } else if (ps_state_text_word(text).size == 0) {
            rc = ps_state_text_fail(text, "a value is missing", err);
        }
    } while (rc == PS_OK && depth > 0);
    if (rc == PS_OK && !is_inside) { rc = ps_state_text_fail(text, "':' is missing", err); }
    ps_buf_clean(&ignored);
    return rc;
}

enum ps_code ps_state_text_quote(struct ps_buf *out, const char *bytes, struct ps_error *err)
{
    static const char names[] = "nrt\"'\\";
    static const char plain[] = "\n\r\t\"'\\";
    enum ps_code rc;
    PS_TRY(done, rc, ps_buf_append(out, "\"", 1, err));
    for (; *bytes != '\0'; bytes++) {
        unsigned char byte = (unsigned char)*bytes;
        const char *found = strchr(plain, *bytes);
        if (found != NULL) {
            PS_TRY(done, rc, ps_buf_printf(out, err, "\\%c", names[found - plain]));
        } else if (byte < 0x20 || byte == 0x7f) { /* UTF-8 stays as it is */
            PS_TRY(done, rc, ps_buf_printf(out, err, "\\%03o", (unsigned)byte));
        } else {
            PS_TRY(done, rc, ps_buf_append(out, bytes, 1, err));
        }
    }
    PS_TRY(done, rc, ps_buf_append(out, "\"", 1, err));
done:
    return rc;
}
