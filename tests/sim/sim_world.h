/* What the parts of the simulator share: attempts, messages, ps tasks and worker processes. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_SIM_SIM_WORLD_H
#define PARAMD_TESTS_SIM_SIM_WORLD_H

#include "checkpoint/resolution.h"
#include "client/pusher.h"
#include "core/philox.h"
#include "server/ledger.h"
#include "tests/sim/sim.h"

/* One push, as one process made it; a batch may need several attempts. Its index is its name. */
struct sim_attempt {
    uint32_t worker;
    uint32_t batch;
    uint64_t seq;
    uint64_t incarnation;
    bool eager;
    bool acked;    /* the process was told that it counts */
    bool denied;   /* the process was told that it was refused */
    bool poisoned; /* poison_task refuses it, at frame poison_frame */
    uint32_t poison_task;
    uint32_t poison_frame;
    uint32_t touched[SIM_TASKS];
    uint32_t touched_count;
    /* by task; frame_count 0: not touched */
    uint32_t frame_count[SIM_TASKS];
    uint32_t frame_bytes[SIM_TASKS];
    uint32_t committed[SIM_TASKS];           /* commits seen */
    uint32_t applied[SIM_TASKS][SIM_FRAMES]; /* effects seen */
    uint32_t held[SIM_TASKS][SIM_FRAMES];    /* frames that the ledger keeps */
};

enum sim_kind {
    SIM_ATTACH,
    SIM_RESOLVE,
    SIM_FRAME,
    SIM_NOTICE,
    SIM_WITHDRAW,
    SIM_PULL,
    SIM_TO_WORKER, /* from here on: answers */
    SIM_ATTACHED = SIM_TO_WORKER,
    SIM_RESOLVED,
    SIM_STAGED,
    SIM_REFUSED,
    SIM_WITHDRAWN,
    SIM_NOTED,
    SIM_FENCED
};

enum { SIM_OPEN_LISTED = PS_MAX_OPEN_PUSHES }; /* all that an attach reply may list */

/* What an attach is answered with. */
struct sim_survey {
    bool accepted;
    uint64_t incarnation;
    uint64_t committed;
    uint32_t position; /* batch; 0: none */
    uint32_t open_count;
    struct ps_open_push open[SIM_OPEN_LISTED];
    uint32_t touched[SIM_OPEN_LISTED][SIM_TASKS];
};

struct sim_message {
    enum sim_kind kind;
    uint32_t task;
    uint32_t process; /* index: who sent it, or who is to get it */
    uint32_t frame;
    uint32_t attempt;
    uint32_t stage; /* of the process when it asked, echoed */
    enum ps_code code;
    uint64_t order;
    uint64_t due; /* step before which it is not delivered */
    uint64_t incarnation;
    uint64_t seq;
    uint64_t commit_through;
    uint64_t committed;
    struct sim_survey *survey; /* owned; ATTACHED only */
};

enum { SIM_MESSAGES = 1024 };

struct sim_task {
    struct ps_page pages[SIM_WORKERS];
    uint64_t committed[SIM_WORKERS]; /* as last seen, to notice a step back */
    uint64_t fold[SIM_WORKERS];      /* of the attempts committed, in order */
    uint64_t sum;                    /* of the effects, in any order */
};

enum sim_stage {
    SIM_STAGE_ATTACH,
    SIM_STAGE_RESOLVE,
    SIM_STAGE_POSITION,
    SIM_STAGE_RUN,
    SIM_STAGE_DONE,
    SIM_STAGE_DEAD
};

struct sim_process {
    uint32_t worker;
    uint32_t index;
    enum sim_stage stage;
    uint64_t incarnation;
    bool asked[SIM_TASKS];
    bool answered[SIM_TASKS];
    struct sim_survey *surveys[SIM_TASKS];
    struct ps_resolution resolution;
    bool pusher_made;
    struct ps_pusher pusher;
    uint32_t next_batch;
    uint32_t flight_count;
};

struct sim_worker {
    uint32_t newest;              /* index of its youngest process */
    uint64_t highest_incarnation; /* that any process proposed */
    /* by seq: 1 + the attempt of the youngest incarnation with that number; 0: none */
    uint32_t *by_seq;
    size_t by_seq_capacity;
    uint64_t last_seq;
};

struct sim {
    struct sim_config config;
    struct sim_hooks hooks;
    FILE *trace;
    struct ps_rng rng;
    bool calm;
    uint64_t step;
    uint64_t next_order;
    struct sim_message *messages; /* SIM_MESSAGES of them */
    uint32_t message_count;
    struct sim_task tasks[SIM_TASKS];
    struct sim_worker workers[SIM_WORKERS];
    struct sim_process **processes;
    uint32_t process_count;
    uint32_t process_capacity;
    struct sim_attempt *attempts;
    uint32_t attempt_count;
    uint32_t attempt_capacity;
    struct sim_result result;
};

/* ---- sim_run.c ---- */

/* Records the first violation; the run ends after this step. */
void sim_fail(struct sim *sim, const char *format, ...) PS_PRINTF(2, 3);
void sim_tell(struct sim *sim, const char *format, ...) PS_PRINTF(2, 3);
bool sim_chance(struct sim *sim, uint32_t per_mille);
uint32_t sim_below(struct sim *sim, uint32_t bound);
uint32_t sim_home(const struct sim *sim, uint32_t worker);
/* As realloc; a test has nothing to do when memory is out. */
void *sim_grow(void *memory, size_t count, size_t size_bytes);

/* ---- sim_network.c ---- */

/* Takes message->survey. */
void sim_send(struct sim *sim, const struct sim_message *message);
/* Takes one message that is due off the network; false if there is none. */
bool sim_receive(struct sim *sim, struct sim_message *message_out);
void sim_network_clean(struct sim *sim);
const char *sim_kind_name(enum sim_kind kind);

/* ---- sim_ps.c ---- */

void sim_task_init(struct sim *sim, uint32_t task);
void sim_task_clean(struct sim *sim, uint32_t task);
void sim_task_receive(struct sim *sim, const struct sim_message *message);

/* ---- sim_process.c ---- */

void sim_process_start(struct sim *sim, uint32_t worker);
void sim_process_kill(struct sim *sim, struct sim_process *process);
void sim_process_free(struct sim_process *process);
void sim_process_receive(struct sim *sim, struct sim_message *message);
/* Does one thing that it could do now for this task; false: there is nothing. */
bool sim_process_act(struct sim *sim, struct sim_process *process, uint32_t task);
/* Adds a push if there is a batch left and the pusher admits it. */
bool sim_process_push(struct sim *sim, struct sim_process *process);
/* Sends a pull, which carries the notice. */
void sim_process_pull(struct sim *sim, struct sim_process *process, uint32_t task);
/* Answers from this task are overdue, or the connection broke. */
void sim_process_lost(struct sim *sim, struct sim_process *process, uint32_t task);
bool sim_process_awaits(const struct sim_process *process, uint32_t task);

/* ---- sim_oracle.c ---- */

/* A frame has taken effect. */
void sim_saw_effect(struct sim *sim, uint32_t task, uint32_t attempt, uint32_t frame);
/* The ledger commits a push: everything about it must be right, here and on the other tasks. */
void sim_saw_commit(struct sim *sim, uint32_t task, const struct ps_page *page,
                    const struct ps_open *open);
/* A process tells its user that a push is decided. */
void sim_saw_decision(struct sim *sim, uint32_t attempt, bool refused);
/* The sums and orders that a page promises. */
void sim_check_page(struct sim *sim, uint32_t task, uint32_t worker);
/* A process starts at this number: what it should go on with. */
uint32_t sim_expected_batch(const struct sim *sim, uint32_t worker, uint64_t committed);
/* After the calm: the whole state against the serial oracle. */
void sim_check_end(struct sim *sim);

#endif
