/* The header of an .npy file: the type and shape of one array, as text between fixed bytes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/npy_header.h"

#include <inttypes.h>
#include <string.h>

/* Magic, two bytes of version, the size of the text (two bytes in version 1, four after it), and
 * the text: a Python dictionary, padded with blanks so that the data is aligned. */
enum {
    MAGIC_BYTES = 6,
    VERSION_AT = 6,
    SIZE_AT = 8,
    TEXT_AT_V1 = 10,
    TEXT_AT = 12,
    ALIGNMENT = 64
};
static const char magic[] = "\x93NUMPY";

static const struct {
    enum ps_dtype dtype;
    const char *descr;
} types[] = {
    { PS_FLOAT, "<f4" },    { PS_DOUBLE, "<f8" }, { PS_HALF, "<f2" },   { PS_INT8, "|i1" },
    { PS_INT16, "<i2" },    { PS_INT32, "<i4" },  { PS_INT64, "<i8" },  { PS_UINT8, "|u1" },
    { PS_UINT16, "<u2" },   { PS_UINT32, "<u4" }, { PS_UINT64, "<u8" }, { PS_BOOL, "|b1" },
    { PS_BFLOAT16, "<V2" },
};

enum { TYPE_COUNT = sizeof types / sizeof types[0] };

/* ---- Writing ---- */

static const char *descr_of(enum ps_dtype dtype)
{
    for (int i = 0; i < TYPE_COUNT; i++) {
        if (types[i].dtype == dtype) { return types[i].descr; }
    }
    return NULL;
}

enum ps_code ps_npy_header_format(enum ps_dtype dtype, const struct ps_shape *shape,
                                  struct ps_buf *out, struct ps_error *err)
{
    const char *descr = descr_of(dtype);
    size_t start = out->size;
    enum ps_code rc;
    if (descr == NULL) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "type %s has no form in an .npy file",
                       ps_dtype_name((int)dtype));
    }
    PS_TRY(done, rc, ps_buf_append(out, magic, MAGIC_BYTES, err));
    PS_TRY(done, rc, ps_buf_append(out, "\1\0??", TEXT_AT_V1 - MAGIC_BYTES, err));
    PS_TRY(done, rc,
           ps_buf_printf(out, err, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr));
    for (int i = 0; i < shape->rank; i++) {
        const char *comma = i == 0 ? "" : ", ";
        PS_TRY(done, rc, ps_buf_printf(out, err, "%s%" PRId64, comma, shape->dims[i]));
    }
    PS_TRY(done, rc, ps_buf_printf(out, err, "%s), }", shape->rank == 1 ? "," : ""));
    size_t whole = out->size - start + 1; /* the text ends in a newline */
    int padding = (int)((ALIGNMENT - whole % ALIGNMENT) % ALIGNMENT);
    PS_TRY(done, rc, ps_buf_printf(out, err, "%*s\n", padding, ""));
    size_t text_bytes = out->size - start - TEXT_AT_V1;
    out->data[start + SIZE_AT] = (uint8_t)text_bytes; /* below 1024: eight dimensions at most */
    out->data[start + SIZE_AT + 1] = (uint8_t)(text_bytes >> 8);
done:
    return rc;
}

/* ---- Reading ---- */

enum ps_code ps_npy_header_size(const uint8_t start[PS_NPY_START_BYTES], size_t *size_out,
                                struct ps_error *err)
{
    int version = start[VERSION_AT];
    *size_out = 0;
    if (memcmp(start, magic, MAGIC_BYTES) != 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "it does not begin as an .npy file does");
    }
    if (version < 1 || version > 3 || start[VERSION_AT + 1] != 0) {
        return ps_fail(err, PS_INVALID_ARGUMENT, ".npy version %d.%d is none of 1.0, 2.0, 3.0",
                       version, start[VERSION_AT + 1]);
    }
    size_t size = (size_t)start[SIZE_AT] | (size_t)start[SIZE_AT + 1] << 8;
    if (version > 1) {
        size |= (size_t)start[SIZE_AT + 2] << 16 | (size_t)start[SIZE_AT + 3] << 24;
    }
    size += version == 1 ? TEXT_AT_V1 : TEXT_AT;
    if (size < PS_NPY_START_BYTES || size > PS_NPY_HEADER_BYTES_MAX) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "an .npy header of %zu bytes; expected %d to %d",
                       size, PS_NPY_START_BYTES, PS_NPY_HEADER_BYTES_MAX);
    }
    *size_out = size;
    return PS_OK;
}

/* A reading position in the dictionary. */
struct text {
    const uint8_t *at;
    const uint8_t *end;
};

static int peek(struct text *text)
{
    while (text->at < text->end && (*text->at == ' ' || *text->at == '\n')) { text->at++; }
    return text->at < text->end ? *text->at : -1;
}

static bool take(struct text *text, char wanted)
{
    if (peek(text) != wanted) { return false; }
    text->at++;
    return true;
}

/* A quoted word without escapes, copied; false if there is none or it does not fit. */
static bool take_quoted(struct text *text, char *out, size_t out_size)
{
    int quote = peek(text);
    if (quote != '\'' && quote != '"') { return false; }
    const uint8_t *from = ++text->at;
    const uint8_t *to = memchr(from, quote, (size_t)(text->end - from));
    if (to == NULL || (size_t)(to - from) >= out_size) { return false; }
    size_t size = (size_t)(to - from);
    memcpy(out, from, size);
    out[size] = '\0';
    text->at = to + 1;
    return strlen(out) == size;
}

static bool take_word(struct text *text, const char *word)
{
    size_t size = strlen(word);
    (void)peek(text);
    if ((size_t)(text->end - text->at) < size || memcmp(text->at, word, size) != 0) {
        return false;
    }
    text->at += size;
    return true;
}

static bool take_number(struct text *text, int64_t *out)
{
    int64_t value = 0;
    int digit = peek(text);
    if (digit < '0' || digit > '9') { return false; }
    for (; text->at < text->end && *text->at >= '0' && *text->at <= '9'; text->at++) {
        int next = *text->at - '0';
        if (value > (INT64_MAX - next) / 10) { return false; }
        value = value * 10 + next;
    }
    *out = value;
    (void)take(text, 'L'); /* Python 2 wrote long numbers so */
    return true;
}

static enum ps_code parse_descr(struct text *text, enum ps_dtype *dtype_out, struct ps_error *err)
{
    char descr[16];
    if (!take_quoted(text, descr, sizeof descr)) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "its values are records of fields");
    }
    for (int i = 0; i < TYPE_COUNT; i++) {
        /* One byte, or raw ones, have no order, whatever sign stands for it. */
        bool any_order = types[i].descr[0] == '|' || types[i].descr[1] == 'V';
        bool same_order = descr[0] == types[i].descr[0] ||
                          (any_order && descr[0] != '\0' && strchr("<>|=", descr[0]) != NULL);
        if (same_order && strcmp(types[i].descr + 1, descr + 1) == 0) {
            *dtype_out = types[i].dtype;
            return PS_OK;
        }
    }
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "NumPy's type '%s' is none that a variable can have; convert it first, as in "
                   "a.astype('<f4')",
                   descr);
}

static enum ps_code parse_order(struct text *text, bool *fortran_out, struct ps_error *err)
{
    *fortran_out = take_word(text, "True");
    if (*fortran_out || take_word(text, "False")) { return PS_OK; }
    return ps_fail(err, PS_INVALID_ARGUMENT, "fortran_order is neither True nor False");
}

static enum ps_code parse_shape(struct text *text, struct ps_shape *shape, struct ps_error *err)
{
    *shape = (struct ps_shape){ .rank = 0 };
    bool good = take(text, '(');
    bool closed = good && take(text, ')');
    while (good && !closed) {
        if (shape->rank == PS_MAX_RANK) {
            return ps_fail(err, PS_INVALID_ARGUMENT, "more than %d dimensions", PS_MAX_RANK);
        }
        good = take_number(text, &shape->dims[shape->rank++]);
        bool comma = take(text, ',');
        closed = take(text, ')');
        good = good && (comma || (closed && shape->rank > 1));
    }
    if (good) { return ps_shape_check(shape, err); }
    return ps_fail(err, PS_INVALID_ARGUMENT, "its shape is no list of numbers");
}

struct header {
    bool has_descr, has_order, has_shape;
    enum ps_dtype dtype;
    bool fortran;
    struct ps_shape shape;
};

/* One "key: value" of the dictionary. */
static enum ps_code parse_item(struct text *text, struct header *header, struct ps_error *err)
{
    char key[16];
    if (take_quoted(text, key, sizeof key) && take(text, ':')) {
        if (strcmp(key, "descr") == 0 && !header->has_descr) {
            header->has_descr = true;
            return parse_descr(text, &header->dtype, err);
        }
        if (strcmp(key, "fortran_order") == 0 && !header->has_order) {
            header->has_order = true;
            return parse_order(text, &header->fortran, err);
        }
        if (strcmp(key, "shape") == 0 && !header->has_shape) {
            header->has_shape = true;
            return parse_shape(text, &header->shape, err);
        }
    }
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "its .npy header is not a dictionary of descr, fortran_order and shape");
}

static enum ps_code parse_dictionary(struct text *text, struct header *header, struct ps_error *err)
{
    bool good = take(text, '{');
    bool closed = good && take(text, '}');
    while (good && !closed) {
        enum ps_code rc = parse_item(text, header, err);
        if (rc != PS_OK) { return rc; }
        bool comma = take(text, ',');
        closed = take(text, '}');
        good = comma || closed;
    }
    good = good && peek(text) < 0 && header->has_descr && header->has_order && header->has_shape;
    if (good) { return PS_OK; }
    return ps_fail(err, PS_INVALID_ARGUMENT, "its .npy header is malformed or incomplete");
}

enum ps_code ps_npy_header_parse(struct ps_span bytes, enum ps_dtype *dtype_out,
                                 struct ps_shape *shape_out, struct ps_error *err)
{
    struct header header = { .has_descr = false };
    size_t size = 0;
    PS_ASSERT(bytes.size >= PS_NPY_START_BYTES);
    enum ps_code rc = ps_npy_header_size(bytes.data, &size, err);
    if (rc != PS_OK) { return rc; }
    PS_ASSERT(bytes.size == size);
    size_t text_at = bytes.data[VERSION_AT] == 1 ? TEXT_AT_V1 : TEXT_AT;
    struct text text = { bytes.data + text_at, bytes.data + size };
    rc = parse_dictionary(&text, &header, err);
    if (rc != PS_OK) { return rc; }
    if (header.fortran && header.shape.rank > 1) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "its order is Fortran's; call numpy.ascontiguousarray first");
    }
    *dtype_out = header.dtype;
    *shape_out = header.shape;
    return PS_OK;
}
