/* The library as a whole: start and stop, malloc, its log lines, the arguments of connections. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "core/log.h"
#include "proto/rpc_grpc.h"

/* A chunk is 1 MiB; larger messages are refused long before they hurt. */
enum { MAX_FRAME_BYTES = 1 << 20, MAX_RECEIVE_BYTES = 32 << 20 };

/* A dead machine is noticed within half a minute; the server accepts pings that often. */
enum { KEEPALIVE_MS = 20000, KEEPALIVE_TIMEOUT_MS = 10000 };

static const char *const method_names[] = {
#define METHOD_NAME(id, name, slow) [PS_METHOD_##id] = name,
    PS_METHODS(METHOD_NAME)
#undef METHOD_NAME
};

const char *ps_method_name(enum ps_method method)
{
    return (unsigned)method < PS_METHOD_COUNT ? method_names[method] : "unknown";
}

/* Receive buffers come in 64 KiB pieces and are freed together. By default glibc hands them back
 * to the kernel each time and page faults then take more CPU than the transfer. What the user has
 * chosen for malloc stays. */
static void keep_freed_memory(void)
{
#if defined(__GLIBC__)
    enum { KEEP_BYTES = 1 << 30, MMAP_LIMIT_OLD_GLIBC = 32 << 20, GROW_BYTES = 64 << 20 };
    if (getenv("MALLOC_TRIM_THRESHOLD_") != NULL || getenv("MALLOC_MMAP_THRESHOLD_") != NULL ||
        getenv("GLIBC_TUNABLES") != NULL) {
        return;
    }
    if (mallopt(M_MMAP_THRESHOLD, KEEP_BYTES) == 0) {
        mallopt(M_MMAP_THRESHOLD, MMAP_LIMIT_OLD_GLIBC);
    }
    mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
    mallopt(M_TOP_PAD, GROW_BYTES);
#endif
}

#ifdef PS_HAVE_GPR_SET_LOG_FUNCTION
/* What matters of it reaches the user as the status of a call; the rest is for debugging. */
static void pass_log_line(gpr_log_func_args *line)
{
    ps_log(PS_LOG_DEBUG, "grpc", "%s:%d: %s", line->file, line->line, line->message);
}
#endif

void ps_rpc_start(void)
{
    keep_freed_memory();
#ifdef PS_HAVE_GPR_SET_LOG_FUNCTION
    gpr_set_log_function(pass_log_line);
#endif
    grpc_init();
}

void ps_rpc_stop(void)
{
    grpc_shutdown();
}

grpc_arg psi_int_arg(const char *key, int value)
{
    return (grpc_arg){ .type = GRPC_ARG_INTEGER,
                       .key = (char *)(uintptr_t)key,
                       .value.integer = value };
}

size_t psi_common_args(grpc_arg args[PSI_COMMON_ARGS], size_t lookahead_bytes)
{
    if (lookahead_bytes == 0) { lookahead_bytes = PSI_LOOKAHEAD_BYTES; }
    if (lookahead_bytes > INT32_MAX) { lookahead_bytes = INT32_MAX; }
    const struct {
        const char *key;
        int value;
    } common[] = {
        /* A fixed window instead of a measured one: less memory, shorter queues. */
        { GRPC_ARG_HTTP2_BDP_PROBE, 0 },
        { GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, (int)lookahead_bytes },
        { GRPC_ARG_HTTP2_MAX_FRAME_SIZE, MAX_FRAME_BYTES },
        { GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, MAX_RECEIVE_BYTES },
        { GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1 },
        /* A request may not be sent twice behind our back. */
        { GRPC_ARG_ENABLE_RETRIES, 0 },
        /* http_proxy is not for addresses of a cluster. */
        { GRPC_ARG_ENABLE_HTTP_PROXY, 0 },
        { GRPC_ARG_KEEPALIVE_TIME_MS, KEEPALIVE_MS },
        { GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_TIMEOUT_MS },
        { GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1 },
        { GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0 },
    };
    enum { COUNT = sizeof common / sizeof common[0] };
    _Static_assert((int)COUNT <= (int)PSI_COMMON_ARGS, "every common argument has room");
    for (size_t i = 0; i < COUNT; i++) { args[i] = psi_int_arg(common[i].key, common[i].value); }
    return COUNT;
}

gpr_timespec psi_deadline(int64_t timeout_ms)
{
    if (timeout_ms == INT64_MAX) { return gpr_inf_future(GPR_CLOCK_MONOTONIC); }
    if (timeout_ms < 0) { timeout_ms = 0; }
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
}

int64_t psi_remaining_ms(gpr_timespec deadline)
{
    deadline = gpr_convert_clock_type(deadline, GPR_CLOCK_MONOTONIC);
    if (gpr_time_cmp(deadline, gpr_inf_future(GPR_CLOCK_MONOTONIC)) == 0) { return INT64_MAX; }
    gpr_timespec left = gpr_time_sub(deadline, gpr_now(GPR_CLOCK_MONOTONIC));
    if (left.tv_sec < 0) { return 0; }
    return left.tv_sec * 1000 + left.tv_nsec / 1000000;
}
