/* The kernels of the integers of one width, signed and unsigned alike: sums wrap. Included once a
 * width, with NAME(op) and ELEMENT (unsigned) set, which it ends. */
/* SPDX-License-Identifier: Apache-2.0 */

typedef ELEMENT NAME(element) __attribute__((may_alias));
typedef ELEMENT NAME(operand) __attribute__((aligned(1), may_alias));

static void NAME(assign)(const struct ps_kernel_run *run)
{
    memcpy(run->planes[0], run->operand, run->count * sizeof(ELEMENT));
}

static void NAME(add)(const struct ps_kernel_run *run)
{
    NAME(element) *restrict value = run->planes[0];
    const NAME(operand) *restrict operand = run->operand;
    size_t count = run->count;
    for (size_t i = 0; i < count; i++) { value[i] = (ELEMENT)(value[i] + operand[i]); }
}

static void NAME(sub)(const struct ps_kernel_run *run)
{
    NAME(element) *restrict value = run->planes[0];
    const NAME(operand) *restrict operand = run->operand;
    size_t count = run->count;
    for (size_t i = 0; i < count; i++) { value[i] = (ELEMENT)(value[i] - operand[i]); }
}

#undef NAME
#undef ELEMENT
