/* Device names: one small reader for each key of the grammar. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* One part between two slashes, and the whole text for messages. */
struct part {
    const char *text;
    size_t size;
    const char *whole;
};

/* The value after "key:" in part; NULL if part has another key. */
static const char *value_after(const struct part *part, const char *key)
{
    size_t size = strlen(key);
    bool same = part->size > size && strncmp(part->text, key, size) == 0;
    return same && part->text[size] == ':' ? part->text + size + 1 : NULL;
}

static size_t bytes_left(const struct part *part, const char *at)
{
    return (size_t)(part->text + part->size - at);
}

static bool is_star(const struct part *part, const char *value)
{
    return bytes_left(part, value) == 1 && *value == '*';
}

static bool is_identifier(const char *text, size_t size)
{
    if (size == 0 || !isalpha((unsigned char)text[0])) { return false; }
    for (size_t i = 1; i < size; i++) {
        if (!isalnum((unsigned char)text[i]) && text[i] != '_') { return false; }
    }
    return true;
}

bool ps_device_job_name_is_valid(const char *name)
{
    size_t size = strlen(name);
    return size < PS_JOB_NAME_BYTES && is_identifier(name, size);
}

static enum ps_code fail_value(const struct part *part, const char *expected, struct ps_error *err)
{
    return ps_fail(err, PS_INVALID_ARGUMENT, "Bad attribute: '%.*s' in '%s'; expected %s",
                   (int)part->size, part->text, part->whole, expected);
}

static enum ps_code read_number(const struct part *part, const char *value, bool *has, int *number)
{
    *has = !is_star(part, value);
    if (!*has) { return PS_OK; }
    size_t size = bytes_left(part, value);
    int result = 0;
    for (size_t i = 0; i < size; i++) {
        if (!isdigit((unsigned char)value[i])) { return PS_INVALID_ARGUMENT; }
        int digit = value[i] - '0';
        if (result > (INT_MAX - digit) / 10) { return PS_INVALID_ARGUMENT; }
        result = result * 10 + digit;
    }
    *number = result;
    return size == 0 ? PS_INVALID_ARGUMENT : PS_OK;
}

static enum ps_code read_job(const struct part *part, const char *value, struct ps_device *device,
                             struct ps_error *err)
{
    size_t size = bytes_left(part, value);
    device->has_job = !is_star(part, value);
    if (!device->has_job) { return PS_OK; }
    if (size >= PS_JOB_NAME_BYTES || !is_identifier(value, size)) {
        return fail_value(
            part, "a job name (a letter, then letters, digits and '_', fewer than 64) or *", err);
    }
    memcpy(device->job, value, size);
    device->job[size] = '\0';
    return PS_OK;
}

static void set_type(struct ps_device *device, const char *type, size_t size)
{
    device->has_type = true;
    for (size_t i = 0; i < size; i++) { device->type[i] = (char)toupper((unsigned char)type[i]); }
    device->type[size] = '\0';
}

/* TYPE, TYPE:ID, each of the two may be '*'. A missing ID is not specified. */
static enum ps_code read_device(const struct part *part, const char *value,
                                struct ps_device *device, struct ps_error *err)
{
    static const char expected[] = "TYPE or TYPE:NUMBER, as in /device:CPU:0";
    const char *colon = memchr(value, ':', bytes_left(part, value));
    size_t type_size = colon == NULL ? bytes_left(part, value) : (size_t)(colon - value);
    if (type_size == 1 && *value == '*') {
        device->has_type = false;
    } else if (type_size < PS_DEVICE_TYPE_BYTES && is_identifier(value, type_size)) {
        set_type(device, value, type_size);
    } else {
        return fail_value(part, expected, err);
    }
    device->has_id = false;
    if (colon != NULL && read_number(part, colon + 1, &device->has_id, &device->id) != PS_OK) {
        return fail_value(part, expected, err);
    }
    return PS_OK;
}

/* "cpu", "cpu:0", "GPU:*": the older spelling, in which the type is the key. */
static bool is_legacy(const struct part *part)
{
    bool named = part->size >= 3 &&
                 (strncasecmp(part->text, "cpu", 3) == 0 || strncasecmp(part->text, "gpu", 3) == 0);
    return named && (part->size == 3 || part->text[3] == ':');
}

static enum ps_code read_part(const struct part *part, struct ps_device *device,
                              struct ps_error *err)
{
    const char *value;
    enum ps_code rc = PS_OK;
    if ((value = value_after(part, "job")) != NULL) { return read_job(part, value, device, err); }
    if ((value = value_after(part, "device")) != NULL) {
        return read_device(part, value, device, err);
    }
    if (is_legacy(part)) { return read_device(part, part->text, device, err); }
    if ((value = value_after(part, "replica")) != NULL) {
        rc = read_number(part, value, &device->has_replica, &device->replica);
    } else if ((value = value_after(part, "task")) != NULL) {
        rc = read_number(part, value, &device->has_task, &device->task);
    } else {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "Unknown attribute: '%.*s' in '%s'; expected /job:NAME, /replica:N, "
                       "/task:N, /device:TYPE:N or /cpu:N",
                       (int)part->size, part->text, part->whole);
    }
    return rc == PS_OK ? PS_OK : fail_value(part, "a number from 0 up, or *", err);
}

enum ps_code ps_device_parse(const char *text, struct ps_device *device_out, struct ps_error *err)
{
    struct ps_device device = { 0 };
    *device_out = device;
    if (text[0] != '\0' && text[0] != '/') {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "device '%s' does not start with '/'; expected a name such as "
                       "/job:ps/task:7",
                       text);
    }
    for (const char *at = text; *at == '/';) {
        at++;
        struct part part = { .text = at, .size = strcspn(at, "/"), .whole = text };
        at += part.size;
        if (part.size == 0) { continue; }
        enum ps_code rc = read_part(&part, &device, err);
        if (rc != PS_OK) { return rc; }
    }
    *device_out = device;
    return PS_OK;
}

const char *ps_device_format(const struct ps_device *device, char text[PS_DEVICE_TEXT_BYTES])
{
    char *at = text;
    char *end = text + PS_DEVICE_TEXT_BYTES;
    *at = '\0';
    if (device->has_job) { at += snprintf(at, (size_t)(end - at), "/job:%s", device->job); }
    if (device->has_replica) {
        at += snprintf(at, (size_t)(end - at), "/replica:%d", device->replica);
    }
    if (device->has_task) { at += snprintf(at, (size_t)(end - at), "/task:%d", device->task); }
    if (!device->has_type && !device->has_id) { return text; }
    at += snprintf(at, (size_t)(end - at), "/device:%s:", device->has_type ? device->type : "*");
    if (device->has_id) {
        snprintf(at, (size_t)(end - at), "%d", device->id);
    } else {
        snprintf(at, (size_t)(end - at), "*");
    }
    return text;
}

struct ps_device ps_device_merge(const struct ps_device *outer, const struct ps_device *inner)
{
    struct ps_device merged = *outer;
    if (inner->has_job) {
        merged.has_job = true;
        memcpy(merged.job, inner->job, sizeof merged.job);
    }
    if (inner->has_replica) {
        merged.has_replica = true;
        merged.replica = inner->replica;
    }
    if (inner->has_task) {
        merged.has_task = true;
        merged.task = inner->task;
    }
    if (inner->has_type) {
        merged.has_type = true;
        memcpy(merged.type, inner->type, sizeof merged.type);
    }
    if (inner->has_id) {
        merged.has_id = true;
        merged.id = inner->id;
    }
    return merged;
}

static bool number_matches(bool wanted, int number, bool has, int has_number)
{
    return !wanted || (has && number == has_number);
}

static bool text_matches(bool wanted, const char *text, bool has, const char *has_text)
{
    return !wanted || (has && strcmp(text, has_text) == 0);
}

bool ps_device_matches(const struct ps_device *pattern, const struct ps_device *device)
{
    return text_matches(pattern->has_job, pattern->job, device->has_job, device->job) &&
           number_matches(pattern->has_replica, pattern->replica, device->has_replica,
                          device->replica) &&
           number_matches(pattern->has_task, pattern->task, device->has_task, device->task) &&
           text_matches(pattern->has_type, pattern->type, device->has_type, device->type) &&
           number_matches(pattern->has_id, pattern->id, device->has_id, device->id);
}
