/* A tensor as NumPy prints one: nested brackets, aligned columns, long axes cut in the middle. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/array_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/tensor.h"

enum {
    WHOLE_ELEMENTS = 1000, /* NumPy's own threshold and edge */
    EDGE = 3,
    LINE_COLUMNS = 75,
    VALUE_BYTES = 40
};

struct printer {
    const struct ps_tensor *tensor;
    FILE *stream;
    bool cut;
    int width; /* of the widest value that is shown; 0 while measuring */
    int column;
};

static void format_value(const struct ps_tensor *tensor, int64_t index, char text[VALUE_BYTES])
{
    double value;
    switch (tensor->dtype) {
    case PS_BOOL:
        value = ps_element_get(PS_BOOL, tensor->data, index);
        snprintf(text, VALUE_BYTES, "%s", value != 0 ? "True" : "False");
        return;
    case PS_INT64: { /* beyond 2^53 a double would round */
        int64_t whole;
        memcpy(&whole, (const char *)tensor->data + index * 8, 8);
        snprintf(text, VALUE_BYTES, "%lld", (long long)whole);
        return;
    }
    case PS_UINT64: {
        uint64_t whole;
        memcpy(&whole, (const char *)tensor->data + index * 8, 8);
        snprintf(text, VALUE_BYTES, "%llu", (unsigned long long)whole);
        return;
    }
    default: break;
    }
    value = ps_element_get(tensor->dtype, tensor->data, index);
    snprintf(text, VALUE_BYTES, "%.*g", tensor->dtype == PS_DOUBLE ? 10 : 7, value);
}

static bool is_shown(const struct printer *printer, int axis, int64_t i)
{
    int64_t size = printer->tensor->shape.dims[axis];
    return !printer->cut || size <= 2 * EDGE || i < EDGE || i >= size - EDGE;
}

/* The element after i to look at: the next, or the first of the last three. */
static int64_t next_shown(const struct printer *printer, int axis, int64_t i)
{
    int64_t next = i + 1;
    int64_t size = printer->tensor->shape.dims[axis];
    return next >= size || is_shown(printer, axis, next) ? next : size - EDGE;
}

static void measure_axis(struct printer *printer, int axis, int64_t base)
{
    const struct ps_shape *shape = &printer->tensor->shape;
    for (int64_t i = 0; i < shape->dims[axis]; i = next_shown(printer, axis, i)) {
        int64_t index = base * shape->dims[axis] + i;
        if (axis + 1 < shape->rank) {
            measure_axis(printer, axis + 1, index);
            continue;
        }
        char text[VALUE_BYTES];
        format_value(printer->tensor, index, text);
        int width = (int)strlen(text);
        printer->width = width > printer->width ? width : printer->width;
    }
}

static void new_line(struct printer *printer, int depth)
{
    fprintf(printer->stream, "\n%*s", depth, "");
    printer->column = depth;
}

/* The innermost axis: values beside each other, wrapped like NumPy's. */
static void print_values(struct printer *printer, int axis, int64_t base)
{
    int64_t size = printer->tensor->shape.dims[axis];
    for (int64_t i = 0, next; i < size; i = next) {
        char text[VALUE_BYTES];
        next = next_shown(printer, axis, i);
        format_value(printer->tensor, base * size + i, text);
        if (i > 0 && printer->column + printer->width + 1 > LINE_COLUMNS) {
            new_line(printer, axis + 1);
        } else if (i > 0) {
            fputc(' ', printer->stream);
            printer->column++;
        }
        fprintf(printer->stream, "%*s", printer->width, text);
        printer->column += printer->width;
        if (next > i + 1) {
            fputs(" ...", printer->stream);
            printer->column += 4;
        }
    }
}

static void print_axis(struct printer *printer, int axis, int64_t base)
{
    const struct ps_shape *shape = &printer->tensor->shape;
    int64_t size = shape->dims[axis];
    fputc('[', printer->stream);
    printer->column = axis + 1;
    if (axis + 1 == shape->rank) {
        print_values(printer, axis, base);
    } else {
        for (int64_t i = 0, next; i < size; i = next) {
            next = next_shown(printer, axis, i);
            print_axis(printer, axis + 1, base * size + i);
            if (next > i + 1) {
                new_line(printer, axis + 1);
                fputs("...", printer->stream);
            }
            if (next < size) { new_line(printer, axis + 1); }
        }
    }
    fputc(']', printer->stream);
}

void ps_array_print(const struct ps_tensor *tensor, FILE *stream)
{
    struct printer printer = { .tensor = tensor, .stream = stream };
    if (tensor->shape.rank == 0) {
        char text[VALUE_BYTES];
        format_value(tensor, 0, text);
        fprintf(stream, "%s\n", text);
        return;
    }
    printer.cut = ps_shape_elements(&tensor->shape) > WHOLE_ELEMENTS;
    measure_axis(&printer, 0, 0);
    print_axis(&printer, 0, 0);
    fputc('\n', stream);
}
