/* paramd for programs: variables on parameter servers, pulled and pushed by workers. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker starts a session, names its variables, and loops: pull values, compute gradients, push
 * them to an optimizer that runs where the variables live.
 *
 * Errors are sticky. The first failure is printed once on standard error; from then on every call
 * on the session is a cheap no-op, ps_ok() is 0, and ps_finish() returns the exit code of that
 * failure. A NULL session or handle is a failure too, never a crash.
 *
 * Ownership: sessions, variables, optimizers and tickets belong to the session and die with
 * ps_finish(). Tensors stay the caller's. Memory given to an asynchronous call must stay valid and
 * unchanged until ps_wait() on its ticket has returned.
 *
 * Threads: one session is used by one thread at a time; several sessions may run in one process.
 * No hidden thread calls code of yours.
 *
 * Tensors are row-major, contiguous and little-endian; dtypes have TensorFlow's numbers.
 */
#ifndef PARAMD_H
#define PARAMD_H

#include <stddef.h>
#include <stdint.h>

#include "core/dtype.h"
#include "core/status.h"
#include "core/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PS_API __attribute__((visibility("default")))
#else
#define PS_API
#endif

typedef struct ps_session ps_session;
typedef struct ps_var ps_var;
typedef struct ps_optimizer ps_optimizer;

/* ---- Start and end ---- */

/* Everything a session can be told; zero-initialise, then set what differs. Times are in
 * milliseconds; 0 takes the default that is named. */
typedef struct ps_options {
    const char *ps_hosts;      /* "h1:2222,h2:2222" */
    const char *worker_hosts;  /* likewise; may be NULL: then worker_count tells how many */
    const char *cluster;       /* ClusterSpec: a JSON file, or the JSON itself */
    const char *job_name;      /* "worker" if NULL and ps_hosts is given */
    int task_index;            /* of this worker */
    int worker_count;          /* used where no description names the workers; 0: unknown */
    int64_t start_timeout_ms;  /* waiting for ps tasks at the start; 300,000 */
    int64_t call_timeout_ms;   /* waiting for a ps task later on; 120,000 */
    int64_t resend_timeout_ms; /* an unanswered message is sent again after; 20,000 */
    int eager;          /* pushes are applied on arrival: faster, exactly once per ps task only */
    int checksums;      /* CRC-32C of tensor bytes on the wire, both ways */
    int round_robin;    /* placement by turns instead of by bytes */
    int no_environment; /* use these options alone: no PS_*, no TF_CONFIG */
    int quiet;          /* print nothing but errors */
} ps_options;

/* Starts from the command line and the environment (flags, then PS_*, then TF_CONFIG): takes its
 * own flags out of argc and argv, leaves the rest, says what it found, waits for the ps tasks and
 * says whom it waits for. `--help_paramd` lists the flags. Never NULL but when out of memory. */
PS_API ps_session *ps_start(int *argc, char ***argv);

/* Starts from options alone (and the environment unless no_environment). */
PS_API ps_session *ps_connect(const ps_options *options);

/* 1 until the first failure. */
PS_API int ps_ok(const ps_session *session);
/* The first failure: its code and text; PS_OK and "" while there is none. */
PS_API enum ps_code ps_status(const ps_session *session);
PS_API const char *ps_message(const ps_session *session);

/* Records a failure of the program's own (bad data, wrong shape), as sticky as ours. */
PS_API void ps_abandon(ps_session *session, enum ps_code code, const char *message);

/* Waits until everything pushed is committed, tells the ps tasks that this worker has finished,
 * frees the session and returns the process's exit code: 0, or that of the first failure (the
 * table is in the README). Takes NULL. */
PS_API int ps_finish(ps_session *session);

PS_API int ps_task(const ps_session *session);    /* index of this worker */
PS_API int ps_workers(const ps_session *session); /* how many workers the cluster has, at least 1 */
PS_API int ps_ps_tasks(const ps_session *session); /* how many ps tasks */

/* ---- Where variables go ---- */

/* Opens a device scope: variables made inside live there. "/job:ps" leaves the task to the placer,
 * "/job:ps/task:7" pins it. Scopes nest, the inner one's fields win. Returns 1. */
PS_API int ps_device_push(ps_session *session, const char *device);
PS_API int ps_device_pop(ps_session *session); /* returns 0 */

#define PS_JOIN2_(a, b) a##b
#define PS_JOIN_(a, b)  PS_JOIN2_(a, b)
#define PS_SCOPE_       PS_JOIN_(ps_scope_at_line_, __LINE__)

/* PS_DEVICE(session, "/job:ps/task:7") { ... }   Do not leave the block by break or return. */
#define PS_DEVICE(session, device)                                       \
    for (int PS_SCOPE_ = ps_device_push((session), (device)); PS_SCOPE_; \
         PS_SCOPE_ = ps_device_pop(session))

/* ---- Initial values, computed on the ps tasks ---- */

/* By value; make one with the functions below. */
typedef struct ps_init {
    int kind;
    double a, b, scale;
    uint64_t seed;
    const void *values;
    size_t count;
    const ps_var *source;
} ps_init;

PS_API ps_init ps_zeros(void);
PS_API ps_init ps_ones(void);
PS_API ps_init ps_constant(double value);
/* The last value repeats. values are copied by ps_variable. At most 4096. */
PS_API ps_init ps_constants(const double *values, size_t count);
/* Value i depends on seed and i alone: not on the number of ps tasks. seed 0: one is made of the
 * variable's name, the same on every worker. */
PS_API ps_init ps_random_normal(double mean, double stddev, uint64_t seed);
PS_API ps_init ps_truncated_normal(double mean, double stddev, uint64_t seed);
PS_API ps_init ps_random_uniform(double minimum, double maximum, uint64_t seed);
PS_API ps_init ps_glorot(uint64_t seed); /* uniform */
PS_API ps_init ps_glorot_normal(uint64_t seed);
/* The initial value of another variable of the same shape (its initializer runs again). */
PS_API ps_init ps_initialized_value(const ps_var *source);
PS_API ps_init ps_scaled(ps_init init, double factor);
/* A given tensor of the variable's dtype and shape; copied by ps_variable. */
PS_API ps_init ps_tensor_value(const void *data);

/* ---- Variables ---- */

#define PS_COUNT_(...) (sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t))
/* PS_SHAPE(784, 200); PS_SCALAR for a scalar. */
#define PS_SHAPE(...) ((struct ps_shape){ (int)PS_COUNT_(__VA_ARGS__), { __VA_ARGS__ } })
#define PS_SCALAR     ((struct ps_shape){ 0, { 0 } })

enum ps_partition {
    PS_SPLIT_AUTO = 0, /* split by rows above a size (a bytes; 0: 16 MiB) */
    PS_SPLIT_NONE = 1,
    PS_SPLIT_FIXED = 2,         /* into a parts */
    PS_SPLIT_VARIABLE_AXIS = 3, /* at most a bytes a part, at most b parts (0: no limit) */
    PS_SPLIT_MIN_MAX = 4        /* at least a bytes a part, at most b parts */
};

typedef struct ps_variable_options {
    int untrainable;
    int free_shape; /* as validate_shape=False: ps_assign_shaped may change the shape */
    enum ps_partition partition;
    uint64_t partition_a, partition_b;
} ps_variable_options;

/* Gets or creates a variable: the first definition in the cluster wins, an equal one joins, a
 * different one is refused with both shown. It has no value until it is initialized.
 * name: at most 256 bytes, no leading '/'. Needs one round trip to ps task 0 and one to each task
 * that holds a slice. NULL after a failure (which the session keeps). */
PS_API ps_var *ps_variable(ps_session *session, const char *name, enum ps_dtype dtype,
                           struct ps_shape shape, ps_init init);
PS_API ps_var *ps_variable_with(ps_session *session, const char *name, enum ps_dtype dtype,
                                struct ps_shape shape, ps_init init,
                                const ps_variable_options *options);

PS_API const char *ps_name(const ps_var *var);
PS_API size_t ps_elements(const ps_var *var);
PS_API size_t ps_size_bytes(const ps_var *var);
PS_API struct ps_shape ps_shape_of(const ps_var *var);
PS_API enum ps_dtype ps_dtype_of(const ps_var *var);
PS_API int ps_slices(const ps_var *var); /* 1 unless it is partitioned */
/* Canonical device of slice i: "/job:ps/replica:0/task:1/cpu:0". */
PS_API const char *ps_device(const ps_var *var, int slice_index);

/* ---- Initialization ---- */

/* Runs the initializers of all variables of this session that have no value yet. Every worker may
 * call it: each variable is initialized once, whoever comes first. */
PS_API void ps_initialize(ps_session *session);
PS_API void ps_initialize_list(ps_session *session, ps_var *const *vars, size_t count);
/* Runs them again, also where there is a value: what training made of it is lost. */
PS_API void ps_reinitialize(ps_session *session, ps_var *const *vars, size_t count);
PS_API int ps_is_initialized(ps_var *var);
/* How many variables of this session have no value; their names into names (may be NULL), at most
 * capacity of them, valid until ps_finish. */
PS_API size_t ps_report_uninitialized(ps_session *session, const char **names, size_t capacity);
/* Waits until all variables of this session have a value: for workers that leave initializing to
 * another. Gives up after the session's call timeout, naming them. */
PS_API void ps_wait_initialized(ps_session *session);

/* ---- Moving tensors ---- */

/* A variable and the caller's memory for its whole value. count: elements of data where the caller
 * wants it checked against the shape; 0: not checked. */
typedef struct ps_binding {
    ps_var *var;
    void *data;
    size_t count;
} ps_binding;

/* Number of an asynchronous call; 0 is none. */
typedef uint64_t ps_ticket;

/* Reads the values, after every earlier push of this session has taken effect (a worker reads its
 * own writes). An uninitialized variable fails with FAILED_PRECONDITION. */
PS_API void ps_pull(ps_session *session, const ps_binding *bindings, size_t count);
PS_API ps_ticket ps_pull_async(ps_session *session, const ps_binding *bindings, size_t count);

/* Hands gradients to the optimizer on the ps tasks: all of them are applied once, or none is.
 * Returns when that is decided; data may then be reused. Non-finite gradients are refused. */
PS_API void ps_push(ps_optimizer *optimizer, const ps_binding *bindings, size_t count);
PS_API ps_ticket ps_push_async(ps_optimizer *optimizer, const ps_binding *bindings, size_t count);

/* Where the variable lives, whatever device scope is open. assign needs no earlier value. */
PS_API void ps_assign(ps_var *var, const void *data);
PS_API void ps_assign_add(ps_var *var, const void *data);
PS_API void ps_assign_sub(ps_var *var, const void *data);
/* Replaces value and shape of a variable made with free_shape (not partitioned). */
PS_API void ps_assign_shaped(ps_var *var, const void *data, struct ps_shape shape);
PS_API ps_ticket ps_assign_async(ps_var *var, const void *data);

/* Waits for one asynchronous call; for all of them. A finished or zero ticket returns at once. */
PS_API void ps_wait(ps_session *session, ps_ticket ticket);
PS_API void ps_wait_all(ps_session *session);

/* Opaque bytes (at most 4096) that travel with the next push and become this worker's position
 * when it is committed: where its data reader stands. */
PS_API void ps_set_position(ps_session *session, const void *data, size_t size);
/* The position that the cluster last committed for this worker index, as it was when this session
 * started; *data_out is valid until ps_finish. Returns its size, 0 for none. */
PS_API size_t ps_position(const ps_session *session, const void **data_out);

/* ---- Optimizers ---- */

/* Slots live beside the variable under TensorFlow's names ("w/Momentum", "w/Adam", "w/Adam_1"). */
PS_API ps_optimizer *ps_sgd(ps_session *session, double learning_rate);
PS_API ps_optimizer *ps_momentum(ps_session *session, double learning_rate, double momentum);
PS_API ps_optimizer *ps_nesterov(ps_session *session, double learning_rate, double momentum);
/* TensorFlow's defaults: beta1 0.9, beta2 0.999, epsilon 1e-8. */
PS_API ps_optimizer *ps_adam(ps_session *session, double learning_rate, double beta1, double beta2,
                             double epsilon);
PS_API void ps_set_learning_rate(ps_optimizer *optimizer, double learning_rate);
/* Lets non-finite gradients through instead of refusing them. */
PS_API void ps_allow_nonfinite(ps_optimizer *optimizer, int allow);

/* ---- Saving and restoring ---- */

/* Checkpoints are TensorFlow's own: its Saver and its readers open them, and ps_restore opens
 * TensorFlow's (V2, also of other partitionings). The ps tasks read and write the files, each its
 * own slices; paths are theirs, relative ones below the directory they were started in. A directory
 * that they do not share needs to be only where ps task 0 runs. While a call saves or restores,
 * nobody may push: let one worker do it, between two steps of all. */
typedef struct ps_saver ps_saver;

/* A variable, and what it is called in the checkpoint; name NULL: as in the cluster. */
typedef struct ps_named {
    const char *name;
    ps_var *var;
} ps_named;

/* A name of the checkpoint is restored as another: from in the file, to as the saver calls it. */
typedef struct ps_renaming {
    const char *from;
    const char *to;
    int pattern; /* from is a POSIX extended regular expression that fits a whole name, and to may
                    hold $1 to $9: { "v2/(.*)", "v3/$1", 1 } */
} ps_renaming;

/* Zero-initialise, then set what differs. */
typedef struct ps_saver_options {
    int max_to_keep; /* older checkpoints are removed; 0: 5; negative: all are kept */
    double keep_checkpoint_every_n_hours; /* one in so many hours is kept for ever; 0: none */
    int pad_step_number;                  /* "model.ckpt-00000100" */
    const char *state_name; /* of the file that names the latest; NULL: "checkpoint" */
    int absolute_paths;     /* in that file; else relative, so that the directory can be moved */
    int reshape;            /* restore other shapes of as many elements */
    int partial;            /* restore what the checkpoint has, and leave the rest alone */
    const ps_renaming *renamings;
    size_t renaming_count;
    int tolerant;       /* a failed save is printed and returns NULL, and the session goes on */
    int64_t timeout_ms; /* of one save or restore; 0: an hour */
} ps_saver_options;

/* A saver of these variables, with the slots that optimizers keep beside them. list NULL: all
 * variables of the cluster, and with them the state of the job (global step, beta powers, the
 * exactly-once table). A program may have several. Everything is copied; it belongs to the session.
 * options: or NULL. NULL after a failure. */
PS_API ps_saver *ps_saver_new(ps_session *session, const ps_named *list, size_t count,
                              const ps_saver_options *options);

/* Saves to PREFIX-STEP (step negative: PREFIX), after all pushes of this session. Creates the
 * directory. Returns the prefix as written, valid until the next save of this saver; then the
 * checkpoint would survive a power cut. NULL after a failure: the one before stays the latest. */
PS_API const char *ps_save(ps_saver *saver, const char *prefix, int64_t step);

/* Restores a prefix, or a directory's latest checkpoint that is not damaged. Everything is checked
 * before anything is changed; variables need not be initialized. Slots that the checkpoint does not
 * have begin anew. Other sessions see the new values at their next pull. */
PS_API void ps_restore(ps_saver *saver, const char *path);

/* The prefix of the latest checkpoint in a directory; NULL if there is none, which is no failure.
 * Valid until the next call of this function on the session. */
PS_API const char *ps_latest_checkpoint(ps_session *session, const char *directory);

/* ---- Progress ---- */

/* Global step: committed pushes of optimizers in the whole cluster, as last heard. */
PS_API int64_t ps_step(const ps_session *session);
/* The goal that progress lines count towards; 0: none. */
PS_API void ps_set_goal(ps_session *session, int64_t steps);
/* After each step: loss and accuracy (0 to 1; negative: unknown) of a batch of that many examples.
 * Worker 0 prints a progress line about once a second. Returns the global step. */
PS_API int64_t ps_report(ps_session *session, double loss, double accuracy, size_t examples);
/* Test accuracy (0 to 1) for the progress line and the summary. */
PS_API void ps_report_test(ps_session *session, double accuracy);

/* What this session did so far; times are wall time of the calling thread since the first pull. */
typedef struct ps_stats {
    int64_t steps;          /* pushes of optimizers by this worker */
    uint64_t pulls, pushes; /* calls */
    uint64_t pulled_bytes, pushed_bytes;
    uint64_t refused;             /* pushes that the ps tasks refused */
    uint64_t dropped;             /* pushes dropped as too late (synchronous modes) */
    uint64_t retries;             /* streams that broke and were taken up again */
    double mean_staleness;        /* steps of others between a pull and the commit of its push */
    double compute_seconds;       /* outside this library */
    double communication_seconds; /* moving tensors and waiting for their acknowledgement */
    double wait_seconds;          /* waiting for credit, for a lost ps task or for another worker */
    double examples;              /* as reported */
    double last_loss, test_accuracy; /* NaN: not reported */
} ps_stats;
PS_API void ps_get_stats(const ps_session *session, ps_stats *stats_out);

/* "0.1.0". */
PS_API const char *ps_version(void);

#ifdef __cplusplus
}
#endif

#endif
