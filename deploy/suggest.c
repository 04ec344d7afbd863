/* "Did you mean": the known word nearest to one that was mistyped. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/suggest.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* Longer words are no typing errors of ours: the longest flag has 20 letters. */
enum { MAX_WORD = 40 };

static bool same_letter(char a, char b)
{
    a = a == '-' ? '_' : (char)tolower((unsigned char)a);
    b = b == '-' ? '_' : (char)tolower((unsigned char)b);
    return a == b;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours between two short words. */
static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t row[3][MAX_WORD + 1]; /* the last row, the one before it, and the one in the making */
    size_t *before = row[0], *last = row[1], *now = row[2];
    for (size_t j = 0; j <= b_size; j++) { last[j] = j; }
    for (size_t i = 1; i <= a_size; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t change = same_letter(a[i - 1], b[j - 1]) ? 0 : 1;
            now[j] = min_size(last[j - 1] + change, min_size(last[j], now[j - 1]) + 1);
            bool swapped = i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
                           same_letter(a[i - 2], b[j - 1]);
            if (swapped) { now[j] = min_size(now[j], before[j - 2] + 1); }
        }
        size_t *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[b_size];
}

const char *ps_suggest_nearest(const char *word, const char *const *names, size_t count)
{
    size_t word_size = strlen(word);
    if (word_size == 0 || word_size > MAX_WORD) { return NULL; }
    const char *nearest = NULL;
    size_t most = word_size < 6 ? 1 : word_size / 3; /* one slip even in a short word */
    size_t least = most + 1;
    for (size_t i = 0; i < count; i++) {
        size_t name_size = strlen(names[i]);
        if (name_size > MAX_WORD) { continue; }
        size_t changes = distance(word, word_size, names[i], name_size);
        if (changes < least) {
            least = changes;
            nearest = names[i];
        }
    }
    return nearest;
}
