/* Definitions of variables: copied into one block, compared field by field, printed for people. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/definition.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "proto/text_priv.h"

enum { SHOWN_CONSTANTS = 4 };

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

/* ---- Copy ---- */

/* Copies text to *at and moves *at behind its NUL. */
static const char *put_text(char **at, const char *text)
{
    size_t size = strlen(or_empty(text)) + 1;
    char *copy = memcpy(*at, or_empty(text), size);
    *at += size;
    return copy;
}

/* The block starts with the values, which need its alignment; so values is what clean frees, and
 * it is set even where there are none. */
enum ps_code ps_definition_copy(const struct ps_definition *from, struct ps_definition *to_out,
                                struct ps_error *err)
{
    *to_out = (struct ps_definition){ 0 };
    const struct ps_initializer_spec *spec = &from->initializer;
    if (spec->value_count > PS_MAX_CONSTANTS) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "variable '%s': %zu constants, at most %d",
                       or_empty(from->name), spec->value_count, PS_MAX_CONSTANTS);
    }
    size_t values_bytes = spec->value_count * sizeof *spec->values;
    size_t texts_bytes = strlen(or_empty(from->name)) + strlen(or_empty(from->device)) +
                         strlen(or_empty(spec->source)) + 3;
    double *values = ps_alloc(values_bytes + texts_bytes);
    if (values == NULL) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for the definition of variable '%s'",
                       or_empty(from->name));
    }
    if (values_bytes > 0) { memcpy(values, spec->values, values_bytes); }
    *to_out = *from;
    to_out->initializer.values = values;
    char *at = (char *)(values + spec->value_count);
    to_out->name = put_text(&at, from->name);
    to_out->device = put_text(&at, from->device);
    to_out->initializer.source = put_text(&at, spec->source);
    return PS_OK;
}

void ps_definition_clean(struct ps_definition *definition)
{
    if (definition == NULL) { return; }
    ps_free((void *)(uintptr_t)definition->initializer.values);
    *definition = (struct ps_definition){ 0 };
}

/* ---- Compare ---- */

static bool text_equal(const char *a, const char *b)
{
    return strcmp(or_empty(a), or_empty(b)) == 0;
}

/* A NaN asked for twice is the same wish. */
static bool number_equal(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool values_equal(const struct ps_initializer_spec *a, const struct ps_initializer_spec *b)
{
    if (a->value_count != b->value_count) { return false; }
    for (size_t i = 0; i < a->value_count; i++) {
        if (!number_equal(a->values[i], b->values[i])) { return false; }
    }
    return true;
}

static bool initializer_equal(const struct ps_initializer_spec *a,
                              const struct ps_initializer_spec *b)
{
    bool scaled = or_empty(a->source)[0] != '\0'; /* scale means nothing without a source */
    return a->kind == b->kind && number_equal(a->a, b->a) && number_equal(a->b, b->b) &&
           a->seed == b->seed && a->crc32c == b->crc32c && text_equal(a->source, b->source) &&
           (!scaled || number_equal(a->scale, b->scale)) && values_equal(a, b);
}

bool ps_definition_equal(const struct ps_definition *a, const struct ps_definition *b)
{
    return a->dtype == b->dtype && a->free_shape == b->free_shape &&
           ps_shape_equal(&a->shape, &b->shape) && text_equal(a->name, b->name) &&
           initializer_equal(&a->initializer, &b->initializer);
}

/* ---- Print ---- */

/* Text that is appended to and cut at its end. */
struct print {
    char *at;
    size_t left; /* with the NUL */
};

static void PS_PRINTF(2, 3) put(struct print *print, const char *format, ...)
{
    if (print->left == 0) { return; }
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(print->at, print->left, format, arguments);
    va_end(arguments);
    size_t used = length < 0 ? 0 : (size_t)length;
    if (used >= print->left) { used = print->left - 1; }
    print->at += used;
    print->left -= used;
}

/* The shortest form that reads back as the same number, so that two that differ look different. */
static void put_number(struct print *print, double value)
{
    char text[32];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (number_equal(strtod(text, NULL), value)) { break; }
    }
    put(print, "%s", text);
}

static void put_random(struct print *print, const char *name,
                       const struct ps_initializer_spec *spec)
{
    put(print, "%s(", name);
    put_number(print, spec->a);
    put(print, ", ");
    put_number(print, spec->b);
    put(print, ", seed %" PRIu64 ")", spec->seed);
}

static void put_constant(struct print *print, const struct ps_initializer_spec *spec)
{
    put(print, "constant(");
    for (size_t i = 0; i < spec->value_count && i < SHOWN_CONSTANTS; i++) {
        if (i > 0) { put(print, ", "); }
        put_number(print, spec->values[i]);
    }
    if (spec->value_count > SHOWN_CONSTANTS) { put(print, ", ... %zu values", spec->value_count); }
    put(print, ")");
}

static void put_own(struct print *print, const struct ps_initializer_spec *spec)
{
    switch (spec->kind) {
    case PS_INIT_ZEROS: put(print, "zeros"); break;
    case PS_INIT_ONES: put(print, "ones"); break;
    case PS_INIT_CONSTANT: put_constant(print, spec); break;
    case PS_INIT_RANDOM_NORMAL: put_random(print, "random_normal", spec); break;
    case PS_INIT_TRUNCATED_NORMAL: put_random(print, "truncated_normal", spec); break;
    case PS_INIT_RANDOM_UNIFORM: put_random(print, "random_uniform", spec); break;
    case PS_INIT_GLOROT_UNIFORM: put(print, "glorot_uniform(seed %" PRIu64 ")", spec->seed); break;
    case PS_INIT_GLOROT_NORMAL: put(print, "glorot_normal(seed %" PRIu64 ")", spec->seed); break;
    case PS_INIT_TENSOR: put(print, "tensor(crc32c %08" PRIx32 ")", spec->crc32c); break;
    default: put(print, "initializer %d", (int)spec->kind); break;
    }
}

static void put_initializer(struct print *print, const struct ps_initializer_spec *spec)
{
    if (or_empty(spec->source)[0] == '\0') {
        put_own(print, spec);
        return;
    }
    if (!number_equal(spec->scale, 1.0)) {
        put_number(print, spec->scale);
        put(print, " * ");
    }
    put(print, "initialized_value(%s)", spec->source);
}

const char *ps_initializer_format(const struct ps_initializer_spec *spec, char *text, size_t size)
{
    struct print print = { text, size };
    put_initializer(&print, spec);
    return text;
}

const char *ps_definition_format(const struct ps_definition *definition, char *text, size_t size)
{
    struct print print = { text, size };
    char shape[PS_SHAPE_TEXT_BYTES];
    put(&print, "%s%s ", ps_dtype_name((int)definition->dtype),
        ps_shape_format(&definition->shape, shape));
    put_initializer(&print, &definition->initializer);
    return text;
}

/* ---- Names ---- */

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

enum ps_code ps_name_check(const char *name, struct ps_error *err)
{
    if (name == NULL || name[0] == '\0') {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "a variable needs a name: 1 to %d bytes, it is empty", PS_MAX_NAME_BYTES);
    }
    enum ps_code rc = psi_text_check(name, PS_MAX_NAME_BYTES, err);
    if (rc != PS_OK) {
        (void)ps_wrap(err, "a variable's name");
        return rc;
    }
    if (name[0] == '/') {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "variable name '%s' starts with '/'; leave that out", name);
    }
    if (starts_with(name, "_paramd/")) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "variable name '%s' starts with '_paramd/', which is kept for the "
                       "cluster's own records; choose another",
                       name);
    }
    return PS_OK;
}
