/* Memory of one message: a bump allocator with a ceiling, so a hostile message costs little. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_PROTO_ARENA_H
#define PARAMD_PROTO_ARENA_H

#include <stddef.h>

/* Most bytes between two resets. A decoder may ask for tens of times its input (an empty repeated
 * message of two bytes becomes a structure of a hundred): this is what refuses it. */
enum { PS_ARENA_LIMIT_BYTES = 64 << 20 };

/* Zero-initialise. Threads: one at a time. */
struct ps_arena_block;
struct ps_arena {
    struct ps_arena_block *first;
    struct ps_arena_block *current;
    size_t used_bytes; /* since the last reset, with what alignment and ends of blocks cost */
};

/* Memory for any type, until reset or clean; not zeroed. NULL: ceiling or no memory. */
void *ps_arena_alloc(struct ps_arena *arena, size_t size_bytes);
/* Forgets every allocation; keeps the first blocks, a few MiB at most, for the next message. */
void ps_arena_reset(struct ps_arena *arena);
/* Frees every block. Takes NULL; the arena may be used again. */
void ps_arena_clean(struct ps_arena *arena);

/* Lets an empty arena serve from memory of the caller first (a stack buffer, aligned for any
 * type), which must outlive the arena or its clean. Too little memory to be of use is ignored. */
void ps_arena_lend(struct ps_arena *arena, void *memory, size_t size_bytes);

#endif
