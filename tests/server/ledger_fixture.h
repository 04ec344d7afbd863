/* A page of the ledger and a worker's frames, for its tests. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_SERVER_LEDGER_FIXTURE_H
#define PARAMD_TESTS_SERVER_LEDGER_FIXTURE_H

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "server/ledger.h"

enum { WORKER = 3, CREDIT = 100, INCARNATION = 5, PROCESS = 77, FRAME_BYTES = 10 };

static struct ps_page page;
static struct ps_error err;
static int live_frames, live_stagings;
static struct ps_open *open_push; /* of the last offer */

/* What the commit callback saw. */
static uint64_t commits[PS_MAX_OPEN_PUSHES];
static int commit_count;
static uint32_t commit_frames; /* frames that were there */

static inline void *make_frame(void)
{
    live_frames++;
    return malloc(1);
}

static inline void release_frame(void *ctx, void *frame)
{
    ck_assert_ptr_eq(ctx, &live_frames);
    live_frames--;
    free(frame);
}

static inline void *make_staging(void)
{
    live_stagings++;
    return malloc(1);
}

static inline void close_staging(void *ctx, void *staging)
{
    ck_assert_ptr_eq(ctx, &live_frames);
    live_stagings--;
    free(staging);
}

static inline void on_commit(void *ctx, const struct ps_page *from, const struct ps_open *open)
{
    ck_assert_ptr_eq(ctx, commits);
    ck_assert_ptr_eq(from, &page);
    ck_assert_int_eq(open->state, PS_OPEN_STAGED);
    commits[commit_count++] = open->seq;
    for (uint32_t i = 0; open->frames != NULL && i < open->header.frame_count; i++) {
        commit_frames += open->frames[i] != NULL;
    }
}

static inline enum ps_code commit(uint64_t through)
{
    return ps_page_commit(&page, through, on_commit, commits, &err);
}

static inline enum ps_code resolve(uint64_t incarnation, uint64_t through, const uint64_t *burnt,
                                   size_t burnt_count)
{
    struct ps_resolve_request request = {
        .worker = WORKER,
        .incarnation = incarnation,
        .commit_through = through,
        .burnt = burnt,
        .burnt_count = burnt_count,
    };
    return ps_page_resolve(&page, &request, on_commit, commits, &err);
}

static inline void set_up(void)
{
    struct ps_frame_table frames = { &live_frames, release_frame, close_staging };
    ps_page_init(&page, WORKER, CREDIT, frames);
    err = (struct ps_error)PS_ERROR_INIT;
    live_frames = live_stagings = commit_count = 0;
    commit_frames = 0;
    ck_assert(ps_page_attach(&page, INCARNATION, PROCESS));
    ck_assert_int_eq(resolve(INCARNATION, 0, NULL, 0), PS_OK);
}

/* Nothing is left behind, whatever a test did. */
static inline void tear_down(void)
{
    ps_page_clean(&page);
    ck_assert_int_eq(live_frames, 0);
    ck_assert_int_eq(live_stagings, 0);
}

static const uint32_t TOUCHED[2] = { 0, 2 };

/* A frame of a push whose frames have FRAME_BYTES each. */
static inline struct ps_data_request frame_of(uint64_t seq, uint32_t frame_count, uint32_t index)
{
    return (struct ps_data_request){
        .kind = PS_REQUEST_PUSH,
        .worker = WORKER,
        .incarnation = INCARNATION,
        .seq = seq,
        .push = {
            .touched = TOUCHED,
            .touched_count = 2,
            .update = { .kind = PS_UPDATE_MOMENTUM, .name = "Momentum" },
            .part_bytes = (uint64_t)frame_count * FRAME_BYTES,
            .frame_count = frame_count,
            .frame_index = index,
        },
    };
}

static inline enum ps_offer offer(const struct ps_data_request *request)
{
    return ps_page_offer(&page, request, &open_push, &err);
}

static inline enum ps_offer offer_frame(uint64_t seq, uint32_t frame_count, uint32_t index)
{
    struct ps_data_request request = frame_of(seq, frame_count, index);
    return offer(&request);
}

static inline void keep(uint32_t index)
{
    void *frame = open_push->header.eager ? NULL : make_frame();
    ck_assert_int_eq(ps_page_keep(&page, open_push, index, frame, FRAME_BYTES, &err), PS_OK);
}

static inline void arrive(uint64_t seq, uint32_t frame_count, uint32_t index)
{
    ck_assert_int_eq(offer_frame(seq, frame_count, index), PS_OFFER_NEW);
    keep(index);
}

static inline void stage(uint64_t seq)
{
    arrive(seq, 1, 0);
    ck_assert_int_eq(open_push->state, PS_OPEN_STAGED);
}

static inline void stage_with_position(uint64_t seq, const char *position)
{
    struct ps_data_request request = frame_of(seq, 1, 0);
    request.push.position = (struct ps_span){ (const uint8_t *)position, strlen(position) };
    ck_assert_int_eq(offer(&request), PS_OFFER_NEW);
    keep(0);
}

static inline bool position_is(const char *expected)
{
    return page.position.size == strlen(expected) &&
           memcmp(page.position.data, expected, page.position.size) == 0;
}

#endif
