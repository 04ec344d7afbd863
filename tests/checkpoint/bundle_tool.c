/* Writes a checkpoint from a description on standard input, or prints one: for comparisons. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/state_file.h"
#include "tests/checkpoint/bundle_fixture.h"

/* A description, one word after another; bytes are (seed + 37 * index) mod 256 (bool: & 1):
 *   tensor NAME DTYPE SHAPE SEED
 *   slice NAME DTYPE SHAPE START,LENGTH:... SEED
 *   strings NAME SHAPE HEX...        ("-" for an empty one)
 *   part                             what follows goes into the next data file */
enum { PARTS_MAX = 64, WORD_BYTES = 8192 };

struct tool {
    struct ps_bundle_ticket ticket;
    struct ps_bundle_part *parts[PARTS_MAX];
    size_t part_count;
    struct ps_error error;
    char word[WORD_BYTES];
};

static void die(const struct tool *tool, const char *what)
{
    fprintf(stderr, "bundle_tool: %s: %s\n", what, tool->error.message);
    exit(EXIT_FAILURE);
}

static void must(const struct tool *tool, enum ps_code rc, const char *what)
{
    if (rc != PS_OK) { die(tool, what); }
}

static bool next_word(struct tool *tool)
{
    return scanf("%8191s", tool->word) == 1;
}

static const char *need_word(struct tool *tool)
{
    if (!next_word(tool)) { die(tool, "the description ends too early"); }
    return tool->word;
}

static void next_part(struct tool *tool)
{
    if (tool->part_count > 0) {
        must(tool, ps_bundle_part_finish(tool->parts[tool->part_count - 1], &tool->error),
             "finish");
    }
    if (tool->part_count == PARTS_MAX) { die(tool, "too many parts"); }
    must(tool,
         ps_bundle_part_create(&tool->ticket, (uint32_t)tool->part_count,
                               &tool->parts[tool->part_count], &tool->error),
         "create");
    tool->part_count++;
}

static void parse_slice(const char *text, struct ps_slice *slice)
{
    *slice = (struct ps_slice){ .rank = 0 };
    while (*text != '\0' && slice->rank < PS_MAX_RANK) {
        char *end;
        slice->extents[slice->rank].length = PS_SLICE_FULL;
        if (*text == '-') {
            text++;
        } else {
            slice->extents[slice->rank].start = strtoll(text, &end, 10);
            slice->extents[slice->rank].length = strtoll(end + 1, &end, 10);
            text = end;
        }
        slice->rank++;
        text += *text == ':';
    }
}

static void append_bytes(struct tool *tool, const struct ps_bundle_tensor *tensor, unsigned seed)
{
    struct ps_bundle_part *part = tool->parts[tool->part_count - 1];
    struct ps_slice whole = ps_slice_whole(&tensor->shape);
    if (tensor->slice != NULL) { whole = ps_slice_resolve(tensor->slice, &tensor->shape); }
    struct ps_shape shape = ps_slice_shape(&whole);
    int64_t size = ps_shape_elements(&shape) * ps_dtype_size(tensor->dtype);
    must(tool, ps_bundle_part_begin(part, tensor, &tool->error), "begin");
    for (int64_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(seed + 37u * (unsigned)i);
        if (tensor->dtype == PS_BOOL) { byte &= 1; }
        must(tool, ps_bundle_part_append(part, &byte, 1, &tool->error), "append");
    }
    must(tool, ps_bundle_part_end(part, &tool->error), "end");
}

static void write_tensor(struct tool *tool, bool is_slice)
{
    char name[WORD_BYTES];
    struct ps_slice slice;
    struct ps_bundle_tensor tensor = { .name = name, .slice = is_slice ? &slice : NULL };
    memcpy(name, need_word(tool), sizeof name);
    must(tool, ps_dtype_parse(need_word(tool), &tensor.dtype, &tool->error), "dtype");
    must(tool, ps_shape_parse(need_word(tool), &tensor.shape, &tool->error), "shape");
    if (is_slice) { parse_slice(need_word(tool), &slice); }
    append_bytes(tool, &tensor, (unsigned)strtoul(need_word(tool), NULL, 10));
}

static void write_strings(struct tool *tool)
{
    char name[WORD_BYTES];
    struct ps_shape shape;
    memcpy(name, need_word(tool), sizeof name);
    must(tool, ps_shape_parse(need_word(tool), &shape, &tool->error), "shape");
    size_t count = (size_t)ps_shape_elements(&shape);
    struct ps_buf *bytes = calloc(count + 1, sizeof *bytes);
    struct ps_span *spans = calloc(count + 1, sizeof *spans);
    if (bytes == NULL || spans == NULL) { die(tool, "no memory"); }
    for (size_t i = 0; i < count; i++) {
        for (const char *at = need_word(tool); *at != '\0' && *at != '-'; at += 2) {
            const char pair[3] = { at[0], at[1], '\0' };
            uint8_t byte = (uint8_t)strtoul(pair, NULL, 16);
            must(tool, ps_buf_append(&bytes[i], &byte, 1, &tool->error), "string");
        }
        spans[i] = (struct ps_span){ bytes[i].data, bytes[i].size };
    }
    must(tool,
         ps_bundle_part_strings(tool->parts[tool->part_count - 1], name, &shape, spans,
                                &tool->error),
         "strings");
    for (size_t i = 0; i < count; i++) { ps_buf_clean(&bytes[i]); }
    free(bytes);
    free(spans);
}

static void write_checkpoint(struct tool *tool, const char *prefix)
{
    const struct ps_bundle_rows *rows[PARTS_MAX];
    tool->ticket = (struct ps_bundle_ticket){ .files = ps_files_posix(),
                                              .prefix = prefix,
                                              .id = 1 };
    next_part(tool);
    while (next_word(tool)) {
        if (strcmp(tool->word, "part") == 0) {
            next_part(tool);
        } else if (strcmp(tool->word, "strings") == 0) {
            write_strings(tool);
        } else {
            write_tensor(tool, strcmp(tool->word, "slice") == 0);
        }
    }
    must(tool, ps_bundle_part_finish(tool->parts[tool->part_count - 1], &tool->error), "finish");
    for (size_t i = 0; i < tool->part_count; i++) { rows[i] = ps_bundle_part_rows(tool->parts[i]); }
    must(tool, ps_bundle_merge(&tool->ticket, rows, tool->part_count, &tool->error), "merge");
    must(tool, ps_bundle_commit(&tool->ticket, &tool->error), "commit");
    for (size_t i = 0; i < tool->part_count; i++) { ps_bundle_part_destroy(tool->parts[i]); }
}

static void print_hex(const uint8_t *data, size_t size)
{
    if (size == 0) { putchar('-'); }
    for (size_t i = 0; i < size; i++) { printf("%02x", data[i]); }
}

static void print_strings(struct tool *tool, struct ps_bundle_reader *reader, const char *name)
{
    struct ps_bundle_strings strings;
    must(tool, ps_bundle_reader_read_strings(reader, name, &strings, &tool->error), name);
    for (size_t i = 0; i < strings.count; i++) {
        if (i > 0) { putchar(' '); }
        print_hex(strings.items[i].data, strings.items[i].size);
    }
    ps_bundle_strings_clean(&strings);
}

/* NAME DTYPE SHAPE VALUES in hex, a tensor a line. */
static void print_checkpoint(struct tool *tool, const char *prefix)
{
    struct ps_bundle_reader *reader;
    char shape[PS_SHAPE_TEXT_BYTES];
    must(tool, ps_bundle_reader_open(NULL, prefix, &reader, &tool->error), "open");
    for (size_t i = 0; i < ps_bundle_reader_count(reader); i++) {
        struct ps_bundle_info info = ps_bundle_reader_info(reader, i);
        printf("%s %s %s ", info.name, ps_dtype_name(info.dtype),
               ps_shape_format(&info.shape, shape));
        if (info.dtype == PS_STRING) {
            print_strings(tool, reader, info.name);
        } else {
            const struct ps_bundle_request request = { .name = info.name };
            uint8_t *data = malloc((size_t)info.size_bytes + 1);
            if (data == NULL) { die(tool, "no memory"); }
            must(tool,
                 ps_bundle_reader_read(reader, &request, data, (size_t)info.size_bytes,
                                       &tool->error),
                 info.name);
            print_hex(data, (size_t)info.size_bytes);
            free(data);
        }
        putchar('\n');
    }
    ps_bundle_reader_close(reader);
}

/* A state file, parsed and written anew. */
static void print_state(struct tool *tool, const char *path)
{
    struct ps_state state;
    struct ps_buf text = { 0 };
    must(tool, ps_state_read(ps_files_posix(), path, &state, &tool->error), path);
    must(tool, ps_state_format(&state, &text, &tool->error), path);
    fwrite(text.data, 1, text.size, stdout);
    ps_buf_clean(&text);
    ps_state_clean(&state);
}

int main(int argc, char **argv)
{
    static struct tool tool;
    if (argc == 3 && strcmp(argv[1], "write") == 0) {
        write_checkpoint(&tool, argv[2]);
    } else if (argc == 3 && strcmp(argv[1], "print") == 0) {
        print_checkpoint(&tool, argv[2]);
    } else if (argc == 3 && strcmp(argv[1], "state") == 0) {
        print_state(&tool, argv[2]);
    } else {
        fprintf(stderr, "usage: bundle_tool write|print PREFIX, or state FILE\n");
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
