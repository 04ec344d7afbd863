/* Requests for variables and payloads in odd pieces, for the tests of the store. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_TESTS_SERVER_VARIABLE_FIXTURE_H
#define PARAMD_TESTS_SERVER_VARIABLE_FIXTURE_H

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "proto/messages.h"

/* A request for the only slice of a variable of zeros; it points to itself, so do not copy it. */
struct fixture_request {
    struct ps_create_request request;
    struct ps_slice_place slices[4];
};

static inline void fixture_request_init(struct fixture_request *fixture, const char *name,
                                        enum ps_dtype dtype, int64_t rows, int64_t columns)
{
    memset(fixture, 0, sizeof *fixture);
    struct ps_definition *definition = &fixture->request.definition;
    definition->name = name;
    definition->dtype = dtype;
    definition->shape = (struct ps_shape){ 2, { rows, columns } };
    definition->initializer = (struct ps_initializer_spec){ .kind = PS_INIT_ZEROS, .scale = 1.0 };
    definition->initializer.source = "";
    definition->device = "";
    definition->trainable = true;
    fixture->slices[0].rows = (struct ps_rows){ 0, rows };
    fixture->request.slices = fixture->slices;
    fixture->request.slice_count = 1;
}

/* A payload over a copy of bytes, in spans of the sizes given over and over. */
struct fixture_payload {
    struct ps_payload payload;
    struct ps_span *spans;
    uint8_t *bytes;
};

static inline void fixture_payload_init(struct fixture_payload *fixture, const void *bytes,
                                        size_t size, const size_t *sizes, size_t size_count)
{
    size_t period = 0;
    for (size_t i = 0; i < size_count; i++) { period += sizes[i]; }
    fixture->spans = calloc((size / period + 1) * size_count, sizeof *fixture->spans);
    fixture->bytes = malloc(size + 1);
    ck_assert(fixture->spans != NULL && fixture->bytes != NULL);
    uint8_t *copy = fixture->bytes + 1; /* so that nothing is aligned by accident */
    memcpy(copy, bytes, size);
    size_t count = 0;
    for (size_t at = 0; at < size; count++) {
        size_t run = sizes[count % size_count];
        if (run > size - at) { run = size - at; }
        fixture->spans[count] = (struct ps_span){ copy + at, run };
        at += run;
    }
    fixture->payload = (struct ps_payload){
        .spans = fixture->spans, .span_count = count, .size = size, .reference_count = 1
    };
}

static inline void fixture_payload_clean(struct fixture_payload *fixture)
{
    free(fixture->spans);
    free(fixture->bytes);
}

#endif
