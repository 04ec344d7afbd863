/* One pass over an index file: its size and checksum. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/index_print.h"

#include "checkpoint/bundle_names.h"
#include "core/alloc.h"
#include "core/bytes.h"

enum ps_code ps_index_print_take(const struct ps_files *files, const char *prefix,
                                 struct ps_index_print *print_out, struct ps_error *err)
{
    enum { WINDOW_BYTES = 64 << 10 };
    const struct ps_bundle_name name = { .kind = PS_BUNDLE_INDEX };
    struct ps_path path;
    struct ps_file *file = NULL;
    struct ps_file_info info;
    enum ps_code rc;
    uint8_t *window = ps_alloc(WINDOW_BYTES);
    *print_out = (struct ps_index_print){ 0 };
    if (window == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to restore"); }
    PS_TRY(done, rc, ps_bundle_path(&path, prefix, &name, err));
    PS_TRY(done, rc, files->open(files->ctx, path.text, &file, err));
    PS_TRY(done, rc, file->ops->info(file, &info, err));
    for (uint64_t at = 0; at < info.size_bytes; at += WINDOW_BYTES) {
        uint64_t left = info.size_bytes - at;
        size_t run = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
        PS_TRY(done, rc, file->ops->read_at(file, at, window, run, err));
        print_out->crc32c = ps_crc32c(print_out->crc32c, window, run);
    }
    print_out->size_bytes = info.size_bytes;
done:
    ps_files_drop(&file);
    ps_free(window);
    return rc;
}
