/* Feeds bytes to every decoder; what one accepts must encode, and from then on stay as it is. */
/* SPDX-License-Identifier: Apache-2.0 */
/* With libFuzzer: -fsanitize=fuzzer -DPS_LIBFUZZER. Without: arguments are files to try; without
 * arguments, or with --seed=N --rounds=N, samples of messages are damaged in a seeded loop. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/philox.h"
#include "proto/codec.h"
#include "tests/proto/checkpoint_samples.h"
#include "tests/proto/codec_samples.h"

#define ALL_MESSAGES(X) PS_MESSAGES(X) PS_CHECKPOINT_MESSAGES(X)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int holds, const char *name, const char *what)
{
    if (holds) { return; }
    fprintf(stderr, "%s: %s\n", name, what);
    abort();
}

/* bytes -> message -> first -> message -> second: both encodings are the same. */
#define TRY(name)                                                                             \
    static void try_##name(struct ps_span head, struct ps_arena *arena)                       \
    {                                                                                         \
        struct ps_##name message;                                                             \
        struct ps_error err = PS_ERROR_INIT;                                                  \
        struct ps_buf first = { 0 };                                                          \
        struct ps_buf second = { 0 };                                                         \
        ps_arena_reset(arena);                                                                \
        if (ps_decode_##name(head, arena, &message, &err) != PS_OK) {                         \
            expect(err.message[0] != '\0', #name, "a failure without a text");                \
            return;                                                                           \
        }                                                                                     \
        expect(ps_encode_##name(&message, &first, &err) == PS_OK, #name, err.message);        \
        struct ps_span again = { first.data, first.size };                                    \
        expect(ps_decode_##name(again, arena, &message, &err) == PS_OK, #name, err.message);  \
        expect(ps_encode_##name(&message, &second, &err) == PS_OK, #name, err.message);       \
        expect(first.size == second.size && memcmp(first.data, second.data, first.size) == 0, \
               #name, "encodes differently the second time");                                 \
        ps_buf_clean(&first);                                                                 \
        ps_buf_clean(&second);                                                                \
    }
ALL_MESSAGES(TRY)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ps_arena arena = { 0 };
    struct ps_span head = { data, size };
#define CALL(name) try_##name(head, &arena);
    ALL_MESSAGES(CALL)
#undef CALL
    ps_arena_clean(&arena);
    return 0;
}

#ifndef PS_LIBFUZZER

enum { LARGEST_INPUT_BYTES = 1 << 20, ROUNDS = 5000, MOST_EDITS = 8 };

#define ENCODE(name)                                                                      \
    static void encode_##name(struct ps_buf *out)                                         \
    {                                                                                     \
        struct ps_error err = PS_ERROR_INIT;                                              \
        expect(ps_encode_##name(&sample_##name, out, &err) == PS_OK, #name, err.message); \
    }
ALL_MESSAGES(ENCODE)

#define ENCODER(name) encode_##name,
static void (*const encoders[])(struct ps_buf *out) = { ALL_MESSAGES(ENCODER) };

/* One change: another byte, another bit, a run doubled, a run left out. */
static void damage(struct ps_buf *buf, struct ps_rng *rng)
{
    if (buf->size == 0) { return; }
    size_t at = (size_t)ps_rng_below(rng, buf->size);
    size_t run = (size_t)ps_rng_below(rng, buf->size - at) + 1;
    switch (ps_rng_below(rng, 4)) {
    case 0: buf->data[at] = (uint8_t)ps_rng_u64(rng); break;
    case 1: buf->data[at] ^= (uint8_t)(1u << ps_rng_below(rng, 8)); break;
    case 2:
        expect(ps_buf_reserve(buf, buf->size + run, NULL) == PS_OK, "damage", "no memory");
        memmove(buf->data + at + run, buf->data + at, buf->size - at);
        buf->size += run;
        break;
    default:
        memmove(buf->data + at, buf->data + at + run, buf->size - at - run);
        buf->size -= run;
        break;
    }
}

static void damage_samples(uint64_t seed, unsigned long round_count)
{
    struct ps_rng rng = ps_rng_make(seed, PS_STREAM_TEST);
    for (unsigned long round = 0; round < round_count; round++) {
        struct ps_buf buf = { 0 };
        encoders[ps_rng_below(&rng, sizeof encoders / sizeof encoders[0])](&buf);
        uint64_t edit_count = ps_rng_below(&rng, MOST_EDITS);
        for (uint64_t i = 0; i < edit_count; i++) { damage(&buf, &rng); }
        LLVMFuzzerTestOneInput(buf.data, buf.size);
        ps_buf_clean(&buf);
    }
}

static int try_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return EXIT_FAILURE;
    }
    uint8_t *bytes = malloc(LARGEST_INPUT_BYTES);
    expect(bytes != NULL, path, "no memory");
    size_t size = fread(bytes, 1, LARGEST_INPUT_BYTES, file);
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1;
    unsigned long round_count = ROUNDS;
    int file_count = 0;
    int result = EXIT_SUCCESS;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--seed=", 7) == 0) {
            seed = strtoull(argv[i] + 7, NULL, 0);
        } else if (strncmp(argv[i], "--rounds=", 9) == 0) {
            round_count = strtoul(argv[i] + 9, NULL, 0);
        } else {
            file_count++;
            if (try_file(argv[i]) != EXIT_SUCCESS) { result = EXIT_FAILURE; }
        }
    }
    if (file_count == 0) {
        printf("damaging samples: --seed=%llu --rounds=%lu\n", (unsigned long long)seed,
               round_count);
        fflush(stdout);
        damage_samples(seed, round_count);
    }
    return result;
}

#endif
