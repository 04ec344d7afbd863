/* The state of a session, and its first failure: what every file of this folder works on. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "client/session_state_priv.h"

enum ps_code psi_fail_locked(struct ps_session *session, const struct ps_error *err)
{
    if (!session->failed) {
        session->failed = true;
        session->error = *err;
        ps_log(PS_LOG_ERROR, "session", "%s: %s", ps_code_name(err->code), err->message);
        ps_cond_broadcast(&session->changed);
    }
    return err->code;
}

enum ps_code psi_fail(struct ps_session *session, const struct ps_error *err)
{
    if (session == NULL) { return err->code; }
    ps_mutex_lock(&session->lock);
    psi_fail_locked(session, err);
    ps_mutex_unlock(&session->lock);
    return err->code;
}

bool psi_usable(const struct ps_session *session)
{
    if (session == NULL) { return false; }
    struct ps_session *locked = (struct ps_session *)session;
    ps_mutex_lock(&locked->lock);
    bool usable = !session->failed;
    ps_mutex_unlock(&locked->lock);
    return usable;
}
