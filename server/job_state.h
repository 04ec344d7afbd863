/* What a checkpoint holds besides variables: steps, beta powers, the exactly-once table. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_JOB_STATE_H
#define PARAMD_SERVER_JOB_STATE_H

#include "proto/arena.h"
#include "proto/checkpoint_messages.h"
#include "server/committed.h"

struct ps_bundle_part;
struct ps_bundle_reader;
struct ps_catalog;
struct ps_save_plan;
struct ps_service;

/* Zero-initialise. What it points to lives in an arena. */
struct ps_job_state {
    uint64_t job;
    uint64_t generation;
    bool has_step;
    int64_t step;
    const struct ps_optimizer_powers *powers;
    size_t power_count;
    struct ps_committed_table committed;
};

/* What this task knows of it; committed stays empty. RESOURCE_EXHAUSTED only. */
PS_MUST_CHECK enum ps_code ps_job_state_collect(struct ps_service *service, struct ps_arena *arena,
                                                struct ps_job_state *state_out,
                                                struct ps_error *err);

/* Writes it to an open part. TensorFlow's names ("global_step", "beta1_power", the second
 * optimizer's "beta1_power_1"), unless plan saves a variable of that name, so that TensorFlow can
 * go on with the training; and all of it under "_paramd/", where precision and names are ours. */
PS_MUST_CHECK enum ps_code ps_job_state_write(const struct ps_job_state *state,
                                              const struct ps_save_plan *plan,
                                              struct ps_bundle_part *part, struct ps_error *err);

/* Finds steps and powers in a checkpoint of ours or of TensorFlow's; names that are variables of
 * the cluster are not looked at. job, generation and committed stay empty. Errors: DATA_LOSS,
 * RESOURCE_EXHAUSTED. */
PS_MUST_CHECK enum ps_code ps_job_state_read(struct ps_bundle_reader *reader,
                                             const struct ps_catalog *catalog,
                                             struct ps_arena *arena, struct ps_job_state *state_out,
                                             struct ps_error *err);

/* Makes steps and powers this task's: optimizers that are not among them begin anew.
 * RESOURCE_EXHAUSTED only. */
PS_MUST_CHECK enum ps_code ps_job_state_load(struct ps_service *service,
                                             const struct ps_restore_shard_request *request,
                                             struct ps_error *err);

#endif
