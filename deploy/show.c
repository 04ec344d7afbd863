/* Numbers and tables for people. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/show.h"

#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"

const char *ps_show_count(uint64_t count, char text[PS_SHOW_BYTES])
{
    char digits[24];
    int size = snprintf(digits, sizeof digits, "%" PRIu64, count);
    size_t used = 0;
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0) { text[used++] = ','; }
        text[used++] = digits[i];
    }
    text[used] = '\0';
    return text;
}

/* value with one of the units, each a thousand times the one before; "5.1" below 10, "38" above. */
static const char *scale(double value, const char *const *units, size_t unit_count,
                         char text[PS_SHOW_BYTES])
{
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < unit_count) {
        value /= 1000;
        unit++;
    }
    bool fraction = unit > 0 && value < 9.95;
    snprintf(text, PS_SHOW_BYTES, "%.*f%s", fraction ? 1 : 0, value, units[unit]);
    return text;
}

const char *ps_show_size(uint64_t size_bytes, char text[PS_SHOW_BYTES])
{
    static const char *const units[] = { " B", " kB", " MB", " GB", " TB", " PB" };
    return scale((double)size_bytes, units, sizeof units / sizeof units[0], text);
}

const char *ps_show_rate(double rate, char text[PS_SHOW_BYTES])
{
    static const char *const units[] = { "", " k", " M", " G" };
    return scale(rate, units, sizeof units / sizeof units[0], text);
}

const char *ps_show_seconds(double seconds, char text[PS_SHOW_BYTES])
{
    if (seconds < 99.95) {
        snprintf(text, PS_SHOW_BYTES, "%.1f s", seconds);
        return text;
    }
    long long whole = (long long)(seconds + 0.5);
    if (whole < 3600) {
        snprintf(text, PS_SHOW_BYTES, "%lld min %lld s", whole / 60, whole % 60);
    } else {
        snprintf(text, PS_SHOW_BYTES, "%lld h %lld min", whole / 3600, whole % 3600 / 60);
    }
    return text;
}

void ps_table_init(struct ps_table *table, const char *const *titles, const char *alignment)
{
    *table = (struct ps_table){ .titles = titles,
                                .alignment = alignment,
                                .column_count = strlen(alignment) };
    PS_ASSERT(table->column_count > 0 && table->column_count <= PS_TABLE_MAX_COLUMNS);
}

static bool reserve(struct ps_table *table, size_t cell_count)
{
    if (cell_count <= table->cell_capacity) { return true; }
    size_t capacity = table->cell_capacity * 2 + cell_count;
    char **cells = ps_realloc(table->cells, capacity * sizeof *cells);
    if (cells == NULL) { return false; }
    table->cells = cells;
    table->cell_capacity = capacity;
    return true;
}

enum ps_code ps_table_add(struct ps_table *table, const char *const *cells, struct ps_error *err)
{
    size_t first = table->cell_count;
    bool fits = reserve(table, first + table->column_count);
    for (size_t i = 0; fits && i < table->column_count; i++) {
        char *copy = ps_strdup(cells[i]);
        if (copy == NULL) {
            fits = false;
        } else {
            table->cells[table->cell_count++] = copy;
        }
    }
    if (fits) { return PS_OK; }
    while (table->cell_count > first) { ps_free(table->cells[--table->cell_count]); }
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a table of %zu cells", first);
}

/* Columns that a text takes on a terminal, near enough: its UTF-8 characters. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text != '\0'; text++) { width += ((unsigned char)*text & 0xc0) != 0x80; }
    return width;
}

static void measure(const struct ps_table *table, int widths[PS_TABLE_MAX_COLUMNS])
{
    for (size_t i = 0; i < table->column_count; i++) { widths[i] = width_of(table->titles[i]); }
    for (size_t i = 0; i < table->cell_count; i++) {
        int width = width_of(table->cells[i]);
        int *widest = &widths[i % table->column_count];
        *widest = width > *widest ? width : *widest;
    }
}

static void print_row(const struct ps_table *table, const int *widths, const char *const *cells,
                      FILE *stream)
{
    int gap = 0; /* owed before the next cell, so that no line ends in blanks */
    for (size_t i = 0; i < table->column_count; i++) {
        int room = widths[i] - width_of(cells[i]);
        bool right = table->alignment[i] == 'r';
        if (cells[i][0] == '\0') {
            gap += room;
        } else {
            fprintf(stream, "%*s%s", gap + (right ? room : 0), "", cells[i]);
            gap = right ? 0 : room;
        }
        gap += 2;
    }
    fputc('\n', stream);
}

void ps_table_print(const struct ps_table *table, FILE *stream)
{
    int widths[PS_TABLE_MAX_COLUMNS];
    measure(table, widths);
    print_row(table, widths, table->titles, stream);
    for (size_t i = 0; i < table->cell_count; i += table->column_count) {
        print_row(table, widths, (const char *const *)&table->cells[i], stream);
    }
}

void ps_table_clean(struct ps_table *table)
{
    for (size_t i = 0; i < table->cell_count; i++) { ps_free(table->cells[i]); }
    ps_free(table->cells);
    table->cells = NULL;
    table->cell_count = table->cell_capacity = 0;
}
