/* For tests of savers: a directory, a small model that trains, and looks into files. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "saver_fixture.h"

#include <check.h>
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void saver_mkdir(char path[SAVER_PATH_BYTES])
{
    const char *base = getenv("TMPDIR");
    snprintf(path, SAVER_PATH_BYTES, "%s/paramd-saver-XXXXXX", base != NULL ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(path));
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

void saver_rmdir(const char *path)
{
    ck_assert_int_eq(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

const char *saver_path(const char *directory, const char *name)
{
    static char texts[4][2 * SAVER_PATH_BYTES];
    static int next;
    char *text = texts[next++ % 4];
    snprintf(text, sizeof texts[0], "%s/%s", directory, name);
    return text;
}

int saver_count_files(const char *directory, const char *part)
{
    int count = 0;
    DIR *dir = opendir(directory);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] != '.' && strstr(entry->d_name, part) != NULL) { count++; }
    }
    closedir(dir);
    return count;
}

const char *saver_read_text(const char *path)
{
    static char text[65536];
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

void saver_damage(const char *path)
{
    FILE *file = fopen(path, "r+");
    ck_assert_msg(file != NULL, "%s", path);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    long middle = ftell(file) / 2;
    ck_assert_int_eq(fseek(file, middle, SEEK_SET), 0);
    int byte = fgetc(file);
    ck_assert_int_eq(fseek(file, middle, SEEK_SET), 0);
    fputc(byte ^ 0x5a, file);
    ck_assert_int_eq(fclose(file), 0);
}

void model_make(struct model *model, ps_session *session, int slices)
{
    const ps_variable_options cut = { .partition = PS_SPLIT_FIXED,
                                      .partition_a = (uint64_t)slices };
    *model = (struct model){
        .session = session,
        .weights = ps_variable_with(session, "layer/weights", PS_FLOAT,
                                    PS_SHAPE(MODEL_ROWS, MODEL_COLUMNS), ps_random_normal(0, 1, 7),
                                    &cut),
        .biases = ps_variable(session, "layer/biases", PS_DOUBLE, PS_SHAPE(MODEL_BIASES),
                              ps_random_normal(0, 1, 8)),
        .scale = ps_variable(session, "scale", PS_FLOAT, PS_SCALAR, ps_constant(1.5)),
        .empty = ps_variable(session, "empty", PS_FLOAT, PS_SHAPE(0, 3), ps_zeros()),
        .adam = ps_adam(session, 0.01, 0.9, 0.999, 1e-8),
        .momentum = ps_momentum(session, 0.1, 0.9),
    };
    expect_ok(session);
}

void model_train(struct model *model, int first, int last)
{
    struct model_values gradients;
    for (int step = first; step <= last; step++) {
        for (int i = 0; i < MODEL_ROWS * MODEL_COLUMNS; i++) {
            gradients.weights[i] = (float)((i * 31 + step * 17) % 23 - 11) / 7;
        }
        for (int i = 0; i < MODEL_BIASES; i++) {
            gradients.biases[i] = (double)((i * 13 + step * 5) % 19 - 9) / 3;
        }
        gradients.scale = (float)(step % 5) - 2;
        const ps_binding bindings[] = { { model->weights, gradients.weights, 0 },
                                        { model->biases, gradients.biases, 0 },
                                        { model->scale, &gradients.scale, 0 } };
        ps_push(model->adam, bindings, 3);
        ps_push(model->momentum, bindings, 2);
    }
    expect_ok(model->session);
}

void model_pull(struct model *model, struct model_values *values_out)
{
    memset(values_out, 0xee, sizeof *values_out);
    ps_pull(model->session,
            (ps_binding[]){ { model->weights, values_out->weights, 0 },
                            { model->biases, values_out->biases, 0 },
                            { model->scale, &values_out->scale, 0 } },
            3);
    expect_ok(model->session);
}

void model_expect(struct model *model, const struct model_values *wanted)
{
    struct model_values got;
    model_pull(model, &got);
    ck_assert_int_eq(memcmp(got.weights, wanted->weights, sizeof got.weights), 0);
    ck_assert_int_eq(memcmp(got.biases, wanted->biases, sizeof got.biases), 0);
    ck_assert(memcmp(&got.scale, &wanted->scale, sizeof got.scale) == 0);
}
