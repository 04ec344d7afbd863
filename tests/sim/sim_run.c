/* One run of the simulator: chaos by a seeded scheduler, then calm, then the reckoning. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_world.h"

/* ---- Small things ---- */

void sim_fail(struct sim *sim, const char *format, ...)
{
    if (sim->result.failed) { return; }
    sim->result.failed = true;
    va_list args;
    va_start(args, format);
    vsnprintf(sim->result.message, sizeof sim->result.message, format, args);
    va_end(args);
    sim_tell(sim, "VIOLATION: %s", sim->result.message);
}

void sim_tell(struct sim *sim, const char *format, ...)
{
    if (sim->trace == NULL) { return; }
    fprintf(sim->trace, "%6" PRIu64 " ", sim->step);
    va_list args;
    va_start(args, format);
    vfprintf(sim->trace, format, args);
    va_end(args);
    fputc('\n', sim->trace);
}

uint32_t sim_below(struct sim *sim, uint32_t bound)
{
    return (uint32_t)ps_rng_below(&sim->rng, bound);
}

bool sim_chance(struct sim *sim, uint32_t per_mille)
{
    return per_mille > 0 && sim_below(sim, 1000) < per_mille;
}

uint32_t sim_home(const struct sim *sim, uint32_t worker)
{
    return worker % sim->config.task_count;
}

void *sim_grow(void *memory, size_t count, size_t size_bytes)
{
    void *grown = realloc(memory, count * size_bytes);
    if (grown == NULL) { abort(); }
    return grown;
}

/* ---- A mixture of faults ---- */

static uint32_t pick(struct ps_rng *rng, const uint32_t *from, uint32_t count)
{
    return from[ps_rng_below(rng, count)];
}

#define PICK(rng, ...)                             \
    pick((rng), (const uint32_t[]){ __VA_ARGS__ }, \
         sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

struct sim_config sim_draw(uint64_t seed)
{
    struct ps_rng rng = ps_rng_make(~seed, PS_STREAM_TEST);
    bool crowded = ps_rng_below(&rng, 16) == 0; /* more pushes in flight than a page may hold */
    return (struct sim_config){
        .seed = seed,
        .worker_count = 1 + (uint32_t)ps_rng_below(&rng, 3),
        .task_count = 1 + (uint32_t)ps_rng_below(&rng, SIM_TASKS),
        .batch_count = crowded ? 3 * PS_MAX_OPEN_PUSHES / 2 : PICK(&rng, 3, 6, 10),
        .window = crowded ? 2 * PS_MAX_OPEN_PUSHES : 1 + (uint32_t)ps_rng_below(&rng, 6),
        .frame_limit = 1 + (uint32_t)ps_rng_below(&rng, SIM_FRAMES),
        .credit_bytes = crowded ? 1000 : PICK(&rng, 12, 20, 100),
        .chaos_steps = crowded ? 1500 : PICK(&rng, 60, 150, 300),
        .drop = PICK(&rng, 0, 0, 20, 100, 300),
        .duplicate = PICK(&rng, 0, 0, 50, 300),
        .delay = PICK(&rng, 0, 0, 20, 200),
        .crash = crowded ? PICK(&rng, 0, 1, 3) : PICK(&rng, 0, 3, 10, 30),
        .lose = PICK(&rng, 0, 5, 50),
        .refuse = PICK(&rng, 0, 0, 50, 300),
        .eager = PICK(&rng, 0, 0, 0, 300, 1000),
        .home = ps_rng_below(&rng, 4) != 0,
        .fifo = ps_rng_below(&rng, 3) == 0,
        .zombies = ps_rng_below(&rng, 3) == 0,
        .notice_last = ps_rng_below(&rng, 2) == 0,
        .lazy_notice = ps_rng_below(&rng, 2) == 0,
    };
}

void sim_describe(const struct sim_config *c, FILE *out)
{
    fprintf(out,
            "seed %" PRIu64
            ": %u workers x %u tasks, %u batches, window %u, frames <= %u, credit %" PRIu64
            ", chaos %u; drop %u dup %u delay %u crash %u lose %u refuse %u eager %u%s%s%s%s%s",
            c->seed, c->worker_count, c->task_count, c->batch_count, c->window, c->frame_limit,
            c->credit_bytes, c->chaos_steps, c->drop, c->duplicate, c->delay, c->crash, c->lose,
            c->refuse, c->eager, c->home ? " home" : "", c->fifo ? " fifo" : "",
            c->zombies ? " zombies" : "", c->notice_last ? " notice-last" : "",
            c->lazy_notice ? " lazy-notice" : "");
    if (c->crash_at > 0) { fprintf(out, ", crash at %u", c->crash_at); }
    fputc('\n', out);
}

/* ---- Chaos ---- */

static void tell_message(struct sim *sim, const struct sim_message *message)
{
    bool asks = message->kind < SIM_TO_WORKER;
    sim_tell(sim, "%s %s process %u, task %u, push %" PRIu64 ", frame %u, %s %" PRIu64,
             sim_kind_name(message->kind), asks ? "from" : "to", message->process, message->task,
             message->seq, message->frame, asks ? "through" : "committed",
             asks ? message->commit_through : message->committed);
}

static bool deliver(struct sim *sim)
{
    struct sim_message message;
    if (!sim_receive(sim, &message)) { return false; }
    bool ignored = message.kind >= SIM_TO_WORKER &&
                   sim->processes[message.process]->stage >= SIM_STAGE_DONE;
    if (!ignored) { tell_message(sim, &message); }
    if (message.kind < SIM_TO_WORKER) {
        sim_task_receive(sim, &message);
    } else {
        sim_process_receive(sim, &message);
    }
    free(message.survey);
    return true;
}

static struct sim_process *newest(const struct sim *sim, uint32_t worker)
{
    return sim->processes[sim->workers[worker].newest];
}

/* The newest process of a worker ends, or becomes a zombie, and another takes its place. */
static void crash(struct sim *sim, uint32_t worker)
{
    struct sim_process *process = newest(sim, worker);
    if (process->stage == SIM_STAGE_DONE) { return; }
    if (!sim->config.zombies || sim_chance(sim, 500)) { sim_process_kill(sim, process); }
    sim_process_start(sim, worker);
}

static bool is_alive(const struct sim_process *process)
{
    return process->stage < SIM_STAGE_DONE;
}

/* The newest of a worker, or a live zombie. */
static struct sim_process *any_process(struct sim *sim)
{
    struct sim_process *process = sim->processes[sim_below(sim, sim->process_count)];
    return is_alive(process) ? process : newest(sim, sim_below(sim, sim->config.worker_count));
}

/* A live process does one thing: pushes, pulls, or sends what is due to some task. */
static void act(struct sim *sim)
{
    struct sim_process *process = any_process(sim);
    if (process->stage == SIM_STAGE_DEAD) { sim_process_start(sim, process->worker); }
    if (!is_alive(process)) { return; }
    uint32_t task = sim_below(sim, sim->config.task_count);
    uint32_t what = sim_below(sim, 8);
    if (what < 2 && sim_process_push(sim, process)) { return; }
    if (what == 7) { sim_process_pull(sim, process, task); }
    sim_process_act(sim, process, task);
}

static void lose(struct sim *sim)
{
    struct sim_process *process = any_process(sim);
    uint32_t task = sim_below(sim, sim->config.task_count);
    if (is_alive(process)) { sim_process_lost(sim, process, task); }
}

static bool all_done(const struct sim *sim)
{
    for (uint32_t w = 0; w < sim->config.worker_count; w++) {
        if (newest(sim, w)->stage != SIM_STAGE_DONE) { return false; }
    }
    return true;
}

static void chaos(struct sim *sim)
{
    const struct sim_config *config = &sim->config;
    for (uint32_t i = 0; i < config->chaos_steps && !sim->result.failed; i++, sim->step++) {
        if (all_done(sim)) { break; }
        if (sim_chance(sim, config->crash)) { crash(sim, sim_below(sim, config->worker_count)); }
        if (config->crash_at > 0 && i == config->crash_at) { crash(sim, 0); }
        if (sim_chance(sim, config->lose)) { lose(sim); }
        if (sim_below(sim, 2) == 0 || !deliver(sim)) { act(sim); }
    }
}

/* ---- Calm ---- */

/* Every live process does whatever it can; false: there was nothing. */
static bool act_all(struct sim *sim)
{
    bool moved = false;
    for (uint32_t i = 0; i < sim->process_count && !sim->result.failed; i++) {
        struct sim_process *process = sim->processes[i];
        while (is_alive(process) && sim_process_push(sim, process)) { moved = true; }
        for (uint32_t t = 0; t < sim->config.task_count; t++) {
            while (is_alive(process) && sim_process_act(sim, process, t)) {
                moved = true;
                sim->step++;
            }
        }
    }
    return moved;
}

/* Nothing is under way: what is still awaited was lost before. */
static bool time_out_all(struct sim *sim)
{
    bool waits = false;
    for (uint32_t i = 0; i < sim->process_count; i++) {
        struct sim_process *process = sim->processes[i];
        for (uint32_t t = 0; is_alive(process) && t < sim->config.task_count; t++) {
            if (!sim_process_awaits(process, t)) { continue; }
            sim_process_lost(sim, process, t);
            waits = true;
        }
    }
    return waits;
}

static void settle_processes(struct sim *sim)
{
    uint32_t count = sim->process_count;
    for (uint32_t i = 0; i < count; i++) {
        struct sim_process *process = sim->processes[i];
        bool superseded = sim->workers[process->worker].newest != i;
        if (is_alive(process) && superseded) { sim_process_kill(sim, process); }
    }
    for (uint32_t w = 0; w < sim->config.worker_count; w++) {
        if (newest(sim, w)->stage == SIM_STAGE_DEAD) { sim_process_start(sim, w); }
    }
}

/* Steps that a fault-free run may take: each push costs at most a few messages a task, twice if
 * it was under way when the calm began. */
static uint64_t calm_limit(const struct sim_config *config)
{
    return 2000 + (uint64_t)config->worker_count * config->batch_count * config->task_count * 64;
}

static void calm(struct sim *sim)
{
    sim_tell(sim, "calm");
    sim->result.stormy_pushes = sim->result.pushes;
    sim->calm = true;
    uint64_t limit = sim->step + calm_limit(&sim->config);
    for (; !sim->result.failed; sim->step++) {
        settle_processes(sim);
        if (deliver(sim)) {
            /* one at a time */
        } else if (!act_all(sim) && !time_out_all(sim)) {
            break;
        }
        if (sim->step > limit) { sim_fail(sim, "no end in sight, %" PRIu64 " steps", sim->step); }
    }
    for (uint32_t w = 0; w < sim->config.worker_count && !sim->result.failed; w++) {
        if (newest(sim, w)->stage != SIM_STAGE_DONE) {
            sim_fail(sim, "worker %u is stuck: nothing moves, and it is not done", w);
        }
    }
}

/* ---- A run ---- */

static struct sim *begin(const struct sim_config *config, const struct sim_hooks *hooks,
                         FILE *trace)
{
    struct sim *sim = sim_grow(NULL, 1, sizeof *sim);
    memset(sim, 0, sizeof *sim);
    sim->config = *config;
    if (hooks != NULL) { sim->hooks = *hooks; }
    sim->trace = trace;
    sim->rng = ps_rng_make(config->seed, PS_STREAM_TEST);
    sim->messages = sim_grow(NULL, SIM_MESSAGES, sizeof *sim->messages);
    for (uint32_t t = 0; t < config->task_count; t++) { sim_task_init(sim, t); }
    for (uint32_t w = 0; w < config->worker_count; w++) { sim_process_start(sim, w); }
    return sim;
}

static void destroy(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->process_count; i++) { sim_process_free(sim->processes[i]); }
    for (uint32_t t = 0; t < sim->config.task_count; t++) { sim_task_clean(sim, t); }
    for (uint32_t w = 0; w < sim->config.worker_count; w++) { free(sim->workers[w].by_seq); }
    sim_network_clean(sim);
    free(sim->messages);
    free(sim->processes);
    free(sim->attempts);
    free(sim);
}

struct sim_result sim_run(const struct sim_config *config, const struct sim_hooks *hooks,
                          FILE *trace)
{
    struct sim *sim = begin(config, hooks, trace);
    chaos(sim);
    if (!sim->result.failed) { calm(sim); }
    if (!sim->result.failed) { sim_check_end(sim); }
    sim->result.steps = sim->step;
    struct sim_result result = sim->result;
    destroy(sim);
    return result;
}
