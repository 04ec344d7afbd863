/* For tests of savers: a directory, a small model that trains, and looks into files. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_SAVER_FIXTURE_H
#define PARAMD_TESTS_SAVER_FIXTURE_H

#include "client/paramd.h"

#define expect_ok(session) ck_assert_msg(ps_ok(session), "%s", ps_message(session))

enum { SAVER_PATH_BYTES = 512 };

/* A new directory under TMPDIR, and the end of it with all it holds. */
void saver_mkdir(char path[SAVER_PATH_BYTES]);
void saver_rmdir(const char *path);

/* "DIR/NAME" in memory that the next four calls leave alone. */
const char *saver_path(const char *directory, const char *name);

/* How many files of the directory have part in their name. */
int saver_count_files(const char *directory, const char *part);

/* The whole file as text, in static memory. */
const char *saver_read_text(const char *path);

/* Changes one byte in the middle of a file. */
void saver_damage(const char *path);

/* A model of four variables, one of them cut into slices, under Adam and Momentum. */
enum { MODEL_ROWS = 37, MODEL_COLUMNS = 5, MODEL_BIASES = 11 };

struct model {
    ps_session *session;
    ps_var *weights; /* float [37,5], in slices */
    ps_var *biases;  /* double [11] */
    ps_var *scale;   /* float scalar */
    ps_var *empty;   /* float [0,3] */
    ps_optimizer *adam, *momentum;
};

struct model_values {
    float weights[MODEL_ROWS * MODEL_COLUMNS];
    double biases[MODEL_BIASES];
    float scale;
};

/* Declares the variables; slices: how many weights is cut into. Nothing is initialized. */
void model_make(struct model *model, ps_session *session, int slices);
/* Steps first to last, with gradients that depend on the step alone. */
void model_train(struct model *model, int first, int last);
void model_pull(struct model *model, struct model_values *values_out);
/* Bit for bit. */
void model_expect(struct model *model, const struct model_values *wanted);

#endif
