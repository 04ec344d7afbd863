/* The subcommands of paramd ckpt, and the steps that several of them take. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_CKPT_PRIV_H
#define PARAMD_DEPLOY_CKPT_PRIV_H

#include <stdbool.h>

#include "checkpoint/bundle_reader.h"
#include "checkpoint/bundle_rows.h"
#include "checkpoint/files.h"

/* argv[0] is "paramd ckpt <name>"; each returns the process's exit code. */
int psi_ckpt_ls(int argc, char **argv);
int psi_ckpt_inspect(int argc, char **argv);
int psi_ckpt_verify(int argc, char **argv);
int psi_ckpt_diff(int argc, char **argv);
int psi_ckpt_export(int argc, char **argv);
int psi_ckpt_import(int argc, char **argv);
int psi_ckpt_prune(int argc, char **argv);

/* Opens a checkpoint: where is its prefix, or a directory, which stands for the latest checkpoint
 * that its state file names. Errors: those of ps_bundle_reader_open; NOT_FOUND for a directory
 * without a latest one. */
PS_MUST_CHECK enum ps_code psi_ckpt_open(const char *where, struct ps_path *prefix_out,
                                         struct ps_bundle_reader **reader_out,
                                         struct ps_error *err);

/* As ps_bundle_reader_find, without a ":0" at the end, and naming the nearest name there is. */
PS_MUST_CHECK enum ps_code psi_ckpt_find(const struct ps_bundle_reader *reader, const char *name,
                                         struct ps_bundle_info *info_out, struct ps_error *err);

/* "DT_FLOAT"; "DT_57" for a number without a name. */
enum { PSI_CKPT_TYPE_BYTES = 32 };
const char *psi_ckpt_type(int32_t dtype, char text[PSI_CKPT_TYPE_BYTES]);

/* A whole tensor into memory; ps_tensor_clean. Large ones are verified before memory is taken. */
PS_MUST_CHECK enum ps_code psi_ckpt_read(struct ps_bundle_reader *reader,
                                         const struct ps_bundle_info *info,
                                         struct ps_tensor *tensor_out, struct ps_error *err);

/* The rows of an index as they are stored: which bytes of which data file. Zero-initialise;
 * ps_bundle_rows_clean(&index.rows). Read it after ps_bundle_reader_open took the same index, which
 * bounds its memory. */
struct psi_ckpt_index {
    uint32_t shard_count;
    struct ps_bundle_rows rows;
};
PS_MUST_CHECK enum ps_code psi_ckpt_index_read(const char *prefix, struct psi_ckpt_index *index,
                                               struct ps_error *err);

/* Boxes that cover a tensor in row-major order, each of at most max_elements. */
struct psi_ckpt_walk {
    struct ps_shape shape;
    int axis;     /* boxes take one index of each dimension before it, and all of those behind it */
    int64_t step; /* and so many of it */
    int64_t at[PS_MAX_RANK];
    bool is_done;
};
void psi_ckpt_walk_init(struct psi_ckpt_walk *walk, const struct ps_shape *shape,
                        int64_t max_elements);
/* False behind the last box. An empty tensor has none. */
bool psi_ckpt_walk_next(struct psi_ckpt_walk *walk, struct ps_slice *box_out,
                        int64_t *elements_out);

#endif
