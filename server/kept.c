/* State file and retention around each other: read, decide, write, and only then remove. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/kept.h"

#include <string.h>
#include <time.h>

#include "checkpoint/recover.h"
#include "core/log.h"

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* How a checkpoint is written in the state file. */
static const char *listed_path(const struct ps_kept_save *save, const char *directory,
                               const char *prefix)
{
    return save->absolute_paths && prefix[0] == '/' ? prefix : ps_state_relative(directory, prefix);
}

/* STEM itself, or STEM-100. */
static bool is_of_stem(const char *prefix, const char *stem)
{
    size_t size = strlen(stem);
    if (strncmp(prefix, stem, size) != 0) { return false; }
    const char *rest = prefix + size;
    if (*rest == '\0') { return true; }
    return *rest == '-' && rest[1] != '\0' && strspn(rest + 1, "0123456789") == strlen(rest + 1);
}

/* What the state file says. One that cannot be read is begun anew, as TensorFlow does. */
static enum ps_code read_state(const struct ps_kept_save *save, const char *directory,
                               const char *path, struct ps_state *state_out, struct ps_error *err)
{
    struct ps_error detail = PS_ERROR_INIT;
    enum ps_code rc = ps_state_read(save->files, path, state_out, &detail);
    if (rc == PS_NOT_FOUND) { return PS_OK; }
    if (rc == PS_INVALID_ARGUMENT) {
        ps_log(PS_LOG_WARN, "kept", "%s: Checkpoint ignored; the list of checkpoints begins anew",
               detail.message);
        return PS_OK;
    }
    if (rc == PS_OK) { return ps_state_refresh(save->files, directory, state_out, err); }
    if (err != NULL) { *err = detail; }
    return rc;
}

/* The listed checkpoints of our stem, and those of others, each under the path that we write. */
static enum ps_code divide(const struct ps_kept_save *save, const char *directory,
                           const struct ps_state *state, struct ps_state *mine,
                           struct ps_state *others, struct ps_error *err)
{
    struct ps_path prefix;
    enum ps_code rc = PS_OK;
    for (size_t i = 0; i < state->count && rc == PS_OK; i++) {
        rc = ps_state_resolve(directory, state->all[i].path, &prefix, err);
        if (rc != PS_OK) { break; }
        struct ps_state *into = is_of_stem(prefix.text, save->stem) ? mine : others;
        rc = ps_state_add(into, listed_path(save, directory, prefix.text),
                          state->all[i].timestamp_s, err);
    }
    mine->last_preserved_s = state->last_preserved_s;
    return rc;
}

/* Both lists in one, by time, with our newest as the last. */
static enum ps_code unite(const struct ps_state *mine, const struct ps_state *others,
                          struct ps_state *all, struct ps_error *err)
{
    size_t i = 0, j = 0;
    enum ps_code rc = ps_state_set_latest(all, mine->latest, err);
    all->last_preserved_s = mine->last_preserved_s;
    while (rc == PS_OK && (i < mine->count || j < others->count)) {
        bool is_other = j < others->count && (i + 1 >= mine->count || others->all[j].timestamp_s <=
                                                                          mine->all[i].timestamp_s);
        const struct ps_state_checkpoint *next = is_other ? &others->all[j++] : &mine->all[i++];
        rc = ps_state_add(all, next->path, next->timestamp_s, err);
    }
    return rc;
}

static void remove_all(const struct ps_kept_save *save, const char *directory,
                       const struct ps_state *remove)
{
    for (size_t i = 0; i < remove->count; i++) {
        struct ps_path prefix;
        struct ps_error detail = PS_ERROR_INIT;
        enum ps_code rc = ps_state_resolve(directory, remove->all[i].path, &prefix, &detail);
        if (rc == PS_OK) { rc = ps_recover_remove(save->files, prefix.text, &detail); }
        if (rc == PS_OK || rc == PS_NOT_FOUND) { continue; }
        ps_log(PS_LOG_WARN, "kept", "cannot remove the old checkpoint '%s': %s",
               remove->all[i].path, detail.message);
    }
}

enum ps_code ps_kept_enter(const struct ps_kept_save *save, struct ps_error *err)
{
    struct ps_path directory, path;
    struct ps_state state = { 0 }, mine = { 0 }, others = { 0 }, all = { 0 }, remove = { 0 };
    struct ps_retention retention;
    double now = now_s();
    enum ps_code rc;
    ps_retention_init(&retention, &save->options, now);
    ps_path_directory(save->prefix, &directory);
    PS_TRY(done, rc, ps_path_set(&path, err, "%s/%s", directory.text, save->state_name));
    PS_TRY(done, rc, read_state(save, directory.text, path.text, &state, err));
    PS_TRY(done, rc, divide(save, directory.text, &state, &mine, &others, err));
    ps_retention_recover(&retention, &mine);
    const char *listed = listed_path(save, directory.text, save->prefix);
    PS_TRY(done, rc, ps_retention_saved(&retention, listed, now, &remove, err));
    PS_TRY(done, rc, unite(&retention.state, &others, &all, err));
    PS_TRY(done, rc, ps_state_write(save->files, path.text, &all, err));
    remove_all(save, directory.text, &remove);
done:
    ps_retention_clean(&retention);
    ps_state_clean(&state);
    ps_state_clean(&mine);
    ps_state_clean(&others);
    ps_state_clean(&all);
    ps_state_clean(&remove);
    return rc;
}

static enum ps_code add_once(struct ps_state *list, const char *directory, const char *path,
                             struct ps_error *err)
{
    struct ps_path prefix;
    enum ps_code rc = ps_state_resolve(directory, path, &prefix, err);
    if (rc != PS_OK) { return rc; }
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->all[i].path, prefix.text) == 0) { return PS_OK; }
    }
    return ps_state_add(list, prefix.text, 0, err);
}

enum ps_code ps_kept_list(const struct ps_files *files, const char *directory,
                          const char *state_name, struct ps_state *found_out, struct ps_error *err)
{
    struct ps_path path;
    struct ps_state state = { 0 };
    enum ps_code rc;
    *found_out = (struct ps_state){ 0 };
    PS_TRY(done, rc, ps_path_set(&path, err, "%s/%s", directory, state_name));
    PS_TRY(done, rc, ps_state_read(files, path.text, &state, err));
    if (state.latest == NULL || state.latest[0] == '\0') {
        rc = ps_fail(err, PS_NOT_FOUND, "'%s' names no latest checkpoint", path.text);
        goto done;
    }
    PS_TRY(done, rc, add_once(found_out, directory, state.latest, err));
    for (size_t i = state.count; i-- > 0;) {
        PS_TRY(done, rc, add_once(found_out, directory, state.all[i].path, err));
    }
done:
    ps_state_clean(&state);
    if (rc != PS_OK) { ps_state_clean(found_out); }
    return rc;
}
