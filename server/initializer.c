/* Initializers: the check of a definition, and the filling of any run of its elements. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/initializer.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/dtype.h"
#include "core/philox.h"
#include "core/tensor.h"
#include "proto/definition.h"
#include "server/normal_priv.h"

/* Elements are made as doubles in blocks this long, then stored in their type. Even, because
 * random elements come in pairs. */
enum { BLOCK = 512 };

/* The place of the redraw count within a philox stream; streams are numbered below 256. */
enum { ATTEMPT_SHIFT = 8 };

static bool is_random(enum ps_initializer_kind kind)
{
    return kind == PS_INIT_RANDOM_NORMAL || kind == PS_INIT_TRUNCATED_NORMAL ||
           kind == PS_INIT_RANDOM_UNIFORM || kind == PS_INIT_GLOROT_UNIFORM ||
           kind == PS_INIT_GLOROT_NORMAL;
}

static enum ps_code PS_PRINTF(3, 4)
    refuse(const struct ps_definition *definition, struct ps_error *err, const char *format, ...)
{
    char text[PS_DEFINITION_TEXT_BYTES], why[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    return ps_fail(err, PS_INVALID_ARGUMENT, "variable '%s', %s: %s", definition->name,
                   ps_definition_format(definition, text, sizeof text), why);
}

/* The element nearest to value, as a double. */
static double as_element(enum ps_dtype dtype, double value)
{
    uint64_t element = 0;
    ps_element_set(dtype, &element, 0, value);
    return ps_element_get(dtype, &element, 0);
}

/* Whether an element of the type can be exactly this number. Floating types take any. The largest
 * 64-bit integers read as the double above them, which is no value of theirs. */
static bool is_value_of(enum ps_dtype dtype, double value)
{
    if (ps_dtype_is_floating(dtype)) { return true; }
    if (dtype == PS_INT64 && value >= 0x1p63) { return false; }
    if (dtype == PS_UINT64 && value >= 0x1p64) { return false; }
    return as_element(dtype, value) == value;
}

/* The upper bound itself is not drawn, so it may lie one past the type. */
static bool is_bound_of(enum ps_dtype dtype, double bound)
{
    return is_value_of(dtype, bound) || is_value_of(dtype, bound - 1.0) ||
           (dtype == PS_INT64 && bound == 0x1p63) || (dtype == PS_UINT64 && bound == 0x1p64);
}

static enum ps_code check_constant(const struct ps_definition *definition, struct ps_error *err)
{
    const struct ps_initializer_spec *spec = &definition->initializer;
    uint64_t elements = (uint64_t)ps_shape_elements(&definition->shape);
    if (spec->value_count > 1 && spec->value_count > elements) {
        return refuse(definition, err, "%zu values for %" PRIu64 " elements", spec->value_count,
                      elements);
    }
    for (size_t i = 0; i < spec->value_count; i++) {
        if (!is_value_of(definition->dtype, spec->values[i])) {
            return refuse(definition, err, "value %zu, %.17g, is none of type %s", i,
                          spec->values[i], ps_dtype_name((int)definition->dtype));
        }
    }
    if (spec->value_count == 0 && !is_value_of(definition->dtype, spec->a)) {
        return refuse(definition, err, "%.17g is no value of type %s", spec->a,
                      ps_dtype_name((int)definition->dtype));
    }
    return PS_OK;
}

static enum ps_code check_uniform(const struct ps_definition *definition, struct ps_error *err)
{
    const struct ps_initializer_spec *spec = &definition->initializer;
    if (!isfinite(spec->a) || !isfinite(spec->b) || !isfinite(spec->b - spec->a) ||
        !(spec->a < spec->b)) {
        return refuse(definition, err, "needs finite bounds, the first below the second");
    }
    if (ps_dtype_is_floating(definition->dtype)) {
        double lowest = as_element(definition->dtype, spec->a);
        double bound = as_element(definition->dtype, spec->b);
        if (!isfinite(lowest) || !isfinite(bound) || !(lowest < bound)) {
            return refuse(definition, err, "the bounds are no two finite numbers of type %s",
                          ps_dtype_name((int)definition->dtype));
        }
        return PS_OK;
    }
    if (floor(spec->b) != spec->b || !is_value_of(definition->dtype, spec->a) ||
        !is_bound_of(definition->dtype, spec->b)) {
        return refuse(definition, err, "the bounds must be whole numbers of type %s",
                      ps_dtype_name((int)definition->dtype));
    }
    return PS_OK;
}

static enum ps_code check_random(const struct ps_definition *definition, struct ps_error *err)
{
    const struct ps_initializer_spec *spec = &definition->initializer;
    const char *type = ps_dtype_name((int)definition->dtype);
    if (definition->dtype == PS_BOOL) {
        return refuse(definition, err, "random numbers are not for type bool");
    }
    if (spec->kind == PS_INIT_RANDOM_UNIFORM) { return check_uniform(definition, err); }
    if (!ps_dtype_is_floating(definition->dtype)) {
        return refuse(definition, err, "needs a floating type, not %s; random_uniform gives %s",
                      type, type);
    }
    bool has_deviation = spec->kind == PS_INIT_RANDOM_NORMAL ||
                         spec->kind == PS_INIT_TRUNCATED_NORMAL;
    if (has_deviation && (!isfinite(spec->a) || !isfinite(spec->b) || spec->b < 0)) {
        return refuse(definition, err, "needs a finite mean and a finite deviation of at least 0");
    }
    return PS_OK;
}

enum ps_code ps_initializer_check(const struct ps_definition *definition, struct ps_error *err)
{
    const struct ps_initializer_spec *spec = &definition->initializer;
    if (!isfinite(spec->scale)) { return refuse(definition, err, "the scale must be finite"); }
    if (spec->scale != 1.0 &&
        (definition->dtype == PS_BOOL || !is_value_of(definition->dtype, spec->scale))) {
        return refuse(definition, err, "cannot be scaled by %.17g", spec->scale);
    }
    if (is_random(spec->kind)) { return check_random(definition, err); }
    switch (spec->kind) {
    case PS_INIT_CONSTANT: return check_constant(definition, err);
    case PS_INIT_ZEROS:
    case PS_INIT_ONES:
    case PS_INIT_TENSOR: return PS_OK;
    default: return refuse(definition, err, "unknown initializer %d", (int)spec->kind);
    }
}

/* What a definition comes down to, in numbers. */
struct plan {
    enum ps_initializer_kind kind; /* glorot is uniform or truncated normal by now */
    enum ps_dtype dtype;
    uint64_t seed;
    double a;       /* mean, minimum */
    double b;       /* deviation, maximum */
    double highest; /* uniform: the largest element below b */
    double scale;
    const struct ps_initializer_spec *spec;
};

/* The largest floating element below bound, which is an element. */
static double element_below(enum ps_dtype dtype, double bound)
{
    if (dtype == PS_DOUBLE) { return nextafter(bound, -INFINITY); }
    if (dtype == PS_FLOAT) { return (double)nextafterf((float)bound, -INFINITY); }
    double smallest = dtype == PS_HALF ? 0x1p-24 : 0x1p-133; /* subnormals included */
    if (bound == 0.0) { return -smallest; }
    uint16_t bits;
    ps_element_set(dtype, &bits, 0, bound);
    bits = (uint16_t)(bound > 0.0 ? bits - 1 : bits + 1); /* sign and magnitude */
    return ps_element_get(dtype, &bits, 0);
}

/* Of the whole variable, whichever slice is filled. */
static double fan_sum(const struct ps_shape *shape)
{
    if (shape->rank == 0) { return 2.0; }
    if (shape->rank == 1) { return 2.0 * (double)shape->dims[0]; }
    double receptive = 1.0;
    for (int i = 0; i < shape->rank - 2; i++) { receptive *= (double)shape->dims[i]; }
    return receptive *
           ((double)shape->dims[shape->rank - 2] + (double)shape->dims[shape->rank - 1]);
}

static struct plan make_plan(const struct ps_definition *definition)
{
    const struct ps_initializer_spec *spec = &definition->initializer;
    struct plan plan = { .kind = spec->kind,
                         .dtype = definition->dtype,
                         .seed = spec->seed,
                         .a = spec->a,
                         .b = spec->b,
                         .scale = spec->scale,
                         .spec = spec };
    double fans = fmax(2.0, fan_sum(&definition->shape));
    if (spec->kind == PS_INIT_GLOROT_UNIFORM) {
        plan.kind = PS_INIT_RANDOM_UNIFORM;
        plan.b = sqrt(6.0 / fans);
        plan.a = -plan.b;
    } else if (spec->kind == PS_INIT_GLOROT_NORMAL) {
        plan.kind = PS_INIT_TRUNCATED_NORMAL;
        plan.a = 0.0;
        plan.b = sqrt(2.0 / fans);
    }
    if (plan.kind == PS_INIT_RANDOM_UNIFORM && ps_dtype_is_floating(plan.dtype)) {
        plan.a = as_element(plan.dtype, plan.a);
        plan.b = as_element(plan.dtype, plan.b);
        plan.highest = element_below(plan.dtype, plan.b);
    }
    return plan;
}

static struct ps_philox_block pair_block(const struct plan *plan, int64_t pair, uint32_t attempt)
{
    return ps_philox(plan->seed, (uint32_t)PS_STREAM_INITIALIZER | attempt << ATTEMPT_SHIFT,
                     (uint64_t)pair);
}

/* Each element of a pair is redrawn by itself, from its own half of further blocks. */
static void truncated_pair(const struct plan *plan, int64_t pair, double out[2])
{
    psi_normal_pair(pair_block(plan, pair, 0), out);
    for (uint32_t attempt = 1; fabs(out[0]) >= 2.0 || fabs(out[1]) >= 2.0; attempt++) {
        double again[2];
        psi_normal_pair(pair_block(plan, pair, attempt), again);
        if (fabs(out[0]) >= 2.0) { out[0] = again[0]; }
        if (fabs(out[1]) >= 2.0) { out[1] = again[1]; }
    }
}

static void random_pair(const struct plan *plan, int64_t pair, double out[2])
{
    if (plan->kind == PS_INIT_RANDOM_UNIFORM) {
        struct ps_philox_block block = pair_block(plan, pair, 0);
        struct ps_philox_block second = { { block.word[2], block.word[3], 0, 0 } };
        double width = plan->b - plan->a;
        out[0] = fmin(plan->a + width * ps_philox_uniform(block), plan->highest);
        out[1] = fmin(plan->a + width * ps_philox_uniform(second), plan->highest);
        return;
    }
    if (plan->kind == PS_INIT_RANDOM_NORMAL) {
        psi_normal_pair(pair_block(plan, pair, 0), out);
    } else {
        truncated_pair(plan, pair, out);
    }
    out[0] = plan->a + plan->b * out[0];
    out[1] = plan->a + plan->b * out[1];
}

/* Elements [first, first + count) as doubles; count <= BLOCK. */
static void random_block(const struct plan *plan, int64_t first, double *out, int64_t count)
{
    int64_t i = 0;
    double pair[2];
    if (first % 2 != 0 && count > 0) {
        random_pair(plan, first / 2, pair);
        out[i++] = pair[1];
    }
    for (; i + 1 < count; i += 2) { random_pair(plan, (first + i) / 2, &out[i]); }
    if (i < count) {
        random_pair(plan, (first + i) / 2, pair);
        out[i] = pair[0];
    }
}

/* The two hot types without a switch an element. Scaling is one more rounding, as in
 * scale * initialized_value. */
static void store_block(const struct plan *plan, const double *from, void *to, int64_t count)
{
    if (plan->dtype == PS_FLOAT && plan->scale == 1.0) {
        float *elements = to;
        for (int64_t i = 0; i < count; i++) { elements[i] = (float)from[i]; }
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        double value = from[i];
        if (plan->scale != 1.0) {
            value = as_element(plan->dtype, value) * as_element(plan->dtype, plan->scale);
        }
        ps_element_set(plan->dtype, to, i, value);
    }
}

static void fill_floating(const struct plan *plan, int64_t first, uint8_t *out, int64_t count)
{
    double block[BLOCK];
    size_t element_bytes = (size_t)ps_dtype_size(plan->dtype);
    while (count > 0) {
        int64_t run = count < BLOCK ? count : BLOCK;
        random_block(plan, first, block, run);
        store_block(plan, block, out, run);
        first += run;
        count -= run;
        out += (size_t)run * element_bytes;
    }
}

/* The 64 bits of a whole number; 2^64 wraps to 0. */
static uint64_t bits_of_integer(double value)
{
    if (value < 0) { return (uint64_t)(int64_t)value; }
    return value >= 0x1p64 ? 0 : (uint64_t)value;
}

/* Integer in [a, b) without passing through a double: 64 random bits times the width, upper half.
 * Signed elements are the same bits, so sums wrap. */
static void fill_integers(const struct plan *plan, int64_t first, uint8_t *out, int64_t count)
{
    size_t element_bytes = (size_t)ps_dtype_size(plan->dtype);
    uint64_t lowest = bits_of_integer(plan->a);
    uint64_t width = bits_of_integer(plan->b) - lowest; /* 0: 2^64 */
    for (int64_t i = 0; i < count; i++) {
        int64_t element = first + i;
        struct ps_philox_block block = pair_block(plan, element / 2, 0);
        int half = element % 2 == 0 ? 0 : 2;
        uint64_t bits = (uint64_t)block.word[half] << 32 | block.word[half + 1];
        uint64_t drawn = width == 0 ? bits : (uint64_t)((unsigned __int128)bits * width >> 64);
        uint64_t value = lowest + drawn;
        memcpy(out + (size_t)i * element_bytes, &value, element_bytes); /* little-endian */
        if (plan->scale != 1.0) {
            double scaled = ps_element_get(plan->dtype, out, i) * plan->scale;
            ps_element_set(plan->dtype, out, i, scaled);
        }
    }
}

/* count copies of one element, by doubling what is there. */
static void repeat(const struct plan *plan, double value, uint8_t *out, int64_t count)
{
    size_t size = (size_t)count * (size_t)ps_dtype_size(plan->dtype);
    size_t done = (size_t)ps_dtype_size(plan->dtype);
    if (count == 0) { return; }
    store_block(plan, &value, out, 1);
    while (done < size) {
        size_t run = size - done < done ? size - done : done;
        memcpy(out + done, out, run);
        done += run;
    }
}

/* The values in their order, the last one for all further elements. */
static void fill_constant(const struct plan *plan, int64_t first, uint8_t *out, int64_t count)
{
    int64_t given = (int64_t)plan->spec->value_count;
    size_t element_bytes = (size_t)ps_dtype_size(plan->dtype);
    int64_t listed = first < given ? given - first : 0;
    if (listed > count) { listed = count; }
    for (int64_t i = 0; i < listed; i++) {
        store_block(plan, &plan->spec->values[first + i], out + (size_t)i * element_bytes, 1);
    }
    double last = given == 0 ? plan->a : plan->spec->values[given - 1];
    repeat(plan, last, out + (size_t)listed * element_bytes, count - listed);
}

void ps_initializer_fill(const struct ps_definition *definition, int64_t first, void *out,
                         int64_t count)
{
    struct plan plan = make_plan(definition);
    PS_ASSERT(plan.kind != PS_INIT_TENSOR);
    switch (plan.kind) {
    case PS_INIT_ZEROS: memset(out, 0, (size_t)count * (size_t)ps_dtype_size(plan.dtype)); break;
    case PS_INIT_ONES: repeat(&plan, 1.0, out, count); break;
    case PS_INIT_CONSTANT: fill_constant(&plan, first, out, count); break;
    default:
        if (ps_dtype_is_floating(plan.dtype)) {
            fill_floating(&plan, first, out, count);
        } else {
            fill_integers(&plan, first, out, count);
        }
    }
}
