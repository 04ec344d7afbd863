/* The open checkpoint, shared by the files that make up the reader. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CHECKPOINT_BUNDLE_READER_PRIV_H
#define PARAMD_CHECKPOINT_BUNDLE_READER_PRIV_H

#include "checkpoint/bundle_reader.h"
#include "checkpoint/bundle_rows.h"

struct ps_file;

struct psi_shard {
    struct ps_file *file; /* NULL: not there, or named by no row */
    uint64_t size_bytes;
};

/* What is already known about a row. */
struct psi_row_state {
    bool is_verified; /* its bytes match its CRC; for a list of slices: they are disjoint */
};

struct ps_bundle_reader {
    char *prefix;
    struct ps_bundle_rows rows;   /* every key but the header's, in key order */
    struct psi_row_state *states; /* one a row */
    size_t *tensors;              /* the rows that are no slices: indices into rows */
    size_t tensor_count;
    struct psi_shard *shards;
    uint32_t shard_count;
    uint8_t *window; /* PSI_WINDOW_BYTES, once it is needed */
};

/* Reads go through this much memory where they cannot go straight to the caller's. */
enum { PSI_WINDOW_BYTES = 1 << 20 };

/* The row of a key, or NULL. */
const struct ps_bundle_row *psi_bundle_reader_row(const struct ps_bundle_reader *reader,
                                                  struct ps_span key);

/* The row of a tensor: NOT_FOUND "Key NAME not found in checkpoint". */
enum ps_code psi_bundle_reader_tensor(const struct ps_bundle_reader *reader, const char *name,
                                      const struct ps_bundle_row **row_out, struct ps_error *err);

/* A box of a tensor to be filled. */
struct psi_target {
    const struct ps_bundle_row *row; /* the tensor's */
    enum ps_dtype dtype;
    struct ps_slice wanted; /* resolved */
    uint8_t *out;           /* NULL: verify only */
};

/* Type and box of a request, checked against what is stored. target->out is left alone. */
enum ps_code psi_bundle_read_aim(const struct ps_bundle_reader *reader,
                                 const struct ps_bundle_request *request, struct psi_target *target,
                                 struct ps_error *err);

/* Reads the box, or verifies it. */
enum ps_code psi_bundle_read_fill(struct ps_bundle_reader *reader, const struct psi_target *target,
                                  struct ps_error *err);

/* The data file of a row, with the row's bytes known to lie inside it. */
enum ps_code psi_bundle_read_shard(const struct ps_bundle_reader *reader,
                                   const struct ps_bundle_row *row,
                                   const struct psi_shard **shard_out, struct ps_error *err);

/* DATA_LOSS unless crc is what the index says of the row. */
enum ps_code psi_bundle_read_crc(const struct ps_bundle_row *row, uint32_t crc,
                                 struct ps_error *err);

#endif
