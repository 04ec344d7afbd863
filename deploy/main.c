/* The paramd command: finds the subcommand, and helps whoever mistyped it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/exit_code.h"
#include "deploy/bench.h"
#include "deploy/ckpt.h"
#include "deploy/commands.h"
#include "deploy/suggest.h"
#include "proto/messages.h"
#include "worker/train.h"

static int cmd_version(int argc, char **argv);
static int cmd_help(int argc, char **argv);

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    { "launch", ps_cmd_launch, "run ps tasks and workers on this machine, and watch over them" },
    { "ps", ps_cmd_ps, "run one ps task: it holds variables and updates them" },
    { "worker", ps_train_main, "run one worker: it trains a model on a data set" },
    { "status", ps_cmd_status, "which tasks are there, and what each has done" },
    { "vars", ps_cmd_vars, "the variables: shape, type, where they live, bytes" },
    { "get", ps_cmd_get, "print a variable's value, or save it as .npy" },
    { "set", ps_cmd_set, "give a variable a value" },
    { "save", ps_cmd_save, "save a running cluster as a checkpoint" },
    { "restore", ps_cmd_restore, "give a running cluster the values of a checkpoint" },
    { "health", ps_cmd_health, "exit 0 if a task serves: for probes" },
    { "ckpt", ps_ckpt_main, "checkpoint files: list, inspect, verify, compare, convert, prune" },
    { "bench", ps_bench_main, "measure push, pull and apply against this machine's limits" },
    { "version", cmd_version, "print the version" },
    { "help", cmd_help, "print this, or the help of a command" },
};

enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static void print_help(FILE *stream)
{
    fputs("Examples:\n"
          "  paramd launch --ps 2 --workers 2                   train on this machine\n"
          "  paramd launch --ps 2 --workers 4 -- ./my-worker    your own worker program\n"
          "  paramd vars                                        what lives where\n"
          "  paramd get hidden1/weights --slice 0:5             look at values\n"
          "\n"
          "Usage: paramd COMMAND [FLAGS]\n"
          "\n"
          "Commands:\n",
          stream);
    for (int i = 0; i < COMMAND_COUNT; i++) {
        fprintf(stream, "  %-8s  %s\n", commands[i].name, commands[i].summary);
    }
    fprintf(stream, "\nFlags of a command: paramd COMMAND --help\n\n%s", ps_exit_code_help());
}

static int find_command(const char *name)
{
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0) { return i; }
    }
    return -1;
}

static int refuse_command(const char *word)
{
    const char *names[COMMAND_COUNT];
    for (int i = 0; i < COMMAND_COUNT; i++) { names[i] = commands[i].name; }
    const char *nearest = ps_suggest_nearest(word, names, COMMAND_COUNT);
    fprintf(stderr, "paramd: unknown command '%s'", word);
    if (nearest != NULL) { fprintf(stderr, "; did you mean '%s'?", nearest); }
    fputs("\nSee all commands: paramd --help\n", stderr);
    return PS_EXIT_USAGE;
}

/* Runs a command under the name "paramd <name>", which its messages begin with. */
static int run_command(int index, int argc, char **argv)
{
    char name[64];
    snprintf(name, sizeof name, "paramd %s", commands[index].name);
    argv[0] = name;
    setvbuf(stdout, NULL, _IOLBF, 0); /* under a launcher it is a pipe, and someone is watching */
    return commands[index].run(argc, argv);
}

static int cmd_help(int argc, char **argv)
{
    if (argc < 2 || strncmp(argv[1], "--", 2) == 0) {
        print_help(stdout);
        return PS_EXIT_OK;
    }
    int index = find_command(argv[1]);
    if (index < 0) { return refuse_command(argv[1]); }
    char *help[] = { NULL, (char[]){ "--help" }, NULL };
    return run_command(index, 2, help);
}

static int cmd_version(int argc, char **argv)
{
    bool as_json = argc == 2 && strcmp(argv[1], "--json") == 0;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        puts("Usage: paramd version [--json]");
        return PS_EXIT_OK;
    }
    if (argc > 1 && !as_json) {
        fprintf(stderr, "%s: unknown flag '%s'; it takes --json and nothing else\n", argv[0],
                argv[1]);
        return PS_EXIT_USAGE;
    }
    if (!as_json) {
        printf("paramd %s (protocol %d)\n", PS_VERSION, PS_PROTOCOL);
        return PS_EXIT_OK;
    }
    json_t *root = json_pack("{s:s, s:i}", "version", PS_VERSION, "protocol", PS_PROTOCOL);
    if (root == NULL) { return PS_EXIT_STORAGE; }
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
    return PS_EXIT_OK;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return PS_EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) { word = "help"; }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) { word = "version"; }
    int index = find_command(word);
    if (index < 0) { return refuse_command(word); }
    int code = run_command(index, argc - 1, argv + 1);
    if (fflush(stdout) != 0 && code == PS_EXIT_OK) {
        perror("paramd: cannot write its output");
        return PS_EXIT_STORAGE;
    }
    return code;
}
