/* Sessions: from the command line to the exit code. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/session_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "client/call_priv.h"
#include "client/join_priv.h"
#include "client/peer_priv.h"
#include "client/progress_priv.h"
#include "client/saver_priv.h"
#include "client/settings_priv.h"
#include "client/ticket_priv.h"
#include "client/transfer_priv.h"
#include "client/variable_priv.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/exit_code.h"

enum {
    STOP_TIMEOUT_MS = 10000,
    WITHDRAW_TIMEOUT_MS = 5000, /* for a failed session to burn its refused pushes */
    FINISH_TIMEOUT_MS = 10000
};

/* ---- Start ---- */

static enum ps_code open_real_stream(void *ctx, struct ps_channel *channel,
                                     const struct ps_stream_events *events, void *events_ctx,
                                     struct ps_stream **stream_out, struct ps_error *err)
{
    (void)ctx;
    return ps_channel_open(channel, events, events_ctx, stream_out, err);
}

static struct ps_session *allocate(const struct psi_link *link)
{
    struct ps_session *session = ps_alloc_zero(1, sizeof *session);
    if (session == NULL) {
        fprintf(stderr, "paramd: no memory for a session\n");
        return NULL;
    }
    ps_mutex_init(&session->lock, "session", PS_RANK_SESSION);
    ps_cond_init(&session->changed);
    session->link.open = open_real_stream;
    if (link != NULL) { session->link = *link; }
    session->stats.last_loss = session->stats.test_accuracy = __builtin_nan("");
    return session;
}

static enum ps_code make_peers(struct ps_session *session, struct ps_error *err)
{
    int count = ps_cluster_task_count(&session->settings.cluster, "ps");
    enum ps_code rc = ps_rpc_client_create(&session->rpc, err);
    if (rc != PS_OK) { return rc; }
    session->peers = ps_alloc_zero((size_t)count, sizeof *session->peers);
    if (session->peers == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory"); }
    for (int i = 0; i < count; i++) {
        const char *address;
        rc = ps_cluster_address(&session->settings.cluster, "ps", i, &address, err);
        if (rc != PS_OK) { return rc; }
        session->peer_count = (uint32_t)i + 1;
        rc = psi_peer_init(&session->peers[i], session, (uint32_t)i, address, err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

/* Names this process among all that ever were worker N. */
static uint64_t random_number(void)
{
    uint64_t number = 0;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number) {
        number = (uint64_t)time(NULL) << 32 ^ (uint64_t)getpid();
    }
    return number | 1u;
}

static void say_what_was_found(const struct ps_session *session)
{
    const struct psi_settings *settings = &session->settings;
    if (settings->quiet) { return; }
    ps_log(PS_LOG_INFO, "session",
           "cluster: %d ps, %d worker%s (from %s); I am /job:worker/task:%d%s",
           ps_cluster_task_count(&settings->cluster, "ps"), settings->worker_count,
           settings->worker_count == 1 ? "" : "s", settings->cluster.source, settings->task_index,
           settings->eager ? "; eager pushes" : "");
}

static void say_it_joined(const struct ps_session *session)
{
    if (session->settings.quiet) { return; }
    ps_log(PS_LOG_INFO, "session",
           "joined job %016" PRIx64 ", incarnation %" PRIu64 ", after push %" PRIu64
           "; global step %" PRId64,
           session->header.job, session->incarnation, session->pusher.decided_through,
           session->step);
}

/* log: of a program that is all ours, to be given this worker's name; NULL: the log is another's.
 */
static void start(struct ps_session *session, const ps_options *options, struct ps_log_options *log)
{
    struct ps_error err = PS_ERROR_INIT;
    enum ps_code rc;
    ps_rpc_start();
    session->process = random_number();
    PS_TRY(fail, rc, psi_settings_load(options, &session->settings, &err));
    if (log != NULL) {
        snprintf(log->process, sizeof log->process, "/job:worker/task:%d",
                 session->settings.task_index);
        ps_log_configure(log);
    }
    PS_TRY(fail, rc, make_peers(session, &err));
    say_what_was_found(session);
    PS_TRY(fail, rc, psi_join(session, &err));
    say_it_joined(session);
    return;
fail:
    psi_fail(session, &err);
}

static ps_session *connect_with(const ps_options *options, const struct psi_link *link,
                                struct ps_log_options *log)
{
    struct ps_session *session = allocate(link);
    if (session == NULL) { return NULL; }
    ps_options none = { .task_index = -1 };
    ps_options given = options != NULL ? *options : none;
    bool names_cluster = given.ps_hosts != NULL || given.cluster != NULL;
    if (!names_cluster && given.task_index == 0) { given.task_index = -1; }
    start(session, &given, log);
    return session;
}

ps_session *psi_session_connect(const ps_options *options, const struct psi_link *link)
{
    return connect_with(options, link, NULL);
}

ps_session *ps_connect(const ps_options *options)
{
    return connect_with(options, NULL, NULL);
}

static enum ps_code read_log_flags(const struct psi_flags *flags, struct ps_log_options *log,
                                   struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    *log = (struct ps_log_options){ .level = flags->options.quiet ? PS_LOG_WARN : PS_LOG_INFO };
    if (flags->log_level != NULL) { rc = ps_log_level_parse(flags->log_level, &log->level, err); }
    if (rc == PS_OK && flags->log_format != NULL) {
        rc = ps_log_format_parse(flags->log_format, &log->format, err);
    }
    ps_log_configure(log);
    return rc;
}

ps_session *ps_start(int *argc, char ***argv)
{
    struct psi_flags flags;
    struct ps_log_options log;
    struct ps_error err = PS_ERROR_INIT;
    enum ps_code rc = psi_settings_parse(argc, *argv, &flags, &err);
    if (rc == PS_OK) { rc = read_log_flags(&flags, &log, &err); }
    if (rc == PS_OK && !flags.help) { return connect_with(&flags.options, NULL, &log); }
    struct ps_session *session = allocate(NULL);
    if (session == NULL) { return NULL; }
    ps_rpc_start();
    if (rc != PS_OK) { psi_fail(session, &err); }
    session->failed = true; /* after help was asked for, there is nothing to do: exit code 0 */
    return session;
}

/* ---- State ---- */

int ps_ok(const ps_session *session)
{
    return psi_usable(session);
}

enum ps_code ps_status(const ps_session *session)
{
    if (session == NULL) { return PS_RESOURCE_EXHAUSTED; }
    return psi_usable(session) ? PS_OK : session->error.code;
}

const char *ps_message(const ps_session *session)
{
    if (session == NULL) { return "no session"; }
    return psi_usable(session) ? "" : session->error.message;
}

void ps_abandon(ps_session *session, enum ps_code code, const char *message)
{
    struct ps_error err = PS_ERROR_INIT;
    ps_fail(&err, code, "%s", message);
    psi_fail(session, &err);
}

int ps_task(const ps_session *session)
{
    return session != NULL ? session->settings.task_index : 0;
}

int ps_workers(const ps_session *session)
{
    return session != NULL && session->settings.worker_count > 0 ? session->settings.worker_count
                                                                 : 1;
}

int ps_ps_tasks(const ps_session *session)
{
    return session != NULL ? (int)session->peer_count : 0;
}

const char *ps_version(void)
{
    return PS_VERSION;
}

/* ---- End ---- */

/* Also a failed worker takes its leave, so that the others' job can end. */
static void say_goodbye(struct ps_session *session)
{
    struct ps_finish_request request = {
        .header = session->header,
        .worker = (uint32_t)session->settings.task_index,
        .incarnation = session->incarnation,
    };
    for (uint32_t i = 0; i < session->peer_count; i++) {
        struct ps_finish_reply reply;
        struct ps_error err = PS_ERROR_INIT;
        enum ps_code rc = psi_call_finish(&session->peers[i], &request, FINISH_TIMEOUT_MS, &reply,
                                          &err);
        if (rc != PS_OK) {
            ps_log(psi_usable(session) ? PS_LOG_WARN : PS_LOG_DEBUG, "session",
                   "cannot take leave: %s", err.message);
        }
    }
}

static void commit_everything(struct ps_session *session)
{
    bool usable = psi_usable(session);
    int64_t limit_ms = usable ? session->settings.call_timeout_ms : WITHDRAW_TIMEOUT_MS;
    if (usable) { ps_wait_all(session); }
    if (ps_status(session) == PS_ABORTED) { return; } /* fenced: nobody will confirm anything */
    if (psi_drain(session, limit_ms) || !usable) { return; }
    struct ps_error err = PS_ERROR_INIT;
    ps_fail(&err, PS_UNAVAILABLE,
            "pushes were staged everywhere, but not every ps task confirmed their commit within "
            "%" PRId64 " s",
            limit_ms / 1000);
    psi_fail(session, &err);
}

static void free_everything(struct ps_session *session)
{
    while (session->tickets != NULL) {
        struct psi_ticket *ticket = session->tickets;
        session->tickets = ticket->next;
        psi_ticket_destroy(ticket);
    }
    while (session->vars != NULL) {
        struct ps_var *var = session->vars;
        session->vars = var->next;
        psi_variable_destroy(var);
    }
    while (session->optimizers != NULL) {
        struct ps_optimizer *optimizer = session->optimizers;
        session->optimizers = optimizer->next;
        ps_free(optimizer);
    }
    psi_savers_clean(session);
    for (uint32_t i = 0; i < session->peer_count; i++) { psi_peer_clean(&session->peers[i]); }
    ps_free(session->peers);
    ps_rpc_client_destroy(session->rpc);
    if (session->has_pusher) { ps_pusher_clean(&session->pusher); }
    ps_buf_clean(&session->next_position);
    ps_buf_clean(&session->first_position);
    ps_arena_clean(&session->arena);
    psi_settings_clean(&session->settings);
    ps_cond_clean(&session->changed);
    ps_mutex_clean(&session->lock);
    ps_free(session);
    ps_rpc_stop();
}

/* Exit codes tell a start that took too long from a peer that was lost later. */
static int exit_code_of(const struct ps_session *session)
{
    enum ps_code code = session->failed ? session->error.code : PS_OK;
    if (code == PS_DEADLINE_EXCEEDED && session->has_pusher) { return PS_EXIT_PEER_LOST; }
    if (code == PS_FAILED_PRECONDITION && !session->has_pusher) { return PS_EXIT_PROTOCOL; }
    if (code == PS_INVALID_ARGUMENT && session->peer_count == 0) { return PS_EXIT_USAGE; }
    return ps_exit_code_of(code);
}

int ps_finish(ps_session *session)
{
    if (session == NULL) { return PS_EXIT_STORAGE; }
    if (session->has_pusher) {
        commit_everything(session);
        say_goodbye(session);
    }
    bool stopped = psi_stop_streams(session, STOP_TIMEOUT_MS);
    int exit_code = exit_code_of(session);
    psi_progress_write_summary(session, exit_code);
    if (!stopped) {
        ps_log(PS_LOG_WARN, "session", "a stream did not close; its memory is left to the process");
        return exit_code;
    }
    free_everything(session);
    return exit_code;
}
