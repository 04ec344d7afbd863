/* What a session is told: options, flags and environment made into settings. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CLIENT_SETTINGS_PRIV_H
#define PARAMD_CLIENT_SETTINGS_PRIV_H

#include "client/session_state_priv.h"

/* Owned copies of the flags that were taken out of argv. */
struct psi_flags {
    ps_options options; /* strings point into argv */
    bool help;          /* the flags were printed, and nothing else is wanted */
    const char *log_level;
    const char *log_format;
};

/* Takes the flags that are ours ("--name=value" or "--name value", one or two dashes) out of argv
 * and leaves the rest in order. "--" ends them. INVALID_ARGUMENT: a flag without a value, or one
 * that is no number. */
PS_MUST_CHECK enum ps_code psi_settings_parse(int *argc, char **argv, struct psi_flags *flags_out,
                                              struct ps_error *err);

/* Options, then the environment, then defaults. settings_out is cleared first; clean it also after
 * a failure. */
PS_MUST_CHECK enum ps_code psi_settings_load(const ps_options *options,
                                             struct psi_settings *settings_out,
                                             struct ps_error *err);
void psi_settings_clean(struct psi_settings *settings);

#endif
