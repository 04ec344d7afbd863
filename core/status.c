/* Codes and errors: tables of names, and messages that are cut without breaking a character. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CODE_COUNT = PS_UNAUTHENTICATED + 1, ERRNO_TEXT_BYTES = 128 };

static const char *const code_names[CODE_COUNT] = {
#define CODE_NAME(name, number, text) [number] = #name,
    PS_CODES(CODE_NAME)
#undef CODE_NAME
};

static const char *const code_texts[CODE_COUNT] = {
#define CODE_TEXT(name, number, text) [number] = text,
    PS_CODES(CODE_TEXT)
#undef CODE_TEXT
};

static const struct {
    int errno_value;
    enum ps_code code;
} errno_codes[] = {
    { ENOENT, PS_NOT_FOUND },
    { ENOTDIR, PS_NOT_FOUND },
    { EEXIST, PS_ALREADY_EXISTS },
    { EACCES, PS_PERMISSION_DENIED },
    { EPERM, PS_PERMISSION_DENIED },
    { EROFS, PS_PERMISSION_DENIED },
    { ENOSPC, PS_RESOURCE_EXHAUSTED },
    { EDQUOT, PS_RESOURCE_EXHAUSTED },
    { ENOMEM, PS_RESOURCE_EXHAUSTED },
    { EMFILE, PS_RESOURCE_EXHAUSTED },
    { ENFILE, PS_RESOURCE_EXHAUSTED },
    { EFBIG, PS_RESOURCE_EXHAUSTED },
    { EINVAL, PS_INVALID_ARGUMENT },
    { ENAMETOOLONG, PS_INVALID_ARGUMENT },
    { EISDIR, PS_FAILED_PRECONDITION },
    { ENOTEMPTY, PS_FAILED_PRECONDITION },
    { EADDRINUSE, PS_FAILED_PRECONDITION },
    { EBUSY, PS_UNAVAILABLE },
    { EAGAIN, PS_UNAVAILABLE },
    { ECONNREFUSED, PS_UNAVAILABLE },
    { ECONNRESET, PS_UNAVAILABLE },
    { EPIPE, PS_UNAVAILABLE },
    { EHOSTUNREACH, PS_UNAVAILABLE },
    { ENETUNREACH, PS_UNAVAILABLE },
    { ETIMEDOUT, PS_DEADLINE_EXCEEDED },
    { ECANCELED, PS_CANCELLED },
    { EINTR, PS_CANCELLED },
    { EIO, PS_DATA_LOSS },
    { ENOSYS, PS_UNIMPLEMENTED },
    { EOPNOTSUPP, PS_UNIMPLEMENTED },
};

enum ps_code ps_code_from_number(long number)
{
    return number >= 0 && number < CODE_COUNT ? (enum ps_code)number : PS_UNKNOWN;
}

const char *ps_code_name(enum ps_code code)
{
    return code_names[ps_code_from_number((long)code)] + strlen("PS_");
}

const char *ps_code_text(enum ps_code code)
{
    return code_texts[ps_code_from_number((long)code)];
}

int ps_code_is_retryable(enum ps_code code)
{
    return code == PS_UNAVAILABLE || code == PS_ABORTED || code == PS_DEADLINE_EXCEEDED ||
           code == PS_RESOURCE_EXHAUSTED;
}

/* Drops a UTF-8 character that was cut in two at the end of text (size bytes without the NUL). */
static void drop_torn_character(char *text, size_t size)
{
    size_t start = size;
    while (start > 0 && size - start < 4 && ((unsigned char)text[start - 1] & 0xc0u) == 0x80u) {
        start--;
    }
    if (start == 0) { return; }
    unsigned char lead = (unsigned char)text[start - 1];
    size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (need > 1 && size - start + 1 < need) { text[start - 1] = '\0'; }
}

/* Formats at message + used, cutting what does not fit. */
static void PS_PRINTF(3, 0) format_message(char message[PS_ERROR_MESSAGE_BYTES], size_t used,
                                           const char *format, va_list arguments)
{
    size_t room = PS_ERROR_MESSAGE_BYTES - used;
    int length = vsnprintf(message + used, room, format, arguments);
    if (length < 0) {
        message[used] = '\0';
    } else if ((size_t)length >= room) {
        drop_torn_character(message, PS_ERROR_MESSAGE_BYTES - 1);
    }
}

static void PS_PRINTF(3, 4)
    append_message(char message[PS_ERROR_MESSAGE_BYTES], size_t used, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    format_message(message, used, format, arguments);
    va_end(arguments);
}

static void set_error(struct ps_error *err, enum ps_code code, const char *message)
{
    err->code = code;
    err->task = -1;
    memcpy(err->message, message, strlen(message) + 1);
}

/* The message is built aside in all three below: an argument may point into err->message. */
enum ps_code ps_fail(struct ps_error *err, enum ps_code code, const char *format, ...)
{
    PS_ASSERT(code != PS_OK);
    if (err == NULL) { return code; }
    char message[PS_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    format_message(message, 0, format, arguments);
    va_end(arguments);
    set_error(err, code, message);
    return code;
}

static enum ps_code code_from_errno(int errno_value)
{
    for (size_t i = 0; i < sizeof errno_codes / sizeof errno_codes[0]; i++) {
        if (errno_codes[i].errno_value == errno_value) { return errno_codes[i].code; }
    }
    return PS_UNKNOWN;
}

enum ps_code ps_fail_errno(struct ps_error *err, int errno_value, const char *format, ...)
{
    enum ps_code code = code_from_errno(errno_value);
    if (err == NULL) { return code; }
    char message[PS_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    format_message(message, 0, format, arguments);
    va_end(arguments);

    char buffer[ERRNO_TEXT_BYTES];
    append_message(message, strlen(message), ": %s",
                   strerror_r(errno_value, buffer, sizeof buffer));
    set_error(err, code, message);
    return code;
}

enum ps_code ps_wrap(struct ps_error *err, const char *format, ...)
{
    if (err == NULL) { return PS_UNKNOWN; }
    char message[PS_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    format_message(message, 0, format, arguments);
    va_end(arguments);
    append_message(message, strlen(message), ": %s", err->message);
    memcpy(err->message, message, strlen(message) + 1);
    return err->code;
}

void ps_assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "paramd: a fault of our own: '%s' does not hold at %s:%d\n", condition, file,
            line);
    abort();
}
