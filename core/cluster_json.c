/* Reads ClusterSpec and TF_CONFIG with jansson; every complaint names the source and the place. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cluster_json_priv.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"

/* Where a value stands, for messages: "TF_CONFIG: cluster.ps". */
struct place {
    const char *source;
    const char *parent; /* "cluster." or "" */
    const char *key;
};

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "a list";
    case JSON_STRING: return "a string";
    case JSON_INTEGER:
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    case JSON_NULL: break;
    }
    return "null";
}

static enum ps_code fail_type(const struct place *place, const char *expected, const json_t *value,
                              struct ps_error *err)
{
    return ps_fail(err, PS_INVALID_ARGUMENT, "%s: '%s%s' must be %s, not %s", place->source,
                   place->parent, place->key, expected, type_name(value));
}

int psi_cluster_json_index(const char *text)
{
    int index = 0;
    if (*text == '\0') { return -1; }
    for (; *text != '\0'; text++) {
        if (!isdigit((unsigned char)*text)) { return -1; }
        index = index * 10 + (*text - '0');
        if (index > PS_MAX_TASK_INDEX) { return -1; }
    }
    return index;
}

/* Parses text to an object; json_decref when done. */
static enum ps_code parse_object(const char *text, const char *source, json_t **root_out,
                                 struct ps_error *err)
{
    json_error_t error = { 0 };
    *root_out = NULL;
    size_t size = strlen(text);
    if (size > PS_CLUSTER_JSON_BYTES) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "%s: %zu bytes are too many for a description of a cluster; at most %d",
                       source, size, PS_CLUSTER_JSON_BYTES);
    }
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    /* Every mistake in a text has a message; without memory to start with there is none. */
    bool no_memory = error.text[0] == '\0' || json_error_code(&error) == json_error_out_of_memory;
    if (root == NULL && no_memory) {
        return ps_fail(err, PS_RESOURCE_EXHAUSTED, "%s: no memory to read it", source);
    }
    if (root == NULL) {
        return ps_fail(err, PS_INVALID_ARGUMENT, "%s: line %d, column %d: %s", source, error.line,
                       error.column, error.text);
    }
    if (!json_is_object(root)) {
        enum ps_code rc = ps_fail(err, PS_INVALID_ARGUMENT, "%s: expected an object {...}, not %s",
                                  source, type_name(root));
        json_decref(root);
        return rc;
    }
    *root_out = root;
    return PS_OK;
}

static enum ps_code add_task(const struct place *place, struct ps_cluster *cluster, int index,
                             const json_t *address, struct ps_error *err)
{
    if (!json_is_string(address)) {
        return fail_type(place, "made of \"host:port\" strings", address, err);
    }
    enum ps_code rc = ps_cluster_add(cluster, place->key, index, json_string_value(address), err);
    if (rc != PS_OK) { ps_wrap(err, "%s", place->source); }
    return rc;
}

static enum ps_code add_list(const struct place *place, struct ps_cluster *cluster, int first_index,
                             const json_t *list, struct ps_error *err)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        enum ps_code rc = add_task(place, cluster, first_index + (int)i, json_array_get(list, i),
                                   err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

static enum ps_code add_map(const struct place *place, struct ps_cluster *cluster, json_t *map,
                            struct ps_error *err)
{
    const char *key;
    json_t *address;
    json_object_foreach(map, key, address)
    {
        int index = psi_cluster_json_index(key);
        if (index < 0) {
            return ps_fail(err, PS_INVALID_ARGUMENT,
                           "%s: '%s%s' has the key '%s'; expected a task index from 0 to %d",
                           place->source, place->parent, place->key, key, PS_MAX_TASK_INDEX);
        }
        enum ps_code rc = add_task(place, cluster, index, address, err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

static enum ps_code add_job(const struct place *place, struct ps_cluster *cluster, int first_index,
                            json_t *tasks, struct ps_error *err)
{
    if (strcmp(place->key, "evaluator") == 0) {
        ps_log(PS_LOG_WARN, "cluster", "%s: evaluators are left out: nobody waits for them",
               place->source);
        return PS_OK;
    }
    if (json_is_null(tasks)) { return PS_OK; } /* Go's way of writing an empty list */
    if (json_is_array(tasks)) { return add_list(place, cluster, first_index, tasks, err); }
    if (json_is_object(tasks)) { return add_map(place, cluster, tasks, err); }
    return fail_type(place, "a list of \"host:port\" or an object of \"index\": \"host:port\"",
                     tasks, err);
}

static enum ps_code add_spec(const struct place *at, struct ps_cluster *cluster, json_t *spec,
                             const struct psi_tf_task *own, struct ps_error *err)
{
    const char *job;
    json_t *tasks;
    json_object_foreach(spec, job, tasks)
    {
        struct place place = { .source = at->source, .parent = at->parent, .key = job };
        /* A sparse description shows a ps only itself, as a list of one: that one is its own. */
        bool lone = own != NULL && strcmp(own->type, "ps") == 0 && strcmp(job, "ps") == 0 &&
                    own->index >= 0 && json_array_size(tasks) == 1;
        enum ps_code rc = add_job(&place, cluster, lone ? own->index : 0, tasks, err);
        if (rc != PS_OK) { return rc; }
    }
    return PS_OK;
}

enum ps_code psi_cluster_json_spec(const char *text, const char *source, struct ps_cluster *cluster,
                                   struct ps_error *err)
{
    json_t *root;
    enum ps_code rc = parse_object(text, source, &root, err);
    if (rc != PS_OK) { return rc; }
    struct place place = { .source = source, .parent = "", .key = "" };
    rc = add_spec(&place, cluster, root, NULL, err);
    json_decref(root);
    return rc;
}

static enum ps_code read_index(const struct place *place, const json_t *value, int *index_out,
                               struct ps_error *err)
{
    if (value == NULL || json_is_null(value)) { return PS_OK; }
    bool in_range = json_is_integer(value) && json_integer_value(value) >= 0 &&
                    json_integer_value(value) <= PS_MAX_TASK_INDEX;
    if (in_range) { *index_out = (int)json_integer_value(value); }
    if (json_is_string(value)) { *index_out = psi_cluster_json_index(json_string_value(value)); }
    if (*index_out >= 0) { return PS_OK; }
    return ps_fail(err, PS_INVALID_ARGUMENT,
                   "%s: '%s%s' must be a task index from 0 to %d, as a number or a string",
                   place->source, place->parent, place->key, PS_MAX_TASK_INDEX);
}

static enum ps_code read_task(json_t *task, struct psi_tf_task *task_out, struct ps_error *err)
{
    struct place place = { .source = "TF_CONFIG", .parent = "", .key = "task" };
    if (task == NULL || json_is_null(task)) { return PS_OK; }
    if (!json_is_object(task)) { return fail_type(&place, "an object", task, err); }

    place = (struct place){ .source = "TF_CONFIG", .parent = "task.", .key = "type" };
    const json_t *type = json_object_get(task, "type");
    if (type == NULL || json_is_null(type)) { return PS_OK; } /* no type: no role */
    if (!json_is_string(type)) { return fail_type(&place, "a string", type, err); }
    const char *name = json_string_value(type);
    if (name[0] != '\0' && !ps_device_job_name_is_valid(name)) {
        return ps_fail(err, PS_INVALID_ARGUMENT,
                       "TF_CONFIG: task.type '%s' is no job name; expected ps, worker, chief, "
                       "master or evaluator",
                       name);
    }
    snprintf(task_out->type, sizeof task_out->type, "%s", name);
    place.key = "index";
    return read_index(&place, json_object_get(task, "index"), &task_out->index, err);
}

static void mention_unknown_keys(json_t *root)
{
    static const char *const known[] = { "cluster", "sparseCluster", "task" };
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        size_t i = 0;
        while (i < sizeof known / sizeof known[0] && strcmp(key, known[i]) != 0) { i++; }
        if (i == sizeof known / sizeof known[0]) {
            ps_log(PS_LOG_DEBUG, "cluster", "TF_CONFIG: '%s' is not used", key);
        }
    }
}

enum ps_code psi_cluster_json_tf_config(const char *text, struct ps_cluster *cluster,
                                        struct psi_tf_task *task_out, struct ps_error *err)
{
    static const char *const spec_keys[] = { "cluster", "sparseCluster" };
    json_t *root = NULL;
    enum ps_code rc;
    *task_out = (struct psi_tf_task){ .type = "", .index = -1 };
    PS_TRY(done, rc, parse_object(text, "TF_CONFIG", &root, err));
    mention_unknown_keys(root);
    PS_TRY(done, rc, read_task(json_object_get(root, "task"), task_out, err));
    for (int sparse = 0; sparse < 2 && cluster->job_count == 0; sparse++) {
        struct place place = { .source = "TF_CONFIG", .parent = "", .key = spec_keys[sparse] };
        json_t *spec = json_object_get(root, spec_keys[sparse]);
        if (spec == NULL || json_is_null(spec)) { continue; }
        if (!json_is_object(spec)) {
            rc = fail_type(&place, "an object of jobs", spec, err);
            goto done;
        }
        place.parent = sparse ? "sparseCluster." : "cluster.";
        PS_TRY(done, rc, add_spec(&place, cluster, spec, sparse ? task_out : NULL, err));
    }
done:
    json_decref(root);
    return rc;
}
