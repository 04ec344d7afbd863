/* Fuzzes the readers of .npz and .safetensors files: refused, or read to the last byte. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "deploy/npz.h"
#include "deploy/safetensors_reader.h"
#include "tests/fuzz/fuzz_driver.h"

const char *const ps_fuzz_seeds[] = {
    /* .npz, stored */
    "50 4b 03 04 14 +7 21 00 73 07 3e 41 88 00 00 00 88 00 00 00 07 00 00 00 61 2f 62 2e 6e "
    "70 79 93 4e 55 4d 50 59 01 00 76 00 7b 27 64 65 73 63 72 27 3a 20 27 3c 66 34 27 2c 20 "
    "27 66 6f 72 74 72 61 6e 5f 6f 72 64 65 72 27 3a 20 46 61 6c 73 65 2c 20 27 73 68 61 70 "
    "65 27 3a 20 28 32 2c 29 2c 20 7d 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 "
    "20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 "
    "20 20 20 20 20 20 20 20 20 20 20 20 20 0a 00 01 02 03 04 05 06 07 50 4b 03 04 14 +7 21 "
    "00 82 2d f8 d3 81 00 00 00 81 00 00 00 05 00 00 00 63 2e 6e 70 79 93 4e 55 4d 50 59 01 "
    "00 76 00 7b 27 64 65 73 63 72 27 3a 20 27 7c 62 31 27 2c 20 27 66 6f 72 74 72 61 6e 5f "
    "6f 72 64 65 72 27 3a 20 46 61 6c 73 65 2c 20 27 73 68 61 70 65 27 3a 20 28 29 2c 20 7d "
    "20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 "
    "20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 "
    "20 20 20 20 0a 01 50 4b 01 02 14 03 14 +7 21 00 73 07 3e 41 88 00 00 00 88 00 00 00 07 "
    "+11 80 01 00 00 00 00 61 2f 62 2e 6e 70 79 50 4b 01 02 14 03 14 +7 21 00 82 2d f8 d3 81 "
    "00 00 00 81 00 00 00 05 +11 80 01 ad 00 00 00 63 2e 6e 70 79 50 4b 05 06 00 00 00 00 02 "
    "00 02 00 68 00 00 00 51 01 00 00 00 00",
    /* .npz, deflated */
    "50 4b 03 04 14 00 00 00 08 00 00 00 21 00 73 07 3e 41 4c 00 00 00 88 00 00 00 07 00 00 "
    "00 61 2f 62 2e 6e 70 79 9b ec 17 ea 1b 10 c9 c8 50 c6 50 ad 9e 92 5a 9c 5c a4 6e a5 a0 "
    "6e 93 66 a2 ae a3 a0 9e 96 5f 54 52 94 98 17 9f 5f 94 92 0a 12 77 4b cc 29 4e 05 8a 17 "
    "67 24 16 a4 02 f9 1a 46 3a 9a 3a 0a b5 0a 14 00 2e 06 46 26 66 16 56 36 76 00 50 4b 03 "
    "04 14 00 00 00 08 00 00 00 21 00 82 2d f8 d3 43 00 00 00 81 00 00 00 05 00 00 00 63 2e "
    "6e 70 79 9b ec 17 ea 1b 10 c9 c8 50 c6 50 ad 9e 92 5a 9c 5c a4 6e a5 a0 5e 93 64 a8 ae "
    "a3 a0 9e 96 5f 54 52 94 98 17 9f 5f 94 92 0a 12 77 4b cc 29 4e 05 8a 17 67 24 16 a4 02 "
    "f9 1a 9a 3a 0a b5 0a 14 01 2e 46 00 50 4b 01 02 14 03 14 00 00 00 08 00 00 00 21 00 73 "
    "07 3e 41 4c 00 00 00 88 00 00 00 07 +11 80 01 00 00 00 00 61 2f 62 2e 6e 70 79 50 4b 01 "
    "02 14 03 14 00 00 00 08 00 00 00 21 00 82 2d f8 d3 43 00 00 00 81 00 00 00 05 +11 80 01 "
    "71 00 00 00 63 2e 6e 70 79 50 4b 05 06 00 00 00 00 02 00 02 00 68 00 00 00 d7 00 00 00 "
    "00 00",
    /* .safetensors */
    "88 +7 7b 22 5f 5f 6d 65 74 61 64 61 74 61 5f 5f 22 3a 7b 22 6b 22 3a 22 76 22 7d 2c 22 "
    "61 22 3a 7b 22 64 74 79 70 65 22 3a 22 46 33 32 22 2c 22 73 68 61 70 65 22 3a 5b 32 5d "
    "2c 22 64 61 74 61 5f 6f 66 66 73 65 74 73 22 3a 5b 30 2c 38 5d 7d 2c 22 62 22 3a 7b 22 "
    "64 74 79 70 65 22 3a 22 42 4f 4f 4c 22 2c 22 73 68 61 70 65 22 3a 5b 5d 2c 22 64 61 74 "
    "61 5f 6f 66 66 73 65 74 73 22 3a 5b 38 2c 39 5d 7d 7d 20 20 20 20 00 01 02 03 04 05 06 "
    "07 01",
    NULL
};

static enum ps_code count(void *ctx, const void *data, size_t size, struct ps_error *err)
{
    uint64_t *total = ctx;
    (void)data;
    (void)err;
    *total += size;
    return PS_OK;
}

/* An open archive has checked shapes, and streams exactly the bytes that they take, or fails. */
static void read_all(struct ps_archive_reader *reader)
{
    for (size_t i = 0; i < reader->tensors.count; i++) {
        uint64_t total = 0;
        enum ps_code rc = reader->ops->stream(reader, i, count, &total, NULL);
        if (rc == PS_OK && total != ps_archive_size_bytes(&reader->tensors.items[i])) { abort(); }
    }
    reader->ops->close(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32];
    struct ps_error error = PS_ERROR_INIT;
    struct ps_archive_reader *reader;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) { abort(); }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    enum ps_code rc = ps_npz_reader_open(path, &reader, &error);
    if (rc == PS_OK) { read_all(reader); }
    if (rc != PS_OK && error.message[0] == '\0') { abort(); }
    error.message[0] = '\0';
    rc = ps_safetensors_reader_open(path, &reader, &error);
    if (rc == PS_OK) { read_all(reader); }
    if (rc != PS_OK && error.message[0] == '\0') { abort(); }
    close(fd);
    return 0;
}
