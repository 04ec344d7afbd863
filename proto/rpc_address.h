/* Addresses of tasks: "host:port", checked before gRPC sees them. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_PROTO_RPC_ADDRESS_H
#define PARAMD_PROTO_RPC_ADDRESS_H

#include "core/status.h"

enum { PSI_HOST_BYTES = 256 };

struct psi_address {
    char host[PSI_HOST_BYTES]; /* without brackets */
    int port;
};

/* Reads "10.0.0.7:2222", "ps0.example.org:2222" or "[::1]:2222". INVALID_ARGUMENT says what is
 * wrong with it. */
PS_MUST_CHECK enum ps_code psi_address_parse(const char *text, struct psi_address *address_out,
                                             struct ps_error *err);

/* Why a server could not listen there: binds once itself to learn it. Always a failure. */
enum ps_code psi_address_explain_bind(const char *text, const struct psi_address *address,
                                      struct ps_error *err);

#endif
