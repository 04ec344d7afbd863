/* The file system over POSIX calls, and the few compound operations everybody needs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"

/* Unbuffered writes start, end and live on such boundaries (the page, on every disk we know). */
enum { DIRECT_ALIGN = 4096 };

struct posix_file {
    struct ps_file file;
    int fd;
    uint64_t end;    /* bytes appended */
    bool can_direct; /* O_DIRECT has not been refused */
    bool is_direct;
    char path[]; /* for messages */
};

static struct posix_file *posix_of(struct ps_file *file)
{
    return (struct posix_file *)file;
}

/* Large aligned appends bypass the page cache: a checkpoint is read back only after a restart, and
 * unbuffered it costs a tenth of the CPU. Where that is not possible nothing is lost but time. */
static void choose_direct(struct posix_file *file, const void *data, size_t size_bytes)
{
    bool fits = (((uintptr_t)data | file->end | size_bytes) & (DIRECT_ALIGN - 1)) == 0;
    if (!file->can_direct || fits == file->is_direct) { return; }
    int flags = fcntl(file->fd, F_GETFL);
    int wanted = fits ? flags | O_DIRECT : flags & ~O_DIRECT;
    if (flags >= 0 && fcntl(file->fd, F_SETFL, wanted) == 0) {
        file->is_direct = fits;
    } else {
        file->can_direct = false; /* tmpfs and others refuse */
    }
}

static enum ps_code posix_append(struct ps_file *base, const void *data, size_t size_bytes,
                                 struct ps_error *err)
{
    struct posix_file *file = posix_of(base);
    const uint8_t *at = data;
    while (size_bytes > 0) {
        choose_direct(file, at, size_bytes);
        ssize_t written = write(file->fd, at, size_bytes);
        if (written < 0 && errno == EINTR) { continue; }
        if (written < 0 && errno == EINVAL && file->is_direct) {
            /* The file system took the flag but not the write: go on buffered. */
            int flags = fcntl(file->fd, F_GETFL);
            if (flags >= 0 && fcntl(file->fd, F_SETFL, flags & ~O_DIRECT) == 0) {
                file->is_direct = false;
                file->can_direct = false;
                continue;
            }
            errno = EINVAL;
        }
        if (written < 0) { return ps_fail_errno(err, errno, "write '%s'", file->path); }
        at += written;
        size_bytes -= (size_t)written;
        file->end += (uint64_t)written;
    }
    return PS_OK;
}

static enum ps_code posix_read_at(struct ps_file *base, uint64_t offset, void *out,
                                  size_t size_bytes, struct ps_error *err)
{
    struct posix_file *file = posix_of(base);
    uint8_t *at = out;
    if (offset > INT64_MAX - size_bytes) {
        return ps_fail(err, PS_DATA_LOSS, "read '%s': offset %llu is beyond any file", file->path,
                       (unsigned long long)offset);
    }
    while (size_bytes > 0) {
        ssize_t got = pread(file->fd, at, size_bytes, (off_t)offset);
        if (got < 0 && errno == EINTR) { continue; }
        if (got < 0) { return ps_fail_errno(err, errno, "read '%s'", file->path); }
        if (got == 0) {
            return ps_fail(err, PS_DATA_LOSS, "'%s' ends at byte %llu, %zu bytes early: it was cut",
                           file->path, (unsigned long long)offset, size_bytes);
        }
        at += got;
        offset += (uint64_t)got;
        size_bytes -= (size_t)got;
    }
    return PS_OK;
}

static enum ps_code posix_sync(struct ps_file *base, struct ps_error *err)
{
    struct posix_file *file = posix_of(base);
    if (fsync(file->fd) != 0) { return ps_fail_errno(err, errno, "fsync '%s'", file->path); }
    return PS_OK;
}

static void fill_info(const struct stat *from, struct ps_file_info *info)
{
    *info = (struct ps_file_info){
        .size_bytes = from->st_size < 0 ? 0 : (uint64_t)from->st_size,
        .device = (uint64_t)from->st_dev,
        .inode = (uint64_t)from->st_ino,
        .modified_s = (double)from->st_mtim.tv_sec + (double)from->st_mtim.tv_nsec * 1e-9,
        .is_directory = S_ISDIR(from->st_mode),
    };
}

static enum ps_code posix_info(struct ps_file *base, struct ps_file_info *info_out,
                               struct ps_error *err)
{
    struct posix_file *file = posix_of(base);
    struct stat found;
    if (fstat(file->fd, &found) != 0) { return ps_fail_errno(err, errno, "stat '%s'", file->path); }
    fill_info(&found, info_out);
    return PS_OK;
}

static enum ps_code posix_close(struct ps_file *base, struct ps_error *err)
{
    struct posix_file *file = posix_of(base);
    enum ps_code rc = PS_OK;
    /* Never again after EINTR: on Linux the descriptor is gone, and may be someone else's. */
    if (close(file->fd) != 0 && errno != EINTR) {
        rc = ps_fail_errno(err, errno, "close '%s'", file->path);
    }
    ps_free(file);
    return rc;
}

static const struct ps_file_ops posix_file_ops = {
    .append = posix_append,
    .read_at = posix_read_at,
    .sync = posix_sync,
    .info = posix_info,
    .close = posix_close,
};

static enum ps_code open_with(const char *path, int flags, struct ps_file **file_out,
                              struct ps_error *err)
{
    const char *verb = (flags & O_CREAT) != 0 ? "create" : "open";
    size_t path_size = strlen(path) + 1;
    *file_out = NULL;
    struct posix_file *file = ps_alloc_zero(1, sizeof *file + path_size);
    if (file == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "%s '%s': no memory", verb, path);
    }
    memcpy(file->path, path, path_size);
    file->file.ops = &posix_file_ops;
    file->can_direct = true;
    do {
        file->fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0666);
    } while (file->fd < 0 && errno == EINTR);
    if (file->fd < 0) {
        int failure = errno;
        ps_free(file);
        return ps_fail_errno(err, failure, "%s '%s'", verb, path);
    }
    *file_out = &file->file;
    return PS_OK;
}

static enum ps_code posix_create(void *ctx, const char *path, struct ps_file **file_out,
                                 struct ps_error *err)
{
    (void)ctx;
    return open_with(path, O_WRONLY | O_CREAT | O_EXCL, file_out, err);
}

static enum ps_code posix_open(void *ctx, const char *path, struct ps_file **file_out,
                               struct ps_error *err)
{
    (void)ctx;
    /* O_NONBLOCK: a FIFO of that name must not hang the reader; regular files ignore it. */
    return open_with(path, O_RDONLY | O_NONBLOCK, file_out, err);
}

static enum ps_code posix_rename(void *ctx, const char *from, const char *to, struct ps_error *err)
{
    (void)ctx;
    if (rename(from, to) != 0) {
        return ps_fail_errno(err, errno, "rename '%s' to '%s'", from, to);
    }
    return PS_OK;
}

static enum ps_code posix_unlink(void *ctx, const char *path, struct ps_error *err)
{
    (void)ctx;
    if (unlink(path) != 0) { return ps_fail_errno(err, errno, "remove '%s'", path); }
    return PS_OK;
}

static enum ps_code posix_mkdir(void *ctx, const char *path, struct ps_error *err)
{
    (void)ctx;
    if (mkdir(path, 0777) != 0) { return ps_fail_errno(err, errno, "create directory '%s'", path); }
    return PS_OK;
}

static enum ps_code posix_sync_dir(void *ctx, const char *path, struct ps_error *err)
{
    (void)ctx;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) { return ps_fail_errno(err, errno, "open directory '%s'", path); }
    int failure = fsync(fd) != 0 ? errno : 0;
    close(fd);
    /* Some network file systems do not know fsync of a directory; there a rename is synchronous. */
    if (failure != 0 && failure != EINVAL && failure != ENOTSUP) {
        return ps_fail_errno(err, failure, "fsync directory '%s'", path);
    }
    return PS_OK;
}

static enum ps_code posix_list(void *ctx, const char *path, ps_files_visit_fn *visit,
                               void *visit_ctx, struct ps_error *err)
{
    (void)ctx;
    enum ps_code rc = PS_OK;
    DIR *dir = opendir(path);
    if (dir == NULL) { return ps_fail_errno(err, errno, "open directory '%s'", path); }
    while (rc == PS_OK) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            if (errno != 0) { rc = ps_fail_errno(err, errno, "read directory '%s'", path); }
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) { continue; }
        rc = visit(visit_ctx, entry->d_name, err);
    }
    closedir(dir);
    return rc;
}

static enum ps_code posix_stat(void *ctx, const char *path, struct ps_file_info *info_out,
                               struct ps_error *err)
{
    (void)ctx;
    struct stat found;
    if (stat(path, &found) != 0) { return ps_fail_errno(err, errno, "stat '%s'", path); }
    fill_info(&found, info_out);
    return PS_OK;
}

const struct ps_files *ps_files_posix(void)
{
    static const struct ps_files posix = {
        .create = posix_create,
        .open = posix_open,
        .rename = posix_rename,
        .unlink = posix_unlink,
        .mkdir = posix_mkdir,
        .sync_dir = posix_sync_dir,
        .list = posix_list,
        .stat = posix_stat,
    };
    return &posix;
}

void ps_files_drop(struct ps_file **file)
{
    if (*file == NULL) { return; }
    (void)(*file)->ops->close(*file, NULL);
    *file = NULL;
}

enum ps_code ps_files_remove(const struct ps_files *files, const char *path, struct ps_error *err)
{
    struct ps_error detail = PS_ERROR_INIT;
    enum ps_code rc = files->unlink(files->ctx, path, &detail);
    if (rc == PS_NOT_FOUND) { return PS_OK; }
    if (rc != PS_OK && err != NULL) { *err = detail; }
    return rc;
}

static enum ps_code write_and_sync(const struct ps_files *files, const char *path, const void *data,
                                   size_t size_bytes, struct ps_error *err)
{
    struct ps_file *file;
    enum ps_code rc;
    PS_TRY(done, rc, files->create(files->ctx, path, &file, err));
    rc = file->ops->append(file, data, size_bytes, err);
    if (rc == PS_OK) { rc = file->ops->sync(file, err); }
    enum ps_code closed = file->ops->close(file, rc == PS_OK ? err : NULL);
    if (rc == PS_OK) { rc = closed; }
done:
    return rc;
}

enum ps_code ps_files_replace(const struct ps_files *files, const char *path, const void *data,
                              size_t size_bytes, struct ps_error *err)
{
    enum ps_code rc;
    struct ps_path temporary, directory;
    PS_TRY(done, rc, ps_path_set(&temporary, err, "%s.tmp", path));
    ps_path_directory(path, &directory);
    PS_TRY(done, rc, ps_files_remove(files, temporary.text, err)); /* of a crashed writer */
    PS_TRY(fail, rc, write_and_sync(files, temporary.text, data, size_bytes, err));
    PS_TRY(fail, rc, files->rename(files->ctx, temporary.text, path, err));
    return files->sync_dir(files->ctx, directory.text, err);
fail:
    (void)!ps_files_remove(files, temporary.text, NULL);
done:
    return rc;
}

static enum ps_code mkdir_one(const struct ps_files *files, const char *path, struct ps_error *err)
{
    struct ps_file_info info;
    if (files->stat(files->ctx, path, &info, NULL) == PS_OK) {
        if (info.is_directory) { return PS_OK; }
        return ps_fail(err, PS_FAILED_PRECONDITION,
                       "'%s' is a file where a directory is needed; move it or choose another path",
                       path);
    }
    struct ps_error detail = PS_ERROR_INIT;
    enum ps_code rc = files->mkdir(files->ctx, path, &detail);
    if (rc == PS_ALREADY_EXISTS) { return PS_OK; } /* another task was faster */
    if (rc != PS_OK) {
        if (err != NULL) { *err = detail; }
        return rc;
    }
    struct ps_path above;
    ps_path_directory(path, &above);
    return files->sync_dir(files->ctx, above.text, err);
}

enum ps_code ps_files_mkdirs(const struct ps_files *files, const char *path, struct ps_error *err)
{
    struct ps_path partial;
    enum ps_code rc = ps_path_set(&partial, err, "%s", path);
    for (char *at = partial.text + 1; rc == PS_OK && partial.text[0] != '\0' && *at != '\0'; at++) {
        if (*at != '/') { continue; }
        *at = '\0';
        rc = mkdir_one(files, partial.text, err);
        *at = '/';
    }
    return rc == PS_OK ? mkdir_one(files, path, err) : rc;
}

enum ps_code ps_path_set(struct ps_path *path, struct ps_error *err, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(path->text, sizeof path->text, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof path->text) { return PS_OK; }
    return ps_fail(err, PS_INVALID_ARGUMENT, "path is longer than %d bytes: '%.100s...'",
                   PS_PATH_BYTES - 1, path->text);
}

void ps_path_directory(const char *path, struct ps_path *directory_out)
{
    const char *slash = strrchr(path, '/');
    size_t size = slash == NULL ? 0 : (size_t)(slash - path);
    if (slash == path) { size = 1; }
    PS_ASSERT(size < sizeof directory_out->text);
    if (slash == NULL) {
        memcpy(directory_out->text, ".", 2);
        return;
    }
    memcpy(directory_out->text, path, size);
    directory_out->text[size] = '\0';
}

const char *ps_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}
