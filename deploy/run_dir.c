/* The directory that a launch leaves behind: logs, the cluster's addresses, the summary. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/run_dir.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"

char *ps_run_dir_path(const char *directory, const char *name)
{
    size_t size = strlen(directory) + strlen(name) + 2;
    char *path = ps_alloc(size);
    if (path != NULL) { snprintf(path, size, "%s/%s", directory, name); }
    return path;
}

static enum ps_code fail_memory(struct ps_error *err)
{
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for the name of a file");
}

/* As mkdir -p: a launch into a deep new directory is no error. */
static enum ps_code make_parents(const char *path, struct ps_error *err)
{
    char *copy = ps_strdup(path);
    enum ps_code rc = PS_OK;
    if (copy == NULL) { return fail_memory(err); }
    for (char *at = copy + 1; rc == PS_OK; at++) {
        char kept = *at;
        if (kept != '/' && kept != '\0') { continue; }
        *at = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST) {
            rc = ps_fail_errno(err, errno, "cannot make the directory '%s'", copy);
        }
        *at = kept;
        if (kept == '\0') { break; }
    }
    ps_free(copy);
    return rc;
}

/* parent/latest -> name, replaced in one step. Only a convenience: its failure is none. */
static void point_latest(const char *parent, const char *name)
{
    char temporary[64];
    snprintf(temporary, sizeof temporary, ".latest.%ld", (long)getpid());
    char *from = ps_run_dir_path(parent, temporary);
    char *to = ps_run_dir_path(parent, "latest");
    if (from != NULL && to != NULL && symlink(name, from) == 0 && rename(from, to) != 0) {
        unlink(from);
    }
    ps_free(from);
    ps_free(to);
}

enum ps_code ps_run_dir_create(const char *parent, char **path_out, struct ps_error *err)
{
    char name[64], stamp[32];
    time_t now = time(NULL);
    struct tm calendar;
    *path_out = NULL;
    if (*parent == '\0') { return ps_fail(err, PS_INVALID_ARGUMENT, "--dir is empty"); }
    enum ps_code rc = make_parents(parent, err);
    if (rc != PS_OK) { return rc; }
    localtime_r(&now, &calendar);
    strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &calendar);
    snprintf(name, sizeof name, "%s-%ld", stamp, (long)getpid());
    char *path = ps_run_dir_path(parent, name);
    if (path == NULL) { return fail_memory(err); }
    if (mkdir(path, 0777) != 0) {
        rc = ps_fail_errno(err, errno, "cannot make the directory '%s'", path);
        ps_free(path);
        return rc;
    }
    point_latest(parent, name);
    *path_out = path;
    return PS_OK;
}

static enum ps_code write_text(const char *path, const char *text, struct ps_error *err)
{
    FILE *file = fopen(path, "w");
    if (file == NULL) { return ps_fail_errno(err, errno, "cannot write '%s'", path); }
    bool written = fputs(text, file) >= 0;
    bool closed = fclose(file) == 0;
    if (written && closed) { return PS_OK; }
    return ps_fail_errno(err, errno, "cannot write '%s'", path);
}

enum ps_code ps_run_dir_write_file(const char *path, const char *text, struct ps_error *err)
{
    size_t size = strlen(path) + 32;
    char *temporary = ps_alloc(size);
    if (temporary == NULL) { return fail_memory(err); }
    snprintf(temporary, size, "%s.%ld.tmp", path, (long)getpid());
    enum ps_code rc = write_text(temporary, text, err);
    if (rc == PS_OK && rename(temporary, path) != 0) {
        rc = ps_fail_errno(err, errno, "cannot write '%s'", path);
    }
    if (rc != PS_OK) { unlink(temporary); }
    ps_free(temporary);
    return rc;
}

enum ps_code ps_run_dir_write(const char *directory, const char *name, const char *text,
                              struct ps_error *err)
{
    char *path = ps_run_dir_path(directory, name);
    enum ps_code rc = path == NULL ? fail_memory(err) : ps_run_dir_write_file(path, text, err);
    ps_free(path);
    return rc;
}
