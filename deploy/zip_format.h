/* Zip's records: signatures, sizes, and where in them things stand. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_DEPLOY_ZIP_FORMAT_H
#define PARAMD_DEPLOY_ZIP_FORMAT_H

#include <stdint.h>

/* A file is: (local header, name, extra, data)* directory, end. Of a directory or a member that
 * needs more than 32 bits, each such number is all ones and stands in an extra field; of an end, in
 * a second end record that a locator points to. All numbers are little-endian. */
enum {
    PS_ZIP_LOCAL_BYTES = 30,
    PS_ZIP_CENTRAL_BYTES = 46,
    PS_ZIP_END_BYTES = 22,
    PS_ZIP_END64_BYTES = 56,
    PS_ZIP_LOCATOR_BYTES = 20,
    PS_ZIP_EXTRA64 = 1, /* the extra field's tag */
    PS_ZIP_STORED = 0,
    PS_ZIP_DEFLATED = 8,
    PS_ZIP_FLAG_ENCRYPTED = 1,
    PS_ZIP_FLAG_UTF8 = 1 << 11
};

#define PS_ZIP_LOCAL_SIGNATURE   0x04034b50u
#define PS_ZIP_CENTRAL_SIGNATURE 0x02014b50u
#define PS_ZIP_END_SIGNATURE     0x06054b50u
#define PS_ZIP_END64_SIGNATURE   0x06064b50u
#define PS_ZIP_LOCATOR_SIGNATURE 0x07064b50u

static inline uint32_t ps_zip_get16(const uint8_t *in)
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8;
}

static inline uint32_t ps_zip_get32(const uint8_t *in)
{
    return ps_zip_get16(in) | ps_zip_get16(in + 2) << 16;
}

static inline uint64_t ps_zip_get64(const uint8_t *in)
{
    return (uint64_t)ps_zip_get32(in) | (uint64_t)ps_zip_get32(in + 4) << 32;
}

/* Writes size_bytes bytes and returns what follows them. */
static inline uint8_t *ps_zip_put(uint8_t *out, uint64_t value, int size_bytes)
{
    for (int i = 0; i < size_bytes; i++) { *out++ = (uint8_t)(value >> 8 * i); }
    return out;
}

#endif
