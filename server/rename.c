/* Rules over all names of an index: exact ones, and POSIX patterns with $1 to $9. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/rename.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/bundle_reader.h"
#include "core/alloc.h"

enum { GROUPS = 10 }; /* the whole match, and $1 to $9 */

static enum ps_code fail_memory(struct ps_error *err)
{
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to rename variables");
}

/* ---- Patterns ---- */

/* Compiled patterns; the first `count` rules have one if they are patterns. */
struct patterns {
    const struct ps_rename *rules;
    regex_t *compiled;
    size_t count;
};

static enum ps_code compile(const struct ps_rename *rules, size_t rule_count,
                            struct patterns *patterns, struct ps_error *err)
{
    *patterns = (struct patterns){ .rules = rules };
    patterns->compiled = ps_alloc_zero(rule_count + 1, sizeof *patterns->compiled);
    if (patterns->compiled == NULL) { return fail_memory(err); }
    for (; patterns->count < rule_count; patterns->count++) {
        const struct ps_rename *rule = &rules[patterns->count];
        regex_t *compiled = &patterns->compiled[patterns->count];
        if (!rule->pattern) { continue; }
        int failure = regcomp(compiled, rule->from, REG_EXTENDED);
        if (failure == 0) { continue; }
        char text[128];
        regerror(failure, compiled, text, sizeof text);
        return ps_fail(err, PS_INVALID_ARGUMENT, "'%s' is no POSIX extended pattern: %s",
                       rule->from, text);
    }
    return PS_OK;
}

static void clean(struct patterns *patterns)
{
    for (size_t i = 0; i < patterns->count; i++) {
        if (patterns->rules[i].pattern) { regfree(&patterns->compiled[i]); }
    }
    ps_free(patterns->compiled);
}

static bool fits(const struct patterns *patterns, size_t rule, const char *name,
                 regmatch_t groups[GROUPS])
{
    if (!patterns->rules[rule].pattern) { return strcmp(patterns->rules[rule].from, name) == 0; }
    return regexec(&patterns->compiled[rule], name, GROUPS, groups, 0) == 0 &&
           groups[0].rm_so == 0 && (size_t)groups[0].rm_eo == strlen(name);
}

/* The group that "$1" at text means; -1: it is no such thing. */
static int group_at(const char *text)
{
    return text[0] == '$' && text[1] >= '1' && text[1] <= '9' ? text[1] - '0' : -1;
}

/* What becomes of name, in arena; NULL: no memory. */
static const char *substitute(const struct ps_rename *rule, const char *name,
                              const regmatch_t groups[GROUPS], struct ps_arena *arena)
{
    if (!rule->pattern) { return rule->to; }
    size_t size = strlen(rule->to) * (strlen(name) + 1) + 1; /* each letter the longest group */
    if (size > 2 * PS_MAX_TENSOR_NAME_BYTES) { size = 2 * PS_MAX_TENSOR_NAME_BYTES; }
    char *out = ps_arena_alloc(arena, size);
    size_t used = 0;
    if (out == NULL) { return NULL; }
    for (const char *at = rule->to; *at != '\0' && used + 1 < size; at++) {
        int group = group_at(at);
        if (group < 0) {
            out[used++] = *at;
            continue;
        }
        at++;
        if (groups[group].rm_so < 0) { continue; }
        size_t run = (size_t)(groups[group].rm_eo - groups[group].rm_so);
        if (run > size - 1 - used) { run = size - 1 - used; } /* too long to be a variable's */
        memcpy(out + used, name + groups[group].rm_so, run);
        used += run;
    }
    out[used] = '\0';
    return out;
}

/* ---- The map ---- */

static enum ps_code rename_one(const struct patterns *patterns, const char *name,
                               struct ps_rename_map *map, struct ps_error *err)
{
    regmatch_t groups[GROUPS];
    for (size_t rule = 0; rule < patterns->count; rule++) {
        if (!fits(patterns, rule, name, groups)) { continue; }
        const char *to = substitute(&patterns->rules[rule], name, groups, &map->arena);
        if (to == NULL) { return fail_memory(err); }
        map->items[map->count++] = (struct ps_renamed){ to, name, rule };
        return PS_OK;
    }
    return PS_OK;
}

static int compare(const void *a, const void *b)
{
    const struct ps_renamed *x = a, *y = b;
    int order = strcmp(x->to, y->to);
    return order != 0 ? order : (x->rule > y->rule) - (x->rule < y->rule);
}

/* Of several with one target the first stays. */
static enum ps_code drop_later(struct ps_rename_map *map, const struct ps_rename *rules,
                               struct ps_error *err)
{
    size_t kept = 0;
    qsort(map->items, map->count, sizeof *map->items, compare);
    for (size_t i = 0; i < map->count; i++) {
        const struct ps_renamed *last = kept > 0 ? &map->items[kept - 1] : NULL;
        const struct ps_renamed *item = &map->items[i];
        if (last == NULL || strcmp(last->to, item->to) != 0) {
            map->items[kept++] = *item;
        } else if (last->rule == item->rule && strcmp(last->from, item->from) != 0) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "pattern '%s' makes one name, '%s', of both '%s' and '%s'",
                           rules[item->rule].from, item->to, last->from, item->from);
        }
    }
    map->count = kept;
    return PS_OK;
}

enum ps_code ps_rename_map_make(const struct ps_bundle_reader *reader,
                                const struct ps_rename *rules, size_t rule_count,
                                struct ps_rename_map *map_out, struct ps_error *err)
{
    struct patterns patterns;
    size_t name_count = ps_bundle_reader_count(reader);
    *map_out = (struct ps_rename_map){ 0 };
    if (rule_count == 0) { return PS_OK; }
    enum ps_code rc = compile(rules, rule_count, &patterns, err);
    if (rc != PS_OK) { goto done; }
    map_out->items = ps_alloc_zero(name_count + rule_count, sizeof *map_out->items);
    if (map_out->items == NULL) {
        rc = fail_memory(err);
        goto done;
    }
    for (size_t i = 0; i < rule_count; i++) {
        if (rules[i].pattern) { continue; }
        /* Also of a name that is not there: then that is what is missing. */
        map_out->items[map_out->count++] = (struct ps_renamed){ rules[i].to, rules[i].from, i };
    }
    for (size_t i = 0; i < name_count; i++) {
        const char *name = ps_bundle_reader_info(reader, i).name;
        PS_TRY(done, rc, rename_one(&patterns, name, map_out, err));
    }
    PS_TRY(done, rc, drop_later(map_out, rules, err));
done:
    clean(&patterns);
    if (rc != PS_OK) { ps_rename_map_clean(map_out); }
    return rc;
}

void ps_rename_map_clean(struct ps_rename_map *map)
{
    if (map == NULL) { return; }
    ps_free(map->items);
    ps_arena_clean(&map->arena);
    *map = (struct ps_rename_map){ 0 };
}

const char *ps_rename_map_find(const struct ps_rename_map *map, const char *name)
{
    size_t low = 0, high = map->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(map->items[middle].to, name);
        if (order == 0) { return map->items[middle].from; }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return name;
}
