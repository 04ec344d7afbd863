/* What must hold in a simulated cluster, after each step and at the end. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "tests/sim/sim_world.h"

enum { FOLD_FACTOR = 31 };

/* What a frame adds to the sum of its task: as good as random, so that no two mistakes cancel. */
static uint64_t effect_of(uint32_t attempt, uint32_t task, uint32_t frame)
{
    uint64_t name = ((uint64_t)attempt * SIM_TASKS + task) * SIM_FRAMES + frame + 1;
    name *= 0x9e3779b97f4a7c15u;
    return name ^ name >> 29;
}

static struct sim_frame frame_of(const struct sim *sim, uint32_t task, uint32_t attempt,
                                 uint32_t frame)
{
    const struct sim_attempt *from = &sim->attempts[attempt];
    return (struct sim_frame){ task, from->worker, from->batch, frame, from->eager };
}

void sim_saw_effect(struct sim *sim, uint32_t task, uint32_t attempt, uint32_t frame)
{
    if (sim->attempts[attempt].applied[task][frame]++ > 0) {
        sim_fail(sim, "task %u applies frame %u of attempt %u twice", task, frame, attempt);
    }
    sim->tasks[task].sum += effect_of(attempt, task, frame);
    if (sim->hooks.apply != NULL) {
        struct sim_frame told = frame_of(sim, task, attempt, frame);
        sim->hooks.apply(sim->hooks.ctx, &told);
    }
}

/* Whether the task has this very attempt staged, or has committed it. */
static bool has(const struct sim *sim, uint32_t task, uint32_t attempt)
{
    const struct sim_attempt *a = &sim->attempts[attempt];
    if (a->committed[task] > 0) { return true; }
    for (const struct ps_open *o = sim->tasks[task].pages[a->worker].open; o != NULL; o = o->next) {
        if (o->seq == a->seq) {
            return o->state == PS_OPEN_STAGED && o->header.base_step == (int64_t)attempt;
        }
    }
    return false;
}

/* Neither an acknowledgement nor a commit may come before the push is safe on all its tasks. */
static void check_everywhere(struct sim *sim, uint32_t attempt, const char *what)
{
    const struct sim_attempt *a = &sim->attempts[attempt];
    for (uint32_t i = 0; i < a->touched_count; i++) {
        if (!has(sim, a->touched[i], attempt)) {
            sim_fail(sim,
                     "attempt %u (push %" PRIu64 " of worker %u) is %s, but task %u has it not",
                     attempt, a->seq, a->worker, what, a->touched[i]);
        }
    }
}

void sim_saw_commit(struct sim *sim, uint32_t task, const struct ps_page *page,
                    const struct ps_open *open)
{
    uint32_t attempt = (uint32_t)open->header.base_step;
    struct sim_attempt *a = &sim->attempts[attempt];
    if (attempt >= sim->attempt_count || a->seq != open->seq || a->worker != page->worker ||
        a->frame_count[task] != open->header.frame_count ||
        a->touched_count != open->header.touched_count) {
        sim_fail(sim, "task %u commits push %" PRIu64 " that nobody made", task, open->seq);
        return;
    }
    if (open->state != PS_OPEN_STAGED) {
        sim_fail(sim, "task %u commits what is not staged", task);
    }
    if (a->poisoned) {
        sim_fail(sim, "attempt %u was refused, and task %u commits it", attempt, task);
    }
    check_everywhere(sim, attempt, "committed");
    a->committed[task]++;
    uint64_t *fold = &sim->tasks[task].fold[page->worker];
    *fold = *fold * FOLD_FACTOR + attempt + 1;
}

void sim_saw_decision(struct sim *sim, uint32_t attempt, bool refused)
{
    struct sim_attempt *a = &sim->attempts[attempt];
    a->denied = refused;
    a->acked = !refused;
    sim_tell(sim, "attempt %u (push %" PRIu64 " of worker %u) is %s", attempt, a->seq, a->worker,
             refused ? "denied" : "acknowledged");
    if (a->acked) {
        check_everywhere(sim, attempt, "acknowledged");
    } else if (!a->poisoned) {
        sim_fail(sim, "attempt %u is denied, and nobody refused it", attempt);
    }
}

void sim_check_page(struct sim *sim, uint32_t task, uint32_t worker)
{
    const struct ps_page *page = &sim->tasks[task].pages[worker];
    uint64_t staged_bytes = 0, before = 0;
    uint32_t open_count = 0;
    for (const struct ps_open *o = page->open; o != NULL; o = o->next) {
        if (o->seq <= before) { sim_fail(sim, "task %u has pushes out of order", task); }
        if (o->seq <= page->committed && o->state != PS_OPEN_BURNT) {
            sim_fail(sim, "task %u keeps push %" PRIu64 " open, which is committed", task, o->seq);
        }
        before = o->seq;
        open_count++;
        bool reserves = !o->header.eager && o->state != PS_OPEN_BURNT;
        staged_bytes += reserves ? o->header.part_bytes : 0;
    }
    if (staged_bytes != page->staged_bytes || staged_bytes > page->credit_bytes ||
        open_count != page->open_count) {
        sim_fail(sim, "task %u counts %" PRIu64 " bytes in %u pushes, but has %" PRIu64 " in %u",
                 task, page->staged_bytes, page->open_count, staged_bytes, open_count);
    }
    uint64_t *seen = &sim->tasks[task].committed[worker];
    if (page->committed < *seen) {
        sim_fail(sim, "task %u had committed %" PRIu64 " and now %" PRIu64, task, *seen,
                 page->committed);
    }
    *seen = page->committed;
}

static const uint32_t *attempt_at(const struct sim *sim, uint32_t worker, uint64_t seq)
{
    const struct sim_worker *w = &sim->workers[worker];
    return seq < w->by_seq_capacity && w->by_seq[seq] != 0 ? &w->by_seq[seq] : NULL;
}

/* With a home the reader goes on after the last batch that counted; without one there is no
 * position, and after the last batch that got a number. */
uint32_t sim_expected_batch(const struct sim *sim, uint32_t worker, uint64_t committed)
{
    for (uint64_t seq = committed; seq > 0; seq--) {
        const uint32_t *attempt = attempt_at(sim, worker, seq);
        if (attempt == NULL) { continue; }
        if (sim->config.home && sim->attempts[*attempt - 1].poisoned) { continue; }
        return sim->attempts[*attempt - 1].batch;
    }
    return 0;
}

/* ---- The end ---- */

static void check_attempt_on(struct sim *sim, uint32_t attempt, uint32_t task, bool counts)
{
    const struct sim_attempt *a = &sim->attempts[attempt];
    bool torn_allowed = a->eager && !a->acked; /* the one thing that eager mode gives up */
    if (a->committed[task] != (counts ? 1u : 0u)) {
        sim_fail(sim,
                 "attempt %u (push %" PRIu64 " of worker %u%s) %s, and task %u committed it %u "
                 "times",
                 attempt, a->seq, a->worker, a->acked ? ", acknowledged" : "",
                 counts ? "counts" : "does not count", task, a->committed[task]);
    }
    for (uint32_t f = 0; f < a->frame_count[task]; f++) {
        uint32_t applied = a->applied[task][f];
        bool right = applied == (counts ? 1u : 0u) || (torn_allowed && !counts && applied <= 1);
        if (!right || a->held[task][f] != 0) {
            sim_fail(sim, "attempt %u: task %u applied frame %u %u times and still holds %u",
                     attempt, task, f, applied, a->held[task][f]);
        }
        if (counts && sim->hooks.counted != NULL) {
            struct sim_frame told = frame_of(sim, task, attempt, f);
            sim->hooks.counted(sim->hooks.ctx, &told);
        }
    }
}

/* A push counts if its number is committed, no younger incarnation took the number over, and
 * nobody refused it. There is nothing else that it may depend on. */
static void check_attempts(struct sim *sim, const uint64_t *committed)
{
    for (uint32_t i = 0; i < sim->attempt_count; i++) {
        const struct sim_attempt *a = &sim->attempts[i];
        bool holds_number = *attempt_at(sim, a->worker, a->seq) == i + 1;
        bool counts = holds_number && a->seq <= committed[a->worker] && !a->poisoned;
        if (a->acked && !counts) {
            sim_fail(sim, "attempt %u (push %" PRIu64 " of worker %u) was acknowledged and is lost",
                     i, a->seq, a->worker);
        }
        sim->result.counted += counts ? 1 : 0;
        sim->result.refused += a->denied ? 1 : 0;
        sim->result.discarded += !counts && !a->denied ? 1 : 0;
        for (uint32_t t = 0; t < sim->config.task_count; t++) {
            check_attempt_on(sim, i, t, counts && a->frame_count[t] > 0);
        }
    }
}

/* The same pushes, applied one after the other to a task that knows no faults. */
static void check_order(struct sim *sim, uint32_t worker, uint32_t task, uint64_t committed)
{
    uint64_t fold = 0;
    uint32_t last_batch = 0;
    for (uint64_t seq = 1; seq <= committed; seq++) {
        const uint32_t *attempt = attempt_at(sim, worker, seq);
        if (attempt == NULL) {
            sim_fail(sim, "push %" PRIu64 " of worker %u is committed and was never made", seq,
                     worker);
            return;
        }
        const struct sim_attempt *a = &sim->attempts[*attempt - 1];
        if (a->poisoned) { continue; }
        if (a->batch <= last_batch) {
            sim_fail(sim, "batch %u of worker %u counts after batch %u", a->batch, worker,
                     last_batch);
        }
        last_batch = a->batch;
        if (a->frame_count[task] > 0) { fold = fold * FOLD_FACTOR + *attempt; }
    }
    if (fold != sim->tasks[task].fold[worker]) {
        sim_fail(sim, "task %u did not commit the pushes of worker %u in order", task, worker);
    }
}

static void check_position(struct sim *sim, uint32_t worker, uint64_t committed)
{
    const struct ps_page *page = &sim->tasks[sim_home(sim, worker)].pages[worker];
    uint32_t expected = sim_expected_batch(sim, worker, committed), position = 0;
    if (page->position.size == sizeof position) {
        memcpy(&position, page->position.data, sizeof position);
    }
    if (position != expected) {
        sim_fail(sim, "worker %u has position %u after push %" PRIu64 ", which was batch %u",
                 worker, position, committed, expected);
    }
}

static void check_sum(struct sim *sim, uint32_t task)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < sim->attempt_count; i++) {
        const struct sim_attempt *a = &sim->attempts[i];
        for (uint32_t f = 0; f < a->frame_count[task]; f++) {
            if (a->applied[task][f] > 0) { sum += effect_of(i, task, f); }
        }
    }
    if (sum != sim->tasks[task].sum) { sim_fail(sim, "task %u has a wrong sum", task); }
}

void sim_check_end(struct sim *sim)
{
    uint64_t committed[SIM_WORKERS];
    for (uint32_t w = 0; w < sim->config.worker_count; w++) {
        committed[w] = sim->tasks[0].pages[w].committed;
        for (uint32_t t = 0; t < sim->config.task_count; t++) {
            const struct ps_page *page = &sim->tasks[t].pages[w];
            if (page->committed != committed[w] || page->staged_bytes != 0) {
                sim_fail(sim,
                         "worker %u: task %u ends at push %" PRIu64 " with %" PRIu64
                         " bytes staged, task 0 at %" PRIu64,
                         w, t, page->committed, page->staged_bytes, committed[w]);
            }
            check_order(sim, w, t, committed[w]);
        }
        if (sim->config.home) { check_position(sim, w, committed[w]); }
    }
    check_attempts(sim, committed);
    for (uint32_t t = 0; t < sim->config.task_count; t++) { check_sum(sim, t); }
}
