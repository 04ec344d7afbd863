/* paramd ckpt prune: removes old checkpoints, as a Saver with a smaller max_to_keep would. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/recover.h"
#include "checkpoint/retention.h"
#include "core/exit_code.h"
#include "deploy/ckpt_priv.h"
#include "deploy/options.h"
#include "deploy/tool.h"

struct settings {
    const char *directory;
    int64_t keep; /* 0: not given */
    bool dry_run;
};

enum { KEY_KEEP = 1, KEY_DRY_RUN, KEEP_MAX = 1 << 30 };

static const struct argp_option options[] = {
    { "keep", KEY_KEEP, "N", 0, "So many of the newest stay, the latest always", 1 },
    { "dry_run", KEY_DRY_RUN, NULL, 0, "Says what would be removed, and removes nothing", 1 },
    { 0 },
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    switch (key) {
    case KEY_KEEP:
        settings->keep = ps_options_number(state, "--keep", argument, 1, KEEP_MAX);
        return 0;
    case KEY_DRY_RUN: settings->dry_run = true; return 0;
    case ARGP_KEY_ARG:
        if (settings->directory != NULL) {
            argp_error(state, "one directory at a time: '%s'", argument);
        }
        settings->directory = argument;
        return 0;
    case ARGP_KEY_END:
        if (settings->directory == NULL || settings->keep == 0) {
            argp_error(state, "give a directory, and --keep=N");
        }
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "DIRECTORY",
    .doc =
        "Examples:\n"
        "  paramd ckpt prune run --keep=3 --dry_run\n"
        "  paramd ckpt prune run --keep=3\n"
        "\n"
        "Removes checkpoints that the directory's state file lists, oldest first, until N are "
        "left; "
        "never the latest. What the state file does not list stays: checkpoints that were kept for "
        "ever, or written by other means. Not for a directory that a running job saves to: its "
        "coordinator prunes by itself."
        "\v"
        "Exit codes: 66 no such directory, or no state file in it; all of them: paramd --help",
};

/* The newest checkpoint that is there: the one called latest, or, if that is gone, the last. */
static const struct ps_state_checkpoint *find_latest(const struct ps_state *state)
{
    for (size_t i = 0; state->latest != NULL && i < state->count; i++) {
        if (strcmp(state->all[i].path, state->latest) == 0) { return &state->all[i]; }
    }
    return &state->all[state->count - 1];
}

/* Retention decides as if the latest checkpoint had just been saved: it comes last, so it stays. */
static enum ps_code decide(int64_t keep, struct ps_state *state, struct ps_state *remove,
                           struct ps_error *err)
{
    const struct ps_retention_options limits = { .max_to_keep = (long)keep };
    struct ps_retention retention;
    struct ps_path latest;
    double preserved_s = state->last_preserved_s;
    enum ps_code rc = PS_OK;
    if (state->count == 0) { return PS_OK; }
    double latest_s = find_latest(state)->timestamp_s;
    PS_TRY(done, rc, ps_path_set(&latest, err, "%s", find_latest(state)->path));
    ps_retention_init(&retention, &limits, 0);
    ps_retention_recover(&retention, state);
    rc = ps_retention_saved(&retention, latest.text, latest_s, remove, err);
    *state = retention.state;
    retention.state = (struct ps_state){ .all = NULL };
    ps_retention_clean(&retention);
    state->last_preserved_s = preserved_s; /* nothing was preserved here */
done:
    return rc;
}

/* A checkpoint, and the graph that TensorFlow stores beside it. */
static enum ps_code remove_one(const char *directory, const char *path, struct ps_error *err)
{
    const struct ps_files *files = ps_files_posix();
    struct ps_path prefix, meta;
    enum ps_code rc;
    PS_TRY(done, rc, ps_state_resolve(directory, path, &prefix, err));
    PS_TRY(done, rc, ps_path_set(&meta, err, "%s.meta", prefix.text));
    PS_TRY(done, rc, ps_recover_remove(files, prefix.text, err));
    PS_TRY(done, rc, ps_files_remove(files, meta.text, err));
done:
    return rc;
}

/* A copied directory may have a state file that still speaks of the original, with absolute paths:
 * nothing of that may be touched. */
static enum ps_code check_inside(const char *directory, const struct ps_state *state,
                                 struct ps_error *err)
{
    const struct ps_files *files = ps_files_posix();
    struct ps_file_info here, there;
    enum ps_code rc;
    PS_TRY(done, rc, files->stat(files->ctx, directory, &here, err));
    for (size_t i = 0; i < state->count; i++) {
        struct ps_path prefix, parent;
        PS_TRY(done, rc, ps_state_resolve(directory, state->all[i].path, &prefix, err));
        ps_path_directory(prefix.text, &parent);
        PS_TRY(done, rc, files->stat(files->ctx, parent.text, &there, err));
        if (here.device == there.device && here.inode == there.inode) { continue; }
        return ps_fail(err, PS_FAILED_PRECONDITION,
                       "the state file of '%s' lists '%s', which lies elsewhere; was the directory "
                       "copied? Then make the paths in '%s/checkpoint' relative first",
                       directory, state->all[i].path, directory);
    }
done:
    return rc;
}

/* The checkpoints that the state file lists and that are there, the latest among them. */
static enum ps_code read_state(const char *directory, const struct ps_path *path,
                               struct ps_state *state, struct ps_error *err)
{
    const struct ps_files *files = ps_files_posix();
    enum ps_code rc;
    PS_TRY(done, rc, ps_state_read(files, path->text, state, err));
    size_t i = 0;
    while (i < state->count && state->latest != NULL &&
           strcmp(state->all[i].path, state->latest) != 0) {
        i++;
    }
    if (i == state->count && state->latest != NULL) {
        PS_TRY(done, rc, ps_state_add(state, state->latest, 0, err));
    }
    PS_TRY(done, rc, ps_state_refresh(files, directory, state, err));
    PS_TRY(done, rc, check_inside(directory, state, err));
done:
    return rc;
}

static enum ps_code prune(const struct settings *settings, struct ps_error *err)
{
    const struct ps_files *files = ps_files_posix();
    struct ps_state state = { 0 }, remove = { 0 };
    struct ps_path path;
    enum ps_code rc;
    PS_TRY(done, rc, ps_path_set(&path, err, "%s/checkpoint", settings->directory));
    PS_TRY(done, rc, read_state(settings->directory, &path, &state, err));
    PS_TRY(done, rc, decide(settings->keep, &state, &remove, err));
    /* The list first: after a crash a checkpoint is perhaps not listed, but never listed and gone.
     */
    if (!settings->dry_run && remove.count > 0) {
        PS_TRY(done, rc, ps_state_write(files, path.text, &state, err));
    }
    for (size_t i = 0; i < remove.count; i++) {
        if (!settings->dry_run) {
            PS_TRY(done, rc, remove_one(settings->directory, remove.all[i].path, err));
        }
        printf("%s %s\n", settings->dry_run ? "would remove" : "removed", remove.all[i].path);
    }
    const char *stays = state.count == 1 ? "stays" : "stay";
    printf("%zu checkpoint%s %s\n", state.count, state.count == 1 ? "" : "s",
           settings->dry_run ? "would stay" : stays);
done:
    ps_state_clean(&state);
    ps_state_clean(&remove);
    return rc;
}

int psi_ckpt_prune(int argc, char **argv)
{
    struct settings settings = { .keep = 0 };
    struct ps_error error = PS_ERROR_INIT;
    ps_options_parse(&argp, argc, argv, &settings);
    return prune(&settings, &error) == PS_OK ? PS_EXIT_OK : ps_tool_explain(&error);
}
