/* The kernels of one floating type. Included once a type, with these macros set, which it ends:
 * NAME(op), ELEMENT (as stored), COMPUTE (arithmetic), LOAD and STORE between the two, SQRT, and
 * BITS, EXPONENT (an element's bits as an integer, and its exponent's). */
/* SPDX-License-Identifier: Apache-2.0 */

typedef ELEMENT NAME(operand) __attribute__((aligned(1), may_alias));
typedef BITS NAME(bits) __attribute__((aligned(1), may_alias));

static void NAME(assign)(const struct ps_kernel_run *run)
{
    memcpy(run->planes[0], run->operand, run->count * sizeof(ELEMENT));
}

static void NAME(add)(const struct ps_kernel_run *run)
{
    ELEMENT *restrict value = run->planes[0];
    const NAME(operand) *restrict operand = run->operand;
    size_t count = run->count;
    for (size_t i = 0; i < count; i++) { value[i] = STORE(LOAD(value[i]) + LOAD(operand[i])); }
}

static void NAME(sub)(const struct ps_kernel_run *run)
{
    ELEMENT *restrict value = run->planes[0];
    const NAME(operand) *restrict operand = run->operand;
    size_t count = run->count;
    for (size_t i = 0; i < count; i++) { value[i] = STORE(LOAD(value[i]) - LOAD(operand[i])); }
}

static void NAME(sgd)(const struct ps_kernel_run *run)
{
    ELEMENT *restrict value = run->planes[0];
    const NAME(operand) *restrict gradient = run->operand;
    const COMPUTE rate = (COMPUTE)run->scalars->rate;
    size_t count = run->count;
    for (size_t i = 0; i < count; i++) {
        value[i] = STORE(LOAD(value[i]) - LOAD(gradient[i]) * rate);
    }
}

static void NAME(momentum)(const struct ps_kernel_run *run)
{
    ELEMENT *restrict value = run->planes[0];
    ELEMENT *restrict slot = run->planes[1];
    const NAME(operand) *restrict gradient = run->operand;
    const COMPUTE rate = (COMPUTE)run->scalars->rate;
    const COMPUTE momentum = (COMPUTE)run->scalars->momentum;
    size_t count = run->count;
    for (size_t i = 0; i < count; i++) {
        COMPUTE a = LOAD(slot[i]) * momentum + LOAD(gradient[i]);
        slot[i] = STORE(a);
        value[i] = STORE(LOAD(value[i]) - a * rate);
    }
}

static void NAME(nesterov)(const struct ps_kernel_run *run)
{
    ELEMENT *restrict value = run->planes[0];
    ELEMENT *restrict slot = run->planes[1];
    const NAME(operand) *restrict gradient = run->operand;
    const COMPUTE rate = (COMPUTE)run->scalars->rate;
    const COMPUTE momentum = (COMPUTE)run->scalars->momentum;
    size_t count = run->count;
    for (size_t i = 0; i < count; i++) {
        COMPUTE g = LOAD(gradient[i]);
        COMPUTE a = LOAD(slot[i]) * momentum + g;
        slot[i] = STORE(a);
        value[i] = STORE(LOAD(value[i]) - (g * rate + a * momentum * rate));
    }
}

static void NAME(adam)(const struct ps_kernel_run *run)
{
    ELEMENT *restrict value = run->planes[0];
    ELEMENT *restrict mean = run->planes[1];
    ELEMENT *restrict variance = run->planes[2];
    const NAME(operand) *restrict gradient = run->operand;
    const COMPUTE rate = (COMPUTE)run->scalars->rate;
    const COMPUTE gain1 = (COMPUTE)run->scalars->gain1;
    const COMPUTE gain2 = (COMPUTE)run->scalars->gain2;
    const COMPUTE epsilon = (COMPUTE)run->scalars->epsilon;
    size_t count = run->count;
    for (size_t i = 0; i < count; i++) {
        COMPUTE g = LOAD(gradient[i]);
        COMPUTE m = LOAD(mean[i]);
        COMPUTE v = LOAD(variance[i]);
        m += (g - m) * gain1;
        v += (g * g - v) * gain2;
        mean[i] = STORE(m);
        variance[i] = STORE(v);
        value[i] = STORE(LOAD(value[i]) - m * rate / (SQRT(v) + epsilon));
    }
}

/* Looks for any in a block first: that loop has no exit and vectorises. */
static size_t NAME(first_nonfinite)(const void *data, size_t count)
{
    enum { BLOCK = 1024 };
    const NAME(bits) *elements = data;
    for (size_t start = 0; start < count; start += BLOCK) {
        size_t end = count - start < BLOCK ? count : start + BLOCK;
        BITS found = 0;
        for (size_t i = start; i < end; i++) {
            found = (BITS)(found | (BITS)((elements[i] & EXPONENT) == EXPONENT));
        }
        if (found == 0) { continue; }
        for (size_t i = start; i < end; i++) {
            if ((elements[i] & EXPONENT) == EXPONENT) { return i; }
        }
    }
    return count;
}

#undef NAME
#undef ELEMENT
#undef COMPUTE
#undef LOAD
#undef STORE
#undef SQRT
#undef BITS
#undef EXPONENT
