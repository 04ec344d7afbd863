/* A checkpoint of one data file: one part, merged alone, committed. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/bundle_writer.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "checkpoint/bundle_merge.h"
#include "checkpoint/bundle_names.h"
#include "checkpoint/files.h"
#include "checkpoint/recover.h"
#include "core/alloc.h"

struct ps_bundle_writer {
    struct ps_bundle_ticket ticket;
    struct ps_bundle_part *part;
    bool is_finished;
    char prefix[];
};

static enum ps_code choose_id(uint64_t wanted, uint64_t *id_out, struct ps_error *err)
{
    *id_out = wanted;
    while (*id_out == 0) {
        ssize_t got = getrandom(id_out, sizeof *id_out, 0);
        if (got < 0 && errno != EINTR) { return ps_fail_errno(err, errno, "getrandom"); }
        if (got != (ssize_t)sizeof *id_out) { *id_out = 0; }
    }
    return PS_OK;
}

static enum ps_code prepare(const struct ps_bundle_ticket *ticket, struct ps_error *err)
{
    struct ps_path directory;
    enum ps_code rc;
    ps_path_directory(ticket->prefix, &directory);
    PS_TRY(done, rc, ps_files_mkdirs(ticket->files, directory.text, err));
    PS_TRY(done, rc, ps_recover_sweep(ticket->files, ticket->prefix, err));
done:
    return rc;
}

enum ps_code ps_bundle_writer_create(const char *prefix,
                                     const struct ps_bundle_writer_options *options,
                                     struct ps_bundle_writer **writer_out, struct ps_error *err)
{
    static const struct ps_bundle_writer_options defaults = { 0 };
    enum ps_code rc;
    *writer_out = NULL;
    if (options == NULL) { options = &defaults; }
    rc = ps_bundle_prefix_check(prefix, err);
    if (rc != PS_OK) { return rc; }
    size_t prefix_size = strlen(prefix) + 1;
    struct ps_bundle_writer *writer = ps_alloc_zero(1, sizeof *writer + prefix_size);
    if (writer == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory to save"); }
    memcpy(writer->prefix, prefix, prefix_size);
    writer->ticket.files = options->files != NULL ? options->files : ps_files_posix();
    writer->ticket.prefix = writer->prefix;
    PS_TRY(fail, rc, choose_id(options->id, &writer->ticket.id, err));
    PS_TRY(fail, rc, prepare(&writer->ticket, err));
    PS_TRY(fail, rc, ps_bundle_part_create(&writer->ticket, 0, &writer->part, err));
    *writer_out = writer;
    return PS_OK;
fail:
    ps_bundle_writer_destroy(writer);
    return rc;
}

void ps_bundle_writer_destroy(struct ps_bundle_writer *writer)
{
    if (writer == NULL) { return; }
    bool is_begun = writer->part != NULL;
    ps_bundle_part_destroy(writer->part);
    if (is_begun && !writer->is_finished) { ps_bundle_abandon(&writer->ticket); }
    ps_free(writer);
}

struct ps_bundle_part *ps_bundle_writer_part(struct ps_bundle_writer *writer)
{
    return writer->part;
}

enum ps_code ps_bundle_writer_add(struct ps_bundle_writer *writer,
                                  const struct ps_bundle_tensor *tensor, const void *data,
                                  size_t size_bytes, struct ps_error *err)
{
    enum ps_code rc;
    PS_TRY(done, rc, ps_bundle_part_begin(writer->part, tensor, err));
    PS_TRY(done, rc, ps_bundle_part_append(writer->part, data, size_bytes, err));
    PS_TRY(done, rc, ps_bundle_part_end(writer->part, err));
done:
    return rc;
}

enum ps_code ps_bundle_writer_finish(struct ps_bundle_writer *writer, struct ps_error *err)
{
    enum ps_code rc;
    PS_TRY(done, rc, ps_bundle_part_finish(writer->part, err));
    const struct ps_bundle_rows *rows = ps_bundle_part_rows(writer->part);
    PS_TRY(done, rc, ps_bundle_merge(&writer->ticket, &rows, 1, err));
    PS_TRY(done, rc, ps_bundle_commit(&writer->ticket, err));
    writer->is_finished = true;
done:
    return rc;
}
