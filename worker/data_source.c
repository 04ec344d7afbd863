/* What --data names: Fashion-MNIST as Debian installs it, the user's IDX files, or synthetic. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/data_source.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "worker/dataset.h"
#include "worker/idx_dataset.h"

struct ps_data_options ps_data_options_default(void)
{
    return (struct ps_data_options){
        .source = "fashion-mnist",
        .fashion_mnist_dir = "/usr/share/datasets/fashion-mnist",
        .synthetic = { PS_SYNTHETIC_TRAIN_COUNT, PS_SYNTHETIC_TEST_COUNT, 1 },
    };
}

static enum ps_code load_fashion_mnist(const char *directory, struct ps_dataset **dataset_out,
                                       struct ps_error *err)
{
    static const struct ps_idx_expected published = { 60000, 10000, 28, 28, 10 };
    const struct ps_idx_location location = {
        .directory = directory,
        .name = "fashion-mnist",
        .missing_hint = "Install it: apt-get install dataset-fashion-mnist; or give your own IDX "
                        "files: --data DIR; or --data synthetic",
    };
    enum ps_code rc = ps_idx_dataset_load(&location, &published, dataset_out, err);
    if (rc == PS_OK) { snprintf((*dataset_out)->note, PS_DATASET_NOTE_BYTES, "checked"); }
    return rc;
}

static enum ps_code load_directory(const char *directory, int class_count,
                                   struct ps_dataset **dataset_out, struct ps_error *err)
{
    const struct ps_idx_expected expected = { .class_count = class_count };
    const struct ps_idx_location location = {
        .directory = directory,
        .name = directory,
        .missing_hint = "A data directory holds {train,t10k}-images-idx3-ubyte and "
                        "{train,t10k}-labels-idx1-ubyte, each plain or .gz; or use --data "
                        "fashion-mnist, or --data synthetic",
    };
    struct stat info;
    bool found = stat(directory, &info) == 0;
    if (!found && errno != ENOENT) {
        return ps_fail_errno(err, errno, "cannot reach data directory %s", directory);
    }
    if (!found || !S_ISDIR(info.st_mode)) {
        return ps_fail(err, PS_NOT_FOUND,
                       "data set '%s' is neither fashion-mnist nor synthetic nor a directory. %s",
                       directory, location.missing_hint);
    }
    if (class_count < 0 || class_count > PS_DATASET_MAX_CLASSES) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "%d classes asked for of %s; give 1 to %d, or 0 for as many as its labels "
                       "use",
                       class_count, directory, PS_DATASET_MAX_CLASSES);
    }
    return ps_idx_dataset_load(&location, &expected, dataset_out, err);
}

enum ps_code ps_data_source_load(const struct ps_data_options *options,
                                 struct ps_dataset **dataset_out, struct ps_error *err)
{
    *dataset_out = NULL;
    if (strcmp(options->source, "fashion-mnist") == 0) {
        return load_fashion_mnist(options->fashion_mnist_dir, dataset_out, err);
    }
    if (strcmp(options->source, "synthetic") == 0) {
        return ps_synthetic_create(&options->synthetic, dataset_out, err);
    }
    return load_directory(options->source, options->class_count, dataset_out, err);
}
