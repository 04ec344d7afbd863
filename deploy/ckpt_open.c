/* Finding a checkpoint and the tensors in it, for the tools that look at one. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/bundle_names.h"
#include "checkpoint/state_file.h"
#include "checkpoint/table_reader.h"
#include "core/alloc.h"
#include "core/tensor.h"
#include "deploy/ckpt_priv.h"
#include "deploy/suggest.h"

/* From here on a tensor is read twice, first to see that all its bytes are there, before memory is
 * taken for as many as a damaged index may claim. */
enum { VERIFY_FIRST_BYTES = 64 << 20 };

static bool is_directory(const char *path)
{
    const struct ps_files *files = ps_files_posix();
    struct ps_file_info info;
    return files->stat(files->ctx, path, &info, NULL) == PS_OK && info.is_directory;
}

static bool has_index(const char *prefix)
{
    const struct ps_files *files = ps_files_posix();
    const struct ps_bundle_name name = { .kind = PS_BUNDLE_INDEX };
    struct ps_path path;
    struct ps_file_info info;
    return ps_bundle_path(&path, prefix, &name, NULL) == PS_OK &&
           files->stat(files->ctx, path.text, &info, NULL) == PS_OK;
}

/* The prefix of a directory's latest checkpoint; also if the directory was moved since. */
static enum ps_code find_latest(const char *directory, struct ps_path *prefix_out,
                                struct ps_error *err)
{
    struct ps_path path, moved;
    struct ps_state state = { 0 };
    enum ps_code rc;
    PS_TRY(done, rc, ps_path_set(&path, err, "%s/checkpoint", directory));
    rc = ps_state_read(ps_files_posix(), path.text, &state, err);
    if (rc == PS_NOT_FOUND || (rc == PS_OK && state.latest == NULL)) {
        rc = ps_fail(err, PS_NOT_FOUND,
                     "the directory '%s' has no state file 'checkpoint' that names its latest "
                     "checkpoint; give a prefix, from: paramd ckpt ls %s",
                     directory, directory);
    }
    if (rc != PS_OK) { goto done; }
    PS_TRY(done, rc, ps_state_resolve(directory, state.latest, prefix_out, err));
    PS_TRY(done, rc, ps_path_set(&moved, err, "%s/%s", directory, ps_path_base(state.latest)));
    if (!has_index(prefix_out->text) && has_index(moved.text)) { *prefix_out = moved; }
done:
    ps_state_clean(&state);
    return rc;
}

enum ps_code psi_ckpt_open(const char *where, struct ps_path *prefix_out,
                           struct ps_bundle_reader **reader_out, struct ps_error *err)
{
    *reader_out = NULL;
    bool named_by_directory = is_directory(where) && !has_index(where);
    enum ps_code rc = named_by_directory ? find_latest(where, prefix_out, err)
                                         : ps_path_set(prefix_out, err, "%s", where);
    return rc == PS_OK ? ps_bundle_reader_open(NULL, prefix_out->text, reader_out, err) : rc;
}

static enum ps_code fail_unknown(const struct ps_bundle_reader *reader, const char *name,
                                 struct ps_error *err)
{
    size_t count = ps_bundle_reader_count(reader);
    const char **names = ps_alloc(sizeof *names * (count + 1));
    const char *nearest = NULL;
    for (size_t i = 0; names != NULL && i < count; i++) {
        names[i] = ps_bundle_reader_info(reader, i).name;
    }
    if (names != NULL) { nearest = ps_suggest_nearest(name, names, count); }
    ps_free(names);
    if (nearest == NULL) {
        return ps_fail(err, PS_NOT_FOUND, "Key %s not found in checkpoint, among %zu", name, count);
    }
    return ps_fail(err, PS_NOT_FOUND, "Key %s not found in checkpoint; did you mean '%s'?", name,
                   nearest);
}

enum ps_code psi_ckpt_find(const struct ps_bundle_reader *reader, const char *name,
                           struct ps_bundle_info *info_out, struct ps_error *err)
{
    char plain[PS_BUNDLE_NAME_BYTES_MAX + 1];
    size_t size = strlen(name);
    if (ps_bundle_reader_find(reader, name, info_out, NULL) == PS_OK) { return PS_OK; }
    if (size > 2 && size < sizeof plain && strcmp(name + size - 2, ":0") == 0) {
        memcpy(plain, name, size - 2);
        plain[size - 2] = '\0';
        if (ps_bundle_reader_find(reader, plain, info_out, NULL) == PS_OK) { return PS_OK; }
    }
    return fail_unknown(reader, name, err);
}

const char *psi_ckpt_type(int32_t dtype, char text[PSI_CKPT_TYPE_BYTES])
{
    const char *name = ps_dtype_name(dtype);
    if (strcmp(name, "unknown") == 0) {
        snprintf(text, PSI_CKPT_TYPE_BYTES, "DT_%d", (int)dtype);
        return text;
    }
    snprintf(text, PSI_CKPT_TYPE_BYTES, "DT_%s", name);
    for (char *at = text; *at != '\0'; at++) { *at = (char)toupper((unsigned char)*at); }
    return text;
}

enum ps_code psi_ckpt_read(struct ps_bundle_reader *reader, const struct ps_bundle_info *info,
                           struct ps_tensor *tensor, struct ps_error *err)
{
    const struct ps_bundle_request request = { .name = info->name };
    enum ps_dtype dtype;
    enum ps_code rc;
    *tensor = (struct ps_tensor){ .data = NULL };
    rc = ps_dtype_from_number(info->dtype, &dtype, err);
    if (rc != PS_OK) {
        (void)ps_wrap(err, "'%s'", info->name);
        return rc;
    }
    int64_t elements = ps_shape_elements(&info->shape);
    if (elements > VERIFY_FIRST_BYTES / (int64_t)sizeof(double)) {
        PS_TRY(fail, rc, ps_bundle_reader_verify(reader, info->name, err));
    }
    PS_TRY(fail, rc, ps_tensor_init(tensor, dtype, &info->shape, err));
    PS_TRY(fail, rc,
           ps_bundle_reader_read(reader, &request, tensor->data, tensor->size_bytes, err));
    return PS_OK;
fail:
    ps_tensor_clean(tensor);
    return rc;
}

/* ---- The index as it is stored ---- */

static enum ps_code read_rows(struct ps_table_reader *table, struct psi_ckpt_index *index,
                              struct ps_error *err)
{
    struct ps_bundle_header header;
    struct ps_span key, value;
    bool has_entry;
    enum ps_code rc;
    PS_TRY(done, rc, ps_table_reader_next(table, &key, &value, &has_entry, err));
    if (!has_entry || key.size != 0) {
        return ps_fail(err, PS_DATA_LOSS, "the index has no header");
    }
    PS_TRY(done, rc, ps_bundle_header_decode(value, &header, err));
    index->shard_count = (uint32_t)header.shard_count;
    for (;;) {
        struct ps_bundle_entry entry;
        PS_TRY(done, rc, ps_table_reader_next(table, &key, &value, &has_entry, err));
        if (!has_entry) { return PS_OK; }
        PS_TRY(done, rc, ps_bundle_entry_decode(value, &entry, err));
        PS_TRY(done, rc, ps_bundle_rows_add(&index->rows, key, &entry, err));
    }
done:
    return rc;
}

enum ps_code psi_ckpt_index_read(const char *prefix, struct psi_ckpt_index *index,
                                 struct ps_error *err)
{
    const struct ps_files *files = ps_files_posix();
    const struct ps_bundle_name name = { .kind = PS_BUNDLE_INDEX };
    struct ps_table_reader *table = NULL;
    struct ps_file *file = NULL;
    struct ps_path path;
    enum ps_code rc;
    *index = (struct psi_ckpt_index){ .shard_count = 0 };
    PS_TRY(done, rc, ps_bundle_path(&path, prefix, &name, err));
    PS_TRY(done, rc, files->open(files->ctx, path.text, &file, err));
    PS_TRY(done, rc, ps_table_reader_create(file, path.text, &table, err));
    PS_TRY(done, rc, read_rows(table, index, err));
done:
    ps_table_reader_destroy(table);
    ps_files_drop(&file);
    if (rc != PS_OK) { ps_bundle_rows_clean(&index->rows); }
    return rc;
}
