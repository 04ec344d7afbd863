/* What all formats of named tensors share: a list of tensors, a reader, a writer. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/archive.h"

#include <stdbool.h>
#include <string.h>

#include "core/alloc.h"

void ps_archive_list_clean(struct ps_archive_list *list)
{
    if (list == NULL) { return; }
    for (size_t i = 0; i < list->count; i++) { ps_free(list->items[i].name); }
    ps_free(list->items);
    *list = (struct ps_archive_list){ .items = NULL };
}

/* Bytes of the UTF-8 character at text, in its only spelling; 0 if there is none. */
static size_t character_bytes(const unsigned char *text)
{
    if (text[0] < 0x80) { return 1; }
    size_t size = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    unsigned second_from = 0x80, second_to = 0xbf;
    if (text[0] < 0xc2 || text[0] > 0xf4) { return 0; }
    if (text[0] == 0xe0) { second_from = 0xa0; } /* below: an overlong spelling */
    if (text[0] == 0xed) { second_to = 0x9f; }   /* above: half of a surrogate pair */
    if (text[0] == 0xf0) { second_from = 0x90; }
    if (text[0] == 0xf4) { second_to = 0x8f; } /* above: beyond Unicode */
    if (text[1] < second_from || text[1] > second_to) { return 0; }
    for (size_t i = 2; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80) { return 0; }
    }
    return size;
}

static bool is_utf8(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0') {
        size_t size = character_bytes(at);
        if (size == 0) { return false; }
        at += size;
    }
    return true;
}

static enum ps_code check(const struct ps_archive_list *list,
                          const struct ps_archive_tensor *tensor, struct ps_error *err)
{
    size_t size = strlen(tensor->name);
    if (size == 0 || size > PS_ARCHIVE_NAME_BYTES_MAX) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "a tensor's name has 1 to %d bytes; '%.60s' has %zu",
                       PS_ARCHIVE_NAME_BYTES_MAX, tensor->name, size);
    }
    if (!is_utf8(tensor->name)) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "the name '%s' is not UTF-8", tensor->name);
    }
    if (list->count == PS_ARCHIVE_TENSORS_MAX) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "more than %d tensors in one file",
                       PS_ARCHIVE_TENSORS_MAX);
    }
    enum ps_code rc = ps_shape_check(&tensor->shape, err);
    return rc == PS_OK ? PS_OK : ps_wrap(err, "tensor '%s'", tensor->name);
}

static enum ps_code reserve(struct ps_archive_list *list, struct ps_error *err)
{
    if (list->count < list->capacity) { return PS_OK; }
    size_t capacity = list->capacity * 2 + 16;
    struct ps_archive_tensor *items = ps_realloc(list->items, capacity * sizeof *items);
    if (items == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for %zu tensors", capacity);
    }
    list->items = items;
    list->capacity = capacity;
    return PS_OK;
}

enum ps_code ps_archive_list_add(struct ps_archive_list *list,
                                 const struct ps_archive_tensor *tensor, struct ps_error *err)
{
    enum ps_code rc = check(list, tensor, err);
    if (rc == PS_OK) { rc = reserve(list, err); }
    if (rc != PS_OK) { return rc; }
    char *name = ps_strdup(tensor->name);
    if (name == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a name"); }
    list->items[list->count] = *tensor;
    list->items[list->count++].name = name;
    return PS_OK;
}

uint64_t ps_archive_size_bytes(const struct ps_archive_tensor *tensor)
{
    return (uint64_t)ps_shape_elements(&tensor->shape) * (uint64_t)ps_dtype_size(tensor->dtype);
}
