/* The two messages of grpc.health.v1, each of one field. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_PROTO_RPC_HEALTH_WIRE_H
#define PARAMD_PROTO_RPC_HEALTH_WIRE_H

#include <stdbool.h>

#include "core/bytes.h"
#include "core/status.h"

#define PSI_HEALTH_CHECK_PATH "/grpc.health.v1.Health/Check"
#define PSI_HEALTH_WATCH_PATH "/grpc.health.v1.Health/Watch"

/* Numbers of grpc.health.v1.HealthCheckResponse.ServingStatus. */
enum psi_health {
    PSI_HEALTH_UNKNOWN = 0,
    PSI_HEALTH_SERVING = 1,
    PSI_HEALTH_NOT_SERVING = 2,
    PSI_HEALTH_SERVICE_UNKNOWN = 3 /* Watch only: Check answers NOT_FOUND */
};

/* Longest name of a service that is looked at, with its NUL. */
enum { PSI_HEALTH_SERVICE_BYTES = 128 };

PS_MUST_CHECK enum ps_code psi_health_encode_request(const char *service, struct ps_buf *out,
                                                     struct ps_error *err);
/* False for what is no request; a missing name is "". */
bool psi_health_decode_request(struct ps_span message, char service[PSI_HEALTH_SERVICE_BYTES]);

PS_MUST_CHECK enum ps_code psi_health_encode_reply(enum psi_health health, struct ps_buf *out,
                                                   struct ps_error *err);
enum psi_health psi_health_decode_reply(struct ps_span message);

#endif
