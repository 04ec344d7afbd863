/* A tensor as NumPy prints one: nested brackets, aligned columns, long axes cut in the middle. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_ARRAY_TEXT_H
#define PARAMD_DEPLOY_ARRAY_TEXT_H

#include <stdio.h>

struct ps_tensor;

/* Prints with a newline at the end. Above 1000 elements only the first and last three of each axis
 * are shown. */
void ps_array_print(const struct ps_tensor *tensor, FILE *stream);

#endif
