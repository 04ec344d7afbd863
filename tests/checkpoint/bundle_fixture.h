/* Small checkpoints for tests: saved with one or several parts, read back and compared. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_BUNDLE_FIXTURE_H
#define PARAMD_TESTS_BUNDLE_FIXTURE_H

#include "checkpoint/bundle_merge.h"
#include "checkpoint/bundle_reader.h"
#include "checkpoint/bundle_writer.h"
#include "checkpoint/files.h"
#include "core/bytes.h"

/* Reading these back is a must: fails the test with the message if rc is not PS_OK. */
#define ck_ok(call)                                                                               \
    do {                                                                                          \
        struct ps_error *ck_err = &error;                                                         \
        enum ps_code ck_rc = (call);                                                              \
        ck_assert_msg(ck_rc == PS_OK, "%s: %s: %s", #call, ps_code_name(ck_rc), ck_err->message); \
    } while (0)

/* One save of the model: what it holds follows from value. */
struct fixture_save {
    const struct ps_files *files;
    const char *prefix;
    uint64_t id;
    long value;
    int part_count; /* 1: with a writer; more: parts, merge, commit, and 'emb' in slices */
};

/* Saves 'emb' float [6,3] (element i: value + i), 'step' int64 (value), 'text' (two strings). */
enum ps_code fixture_save(const struct fixture_save *save, struct ps_error *err);

/* Opens prefix, checks that everything in it belongs to one value, and says which. */
enum ps_code fixture_load(const struct ps_files *files, const char *prefix, long *value_out,
                          struct ps_error *err);

/* Bytes written as "08 01 1a"; '+N' repeats 00 N times. Free with ps_buf_clean. */
struct ps_buf fixture_hex(const char *text);

/* A new directory under TMPDIR; removed with all its files by fixture_rmdir. */
void fixture_mkdir(char path[PS_PATH_BYTES]);
void fixture_rmdir(const char *path);

/* A whole file; data NULL if it is not there. */
struct ps_buf fixture_read_file(const char *path);

#endif
