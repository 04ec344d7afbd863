/* File names of a checkpoint: TensorFlow's final ones, and ours while it is being written. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/bundle_names.h"

#include <inttypes.h>
#include <string.h>

/* What may be added to a prefix: shard numbers, id, and ".tmp" of a replaced file. */
enum { LONGEST_SUFFIX_BYTES = 80 };

enum ps_code ps_bundle_path(struct ps_path *path, const char *prefix,
                            const struct ps_bundle_name *name, struct ps_error *err)
{
    switch (name->kind) {
    case PS_BUNDLE_INDEX: return ps_path_set(path, err, "%s.index", prefix);
    case PS_BUNDLE_INDEX_TEMPORARY:
        return ps_path_set(path, err, "%s.index.tempstate%" PRIu64, prefix, name->id);
    case PS_BUNDLE_INDEX_COMMIT:
        return ps_path_set(path, err, "%s.index.commit%" PRIu64, prefix, name->id);
    case PS_BUNDLE_INDEX_REMOVED: return ps_path_set(path, err, "%s.index.removed", prefix);
    case PS_BUNDLE_DATA:
        return ps_path_set(path, err, "%s.data-%05" PRIu32 "-of-%05" PRIu32, prefix, name->shard,
                           name->shard_count);
    case PS_BUNDLE_DATA_TEMPORARY:
        return ps_path_set(path, err, "%s.data-%05" PRIu32 "-of-%05" PRIu32 ".tempstate%" PRIu64,
                           prefix, name->shard, name->shard_count, name->id);
    case PS_BUNDLE_PART_TEMPORARY:
        return ps_path_set(path, err, "%s.part-%05" PRIu32 ".tempstate%" PRIu64, prefix,
                           name->shard, name->id);
    case PS_BUNDLE_OTHER: break;
    }
    return ps_fail(err, PS_INTERNAL, "no path for a file that is none of '%s'", prefix);
}

/* Takes literal off *text. */
static bool take(const char **text, const char *literal)
{
    size_t size = strlen(literal);
    if (strncmp(*text, literal, size) != 0) { return false; }
    *text += size;
    return true;
}

/* Takes a decimal number of at least `digits` digits. */
static bool take_number(const char **text, size_t digits, uint64_t limit, uint64_t *number_out)
{
    uint64_t number = 0;
    size_t count = 0;
    for (; **text >= '0' && **text <= '9'; ++*text, count++) {
        uint64_t digit = (uint64_t)(**text - '0');
        if (number > (limit - digit) / 10) { return false; }
        number = number * 10 + digit;
    }
    *number_out = number;
    return count >= digits;
}

static bool take_tempstate(const char **text, struct ps_bundle_name *name)
{
    return take(text, ".tempstate") && take_number(text, 1, UINT64_MAX, &name->id);
}

/* What follows the prefix, without looking whether anything follows that. */
static enum ps_bundle_kind parse_suffix(const char **text, struct ps_bundle_name *name)
{
    uint64_t shard, shard_count;
    if (take(text, ".index")) {
        if (**text == '\0') { return PS_BUNDLE_INDEX; }
        if (take_tempstate(text, name)) { return PS_BUNDLE_INDEX_TEMPORARY; }
        if (take(text, ".commit") && take_number(text, 1, UINT64_MAX, &name->id)) {
            return PS_BUNDLE_INDEX_COMMIT;
        }
        return take(text, ".removed") ? PS_BUNDLE_INDEX_REMOVED : PS_BUNDLE_OTHER;
    }
    if (take(text, ".part-") && take_number(text, 5, UINT32_MAX, &shard)) {
        name->shard = (uint32_t)shard;
        return take_tempstate(text, name) ? PS_BUNDLE_PART_TEMPORARY : PS_BUNDLE_OTHER;
    }
    if (!take(text, ".data-") || !take_number(text, 5, UINT32_MAX, &shard) || !take(text, "-of-") ||
        !take_number(text, 5, UINT32_MAX, &shard_count)) {
        return PS_BUNDLE_OTHER;
    }
    name->shard = (uint32_t)shard;
    name->shard_count = (uint32_t)shard_count;
    if (**text == '\0') { return PS_BUNDLE_DATA; }
    return take_tempstate(text, name) ? PS_BUNDLE_DATA_TEMPORARY : PS_BUNDLE_OTHER;
}

struct ps_bundle_name ps_bundle_name_parse(const char *prefix, const char *file_name)
{
    struct ps_bundle_name name = { .kind = PS_BUNDLE_OTHER };
    const char *text = file_name;
    if (!take(&text, ps_path_base(prefix))) { return name; }
    name.kind = parse_suffix(&text, &name);
    if (*text != '\0') { name.kind = PS_BUNDLE_OTHER; }
    return name;
}

size_t ps_bundle_leftover_prefix(const char *file_name)
{
    /* The prefix itself may contain dots: try each. */
    for (const char *dot = strchr(file_name, '.'); dot != NULL; dot = strchr(dot + 1, '.')) {
        struct ps_bundle_name name = { .kind = PS_BUNDLE_OTHER };
        const char *text = dot;
        enum ps_bundle_kind kind = parse_suffix(&text, &name);
        bool is_leftover = kind != PS_BUNDLE_OTHER && kind != PS_BUNDLE_INDEX &&
                           kind != PS_BUNDLE_DATA;
        if (is_leftover && *text == '\0' && dot > file_name) { return (size_t)(dot - file_name); }
    }
    return 0;
}

enum ps_code ps_bundle_prefix_check(const char *prefix, struct ps_error *err)
{
    size_t size = strlen(prefix);
    if (size == 0 || prefix[size - 1] == '/') {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "'%s' is no checkpoint prefix: give a directory and a name, as in "
                       "'run/model.ckpt'",
                       prefix);
    }
    if (size > PS_PATH_BYTES - 1 - LONGEST_SUFFIX_BYTES) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "checkpoint prefix is %zu bytes long; at most %d",
                       size, PS_PATH_BYTES - 1 - LONGEST_SUFFIX_BYTES);
    }
    return PS_OK;
}
