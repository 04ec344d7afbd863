/* A file system in memory that knows what a power cut would leave of it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_MEMORY_FILES_H
#define PARAMD_TESTS_MEMORY_FILES_H

#include "checkpoint/files.h"
#include "core/bytes.h"
#include "core/philox.h"

struct ps_memory_files;

/* Has one directory, "d". Aborts when out of memory. Not thread-safe. */
struct ps_memory_files *ps_memory_files_create(void);
void ps_memory_files_destroy(struct ps_memory_files *memory);
const struct ps_files *ps_memory_files_table(struct ps_memory_files *memory);

/* What survives of changes to directories that were not synced. Contents that were not synced lose
 * all, nothing, or a random part of their end. */
enum ps_memory_crash { PS_CRASH_LOSES_ALL, PS_CRASH_LOSES_NOTHING, PS_CRASH_RANDOM };
void ps_memory_files_crash(struct ps_memory_files *memory, enum ps_memory_crash how,
                           struct ps_rng *rng);

/* Contents of a file, borrowed until it changes; data NULL if it is not there. */
struct ps_span ps_memory_files_get(struct ps_memory_files *memory, const char *path);
/* Creates or replaces a file, durably. */
void ps_memory_files_put(struct ps_memory_files *memory, const char *path, struct ps_span bytes);
/* Files whose name contains part; "" counts all. */
int ps_memory_files_count(struct ps_memory_files *memory, const char *part);

#endif
