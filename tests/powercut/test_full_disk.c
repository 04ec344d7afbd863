/* A disk of 2 MiB runs full at every page and every file of a save. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "checkpoint/bundle_names.h"
#include "checkpoint/files.h"
#include "checkpoint/state_file.h"
#include "core/log.h"
#include "tests/powercut/content.h"
#include "tests/powercut/disk.h"

/* Needs a mount, not the forks of a test framework: a failure ends the program. */
#define EXPECT(condition, ...)                                     \
    do {                                                           \
        if (!(condition)) {                                        \
            printf("%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            printf(__VA_ARGS__);                                   \
            putchar('\n');                                         \
            exit(EXIT_FAILURE);                                    \
        }                                                          \
    } while (0)

#define DISK    "/mnt/full"
#define RUN     DISK "/run"
#define STATE   RUN "/checkpoint"
#define BALLAST DISK "/ballast"

enum { STEPS_MAX = 400, FILES_MAX = 64 };

/* Numbers with contents of these sizes: two of them and the ballast's last pages fit the disk. */
enum { CONTENT_BYTES_MIN = 20000, CONTENT_BYTES_MAX = 120000 };

/* What ran out when a save failed. */
enum victim { VICTIM_PART, VICTIM_INDEX, VICTIM_STATE, VICTIM_OTHER, VICTIMS };

static struct ps_error error;

static void silent(void *ctx, enum ps_log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    (void)line;
}

/* ---- how full it is ---- */

static struct statvfs room(void)
{
    struct statvfs found;
    EXPECT(statvfs(DISK, &found) == 0, "%s", strerror(errno));
    return found;
}

/* Leaves exactly so many pages. */
static void leave_pages(unsigned long page_count)
{
    struct statvfs before = room();
    EXPECT(before.f_bavail > page_count, "%lu pages are free", (unsigned long)before.f_bavail);
    int fd = open(BALLAST, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    off_t size = (off_t)((before.f_bavail - page_count) * before.f_bsize);
    EXPECT(fd >= 0 && posix_fallocate(fd, 0, size) == 0, "%lld bytes", (long long)size);
    close(fd);
    EXPECT(room().f_bavail == page_count, "%lu pages are left", (unsigned long)room().f_bavail);
}

/* Leaves room for exactly so many files. */
static void leave_files(unsigned long file_count)
{
    char path[64];
    EXPECT(room().f_ffree >= file_count, "%lu are free", (unsigned long)room().f_ffree);
    for (int i = 0; room().f_ffree > file_count; i++) {
        snprintf(path, sizeof path, BALLAST "-%d", i);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        EXPECT(fd >= 0, "%s: %s", path, strerror(errno));
        close(fd);
    }
}

static void drop_ballast(void)
{
    char path[64];
    unlink(BALLAST);
    for (int i = 0; i < FILES_MAX; i++) {
        snprintf(path, sizeof path, BALLAST "-%d", i);
        unlink(path);
    }
}

/* ---- saves ---- */

/* The next number with several shards, or with one, and a content of the size wanted. */
static uint64_t next_number(uint64_t number, bool is_sharded)
{
    for (;;) {
        uint64_t size_bytes = content_size_bytes(++number);
        bool fits = size_bytes >= CONTENT_BYTES_MIN && size_bytes <= CONTENT_BYTES_MAX;
        if (fits && (content_shard_count(number) > 1) == is_sharded) { return number; }
    }
}

/* A save and the state file that names it. */
static enum ps_code save(const char *name, uint64_t number)
{
    struct ps_path prefix;
    struct ps_state state = { 0 };
    enum ps_code rc;
    error = (struct ps_error)PS_ERROR_INIT;
    PS_TRY(done, rc, ps_path_set(&prefix, &error, RUN "/%s", name));
    PS_TRY(done, rc, content_save(ps_files_posix(), prefix.text, number, &error));
    PS_TRY(done, rc, ps_state_set_latest(&state, name, &error));
    PS_TRY(done, rc, ps_state_add(&state, name, (double)number, &error));
    PS_TRY(done, rc, ps_state_write(ps_files_posix(), STATE, &state, &error));
done:
    ps_state_clean(&state);
    return rc;
}

/* The number of the checkpoint there, 0 if there is none; damage fails the test. */
static uint64_t load(const char *name)
{
    struct ps_path prefix;
    uint64_t number;
    enum ps_code rc = ps_path_set(&prefix, &error, RUN "/%s", name);
    if (rc == PS_OK) { rc = content_load(ps_files_posix(), prefix.text, &number, &error); }
    EXPECT(rc == PS_OK || rc == PS_NOT_FOUND, "%s: %s", name, error.message);
    return rc == PS_OK ? number : 0;
}

static void expect_latest(const char *name)
{
    struct ps_state state;
    enum ps_code rc = ps_state_read(ps_files_posix(), STATE, &state, &error);
    EXPECT(rc == PS_OK, "%s", error.message);
    EXPECT(strcmp(state.latest, name) == 0, "%s, not %s", state.latest, name);
    ps_state_clean(&state);
}

static enum ps_code visit_no_temporary(void *visit_ctx, const char *name, struct ps_error *err)
{
    (void)visit_ctx;
    (void)err;
    bool is_temporary = ps_bundle_leftover_prefix(name) > 0 || strcmp(name, "checkpoint.tmp") == 0;
    EXPECT(!is_temporary, "'%s' is left over", name);
    return PS_OK;
}

static void expect_no_temporary(void)
{
    const struct ps_files *files = ps_files_posix();
    enum ps_code rc = files->list(files->ctx, RUN, visit_no_temporary, NULL, &error);
    EXPECT(rc == PS_OK, "%s", error.message);
}

/* The message must name the file that found no room. */
static enum victim name_victim(void)
{
    static const char *const marks[] = { [VICTIM_PART] = RUN "/model.ckpt-",
                                         [VICTIM_INDEX] = ".index.tempstate",
                                         [VICTIM_STATE] = STATE ".tmp" };
    EXPECT(error.code == PS_RESOURCE_EXHAUSTED, "%s: %s", ps_code_name(error.code), error.message);
    EXPECT(strstr(error.message, strerror(ENOSPC)) != NULL, "%s", error.message);
    if (strstr(error.message, marks[VICTIM_STATE]) != NULL) { return VICTIM_STATE; }
    if (strstr(error.message, marks[VICTIM_PART]) == NULL) { return VICTIM_OTHER; }
    if (strstr(error.message, marks[VICTIM_INDEX]) != NULL) { return VICTIM_INDEX; }
    return strstr(error.message, ".part-") != NULL ? VICTIM_PART : VICTIM_OTHER;
}

/* ---- one step ---- */

struct scenario {
    const char *name;
    void (*leave)(unsigned long count);
    bool is_sharded;
    bool is_same_prefix;
    unsigned long needed_min; /* fewer pages or files must not be enough */
};

static const char *target_of(const struct scenario *scenario)
{
    return scenario->is_same_prefix ? "model.ckpt-1" : "model.ckpt-2";
}

/* After a failed save: the old checkpoint and its state file as they were, or, if the new one had
 * been decided (then only the state file failed), that one; and no temporary file. */
static void expect_intact(const struct scenario *scenario, uint64_t old, uint64_t new,
                          enum victim victim)
{
    uint64_t found = load("model.ckpt-1");
    bool is_saved = victim == VICTIM_STATE;
    if (scenario->is_same_prefix) {
        EXPECT(found == (is_saved ? new : old), "number %" PRIu64, found);
    } else {
        EXPECT(found == old, "number %" PRIu64, found);
        EXPECT(load("model.ckpt-2") == (is_saved ? new : 0), "%s", error.message);
    }
    expect_latest("model.ckpt-1");
    expect_no_temporary();
}

/* With room for so many: true if the save came through, else what it failed for is counted. */
static bool step(const struct scenario *scenario, unsigned long count, int victims[VICTIMS])
{
    uint64_t old = next_number(0, scenario->is_sharded);
    uint64_t new = next_number(old, scenario->is_sharded);
    EXPECT(save("model.ckpt-1", old) == PS_OK, "%s", error.message);
    scenario->leave(count);
    bool is_saved = save(target_of(scenario), new) == PS_OK;
    if (!is_saved) {
        enum victim victim = name_victim();
        EXPECT(victim != VICTIM_OTHER, "no file of the save is named: %s", error.message);
        victims[victim]++;
        expect_intact(scenario, old, new, victim);
    }
    drop_ballast();
    EXPECT(save(target_of(scenario), new) == PS_OK, "after space was freed: %s", error.message);
    EXPECT(load(target_of(scenario)) == new, "%s", error.message);
    expect_latest(target_of(scenario));
    expect_no_temporary();
    return is_saved;
}

/* ---- all steps ---- */

static bool prepare(void)
{
    if (disk_namespace(&error) == PS_OK &&
        disk_mount_memory(DISK, "size=2m,nr_inodes=40", &error) == PS_OK) {
        return true;
    }
    printf("skipped: %s\n", error.message);
    return false;
}

static void empty(void)
{
    EXPECT(disk_unmount_memory(DISK, &error) == PS_OK, "%s", error.message);
    EXPECT(disk_mount_memory(DISK, "size=2m,nr_inodes=40", &error) == PS_OK, "%s", error.message);
}

static void run(const struct scenario *scenario)
{
    int victims[VICTIMS] = { 0 };
    unsigned long count = 0;
    for (empty(); !step(scenario, count, victims); empty()) {
        EXPECT(++count < STEPS_MAX, "never enough");
    }
    printf("%s: enough is %lu; it failed for a data file %d times, for the index %d, for the state "
           "file %d\n",
           scenario->name, count, victims[VICTIM_PART], victims[VICTIM_INDEX],
           victims[VICTIM_STATE]);
    EXPECT(count >= scenario->needed_min, "%lu should not be enough", count);
    EXPECT(victims[VICTIM_PART] > 0 && victims[VICTIM_INDEX] > 0, "a kind of failure is missing");
    /* A save over the same prefix frees what the state file then takes. */
    EXPECT(victims[VICTIM_STATE] > 0 || scenario->is_same_prefix, "the state file never failed");
}

int main(void)
{
    const struct ps_log_options quiet = { .level = PS_LOG_ERROR, .sink = silent };
    static const struct scenario scenarios[] = {
        { "pages, new prefix", leave_pages, false, false, CONTENT_BYTES_MIN / 4096 },
        { "pages, same prefix", leave_pages, false, true, CONTENT_BYTES_MIN / 4096 },
        { "pages, shards", leave_pages, true, false, CONTENT_BYTES_MIN / 4096 },
        { "files, new prefix", leave_files, false, false, 3 },
        { "files, same prefix", leave_files, false, true, 2 },
        { "files, shards", leave_files, true, false, 4 },
    };
    ps_log_configure(&quiet);
    if (!prepare()) { return DISK_EXIT_SKIPPED; }
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) { run(&scenarios[i]); }
    return EXIT_SUCCESS;
}
