/* Tokens of protobuf's text format, as far as a state file needs them. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_STATE_TEXT_H
#define PARAMD_CHECKPOINT_STATE_TEXT_H

#include "core/bytes.h"

/* A reading position. Zero-initialise but for at, end and line_start (= at) and line (= 1). */
struct ps_state_text {
    const char *at;
    const char *end;
    const char *line_start;
    int line;
};

/* Over white space and comments. */
void ps_state_text_skip_space(struct ps_state_text *text);

/* INVALID_ARGUMENT with the position and what was wrong there. */
enum ps_code ps_state_text_fail(const struct ps_state_text *text, const char *what,
                                struct ps_error *err);

/* Takes one character, after white space, if it is that; false if not. */
bool ps_state_text_take(struct ps_state_text *text, char wanted);

/* Takes a word: letters, digits and the signs of numbers and names; size 0 if there is none. */
struct ps_span ps_state_text_word(struct ps_state_text *text);

/* Takes one or more adjacent quoted strings and replaces out, NUL-terminated, with their bytes. */
PS_MUST_CHECK enum ps_code ps_state_text_string(struct ps_state_text *text, struct ps_buf *out,
                                                struct ps_error *err);

/* Skips the value of a field, the ':' included: scalar, string, list or message of any depth. */
PS_MUST_CHECK enum ps_code ps_state_text_skip_value(struct ps_state_text *text,
                                                    struct ps_error *err);

/* Appends bytes as a quoted string. */
PS_MUST_CHECK enum ps_code ps_state_text_quote(struct ps_buf *out, const char *bytes,
                                               struct ps_error *err);

#endif
