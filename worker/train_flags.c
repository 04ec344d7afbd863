/* Flags of the training program: what to train, on what, for how long and with which optimizer. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/train_flags.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "worker/model.h"

enum key {
    KEY_DATA = 256, /* above every character: none of the flags has a short form */
    KEY_LAYERS,
    KEY_BATCH,
    KEY_STEPS,
    KEY_OPTIMIZER,
    KEY_LEARNING_RATE,
    KEY_MOMENTUM,
    KEY_DECAY,
    KEY_SEED,
    KEY_EVAL_EVERY,
    KEY_PIPELINE,
    KEY_PARTITION,
    KEY_BLAS_THREADS,
    KEY_HELP
};

static const struct argp_option options[] = {
    { "data", KEY_DATA, "SET", 0,
      "fashion-mnist, synthetic, or a directory of IDX files (fashion-mnist)", 0 },
    { "layers", KEY_LAYERS, "SIZES", 0,
      "Inputs, hidden layers, classes (784-200-10); 784-10 is softmax regression", 0 },
    { "batch", KEY_BATCH, "N", 0, "Examples a worker takes for one step (100)", 0 },
    { "steps", KEY_STEPS, "N", 0, "Global steps: the sum over the workers (6000)", 0 },
    { "optimizer", KEY_OPTIMIZER, "NAME", 0, "sgd, momentum, nesterov or adam (adam)", 0 },
    { "learning_rate", KEY_LEARNING_RATE, "X", 0,
      "At the first step (sgd 0.1; momentum, nesterov 0.01; adam 0.001)", 0 },
    { "momentum", KEY_MOMENTUM, "X", 0, "Of momentum and nesterov (0.9)", 0 },
    { "decay", KEY_DECAY, "HOW", 0,
      "linear: the rate falls towards 0 at the last step; none (linear)", 0 },
    { "seed", KEY_SEED, "N", 0, "Of initial values and shuffling, the same on all workers (1)", 0 },
    { "eval_every", KEY_EVAL_EVERY, "N", 0,
      "Global steps between two looks at the test set; 0: at the end only (1000)", 0 },
    { "pipeline", KEY_PIPELINE, "N", 0,
      "Pushes in flight (1: each step sees the last one). From 2 on the next values are pulled "
      "while this batch is computed: faster where the network is slow, one step staler",
      0 },
    { "partition", KEY_PARTITION, "N", 0,
      "Cut each weight matrix by rows into N slices; 0: only large ones (0)", 0 },
    { "blas_threads", KEY_BLAS_THREADS, "N", 0,
      "Threads of OpenBLAS; 0: one a core, for a worker that has the machine to itself (1)", 0 },
    { "help", KEY_HELP, NULL, 0, "Print this and end", 0 },
    { NULL, 0, NULL, 0, NULL, 0 }
};

static const char *const optimizer_names[] = { "sgd", "momentum", "nesterov", "adam" };
static const double default_rates[] = { 0.1, 0.01, 0.01, 0.001 };
enum { OPTIMIZER_COUNT = sizeof optimizer_names / sizeof optimizer_names[0] };

const char *ps_train_optimizer_name(enum ps_train_optimizer optimizer)
{
    return optimizer_names[optimizer];
}

struct parse {
    struct ps_train_flags *flags;
    bool has_learning_rate;
    bool has_momentum;
    struct ps_error *err;
};

/* A whole number from minimum to maximum, all of text. */
static bool parse_integer(const char *text, int64_t minimum, int64_t maximum, int64_t *out)
{
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0) { return false; }
    if (value < minimum || value > maximum) { return false; }
    *out = value;
    return true;
}

static enum ps_code take_integer(const char *flag, const char *text, int64_t minimum,
                                 int64_t maximum, int64_t *out, struct ps_error *err)
{
    if (parse_integer(text, minimum, maximum, out)) { return PS_OK; }
    return ps_fail(err, PS_INVALID_ARGUMENT, "--%s=%s: give a whole number from %lld to %lld", flag,
                   text, (long long)minimum, (long long)maximum);
}

static enum ps_code take_int(const char *flag, const char *text, int minimum, int maximum, int *out,
                             struct ps_error *err)
{
    int64_t value = 0;
    enum ps_code rc = take_integer(flag, text, minimum, maximum, &value, err);
    if (rc == PS_OK) { *out = (int)value; }
    return rc;
}

static bool parse_real(const char *text, double *out)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value)) { return false; }
    *out = value;
    return true;
}

static enum ps_code take_learning_rate(struct parse *parse, const char *text)
{
    double rate = 0.0;
    if (!parse_real(text, &rate) || rate <= 0.0) {
        return ps_fail(parse->err, PS_INVALID_ARGUMENT,
                       "--learning_rate=%s: give a number above 0, for example 0.001", text);
    }
    parse->flags->learning_rate = rate;
    parse->has_learning_rate = true;
    return PS_OK;
}

static enum ps_code take_momentum(struct parse *parse, const char *text)
{
    double momentum = 0.0;
    if (!parse_real(text, &momentum) || momentum < 0.0 || momentum >= 1.0) {
        return ps_fail(parse->err, PS_INVALID_ARGUMENT,
                       "--momentum=%s: give a number from 0 up to, not including, 1", text);
    }
    parse->flags->momentum = momentum;
    parse->has_momentum = true;
    return PS_OK;
}

static enum ps_code take_optimizer(struct parse *parse, const char *text)
{
    for (int i = 0; i < OPTIMIZER_COUNT; i++) {
        if (strcmp(text, optimizer_names[i]) == 0) {
            parse->flags->optimizer = (enum ps_train_optimizer)i;
            return PS_OK;
        }
    }
    return ps_fail(parse->err, PS_INVALID_ARGUMENT,
                   "--optimizer=%s: give sgd, momentum, nesterov or adam", text);
}

static enum ps_code take_decay(struct parse *parse, const char *text)
{
    bool linear = strcmp(text, "linear") == 0;
    if (!linear && strcmp(text, "none") != 0) {
        return ps_fail(parse->err, PS_INVALID_ARGUMENT, "--decay=%s: give linear or none", text);
    }
    parse->flags->decay = linear;
    return PS_OK;
}

static enum ps_code take_data(struct parse *parse, const char *text)
{
    if (text[0] == '\0') {
        return ps_fail(parse->err, PS_INVALID_ARGUMENT,
                       "--data=: give fashion-mnist, synthetic, or a directory of IDX files");
    }
    parse->flags->data = text;
    return PS_OK;
}

static enum ps_code take_layers(struct parse *parse, const char *text)
{
    enum ps_code rc = ps_layers_parse(text, &parse->flags->layers, parse->err);
    return rc == PS_OK ? PS_OK : ps_wrap(parse->err, "--layers");
}

static enum ps_code take_seed(struct parse *parse, const char *text)
{
    int64_t seed = 0;
    enum ps_code rc = take_integer("seed", text, 1, INT64_MAX, &seed, parse->err);
    if (rc == PS_OK) { parse->flags->seed = (uint64_t)seed; }
    return rc;
}

static enum ps_code take_value(struct parse *parse, int key, const char *text)
{
    struct ps_train_flags *flags = parse->flags;
    struct ps_error *err = parse->err;
    switch (key) {
    case KEY_DATA: return take_data(parse, text);
    case KEY_LAYERS: return take_layers(parse, text);
    case KEY_BATCH: return take_int("batch", text, 1, PS_MODEL_MAX_BATCH, &flags->batch, err);
    case KEY_STEPS: return take_integer("steps", text, 1, PS_TRAIN_MAX_STEPS, &flags->steps, err);
    case KEY_OPTIMIZER: return take_optimizer(parse, text);
    case KEY_LEARNING_RATE: return take_learning_rate(parse, text);
    case KEY_MOMENTUM: return take_momentum(parse, text);
    case KEY_DECAY: return take_decay(parse, text);
    case KEY_SEED: return take_seed(parse, text);
    case KEY_EVAL_EVERY:
        return take_integer("eval_every", text, 0, PS_TRAIN_MAX_STEPS, &flags->eval_every, err);
    case KEY_PIPELINE:
        return take_int("pipeline", text, 1, PS_TRAIN_MAX_PIPELINE, &flags->pipeline, err);
    case KEY_PARTITION:
        return take_int("partition", text, 0, PS_TRAIN_MAX_PARTITION, &flags->partition, err);
    default:
        return take_int("blas_threads", text, 0, PS_TRAIN_MAX_BLAS_THREADS, &flags->blas_threads,
                        err);
    }
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
    struct parse *parse = state->input;
    if (key == KEY_HELP) {
        parse->flags->help = true;
        return 0;
    }
    if (key < KEY_DATA || key > KEY_BLAS_THREADS) { return ARGP_ERR_UNKNOWN; }
    return take_value(parse, key, text) == PS_OK ? 0 : EINVAL;
}

static const struct argp argp = {
    .options = options,
    .parser = parse_option,
    .doc = "Trains a network on parameter servers, asynchronously, with as many workers as the "
           "cluster has. `--help_paramd` lists the flags that say where the cluster is."
};

void ps_train_flags_help(FILE *stream)
{
    char program[] = "paramd worker";
    argp_help(&argp, stream, ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC, program);
}

/* The option that an argument "--name" or "--name=value" gives; NULL if it is none of ours. */
static const struct argp_option *find_option(const char *argument)
{
    if (strncmp(argument, "--", 2) != 0) { return NULL; }
    const char *name = argument + 2;
    size_t size = strcspn(name, "=");
    for (const struct argp_option *option = options; option->name != NULL; option++) {
        if (strlen(option->name) == size && strncmp(option->name, name, size) == 0) {
            return option;
        }
    }
    return NULL;
}

/* Moves our arguments, with their values, to ours; keeps the rest in place. argp alone would stop
 * at the first flag that is meant for ps_start. Returns how many were moved. */
static int move_ours(int *argc, char **argv, char **ours)
{
    int kept = 1;
    int moved = 0;
    int i = 1;
    while (i < *argc && strcmp(argv[i], "--") != 0) {
        const struct argp_option *option = find_option(argv[i]);
        bool separate = option != NULL && option->arg != NULL && strchr(argv[i], '=') == NULL;
        if (option == NULL) {
            argv[kept++] = argv[i];
        } else {
            ours[moved++] = argv[i];
            if (separate && i + 1 < *argc) { ours[moved++] = argv[++i]; }
        }
        i++;
    }
    while (i < *argc) { argv[kept++] = argv[i++]; }
    argv[kept] = NULL;
    *argc = kept;
    return moved;
}

/* What can be told only when every flag is known. */
static enum ps_code complete(struct parse *parse)
{
    struct ps_train_flags *flags = parse->flags;
    bool takes_momentum = flags->optimizer == PS_TRAIN_MOMENTUM ||
                          flags->optimizer == PS_TRAIN_NESTEROV;
    if (parse->has_momentum && !takes_momentum) {
        return ps_fail(parse->err, PS_INVALID_ARGUMENT,
                       "--momentum has no meaning for --optimizer=%s. Leave it out, or give "
                       "--optimizer=momentum or --optimizer=nesterov",
                       optimizer_names[flags->optimizer]);
    }
    if (!parse->has_learning_rate) { flags->learning_rate = default_rates[flags->optimizer]; }
    return PS_OK;
}

static enum ps_code parse_ours(int count, char **ours, struct parse *parse)
{
    error_t error = argp_parse(&argp, count, ours, ARGP_NO_ERRS | ARGP_NO_HELP | ARGP_IN_ORDER,
                               NULL, parse);
    if (error == 0) { return complete(parse); }
    if (error == ENOMEM) {
        return ps_fail(parse->err, PS_RESOURCE_EXHAUSTED, "no memory for flags");
    }
    if (parse->err->code != PS_OK) { return parse->err->code; }
    /* The values are all right: then the last flag has none, or --help has one. */
    const char *last = ours[count - 1];
    return ps_fail(parse->err, PS_INVALID_ARGUMENT,
                   strchr(last, '=') == NULL ? "%s needs a value" : "%s: it takes no value", last);
}

enum ps_code ps_train_flags_take(int *argc, char **argv, struct ps_train_flags *flags_out,
                                 struct ps_error *err)
{
    struct ps_error unwanted = PS_ERROR_INIT;
    struct parse parse = { .flags = flags_out, .err = err == NULL ? &unwanted : err };
    parse.err->code = PS_OK;
    *flags_out = (struct ps_train_flags){
        .data = "fashion-mnist",
        .layers = { 2, { 784, 200, 10 } },
        .batch = 100,
        .steps = 6000,
        .eval_every = 1000,
        .optimizer = PS_TRAIN_ADAM,
        .momentum = 0.9,
        .decay = true,
        .seed = 1,
        .pipeline = 1,
        .blas_threads = 1,
    };
    char **ours = ps_alloc_zero((size_t)*argc + 2, sizeof *ours);
    if (ours == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for flags"); }
    ours[0] = argv[0];
    int count = 1 + move_ours(argc, argv, ours + 1);
    enum ps_code rc = parse_ours(count, ours, &parse);
    ps_free(ours);
    return rc;
}

enum ps_code ps_train_flags_refuse_rest(int argc, char *const *argv, struct ps_error *err)
{
    if (argc <= 1) { return PS_OK; }
    bool flag = argv[1][0] == '-';
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "%s '%s'. `paramd worker --help` lists the flags of training, `--help_paramd` "
                   "those of the cluster",
                   flag ? "unknown flag" : "unexpected argument", argv[1]);
}
