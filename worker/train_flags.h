/* Flags of the training program: what to train, on what, for how long and with which optimizer. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_WORKER_TRAIN_FLAGS_H
#define PARAMD_WORKER_TRAIN_FLAGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/status.h"
#include "worker/layers.h"

enum {
    PS_TRAIN_MAX_PIPELINE = 16, /* more only makes gradients older */
    PS_TRAIN_MAX_PARTITION = 4096,
    PS_TRAIN_MAX_BLAS_THREADS = 256
};

/* Global steps a run may be asked for: far above any, and safe to count with. */
#define PS_TRAIN_MAX_STEPS (INT64_C(1) << 48)

enum ps_train_optimizer { PS_TRAIN_SGD, PS_TRAIN_MOMENTUM, PS_TRAIN_NESTEROV, PS_TRAIN_ADAM };

/* Texts point into argv. */
struct ps_train_flags {
    const char *data; /* --data, for ps_data_source_load */
    struct ps_layers layers;
    int batch;          /* examples a worker takes for one step */
    int64_t steps;      /* global: the sum over the workers */
    int64_t eval_every; /* global steps between two looks at the test set; 0: only at the end */
    enum ps_train_optimizer optimizer;
    double learning_rate;
    double momentum; /* of momentum and nesterov */
    bool decay;      /* the learning rate falls linearly towards 0 at the last step */
    uint64_t seed;
    int pipeline;     /* pushes in flight; from 2 on values are pulled ahead */
    int partition;    /* slices of each weight matrix; 0: by its size */
    int blas_threads; /* 0 leaves it to OpenBLAS */
    bool help;        /* --help was given: nothing else counts */
};

/* Takes the flags of this program out of argc and argv, as "--batch=50" or "--batch 50", and
 * leaves what it does not know for ps_start, in the same order.
 * Errors: INVALID_ARGUMENT naming the flag, its value and what is right. */
PS_MUST_CHECK enum ps_code ps_train_flags_take(int *argc, char **argv,
                                               struct ps_train_flags *flags_out,
                                               struct ps_error *err);

/* For what ps_start has left over: OK if nothing has, else INVALID_ARGUMENT naming the first. */
PS_MUST_CHECK enum ps_code ps_train_flags_refuse_rest(int argc, char *const *argv,
                                                      struct ps_error *err);

/* "adam"; static. */
const char *ps_train_optimizer_name(enum ps_train_optimizer optimizer);

/* What --help prints. */
void ps_train_flags_help(FILE *stream);

#endif
