/* The replicated asynchronous loop: pull, forward and backward, push, until the global goal. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_WORKER_TRAIN_LOOP_H
#define PARAMD_WORKER_TRAIN_LOOP_H

#include "core/status.h"
#include "worker/layers.h"

struct ps_dataset;
struct ps_optimizer;
struct ps_session;
struct ps_train_flags;
struct ps_train_loop;
struct ps_var;

/* What is trained; borrowed until ps_train_loop_destroy, the session until ps_finish. */
struct ps_train_job {
    const struct ps_train_flags *flags;
    const struct ps_dataset *dataset;
    struct ps_session *session;
    struct ps_optimizer *optimizer;
    struct ps_var *vars[PS_LAYERS_MAX_PARAMETERS]; /* in the order of ps_layers_parameter */
};

/* Takes the memory and finds the first batch: the one after the position that the cluster holds
 * for this worker. Errors: PS_RESOURCE_EXHAUSTED; those of ps_batches_create and _seek. */
PS_MUST_CHECK enum ps_code ps_train_loop_create(const struct ps_train_job *job,
                                                struct ps_train_loop **loop_out,
                                                struct ps_error *err);
/* After ps_finish: pushes and pulls use this memory until then. Takes NULL. */
void ps_train_loop_destroy(struct ps_train_loop *loop);

/* Trains until the cluster has made flags->steps global steps, or the session fails. Worker 0
 * looks at the test set on the way and at the end. Failures are the session's. */
void ps_train_loop_run(struct ps_train_loop *loop);

/* Seconds that worker 0 spent in looking at the test set, pulls not counted. */
double ps_train_loop_evaluation_seconds(const struct ps_train_loop *loop);

#endif
