/* Levenshtein's distance against every name of an index, given up early where it grows too large.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/nearest_name.h"

#include <string.h>

/* Longer names are not compared; beyond so many the search would take longer than the restore. */
enum { NAME_MAX = 256, CANDIDATES_MAX = 20000 };

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters to insert, remove or change; limit or more: limit. */
static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size, size_t limit)
{
    size_t row[NAME_MAX + 1];
    for (size_t j = 0; j <= b_size; j++) { row[j] = j; }
    for (size_t i = 1; i <= a_size; i++) {
        size_t diagonal = row[0], least = i;
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = min_size(change, min_size(row[j], row[j - 1]) + 1);
            least = min_size(least, row[j]);
        }
        if (least >= limit) { return limit; }
    }
    return row[b_size];
}

const char *ps_nearest_name(const struct ps_bundle_reader *reader, const char *name)
{
    size_t size = strlen(name);
    size_t count = min_size(ps_bundle_reader_count(reader), CANDIDATES_MAX);
    const char *nearest = NULL;
    size_t limit = size / 3 + 1;
    if (size > NAME_MAX) { return NULL; }
    for (size_t i = 0; i < count; i++) {
        const char *candidate = ps_bundle_reader_info(reader, i).name;
        size_t candidate_size = strlen(candidate);
        size_t gap = candidate_size > size ? candidate_size - size : size - candidate_size;
        if (gap >= limit || candidate_size > NAME_MAX) { continue; }
        size_t changes = distance(name, size, candidate, candidate_size, limit);
        if (changes < limit) {
            limit = changes;
            nearest = candidate;
        }
    }
    return nearest;
}
