/* Reading a command's flags: argp, with unknown flags and bad values answered helpfully. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_OPTIONS_H
#define PARAMD_DEPLOY_OPTIONS_H

#include <argp.h>
#include <stdint.h>

/* Reads argv[1..] into input. Does not return on --help (exit 0) nor on a flag that is unknown or
 * has a bad value: those are explained on standard error, with the nearest flag there is, and end
 * the process with PS_EXIT_USAGE. argv[0] is "paramd <command>". */
void ps_options_parse(const struct argp *argp, int argc, char **argv, void *input);

/* Values of flags, for use in an argp parser; argument is the text after the flag named flag.
 * Each ends the process by argp_error when the text is not such a value. */
int64_t ps_options_number(struct argp_state *state, const char *flag, const char *argument,
                          int64_t minimum, int64_t maximum);
/* "4096", "512M", "1.5G": bytes, with binary multiples K, M, G, T. At least 1. */
uint64_t ps_options_bytes(struct argp_state *state, const char *flag, const char *argument);
/* "30", "30s", "500ms", "10m", "2h": milliseconds; seconds without a unit. More than 0. */
int64_t ps_options_duration_ms(struct argp_state *state, const char *flag, const char *argument);

#endif
