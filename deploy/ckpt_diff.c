/* paramd ckpt diff: what differs between two checkpoints. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/exit_code.h"
#include "core/tensor.h"
#include "deploy/ckpt_priv.h"
#include "deploy/options.h"
#include "deploy/tool.h"

/* As diff(1): there are differences. PIECE: of each of the two, at once. */
enum { EXIT_DIFFERENT = 1, PIECE_ELEMENTS = 256 << 10, ELEMENT_BYTES_MAX = 8 };

struct settings {
    const char *wheres[2];
    int count;
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (settings->count == 2) {
            argp_error(state, "two checkpoints at a time: '%s'", argument);
        }
        settings->wheres[settings->count++] = argument;
        return 0;
    case ARGP_KEY_END:
        if (settings->count < 2) { argp_error(state, "give two checkpoints"); }
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .parser = parse,
    .args_doc = "A B",
    .doc =
        "Examples:\n"
        "  paramd ckpt diff run/model.ckpt-100 run/model.ckpt-200\n"
        "  paramd ckpt diff run backup/run\n"
        "\n"
        "Compares two checkpoints, each a prefix or a directory: names, types, shapes, and every "
        "value, bit by bit. How they are partitioned does not matter."
        "\v"
        "Exit codes: 0 the same, 1 different, 65 damaged, 66 no such checkpoint; all of them: "
        "paramd "
        "--help",
};

struct diff {
    struct ps_bundle_reader *readers[2];
    struct ps_path prefixes[2];
    uint8_t *pieces[2];
    size_t same_count;
    size_t different_count;
};

/* ---- Values ---- */

struct difference {
    int64_t count;
    double max_absolute;
    double max_relative;
    bool has_nan; /* one of two is no number */
};

/* The distance of two integers of 64 bits, which a double could not hold. */
static double integer_distance(enum ps_dtype dtype, const uint8_t *a, const uint8_t *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    bool a_is_less = dtype == PS_INT64 ? (int64_t)x < (int64_t)y : x < y;
    return (double)(a_is_less ? y - x : x - y);
}

static void add_element(struct difference *difference, enum ps_dtype dtype, const uint8_t *a,
                        const uint8_t *b)
{
    double x = ps_element_get(dtype, a, 0), y = ps_element_get(dtype, b, 0);
    bool is_wide = dtype == PS_INT64 || dtype == PS_UINT64;
    double absolute = x == y ? 0 : fabs(x - y); /* infinity less infinity is no number */
    if (is_wide) { absolute = integer_distance(dtype, a, b); }
    difference->count++;
    if (isnan(absolute)) {
        difference->has_nan = true;
        return;
    }
    double scale = fmax(fabs(x), fabs(y));
    double relative = scale > 0 && isfinite(scale) ? absolute / scale : absolute > 0;
    difference->max_absolute = fmax(difference->max_absolute, absolute);
    difference->max_relative = fmax(difference->max_relative, relative);
}

static enum ps_code compare_numbers(struct diff *diff, const struct ps_bundle_info *info,
                                    struct difference *difference, struct ps_error *err)
{
    enum ps_dtype dtype = (enum ps_dtype)info->dtype;
    size_t width = (size_t)ps_dtype_size(dtype);
    struct psi_ckpt_walk walk;
    struct ps_slice box;
    int64_t count;
    enum ps_code rc = PS_OK;
    psi_ckpt_walk_init(&walk, &info->shape, PIECE_ELEMENTS);
    while (psi_ckpt_walk_next(&walk, &box, &count)) {
        const struct ps_bundle_request request = { .name = info->name, .slice = &box };
        size_t size = (size_t)count * width;
        for (int i = 0; i < 2; i++) {
            rc = ps_bundle_reader_read(diff->readers[i], &request, diff->pieces[i], size, err);
            if (rc != PS_OK) {
                (void)ps_wrap(err, "%s", diff->prefixes[i].text);
                return rc;
            }
        }
        const uint8_t *a = diff->pieces[0], *b = diff->pieces[1];
        if (memcmp(a, b, size) == 0) { continue; }
        for (size_t at = 0; at < size; at += width) {
            if (memcmp(a + at, b + at, width) != 0) {
                add_element(difference, dtype, a + at, b + at);
            }
        }
    }
    return rc;
}

static enum ps_code compare_strings(struct diff *diff, const struct ps_bundle_info *info,
                                    struct difference *difference, struct ps_error *err)
{
    struct ps_bundle_strings strings[2] = { { .count = 0 }, { .count = 0 } };
    enum ps_code rc;
    for (int i = 0; i < 2; i++) {
        PS_TRY(done, rc,
               ps_bundle_reader_read_strings(diff->readers[i], info->name, &strings[i], err));
    }
    for (size_t i = 0; i < strings[0].count; i++) {
        const struct ps_span a = strings[0].items[i], b = strings[1].items[i];
        difference->count += a.size != b.size ||
                             (a.size > 0 && memcmp(a.data, b.data, a.size) != 0);
    }
done:
    ps_bundle_strings_clean(&strings[0]);
    ps_bundle_strings_clean(&strings[1]);
    return rc;
}

static void print_difference(const struct ps_bundle_info *info, const struct difference *difference)
{
    printf("%s: %" PRId64 " of %" PRId64 " elements differ", info->name, difference->count,
           ps_shape_elements(&info->shape));
    if (info->dtype != PS_STRING) {
        printf(", by at most %.9g (relative %.3g)", difference->max_absolute,
               difference->max_relative);
    }
    puts(difference->has_nan ? "; where one is a number, another is none" : "");
}

/* ---- Tensors ---- */

static enum ps_code compare_values(struct diff *diff, const struct ps_bundle_info *info,
                                   struct ps_error *err)
{
    struct difference difference = { .count = 0 };
    enum ps_code rc;
    if (info->dtype != PS_STRING && ps_dtype_size((enum ps_dtype)info->dtype) == 0) {
        printf("%s: values of type %s are not compared\n", info->name, ps_dtype_name(info->dtype));
        diff->different_count++; /* nobody knows, so nobody may call them equal */
        return PS_OK;
    }
    rc = info->dtype == PS_STRING ? compare_strings(diff, info, &difference, err)
                                  : compare_numbers(diff, info, &difference, err);
    if (rc != PS_OK) { return rc; }
    if (difference.count > 0) { print_difference(info, &difference); }
    diff->same_count += difference.count == 0;
    diff->different_count += difference.count > 0;
    return PS_OK;
}

static enum ps_code compare_tensors(struct diff *diff, const struct ps_bundle_info *a,
                                    const struct ps_bundle_info *b, struct ps_error *err)
{
    char shapes[2][PS_SHAPE_TEXT_BYTES];
    bool same_shape = ps_shape_equal(&a->shape, &b->shape);
    if (a->dtype == b->dtype && same_shape) { return compare_values(diff, a, err); }
    printf("%s: %s%s in A, %s%s in B\n", a->name, ps_dtype_name(a->dtype),
           ps_shape_format(&a->shape, shapes[0]), ps_dtype_name(b->dtype),
           ps_shape_format(&b->shape, shapes[1]));
    diff->different_count++;
    return PS_OK;
}

/* Both lists are sorted by name. */
static enum ps_code compare(struct diff *diff, struct ps_error *err)
{
    size_t a = 0, b = 0;
    size_t a_count = ps_bundle_reader_count(diff->readers[0]);
    size_t b_count = ps_bundle_reader_count(diff->readers[1]);
    while (a < a_count || b < b_count) {
        struct ps_bundle_info infos[2] = { { .name = NULL }, { .name = NULL } };
        if (a < a_count) { infos[0] = ps_bundle_reader_info(diff->readers[0], a); }
        if (b < b_count) { infos[1] = ps_bundle_reader_info(diff->readers[1], b); }
        int order = a == a_count ? 1 : b == b_count ? -1 : strcmp(infos[0].name, infos[1].name);
        if (order == 0) {
            enum ps_code rc = compare_tensors(diff, &infos[0], &infos[1], err);
            if (rc != PS_OK) { return rc; }
        } else {
            printf("only in %s: %s\n", order < 0 ? "A" : "B", infos[order > 0].name);
            diff->different_count++;
        }
        a += order <= 0;
        b += order >= 0;
    }
    return PS_OK;
}

static int conclude(const struct diff *diff)
{
    if (diff->different_count == 0) {
        printf("the same: %zu tensors\n", diff->same_count);
        return PS_EXIT_OK;
    }
    printf("different: %zu of %zu tensors (A: %s, B: %s)\n", diff->different_count,
           diff->different_count + diff->same_count, diff->prefixes[0].text,
           diff->prefixes[1].text);
    return EXIT_DIFFERENT;
}

int psi_ckpt_diff(int argc, char **argv)
{
    struct settings settings = { .count = 0 };
    struct diff diff = { .same_count = 0 };
    struct ps_error error = PS_ERROR_INIT;
    enum ps_code rc;
    ps_options_parse(&argp, argc, argv, &settings);
    for (int i = 0; i < 2; i++) {
        PS_TRY(done, rc,
               psi_ckpt_open(settings.wheres[i], &diff.prefixes[i], &diff.readers[i], &error));
        diff.pieces[i] = ps_alloc((size_t)PIECE_ELEMENTS * ELEMENT_BYTES_MAX);
        if (diff.pieces[i] == NULL) {
            rc = ps_fail(&error, PS_RESOURCE_EXHAUSTED, "no memory to compare checkpoints");
            goto done;
        }
    }
    PS_TRY(done, rc, compare(&diff, &error));
done:;
    int code = rc == PS_OK ? conclude(&diff) : ps_tool_explain(&error);
    for (int i = 0; i < 2; i++) {
        ps_bundle_reader_close(diff.readers[i]);
        ps_free(diff.pieces[i]);
    }
    return code;
}
