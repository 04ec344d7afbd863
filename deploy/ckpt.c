/* paramd ckpt: finds the subcommand. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/ckpt.h"

#include <stdio.h>
#include <string.h>

#include "core/exit_code.h"
#include "deploy/ckpt_priv.h"
#include "deploy/suggest.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    { "ls", psi_ckpt_ls, "the checkpoints of a directory, and what crashes left there" },
    { "inspect", psi_ckpt_inspect, "names, types and shapes of a checkpoint, or values" },
    { "verify", psi_ckpt_verify, "read every byte and check it" },
    { "diff", psi_ckpt_diff, "compare two checkpoints" },
    { "export", psi_ckpt_export, "write a checkpoint as .npz or .safetensors" },
    { "import", psi_ckpt_import, "make a checkpoint of an .npz or .safetensors file" },
    { "prune", psi_ckpt_prune, "remove old checkpoints" },
};

enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static void print_help(FILE *stream)
{
    fputs("Examples:\n"
          "  paramd ckpt ls run\n"
          "  paramd ckpt inspect run/model.ckpt-100 --tensor_name=hidden1/weights\n"
          "  paramd ckpt export --to=npz run/model.ckpt-100 weights.npz\n"
          "\n"
          "Usage: paramd ckpt COMMAND [FLAGS]\n"
          "\n"
          "Commands, none of which needs a cluster:\n",
          stream);
    for (int i = 0; i < COMMAND_COUNT; i++) {
        fprintf(stream, "  %-8s  %s\n", commands[i].name, commands[i].summary);
    }
    fputs("\nA checkpoint is named by its prefix, as in run/model.ckpt-100; a directory stands for "
          "its\n"
          "latest one. Flags of a command: paramd ckpt COMMAND --help\n",
          stream);
}

static int refuse_command(const char *word)
{
    const char *names[COMMAND_COUNT];
    for (int i = 0; i < COMMAND_COUNT; i++) { names[i] = commands[i].name; }
    const char *nearest = ps_suggest_nearest(word, names, COMMAND_COUNT);
    fprintf(stderr, "paramd ckpt: unknown command '%s'", word);
    if (nearest != NULL) { fprintf(stderr, "; did you mean '%s'?", nearest); }
    fputs("\nSee all commands: paramd ckpt --help\n", stderr);
    return PS_EXIT_USAGE;
}

int ps_ckpt_main(int argc, char **argv)
{
    char name[64];
    if (argc < 2) {
        print_help(stderr);
        return PS_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return PS_EXIT_OK;
    }
    int index = 0;
    while (index < COMMAND_COUNT && strcmp(commands[index].name, argv[1]) != 0) { index++; }
    if (index == COMMAND_COUNT) { return refuse_command(argv[1]); }
    snprintf(name, sizeof name, "paramd ckpt %s", commands[index].name);
    argv[1] = name;
    return commands[index].run(argc - 1, argv + 1);
}
