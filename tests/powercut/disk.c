/* Loop devices, mounts and the shutdown ioctl. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/powercut/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are one number with one meaning: the headers that name it
 * are not installed everywhere. */
#define SHUTDOWN_IOCTL _IOR('X', 125, uint32_t)
enum { SHUTDOWN_WITHOUT_LOG_FLUSH = 2 };

/* Hidden under a tmpfs in this namespace, where mount points are made. */
#define MOUNT_ROOT "/mnt"

enum { MKFS_ARGUMENTS_MAX = 12, LOOP_ATTEMPTS = 100 };

static const char *const mkfs_ext4[] = {
    "/sbin/mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-J",
    "size=4",          NULL
};
static const char *const mkfs_xfs[] = { "/sbin/mkfs.xfs", "-q", "-f", NULL };

/* By default ext4 writes a file out that is renamed over another one, which hides a missing fsync;
 * noauto_da_alloc is ext4 without that. xfs takes no image below 300 MiB. */
const struct disk_kind disk_kinds[DISK_KINDS] = {
    { "ext4", "ext4", "", 128ll << 20, mkfs_ext4 },
    { "ext4-noauto", "ext4", "noauto_da_alloc", 128ll << 20, mkfs_ext4 },
    { "xfs", "xfs", "", 320ll << 20, mkfs_xfs },
};

enum ps_code disk_namespace(struct ps_error *err)
{
    if (unshare(CLONE_NEWNS) != 0) {
        return ps_fail_errno(err, errno, "a mount namespace of one's own (needs root)");
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        return ps_fail_errno(err, errno, "make mounts private");
    }
    if (mount("tmpfs", MOUNT_ROOT, "tmpfs", 0, "size=1m") != 0) {
        return ps_fail_errno(err, errno, "mount tmpfs on %s", MOUNT_ROOT);
    }
    return PS_OK;
}

/* ---- the device ---- */

static int configure_loop(int loop_fd, int image_fd)
{
    struct loop_config config = { .fd = (uint32_t)image_fd,
                                  .info = { .lo_flags = LO_FLAGS_AUTOCLEAR } };
    return ioctl(loop_fd, LOOP_CONFIGURE, &config);
}

/* A free device and its number; somebody else may be faster, then the next. */
static enum ps_code attach_loop(struct disk *disk, int control_fd, int image_fd,
                                struct ps_error *err)
{
    for (int attempt = 0; attempt < LOOP_ATTEMPTS; attempt++) {
        int number = ioctl(control_fd, LOOP_CTL_GET_FREE);
        if (number < 0) { return ps_fail_errno(err, errno, "find a free loop device"); }
        snprintf(disk->device, sizeof disk->device, "/dev/loop%d", number);
        disk->loop_fd = open(disk->device, O_RDWR | O_CLOEXEC);
        if (disk->loop_fd < 0) { return ps_fail_errno(err, errno, "open %s", disk->device); }
        if (configure_loop(disk->loop_fd, image_fd) == 0) { return PS_OK; }
        int failure = errno;
        close(disk->loop_fd);
        disk->loop_fd = -1;
        if (failure != EBUSY) { return ps_fail_errno(err, failure, "set up %s", disk->device); }
    }
    return ps_fail(err, PS_UNAVAILABLE, "no loop device stays free");
}

static enum ps_code make_device(struct disk *disk, struct ps_error *err)
{
    enum ps_code rc;
    int control_fd = -1;
    int image_fd = memfd_create("disk", MFD_CLOEXEC);
    if (image_fd < 0 || ftruncate(image_fd, (off_t)disk->kind->size_bytes) != 0) {
        rc = ps_fail_errno(err, errno, "an image of %lld bytes in memory", disk->kind->size_bytes);
        goto done;
    }
    control_fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control_fd < 0) {
        rc = ps_fail_errno(err, errno, "open /dev/loop-control");
        goto done;
    }
    PS_TRY(done, rc, attach_loop(disk, control_fd, image_fd, err));
done:
    if (control_fd >= 0) { close(control_fd); }
    if (image_fd >= 0) { close(image_fd); }
    return rc;
}

enum ps_code disk_format(struct disk *disk, struct ps_error *err)
{
    extern char **environ;
    char *argv[MKFS_ARGUMENTS_MAX];
    size_t count = 0;
    for (; disk->kind->mkfs[count] != NULL; count++) {
        argv[count] = (char *)disk->kind->mkfs[count];
    }
    argv[count++] = disk->device;
    argv[count] = NULL;
    pid_t pid;
    int status = 0;
    int failure = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
    if (failure != 0) { return ps_fail_errno(err, failure, "run %s", argv[0]); }
    if (waitpid(pid, &status, 0) != pid) { return ps_fail_errno(err, errno, "wait for mkfs"); }
    if (status != 0) { return ps_fail(err, PS_UNKNOWN, "%s: wait status %d", argv[0], status); }
    return PS_OK;
}

/* ---- mounting ---- */

enum ps_code disk_mount(struct disk *disk, struct ps_error *err)
{
    if (mount(disk->device, disk->mount_point, disk->kind->type, MS_NOATIME, disk->kind->options) !=
        0) {
        return ps_fail_errno(err, errno, "mount %s as %s", disk->device, disk->kind->name);
    }
    disk->mount_fd = open(disk->mount_point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (disk->mount_fd < 0) { return ps_fail_errno(err, errno, "open '%s'", disk->mount_point); }
    return PS_OK;
}

enum ps_code disk_unmount(struct disk *disk, struct ps_error *err)
{
    close(disk->mount_fd);
    disk->mount_fd = -1;
    if (umount2(disk->mount_point, 0) != 0) {
        return ps_fail_errno(err, errno, "unmount '%s'", disk->mount_point);
    }
    /* The device stays open, and with it a cache of blocks that never reached the image. */
    if (ioctl(disk->loop_fd, BLKFLSBUF, 0) == 0) { return PS_OK; }
    return ps_fail_errno(err, errno, "drop the cache of %s", disk->device);
}

enum ps_code disk_cut(const struct disk *disk, struct ps_error *err)
{
    uint32_t flags = SHUTDOWN_WITHOUT_LOG_FLUSH;
    if (ioctl(disk->mount_fd, SHUTDOWN_IOCTL, &flags) == 0) { return PS_OK; }
    return ps_fail_errno(err, errno, "shut %s down", disk->kind->name);
}

enum ps_code disk_open(struct disk *disk, const struct disk_kind *kind, struct ps_error *err)
{
    enum ps_code rc;
    *disk = (struct disk){ .kind = kind, .loop_fd = -1, .mount_fd = -1 };
    snprintf(disk->mount_point, sizeof disk->mount_point, MOUNT_ROOT "/%s", kind->name);
    if (mkdir(disk->mount_point, 0700) != 0 && errno != EEXIST) {
        return ps_fail_errno(err, errno, "create '%s'", disk->mount_point);
    }
    PS_TRY(done, rc, make_device(disk, err));
    PS_TRY(done, rc, disk_format(disk, err));
    PS_TRY(done, rc, disk_mount(disk, err));
    PS_TRY(done, rc, disk_cut(disk, err));
    PS_TRY(done, rc, disk_unmount(disk, err));
done:
    return rc;
}

void disk_close(struct disk *disk)
{
    if (disk->mount_fd >= 0) { close(disk->mount_fd); }
    if (disk->loop_fd >= 0) {
        umount2(disk->mount_point, MNT_DETACH); /* fails if it is not mounted */
        close(disk->loop_fd);
    }
    disk->mount_fd = -1;
    disk->loop_fd = -1;
}

enum ps_code disk_mount_memory(const char *path, const char *options, struct ps_error *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return ps_fail_errno(err, errno, "create '%s'", path);
    }
    if (mount("tmpfs", path, "tmpfs", 0, options) == 0) { return PS_OK; }
    return ps_fail_errno(err, errno, "mount tmpfs (%s) on '%s'", options, path);
}

enum ps_code disk_unmount_memory(const char *path, struct ps_error *err)
{
    if (umount2(path, 0) == 0) { return PS_OK; }
    return ps_fail_errno(err, errno, "unmount '%s'", path);
}
