/* What reading and writing a .safetensors file share: its constants and its names of types. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_SAFETENSORS_FORMAT_H
#define PARAMD_DEPLOY_SAFETENSORS_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "core/dtype.h"

/* A file is the header's size in eight bytes, the header, a JSON object padded with blanks, and
 * data, whose offsets begin there. */
enum { PS_SAFETENSORS_SIZE_BYTES = 8, PS_SAFETENSORS_ALIGNMENT = 8 };

/* Largest header, written or read. The format allows 100 MB, but a parsed header takes up to forty
 * times its size; this is a quarter of a million tensors. */
enum { PS_SAFETENSORS_HEADER_BYTES_MAX = 32 << 20 };

/* The one key of the header that names no tensor, but a list of remarks. */
#define PS_SAFETENSORS_METADATA "__metadata__"

#define PS_SAFETENSORS_TYPES(X) \
    X(PS_FLOAT, "F32")          \
    X(PS_DOUBLE, "F64")         \
    X(PS_HALF, "F16")           \
    X(PS_BFLOAT16, "BF16")      \
    X(PS_INT8, "I8")            \
    X(PS_INT16, "I16")          \
    X(PS_INT32, "I32")          \
    X(PS_INT64, "I64")          \
    X(PS_UINT8, "U8")           \
    X(PS_UINT16, "U16")         \
    X(PS_UINT32, "U32")         \
    X(PS_UINT64, "U64")         \
    X(PS_BOOL, "BOOL")

/* Where a tensor's bytes lie, from the first of the data on. */
struct ps_safetensors_place {
    size_t index; /* of the tensor */
    uint64_t begin;
    uint64_t end;
};

#endif
