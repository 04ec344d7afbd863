/* File systems on loop devices, whose power can be cut, and small ones in memory. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_DISK_H
#define PARAMD_TESTS_DISK_H

#include "core/status.h"

/* ctest counts a program that exits with this as skipped (SKIP_RETURN_CODE). */
enum { DISK_EXIT_SKIPPED = 77 };

/* A mount namespace of this process, so that no mount outlives it, however it ends. Once, before
 * anything else here. Errors, root missing first of all: then nothing here is possible. */
PS_MUST_CHECK enum ps_code disk_namespace(struct ps_error *err);

struct disk_kind {
    const char *name;
    const char *type;
    const char *options; /* of the mount */
    long long size_bytes;
    const char *const *mkfs; /* program and arguments but for the device; NULL at the end */
};

enum { DISK_KINDS = 3 };
extern const struct disk_kind disk_kinds[DISK_KINDS];

struct disk {
    const struct disk_kind *kind;
    char device[32];
    char mount_point[64];
    int loop_fd;  /* the device goes when this is closed, also by the end of the process */
    int mount_fd; /* -1: not mounted */
};

/* An image in memory, on a loop device, formatted, mounted, cut once and unmounted: a failure means
 * that this kind cannot be tested here. disk_close in any case. */
PS_MUST_CHECK enum ps_code disk_open(struct disk *disk, const struct disk_kind *kind,
                                     struct ps_error *err);
void disk_close(struct disk *disk);

/* Unmounted before; empty afterwards. */
PS_MUST_CHECK enum ps_code disk_format(struct disk *disk, struct ps_error *err);

PS_MUST_CHECK enum ps_code disk_mount(struct disk *disk, struct ps_error *err);
PS_MUST_CHECK enum ps_code disk_unmount(struct disk *disk, struct ps_error *err);

/* Drops what was not synced, data and journal, and fails every call from now on. A mount after an
 * unmount is then what a restart finds. Threads and processes: any that have disk. */
PS_MUST_CHECK enum ps_code disk_cut(const struct disk *disk, struct ps_error *err);

/* A tmpfs on path, which is created: options as in "size=2m,nr_inodes=64". */
PS_MUST_CHECK enum ps_code disk_mount_memory(const char *path, const char *options,
                                             struct ps_error *err);
PS_MUST_CHECK enum ps_code disk_unmount_memory(const char *path, struct ps_error *err);

#endif
