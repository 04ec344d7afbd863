/* An image set from the four IDX files of a directory: Fashion-MNIST, MNIST, or the user's own. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/idx_dataset.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "worker/dataset.h"
#include "worker/idx_file.h"

/* Finds directory/stem or directory/stem.gz (plain first: it reads faster). */
static enum ps_code find_file(const struct ps_idx_location *location, const char *stem,
                              struct ps_buf *path, struct ps_error *err)
{
    static const char *const suffixes[] = { "", ".gz" };
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        path->size = 0;
        enum ps_code rc = ps_buf_printf(path, err, "%s/%s%s", location->directory, stem,
                                        suffixes[i]);
        if (rc != PS_OK) { return rc; }
        if (access((const char *)path->data, F_OK) == 0) { return PS_OK; }
        if (errno != ENOENT && errno != ENOTDIR) {
            return ps_fail_errno(err, errno, "cannot reach %s", (const char *)path->data);
        }
    }
    return ps_fail(err, PS_NOT_FOUND, "data set not found: %s. %s", (const char *)path->data,
                   location->missing_hint);
}

static enum ps_code read_file(const struct ps_idx_location *location, const char *stem,
                              enum ps_idx_kind kind, struct ps_idx_file *file_out,
                              struct ps_error *err)
{
    struct ps_buf path = { NULL, 0, 0 };
    enum ps_code rc = find_file(location, stem, &path, err);
    if (rc == PS_OK) { rc = ps_idx_file_read((const char *)path.data, kind, file_out, err); }
    ps_buf_clean(&path);
    return rc;
}

/* One part: its images give dataset its measures if it has none yet, and must fit them else. */
static enum ps_code load_part(const struct ps_idx_location *location, const char *part,
                              struct ps_dataset *dataset, struct ps_examples *examples,
                              struct ps_error *err)
{
    struct ps_idx_file images = { .data = NULL };
    struct ps_idx_file labels = { .data = NULL };
    char stem[64];
    enum ps_code rc = PS_OK;

    snprintf(stem, sizeof stem, "%s-images-idx3-ubyte", part);
    PS_TRY(done, rc, read_file(location, stem, PS_IDX_IMAGES, &images, err));
    snprintf(stem, sizeof stem, "%s-labels-idx1-ubyte", part);
    PS_TRY(done, rc, read_file(location, stem, PS_IDX_LABELS, &labels, err));
    if (images.count != labels.count) {
        rc = ps_fail(err, PS_INVALID_ARGUMENT, "%s: %s has %d images but %d labels",
                     location->directory, part, (int)images.count, (int)labels.count);
        goto done;
    }
    if (dataset->rows == 0) {
        dataset->rows = (int)images.rows;
        dataset->columns = (int)images.columns;
        dataset->feature_count = (int)(images.rows * images.columns);
    } else if (dataset->rows != images.rows || dataset->columns != images.columns) {
        rc = ps_fail(err, PS_INVALID_ARGUMENT, "%s: train images are %dx%d but %s images are %dx%d",
                     location->directory, dataset->rows, dataset->columns, part, (int)images.rows,
                     (int)images.columns);
        goto done;
    }
    *examples = (struct ps_examples){ images.data, labels.data, images.count };
    images.data = NULL;
    labels.data = NULL;
done:
    ps_idx_file_clean(&images);
    ps_idx_file_clean(&labels);
    return rc;
}

static int largest_label(const struct ps_examples *examples)
{
    uint8_t largest = 0;
    for (int32_t i = 0; i < examples->count; i++) {
        if (examples->labels[i] > largest) { largest = examples->labels[i]; }
    }
    return largest;
}

static enum ps_code check_labels(const struct ps_idx_location *location, const char *part,
                                 const struct ps_examples *examples, int class_count,
                                 struct ps_error *err)
{
    for (int32_t i = 0; i < examples->count; i++) {
        if (examples->labels[i] < class_count) { continue; }
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "%s: label %d of %s example %d is out of range: there are %d classes, "
                       "0 to %d",
                       location->directory, examples->labels[i], part, (int)i, class_count,
                       class_count - 1);
    }
    return PS_OK;
}

static enum ps_code check_measure(const struct ps_idx_location *location, const char *what,
                                  int32_t expected, int32_t found, struct ps_error *err)
{
    if (expected == 0 || expected == found) { return PS_OK; }
    return ps_fail(err, PS_INVALID_ARGUMENT, "%s is not %s: %s: %d expected, %d found",
                   location->directory, location->name, what, (int)expected, (int)found);
}

static enum ps_code check_expected(const struct ps_idx_location *location,
                                   const struct ps_idx_expected *expected,
                                   const struct ps_dataset *dataset, struct ps_error *err)
{
    enum ps_code rc = PS_OK;
    PS_TRY(done, rc,
           check_measure(location, "train examples", expected->train_count, dataset->train.count,
                         err));
    PS_TRY(
        done, rc,
        check_measure(location, "test examples", expected->test_count, dataset->test.count, err));
    PS_TRY(done, rc, check_measure(location, "image rows", expected->rows, dataset->rows, err));
    PS_TRY(done, rc,
           check_measure(location, "image columns", expected->columns, dataset->columns, err));
done:
    return rc;
}

enum ps_code ps_idx_dataset_load(const struct ps_idx_location *location,
                                 const struct ps_idx_expected *expected,
                                 struct ps_dataset **dataset_out, struct ps_error *err)
{
    static const struct ps_idx_expected anything = { 0, 0, 0, 0, 0 };
    enum ps_code rc = PS_OK;
    *dataset_out = NULL;
    if (expected == NULL) { expected = &anything; }
    PS_ASSERT(expected->class_count >= 0 && expected->class_count <= PS_DATASET_MAX_CLASSES);

    struct ps_dataset *dataset = ps_dataset_create(location->name);
    if (dataset == NULL) { return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a data set"); }
    PS_TRY(fail, rc, load_part(location, "train", dataset, &dataset->train, err));
    PS_TRY(fail, rc, load_part(location, "t10k", dataset, &dataset->test, err));
    PS_TRY(fail, rc, check_expected(location, expected, dataset, err));
    dataset->class_count = expected->class_count > 0 ? expected->class_count
                                                     : largest_label(&dataset->train) + 1;
    PS_TRY(fail, rc, check_labels(location, "train", &dataset->train, dataset->class_count, err));
    PS_TRY(fail, rc, check_labels(location, "t10k", &dataset->test, dataset->class_count, err));
    *dataset_out = dataset;
    return PS_OK;
fail:
    ps_dataset_destroy(dataset);
    return rc;
}
