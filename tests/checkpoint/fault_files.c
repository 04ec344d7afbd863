/* Faults in front of another file system: counted, and due at one call. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/checkpoint/fault_files.h"

#include <errno.h>
#include <stdlib.h>

struct fault_file {
    struct ps_file file;
    struct ps_file *under;
    struct ps_fault_files *fault;
};

/* What to do with one call: DUE is the one that the fault was meant for. */
enum turn { TURN_PASS, TURN_DUE, TURN_FAIL, TURN_LATE, TURN_VISIT };

static bool is_failure(enum turn turn)
{
    return turn == TURN_DUE || turn == TURN_FAIL;
}

static enum turn count_turn_locked(struct ps_fault_files *fault)
{
    bool is_due = ++fault->call_count == fault->fail_at;
    if (is_due) { fault->is_tripped = true; }
    if (fault->kind == PS_FAULT_KILL) {
        return is_due ? TURN_DUE : fault->is_tripped ? TURN_FAIL : TURN_PASS;
    }
    if (!is_due) { return TURN_PASS; }
    switch (fault->kind) {
    case PS_FAULT_VISIT: return TURN_VISIT;
    case PS_FAULT_LATE: return TURN_LATE;
    default: return TURN_DUE;
    }
}

static enum turn take_turn(struct ps_fault_files *fault)
{
    pthread_mutex_lock(&fault->lock);
    enum turn turn = count_turn_locked(fault);
    pthread_mutex_unlock(&fault->lock);
    if (turn != TURN_VISIT) { return turn; }
    fault->visit(fault->visit_ctx);
    return TURN_PASS;
}

static enum ps_code fail(struct ps_fault_files *fault, struct ps_error *err)
{
    pthread_mutex_lock(&fault->lock);
    long call = fault->call_count;
    int errno_value = fault->errno_value;
    pthread_mutex_unlock(&fault->lock);
    return ps_fail_errno(err, errno_value, "call %ld was made to fail", call);
}

/* One call through; expression is not evaluated if the call fails before. */
#define PASS(fault, err, expression)                       \
    do {                                                   \
        enum turn turn = take_turn(fault);                 \
        if (is_failure(turn)) { return fail(fault, err); } \
        enum ps_code rc = (expression);                    \
        return turn == TURN_LATE ? fail(fault, err) : rc;  \
    } while (0)

static struct fault_file *fault_of(struct ps_file *file)
{
    return (struct fault_file *)file;
}

static enum ps_code file_append(struct ps_file *base, const void *data, size_t size_bytes,
                                struct ps_error *err)
{
    struct fault_file *file = fault_of(base);
    enum turn turn = take_turn(file->fault);
    if (turn == TURN_FAIL) { return fail(file->fault, err); }
    size_t size = turn == TURN_DUE ? size_bytes / 2 : size_bytes;
    enum ps_code rc = file->under->ops->append(file->under, data, size, err);
    return turn == TURN_PASS ? rc : fail(file->fault, err);
}

static enum ps_code file_read_at(struct ps_file *base, uint64_t offset, void *out,
                                 size_t size_bytes, struct ps_error *err)
{
    struct fault_file *file = fault_of(base);
    PASS(file->fault, err, file->under->ops->read_at(file->under, offset, out, size_bytes, err));
}

static enum ps_code file_sync(struct ps_file *base, struct ps_error *err)
{
    struct fault_file *file = fault_of(base);
    PASS(file->fault, err, file->under->ops->sync(file->under, err));
}

static enum ps_code file_info(struct ps_file *base, struct ps_file_info *info_out,
                              struct ps_error *err)
{
    struct fault_file *file = fault_of(base);
    PASS(file->fault, err, file->under->ops->info(file->under, info_out, err));
}

/* Always frees: a killed process has no descriptors either. */
static enum ps_code file_close(struct ps_file *base, struct ps_error *err)
{
    struct fault_file *file = fault_of(base);
    struct ps_fault_files *fault = file->fault;
    enum turn turn = take_turn(fault);
    enum ps_code rc = file->under->ops->close(file->under, err);
    free(file);
    return turn == TURN_PASS ? rc : fail(fault, err);
}

static const struct ps_file_ops fault_file_ops = {
    .append = file_append,
    .read_at = file_read_at,
    .sync = file_sync,
    .info = file_info,
    .close = file_close,
};

static enum ps_code wrap(struct ps_fault_files *fault, struct ps_file *under,
                         struct ps_file **file_out)
{
    struct fault_file *file = calloc(1, sizeof *file);
    if (file == NULL) { abort(); }
    *file = (struct fault_file){ .file.ops = &fault_file_ops, .under = under, .fault = fault };
    *file_out = &file->file;
    return PS_OK;
}

static enum ps_code fault_get(struct ps_fault_files *fault, bool is_create, const char *path,
                              struct ps_file **file_out, struct ps_error *err)
{
    struct ps_file *under;
    enum turn turn = take_turn(fault);
    *file_out = NULL;
    if (is_failure(turn)) { return fail(fault, err); }
    enum ps_code rc = is_create ? fault->under->create(fault->under->ctx, path, &under, err)
                                : fault->under->open(fault->under->ctx, path, &under, err);
    if (rc != PS_OK) { return rc; }
    if (turn == TURN_PASS) { return wrap(fault, under, file_out); }
    ps_files_drop(&under);
    return fail(fault, err);
}

static enum ps_code fault_create(void *ctx, const char *path, struct ps_file **file_out,
                                 struct ps_error *err)
{
    return fault_get(ctx, true, path, file_out, err);
}

static enum ps_code fault_open(void *ctx, const char *path, struct ps_file **file_out,
                               struct ps_error *err)
{
    return fault_get(ctx, false, path, file_out, err);
}

static enum ps_code fault_rename(void *ctx, const char *from, const char *to, struct ps_error *err)
{
    struct ps_fault_files *fault = ctx;
    PASS(fault, err, fault->under->rename(fault->under->ctx, from, to, err));
}

static enum ps_code fault_unlink(void *ctx, const char *path, struct ps_error *err)
{
    struct ps_fault_files *fault = ctx;
    PASS(fault, err, fault->under->unlink(fault->under->ctx, path, err));
}

static enum ps_code fault_mkdir(void *ctx, const char *path, struct ps_error *err)
{
    struct ps_fault_files *fault = ctx;
    PASS(fault, err, fault->under->mkdir(fault->under->ctx, path, err));
}

static enum ps_code fault_sync_dir(void *ctx, const char *path, struct ps_error *err)
{
    struct ps_fault_files *fault = ctx;
    PASS(fault, err, fault->under->sync_dir(fault->under->ctx, path, err));
}

static enum ps_code fault_list(void *ctx, const char *path, ps_files_visit_fn *visit,
                               void *visit_ctx, struct ps_error *err)
{
    struct ps_fault_files *fault = ctx;
    PASS(fault, err, fault->under->list(fault->under->ctx, path, visit, visit_ctx, err));
}

static enum ps_code fault_stat(void *ctx, const char *path, struct ps_file_info *info_out,
                               struct ps_error *err)
{
    struct ps_fault_files *fault = ctx;
    PASS(fault, err, fault->under->stat(fault->under->ctx, path, info_out, err));
}

void ps_fault_files_init(struct ps_fault_files *fault, const struct ps_files *under,
                         enum ps_fault_kind kind, long fail_at)
{
    *fault = (struct ps_fault_files){
        .under = under,
        .kind = kind,
        .errno_value = EIO,
        .fail_at = fail_at,
        .lock = PTHREAD_MUTEX_INITIALIZER,
    };
    fault->files = (struct ps_files){
        .ctx = fault,
        .create = fault_create,
        .open = fault_open,
        .rename = fault_rename,
        .unlink = fault_unlink,
        .mkdir = fault_mkdir,
        .sync_dir = fault_sync_dir,
        .list = fault_list,
        .stat = fault_stat,
    };
}

bool ps_fault_files_reset(struct ps_fault_files *fault, enum ps_fault_kind kind, long fail_at)
{
    pthread_mutex_lock(&fault->lock);
    bool was_tripped = fault->is_tripped;
    fault->kind = kind;
    fault->call_count = 0;
    fault->is_tripped = false;
    fault->fail_at = fail_at;
    pthread_mutex_unlock(&fault->lock);
    return was_tripped;
}
