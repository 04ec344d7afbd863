/* Tests of the codec's messages of checkpoints: there and back, and what a decoder refuses. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/philox.h"
#include "tests/proto/checkpoint_samples.h"

/* ---- Equality, field by field ---- */

#define SAME(field) ck_assert_msg(a->field == b->field, "field " #field)
#define TEXT(field) ck_assert_str_eq(a->field == NULL ? "" : a->field, b->field)
#define BYTES(field)                                                                               \
    do {                                                                                           \
        ck_assert_uint_eq(a->field.size, b->field.size);                                           \
        ck_assert(a->field.size == 0 || memcmp(a->field.data, b->field.data, a->field.size) == 0); \
    } while (0)
#define SAME_HEADER() \
    SAME(header.job); \
    SAME(header.generation)
#define SAME_FUNCTION(name) \
    static void same_##name(const struct ps_##name *a, const struct ps_##name *b)

static void same_names(const struct ps_named_variable *a, const struct ps_named_variable *b,
                       size_t count)
{
    for (size_t i = 0; i < count; i++, a++, b++) {
        TEXT(name);
        TEXT(variable);
    }
}

SAME_FUNCTION(save_request)
{
    SAME_HEADER();
    TEXT(prefix);
    SAME(has_step);
    SAME(step);
    SAME(pad_step);
    SAME(name_count);
    same_names(a->names, b->names, a->name_count);
    SAME(max_to_keep);
    SAME(keep_every_hours);
    TEXT(state_name);
    SAME(absolute_paths);
}

SAME_FUNCTION(save_reply)
{
    TEXT(prefix);
    SAME(step);
    SAME(tensor_count);
    SAME(bytes);
    SAME(shard_count);
}

static void same_planes(const struct ps_saved_plane *a, const struct ps_saved_plane *b,
                        size_t count)
{
    for (size_t i = 0; i < count; i++, a++, b++) {
        SAME(handle);
        TEXT(slot);
        TEXT(name);
    }
}

SAME_FUNCTION(save_shard_request)
{
    SAME_HEADER();
    TEXT(prefix);
    SAME(id);
    SAME(part);
    SAME(plane_count);
    same_planes(a->planes, b->planes, a->plane_count);
}

static void same_workers(const struct ps_committed_worker *a, const struct ps_committed_worker *b,
                         size_t count)
{
    for (size_t i = 0; i < count; i++, a++, b++) {
        SAME(worker);
        SAME(committed);
        BYTES(position);
    }
}

SAME_FUNCTION(save_shard_reply)
{
    SAME(seen);
    BYTES(rows);
    SAME(bytes);
    SAME(worker_count);
    same_workers(a->workers, b->workers, a->worker_count);
}

static void same_renames(const struct ps_rename *a, const struct ps_rename *b, size_t count)
{
    for (size_t i = 0; i < count; i++, a++, b++) {
        TEXT(from);
        TEXT(to);
        SAME(pattern);
    }
}

SAME_FUNCTION(restore_request)
{
    SAME_HEADER();
    TEXT(path);
    SAME(name_count);
    same_names(a->names, b->names, a->name_count);
    SAME(rename_count);
    same_renames(a->renames, b->renames, a->rename_count);
    SAME(partial);
    SAME(reshape);
    SAME(find_only);
    TEXT(state_name);
}

SAME_FUNCTION(restore_reply)
{
    TEXT(prefix);
    SAME(step);
    SAME(variable_count);
    SAME(missing_count);
    SAME(bytes);
    TEXT(warning);
}

static void same_variables(const struct ps_restored_variable *a,
                           const struct ps_restored_variable *b, size_t count)
{
    for (size_t i = 0; i < count; i++, a++, b++) {
        SAME(handle);
        TEXT(name);
        ck_assert(ps_shape_equal(&a->shape, &b->shape));
        SAME(slot_count);
        for (size_t k = 0; k < a->slot_count; k++) { TEXT(slots[k]); }
    }
}

static void same_powers(const struct ps_optimizer_powers *a, const struct ps_optimizer_powers *b,
                        size_t count)
{
    for (size_t i = 0; i < count; i++, a++, b++) {
        TEXT(optimizer);
        SAME(float1);
        SAME(float2);
        SAME(double1);
        SAME(double2);
    }
}

SAME_FUNCTION(restore_shard_request)
{
    SAME_HEADER();
    SAME(phase);
    SAME(id);
    TEXT(prefix);
    SAME(index_bytes);
    SAME(index_crc32c);
    SAME(variable_count);
    same_variables(a->variables, b->variables, a->variable_count);
    SAME(variable);
    SAME(plane);
    SAME(offset);
    SAME(whole);
    SAME(power_count);
    same_powers(a->powers, b->powers, a->power_count);
    SAME(has_step);
    SAME(step);
}

SAME_FUNCTION(restore_shard_reply)
{
    SAME(seen);
    SAME(bytes);
}

/* ---- There and back ---- */

#define ROUND_TRIP(name)                                                                       \
    static void encode_##name(struct ps_buf *out, bool full)                                   \
    {                                                                                          \
        struct ps_error err = PS_ERROR_INIT;                                                   \
        enum ps_code rc = ps_encode_##name(full ? &sample_##name : &least_##name, out, &err);  \
        ck_assert_msg(rc == PS_OK, "%s", err.message);                                         \
    }                                                                                          \
    START_TEST(name##_comes_back)                                                              \
    {                                                                                          \
        for (int full = 0; full <= 1; full++) {                                                \
            struct ps_buf buf = { 0 };                                                         \
            struct ps_arena arena = { 0 };                                                     \
            struct ps_error err = PS_ERROR_INIT;                                               \
            struct ps_##name message;                                                          \
            encode_##name(&buf, full);                                                         \
            memset(&message, 0xa5, sizeof message);                                            \
            enum ps_code rc = ps_decode_##name((struct ps_span){ buf.data, buf.size }, &arena, \
                                               &message, &err);                                \
            ck_assert_msg(rc == PS_OK, "%s", err.message);                                     \
            same_##name(full ? &sample_##name : &least_##name, &message);                      \
            ps_arena_clean(&arena);                                                            \
            ps_buf_clean(&buf);                                                                \
        }                                                                                      \
    }                                                                                          \
    END_TEST
PS_CHECKPOINT_MESSAGES(ROUND_TRIP)

/* ---- Bytes that nobody should send ---- */

#define TRY_DECODE(name)                                                       \
    do {                                                                       \
        struct ps_##name message;                                              \
        struct ps_error err = PS_ERROR_INIT;                                   \
        struct ps_buf again = { 0 };                                           \
        if (ps_decode_##name(head, arena, &message, &err) == PS_OK) {          \
            ck_assert_int_eq(ps_encode_##name(&message, &again, NULL), PS_OK); \
        } else {                                                               \
            ck_assert_msg(err.message[0] != '\0', #name);                      \
        }                                                                      \
        ps_buf_clean(&again);                                                  \
        ps_arena_reset(arena);                                                 \
    } while (0);

static void try_all(struct ps_span head, struct ps_arena *arena)
{
    PS_CHECKPOINT_MESSAGES(TRY_DECODE)
}

#define ENCODER(name) encode_##name,
static void (*const encoders[])(struct ps_buf *out,
                                bool full) = { PS_CHECKPOINT_MESSAGES(ENCODER) };
enum { ENCODER_COUNT = sizeof encoders / sizeof encoders[0] };

START_TEST(cut_and_changed_messages_do_no_harm)
{
    struct ps_rng rng = ps_rng_make(20240519, PS_STREAM_TEST);
    struct ps_arena arena = { 0 };
    struct ps_buf buf = { 0 };
    encoders[_i](&buf, true);
    for (size_t size = 0; size < buf.size; size++) {
        uint8_t *exact = malloc(size == 0 ? 1 : size);
        memcpy(exact, buf.data, size);
        try_all((struct ps_span){ exact, size }, &arena);
        free(exact);
    }
    for (int round = 0; round < 300; round++) {
        size_t at = (size_t)ps_rng_below(&rng, buf.size);
        uint8_t old = buf.data[at];
        buf.data[at] = (uint8_t)ps_rng_u64(&rng);
        try_all((struct ps_span){ buf.data, buf.size }, &arena);
        if (ps_rng_below(&rng, 4) != 0) { buf.data[at] = old; }
    }
    ps_buf_clean(&buf);
    ps_arena_clean(&arena);
}
END_TEST

/* ---- One fault a message ---- */

#define BAD(name, field, value, text)                                                      \
    do {                                                                                   \
        struct ps_##name changed = sample_##name, decoded;                                 \
        struct ps_buf buf = { 0 };                                                         \
        struct ps_arena arena = { 0 };                                                     \
        struct ps_error err = PS_ERROR_INIT;                                               \
        changed.field = (value);                                                           \
        ck_assert_int_eq(ps_encode_##name(&changed, &buf, NULL), PS_OK);                   \
        enum ps_code rc = ps_decode_##name((struct ps_span){ buf.data, buf.size }, &arena, \
                                           &decoded, &err);                                \
        ck_assert_int_eq(rc, PS_INVALID_ARGUMENT);                                         \
        ck_assert_str_eq(err.message, text);                                               \
        ps_arena_clean(&arena);                                                            \
        ps_buf_clean(&buf);                                                                \
    } while (0)

START_TEST(faults_of_save)
{
    static char long_path[PS_MAX_PATH_BYTES + 2];
    static const struct ps_named_variable unnamed = { "", "w" }, absolute = { "w", "/w" };
    memset(long_path, 'x', sizeof long_path - 1);
    BAD(save_request, prefix, "", "SaveRequest.prefix: empty");
    BAD(save_request, prefix, long_path, "SaveRequest.prefix: 4096 bytes long, at most 4095");
    BAD(save_request, prefix, "a\nb", "SaveRequest.prefix: byte 1 is a control character");
    BAD(save_request, step, -1, "SaveRequest.step: -1 is no step");
    BAD(save_request, keep_every_hours, NAN,
        "SaveRequest.keep_every_hours: nan is not a finite number");
    BAD(save_request, state_name, "a/b",
        "SaveRequest.state_name: 'latest_filename' must not contain path components");
    BAD(save_request, names, (changed.name_count = 1, &unnamed),
        "SaveRequest.names.name: empty; a tensor has a name");
    BAD(save_request, names, (changed.name_count = 1, &absolute),
        "SaveRequest.names.variable: variable name '/w' starts with '/'; leave that out");
    BAD(save_shard_request, id, 0, "SaveShardRequest.id: 0 stands for none");
    BAD(save_shard_request, part, PS_MAX_TASKS, "SaveShardRequest.part: 4096 is none of 0 to 4095");
    static const struct ps_saved_plane nameless[] = { { 1, "", "w" }, { 2, "", "" } };
    BAD(save_shard_request, planes, nameless,
        "SaveShardRequest.planes[1].name: empty; a tensor has a name");
    static const uint8_t position[PS_MAX_POSITION_BYTES + 1];
    static const struct ps_committed_worker far_off[2] = {
        { .worker = 1, .position = { position, sizeof position } }
    };
    BAD(save_shard_reply, workers, far_off,
        "SaveShardReply.workers[0].position: 4097 bytes, at most 4096");
}
END_TEST

START_TEST(faults_of_restore)
{
    static const struct ps_rename many[PS_MAX_RENAMES + 1] = { { "a", "b", false } };
    static const struct ps_rename empty[2] = { { "", "b", true } };
    BAD(restore_request, path, "", "RestoreRequest.path: empty");
    BAD(restore_request, renames, (changed.rename_count = PS_MAX_RENAMES + 1, many),
        "RestoreRequest.renames: 257 renames, at most 256");
    BAD(restore_request, renames, empty, "RestoreRequest.renames.from: empty; a tensor has a name");
    BAD(restore_shard_request, phase, 5, "RestoreShardRequest.phase: 5 is none of 1 to 4");
    BAD(restore_shard_request, id, 0, "RestoreShardRequest.id: 0 stands for none");
    BAD(restore_shard_request, prefix, (changed.phase = PS_RESTORE_PREPARE, ""),
        "RestoreShardRequest.prefix: empty");
    static const struct ps_optimizer_powers endless[2] = { { "Adam", INFINITY, 0, 0, 0 } };
    BAD(restore_shard_request, powers, endless,
        "RestoreShardRequest.powers.float1: inf is not a finite number");
    static const char *const unnamed[] = { "Adam", "" };
    static const struct ps_restored_variable variables[2] = {
        { .name = "w" }, { .name = "v", .slots = unnamed, .slot_count = 2 }
    };
    BAD(restore_shard_request, variables, variables,
        "RestoreShardRequest.variables[1].slots: a slot without a name");
    static const struct ps_restored_variable negative[2] = {
        { .name = "w", .shape = { 1, { -1 } } }, { .name = "v" }
    };
    BAD(restore_shard_request, variables, negative,
        "RestoreShardRequest.variables[0].shape: shape [-1]: dimension 0 is negative; every "
        "size must be known");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec of checkpoints");
    TCase *tests = tcase_create("codec of checkpoints");
#define ADD(name) tcase_add_test(tests, name##_comes_back);
    PS_CHECKPOINT_MESSAGES(ADD)
    tcase_add_loop_test(tests, cut_and_changed_messages_do_no_harm, 0, ENCODER_COUNT);
    tcase_add_test(tests, faults_of_save);
    tcase_add_test(tests, faults_of_restore);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
