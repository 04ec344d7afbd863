/* The network of the simulator: messages in flight, dropped, repeated, delayed and reordered. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "tests/sim/sim_world.h"

enum {
    LONGEST_DELAY = 400, /* steps: past the life of the process that sent it */
    TRIES = 4            /* random picks before the network rests for this step */
};

const char *sim_kind_name(enum sim_kind kind)
{
    static const char *const names[] = {
        [SIM_ATTACH] = "attach",     [SIM_RESOLVE] = "resolve",     [SIM_FRAME] = "frame",
        [SIM_NOTICE] = "notice",     [SIM_WITHDRAW] = "withdraw",   [SIM_PULL] = "pull",
        [SIM_ATTACHED] = "attached", [SIM_RESOLVED] = "resolved",   [SIM_STAGED] = "staged",
        [SIM_REFUSED] = "refused",   [SIM_WITHDRAWN] = "withdrawn", [SIM_NOTED] = "noted",
        [SIM_FENCED] = "fenced",
    };
    return names[kind];
}

/* Puts a message on the wire; false: lost. */
static bool put(struct sim *sim, const struct sim_message *message)
{
    if (!sim->calm && sim_chance(sim, sim->config.drop)) { return false; }
    if (sim->message_count == SIM_MESSAGES) { return false; }
    struct sim_message *copy = &sim->messages[sim->message_count++];
    *copy = *message;
    copy->order = sim->next_order++;
    copy->due = 0;
    if (!sim->calm && sim_chance(sim, sim->config.delay)) {
        copy->due = sim->step + sim_below(sim, LONGEST_DELAY);
    }
    return true;
}

void sim_send(struct sim *sim, const struct sim_message *message)
{
    if (!sim->calm && sim_chance(sim, sim->config.duplicate)) {
        struct sim_message copy = *message;
        if (message->survey != NULL) {
            copy.survey = sim_grow(NULL, 1, sizeof *copy.survey);
            *copy.survey = *message->survey;
        }
        if (!put(sim, &copy)) { free(copy.survey); }
    }
    if (!put(sim, message)) { free(message->survey); }
}

static uint32_t oldest(const struct sim *sim)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < sim->message_count; i++) {
        if (sim->messages[i].order < sim->messages[best].order) { best = i; }
    }
    return best;
}

bool sim_receive(struct sim *sim, struct sim_message *message_out)
{
    if (sim->message_count == 0) { return false; }
    for (int i = 0; i < TRIES || sim->calm; i++) {
        bool in_order = i == 0 && sim->config.fifo;
        uint32_t at = in_order ? oldest(sim) : sim_below(sim, sim->message_count);
        if (sim->messages[at].due > sim->step && !sim->calm) { continue; }
        *message_out = sim->messages[at];
        sim->messages[at] = sim->messages[--sim->message_count];
        return true;
    }
    return false;
}

void sim_network_clean(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->message_count; i++) { free(sim->messages[i].survey); }
    sim->message_count = 0;
}
