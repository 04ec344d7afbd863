/* Runs a fuzz target without libFuzzer: its seeds, mutations of them, and files. */
/* SPDX-License-Identifier: Apache-2.0 */
/* usage: fuzz_X [FILE...]          the seeds, 4000 seeded mutations of each, and the files
 *        fuzz_X --corpus DIRECTORY writes the seeds there, for libFuzzer to begin with */
#include "tests/fuzz/fuzz_driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/philox.h"
#include "tests/checkpoint/bundle_fixture.h"

enum { MUTATIONS = 4000, EDITS_MAX = 4 };

static void edit(struct ps_buf *buf, const struct ps_buf *other, struct ps_rng *rng)
{
    size_t at = (size_t)ps_rng_below(rng, buf->size + 1);
    uint8_t byte = (uint8_t)ps_rng_u64(rng);
    switch (ps_rng_below(rng, 5)) {
    case 0: buf->size = at; break; /* cut */
    case 1:                        /* another byte */
        if (at < buf->size) { buf->data[at] = byte; }
        break;
    case 2: /* a flipped bit */
        if (at < buf->size) { buf->data[at] ^= (uint8_t)(1u << (byte & 7)); }
        break;
    case 3: /* one byte less */
        if (at < buf->size) { memmove(buf->data + at, buf->data + at + 1, --buf->size - at); }
        break;
    default: /* the end of another input */
        buf->size = at;
        size_t from = (size_t)ps_rng_below(rng, other->size + 1);
        if (ps_buf_append(buf, other->data + from, other->size - from, NULL) != PS_OK) { abort(); }
        break;
    }
}

static void run(const struct ps_buf *buf)
{
    /* Exactly as large as it is, so that a sanitizer sees a read beyond. */
    uint8_t *exact = malloc(buf->size + (buf->size == 0));
    if (exact == NULL) { abort(); }
    if (buf->size > 0) { memcpy(exact, buf->data, buf->size); }
    LLVMFuzzerTestOneInput(exact, buf->size);
    free(exact);
}

static void mutate(const struct ps_buf *seed, const struct ps_buf *other, uint64_t number)
{
    struct ps_rng rng = ps_rng_make(number, PS_STREAM_TEST);
    for (int i = 0; i < MUTATIONS; i++) {
        struct ps_buf buf = { 0 };
        if (ps_buf_append(&buf, seed->data, seed->size, NULL) != PS_OK) { abort(); }
        for (uint64_t edits = 1 + ps_rng_below(&rng, EDITS_MAX); edits > 0; edits--) {
            edit(&buf, other, &rng);
        }
        run(&buf);
        ps_buf_clean(&buf);
    }
}

static void write_corpus(const char *directory, size_t number, const struct ps_buf *seed)
{
    struct ps_path path;
    struct ps_error error = PS_ERROR_INIT;
    const struct ps_files *files = ps_files_posix();
    enum ps_code rc = ps_path_set(&path, &error, "%s/seed-%zu", directory, number);
    if (rc == PS_OK) { rc = ps_files_replace(files, path.text, seed->data, seed->size, &error); }
    if (rc != PS_OK) { fprintf(stderr, "%s\n", error.message); }
}

int main(int argc, char **argv)
{
    const char *corpus = argc == 3 && strcmp(argv[1], "--corpus") == 0 ? argv[2] : NULL;
    struct ps_buf other = fixture_hex(ps_fuzz_seeds[0]);
    size_t number = 0;
    for (; ps_fuzz_seeds[number] != NULL; number++) {
        struct ps_buf seed = fixture_hex(ps_fuzz_seeds[number]);
        if (corpus != NULL) {
            write_corpus(corpus, number, &seed);
        } else {
            run(&seed);
            mutate(&seed, &other, number);
        }
        ps_buf_clean(&seed);
    }
    ps_buf_clean(&other);
    for (int i = 1; corpus == NULL && i < argc; i++) {
        struct ps_buf file = fixture_read_file(argv[i]);
        run(&file);
        ps_buf_clean(&file);
    }
    printf("%zu seeds, %d mutations each\n", number, MUTATIONS);
    return EXIT_SUCCESS;
}
