/* UTF-8, checked by the table of the Unicode standard (well-formed byte sequences). */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "proto/text_priv.h"

/* By first byte: how many bytes follow, and the range of the second. The narrowed ranges keep out
 * overlong forms, surrogates and what lies beyond U+10FFFF. */
struct utf8_row {
    uint8_t first_low, first_high;
    uint8_t more;
    uint8_t second_low, second_high;
};

static const struct utf8_row utf8_rows[] = {
    { 0x00, 0x7f, 0, 0, 0 },       { 0xc2, 0xdf, 1, 0x80, 0xbf }, { 0xe0, 0xe0, 2, 0xa0, 0xbf },
    { 0xe1, 0xec, 2, 0x80, 0xbf }, { 0xed, 0xed, 2, 0x80, 0x9f }, { 0xee, 0xef, 2, 0x80, 0xbf },
    { 0xf0, 0xf0, 3, 0x90, 0xbf }, { 0xf1, 0xf3, 3, 0x80, 0xbf }, { 0xf4, 0xf4, 3, 0x80, 0x8f },
};

static const struct utf8_row *find_row(uint8_t first)
{
    for (size_t i = 0; i < sizeof utf8_rows / sizeof utf8_rows[0]; i++) {
        const struct utf8_row *row = &utf8_rows[i];
        if (first >= row->first_low && first <= row->first_high) { return row; }
    }
    return NULL;
}

/* Bytes of the character at text, 0 if it is malformed; the NUL at the end stops it in time. */
static size_t character_size(const uint8_t *text)
{
    const struct utf8_row *row = find_row(text[0]);
    if (row == NULL) { return 0; }
    if (row->more == 0) { return 1; }
    if (text[1] < row->second_low || text[1] > row->second_high) { return 0; }
    for (size_t i = 2; i <= row->more; i++) {
        if ((text[i] & 0xc0u) != 0x80u) { return 0; }
    }
    return 1u + row->more;
}

/* C0, DEL and C1 (U+0080 to U+009F): terminals obey them. */
static bool is_control(const uint8_t *character)
{
    return character[0] < 0x20 || character[0] == 0x7f ||
           (character[0] == 0xc2 && character[1] < 0xa0);
}

enum ps_code psi_text_check(const char *text, size_t most_bytes, struct ps_error *err)
{
    size_t size = strlen(text);
    if (size > most_bytes) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "%zu bytes long, at most %zu", size, most_bytes);
    }
    const uint8_t *bytes = (const uint8_t *)text;
    for (size_t at = 0; at < size;) {
        size_t step = character_size(bytes + at);
        if (step == 0) { return ps_fail(err, PS_INVALID_ARGUMENT, "byte %zu is not UTF-8", at); }
        if (is_control(bytes + at)) {
            return ps_fail(err, PS_INVALID_ARGUMENT, "byte %zu is a control character", at);
        }
        at += step;
    }
    return PS_OK;
}
