/* A file that appears whole or not at all: a temporary name, then a rename. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"

struct ps_output_file {
    int fd; /* -1: closed */
    char *path;
    char *temporary; /* NULL: it has its final name, or was never made */
};

static enum ps_code fail(const struct ps_output_file *file, struct ps_error *err)
{
    return ps_fail_errno(err, errno, "cannot write '%s'", file->path);
}

enum ps_code ps_output_file_create(const char *path, struct ps_output_file **file_out,
                                   struct ps_error *err)
{
    enum ps_code rc;
    size_t size = strlen(path) + 32;
    *file_out = NULL;
    struct ps_output_file *file = ps_alloc_zero(1, sizeof *file);
    if (file == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for '%s'", path); }
    file->fd = -1;
    file->path = ps_strdup(path);
    char *temporary = ps_alloc(size);
    if (file->path == NULL || temporary == NULL) {
        rc = ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for '%s'", path);
        goto fail;
    }
    snprintf(temporary, size, "%s.%ld.tmp", path, (long)getpid());
    file->fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file->fd < 0) {
        rc = fail(file, err);
        goto fail;
    }
    file->temporary = temporary;
    *file_out = file;
    return PS_OK;
fail:
    ps_free(temporary);
    ps_output_file_destroy(file);
    return rc;
}

enum ps_code ps_output_file_write(struct ps_output_file *file, uint64_t offset, const void *data,
                                  size_t size_bytes, struct ps_error *err)
{
    const char *from = data;
    while (size_bytes > 0) {
        ssize_t written = pwrite(file->fd, from, size_bytes, (off_t)offset);
        if (written < 0 && errno == EINTR) { continue; }
        if (written < 0) { return fail(file, err); }
        from += written;
        offset += (uint64_t)written;
        size_bytes -= (size_t)written;
    }
    return PS_OK;
}

enum ps_code ps_output_file_finish(struct ps_output_file *file, struct ps_error *err)
{
    if (fsync(file->fd) != 0) { return fail(file, err); }
    int closed = close(file->fd);
    file->fd = -1;
    if (closed != 0 || rename(file->temporary, file->path) != 0) { return fail(file, err); }
    ps_free(file->temporary);
    file->temporary = NULL;
    return PS_OK;
}

void ps_output_file_destroy(struct ps_output_file *file)
{
    if (file == NULL) { return; }
    if (file->fd >= 0) { close(file->fd); }
    if (file->temporary != NULL) { unlink(file->temporary); }
    ps_free(file->temporary);
    ps_free(file->path);
    ps_free(file);
}
