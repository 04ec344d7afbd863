/* Fuzzes the state file's parser: what it takes, it writes, and takes again as the same. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "checkpoint/state_file.h"
#include "tests/fuzz/fuzz_driver.h"

/* `model_checkpoint_path:"a\303\n"` and the like, as bytes. */
const char *const ps_fuzz_seeds[] = {
    "6d 6f 64 65 6c 5f 63 68 65 63 6b 70 6f 69 6e 74 5f 70 61 74 68 3a 22 61 5c 33 30 33 5c 6e 22",
    "61 6c 6c 5f 6d 6f 64 65 6c 5f 63 68 65 63 6b 70 6f 69 6e 74 5f 70 61 74 68 73 3a 5b 22 61 22 "
    "2c 27 62 27 5d 0a 6c 61 73 74 5f 70 72 65 73 65 72 76 65 64 5f 74 69 6d 65 73 74 61 6d 70 3a "
    "31 2e 35 65 33",
    "78 7b 61 3a 5b 31 2c 3c 3e 5d 7d 23 63 0a 79 3a 22 22", NULL
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ps_state state, again;
    struct ps_buf first = { 0 }, second = { 0 };
    if (ps_state_parse((struct ps_span){ data, size }, &state, NULL) != PS_OK) { return 0; }
    if (ps_state_format(&state, &first, NULL) != PS_OK) { abort(); }
    struct ps_span text = { first.data, first.size };
    if (ps_state_parse(text, &again, NULL) != PS_OK) { abort(); }
    if (ps_state_format(&again, &second, NULL) != PS_OK) { abort(); }
    if (first.size != second.size) { abort(); }
    if (first.size > 0 && memcmp(first.data, second.data, first.size) != 0) { abort(); }
    ps_state_clean(&state);
    ps_state_clean(&again);
    ps_buf_clean(&first);
    ps_buf_clean(&second);
    return 0;
}
