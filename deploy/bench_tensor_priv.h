/* Pushes and pulls through the public interface, for whatever variables are measured. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_BENCH_TENSOR_PRIV_H
#define PARAMD_DEPLOY_BENCH_TENSOR_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "client/paramd.h"
#include "core/status.h"
#include "deploy/bench_row_priv.h"

enum { PSI_BENCH_MAX_WINDOW = 16 };

/* One worker's session with the ps task that is measured. */
struct psi_bench_worker {
    ps_session *session;
    ps_optimizer *optimizer;
    ps_var *fence; /* a pull of it is answered only after every push of this worker was applied */
    pid_t server;
};

struct psi_bench_worker_options {
    const char *address; /* of the ps task */
    pid_t server;        /* its process */
    int index;
    int worker_count;
    bool eager;
};

/* psi_bench_worker_close when done, also after a failure. */
PS_MUST_CHECK enum ps_code psi_bench_worker_open(const struct psi_bench_worker_options *options,
                                                 struct psi_bench_worker *worker_out,
                                                 struct ps_error *err);
void psi_bench_worker_close(struct psi_bench_worker *worker);

/* The session's failure, if it has one. */
PS_MUST_CHECK enum ps_code psi_bench_worker_check(const struct psi_bench_worker *worker,
                                                  struct ps_error *err);

/* Variables that move together: one large one, or many small ones. */
struct psi_bench_tensors {
    struct psi_bench_worker *worker; /* borrowed */
    size_t count;
    size_t each_bytes;
    ps_binding *gradients; /* borrowed memory, one after the other */
    ps_binding *values[PSI_BENCH_MAX_WINDOW];
    char *memory; /* that values arrive in: one area a pull in flight */
    int window;
};

struct psi_bench_tensors_options {
    const char *name; /* "w": the variables are w0, w1, ... */
    size_t count;
    size_t each_bytes;    /* a multiple of 4 */
    const void *gradient; /* borrowed: count * each_bytes */
    int window;           /* calls in flight at most */
};

/* Declares and initializes them. psi_bench_tensors_clean when done, also after a failure. */
PS_MUST_CHECK enum ps_code psi_bench_tensors_init(struct psi_bench_tensors *tensors,
                                                  struct psi_bench_worker *worker,
                                                  const struct psi_bench_tensors_options *options,
                                                  struct ps_error *err);
/* Waits for what is under way; closes the worker if its session has failed. */
void psi_bench_tensors_clean(struct psi_bench_tensors *tensors);

enum psi_bench_move { PSI_BENCH_PUSH, PSI_BENCH_PULL, PSI_BENCH_PUSH_PULL };

/* One measured way to move them: window calls in flight. */
struct psi_bench_mover {
    struct psi_bench_tensors *tensors;
    enum psi_bench_move move;
    int window;
    int oldest; /* in the rings below */
    int flight_count;
    ps_ticket tickets[PSI_BENCH_MAX_WINDOW];
    double started[PSI_BENCH_MAX_WINDOW];
};

/* The op that measures it; mover is filled in, and must stay where it is. A sample ends when every
 * push of it was applied. window: 1 to that of tensors; 1 for a push with a pull. */
struct psi_bench_op psi_bench_mover_op(struct psi_bench_mover *mover, const char *name,
                                       struct psi_bench_tensors *tensors, enum psi_bench_move move,
                                       int window);

#endif
