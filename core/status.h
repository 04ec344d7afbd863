/* Codes and errors: gRPC's 17 canonical codes, and the detail that travels with one. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CORE_STATUS_H
#define PARAMD_CORE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* One list for numbers, names and texts; the numbers are gRPC's, so the wire map is the identity.
 */
#define PS_CODES(X)                                     \
    X(PS_OK, 0, "ok")                                   \
    X(PS_CANCELLED, 1, "cancelled")                     \
    X(PS_UNKNOWN, 2, "unknown error")                   \
    X(PS_INVALID_ARGUMENT, 3, "invalid argument")       \
    X(PS_DEADLINE_EXCEEDED, 4, "deadline exceeded")     \
    X(PS_NOT_FOUND, 5, "not found")                     \
    X(PS_ALREADY_EXISTS, 6, "already exists")           \
    X(PS_PERMISSION_DENIED, 7, "permission denied")     \
    X(PS_RESOURCE_EXHAUSTED, 8, "resource exhausted")   \
    X(PS_FAILED_PRECONDITION, 9, "failed precondition") \
    X(PS_ABORTED, 10, "aborted")                        \
    X(PS_OUT_OF_RANGE, 11, "out of range")              \
    X(PS_UNIMPLEMENTED, 12, "unimplemented")            \
    X(PS_INTERNAL, 13, "internal error")                \
    X(PS_UNAVAILABLE, 14, "unavailable")                \
    X(PS_DATA_LOSS, 15, "data loss")                    \
    X(PS_UNAUTHENTICATED, 16, "unauthenticated")

enum ps_code {
#define PS_CODE_ENUM(name, number, text) name = number,
    PS_CODES(PS_CODE_ENUM)
#undef PS_CODE_ENUM
};

enum { PS_ERROR_MESSAGE_BYTES = 768 };

/* The detail of a failure. The caller owns it and may pass NULL where it does not care. */
struct ps_error {
    enum ps_code code;
    int task;                             /* ps task that failed, -1 if it failed here */
    char message[PS_ERROR_MESSAGE_BYTES]; /* always NUL-terminated; cut at the end if too long */
};

#define PS_ERROR_INIT \
    {                 \
        PS_OK, -1, "" \
    }

#if defined(__GNUC__)
#define PS_MUST_CHECK __attribute__((warn_unused_result))
#define PS_PRINTF(format_index, first_argument) \
    __attribute__((format(printf, format_index, first_argument)))
#else
#define PS_MUST_CHECK
#define PS_PRINTF(format_index, first_argument)
#endif

/* "NOT_FOUND" and "not found". Unknown numbers give "UNKNOWN". Threads: any. */
const char *ps_code_name(enum ps_code code);
const char *ps_code_text(enum ps_code code);

/* The code for a number from the wire; PS_UNKNOWN for one that is no code. */
enum ps_code ps_code_from_number(long number);

/* Records a failure in err (which may be NULL) and returns code, so that a function can
 * `return ps_fail(err, PS_NOT_FOUND, "variable '%s'", name)`. err->task becomes -1. */
enum ps_code ps_fail(struct ps_error *err, enum ps_code code, const char *format, ...)
    PS_PRINTF(3, 4);

/* As ps_fail, with ": " and the text of errno_value appended; the code follows errno
 * (ENOENT: NOT_FOUND, ENOSPC and ENOMEM: RESOURCE_EXHAUSTED, EACCES: PERMISSION_DENIED, ...). */
enum ps_code ps_fail_errno(struct ps_error *err, int errno_value, const char *format, ...)
    PS_PRINTF(3, 4);

/* Puts "context: " before the message and returns err->code (PS_UNKNOWN if err is NULL). */
enum ps_code ps_wrap(struct ps_error *err, const char *format, ...) PS_PRINTF(2, 3);

/* Whether a failure with this code may pass by itself (UNAVAILABLE, ABORTED, DEADLINE_EXCEEDED,
 * RESOURCE_EXHAUSTED): launchers retry those, and stop for every other code. */
int ps_code_is_retryable(enum ps_code code);

/* Runs call; on failure jumps to label. The only macro that hides control flow. */
#define PS_TRY(label, rc, call)            \
    do {                                   \
        (rc) = (call);                     \
        if ((rc) != PS_OK) { goto label; } \
    } while (0)

/* For what only a fault of our own can cause; stays on in release builds. Never on received bytes.
 */
#define PS_ASSERT(condition) \
    ((condition) ? (void)0 : ps_assert_failed(#condition, __FILE__, __LINE__))
void ps_assert_failed(const char *condition, const char *file, int line)
#if defined(__GNUC__)
    __attribute__((noreturn))
#endif
    ;

#ifdef __cplusplus
}
#endif

#endif
