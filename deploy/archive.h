/* What all formats of named tensors share: a list of tensors, a reader, a writer. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_ARCHIVE_H
#define PARAMD_DEPLOY_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include "core/tensor.h"

/* What an archive may ask of us: a name as long as a checkpoint's, and a million tensors. */
enum { PS_ARCHIVE_NAME_BYTES_MAX = 4096, PS_ARCHIVE_TENSORS_MAX = 1 << 20 };

struct ps_archive_tensor {
    char *name; /* UTF-8; owned by the list it is in */
    enum ps_dtype dtype;
    struct ps_shape shape;
};

/* A list that grows. Zero-initialise; ps_archive_list_clean. */
struct ps_archive_list {
    struct ps_archive_tensor *items;
    size_t count;
    size_t capacity;
};

void ps_archive_list_clean(struct ps_archive_list *list); /* takes NULL */

/* Adds a tensor; name is copied. INVALID_ARGUMENT for what cannot be a tensor of ours: the name
 * (empty, too long, no UTF-8), the shape, one tensor too many. */
PS_MUST_CHECK enum ps_code ps_archive_list_add(struct ps_archive_list *list,
                                               const struct ps_archive_tensor *tensor,
                                               struct ps_error *err);

/* The bytes of a tensor, whose shape was checked. */
uint64_t ps_archive_size_bytes(const struct ps_archive_tensor *tensor);

/* Takes the bytes of a tensor, piece after piece. */
typedef enum ps_code ps_archive_sink_fn(void *ctx, const void *data, size_t size_bytes,
                                        struct ps_error *err);

/* An open archive: every name, type, shape and size in it has been checked. Implementations embed
 * it first in a struct of their own. Threads: one at a time. */
struct ps_archive_reader {
    const struct ps_archive_reader_ops *ops;
    struct ps_archive_list tensors; /* in the file's order */
};

struct ps_archive_reader_ops {
    /* Hands all bytes of tensor index to sink. DATA_LOSS, perhaps only behind the last byte, if
     * they do not match their checksum. */
    enum ps_code (*stream)(struct ps_archive_reader *reader, size_t index, ps_archive_sink_fn *sink,
                           void *ctx, struct ps_error *err);
    void (*close)(struct ps_archive_reader *reader); /* frees reader */
};

/* An archive being written, under a temporary name until the finish. */
struct ps_archive_writer {
    const struct ps_archive_writer_ops *ops;
};

struct ps_archive_writer_ops {
    /* Each tensor of the list once, in its order: begin, appends in row-major order of all its
     * bytes, end. After an error only destroy. */
    enum ps_code (*begin)(struct ps_archive_writer *writer, size_t index, struct ps_error *err);
    enum ps_code (*append)(struct ps_archive_writer *writer, const void *data, size_t size_bytes,
                           struct ps_error *err);
    enum ps_code (*end)(struct ps_archive_writer *writer, struct ps_error *err);
    /* Syncs and gives the file its name. */
    enum ps_code (*finish)(struct ps_archive_writer *writer, struct ps_error *err);
    void (*destroy)(struct ps_archive_writer *writer); /* without a finish leaves no file */
};

#endif
