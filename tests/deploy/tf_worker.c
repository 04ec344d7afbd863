/* A worker that does what its arguments say: for the tests that compare with TensorFlow. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files hold the bare bytes of tensors, little-endian, in row-major order.
 *
 *   split N                  the variables that follow are cut by rows into N slices
 *   var NAME DTYPE SHAPE     defines a variable, which begins as zeros
 *   init                     initializes what was defined
 *   load NAME FILE           the variable gets this value
 *   dump NAME FILE           pulls it into a file
 *   momentum RATE MOMENTUM   the optimizer of the gradients that follow
 *   adam RATE BETA1 BETA2 EPSILON   likewise
 *   push NAME FILE           pushes a gradient
 *   fit NAME TARGET SLOPES   lets train fit the variable (float or double) to a target; SLOPES
 * holds a tensor for each step of training train FIRST END          steps of least squares: the
 * gradient is slopes[step] * (value - target) save PREFIX STEP         all variables; STEP -1: to
 * PREFIX itself restore PATH step                     prints the global step touch FILE makes a
 * file await FILE               waits until that file is there, a minute at most
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/paramd.h"

enum { MAX_VARS = 64, AWAIT_SECONDS = 60 };

/* A variable that is trained, with what that needs; the memory is owned. */
struct fit {
    ps_var *var;
    void *target;
    void *slopes; /* one tensor a step */
    size_t step_count;
    void *value;
    void *gradient;
};

struct worker {
    ps_session *session;
    ps_optimizer *optimizer;
    ps_saver *saver;
    ps_variable_options options;
    ps_var *vars[MAX_VARS];
    size_t var_count;
    struct fit fits[MAX_VARS];
    size_t fit_count;
};

static void fail(struct worker *worker, enum ps_code code, const char *what, const char *name)
{
    char message[PS_ERROR_MESSAGE_BYTES + 400];
    snprintf(message, sizeof message, "%s: %s", name, what);
    ps_abandon(worker->session, code, message);
}

static ps_var *find(struct worker *worker, const char *name)
{
    for (size_t i = 0; i < worker->var_count; i++) {
        if (strcmp(ps_name(worker->vars[i]), name) == 0) { return worker->vars[i]; }
    }
    fail(worker, PS_NOT_FOUND, "no such variable was defined", name);
    return NULL;
}

/* ---- Files ---- */

/* The bytes of a file of count tensors (0: of as many as there are) of size_bytes; NULL after a
 * failure. The caller frees them. */
static void *read_tensors(struct worker *worker, const char *path, size_t size_bytes, size_t *count)
{
    void *data = NULL;
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        fail(worker, PS_NOT_FOUND, "cannot be opened", path);
        goto done;
    }
    size_t size = (size_t)ftell(file);
    rewind(file);
    if (*count == 0 && size_bytes != 0 && size % size_bytes == 0) { *count = size / size_bytes; }
    if (size != *count * size_bytes) {
        fail(worker, PS_INVALID_ARGUMENT, "its size is not that of its variable", path);
        goto done;
    }
    data = malloc(size + 1);
    if (data != NULL && fread(data, 1, size, file) != size) {
        fail(worker, PS_UNKNOWN, "cannot be read", path);
        free(data);
        data = NULL;
    }
done:
    if (file != NULL) { fclose(file); }
    return data;
}

static void *read_tensor(struct worker *worker, const char *path, const ps_var *var)
{
    size_t count = 1;
    return read_tensors(worker, path, ps_size_bytes(var), &count);
}

static void write_file(struct worker *worker, const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    bool ok = file != NULL && fwrite(data, 1, size, file) == size;
    if (file != NULL) { ok = fclose(file) == 0 && ok; }
    if (!ok) { fail(worker, PS_UNKNOWN, "cannot be written", path); }
}

/* ---- Variables ---- */

static void split(struct worker *worker, char **words)
{
    worker->options.partition = PS_SPLIT_FIXED;
    worker->options.partition_a = strtoul(words[0], NULL, 10);
}

static void define(struct worker *worker, char **words)
{
    enum ps_dtype dtype;
    struct ps_shape shape;
    struct ps_error error = PS_ERROR_INIT;
    if (worker->var_count == MAX_VARS) {
        fail(worker, PS_RESOURCE_EXHAUSTED, "too many variables", words[0]);
    } else if (ps_dtype_parse(words[1], &dtype, &error) != PS_OK ||
               ps_shape_parse(words[2], &shape, &error) != PS_OK) {
        fail(worker, PS_INVALID_ARGUMENT, error.message, words[0]);
    } else {
        ps_var *var = ps_variable_with(worker->session, words[0], dtype, shape, ps_zeros(),
                                       &worker->options);
        if (var != NULL) { worker->vars[worker->var_count++] = var; }
    }
}

static void init(struct worker *worker, char **words)
{
    (void)words;
    ps_initialize(worker->session);
}

static void load(struct worker *worker, char **words)
{
    ps_var *var = find(worker, words[0]);
    void *data = var != NULL ? read_tensor(worker, words[1], var) : NULL;
    if (data != NULL) { ps_assign(var, data); }
    free(data);
}

static void dump(struct worker *worker, char **words)
{
    ps_var *var = find(worker, words[0]);
    if (var == NULL) { return; }
    void *data = calloc(1, ps_size_bytes(var) + 1);
    ps_pull(worker->session, &(ps_binding){ var, data, 0 }, 1);
    if (data != NULL && ps_ok(worker->session)) {
        write_file(worker, words[1], data, ps_size_bytes(var));
    }
    free(data);
}

/* ---- Training ---- */

static void momentum(struct worker *worker, char **words)
{
    worker->optimizer = ps_momentum(worker->session, strtod(words[0], NULL),
                                    strtod(words[1], NULL));
}

static void adam(struct worker *worker, char **words)
{
    worker->optimizer = ps_adam(worker->session, strtod(words[0], NULL), strtod(words[1], NULL),
                                strtod(words[2], NULL), strtod(words[3], NULL));
}

static void push(struct worker *worker, char **words)
{
    ps_var *var = find(worker, words[0]);
    void *data = var != NULL ? read_tensor(worker, words[1], var) : NULL;
    if (data != NULL) { ps_push(worker->optimizer, &(ps_binding){ var, data, 0 }, 1); }
    free(data);
}

static void fit(struct worker *worker, char **words)
{
    ps_var *var = find(worker, words[0]);
    if (var == NULL) { return; }
    if (worker->fit_count == MAX_VARS) {
        fail(worker, PS_RESOURCE_EXHAUSTED, "too many variables to train", words[0]);
        return;
    }
    if (ps_dtype_of(var) != PS_FLOAT && ps_dtype_of(var) != PS_DOUBLE) {
        fail(worker, PS_UNIMPLEMENTED, "only float and double are trained", words[0]);
        return;
    }
    struct fit *new = &worker->fits[worker->fit_count++];
    new->var = var;
    new->target = read_tensor(worker, words[1], var);
    new->slopes = read_tensors(worker, words[2], ps_size_bytes(var), &new->step_count);
    new->value = calloc(1, ps_size_bytes(var) + 1);
    new->gradient = calloc(1, ps_size_bytes(var) + 1);
}

/* One rounding an operation, as TensorFlow's subtract and multiply do it. */
static void compute_gradient(const struct fit *fit, size_t step)
{
    size_t count = ps_elements(fit->var);
    if (ps_dtype_of(fit->var) == PS_FLOAT) {
        const float *value = fit->value, *target = fit->target;
        const float *slopes = (const float *)fit->slopes + step * count;
        float *gradient = fit->gradient;
        for (size_t i = 0; i < count; i++) { gradient[i] = slopes[i] * (value[i] - target[i]); }
    } else {
        const double *value = fit->value, *target = fit->target;
        const double *slopes = (const double *)fit->slopes + step * count;
        double *gradient = fit->gradient;
        for (size_t i = 0; i < count; i++) { gradient[i] = slopes[i] * (value[i] - target[i]); }
    }
}

static void train_step(struct worker *worker, size_t step)
{
    ps_binding values[MAX_VARS], gradients[MAX_VARS];
    for (size_t i = 0; i < worker->fit_count; i++) {
        const struct fit *fit = &worker->fits[i];
        if (step >= fit->step_count || fit->value == NULL || fit->gradient == NULL) {
            fail(worker, PS_OUT_OF_RANGE, "no slopes for such a step", ps_name(fit->var));
            return;
        }
        values[i] = (ps_binding){ fit->var, fit->value, 0 };
        gradients[i] = (ps_binding){ fit->var, fit->gradient, 0 };
    }
    ps_pull(worker->session, values, worker->fit_count);
    if (!ps_ok(worker->session)) { return; }
    for (size_t i = 0; i < worker->fit_count; i++) { compute_gradient(&worker->fits[i], step); }
    ps_push(worker->optimizer, gradients, worker->fit_count);
}

static void train(struct worker *worker, char **words)
{
    size_t end = strtoul(words[1], NULL, 10);
    for (size_t step = strtoul(words[0], NULL, 10); step < end && ps_ok(worker->session); step++) {
        train_step(worker, step);
    }
}

/* ---- Checkpoints ---- */

static ps_saver *saver(struct worker *worker)
{
    if (worker->saver == NULL) { worker->saver = ps_saver_new(worker->session, NULL, 0, NULL); }
    return worker->saver;
}

static void save(struct worker *worker, char **words)
{
    ps_save(saver(worker), words[0], strtol(words[1], NULL, 10));
}

static void restore(struct worker *worker, char **words)
{
    ps_restore(saver(worker), words[0]);
}

static void step(struct worker *worker, char **words)
{
    (void)words;
    printf("step %lld\n", (long long)ps_step(worker->session));
    fflush(stdout);
}

/* ---- In turn with others ---- */

static void touch(struct worker *worker, char **words)
{
    write_file(worker, words[0], "", 0);
}

static void await(struct worker *worker, char **words)
{
    const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
    for (int i = 0; i < AWAIT_SECONDS * 100; i++) {
        if (access(words[0], F_OK) == 0) { return; }
        nanosleep(&pause, NULL);
    }
    fail(worker, PS_DEADLINE_EXCEEDED, "nobody made it", words[0]);
}

static const struct {
    const char *name;
    int word_count;
    void (*run)(struct worker *worker, char **words);
} verbs[] = {
    { "split", 1, split }, { "var", 3, define },  { "init", 0, init },
    { "load", 2, load },   { "dump", 2, dump },   { "momentum", 2, momentum },
    { "adam", 4, adam },   { "push", 2, push },   { "fit", 3, fit },
    { "train", 2, train }, { "save", 2, save },   { "restore", 1, restore },
    { "step", 0, step },   { "touch", 1, touch }, { "await", 1, await },
};

/* Runs the verb at words[0]; how many words it took. */
static int run_verb(struct worker *worker, char **words, int word_count)
{
    for (size_t v = 0; v < sizeof verbs / sizeof verbs[0]; v++) {
        if (strcmp(verbs[v].name, words[0]) == 0 && verbs[v].word_count < word_count) {
            verbs[v].run(worker, words + 1);
            return 1 + verbs[v].word_count;
        }
    }
    fail(worker, PS_INVALID_ARGUMENT, "no such verb, or too few words after it", words[0]);
    return word_count;
}

int main(int argc, char **argv)
{
    struct worker worker = { .session = ps_start(&argc, &argv) };
    for (int i = 1; i < argc && ps_ok(worker.session);) {
        i += run_verb(&worker, argv + i, argc - i);
    }
    int code = ps_finish(worker.session);
    for (size_t i = 0; i < worker.fit_count; i++) {
        free(worker.fits[i].target);
        free(worker.fits[i].slopes);
        free(worker.fits[i].value);
        free(worker.fits[i].gradient);
    }
    return code;
}
