/* A worker that does what its arguments say, one after another: for tests of whole processes. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   device D             the variables that follow live there
 *   split N              the variables that follow are cut by rows into N slices
 *   var NAME DTYPE SHAPE VALUE   defines a variable that begins as VALUE ("float" "2,3" "0.5")
 *   init                 initializes what was defined
 *   push NAME X          pushes a gradient full of X through SGD with learning rate 1
 *   print NAME           pulls and prints the first element
 *   touch FILE           makes a file
 *   await FILE           waits until that file is there, a minute at most
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/paramd.h"

enum { MAX_VARS = 16, AWAIT_SECONDS = 60 };

struct worker {
    ps_session *session;
    ps_optimizer *sgd;
    ps_var *vars[MAX_VARS];
    size_t var_count;
    int scope_count;
    ps_variable_options options;
};

static ps_var *find(struct worker *worker, const char *name)
{
    for (size_t i = 0; i < worker->var_count; i++) {
        if (strcmp(ps_name(worker->vars[i]), name) == 0) { return worker->vars[i]; }
    }
    ps_abandon(worker->session, PS_NOT_FOUND, name);
    return NULL;
}

static void define(struct worker *worker, char **words)
{
    enum ps_dtype dtype;
    struct ps_shape shape;
    struct ps_error error = PS_ERROR_INIT;
    if (ps_dtype_parse(words[1], &dtype, &error) != PS_OK ||
        ps_shape_parse(words[2], &shape, &error) != PS_OK || worker->var_count == MAX_VARS) {
        ps_abandon(worker->session, PS_INVALID_ARGUMENT, error.message);
        return;
    }
    ps_var *var = ps_variable_with(worker->session, words[0], dtype, shape,
                                   ps_constant(strtod(words[3], NULL)), &worker->options);
    if (var != NULL) { worker->vars[worker->var_count++] = var; }
}

static void push(struct worker *worker, char **words)
{
    ps_var *var = find(worker, words[0]);
    if (var == NULL) { return; }
    void *data = calloc(1, ps_size_bytes(var) + 1);
    for (size_t i = 0; data != NULL && i < ps_elements(var); i++) {
        ps_element_set(ps_dtype_of(var), data, (int64_t)i, strtod(words[1], NULL));
    }
    ps_push(worker->sgd, &(ps_binding){ var, data, 0 }, 1);
    free(data);
}

static void print(struct worker *worker, char **words)
{
    ps_var *var = find(worker, words[0]);
    if (var == NULL) { return; }
    void *data = calloc(1, ps_size_bytes(var) + 1);
    ps_pull(worker->session, &(ps_binding){ var, data, 0 }, 1);
    if (ps_ok(worker->session) && data != NULL) {
        printf("%s %g\n", words[0], ps_element_get(ps_dtype_of(var), data, 0));
        fflush(stdout);
    }
    free(data);
}

static void touch(struct worker *worker, char **words)
{
    FILE *file = fopen(words[0], "w");
    if (file == NULL) {
        ps_abandon(worker->session, PS_UNKNOWN, words[0]);
        return;
    }
    fclose(file);
}

static void await(struct worker *worker, char **words)
{
    const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
    for (int i = 0; i < AWAIT_SECONDS * 100; i++) {
        if (access(words[0], F_OK) == 0) { return; }
        nanosleep(&pause, NULL);
    }
    ps_abandon(worker->session, PS_DEADLINE_EXCEEDED, words[0]);
}

static void device(struct worker *worker, char **words)
{
    worker->scope_count += ps_device_push(worker->session, words[0]);
}

static void split(struct worker *worker, char **words)
{
    worker->options.partition = PS_SPLIT_FIXED;
    worker->options.partition_a = strtoul(words[0], NULL, 10);
}

static void init(struct worker *worker, char **words)
{
    (void)words;
    ps_initialize(worker->session);
}

static const struct {
    const char *name;
    int word_count;
    void (*run)(struct worker *worker, char **words);
} verbs[] = {
    { "device", 1, device }, { "split", 1, split }, { "var", 4, define },  { "init", 0, init },
    { "push", 2, push },     { "print", 1, print }, { "touch", 1, touch }, { "await", 1, await },
};

int main(int argc, char **argv)
{
    struct worker worker = { .session = ps_start(&argc, &argv) };
    worker.sgd = ps_sgd(worker.session, 1.0);
    int i = 1;
    while (i < argc && ps_ok(worker.session)) {
        size_t v = 0;
        while (v < sizeof verbs / sizeof verbs[0] && strcmp(verbs[v].name, argv[i]) != 0) { v++; }
        if (v == sizeof verbs / sizeof verbs[0] || i + verbs[v].word_count >= argc) {
            ps_abandon(worker.session, PS_INVALID_ARGUMENT, argv[i]);
            break;
        }
        verbs[v].run(&worker, argv + i + 1);
        i += 1 + verbs[v].word_count;
    }
    while (worker.scope_count > 0) { worker.scope_count -= 1 + ps_device_pop(worker.session); }
    return ps_finish(worker.session);
}
