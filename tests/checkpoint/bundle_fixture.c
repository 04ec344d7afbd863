/* Small checkpoints for tests, and bytes and directories to hold them against. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/checkpoint/bundle_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROWS = 6, COLUMNS = 3, PARTS_MAX = 6 };

static enum ps_code add_bytes(struct ps_bundle_part *part, const struct ps_bundle_tensor *tensor,
                              const void *data, size_t size_bytes, struct ps_error *err)
{
    enum ps_code rc = ps_bundle_part_begin(part, tensor, err);
    if (rc == PS_OK) { rc = ps_bundle_part_append(part, data, size_bytes, err); }
    if (rc == PS_OK) { rc = ps_bundle_part_end(part, err); }
    return rc;
}

static enum ps_code add_rows(struct ps_bundle_part *part, long value, struct ps_rows rows,
                             struct ps_error *err)
{
    float data[ROWS * COLUMNS];
    struct ps_bundle_tensor tensor = { .name = "emb",
                                       .dtype = PS_FLOAT,
                                       .shape = { 2, { ROWS, COLUMNS } } };
    struct ps_slice slice = ps_slice_of_rows(&tensor.shape, rows);
    tensor.slice = &slice;
    for (int i = 0; i < ROWS * COLUMNS; i++) { data[i] = (float)(value + i); }
    return add_bytes(part, &tensor, data + rows.start * COLUMNS,
                     (size_t)rows.count * COLUMNS * sizeof data[0], err);
}

static enum ps_code add_rest(struct ps_bundle_part *part, long value, struct ps_error *err)
{
    char text[32];
    const int64_t step = value;
    const struct ps_bundle_tensor tensor = { .name = "step", .dtype = PS_INT64 };
    const struct ps_shape shape = { 1, { 2 } };
    int size = snprintf(text, sizeof text, "value %ld", value);
    struct ps_span strings[2] = { { (const uint8_t *)text, (size_t)size },
                                  { (const uint8_t *)"", 0 } };
    enum ps_code rc = add_bytes(part, &tensor, &step, sizeof step, err);
    return rc == PS_OK ? ps_bundle_part_strings(part, "text", &shape, strings, err) : rc;
}

static enum ps_code save_one(const struct fixture_save *save, struct ps_error *err)
{
    struct ps_bundle_writer *writer;
    const struct ps_bundle_writer_options options = { .files = save->files, .id = save->id };
    enum ps_code rc = ps_bundle_writer_create(save->prefix, &options, &writer, err);
    if (rc != PS_OK) { return rc; }
    struct ps_bundle_part *part = ps_bundle_writer_part(writer);
    rc = add_rows(part, save->value, (struct ps_rows){ 0, ROWS }, err);
    if (rc == PS_OK) { rc = add_rest(part, save->value, err); }
    if (rc == PS_OK) { rc = ps_bundle_writer_finish(writer, err); }
    ps_bundle_writer_destroy(writer);
    return rc;
}

static enum ps_code fill_part(const struct fixture_save *save, int index,
                              struct ps_bundle_part *part, struct ps_error *err)
{
    int64_t first = (int64_t)ROWS * index / save->part_count;
    int64_t end = (int64_t)ROWS * (index + 1) / save->part_count;
    enum ps_code rc = add_rows(part, save->value, (struct ps_rows){ first, end - first }, err);
    if (rc == PS_OK && index == 0) { rc = add_rest(part, save->value, err); }
    return rc == PS_OK ? ps_bundle_part_finish(part, err) : rc;
}

static enum ps_code save_parts(const struct fixture_save *save, struct ps_error *err)
{
    const struct ps_bundle_ticket ticket = { .files = save->files,
                                             .prefix = save->prefix,
                                             .id = save->id };
    struct ps_bundle_part *parts[PARTS_MAX] = { NULL };
    const struct ps_bundle_rows *rows[PARTS_MAX] = { NULL };
    size_t count = (size_t)save->part_count;
    enum ps_code rc = PS_OK;
    for (int i = 0; rc == PS_OK && i < save->part_count; i++) {
        rc = ps_bundle_part_create(&ticket, (uint32_t)i, &parts[i], err);
        if (rc == PS_OK) { rc = fill_part(save, i, parts[i], err); }
        if (rc == PS_OK) { rows[i] = ps_bundle_part_rows(parts[i]); }
    }
    if (rc == PS_OK) { rc = ps_bundle_merge(&ticket, rows, count, err); }
    if (rc == PS_OK) { rc = ps_bundle_commit(&ticket, err); }
    for (size_t i = 0; i < count; i++) { ps_bundle_part_destroy(parts[i]); }
    if (rc != PS_OK) { ps_bundle_abandon(&ticket); }
    return rc;
}

enum ps_code fixture_save(const struct fixture_save *save, struct ps_error *err)
{
    return save->part_count == 1 ? save_one(save, err) : save_parts(save, err);
}

static enum ps_code check_values(const float *data, int64_t step,
                                 const struct ps_bundle_strings *strings, struct ps_error *err)
{
    char text[32];
    bool is_good = true;
    int size = snprintf(text, sizeof text, "value %lld", (long long)step);
    for (int i = 0; i < ROWS * COLUMNS; i++) { is_good = is_good && data[i] == (float)(step + i); }
    is_good = is_good && strings->count == 2 && strings->items[0].size == (size_t)size &&
              memcmp(strings->items[0].data, text, (size_t)size) == 0 &&
              strings->items[1].size == 0;
    return is_good ? PS_OK
                   : ps_fail(err, PS_UNKNOWN, "WRONG VALUES came back as if they were good");
}

enum ps_code fixture_load(const struct ps_files *files, const char *prefix, long *value_out,
                          struct ps_error *err)
{
    struct ps_bundle_reader *reader;
    struct ps_bundle_strings strings = { 0 };
    float data[ROWS * COLUMNS];
    int64_t step = 0;
    const struct ps_bundle_request emb = { .name = "emb", .dtype = PS_FLOAT };
    const struct ps_bundle_request counter = { .name = "step", .dtype = PS_INT64 };
    enum ps_code rc = ps_bundle_reader_open(files, prefix, &reader, err);
    if (rc != PS_OK) { return rc; }
    rc = ps_bundle_reader_read(reader, &emb, data, sizeof data, err);
    if (rc == PS_OK) { rc = ps_bundle_reader_read(reader, &counter, &step, sizeof step, err); }
    if (rc == PS_OK) { rc = ps_bundle_reader_read_strings(reader, "text", &strings, err); }
    if (rc == PS_OK) { rc = check_values(data, step, &strings, err); }
    ps_bundle_strings_clean(&strings);
    ps_bundle_reader_close(reader);
    *value_out = (long)step;
    return rc;
}

struct ps_buf fixture_hex(const char *text)
{
    struct ps_buf out = { 0 };
    enum ps_code rc = PS_OK;
    while (*text != '\0') {
        char *end;
        long repeat = *text == '+' ? strtol(text + 1, &end, 10) : 1;
        uint8_t byte = *text == '+' ? 0 : (uint8_t)strtoul(text, &end, 16);
        for (long i = 0; i < repeat && rc == PS_OK; i++) {
            rc = ps_buf_append(&out, &byte, 1, NULL);
        }
        if (rc != PS_OK || end == text) { abort(); }
        text = end + strspn(end, " \n");
    }
    return out;
}

void fixture_mkdir(char path[PS_PATH_BYTES])
{
    const char *root = getenv("TMPDIR");
    snprintf(path, PS_PATH_BYTES, "%s/paramd-test-XXXXXX", root == NULL ? "/tmp" : root);
    if (mkdtemp(path) == NULL) { abort(); }
}

void fixture_rmdir(const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL) { return; }
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char name[PS_PATH_BYTES + 300];
        struct stat info;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) { continue; }
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (lstat(name, &info) == 0 && S_ISDIR(info.st_mode)) {
            fixture_rmdir(name);
        } else {
            unlink(name);
        }
    }
    closedir(dir);
    rmdir(path);
}

struct ps_buf fixture_read_file(const char *path)
{
    struct ps_buf out = { 0 };
    const struct ps_files *files = ps_files_posix();
    struct ps_file *file;
    struct ps_file_info info;
    if (files->open(files->ctx, path, &file, NULL) != PS_OK) { return out; }
    if (file->ops->info(file, &info, NULL) != PS_OK ||
        ps_buf_reserve(&out, (size_t)info.size_bytes + 1, NULL) != PS_OK ||
        file->ops->read_at(file, 0, out.data, (size_t)info.size_bytes, NULL) != PS_OK) {
        abort();
    }
    out.size = (size_t)info.size_bytes;
    ps_files_drop(&file);
    return out;
}
