/* The simulator of exactly-once pushes: a whole cluster in one program, driven by one seed. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_SIM_SIM_H
#define PARAMD_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The real ledger, pusher and resolution exchange messages over a network that drops, repeats,
 * delays and reorders them, while workers crash, return, or go on as zombies beside their
 * successors. A run has two phases: chaos, then calm, in which every push must get decided and
 * committed. sim_oracle.c holds what is checked, after each step and at the end. */

enum { SIM_TASKS = 4, SIM_WORKERS = 4, SIM_FRAMES = 3 };

/* Chances are in 1/1000. */
struct sim_config {
    uint64_t seed;
    uint32_t worker_count;
    uint32_t task_count;
    uint32_t batch_count; /* a worker */
    uint32_t window;      /* pushes that a worker keeps in flight */
    uint32_t frame_limit; /* frames of a part */
    uint64_t credit_bytes;
    uint32_t chaos_steps;
    /* of a message */
    uint32_t drop, duplicate, delay;
    /* of a step */
    uint32_t crash, lose;
    /* of a push */
    uint32_t refuse, eager;
    /* Without a home a push touches any set of tasks and carries no position. */
    bool home;
    bool fifo;         /* mostly in order, as a connection would */
    bool zombies;      /* some "crashed" processes go on beside their successor */
    bool notice_last;  /* a ps task looks at the frame before it looks at the notice */
    bool lazy_notice;  /* a ps task passes over a notice that tells it nothing new */
    uint32_t crash_at; /* a crash of worker 0 at this step, whatever the chances; 0: none */
};

/* A frame as it takes effect on a ps task: once for each attempt that counts. */
struct sim_frame {
    uint32_t task;
    uint32_t worker;
    uint32_t batch;
    uint32_t index; /* of the frame in its part */
    bool eager;
};

struct sim_hooks {
    void *ctx;
    void (*apply)(void *ctx, const struct sim_frame *frame); /* may be NULL */
    /* For every batch that counted, with the frames it had on each task; after the last step. */
    void (*counted)(void *ctx, const struct sim_frame *frame); /* may be NULL */
};

enum { SIM_MESSAGE_BYTES = 512 };

struct sim_result {
    bool failed;
    char message[SIM_MESSAGE_BYTES];
    uint64_t steps;
    uint64_t pushes;
    uint64_t stormy_pushes; /* made before the calm */
    uint64_t counted;
    uint64_t refused;
    uint64_t discarded; /* of dead processes, resolved to nothing */
    uint64_t processes;
};

/* A mixture of faults and sizes for this seed; each of them is off in some seeds. */
struct sim_config sim_draw(uint64_t seed);

/* trace: NULL, or where every step is told. */
struct sim_result sim_run(const struct sim_config *config, const struct sim_hooks *hooks,
                          FILE *trace);

/* One line about a configuration. */
void sim_describe(const struct sim_config *config, FILE *out);

#endif
