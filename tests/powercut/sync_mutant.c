/* The table of removed fsyncs, and the file system that removes one. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/powercut/sync_mutant.h"

#include <stdlib.h>
#include <string.h>

/* Three more fsyncs of the directory are not here alone (before a save is decided, after, and
 * between the names of the data and of the index): ext4 and xfs write names in the order in which
 * they were changed, so the next fsync makes good for one of those. Other file systems do not;
 * test_bundle_faults has one in memory that loses names in any order. */
const struct sync_mutant sync_mutants[SYNC_MUTANTS] = {
    { "data", "fsync of the data files", false, ".part-" },
    { "index", "fsync of the index", false, ".index.tempstate" },
    { "state", "fsync of the state file", false, "checkpoint.tmp" },
    { "directory", "every fsync of the directory", true, "" },
    { "directory-index", "fsync of the directory after the index has its name", true, ".index" },
    { "directory-state", "fsync of the directory after the state file", true, "/checkpoint" },
};

const struct sync_mutant *sync_mutant_find(const char *name)
{
    for (size_t i = 0; i < SYNC_MUTANTS; i++) {
        if (strcmp(sync_mutants[i].name, name) == 0) { return &sync_mutants[i]; }
    }
    return NULL;
}

/* ---- a file whose fsync is skipped ---- */

struct lazy_file {
    struct ps_file file;
    struct ps_file *under;
};

static struct ps_file *under_of(struct ps_file *file)
{
    return ((struct lazy_file *)file)->under;
}

static enum ps_code lazy_append(struct ps_file *file, const void *data, size_t size_bytes,
                                struct ps_error *err)
{
    return under_of(file)->ops->append(under_of(file), data, size_bytes, err);
}

static enum ps_code lazy_read_at(struct ps_file *file, uint64_t offset, void *out,
                                 size_t size_bytes, struct ps_error *err)
{
    return under_of(file)->ops->read_at(under_of(file), offset, out, size_bytes, err);
}

static enum ps_code lazy_sync(struct ps_file *file, struct ps_error *err)
{
    (void)file;
    (void)err;
    return PS_OK;
}

static enum ps_code lazy_info(struct ps_file *file, struct ps_file_info *info_out,
                              struct ps_error *err)
{
    return under_of(file)->ops->info(under_of(file), info_out, err);
}

static enum ps_code lazy_close(struct ps_file *file, struct ps_error *err)
{
    enum ps_code rc = under_of(file)->ops->close(under_of(file), err);
    free(file);
    return rc;
}

static const struct ps_file_ops lazy_file_ops = {
    .append = lazy_append,
    .read_at = lazy_read_at,
    .sync = lazy_sync,
    .info = lazy_info,
    .close = lazy_close,
};

/* ---- the file system ---- */

static enum ps_code mutated_create(void *ctx, const char *path, struct ps_file **file_out,
                                   struct ps_error *err)
{
    const struct sync_mutant_files *mutated = ctx;
    const struct sync_mutant *mutant = mutated->mutant;
    enum ps_code rc = mutated->under->create(mutated->under->ctx, path, file_out, err);
    bool is_lazy = !mutant->is_directory && strstr(ps_path_base(path), mutant->pattern) != NULL;
    if (rc != PS_OK || !is_lazy) { return rc; }
    struct lazy_file *lazy = malloc(sizeof *lazy);
    if (lazy == NULL) { abort(); }
    *lazy = (struct lazy_file){ .file.ops = &lazy_file_ops, .under = *file_out };
    *file_out = &lazy->file;
    return PS_OK;
}

static enum ps_code mutated_open(void *ctx, const char *path, struct ps_file **file_out,
                                 struct ps_error *err)
{
    const struct sync_mutant_files *mutated = ctx;
    return mutated->under->open(mutated->under->ctx, path, file_out, err);
}

static enum ps_code mutated_rename(void *ctx, const char *from, const char *to,
                                   struct ps_error *err)
{
    struct sync_mutant_files *mutated = ctx;
    enum ps_code rc = ps_path_set(&mutated->last_name, err, "%s", to);
    return rc == PS_OK ? mutated->under->rename(mutated->under->ctx, from, to, err) : rc;
}

static enum ps_code mutated_unlink(void *ctx, const char *path, struct ps_error *err)
{
    const struct sync_mutant_files *mutated = ctx;
    return mutated->under->unlink(mutated->under->ctx, path, err);
}

static enum ps_code mutated_mkdir(void *ctx, const char *path, struct ps_error *err)
{
    const struct sync_mutant_files *mutated = ctx;
    return mutated->under->mkdir(mutated->under->ctx, path, err);
}

static bool ends_with(const char *text, const char *end)
{
    size_t text_size = strlen(text), end_size = strlen(end);
    return text_size >= end_size && strcmp(text + text_size - end_size, end) == 0;
}

static enum ps_code mutated_sync_dir(void *ctx, const char *path, struct ps_error *err)
{
    const struct sync_mutant_files *mutated = ctx;
    const struct sync_mutant *mutant = mutated->mutant;
    if (mutant->is_directory && ends_with(mutated->last_name.text, mutant->pattern)) {
        return PS_OK;
    }
    return mutated->under->sync_dir(mutated->under->ctx, path, err);
}

static enum ps_code mutated_list(void *ctx, const char *path, ps_files_visit_fn *visit,
                                 void *visit_ctx, struct ps_error *err)
{
    const struct sync_mutant_files *mutated = ctx;
    return mutated->under->list(mutated->under->ctx, path, visit, visit_ctx, err);
}

static enum ps_code mutated_stat(void *ctx, const char *path, struct ps_file_info *info_out,
                                 struct ps_error *err)
{
    const struct sync_mutant_files *mutated = ctx;
    return mutated->under->stat(mutated->under->ctx, path, info_out, err);
}

void sync_mutant_init(struct sync_mutant_files *mutated, const struct ps_files *under,
                      const struct sync_mutant *mutant)
{
    *mutated = (struct sync_mutant_files){ .under = under, .mutant = mutant };
    mutated->files = (struct ps_files){
        .ctx = mutated,
        .create = mutated_create,
        .open = mutated_open,
        .rename = mutated_rename,
        .unlink = mutated_unlink,
        .mkdir = mutated_mkdir,
        .sync_dir = mutated_sync_dir,
        .list = mutated_list,
        .stat = mutated_stat,
    };
}
