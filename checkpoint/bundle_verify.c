/* Reading every byte of a tensor and keeping none: what can be read later. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/bundle_reader_priv.h"

enum ps_code ps_bundle_reader_verify(struct ps_bundle_reader *reader, const char *name,
                                     struct ps_error *err)
{
    struct psi_target target = { .out = NULL };
    const struct ps_bundle_request request = { .name = name };
    enum ps_code rc = psi_bundle_read_aim(reader, &request, &target, err);
    if (rc != PS_OK) { return rc; }
    if (target.dtype != PS_STRING) { return psi_bundle_read_fill(reader, &target, err); }
    struct ps_bundle_strings strings;
    rc = ps_bundle_reader_read_strings(reader, name, &strings, err);
    ps_bundle_strings_clean(&strings);
    return rc;
}
