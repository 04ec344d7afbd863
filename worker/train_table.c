/* The table of variables that training starts with: what lives where, and how evenly. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/train_table.h"

#include <stdint.h>
#include <string.h>

#include "client/paramd.h"
#include "core/alloc.h"
#include "core/device.h"

enum { CELL_BYTES = 288 }; /* the longest name with its rows */

/* From here on one task's network and memory decide the speed of all: worth a line. */
static const double UNEVEN = 1.5;

/* One slice of a variable, as text. */
struct line {
    char name[CELL_BYTES];
    char shape[PS_SHAPE_TEXT_BYTES];
    char device[PS_DEVICE_TEXT_BYTES];
    int64_t size_bytes;
    int task; /* -1: unknown */
};

/* "627 kB": three digits are enough to compare with. */
static const char *format_bytes(double size_bytes, char text[16])
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
    size_t unit = 0;
    while (size_bytes >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
        size_bytes /= 1000.0;
        unit++;
    }
    snprintf(text, 16, unit > 0 && size_bytes < 9.95 ? "%.1f %s" : "%.0f %s", size_bytes,
             units[unit]);
    return text;
}

/* "784x200"; "scalar". */
static void format_shape(const struct ps_shape *shape, char text[PS_SHAPE_TEXT_BYTES])
{
    size_t length = 0;
    snprintf(text, PS_SHAPE_TEXT_BYTES, "scalar");
    for (int i = 0; i < shape->rank; i++) {
        int written = snprintf(text + length, PS_SHAPE_TEXT_BYTES - length, "%s%lld",
                               i == 0 ? "" : "x", (long long)shape->dims[i]);
        length += (size_t)written;
    }
}

/* "/job:ps/task:1" of the canonical name: replica and cpu are 0 for every variable. */
static void shorten_device(const char *canonical, struct line *line)
{
    struct ps_device device;
    line->task = -1;
    snprintf(line->device, sizeof line->device, "%s", canonical);
    if (ps_device_parse(canonical, &device, NULL) != PS_OK || !device.has_task) { return; }
    line->task = device.task;
    snprintf(line->device, sizeof line->device, "/job:%s/task:%d", device.job, device.task);
}

/* Slice index of a variable in several: its first rows % count slices have one row more. */
static void cut_rows(struct ps_shape *shape, int slice_count, int slice_index, int64_t *start_out)
{
    int64_t rows = shape->dims[0];
    int64_t least = rows / slice_count;
    int64_t longer = rows % slice_count;
    *start_out = slice_index * least + (slice_index < longer ? slice_index : longer);
    shape->dims[0] = least + (slice_index < longer ? 1 : 0);
}

static void describe_slice(const struct ps_var *var, int slice_index, struct line *line)
{
    struct ps_shape shape = ps_shape_of(var);
    snprintf(line->name, sizeof line->name, "%s", ps_name(var));
    if (ps_slices(var) > 1 && shape.rank > 0) {
        int64_t start = 0;
        size_t length = strlen(line->name);
        cut_rows(&shape, ps_slices(var), slice_index, &start);
        snprintf(line->name + length, sizeof line->name - length, "[%lld:%lld]", (long long)start,
                 (long long)(start + shape.dims[0]));
    }
    format_shape(&shape, line->shape);
    shorten_device(ps_device(var, slice_index), line);
    line->size_bytes = ps_shape_elements(&shape) * ps_dtype_size(ps_dtype_of(var));
}

struct widths {
    int name;
    int shape;
    int device;
};

static void widen(int *width, const char *text)
{
    int length = (int)strlen(text);
    if (length > *width) { *width = length; }
}

static struct widths measure(const struct ps_train_row *rows, size_t row_count)
{
    struct widths widths = { (int)strlen("VARIABLE"), (int)strlen("SHAPE"), (int)strlen("DEVICE") };
    struct line line;
    for (size_t i = 0; i < row_count; i++) {
        for (int slice = 0; slice < ps_slices(rows[i].var); slice++) {
            describe_slice(rows[i].var, slice, &line);
            widen(&widths.name, line.name);
            widen(&widths.shape, line.shape);
            widen(&widths.device, line.device);
        }
    }
    return widths;
}

/* Prints the slices of one variable and adds their bytes to task_bytes. */
static void print_variable(FILE *stream, const struct ps_train_row *row,
                           const struct widths *widths, double *task_bytes, int task_count)
{
    struct line line;
    char size[16];
    for (int slice = 0; slice < ps_slices(row->var); slice++) {
        describe_slice(row->var, slice, &line);
        fprintf(stream, " %-*s  %-*s  %-*s  %7s  %s\n", widths->name, line.name, widths->shape,
                line.shape, widths->device, line.device,
                format_bytes((double)line.size_bytes, size), row->init);
        if (line.task >= 0 && line.task < task_count) {
            task_bytes[line.task] += (double)line.size_bytes;
        }
    }
}

static void print_shares(FILE *stream, const double *task_bytes, int task_count)
{
    double total = 0.0;
    int fullest = 0;
    char size[16];
    for (int task = 0; task < task_count; task++) {
        total += task_bytes[task];
        if (task_bytes[task] > task_bytes[fullest]) { fullest = task; }
    }
    if (total <= 0.0) { return; }
    for (int task = 0; task < task_count; task++) {
        fprintf(stream, " ps/%d %s (%.0f %%) ", task, format_bytes(task_bytes[task], size),
                100.0 * task_bytes[task] / total);
    }
    fprintf(stream, " of %s\n", format_bytes(total, size));
    if (task_bytes[fullest] * task_count > UNEVEN * total) {
        fprintf(stream, " hint: ps/%d holds most; --partition=%d cuts the weights evenly\n",
                fullest, task_count);
    }
}

void ps_train_table_print(FILE *stream, const struct ps_session *session,
                          const struct ps_train_row *rows, size_t row_count)
{
    int task_count = ps_ps_tasks(session);
    double *task_bytes = ps_alloc_zero((size_t)task_count + 1, sizeof *task_bytes);
    struct widths widths = measure(rows, row_count);

    fprintf(stream, " %-*s  %-*s  %-*s  %7s  %s\n", widths.name, "VARIABLE", widths.shape, "SHAPE",
            widths.device, "DEVICE", "BYTES", "INIT");
    for (size_t i = 0; i < row_count; i++) {
        print_variable(stream, &rows[i], &widths, task_bytes, task_bytes == NULL ? 0 : task_count);
    }
    if (task_bytes != NULL) { print_shares(stream, task_bytes, task_count); }
    fflush(stream);
    ps_free(task_bytes);
}
