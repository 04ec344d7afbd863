/* A file system in memory: live names, durable names, and the changes between the two. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/checkpoint/memory_files.h"

#include <stdlib.h>
#include <string.h>

enum { FILES_MAX = 256, NAME_BYTES = 96 };

struct node {
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t durable_size;
    uint64_t inode;
    struct node *next; /* all nodes, to free them */
};

struct entry {
    char name[NAME_BYTES];
    struct node *node;
};

struct directory {
    struct entry *entries;
    size_t count;
};

/* A change of the directory that is not durable yet: name gone (node NULL), or naming node. */
struct change {
    char from[NAME_BYTES]; /* of a rename; else "" */
    char name[NAME_BYTES];
    struct node *node;
};

struct ps_memory_files {
    struct ps_files files;
    struct node *nodes;
    uint64_t next_inode;
    struct directory live;
    struct directory durable;
    struct change *pending;
    size_t pending_count;
};

struct memory_file {
    struct ps_file file;
    struct node *node;
};

static void *must(void *memory)
{
    if (memory == NULL) { abort(); }
    return memory;
}

static void copy_name(char out[NAME_BYTES], const char *name)
{
    if (strlen(name) >= NAME_BYTES) { abort(); }
    memset(out, 0, NAME_BYTES);
    memcpy(out, name, strlen(name));
}

static struct entry *find(struct directory *directory, const char *name)
{
    for (size_t i = 0; i < directory->count; i++) {
        if (strcmp(directory->entries[i].name, name) == 0) { return &directory->entries[i]; }
    }
    return NULL;
}

/* Makes name name node, or nothing if node is NULL. */
static void set(struct directory *directory, const char *name, struct node *node)
{
    struct entry *entry = find(directory, name);
    if (node == NULL) {
        if (entry != NULL) { *entry = directory->entries[--directory->count]; }
        return;
    }
    if (entry == NULL) {
        if (directory->count == FILES_MAX) { abort(); }
        entry = &directory->entries[directory->count++];
        copy_name(entry->name, name);
    }
    entry->node = node;
}

static void note(struct ps_memory_files *memory, const char *from, const char *name,
                 struct node *node)
{
    memory->pending = must(
        realloc(memory->pending, (memory->pending_count + 1) * sizeof *memory->pending));
    struct change *change = &memory->pending[memory->pending_count++];
    copy_name(change->from, from);
    copy_name(change->name, name);
    change->node = node;
}

static void apply(struct directory *directory, const struct change *change)
{
    if (change->from[0] != '\0') { set(directory, change->from, NULL); }
    set(directory, change->name, change->node);
}

static enum ps_code not_found(const char *path, struct ps_error *err)
{
    return ps_fail(err, PS_NOT_FOUND, "'%s' is not there", path);
}

static struct memory_file *memory_of(struct ps_file *file)
{
    return (struct memory_file *)file;
}

static void grow(struct node *node, const void *data, size_t size_bytes)
{
    if (node->size + size_bytes > node->capacity) {
        node->capacity = 2 * (node->size + size_bytes);
        node->data = must(realloc(node->data, node->capacity));
    }
    if (size_bytes > 0) { memcpy(node->data + node->size, data, size_bytes); }
    node->size += size_bytes;
}

static enum ps_code file_append(struct ps_file *file, const void *data, size_t size_bytes,
                                struct ps_error *err)
{
    (void)err;
    grow(memory_of(file)->node, data, size_bytes);
    return PS_OK;
}

static enum ps_code file_read_at(struct ps_file *file, uint64_t offset, void *out,
                                 size_t size_bytes, struct ps_error *err)
{
    const struct node *node = memory_of(file)->node;
    if (offset > node->size || size_bytes > node->size - offset) {
        return ps_fail(err, PS_DATA_LOSS, "the file ends early: it was cut");
    }
    if (size_bytes > 0) { memcpy(out, node->data + offset, size_bytes); }
    return PS_OK;
}

static enum ps_code file_sync(struct ps_file *file, struct ps_error *err)
{
    (void)err;
    memory_of(file)->node->durable_size = memory_of(file)->node->size;
    return PS_OK;
}

static void fill_info(const struct node *node, struct ps_file_info *info)
{
    *info = (struct ps_file_info){
        .size_bytes = node->size, .device = 1, .inode = node->inode, .modified_s = 1000
    };
}

static enum ps_code file_info(struct ps_file *file, struct ps_file_info *info_out,
                              struct ps_error *err)
{
    (void)err;
    fill_info(memory_of(file)->node, info_out);
    return PS_OK;
}

static enum ps_code file_close(struct ps_file *file, struct ps_error *err)
{
    (void)err;
    free(file);
    return PS_OK;
}

static const struct ps_file_ops memory_file_ops = {
    .append = file_append,
    .read_at = file_read_at,
    .sync = file_sync,
    .info = file_info,
    .close = file_close,
};

static struct ps_file *open_node(struct node *node)
{
    struct memory_file *file = must(calloc(1, sizeof *file));
    file->file.ops = &memory_file_ops;
    file->node = node;
    return &file->file;
}

static struct node *new_node(struct ps_memory_files *memory)
{
    struct node *node = must(calloc(1, sizeof *node));
    node->inode = ++memory->next_inode;
    node->next = memory->nodes;
    memory->nodes = node;
    return node;
}

static enum ps_code memory_create(void *ctx, const char *path, struct ps_file **file_out,
                                  struct ps_error *err)
{
    struct ps_memory_files *memory = ctx;
    *file_out = NULL;
    if (find(&memory->live, path) != NULL) {
        return ps_fail(err, PS_ALREADY_EXISTS, "'%s' exists", path);
    }
    struct node *node = new_node(memory);
    set(&memory->live, path, node);
    note(memory, "", path, node);
    *file_out = open_node(node);
    return PS_OK;
}

static enum ps_code memory_open(void *ctx, const char *path, struct ps_file **file_out,
                                struct ps_error *err)
{
    struct ps_memory_files *memory = ctx;
    struct entry *entry = find(&memory->live, path);
    *file_out = NULL;
    if (entry == NULL) { return not_found(path, err); }
    *file_out = open_node(entry->node);
    return PS_OK;
}

static enum ps_code memory_rename(void *ctx, const char *from, const char *to, struct ps_error *err)
{
    struct ps_memory_files *memory = ctx;
    struct entry *entry = find(&memory->live, from);
    if (entry == NULL) { return not_found(from, err); }
    struct node *node = entry->node;
    set(&memory->live, from, NULL);
    set(&memory->live, to, node);
    note(memory, from, to, node);
    return PS_OK;
}

static enum ps_code memory_unlink(void *ctx, const char *path, struct ps_error *err)
{
    struct ps_memory_files *memory = ctx;
    if (find(&memory->live, path) == NULL) { return not_found(path, err); }
    set(&memory->live, path, NULL);
    note(memory, "", path, NULL);
    return PS_OK;
}

static enum ps_code memory_mkdir(void *ctx, const char *path, struct ps_error *err)
{
    (void)ctx;
    return ps_fail(err, PS_ALREADY_EXISTS, "'%s' exists", path);
}

static enum ps_code memory_sync_dir(void *ctx, const char *path, struct ps_error *err)
{
    struct ps_memory_files *memory = ctx;
    (void)path;
    (void)err;
    for (size_t i = 0; i < memory->pending_count; i++) {
        apply(&memory->durable, &memory->pending[i]);
    }
    memory->pending_count = 0;
    return PS_OK;
}

static enum ps_code memory_list(void *ctx, const char *path, ps_files_visit_fn *visit,
                                void *visit_ctx, struct ps_error *err)
{
    struct ps_memory_files *memory = ctx;
    size_t size = strlen(path);
    for (size_t i = 0; i < memory->live.count; i++) {
        const char *name = memory->live.entries[i].name;
        if (strncmp(name, path, size) != 0 || name[size] != '/') { continue; }
        enum ps_code rc = visit(visit_ctx, name + size + 1, err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

static enum ps_code memory_stat(void *ctx, const char *path, struct ps_file_info *info_out,
                                struct ps_error *err)
{
    struct ps_memory_files *memory = ctx;
    if (strcmp(path, "d") == 0 || strcmp(path, ".") == 0) {
        *info_out = (struct ps_file_info){ .is_directory = true };
        return PS_OK;
    }
    struct entry *entry = find(&memory->live, path);
    if (entry == NULL) { return not_found(path, err); }
    fill_info(entry->node, info_out);
    return PS_OK;
}

struct ps_memory_files *ps_memory_files_create(void)
{
    struct ps_memory_files *memory = must(calloc(1, sizeof *memory));
    memory->live.entries = must(calloc(FILES_MAX, sizeof(struct entry)));
    memory->durable.entries = must(calloc(FILES_MAX, sizeof(struct entry)));
    memory->files = (struct ps_files){
        .ctx = memory,
        .create = memory_create,
        .open = memory_open,
        .rename = memory_rename,
        .unlink = memory_unlink,
        .mkdir = memory_mkdir,
        .sync_dir = memory_sync_dir,
        .list = memory_list,
        .stat = memory_stat,
    };
    return memory;
}

void ps_memory_files_destroy(struct ps_memory_files *memory)
{
    while (memory->nodes != NULL) {
        struct node *next = memory->nodes->next;
        free(memory->nodes->data);
        free(memory->nodes);
        memory->nodes = next;
    }
    free(memory->pending);
    free(memory->live.entries);
    free(memory->durable.entries);
    free(memory);
}

const struct ps_files *ps_memory_files_table(struct ps_memory_files *memory)
{
    return &memory->files;
}

static bool survives(enum ps_memory_crash how, struct ps_rng *rng)
{
    return how == PS_CRASH_LOSES_NOTHING || (how == PS_CRASH_RANDOM && ps_rng_below(rng, 2) == 1);
}

void ps_memory_files_crash(struct ps_memory_files *memory, enum ps_memory_crash how,
                           struct ps_rng *rng)
{
    for (size_t i = 0; i < memory->pending_count; i++) {
        if (survives(how, rng)) { apply(&memory->durable, &memory->pending[i]); }
    }
    memory->pending_count = 0;
    memory->live.count = 0;
    for (size_t i = 0; i < memory->durable.count; i++) {
        set(&memory->live, memory->durable.entries[i].name, memory->durable.entries[i].node);
    }
    for (struct node *node = memory->nodes; node != NULL; node = node->next) {
        size_t loose = node->size - node->durable_size;
        if (how == PS_CRASH_LOSES_ALL) { node->size = node->durable_size; }
        if (how == PS_CRASH_RANDOM && loose > 0) {
            node->size = node->durable_size + (size_t)ps_rng_below(rng, loose + 1);
        }
        node->durable_size = node->size;
    }
}

struct ps_span ps_memory_files_get(struct ps_memory_files *memory, const char *path)
{
    static const uint8_t nothing;
    struct entry *entry = find(&memory->live, path);
    if (entry == NULL) { return (struct ps_span){ NULL, 0 }; }
    const uint8_t *data = entry->node->data;
    return (struct ps_span){ data == NULL ? &nothing : data, entry->node->size };
}

void ps_memory_files_put(struct ps_memory_files *memory, const char *path, struct ps_span bytes)
{
    struct node *node = new_node(memory);
    grow(node, bytes.data, bytes.size);
    node->durable_size = node->size;
    set(&memory->live, path, node);
    set(&memory->durable, path, node);
}

int ps_memory_files_count(struct ps_memory_files *memory, const char *part)
{
    int count = 0;
    for (size_t i = 0; i < memory->live.count; i++) {
        count += strstr(memory->live.entries[i].name, part) != NULL;
    }
    return count;
}
