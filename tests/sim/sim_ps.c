/* A ps task of the simulator: hands messages to the real ledger and answers as the server does. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_world.h"

/* ---- Frames: the ledger sees opaque pointers, which are names here ---- */

static void *frame_name(uint32_t attempt, uint32_t task, uint32_t frame)
{
    return (void *)(((uintptr_t)attempt * SIM_TASKS + task) * SIM_FRAMES + frame + 1);
}

static void release_frame(void *ctx, void *frame)
{
    struct sim *sim = ctx;
    uintptr_t name = (uintptr_t)frame - 1;
    uintptr_t attempt = name / (SIM_FRAMES * SIM_TASKS);
    if (frame == NULL || attempt >= sim->attempt_count) {
        sim_fail(sim, "a frame is released that was never kept");
        return;
    }
    uint32_t *held = &sim->attempts[attempt].held[name / SIM_FRAMES % SIM_TASKS][name % SIM_FRAMES];
    if (*held == 0) { sim_fail(sim, "a frame of attempt %zu is released twice", (size_t)attempt); }
    *held = 0;
}

void sim_task_init(struct sim *sim, uint32_t task)
{
    struct sim_task *self = &sim->tasks[task];
    memset(self, 0, sizeof *self);
    struct ps_frame_table frames = { .ctx = sim, .release = release_frame };
    for (uint32_t w = 0; w < sim->config.worker_count; w++) {
        ps_page_init(&self->pages[w], w, sim->config.credit_bytes, frames);
    }
}

void sim_task_clean(struct sim *sim, uint32_t task)
{
    for (uint32_t w = 0; w < sim->config.worker_count; w++) {
        ps_page_clean(&sim->tasks[task].pages[w]);
    }
}

/* ---- Commits ---- */

struct commit {
    struct sim *sim;
    uint32_t task;
};

static void on_commit(void *ctx, const struct ps_page *page, const struct ps_open *open)
{
    const struct commit *commit = ctx;
    struct sim *sim = commit->sim;
    uint32_t attempt = (uint32_t)open->header.base_step;
    sim_saw_commit(sim, commit->task, page, open);
    if (sim->result.failed) { return; }
    for (uint32_t f = 0; f < open->header.frame_count && !open->header.eager; f++) {
        if (open->frames[f] != frame_name(attempt, commit->task, f)) {
            sim_fail(sim, "task %u commits attempt %u with a wrong or missing frame %u",
                     commit->task, attempt, f);
            return;
        }
        sim_saw_effect(sim, commit->task, attempt, f);
    }
}

static void commit_through(struct sim *sim, const struct sim_message *message, struct ps_page *page)
{
    struct commit commit = { sim, message->task };
    struct ps_error err = PS_ERROR_INIT;
    if (ps_page_commit(page, message->commit_through, on_commit, &commit, &err) != PS_OK) {
        sim_fail(sim, "task %u cannot commit: %s", message->task, err.message);
    }
}

/* ---- Answers ---- */

static void answer(struct sim *sim, const struct sim_message *asked, enum sim_kind kind,
                   enum ps_code code)
{
    uint32_t worker = sim->processes[asked->process]->worker;
    struct sim_message reply = {
        .kind = kind,
        .task = asked->task,
        .process = asked->process,
        .attempt = asked->attempt,
        .stage = asked->stage,
        .code = code,
        .incarnation = asked->incarnation,
        .seq = asked->seq,
        .committed = sim->tasks[asked->task].pages[worker].committed,
    };
    sim_send(sim, &reply);
}

static bool admit(struct sim *sim, const struct sim_message *message, const struct ps_page *page)
{
    enum ps_code code = ps_page_admit(page, message->incarnation, NULL);
    if (code == PS_OK) { return true; }
    if (code != PS_ABORTED || message->incarnation > page->incarnation) {
        sim_fail(sim,
                 "task %u does not admit incarnation %" PRIu64 ", which is attached everywhere",
                 message->task, message->incarnation);
    }
    answer(sim, message, SIM_FENCED, code);
    return false;
}

/* ---- Requests ---- */

static void fill_survey(struct sim_survey *survey, const struct ps_page *page)
{
    survey->incarnation = page->incarnation;
    survey->committed = page->committed;
    survey->position = 0;
    if (page->position.size == sizeof survey->position) {
        memcpy(&survey->position, page->position.data, sizeof survey->position);
    }
    survey->open_count = 0;
    for (const struct ps_open *o = page->open; o != NULL; o = o->next) {
        PS_ASSERT(survey->open_count < SIM_OPEN_LISTED);
        uint32_t at = survey->open_count++;
        survey->open[at] = (struct ps_open_push){
            .seq = o->seq,
            .complete = o->state == PS_OPEN_STAGED,
            .eager = o->header.eager,
            .burnt = o->state == PS_OPEN_BURNT,
            .touched_count = o->header.touched_count,
        };
        for (size_t i = 0; i < o->header.touched_count; i++) {
            survey->touched[at][i] = o->header.touched[i];
        }
    }
}

static void receive_attach(struct sim *sim, const struct sim_message *message, struct ps_page *page)
{
    struct sim_survey *survey = sim_grow(NULL, 1, sizeof *survey);
    survey->accepted = ps_page_attach(page, message->incarnation, message->process);
    fill_survey(survey, page);
    struct sim_message reply = {
        .kind = SIM_ATTACHED,
        .task = message->task,
        .process = message->process,
        .stage = message->stage,
        .incarnation = message->incarnation,
        .survey = survey,
    };
    sim_send(sim, &reply);
}

static void receive_resolve(struct sim *sim, const struct sim_message *message,
                            struct ps_page *page)
{
    const struct sim_process *process = sim->processes[message->process];
    struct commit commit = { sim, message->task };
    struct ps_error err = PS_ERROR_INIT;
    struct ps_resolve_request request = {
        .worker = process->worker,
        .incarnation = message->incarnation,
        .commit_through = process->resolution.commit_through,
        .burnt = process->resolution.burnt,
        .burnt_count = process->resolution.burnt_count,
    };
    enum ps_code rc = ps_page_resolve(page, &request, on_commit, &commit, &err);
    if (rc != PS_OK && rc != PS_ABORTED) {
        sim_fail(sim, "task %u cannot resolve: %s", message->task, err.message);
    }
    answer(sim, message, rc == PS_OK ? SIM_RESOLVED : SIM_FENCED, rc);
}

static enum ps_offer offer(struct sim *sim, const struct sim_message *message, struct ps_page *page,
                           struct ps_open **open_out)
{
    const struct sim_attempt *attempt = &sim->attempts[message->attempt];
    uint32_t task = message->task;
    uint64_t part_bytes = (uint64_t)attempt->frame_bytes[task] * attempt->frame_count[task];
    struct ps_data_request request = {
        .kind = PS_REQUEST_PUSH,
        .worker = attempt->worker,
        .incarnation = message->incarnation,
        .seq = message->seq,
        .commit_through = message->commit_through,
        .push = {
            .touched = attempt->touched,
            .touched_count = attempt->touched_count,
            .update = { .kind = PS_UPDATE_SGD, .name = "" },
            .eager = attempt->eager,
            .part_bytes = part_bytes,
            .frame_count = attempt->frame_count[task],
            .frame_index = message->frame,
            .base_step = message->attempt,
        },
    };
    if (sim->config.home && task == sim_home(sim, attempt->worker)) {
        request.push.position.data = (const uint8_t *)&attempt->batch;
        request.push.position.size = sizeof attempt->batch;
    }
    struct ps_error err = PS_ERROR_INIT;
    enum ps_offer offered = ps_page_offer(page, &request, open_out, &err);
    if (offered == PS_OFFER_REFUSED) {
        sim_fail(sim, "task %u refuses what a faithful worker sent: %s", task, err.message);
    }
    return offered;
}

/* A frame that the ledger has not seen: checked, then kept or applied. */
static void take_frame(struct sim *sim, const struct sim_message *message, struct ps_page *page,
                       struct ps_open *open)
{
    struct sim_attempt *attempt = &sim->attempts[message->attempt];
    uint32_t task = message->task;
    if (attempt->poisoned && attempt->poison_task == task &&
        attempt->poison_frame == message->frame) {
        if (ps_page_burn(page, message->seq, NULL) != PS_OK) { sim_fail(sim, "no burn"); }
        answer(sim, message, SIM_REFUSED, PS_INVALID_ARGUMENT);
        return;
    }
    if (attempt->eager) {
        sim_saw_effect(sim, task, message->attempt, message->frame);
    } else if (attempt->held[task][message->frame]++ > 0) {
        sim_fail(sim, "task %u keeps frame %u of attempt %u twice", task, message->frame,
                 message->attempt);
    }
    void *frame = attempt->eager ? NULL : frame_name(message->attempt, task, message->frame);
    struct ps_error err = PS_ERROR_INIT;
    if (ps_page_keep(page, open, message->frame, frame, attempt->frame_bytes[task], &err) !=
        PS_OK) {
        sim_fail(sim, "task %u does not keep a good frame: %s", task, err.message);
        return;
    }
    if (open->state == PS_OPEN_STAGED) { answer(sim, message, SIM_STAGED, PS_OK); }
}

static void receive_frame(struct sim *sim, const struct sim_message *message, struct ps_page *page)
{
    struct ps_open *open;
    switch (offer(sim, message, page, &open)) {
    case PS_OFFER_NEW: take_frame(sim, message, page, open); break;
    case PS_OFFER_DUPLICATE:
        if (open->state == PS_OPEN_STAGED) { answer(sim, message, SIM_STAGED, PS_OK); }
        break;
    case PS_OFFER_COMMITTED: answer(sim, message, SIM_STAGED, PS_OK); break;
    case PS_OFFER_BURNT: answer(sim, message, SIM_REFUSED, PS_ABORTED); break;
    case PS_OFFER_FENCED: answer(sim, message, SIM_FENCED, PS_ABORTED); break;
    case PS_OFFER_REFUSED: break; /* failed already */
    }
}

/* What a page has committed is never less than what the message decided: a worker reads its own
 * writes. */
static void receive_data(struct sim *sim, const struct sim_message *message, struct ps_page *page)
{
    if (sim->config.lazy_notice && message->kind == SIM_FRAME &&
        message->commit_through <= page->committed) {
        receive_frame(sim, message, page);
        return;
    }
    if (!admit(sim, message, page)) { return; }
    bool late = sim->config.notice_last && message->kind == SIM_FRAME;
    if (!late) { commit_through(sim, message, page); }
    switch (message->kind) {
    case SIM_FRAME: receive_frame(sim, message, page); break;
    case SIM_WITHDRAW:
        if (ps_page_burn(page, message->seq, NULL) != PS_OK) { sim_fail(sim, "no burn"); }
        answer(sim, message, SIM_WITHDRAWN, PS_OK);
        break;
    default: answer(sim, message, SIM_NOTED, PS_OK); break;
    }
    if (late) { commit_through(sim, message, page); }
    if (page->committed < message->commit_through) {
        sim_fail(sim, "task %u has committed %" PRIu64 " after a notice of %" PRIu64, message->task,
                 page->committed, message->commit_through);
    }
}

void sim_task_receive(struct sim *sim, const struct sim_message *message)
{
    uint32_t worker = sim->processes[message->process]->worker;
    struct ps_page *page = &sim->tasks[message->task].pages[worker];
    switch (message->kind) {
    case SIM_ATTACH: receive_attach(sim, message, page); break;
    case SIM_RESOLVE: receive_resolve(sim, message, page); break;
    default: receive_data(sim, message, page); break;
    }
    if (!sim->result.failed) { sim_check_page(sim, message->task, worker); }
}
