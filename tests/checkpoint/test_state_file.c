/* State files: TensorFlow's text, unknown fields, escapes, atomic replacement; and retention. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/retention.h"
#include "checkpoint/state_file.h"
#include "core/alloc.h"
#include "tests/checkpoint/bundle_fixture.h"
#include "tests/checkpoint/fault_files.h"
#include "tests/checkpoint/memory_files.h"

static struct ps_error error;

static struct ps_span text_span(const char *text)
{
    return (struct ps_span){ (const uint8_t *)text, strlen(text) };
}

static void expect_text(const struct ps_state *state, const char *expected)
{
    struct ps_buf text = { 0 };
    ck_ok(ps_state_format(state, &text, &error));
    ck_ok(ps_buf_append(&text, "", 1, &error));
    ck_assert_str_eq((const char *)text.data, expected);
    ps_buf_clean(&text);
}

START_TEST(test_text)
{
    static const char plain[] = "model_checkpoint_path: \"model.ckpt-200\"\n"
                                "all_model_checkpoint_paths: \"model.ckpt-100\"\n"
                                "all_model_checkpoint_paths: \"model.ckpt-200\"\n";
    static const char timed[] = "model_checkpoint_path: \"a\"\n"
                                "all_model_checkpoint_paths: \"a\"\n"
                                "all_model_checkpoint_timestamps: 1574307000.25\n"
                                "last_preserved_timestamp: 1574300000.0\n";
    static const char odd[] =
        "model_checkpoint_path: \"a\\\"\\'\\\\\\n\\r\\t\\001\\177\303\274\"\n";
    static const char *const texts[] = { plain, timed, odd, "" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct ps_state state;
        ck_ok(ps_state_parse(text_span(texts[i]), &state, &error));
        expect_text(&state, texts[i]);
        ps_state_clean(&state);
    }
    struct ps_state state;
    ck_ok(ps_state_parse(text_span(odd), &state, &error));
    ck_assert_str_eq(state.latest, "a\"'\\\n\r\t\001\177\303\274");
    ps_state_clean(&state);
}
END_TEST

START_TEST(test_lenient_reading)
{
    static const char text[] =
        "# a comment\n"
        "some_new_field { nested: [1, 2, { deep: \"}\" }] other <x: 'y'> }\n"
        "scalar_new: -1.5e3, enum_new: NAME; list_new: [\"a\", \"b\"]\n"
        "model_checkpoint_path:'one' \"-two\"   # adjacent strings are one\n"
        "all_model_checkpoint_paths: [\"a\", '\\x62\\143']\n"
        "all_model_checkpoint_timestamps: [ 1, 2.5f ]\n"
        "all_model_checkpoint_paths : \"d\" all_model_checkpoint_timestamps: 3\n";
    struct ps_state state;
    ck_ok(ps_state_parse(text_span(text), &state, &error));
    ck_assert_str_eq(state.latest, "one-two");
    ck_assert_uint_eq(state.count, 3);
    ck_assert_str_eq(state.all[1].path, "bc");
    ck_assert(state.all[1].timestamp_s == 2.5 && state.all[2].timestamp_s == 3);
    ps_state_clean(&state);
    /* Times that do not fit the paths are not believed. */
    static const char misfit[] = "all_model_checkpoint_paths: \"a\"\n"
                                 "all_model_checkpoint_timestamps: 1\n"
                                 "all_model_checkpoint_timestamps: 2\n";
    ck_ok(ps_state_parse(text_span(misfit), &state, &error));
    ck_assert(state.all[0].timestamp_s == 0);
    ps_state_clean(&state);
}
END_TEST

START_TEST(test_malformed)
{
    static const struct {
        const char *text;
        const char *part;
    } cases[] = {
        { "model_checkpoint_path: \"a", "line 1, column 26: a string does not end" },
        { "\n model_checkpoint_path \"a\"", "line 2" },
        { "model_checkpoint_path: a", "a quoted string is missing" },
        { "model_checkpoint_path: \"\\q\"", "unknown escape" },
        { "model_checkpoint_path: \"\\777\"", "unknown escape" },
        { "model_checkpoint_path: \"a\\000b\"", "NUL byte" },
        { "last_preserved_timestamp: 1x", "this is no number" },
        { "last_preserved_timestamp: inf", "this is no number" },
        { "last_preserved_timestamp: \"1\"", "a number is missing" },
        { "all_model_checkpoint_paths: [\"a\"", "']' is missing" },
        { "new { a: 1", "a value is missing" },
        { "new 5", "':' is missing" },
        { "{}", "a field's name is missing" },
        { "\xff", "a field's name is missing" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ps_state state;
        enum ps_code rc = ps_state_parse(text_span(cases[i].text), &state, &error);
        ck_assert_msg(rc == PS_INVALID_ARGUMENT && strstr(error.message, cases[i].part) != NULL,
                      "case %zu: %s", i, error.message);
        ck_assert_ptr_null(state.latest);
        ck_assert_uint_eq(state.count, 0);
    }
}
END_TEST

/* A million brackets: depth must not be the stack's. */
START_TEST(test_deep_nesting)
{
    enum { DEPTH = 1000000 };
    char *text = malloc(DEPTH + 8);
    struct ps_state state;
    ck_assert_ptr_nonnull(text);
    memcpy(text, "new ", 4);
    memset(text + 4, '{', DEPTH);
    struct ps_span span = { (const uint8_t *)text, DEPTH + 4 };
    ck_assert_int_eq(ps_state_parse(span, &state, &error), PS_INVALID_ARGUMENT);
    free(text);
}
END_TEST

START_TEST(test_replaced_atomically)
{
    for (long call = 1; call < 100; call++) {
        struct ps_fault_files fault;
        struct ps_memory_files *memory = ps_memory_files_create();
        const struct ps_files *files = ps_memory_files_table(memory);
        struct ps_rng rng = ps_rng_make((uint64_t)call, PS_STREAM_TEST);
        struct ps_state old = { .latest = (char *)"old" }, new = { .latest = (char *)"new" }, back;
        ck_ok(ps_state_write(files, "d/checkpoint", &old, &error));
        ps_fault_files_init(&fault, files, PS_FAULT_KILL, call);
        enum ps_code rc = ps_state_write(&fault.files, "d/checkpoint", &new, &error);
        ps_memory_files_crash(memory, PS_CRASH_RANDOM, &rng);
        ck_ok(ps_state_read(files, "d/checkpoint", &back, &error));
        bool is_new = strcmp(back.latest, "new") == 0;
        ck_assert(is_new || (strcmp(back.latest, "old") == 0 && rc != PS_OK));
        ps_state_clean(&back);
        ck_ok(ps_state_write(files, "d/checkpoint", &new, &error));
        ck_assert_int_eq(ps_memory_files_count(memory, ""), 1);
        ps_memory_files_destroy(memory);
        if (!fault.is_tripped) { return; }
    }
    ck_abort_msg("a write never ends");
}
END_TEST

START_TEST(test_paths)
{
    struct ps_path path;
    ck_ok(ps_state_resolve("/run/x", "model-1", &path, &error));
    ck_assert_str_eq(path.text, "/run/x/model-1");
    ck_ok(ps_state_resolve("/run/x", "/other/model-1", &path, &error));
    ck_assert_str_eq(path.text, "/other/model-1");
    ck_assert_str_eq(ps_state_relative("/run/x", "/run/x/model-1"), "model-1");
    ck_assert_str_eq(ps_state_relative("/run/x/", "/run/x//a/model-1"), "a/model-1");
    ck_assert_str_eq(ps_state_relative("/run/x", "/run/xy/model-1"), "/run/xy/model-1");
    ck_assert_str_eq(ps_state_relative(".", "model-1"), "model-1");
    ck_assert_str_eq(ps_state_relative("/", "/model-1"), "model-1");
}
END_TEST

/* Missing ones go, each of the others keeps its own time. */
START_TEST(test_refresh)
{
    struct ps_memory_files *memory = ps_memory_files_create();
    const struct ps_files *files = ps_memory_files_table(memory);
    struct ps_state state = { 0 };
    for (uint64_t i = 1; i <= 3; i += 2) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "d/m-%d", (int)i);
        const struct fixture_save save = {
            .files = files, .prefix = prefix, .id = i, .value = 1, .part_count = 1
        };
        ck_ok(fixture_save(&save, &error));
    }
    ck_ok(ps_state_add(&state, "m-1", 11, &error));
    ck_ok(ps_state_add(&state, "m-2", 12, &error));
    ck_ok(ps_state_add(&state, "m-3", 0, &error));
    ck_ok(ps_state_refresh(files, "d", &state, &error));
    ck_assert_uint_eq(state.count, 2);
    ck_assert_str_eq(state.all[1].path, "m-3");
    ck_assert(state.all[0].timestamp_s == 11 && state.all[1].timestamp_s == 1000);
    ps_state_clean(&state);
    ps_memory_files_destroy(memory);
}
END_TEST

START_TEST(test_allocation_faults)
{
    static const char text[] = "model_checkpoint_path: \"a\"\n"
                               "all_model_checkpoint_paths: \"a\"\n"
                               "all_model_checkpoint_paths: \"b\"\n"
                               "all_model_checkpoint_timestamps: [1, 2]\nx: 'y'\n";
    long made = 1;
    for (long countdown = 1; made >= countdown; countdown++) {
        struct ps_state state;
        struct ps_buf out = { 0 };
        (void)ps_alloc_fail_at(countdown);
        enum ps_code rc = ps_state_parse(text_span(text), &state, &error);
        if (rc == PS_OK) { rc = ps_state_format(&state, &out, &error); }
        made = ps_alloc_fail_at(0);
        ck_assert_int_eq(rc, made >= countdown ? PS_RESOURCE_EXHAUSTED : PS_OK);
        ps_buf_clean(&out);
        ps_state_clean(&state);
    }
}
END_TEST

/* ---- retention ---- */

/* Saves "p<minute>" at a minute; what is to be removed is printed, separated by spaces. */
static void save_at(struct ps_retention *retention, int minute, const char *removed)
{
    char path[16], found[200] = "";
    struct ps_state remove = { 0 };
    snprintf(path, sizeof path, "p%d", minute);
    ck_ok(ps_retention_saved(retention, path, 1000000 + minute * 60.0, &remove, &error));
    for (size_t i = 0; i < remove.count; i++) {
        strncat(found, remove.all[i].path, sizeof found - strlen(found) - 1);
        strncat(found, " ", sizeof found - strlen(found) - 1);
    }
    ck_assert_str_eq(found, removed);
    ck_assert_str_eq(retention->state.latest, path);
    ps_state_clean(&remove);
}

START_TEST(test_max_to_keep)
{
    struct ps_retention retention;
    const struct ps_retention_options options = { .max_to_keep = 2 };
    ps_retention_init(&retention, &options, 1000000);
    save_at(&retention, 1, "");
    save_at(&retention, 2, "");
    save_at(&retention, 3, "p1 ");
    save_at(&retention, 2, ""); /* again: moves to the end */
    save_at(&retention, 4, "p3 ");
    ck_assert_str_eq(retention.state.all[0].path, "p2");
    retention.options.max_to_keep = 1;
    save_at(&retention, 5, "p2 p4 "); /* all above the limit, not only one */
    ps_retention_clean(&retention);
}
END_TEST

START_TEST(test_keep_all)
{
    struct ps_retention retention;
    const struct ps_retention_options options = { .max_to_keep = 0 };
    ps_retention_init(&retention, &options, 1000000);
    for (int i = 0; i < 100; i++) { save_at(&retention, i, ""); }
    ck_assert_uint_eq(retention.state.count, 100); /* the state file lists them all */
    ps_retention_clean(&retention);
}
END_TEST

START_TEST(test_keep_every_hours)
{
    struct ps_retention retention;
    const struct ps_retention_options options = { .max_to_keep = 1, .keep_every_hours = 1 };
    ps_retention_init(&retention, &options, 1000000);
    save_at(&retention, 30, "");
    save_at(&retention, 70, "p30 ");
    save_at(&retention, 90, ""); /* p70 is over an hour from the start: kept for ever */
    save_at(&retention, 120, "p90 ");
    save_at(&retention, 131, "p120 ");
    save_at(&retention, 140, ""); /* p131: over an hour after p70 */
    ck_assert_uint_eq(retention.state.count, 1);
    ps_retention_clean(&retention);
}
END_TEST

/* As above, with a restart through the text after every save. */
START_TEST(test_retention_survives_restarts)
{
    static const struct {
        int minute;
        const char *removed;
    } saves[] = { { 30, "" },      { 70, "p30 " },   { 90, "" },
                  { 120, "p90 " }, { 131, "p120 " }, { 140, "" } };
    struct ps_retention retention;
    const struct ps_retention_options options = { .max_to_keep = 1, .keep_every_hours = 1 };
    ps_retention_init(&retention, &options, 1000000);
    for (size_t i = 0; i < sizeof saves / sizeof saves[0]; i++) {
        struct ps_buf text = { 0 };
        struct ps_state state;
        save_at(&retention, saves[i].minute, saves[i].removed);
        ck_ok(ps_state_format(&retention.state, &text, &error));
        ps_retention_clean(&retention);
        ck_ok(ps_state_parse((struct ps_span){ text.data, text.size }, &state, &error));
        ps_retention_init(&retention, &options, 1000000 + saves[i].minute * 60.0);
        ps_retention_recover(&retention, &state);
        ps_buf_clean(&text);
    }
    ps_retention_clean(&retention);
}
END_TEST

START_TEST(test_clock_set_back)
{
    struct ps_retention retention;
    struct ps_state state = { .last_preserved_s = 9e9 };
    const struct ps_retention_options options = { .max_to_keep = 1, .keep_every_hours = 1 };
    ps_retention_init(&retention, &options, 1000000);
    ps_retention_recover(&retention, &state);
    ck_assert(retention.state.last_preserved_s == 1000000);
    ps_retention_clean(&retention);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("state_file");
    TCase *tcase = tcase_create("state_file");
    tcase_add_test(tcase, test_text);
    tcase_add_test(tcase, test_lenient_reading);
    tcase_add_test(tcase, test_malformed);
    tcase_add_test(tcase, test_deep_nesting);
    tcase_add_test(tcase, test_replaced_atomically);
    tcase_add_test(tcase, test_paths);
    tcase_add_test(tcase, test_refresh);
    tcase_add_test(tcase, test_allocation_faults);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("retention");
    tcase_add_test(tcase, test_max_to_keep);
    tcase_add_test(tcase, test_keep_all);
    tcase_add_test(tcase, test_keep_every_hours);
    tcase_add_test(tcase, test_retention_survives_restarts);
    tcase_add_test(tcase, test_clock_set_back);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
