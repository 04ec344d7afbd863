/* Numbers and tables for people. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_SHOW_H
#define PARAMD_DEPLOY_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/status.h"

/* More columns than this no terminal shows. */
enum { PS_SHOW_BYTES = 48, PS_TABLE_MAX_COLUMNS = 20 };

/* Each writes into text and returns it. */
const char *ps_show_count(uint64_t count, char text[PS_SHOW_BYTES]);     /* "48,112" */
const char *ps_show_size(uint64_t size_bytes, char text[PS_SHOW_BYTES]); /* "512 B", "5.1 kB" */
const char *ps_show_seconds(double seconds, char text[PS_SHOW_BYTES]);   /* "18.4 s", "2 min 5 s" */
/* "3.2 k", "38 k", "1.5 M": three figures at most. */
const char *ps_show_rate(double rate, char text[PS_SHOW_BYTES]);

/* A table whose columns are as wide as their widest cell. Zero-initialise through
 * ps_table_init; ps_table_clean when done. */
struct ps_table {
    const char *const *titles; /* borrowed */
    const char *alignment;     /* borrowed: 'l' or 'r' for each column */
    size_t column_count;
    char **cells; /* row after row */
    size_t cell_count;
    size_t cell_capacity;
};

void ps_table_init(struct ps_table *table, const char *const *titles, const char *alignment);
/* Copies one row: strlen(alignment) cells. RESOURCE_EXHAUSTED when out of memory. */
PS_MUST_CHECK enum ps_code ps_table_add(struct ps_table *table, const char *const *cells,
                                        struct ps_error *err);
void ps_table_print(const struct ps_table *table, FILE *stream);
void ps_table_clean(struct ps_table *table);

#endif
