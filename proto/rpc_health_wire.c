/* Packs and reads the one-field messages of grpc.health.v1. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/rpc_health_wire.h"

#include <string.h>

#include "proto/wire.h"

enum { TAG_SERVICE = 1 << 3 | 2, TAG_STATUS = 1 << 3 | 0 };

enum ps_code psi_health_encode_request(const char *service, struct ps_buf *out,
                                       struct ps_error *err)
{
    size_t size = strlen(service);
    if (size >= PSI_HEALTH_SERVICE_BYTES) { /* also keeps the length in one byte */
        return ps_fail(err, PS_INVALID_ARGUMENT, "a service name of %zu bytes; at most %d", size,
                       PSI_HEALTH_SERVICE_BYTES - 1);
    }
    if (size == 0) { return PS_OK; }
    const uint8_t tag[] = { TAG_SERVICE, (uint8_t)size };
    enum ps_code rc = ps_buf_append(out, tag, sizeof tag, err);
    return rc == PS_OK ? ps_buf_append(out, service, size, err) : rc;
}

bool psi_health_decode_request(struct ps_span message, char service[PSI_HEALTH_SERVICE_BYTES])
{
    struct ps_span name = { 0 };
    service[0] = '\0';
    if (message.size > 0 && !ps_wire_lookup(message, TAG_SERVICE, &name)) { return false; }
    if (name.size >= PSI_HEALTH_SERVICE_BYTES) { return false; }
    if (name.size > 0) { memcpy(service, name.data, name.size); }
    service[name.size] = '\0';
    return true;
}

enum ps_code psi_health_encode_reply(enum psi_health health, struct ps_buf *out,
                                     struct ps_error *err)
{
    const uint8_t message[] = { TAG_STATUS, (uint8_t)health };
    return ps_buf_append(out, message, sizeof message, err);
}

enum psi_health psi_health_decode_reply(struct ps_span message)
{
    struct ps_span status;
    if (!ps_wire_lookup(message, TAG_STATUS, &status) || status.size != 1) {
        return PSI_HEALTH_UNKNOWN;
    }
    return status.data[0] <= PSI_HEALTH_SERVICE_UNKNOWN ? (enum psi_health)status.data[0]
                                                        : PSI_HEALTH_UNKNOWN;
}
