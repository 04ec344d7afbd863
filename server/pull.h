/* Pulls as a ps task answers them: frame after frame, each taken from the variables when it is
 * sent. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_PULL_H
#define PARAMD_SERVER_PULL_H

#include <stdbool.h>

#include "proto/messages.h"
#include "proto/rpc.h"
#include "server/service.h"

/* One pull on its way. A slow reader costs one frame at a time: chunks are referred to only while
 * a frame of theirs is being sent, so updates meanwhile copy at most those. */
struct ps_pull {
    struct ps_pull *next; /* the stream's queue */
    uint64_t seq;
    int64_t step; /* when it was asked for */
    bool checksums;
    struct ps_piece *pieces; /* owned */
    size_t piece_count;
    size_t piece_index;  /* of the next byte */
    uint64_t piece_done; /* bytes of that piece that were sent */
    uint32_t frame_index;
    bool finished;
};

/* Checks the pieces: known handles, initialized, within the slice.
 * Errors: NOT_FOUND, FAILED_PRECONDITION `Attempting to use uninitialized value NAME`,
 * OUT_OF_RANGE, RESOURCE_EXHAUSTED. */
PS_MUST_CHECK enum ps_code ps_pull_create(struct ps_service *service,
                                          const struct ps_data_request *request,
                                          struct ps_pull **pull_out, struct ps_error *err);
void ps_pull_destroy(struct ps_pull *pull);

/* Fills out with the next frame; reply gives the fields that are the stream's (committed,
 * generation, ...). After the last one pull->finished is set. On an error (a variable that changed
 * its shape meanwhile, no memory) nothing was filled in. */
PS_MUST_CHECK enum ps_code ps_pull_next(struct ps_service *service, struct ps_pull *pull,
                                        struct ps_data_reply *reply, struct ps_outgoing *out,
                                        struct ps_error *err);

#endif
