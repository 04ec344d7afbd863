/* A worker process of the simulator: takes its place, settles the past, then drives the pusher. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "tests/sim/sim_world.h"

enum { FRAME_BYTES = 4 }; /* at most; SIM_FRAMES of them fit the least credit that is drawn */

/* ---- Start and end ---- */

static void clear_calls(struct sim_process *process)
{
    memset(process->asked, 0, sizeof process->asked);
    memset(process->answered, 0, sizeof process->answered);
}

static void propose(struct sim *sim, struct sim_process *process, uint64_t incarnation)
{
    struct sim_worker *worker = &sim->workers[process->worker];
    process->incarnation = incarnation;
    if (incarnation > worker->highest_incarnation) { worker->highest_incarnation = incarnation; }
    clear_calls(process);
}

void sim_process_start(struct sim *sim, uint32_t worker)
{
    if (sim->process_count == sim->process_capacity) {
        sim->process_capacity = 2 * sim->process_capacity + 8;
        sim->processes = sim_grow(sim->processes, sim->process_capacity, sizeof *sim->processes);
    }
    struct sim_process *process = sim_grow(NULL, 1, sizeof *process);
    memset(process, 0, sizeof *process);
    process->worker = worker;
    process->index = sim->process_count;
    sim->processes[sim->process_count++] = process;
    sim->workers[worker].newest = process->index;
    sim->result.processes++;
    /* A process that knows little proposes a number that is taken, and must find a better one. */
    bool knows = sim_chance(sim, 800);
    propose(sim, process, knows ? sim->workers[worker].highest_incarnation + 1 : 1);
    sim_tell(sim, "worker %u starts process %u as incarnation %" PRIu64, worker, process->index,
             process->incarnation);
}

static void forget_surveys(struct sim_process *process)
{
    for (uint32_t t = 0; t < SIM_TASKS; t++) {
        free(process->surveys[t]);
        process->surveys[t] = NULL;
    }
}

static void end(struct sim_process *process, enum sim_stage stage)
{
    process->stage = stage;
    forget_surveys(process);
    if (process->pusher_made) { ps_pusher_clean(&process->pusher); }
    process->pusher_made = false;
}

void sim_process_kill(struct sim *sim, struct sim_process *process)
{
    sim_tell(sim, "process %u of worker %u dies", process->index, process->worker);
    end(process, SIM_STAGE_DEAD);
}

void sim_process_free(struct sim_process *process)
{
    end(process, SIM_STAGE_DEAD);
    free(process);
}

/* ---- Taking the place ---- */

static bool all_answered(const struct sim *sim, const struct sim_process *process)
{
    for (uint32_t t = 0; t < sim->config.task_count; t++) {
        if (!process->answered[t]) { return false; }
    }
    return true;
}

static void run(struct sim *sim, struct sim_process *process, uint32_t batch)
{
    uint64_t committed = process->resolution.commit_through;
    uint32_t expected = sim_expected_batch(sim, process->worker, committed);
    if (sim->config.home && batch != expected) {
        sim_fail(sim, "worker %u goes on after batch %u, but push %" PRIu64 " was batch %u",
                 process->worker, batch, committed, expected);
        return;
    }
    process->stage = SIM_STAGE_RUN;
    process->next_batch = expected + 1;
    if (ps_pusher_init(&process->pusher, sim->config.task_count, committed, NULL) != PS_OK) {
        sim_fail(sim, "no pusher");
        return;
    }
    process->pusher_made = true;
    for (uint32_t t = 0; t < sim->config.task_count; t++) {
        ps_pusher_set_credit(&process->pusher, t, sim->config.credit_bytes);
    }
    sim_tell(sim, "process %u of worker %u goes on after push %" PRIu64 ", batch %u",
             process->index, process->worker, committed, expected);
}

static void resolve(struct sim *sim, struct sim_process *process)
{
    struct ps_survey surveys[SIM_TASKS];
    for (uint32_t t = 0; t < sim->config.task_count; t++) {
        struct sim_survey *from = process->surveys[t];
        for (uint32_t i = 0; i < from->open_count; i++) {
            from->open[i].touched = from->touched[i];
        }
        surveys[t] = (struct ps_survey){ from->committed, from->open, from->open_count };
    }
    process->resolution = ps_resolve(surveys, sim->config.task_count);
    forget_surveys(process);
    process->stage = SIM_STAGE_RESOLVE;
    clear_calls(process);
    sim_tell(sim, "process %u resolves through push %" PRIu64 " with %zu burnt", process->index,
             process->resolution.commit_through, process->resolution.burnt_count);
}

static void receive_attached(struct sim *sim, struct sim_process *process,
                             struct sim_message *message)
{
    const struct sim_survey *survey = message->survey;
    if (!survey->accepted && process->stage == SIM_STAGE_ATTACH) {
        uint64_t highest = survey->incarnation > process->incarnation ? survey->incarnation
                                                                      : process->incarnation;
        forget_surveys(process);
        propose(sim, process, highest + 1);
        return;
    }
    if (!survey->accepted) {
        sim_process_kill(sim, process);
        return;
    }
    if (process->stage == SIM_STAGE_POSITION) {
        run(sim, process, survey->position);
        return;
    }
    free(process->surveys[message->task]);
    process->surveys[message->task] = message->survey;
    message->survey = NULL;
    process->answered[message->task] = true;
    if (all_answered(sim, process)) { resolve(sim, process); }
}

static void receive_resolved(struct sim *sim, struct sim_process *process, uint32_t task)
{
    process->answered[task] = true;
    if (!all_answered(sim, process)) { return; }
    clear_calls(process);
    if (sim->config.home) {
        process->stage = SIM_STAGE_POSITION;
    } else {
        run(sim, process, 0);
    }
}

/* ---- Pushes ---- */

static void add_part(struct sim *sim, struct sim_attempt *attempt, uint32_t task)
{
    attempt->touched[attempt->touched_count++] = task;
    attempt->frame_count[task] = 1 + sim_below(sim, sim->config.frame_limit);
    attempt->frame_bytes[task] = sim_below(sim, FRAME_BYTES + 1);
}

static void draw_attempt(struct sim *sim, struct sim_process *process, struct sim_attempt *attempt)
{
    memset(attempt, 0, sizeof *attempt);
    attempt->worker = process->worker;
    attempt->batch = process->next_batch;
    attempt->incarnation = process->incarnation;
    attempt->eager = sim_chance(sim, sim->config.eager);
    uint32_t always = sim->config.home ? sim_home(sim, process->worker)
                                       : sim_below(sim, sim->config.task_count);
    uint32_t others = sim_below(sim, 1u << sim->config.task_count);
    for (uint32_t t = 0; t < sim->config.task_count; t++) {
        if (t == always || (others >> t & 1u) != 0) { add_part(sim, attempt, t); }
    }
    attempt->poisoned = sim_chance(sim, sim->config.refuse);
    attempt->poison_task = attempt->touched[sim_below(sim, attempt->touched_count)];
    attempt->poison_frame = sim_below(sim, attempt->frame_count[attempt->poison_task]);
}

/* The attempt takes its number; a younger incarnation's takes it over. */
static void number_attempt(struct sim *sim, uint32_t index, uint64_t seq)
{
    struct sim_attempt *attempt = &sim->attempts[index];
    struct sim_worker *worker = &sim->workers[attempt->worker];
    attempt->seq = seq;
    if (seq >= worker->by_seq_capacity) {
        size_t capacity = 2 * (size_t)seq + 16;
        worker->by_seq = sim_grow(worker->by_seq, capacity, sizeof *worker->by_seq);
        memset(worker->by_seq + worker->by_seq_capacity, 0,
               (capacity - worker->by_seq_capacity) * sizeof *worker->by_seq);
        worker->by_seq_capacity = capacity;
    }
    uint32_t before = worker->by_seq[seq];
    if (before == 0 || sim->attempts[before - 1].incarnation <= attempt->incarnation) {
        worker->by_seq[seq] = index + 1;
    }
    if (seq > worker->last_seq) { worker->last_seq = seq; }
}

bool sim_process_push(struct sim *sim, struct sim_process *process)
{
    if (process->stage != SIM_STAGE_RUN || process->next_batch > sim->config.batch_count ||
        process->flight_count >= sim->config.window) {
        return false;
    }
    if (sim->attempt_count == sim->attempt_capacity) {
        sim->attempt_capacity = 2 * sim->attempt_capacity + 64;
        sim->attempts = sim_grow(sim->attempts, sim->attempt_capacity, sizeof *sim->attempts);
    }
    struct sim_attempt *attempt = &sim->attempts[sim->attempt_count];
    draw_attempt(sim, process, attempt);

    struct ps_part parts[SIM_TASKS];
    for (uint32_t i = 0; i < attempt->touched_count; i++) {
        uint32_t task = attempt->touched[i];
        parts[i] = (struct ps_part){
            .peer = task,
            .frame_count = attempt->frame_count[task],
            .size_bytes = (uint64_t)attempt->frame_count[task] * attempt->frame_bytes[task],
        };
    }
    uint32_t blocking;
    enum ps_admission admission = ps_pusher_admits(&process->pusher, parts, attempt->touched_count,
                                                   attempt->eager, &blocking);
    if (admission == PS_ADMIT_NEVER) { sim_fail(sim, "a push that fits is never admitted"); }
    if (admission != PS_ADMIT_NOW) { return false; }

    struct ps_flight *flight;
    void *user = (void *)(uintptr_t)sim->attempt_count;
    if (ps_pusher_add(&process->pusher, parts, attempt->touched_count, user, &flight, NULL) !=
        PS_OK) {
        sim_fail(sim, "no memory");
        return false;
    }
    sim->attempt_count++;
    sim->result.pushes++;
    process->next_batch++;
    process->flight_count++;
    number_attempt(sim, sim->attempt_count - 1, flight->seq);
    sim_tell(sim, "process %u pushes %" PRIu64 " (attempt %u, batch %u, %u tasks%s%s)",
             process->index, flight->seq, sim->attempt_count - 1, attempt->batch,
             attempt->touched_count, attempt->eager ? ", eager" : "",
             attempt->poisoned ? ", poisoned" : "");
    return true;
}

static void send_one(struct sim *sim, const struct sim_process *process, uint32_t task,
                     struct ps_send send)
{
    static const enum sim_kind kinds[] = {
        [PS_SEND_FRAME] = SIM_FRAME,
        [PS_SEND_WITHDRAW] = SIM_WITHDRAW,
        [PS_SEND_NOTICE] = SIM_NOTICE,
    };
    struct sim_message message = {
        .kind = kinds[send.kind],
        .task = task,
        .process = process->index,
        .frame = send.frame_index,
        .stage = SIM_STAGE_RUN,
        .incarnation = process->incarnation,
        .commit_through = send.commit_through,
    };
    if (send.flight != NULL) {
        message.attempt = (uint32_t)(uintptr_t)send.flight->user;
        message.seq = send.flight->seq;
    }
    sim_send(sim, &message);
}

void sim_process_pull(struct sim *sim, struct sim_process *process, uint32_t task)
{
    if (process->stage != SIM_STAGE_RUN) { return; }
    struct sim_message message = {
        .kind = SIM_PULL,
        .task = task,
        .process = process->index,
        .stage = SIM_STAGE_RUN,
        .incarnation = process->incarnation,
        .commit_through = process->pusher.decided_through,
    };
    ps_pusher_noticed(&process->pusher, task);
    sim_send(sim, &message);
}

static bool is_done(const struct sim *sim, const struct sim_process *process)
{
    for (uint32_t t = 0; t < sim->config.task_count; t++) {
        if (ps_pusher_awaits(&process->pusher, t)) { return false; }
    }
    return process->next_batch > sim->config.batch_count && process->flight_count == 0;
}

bool sim_process_act(struct sim *sim, struct sim_process *process, uint32_t task)
{
    bool calls = process->stage < SIM_STAGE_RUN && !process->asked[task];
    if (process->stage == SIM_STAGE_POSITION && task != sim_home(sim, process->worker)) {
        calls = false;
    }
    if (calls) {
        struct sim_message message = {
            .kind = process->stage == SIM_STAGE_RESOLVE ? SIM_RESOLVE : SIM_ATTACH,
            .task = task,
            .process = process->index,
            .stage = process->stage,
            .incarnation = process->incarnation,
        };
        process->asked[task] = true;
        sim_send(sim, &message);
        return true;
    }
    if (process->stage != SIM_STAGE_RUN) { return false; }
    struct ps_send send = ps_pusher_next(&process->pusher, task);
    if (send.kind != PS_SEND_NOTHING) {
        send_one(sim, process, task, send);
        return true;
    }
    if (is_done(sim, process)) { end(process, SIM_STAGE_DONE); }
    return false;
}

/* ---- Answers and silence ---- */

static void tell_decisions(struct sim *sim, struct sim_process *process)
{
    for (struct ps_flight *f = process->pusher.flights; f != NULL && f->decided; f = f->next) {
        uint32_t attempt = (uint32_t)(uintptr_t)f->user;
        if (!sim->attempts[attempt].acked && !sim->attempts[attempt].denied) {
            sim_saw_decision(sim, attempt, f->refused);
        }
    }
    for (;;) {
        struct ps_flight *flight = ps_pusher_forget(&process->pusher);
        if (flight == NULL) { break; }
        process->flight_count--;
        ps_free(flight);
    }
}

static void receive_reply(struct sim *sim, struct sim_process *process,
                          const struct sim_message *message)
{
    struct ps_pusher *pusher = &process->pusher;
    ps_pusher_committed(pusher, message->task, message->committed);
    switch (message->kind) {
    case SIM_STAGED: ps_pusher_staged(pusher, message->task, message->seq); break;
    case SIM_REFUSED: ps_pusher_refused(pusher, message->task, message->seq, message->code); break;
    case SIM_WITHDRAWN: ps_pusher_withdrawn(pusher, message->task, message->seq); break;
    default: break;
    }
    tell_decisions(sim, process);
}

void sim_process_receive(struct sim *sim, struct sim_message *message)
{
    struct sim_process *process = sim->processes[message->process];
    bool expected = message->stage == process->stage &&
                    message->incarnation == process->incarnation;
    if (!expected || process->stage >= SIM_STAGE_DONE) { return; }
    switch (message->kind) {
    case SIM_FENCED: sim_process_kill(sim, process); break;
    case SIM_ATTACHED: receive_attached(sim, process, message); break;
    case SIM_RESOLVED: receive_resolved(sim, process, message->task); break;
    default: receive_reply(sim, process, message); break;
    }
}

void sim_process_lost(struct sim *sim, struct sim_process *process, uint32_t task)
{
    sim_tell(sim, "process %u loses task %u", process->index, task);
    if (process->stage == SIM_STAGE_RUN) {
        ps_pusher_lost(&process->pusher, task);
    } else {
        process->asked[task] = process->answered[task];
    }
}

bool sim_process_awaits(const struct sim_process *process, uint32_t task)
{
    if (process->stage == SIM_STAGE_RUN) { return ps_pusher_awaits(&process->pusher, task); }
    return process->stage < SIM_STAGE_RUN && process->asked[task] && !process->answered[task];
}
