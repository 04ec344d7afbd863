/* How much memory a ps task may promise to variables and slots, and the refusal when it cannot. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_BUDGET_H
#define PARAMD_SERVER_BUDGET_H

#include <stdint.h>

#include "core/status.h"

enum {
    PS_BYTES_TEXT_BYTES = 32,
    PS_BUDGET_TASK_BYTES = 32,
    PS_BUDGET_WHAT_BYTES = 640 /* "slot 'NAME' of 'NAME'": two names of 256 bytes */
};

/* Bytes are promised when a variable or a slot is made, before they are touched: a cluster that
 * does not fit is refused at its start, not hours later. */
struct ps_budget {
    char task[PS_BUDGET_TASK_BYTES]; /* "ps/0", for messages */
    uint64_t limit_bytes;            /* 0: no limit */
    uint64_t promised_bytes;         /* atomic */
};

/* task is copied, cut if too long. */
void ps_budget_init(struct ps_budget *budget, const char *task, uint64_t limit_bytes);

/* Promises bytes to what ("'emb'", "slot 'Adam' of 'emb'").
 * Errors: RESOURCE_EXHAUSTED says what is needed, what is left and which flag sets it.
 * Threads: any. */
PS_MUST_CHECK enum ps_code ps_budget_take(struct ps_budget *budget, uint64_t bytes,
                                          const char *what, struct ps_error *err);
void ps_budget_give_back(struct ps_budget *budget, uint64_t bytes);
uint64_t ps_budget_promised(const struct ps_budget *budget);

/* "512 B", "9.2 GB" (1 GB = 1e9 bytes), "12 GB". Returns text. */
const char *ps_bytes_format(uint64_t bytes, char text[PS_BYTES_TEXT_BYTES]);

#endif
