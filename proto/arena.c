/* A chain of blocks, filled one after the other. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/arena.h"

#include <stdbool.h>
#include <stdint.h>

#include "core/alloc.h"
#include "core/status.h"

enum {
    FIRST_BLOCK_BYTES = 8 << 10,   /* a message of the data stream fits */
    LARGEST_BLOCK_BYTES = 1 << 20, /* blocks double up to here; a larger request gets its own */
    KEPT_BYTES = 4 << 20,          /* a frame with all the pieces it may have fits */
    ALIGNMENT_BYTES = _Alignof(max_align_t)
};

struct ps_arena_block {
    struct ps_arena_block *next;
    size_t capacity_bytes;
    size_t used_bytes;
    bool lent;
    _Alignas(max_align_t) uint8_t bytes[];
};

/* The block after the current one, made if there is none. It may be too small for size_bytes only
 * if it was there already: then the caller goes on to the one behind it. */
static struct ps_arena_block *next_block(struct ps_arena *arena, size_t size_bytes)
{
    struct ps_arena_block **link = arena->current == NULL ? &arena->first : &arena->current->next;
    if (*link != NULL) { return *link; }

    size_t capacity = FIRST_BLOCK_BYTES;
    if (arena->current != NULL && capacity < arena->current->capacity_bytes * 2) {
        capacity = arena->current->capacity_bytes * 2;
    }
    if (capacity > LARGEST_BLOCK_BYTES) { capacity = LARGEST_BLOCK_BYTES; }
    if (capacity < size_bytes) { capacity = size_bytes; }
    struct ps_arena_block *block = ps_alloc(sizeof *block + capacity);
    if (block == NULL) { return NULL; }
    *block = (struct ps_arena_block){ .capacity_bytes = capacity };
    *link = block;
    return block;
}

/* Makes a block with room for size_bytes the current one. What is left over in the blocks it
 * passes counts as used, so that the ceiling holds for the memory taken, not only for the memory
 * handed out. */
static bool advance(struct ps_arena *arena, size_t size_bytes)
{
    for (;;) {
        struct ps_arena_block *old = arena->current;
        size_t left = old == NULL ? 0 : old->capacity_bytes - old->used_bytes;
        if (left >= size_bytes && old != NULL) { return true; }
        if (left + size_bytes > PS_ARENA_LIMIT_BYTES - arena->used_bytes) { return false; }

        struct ps_arena_block *block = next_block(arena, size_bytes);
        if (block == NULL) { return false; }
        if (old != NULL) { old->used_bytes = old->capacity_bytes; }
        arena->used_bytes += left;
        block->used_bytes = 0;
        arena->current = block;
    }
}

void *ps_arena_alloc(struct ps_arena *arena, size_t size_bytes)
{
    if (size_bytes > PS_ARENA_LIMIT_BYTES - arena->used_bytes) { return NULL; }
    size_t taken_bytes = (size_bytes + ALIGNMENT_BYTES - 1) / ALIGNMENT_BYTES * ALIGNMENT_BYTES;
    if (taken_bytes == 0) { taken_bytes = ALIGNMENT_BYTES; }
    if (taken_bytes > PS_ARENA_LIMIT_BYTES - arena->used_bytes) { return NULL; }
    if (!advance(arena, taken_bytes)) { return NULL; }

    struct ps_arena_block *block = arena->current;
    void *memory = block->bytes + block->used_bytes;
    block->used_bytes += taken_bytes;
    arena->used_bytes += taken_bytes;
    return memory;
}

static void free_chain(struct ps_arena_block *block)
{
    while (block != NULL) {
        struct ps_arena_block *next = block->next;
        if (!block->lent) { ps_free(block); }
        block = next;
    }
}

void ps_arena_reset(struct ps_arena *arena)
{
    size_t kept_bytes = 0;
    struct ps_arena_block **link = &arena->first;
    while (*link != NULL && kept_bytes + (*link)->capacity_bytes <= KEPT_BYTES) {
        kept_bytes += (*link)->capacity_bytes;
        (*link)->used_bytes = 0;
        link = &(*link)->next;
    }
    free_chain(*link);
    *link = NULL;
    arena->current = arena->first;
    arena->used_bytes = 0;
}

void ps_arena_clean(struct ps_arena *arena)
{
    if (arena == NULL) { return; }
    free_chain(arena->first);
    *arena = (struct ps_arena){ 0 };
}

void ps_arena_lend(struct ps_arena *arena, void *memory, size_t size_bytes)
{
    PS_ASSERT(arena->first == NULL);
    PS_ASSERT((uintptr_t)memory % ALIGNMENT_BYTES == 0);
    if (size_bytes < sizeof(struct ps_arena_block) + ALIGNMENT_BYTES) { return; }
    struct ps_arena_block *block = memory;
    *block = (struct ps_arena_block){ .capacity_bytes = size_bytes - sizeof *block, .lent = true };
    arena->first = block;
    arena->current = block;
}
