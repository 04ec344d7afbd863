/* The table of variables that training starts with: what lives where, and how evenly. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_WORKER_TRAIN_TABLE_H
#define PARAMD_WORKER_TRAIN_TABLE_H

#include <stddef.h>
#include <stdio.h>

struct ps_session;
struct ps_var;

enum { PS_TRAIN_INIT_TEXT_BYTES = 48 };

/* One variable and how it begins: "zeros", "random_normal(0, 0.05, seed 1)". */
struct ps_train_row {
    const struct ps_var *var;
    char init[PS_TRAIN_INIT_TEXT_BYTES];
};

/* Prints VARIABLE SHAPE DEVICE BYTES INIT, a line a slice; then the bytes of each ps task with its
 * share, and a hint where one holds more than 1.5 times the mean. */
void ps_train_table_print(FILE *stream, const struct ps_session *session,
                          const struct ps_train_row *rows, size_t row_count);

#endif
