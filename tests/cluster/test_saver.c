/* Savers against real ps tasks: what is saved, under which names, and where it can be restored. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/bundle_reader.h"
#include "cluster_rig.h"
#include "core/log.h"
#include "saver_fixture.h"

static struct cluster_rig rig;
static char dir[SAVER_PATH_BYTES];

static void setup(void)
{
    saver_mkdir(dir);
}

static void teardown(void)
{
    saver_rmdir(dir);
}

static ps_session *start(int ps_count)
{
    rig_start(&rig, ps_count, 1);
    return rig_connect(&rig, 0);
}

static void end(ps_session *session)
{
    ck_assert_msg(ps_finish(session) == 0, "session failed");
    rig_stop(&rig);
}

static void end_failed(ps_session *session)
{
    ck_assert_int_ne(ps_finish(session), 0);
    rig_stop(&rig);
}

static struct ps_bundle_reader *open_reader(const char *prefix)
{
    struct ps_error error = PS_ERROR_INIT;
    struct ps_bundle_reader *reader;
    enum ps_code rc = ps_bundle_reader_open(NULL, prefix, &reader, &error);
    ck_assert_msg(rc == PS_OK, "%s", error.message);
    return reader;
}

static bool has(struct ps_bundle_reader *reader, const char *name)
{
    struct ps_bundle_info info;
    return ps_bundle_reader_find(reader, name, &info, NULL) == PS_OK;
}

/* ---- Onto other clusters ---- */

static const struct {
    int ps_before, slices_before, ps_after, slices_after;
} moves[] = { { 1, 1, 1, 1 }, { 1, 1, 3, 4 }, { 2, 3, 1, 1 }, { 3, 5, 2, 7 }, { 5, 5, 2, 2 } };
enum { MOVES = sizeof moves / sizeof moves[0] };

START_TEST(restored_training_goes_on_as_if_nothing_had_been)
{
    struct model model;
    struct model_values saved, after;
    char prefix[SAVER_PATH_BYTES];
    ps_session *s = start(moves[_i].ps_before);
    model_make(&model, s, moves[_i].slices_before);
    ps_initialize(s);
    model_train(&model, 1, 6);
    ps_saver *saver = ps_saver_new(s, NULL, 0, NULL);
    const char *written = ps_save(saver, saver_path(dir, "run/model.ckpt"), 12);
    expect_ok(s);
    snprintf(prefix, sizeof prefix, "%s", written);
    ck_assert_str_eq(prefix, saver_path(dir, "run/model.ckpt-12"));
    model_pull(&model, &saved);
    model_train(&model, 7, 15);
    model_pull(&model, &after);
    end(s);

    s = start(moves[_i].ps_after);
    model_make(&model, s, moves[_i].slices_after);
    ps_restore(ps_saver_new(s, NULL, 0, NULL), saver_path(dir, "run"));
    model_expect(&model, &saved);
    ck_assert_int_eq(ps_step(s), 12);
    ck_assert_int_eq(ps_is_initialized(model.empty), 1);
    model_train(&model, 7, 15);
    model_expect(&model, &after);
    ck_assert_int_eq(ps_step(s), 30);
    /* And back, over a living cluster. */
    ps_restore(ps_saver_new(s, NULL, 0, NULL), prefix);
    model_expect(&model, &saved);
    model_train(&model, 7, 15);
    model_expect(&model, &after);
    end(s);
    ck_assert_int_eq(saver_count_files(saver_path(dir, "run"), "temp"), 0);
}
END_TEST

START_TEST(a_checkpoint_from_before_the_first_step_takes_all_of_it_back)
{
    struct model model;
    struct model_values after;
    ps_session *s = start(2);
    model_make(&model, s, 3);
    ps_initialize(s);
    ps_saver *saver = ps_saver_new(s, NULL, 0, NULL);
    ps_save(saver, saver_path(dir, "m"), 0);
    model_train(&model, 1, 3);
    model_pull(&model, &after);
    ps_restore(saver, dir); /* without slots and powers: they begin anew */
    ck_assert_int_eq(ps_step(s), 0);
    model_train(&model, 1, 3);
    model_expect(&model, &after);
    end(s);
}
END_TEST

START_TEST(names_are_tensorflows_and_the_rest_is_marked_as_ours)
{
    static const char *const names[] = {
        "_paramd/beta_power",
        "_paramd/beta_power_float",
        "_paramd/committed",
        "_paramd/generation",
        "_paramd/job",
        "_paramd/optimizer",
        "_paramd/position",
        "_paramd/step",
        "_paramd/worker",
        "beta1_power",
        "beta2_power",
        "empty",
        "global_step",
        "layer/biases",
        "layer/biases/Adam",
        "layer/biases/Adam_1",
        "layer/biases/Momentum",
        "layer/weights",
        "layer/weights/Adam",
        "layer/weights/Adam_1",
        "layer/weights/Momentum",
        "scale",
        "scale/Adam",
        "scale/Adam_1",
    };
    struct model model;
    struct ps_error error = PS_ERROR_INIT;
    ps_session *s = start(3);
    model_make(&model, s, 3);
    ps_initialize(s);
    ps_set_position(s, "here", 4);
    model_train(&model, 1, 2);
    ps_save(ps_saver_new(s, NULL, 0, NULL), saver_path(dir, "m"), -1);
    expect_ok(s);

    struct ps_bundle_reader *reader = open_reader(saver_path(dir, "m"));
    size_t count = ps_bundle_reader_count(reader);
    ck_assert_uint_eq(count, sizeof names / sizeof names[0]);
    for (size_t i = 0; i < count; i++) {
        ck_assert_str_eq(ps_bundle_reader_info(reader, i).name, names[i]);
        ck_assert_int_eq(ps_bundle_reader_verify(reader, names[i], &error), PS_OK);
    }
    ck_assert_uint_eq(ps_bundle_reader_info(reader, 18).slice_count, 3); /* weights/Adam */
    int64_t step = 0, committed = 0;
    float power = 0;
    struct ps_bundle_strings strings;
    struct ps_bundle_request request = { .name = "global_step", .dtype = PS_INT64 };
    ck_assert_int_eq(ps_bundle_reader_read(reader, &request, &step, 8, &error), PS_OK);
    ck_assert_int_eq(step, 4);
    request.name = "_paramd/committed";
    ck_assert_int_eq(ps_bundle_reader_read(reader, &request, &committed, 8, &error), PS_OK);
    ck_assert_int_eq(committed, 4);
    request = (struct ps_bundle_request){ .name = "beta1_power", .dtype = PS_FLOAT };
    ck_assert_int_eq(ps_bundle_reader_read(reader, &request, &power, 4, &error), PS_OK);
    ck_assert(power == 0.9f * 0.9f * 0.9f);
    ck_assert_int_eq(ps_bundle_reader_read_strings(reader, "_paramd/position", &strings, &error),
                     PS_OK);
    ck_assert_uint_eq(strings.count, 1);
    ck_assert(strings.items[0].size == 4 && memcmp(strings.items[0].data, "here", 4) == 0);
    ps_bundle_strings_clean(&strings);
    ps_bundle_reader_close(reader);
    end(s);
}
END_TEST

START_TEST(a_variable_of_the_users_keeps_its_name)
{
    int64_t step = 41;
    float power = 7;
    ps_session *s = start(2);
    ps_var *own = ps_variable(s, "global_step", PS_INT64, PS_SCALAR, ps_zeros());
    ps_var *beta = ps_variable(s, "beta1_power", PS_FLOAT, PS_SCALAR, ps_zeros());
    ps_var *w = ps_variable(s, "w", PS_FLOAT, PS_SHAPE(2), ps_zeros());
    ps_initialize(s);
    ps_push(ps_adam(s, 0.1, 0.9, 0.999, 1e-8), &(ps_binding){ w, (float[]){ 1, 2 }, 2 }, 1);
    ps_assign(own, &step);
    ps_assign(beta, &power);
    ps_saver *saver = ps_saver_new(s, NULL, 0, NULL);
    ps_save(saver, saver_path(dir, "m"), -1);
    ps_push(ps_adam(s, 0.1, 0.9, 0.999, 1e-8), &(ps_binding){ w, (float[]){ 1, 2 }, 2 }, 1);
    ps_assign(own, (int64_t[]){ 0 });
    ps_restore(saver, saver_path(dir, "m"));
    step = 0;
    power = 0;
    ps_pull(s, (ps_binding[]){ { own, &step, 1 }, { beta, &power, 1 } }, 2);
    expect_ok(s);
    ck_assert_int_eq(step, 41);
    ck_assert(power == 7);
    ck_assert_int_eq(ps_step(s), 1);
    end(s);
}
END_TEST

START_TEST(every_type_survives_bit_for_bit)
{
    static const enum ps_dtype types[] = { PS_FLOAT,  PS_DOUBLE, PS_INT32,   PS_UINT8,  PS_INT16,
                                           PS_INT8,   PS_INT64,  PS_BOOL,    PS_UINT16, PS_HALF,
                                           PS_UINT32, PS_UINT64, PS_BFLOAT16 };
    enum { TYPES = sizeof types / sizeof types[0], ELEMENTS = 21 };
    uint8_t bytes[ELEMENTS * 8], zeros[ELEMENTS * 8] = { 0 }, got[ELEMENTS * 8];
    ps_var *vars[TYPES];
    const ps_variable_options cut = { .partition = PS_SPLIT_FIXED, .partition_a = 2 };
    for (size_t i = 0; i < sizeof bytes; i++) { bytes[i] = (uint8_t)(i * 37 + 11); }
    ps_session *s = start(2);
    for (size_t i = 0; i < TYPES; i++) {
        char name[32];
        snprintf(name, sizeof name, "t/%s", ps_dtype_name((int)types[i]));
        vars[i] = ps_variable_with(s, name, types[i], PS_SHAPE(7, 3), ps_zeros(), &cut);
        for (size_t k = 0; types[i] == PS_BOOL && k < ELEMENTS; k++) { got[k] = k % 2; }
        ps_assign(vars[i], types[i] == PS_BOOL ? got : bytes);
    }
    ps_saver *saver = ps_saver_new(s, NULL, 0, NULL);
    ps_save(saver, saver_path(dir, "types"), 0);
    for (size_t i = 0; i < TYPES; i++) { ps_assign(vars[i], zeros); }
    ps_restore(saver, saver_path(dir, "types-0"));
    for (size_t i = 0; i < TYPES; i++) {
        size_t size = ELEMENTS * (size_t)ps_dtype_size(types[i]);
        memset(got, 0xee, sizeof got);
        ps_pull(s, &(ps_binding){ vars[i], got, ELEMENTS }, 1);
        expect_ok(s);
        for (size_t k = 0; k < size; k++) {
            ck_assert_uint_eq(got[k], types[i] == PS_BOOL ? k % 2 : bytes[k]);
        }
    }
    end(s);
}
END_TEST

/* ---- Which variables ---- */

START_TEST(lists_and_maps_save_what_they_name)
{
    float value[3];
    ps_session *s = start(2);
    ps_var *v1 = ps_variable(s, "v1", PS_FLOAT, PS_SHAPE(3), ps_constant(1));
    ps_var *v2 = ps_variable(s, "v2", PS_FLOAT, PS_SHAPE(3), ps_constant(2));
    ps_initialize(s);
    ps_push(ps_momentum(s, 1, 0.9), &(ps_binding){ v2, (float[]){ 1, 1, 1 }, 3 }, 1);
    ps_saver *mapped = ps_saver_new(s, (ps_named[]){ { "my_v2", v2 } }, 1, NULL);
    ps_saver *listed = ps_saver_new(s, (ps_named[]){ { NULL, v1 } }, 1, NULL);
    ps_save(mapped, saver_path(dir, "mapped"), -1);
    ps_save(listed, saver_path(dir, "listed"), -1);
    expect_ok(s);
    struct ps_bundle_reader *reader = open_reader(saver_path(dir, "mapped"));
    ck_assert_uint_eq(ps_bundle_reader_count(reader), 2);
    ck_assert(has(reader, "my_v2") && has(reader, "my_v2/Momentum"));
    ps_bundle_reader_close(reader);
    reader = open_reader(saver_path(dir, "listed"));
    ck_assert_uint_eq(ps_bundle_reader_count(reader), 1);
    ck_assert(has(reader, "v1"));
    ps_bundle_reader_close(reader);

    /* What was saved as my_v2 into v1; v2 and the step stay. */
    ps_assign(v2, (float[]){ 9, 9, 9 });
    ps_restore(ps_saver_new(s, (ps_named[]){ { "my_v2", v1 } }, 1, NULL),
               saver_path(dir, "mapped"));
    ps_pull(s, &(ps_binding){ v1, value, 3 }, 1);
    expect_ok(s);
    ck_assert(value[0] == 1 && value[2] == 1);
    ps_pull(s, &(ps_binding){ v2, value, 3 }, 1);
    ck_assert(value[0] == 9);
    ck_assert_int_eq(ps_step(s), 1);
    end(s);
}
END_TEST

START_TEST(partial_restore_then_initialize_the_rest)
{
    float value[2];
    ps_session *s = start(2);
    ps_var *a = ps_variable(s, "v2/conv84/beta", PS_FLOAT, PS_SHAPE(2), ps_constant(4));
    ps_initialize(s);
    ps_save(ps_saver_new(s, (ps_named[]){ { NULL, a } }, 1, NULL), saver_path(dir, "m"), -1);
    end(s);

    s = start(3);
    a = ps_variable(s, "v2/conv84/beta", PS_FLOAT, PS_SHAPE(2), ps_zeros());
    ps_var *b = ps_variable(s, "v3/conv84/beta", PS_FLOAT, PS_SHAPE(2), ps_constant(5));
    ps_restore(ps_saver_new(s, NULL, 0, &(ps_saver_options){ .partial = 1 }), saver_path(dir, "m"));
    expect_ok(s);
    ck_assert_int_eq(ps_is_initialized(a), 1);
    ck_assert_int_eq(ps_is_initialized(b), 0);
    ps_initialize(s);
    ps_pull(s, &(ps_binding){ a, value, 2 }, 1);
    ck_assert(value[0] == 4);
    ps_pull(s, &(ps_binding){ b, value, 2 }, 1);
    ck_assert(value[0] == 5);

    ps_assign(a, (float[]){ 6, 6 });
    ps_restore(ps_saver_new(s, NULL, 0, NULL), saver_path(dir, "m"));
    ck_assert_int_eq(ps_status(s), PS_NOT_FOUND);
    const char *text = "1 of 2 not in checkpoint, e.g. 'v3/conv84/beta' (closest: "
                       "'v2/conv84/beta'). 1 would load. --partial to load those";
    ck_assert_msg(strstr(ps_message(s), text) != NULL, "%s", ps_message(s));
    ck_assert_ptr_nonnull(strstr(ps_message(s), "Key v3/conv84/beta not found in checkpoint"));
    end_failed(s);
}
END_TEST

START_TEST(names_are_changed_by_map_and_by_pattern)
{
    static const ps_renaming renamings[] = { { "v2/odd", "v3/even", 0 },
                                             { "v2/(.*)/(w|b)", "v3/$1/$2", 1 } };
    const ps_saver_options options = { .renamings = renamings, .renaming_count = 2 };
    float value;
    ps_session *s = start(1);
    ps_variable(s, "v2/conv/w", PS_FLOAT, PS_SCALAR, ps_constant(1));
    ps_variable(s, "v2/conv/b", PS_FLOAT, PS_SCALAR, ps_constant(2));
    ps_variable(s, "v2/odd", PS_FLOAT, PS_SCALAR, ps_constant(3));
    ps_variable(s, "same", PS_FLOAT, PS_SCALAR, ps_constant(4));
    ps_initialize(s);
    ps_save(ps_saver_new(s, NULL, 0, NULL), saver_path(dir, "m"), -1);
    end(s);

    s = start(2);
    static const char *const names[] = { "v3/conv/w", "v3/conv/b", "v3/even", "same" };
    ps_var *vars[4];
    for (int i = 0; i < 4; i++) {
        vars[i] = ps_variable(s, names[i], PS_FLOAT, PS_SCALAR, ps_zeros());
    }
    ps_restore(ps_saver_new(s, NULL, 0, &options), saver_path(dir, "m"));
    expect_ok(s);
    for (int i = 0; i < 4; i++) {
        ps_pull(s, &(ps_binding){ vars[i], &value, 1 }, 1);
        ck_assert(value == (float)(i + 1));
    }
    const ps_renaming broken = { "v2/(", "x", 1 };
    ps_restore(
        ps_saver_new(s, NULL, 0, &(ps_saver_options){ .renamings = &broken, .renaming_count = 1 }),
        saver_path(dir, "m"));
    ck_assert_ptr_nonnull(strstr(ps_message(s), "no POSIX extended pattern"));
    end_failed(s);
}
END_TEST

/* ---- What does not fit ---- */

START_TEST(another_shape_or_type_changes_nothing)
{
    float value[6];
    ps_session *s = start(2);
    ps_variable(s, "a", PS_FLOAT, PS_SHAPE(2), ps_constant(1));
    ps_variable(s, "b", PS_FLOAT, PS_SHAPE(2, 3), ps_constant(2));
    ps_variable(s, "c", PS_FLOAT, PS_SHAPE(2), ps_constant(3));
    ps_initialize(s);
    ps_save(ps_saver_new(s, NULL, 0, NULL), saver_path(dir, "m"), -1);
    end(s);

    ps_options options;
    rig_start(&rig, 2, 2);
    options = rig_options(&rig, 0);
    s = ps_connect(&options);
    ps_var *a = ps_variable(s, "a", PS_FLOAT, PS_SHAPE(2), ps_constant(7));
    ps_variable(s, "b", PS_FLOAT, PS_SHAPE(3, 2), ps_zeros());
    ps_variable(s, "c", PS_INT32, PS_SHAPE(2), ps_zeros());
    ps_initialize(s);
    ps_restore(ps_saver_new(s, NULL, 0, NULL), saver_path(dir, "m"));
    ck_assert_int_eq(ps_status(s), PS_INVALID_ARGUMENT);
    ck_assert_msg(strstr(ps_message(s), "Assign requires shapes of both tensors to match. lhs "
                                        "shape= [3,2] rhs shape= [2,3]") != NULL,
                  "%s", ps_message(s));
    ck_assert_ptr_nonnull(strstr(ps_message(s), "(and 1 more variables do not fit)"));
    ps_finish(s);

    s = rig_connect(&rig, 1);
    a = ps_variable(s, "a", PS_FLOAT, PS_SHAPE(2), ps_constant(7));
    ps_var *b = ps_variable(s, "b", PS_FLOAT, PS_SHAPE(3, 2), ps_zeros());
    ps_pull(s, &(ps_binding){ a, value, 2 }, 1);
    ck_assert(value[0] == 7);
    /* As many elements in another shape, where that is wanted. */
    ps_saver *reshaping = ps_saver_new(s, (ps_named[]){ { NULL, a }, { NULL, b } }, 2,
                                       &(ps_saver_options){ .reshape = 1 });
    ps_restore(reshaping, saver_path(dir, "m"));
    ps_pull(s, &(ps_binding){ b, value, 6 }, 1);
    expect_ok(s);
    ck_assert(value[0] == 2 && value[5] == 2);
    ps_finish(s);
    rig_stop(&rig);
}
END_TEST

START_TEST(a_free_shape_is_restored_too)
{
    float value[6] = { 0 };
    ps_session *s = start(2);
    ps_var *w = ps_variable_with(s, "w", PS_FLOAT, PS_SHAPE(2), ps_zeros(),
                                 &(ps_variable_options){ .free_shape = 1 });
    ps_assign_shaped(w, (float[]){ 1, 2, 3, 4, 5, 6 }, PS_SHAPE(2, 3));
    ps_saver *saver = ps_saver_new(s, NULL, 0, NULL);
    ps_save(saver, saver_path(dir, "m"), -1);
    ps_assign_shaped(w, (float[]){ 8 }, PS_SHAPE(1));
    ps_restore(saver, saver_path(dir, "m"));
    expect_ok(s);
    ck_assert_int_eq(ps_shape_of(w).rank, 2);
    ps_pull(s, &(ps_binding){ w, value, 6 }, 1);
    expect_ok(s);
    ck_assert(value[0] == 1 && value[5] == 6);
    end(s);
}
END_TEST

/* One session a mistake: errors are sticky. */
static void expect_refusal(int mistake, const char *text)
{
    ps_session *s = start(2);
    ps_var *w = ps_variable(s, "w", PS_FLOAT, PS_SHAPE(2), ps_zeros());
    ps_var *v = ps_variable(s, "v", PS_FLOAT, PS_SHAPE(2), ps_zeros());
    ps_saver *saver = ps_saver_new(s, NULL, 0, NULL);
    if (mistake > 0) { ps_initialize(s); }
    switch (mistake) {
    case 0: ps_save(saver, saver_path(dir, "m"), -1); break;
    case 1:
        ps_save(ps_saver_new(s, (ps_named[]){ { "x", v }, { "x", w } }, 2, NULL),
                saver_path(dir, "m"), -1);
        break;
    case 2:
        ps_save(ps_saver_new(s, (ps_named[]){ { "x", w }, { "y", w } }, 2, NULL),
                saver_path(dir, "m"), -1);
        break;
    case 3: ps_save(saver, saver_path(dir, "checkpoint"), -1); break;
    case 4:
        ps_save(ps_saver_new(s, NULL, 0, &(ps_saver_options){ .state_name = "a/b" }),
                saver_path(dir, "m"), -1);
        break;
    case 5: ps_restore(saver, saver_path(dir, "none")); break;
    case 6: ps_restore(saver, dir); break;
    case 7: ps_save(saver, saver_path(dir, ""), 1); break;
    case 8: ps_saver_new(s, (ps_named[]){ { "x", NULL } }, 1, NULL); break;
    case 9: ps_save(saver, "/proc/no/such/m", -1); break;
    default: break;
    }
    ck_assert_msg(strstr(ps_message(s), text) != NULL, "%d: %s", mistake, ps_message(s));
    ck_assert_ptr_null(ps_save(saver, saver_path(dir, "m"), -1));
    ck_assert_int_eq(saver_count_files(dir, "m"), 0);
    end_failed(s);
}

START_TEST(mistakes_are_named)
{
    static const char *const texts[] = {
        "Attempting to use uninitialized value v: 2 of 2 variables to save have no value",
        "At least two variables have the same name: x",
        "The same saveable will be restored with two names: w",
        "'latest_filename' collides with 'save_path': 'checkpoint' and",
        "'latest_filename' must not contain path components",
        "Failed to get matching files on",
        "checkpoint': No such file",
        "is no checkpoint prefix",
        "entry 0 of a saver's list is no variable of this session",
        "Parent directory of /proc/no/such/m doesn't exist, can't save",
    };
    expect_refusal(_i, texts[_i]);
}
END_TEST

/* ---- Which checkpoints stay ---- */

START_TEST(old_checkpoints_go_also_after_a_restart)
{
    const ps_saver_options two = { .max_to_keep = 2, .pad_step_number = 1 };
    const ps_saver_options all = { .max_to_keep = -1 };
    ps_session *s = start(2);
    ps_variable(s, "w", PS_FLOAT, PS_SHAPE(4), ps_zeros());
    ps_initialize(s);
    ps_saver *few = ps_saver_new(s, NULL, 0, &two), *many = ps_saver_new(s, NULL, 0, &all);
    for (int i = 1; i <= 3; i++) {
        ps_save(few, saver_path(dir, "few"), i);
        ps_save(many, saver_path(dir, "many"), i);
    }
    expect_ok(s);
    ck_assert_int_eq(saver_count_files(dir, "few-"), 2 * 2);
    ck_assert_int_eq(saver_count_files(dir, "many-"), 3 * 2);
    end(s);

    s = start(1);
    ps_var *w = ps_variable(s, "w", PS_FLOAT, PS_SHAPE(4), ps_zeros());
    few = ps_saver_new(s, NULL, 0, &two);
    ps_restore(few, dir);
    ps_assign(w, (float[]){ 1, 2, 3, 4 });
    const char *written = ps_save(few, saver_path(dir, "few"), 4);
    expect_ok(s);
    ck_assert_str_eq(written, saver_path(dir, "few-00000004"));
    ck_assert_int_eq(saver_count_files(dir, "few-"), 2 * 2);
    ck_assert_int_eq(saver_count_files(dir, "few-00000003"), 2);
    ck_assert_int_eq(saver_count_files(dir, "many-"), 3 * 2);
    const char *state = saver_read_text(saver_path(dir, "checkpoint"));
    ck_assert_msg(strncmp(state, "model_checkpoint_path: \"few-00000004\"\n", 38) == 0, "%s",
                  state);
    ck_assert_ptr_nonnull(strstr(state, "all_model_checkpoint_paths: \"many-3\"\n"));
    ck_assert_ptr_null(strstr(state, "few-00000002"));
    ck_assert_str_eq(ps_latest_checkpoint(s, dir), saver_path(dir, "few-00000004"));
    ck_assert_ptr_null(ps_latest_checkpoint(s, saver_path(dir, "nowhere")));
    expect_ok(s);
    end(s);
}
END_TEST

START_TEST(paths_and_names_of_the_state_file)
{
    char path[2 * SAVER_PATH_BYTES];
    const ps_saver_options options = { .absolute_paths = 1, .state_name = "latest" };
    ps_session *s = start(1);
    ps_variable(s, "w", PS_FLOAT, PS_SHAPE(4), ps_zeros());
    ps_initialize(s);
    ps_saver *saver = ps_saver_new(s, NULL, 0, &options);
    ps_save(saver, saver_path(dir, "m"), 5);
    expect_ok(s);
    snprintf(path, sizeof path, "model_checkpoint_path: \"%s\"", saver_path(dir, "m-5"));
    ck_assert_ptr_nonnull(strstr(saver_read_text(saver_path(dir, "latest")), path));
    ps_restore(saver, dir);
    ps_restore(saver, saver_path(dir, "")); /* with a slash behind it */
    expect_ok(s);
    end(s);
}
END_TEST

int main(void)
{
    ps_log_configure(&(struct ps_log_options){ .level = PS_LOG_ERROR });
    Suite *suite = suite_create("saver");
    TCase *tests = tcase_create("saver");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, restored_training_goes_on_as_if_nothing_had_been, 0, MOVES);
    tcase_add_test(tests, a_checkpoint_from_before_the_first_step_takes_all_of_it_back);
    tcase_add_test(tests, names_are_tensorflows_and_the_rest_is_marked_as_ours);
    tcase_add_test(tests, a_variable_of_the_users_keeps_its_name);
    tcase_add_test(tests, every_type_survives_bit_for_bit);
    tcase_add_test(tests, lists_and_maps_save_what_they_name);
    tcase_add_test(tests, partial_restore_then_initialize_the_rest);
    tcase_add_test(tests, names_are_changed_by_map_and_by_pattern);
    tcase_add_test(tests, another_shape_or_type_changes_nothing);
    tcase_add_test(tests, a_free_shape_is_restored_too);
    tcase_add_loop_test(tests, mistakes_are_named, 0, 10);
    tcase_add_test(tests, old_checkpoints_go_also_after_a_restart);
    tcase_add_test(tests, paths_and_names_of_the_state_file);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
