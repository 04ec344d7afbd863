/* A tensor cut into boxes that fit a buffer, in the order of its bytes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "deploy/ckpt_priv.h"

void psi_ckpt_walk_init(struct psi_ckpt_walk *walk, const struct ps_shape *shape,
                        int64_t max_elements)
{
    int64_t inner = ps_shape_elements(shape); /* of one index of axis */
    *walk = (struct psi_ckpt_walk){ .shape = *shape, .is_done = inner == 0, .axis = -1 };
    while (walk->axis + 1 < shape->rank && !walk->is_done) {
        inner /= shape->dims[++walk->axis];
        if (inner <= max_elements) { break; }
    }
    walk->step = inner > 0 && inner < max_elements ? max_elements / inner : 1;
}

/* To the next box: on along the axis, then along the dimension before it, and so on. */
static void advance(struct psi_ckpt_walk *walk)
{
    int64_t step = walk->step;
    for (int dim = walk->axis; dim >= 0; dim--) {
        walk->at[dim] += step;
        if (walk->at[dim] < walk->shape.dims[dim]) { return; }
        walk->at[dim] = 0;
        step = 1;
    }
    walk->is_done = true;
}

bool psi_ckpt_walk_next(struct psi_ckpt_walk *walk, struct ps_slice *box, int64_t *elements_out)
{
    if (walk->is_done) { return false; }
    *box = ps_slice_whole(&walk->shape);
    *elements_out = 1;
    for (int dim = 0; dim < walk->shape.rank; dim++) {
        if (dim <= walk->axis) {
            int64_t left = walk->shape.dims[dim] - walk->at[dim];
            int64_t step = dim < walk->axis ? 1 : walk->step;
            box->extents[dim].start = walk->at[dim];
            box->extents[dim].length = step < left ? step : left;
        }
        *elements_out *= box->extents[dim].length;
    }
    advance(walk);
    return true;
}
