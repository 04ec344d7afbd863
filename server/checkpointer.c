/* The shared part of saving and restoring: made with the task, claimed for one job at a time. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/checkpointer.h"

#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "server/peers.h"
#include "server/service.h"

enum ps_code ps_checkpointer_create(struct ps_service *service,
                                    const struct ps_checkpointer_options *options,
                                    struct ps_checkpointer **checkpointer_out, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    *checkpointer_out = NULL;
    struct ps_checkpointer *checkpointer = ps_alloc_zero(1, sizeof *checkpointer);
    if (checkpointer == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a ps task");
    }
    ps_mutex_init(&checkpointer->lock, "checkpointer", PS_RANK_TASK);
    checkpointer->service = service;
    checkpointer->files = options->files != NULL ? options->files : ps_files_posix();
    checkpointer->root = ps_strdup(options->root != NULL ? options->root : "");
    if (checkpointer->root == NULL) {
        rc = ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a ps task");
        goto fail;
    }
    if (service->task_index == 0) {
        PS_TRY(fail, rc, ps_peers_create(options->cluster, &checkpointer->peers, err));
    }
    *checkpointer_out = checkpointer;
    return PS_OK;
fail:
    ps_checkpointer_destroy(checkpointer);
    return rc;
}

void ps_checkpointer_stop(struct ps_checkpointer *checkpointer)
{
    if (checkpointer != NULL) { atomic_store(&checkpointer->stopping, true); }
}

void ps_checkpointer_destroy(struct ps_checkpointer *checkpointer)
{
    if (checkpointer == NULL) { return; }
    PS_ASSERT(checkpointer->loader == NULL);
    ps_peers_destroy(checkpointer->peers);
    ps_mutex_clean(&checkpointer->lock);
    ps_free(checkpointer->root);
    ps_free(checkpointer);
}

enum ps_code ps_checkpointer_check(struct ps_checkpointer *checkpointer, struct ps_error *err)
{
    if (!atomic_load(&checkpointer->stopping)) { return PS_OK; }
    return ps_fail(err, PS_CANCELLED, "ps/%" PRIu32 " is stopping",
                   checkpointer->service->task_index);
}

enum ps_code ps_checkpointer_path(const struct ps_checkpointer *checkpointer, const char *path,
                                  struct ps_path *path_out, struct ps_error *err)
{
    if (path[0] == '/' || checkpointer->root[0] == '\0') {
        return ps_path_set(path_out, err, "%s", path);
    }
    return ps_path_set(path_out, err, "%s/%s", checkpointer->root, path);
}

const char *ps_checkpointer_shown(const struct ps_checkpointer *checkpointer, const char *path)
{
    size_t size = strlen(checkpointer->root);
    bool is_below = size > 0 && strncmp(path, checkpointer->root, size) == 0 && path[size] == '/';
    return is_below ? path + size + 1 : path;
}

enum ps_code ps_checkpointer_claim(struct ps_checkpointer *checkpointer, struct ps_error *err)
{
    if (checkpointer->peers == NULL) {
        return ps_fail(err, PS_FAILED_PRECONDITION,
                       "ps/%" PRIu32 " saves and restores only its own part: ask ps/0",
                       checkpointer->service->task_index);
    }
    ps_mutex_lock(&checkpointer->lock);
    bool is_busy = checkpointer->is_busy;
    checkpointer->is_busy = true;
    ps_mutex_unlock(&checkpointer->lock);
    if (!is_busy) { return PS_OK; }
    return ps_fail(err, PS_UNAVAILABLE,
                   "another save or restore of this cluster is under way; try again when it is "
                   "done");
}

void ps_checkpointer_release(struct ps_checkpointer *checkpointer)
{
    ps_mutex_lock(&checkpointer->lock);
    checkpointer->is_busy = false;
    ps_mutex_unlock(&checkpointer->lock);
}

uint64_t ps_checkpointer_new_id(void)
{
    uint64_t id = 0;
    if (getrandom(&id, sizeof id, 0) != (ssize_t)sizeof id) {
        id = (uint64_t)ps_clock_now_ns(ps_clock_monotonic()) ^ (uint64_t)getpid() << 40;
    }
    return id | 1u;
}
