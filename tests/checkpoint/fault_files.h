/* A file system whose n-th call fails, or with which the process dies. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_FAULT_FILES_H
#define PARAMD_TESTS_FAULT_FILES_H

#include <pthread.h>

#include "checkpoint/files.h"

enum ps_fault_kind {
    PS_FAULT_ONCE, /* the call does nothing (a write: half) and fails; later calls work */
    PS_FAULT_LATE, /* the call works and fails nevertheless, as over a network */
    PS_FAULT_KILL, /* from that call on nothing happens any more: the process was killed there */
    PS_FAULT_VISIT /* before that call, visit is called: another process comes in between */
};

/* The caller's memory. */
struct ps_fault_files {
    struct ps_files files; /* hand this out */
    const struct ps_files *under;
    enum ps_fault_kind kind;
    int errno_value;
    long fail_at;    /* 1: the first call; 0: never */
    long call_count; /* so far */
    bool is_tripped;
    void (*visit)(void *visit_ctx);
    void *visit_ctx;
    pthread_mutex_t lock; /* of kind to is_tripped, where several threads use it */
};

void ps_fault_files_init(struct ps_fault_files *fault, const struct ps_files *under,
                         enum ps_fault_kind kind, long fail_at);

/* Counts from 0 again towards another fault; whether the last one was tripped. Threads: any. */
bool ps_fault_files_reset(struct ps_fault_files *fault, enum ps_fault_kind kind, long fail_at);

#endif
