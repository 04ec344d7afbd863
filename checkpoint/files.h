/* The file system as a small table of functions: POSIX, or faults and crashes in tests. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_FILES_H
#define PARAMD_CHECKPOINT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

/* Longest path, its NUL included (Linux: PATH_MAX). */
enum { PS_PATH_BYTES = 4096 };

struct ps_path {
    char text[PS_PATH_BYTES];
};

struct ps_file_info {
    uint64_t size_bytes;
    uint64_t device; /* device and inode together name one file, whatever it is called */
    uint64_t inode;
    double modified_s; /* wall clock, seconds since 1970 */
    bool is_directory;
};

/* An open file. Implementations embed it first in a struct of their own. */
struct ps_file {
    const struct ps_file_ops *ops;
};

/* One file is used by one thread at a time, except read_at, which any number may call. */
struct ps_file_ops {
    /* Writes all of data at the end, or fails (an unknown part may then be written). */
    enum ps_code (*append)(struct ps_file *file, const void *data, size_t size_bytes,
                           struct ps_error *err);
    /* Reads exactly size_bytes at offset. DATA_LOSS if the file ends before that. */
    enum ps_code (*read_at)(struct ps_file *file, uint64_t offset, void *out, size_t size_bytes,
                            struct ps_error *err);
    /* Returns when the contents would survive a power cut. After a failure the file is lost: the
     * kernel may have dropped what it could not write, and a second call would claim success. */
    enum ps_code (*sync)(struct ps_file *file, struct ps_error *err);
    enum ps_code (*info)(struct ps_file *file, struct ps_file_info *info_out, struct ps_error *err);
    /* Frees file whatever it returns. */
    enum ps_code (*close)(struct ps_file *file, struct ps_error *err);
};

/* One name of a directory; a code other than PS_OK ends the walk and is returned. */
typedef enum ps_code ps_files_visit_fn(void *visit_ctx, const char *name, struct ps_error *err);

/* Paths are relative to the working directory unless absolute. Errors: NOT_FOUND for what is not
 * there, RESOURCE_EXHAUSTED for a full disk, ... (see ps_fail_errno). Threads: any. */
struct ps_files {
    void *ctx;
    /* A new file for append. ALREADY_EXISTS if the name is taken: nothing is ever truncated. */
    enum ps_code (*create)(void *ctx, const char *path, struct ps_file **file_out,
                           struct ps_error *err);
    /* An existing file for read_at. */
    enum ps_code (*open)(void *ctx, const char *path, struct ps_file **file_out,
                         struct ps_error *err);
    /* Atomic; replaces a file of the new name. */
    enum ps_code (*rename)(void *ctx, const char *from, const char *to, struct ps_error *err);
    enum ps_code (*unlink)(void *ctx, const char *path, struct ps_error *err);
    /* One level. ALREADY_EXISTS if there. */
    enum ps_code (*mkdir)(void *ctx, const char *path, struct ps_error *err);
    /* Makes creations, renames and removals in a directory survive a power cut. */
    enum ps_code (*sync_dir)(void *ctx, const char *path, struct ps_error *err);
    /* Every name but "." and "..", in no order. visit must not change the directory. */
    enum ps_code (*list)(void *ctx, const char *path, ps_files_visit_fn *visit, void *visit_ctx,
                         struct ps_error *err);
    enum ps_code (*stat)(void *ctx, const char *path, struct ps_file_info *info_out,
                         struct ps_error *err);
};

/* The real one. Static; never freed. */
const struct ps_files *ps_files_posix(void);

/* Closes and sets *file to NULL; takes NULL inside. For readers and for clean-up, where the result
 * says nothing: a writer calls ops->close and looks. */
void ps_files_drop(struct ps_file **file);

/* Removes a file; one that is not there is fine. */
PS_MUST_CHECK enum ps_code ps_files_remove(const struct ps_files *files, const char *path,
                                           struct ps_error *err);

/* Writes a whole small file so that after a crash the old or the new contents are there, never a
 * mixture: PATH.tmp, sync, rename, sync of the directory. One writer of PATH at a time. */
PS_MUST_CHECK enum ps_code ps_files_replace(const struct ps_files *files, const char *path,
                                            const void *data, size_t size_bytes,
                                            struct ps_error *err);

/* Creates a directory and the ones above it; those that exist are fine. */
PS_MUST_CHECK enum ps_code ps_files_mkdirs(const struct ps_files *files, const char *path,
                                           struct ps_error *err);

/* Formats into path. INVALID_ARGUMENT if it does not fit. */
PS_MUST_CHECK enum ps_code ps_path_set(struct ps_path *path, struct ps_error *err,
                                       const char *format, ...) PS_PRINTF(3, 4);

/* "a/b" for "a/b/c", "." for "c", "/" for "/c". path fits struct ps_path. */
void ps_path_directory(const char *path, struct ps_path *directory_out);

/* "c" for "a/b/c": a pointer into path. */
const char *ps_path_base(const char *path);

#endif
