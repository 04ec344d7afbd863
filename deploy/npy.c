/* NumPy's .npy files: one tensor with its type and shape. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/npy.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/tensor.h"

/* A file begins with the magic, two bytes of version, the size of the header text (two bytes in
 * version 1, four after it), and the text: a Python dictionary, padded so that data is aligned. */
enum {
    MAGIC_BYTES = 6,
    PREFIX_BYTES = MAGIC_BYTES + 4,
    ALIGNMENT = 64,
    MAX_HEADER_BYTES = 1 << 16 /* a shape and a type need 200 bytes; only records need more */
};
static const char magic[] = "\x93NUMPY";

static const struct {
    enum ps_dtype dtype;
    const char *descr;
} types[] = {
    { PS_FLOAT, "<f4" },  { PS_DOUBLE, "<f8" }, { PS_HALF, "<f2" },   { PS_INT8, "|i1" },
    { PS_INT16, "<i2" },  { PS_INT32, "<i4" },  { PS_INT64, "<i8" },  { PS_UINT8, "|u1" },
    { PS_UINT16, "<u2" }, { PS_UINT32, "<u4" }, { PS_UINT64, "<u8" }, { PS_BOOL, "|b1" },
};

enum { TYPE_COUNT = sizeof types / sizeof types[0] };

static const char *descr_of(enum ps_dtype dtype)
{
    for (int i = 0; i < TYPE_COUNT; i++) {
        if (types[i].dtype == dtype) { return types[i].descr; }
    }
    return NULL;
}

/* "(784, 200)", "(10,)", "()". */
static void format_shape(const struct ps_shape *shape, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (int i = 0; i < shape->rank; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%" PRId64, i == 0 ? "" : ", ",
                                 shape->dims[i]);
    }
    snprintf(text + used, size - used, "%s", shape->rank == 1 ? ",)" : ")");
}

/* Writes prefix and header text; false on an error of the file. */
static bool write_header(FILE *file, const struct ps_tensor *tensor)
{
    char shape[PS_SHAPE_TEXT_BYTES + 16], text[PS_SHAPE_TEXT_BYTES + 128];
    format_shape(&tensor->shape, shape, sizeof shape);
    int used = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
                        descr_of(tensor->dtype), shape);
    int whole = PREFIX_BYTES + used + 1; /* the text ends in a newline */
    int padding = (ALIGNMENT - whole % ALIGNMENT) % ALIGNMENT;
    unsigned header_size = (unsigned)(used + 1 + padding);
    unsigned char prefix[PREFIX_BYTES];
    memcpy(prefix, magic, MAGIC_BYTES);
    prefix[6] = 1;
    prefix[7] = 0;
    prefix[8] = (unsigned char)(header_size & 0xff);
    prefix[9] = (unsigned char)(header_size >> 8);
    return fwrite(prefix, 1, sizeof prefix, file) == sizeof prefix &&
           fprintf(file, "%s%*s\n", text, padding, "") == used + padding + 1;
}

static enum ps_code write_file(const char *path, const struct ps_tensor *tensor,
                               struct ps_error *err)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL) { return ps_fail_errno(err, errno, "cannot write '%s'", path); }
    bool written = write_header(file, tensor) &&
                   (tensor->size_bytes == 0 ||
                    fwrite(tensor->data, 1, tensor->size_bytes, file) == tensor->size_bytes) &&
                   fflush(file) == 0 && fsync(fileno(file)) == 0;
    int write_errno = errno;
    bool closed = fclose(file) == 0;
    if (written && closed) { return PS_OK; }
    return ps_fail_errno(err, written ? errno : write_errno, "cannot write '%s'", path);
}

/* float32 copy of a tensor of another type. */
static enum ps_code widen(const struct ps_tensor *tensor, struct ps_tensor *out,
                          struct ps_error *err)
{
    enum ps_code rc = ps_tensor_init(out, PS_FLOAT, &tensor->shape, err);
    if (rc != PS_OK) { return rc; }
    int64_t count = ps_shape_elements(&tensor->shape);
    for (int64_t i = 0; i < count; i++) {
        ps_element_set(PS_FLOAT, out->data, i, ps_element_get(tensor->dtype, tensor->data, i));
    }
    return PS_OK;
}

enum ps_code ps_npy_write(const char *path, const struct ps_tensor *tensor, struct ps_error *err)
{
    struct ps_tensor wide = { 0 };
    size_t size = strlen(path) + 32;
    char *temporary = ps_alloc(size);
    enum ps_code rc = PS_OK;
    if (temporary == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a name"); }
    snprintf(temporary, size, "%s.%ld.tmp", path, (long)getpid());
    if (tensor->dtype == PS_BFLOAT16) {
        PS_TRY(done, rc, widen(tensor, &wide, err));
        tensor = &wide;
    }
    PS_TRY(done, rc, write_file(temporary, tensor, err));
    if (rename(temporary, path) != 0) { rc = ps_fail_errno(err, errno, "cannot write '%s'", path); }
done:
    if (rc != PS_OK) { unlink(temporary); }
    ps_free(temporary);
    ps_tensor_clean(&wide);
    return rc;
}

static enum ps_code fail_format(const char *path, const char *what, struct ps_error *err)
{
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "'%s' is no .npy file that can be read: %s. numpy.save writes one", path, what);
}

/* The text after 'key': in the dictionary, NULL if it has none. */
static const char *value_of(const char *header, const char *key)
{
    char quoted[32];
    snprintf(quoted, sizeof quoted, "'%s'", key);
    const char *at = strstr(header, quoted);
    if (at == NULL) { return NULL; }
    at += strlen(quoted);
    at += strspn(at, " ");
    if (*at != ':') { return NULL; }
    at++;
    return at + strspn(at, " ");
}

static enum ps_code parse_type(const char *path, const char *header, enum ps_dtype *dtype_out,
                               struct ps_error *err)
{
    const char *text = value_of(header, "descr");
    if (text == NULL || *text != '\'') {
        return fail_format(path, "its type is no simple one", err);
    }
    char descr[16];
    snprintf(descr, sizeof descr, "%.*s", (int)strcspn(text + 1, "'"), text + 1);
    for (int i = 0; i < TYPE_COUNT; i++) {
        bool any_order = types[i].descr[0] == '|' && strchr("<>|=", descr[0]) != NULL;
        bool same = strcmp(types[i].descr, descr) == 0;
        if (same || (any_order && strcmp(types[i].descr + 1, descr + 1) == 0)) {
            *dtype_out = types[i].dtype;
            return PS_OK;
        }
    }
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "'%s' holds values of NumPy's type '%s', which no variable can have; convert "
                   "them first, as in a.astype('<f4')",
                   path, descr);
}

static enum ps_code parse_shape(const char *path, const char *header, struct ps_shape *shape_out,
                                struct ps_error *err)
{
    const char *at = value_of(header, "shape");
    shape_out->rank = 0;
    if (at == NULL || *at != '(') { return fail_format(path, "it has no shape", err); }
    at++;
    for (;;) {
        at += strspn(at, " ,");
        if (*at == ')') { return ps_shape_check(shape_out, err); }
        char *end;
        errno = 0;
        long long size = strtoll(at, &end, 10);
        if (!isdigit((unsigned char)*at) || errno != 0) {
            return fail_format(path, "its shape is not made of numbers", err);
        }
        if (shape_out->rank == PS_MAX_RANK) {
            return ps_fail(err, PS_INVALID_ARGUMENT, "'%s' has more than %d dimensions", path,
                           PS_MAX_RANK);
        }
        shape_out->dims[shape_out->rank++] = size;
        at = end;
    }
}

/* Reads the prefix and returns the header's text, NUL-terminated; ps_free. */
static enum ps_code read_header(const char *path, FILE *file, char **header_out,
                                struct ps_error *err)
{
    unsigned char prefix[MAGIC_BYTES + 2], sizes[4] = { 0 };
    *header_out = NULL;
    if (fread(prefix, 1, sizeof prefix, file) != sizeof prefix ||
        memcmp(prefix, magic, MAGIC_BYTES) != 0) {
        return fail_format(path, "it does not begin as one", err);
    }
    size_t size_bytes = prefix[6] == 1 ? 2 : 4;
    if (prefix[6] < 1 || prefix[6] > 3 || fread(sizes, 1, size_bytes, file) != size_bytes) {
        return fail_format(path, "its version is none of 1, 2, 3", err);
    }
    size_t size = (size_t)sizes[0] | (size_t)sizes[1] << 8 | (size_t)sizes[2] << 16 |
                  (size_t)sizes[3] << 24;
    if (size > MAX_HEADER_BYTES) { return fail_format(path, "its header is too large", err); }
    char *header = ps_alloc(size + 1);
    if (header == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a header"); }
    if (fread(header, 1, size, file) != size) {
        ps_free(header);
        return fail_format(path, "it ends in its header", err);
    }
    header[size] = '\0';
    *header_out = header;
    return PS_OK;
}

/* The data must be there exactly, and that is known before memory is taken for it. */
static enum ps_code read_data(const char *path, FILE *file, enum ps_dtype dtype,
                              const struct ps_shape *shape, struct ps_tensor *tensor_out,
                              struct ps_error *err)
{
    char text[PS_SHAPE_TEXT_BYTES];
    int64_t expected = ps_shape_elements(shape) * ps_dtype_size(dtype);
    long start = ftell(file);
    long size = start < 0 || fseek(file, 0, SEEK_END) != 0 ? -1 : ftell(file);
    if (size < 0 || fseek(file, start, SEEK_SET) != 0) {
        return ps_fail_errno(err, errno, "cannot read '%s'", path);
    }
    if (size - start != expected) {
        return ps_fail(
            err, PS_DATA_LOSS,
            "'%s' has %ld bytes of data, but %s%s takes %" PRId64 "; the file is damaged", path,
            size - start, ps_dtype_name((int)dtype), ps_shape_format(shape, text), expected);
    }
    enum ps_code rc = ps_tensor_init(tensor_out, dtype, shape, err);
    if (rc != PS_OK) { return rc; }
    if (fread(tensor_out->data, 1, tensor_out->size_bytes, file) != tensor_out->size_bytes) {
        rc = ps_fail(err, PS_DATA_LOSS, "'%s' became shorter while it was read", path);
        ps_tensor_clean(tensor_out);
    }
    return rc;
}

enum ps_code ps_npy_read(const char *path, struct ps_tensor *tensor_out, struct ps_error *err)
{
    enum ps_dtype dtype = PS_DTYPE_INVALID;
    struct ps_shape shape;
    char *header = NULL;
    enum ps_code rc;
    memset(tensor_out, 0, sizeof *tensor_out);
    FILE *file = fopen(path, "rb");
    if (file == NULL) { return ps_fail_errno(err, errno, "cannot read '%s'", path); }
    PS_TRY(done, rc, read_header(path, file, &header, err));
    const char *order = value_of(header, "fortran_order");
    if (order == NULL || strncmp(order, "False", 5) != 0) {
        rc = fail_format(path, "its order is not C's; call numpy.ascontiguousarray first", err);
        goto done;
    }
    PS_TRY(done, rc, parse_type(path, header, &dtype, err));
    PS_TRY(done, rc, parse_shape(path, header, &shape, err));
    rc = read_data(path, file, dtype, &shape, tensor_out, err);
done:
    ps_free(header);
    fclose(file);
    return rc;
}
