/* Reading a command's flags: argp, with unknown flags and bad values answered helpfully. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/options.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/exit_code.h"
#include "deploy/suggest.h"

/* More than any command has, its children's included. */
enum { MAX_FLAGS = 64 };

struct flag_list {
    const char *names[MAX_FLAGS];
    bool takes_value[MAX_FLAGS];
    size_t count;
};

static void add_flag(struct flag_list *list, const char *name, bool takes_value)
{
    if (list->count == MAX_FLAGS) { return; }
    list->names[list->count] = name;
    list->takes_value[list->count] = takes_value;
    list->count++;
}

static void collect_flags(const struct argp *argp, struct flag_list *list)
{
    for (const struct argp_option *o = argp->options; o != NULL && (o->name || o->key || o->doc);
         o++) {
        if (o->name == NULL) { continue; }
        bool takes_value = o->arg != NULL && (o->flags & OPTION_ARG_OPTIONAL) == 0;
        add_flag(list, o->name, takes_value);
    }
    for (const struct argp_child *c = argp->children; c != NULL && c->argp != NULL; c++) {
        collect_flags(c->argp, list);
    }
}

/* Index of the flag that text (without its dashes, up to '=') names or is the beginning of. */
static int find_flag(const struct flag_list *list, const char *text)
{
    size_t size = strcspn(text, "=");
    int found = -1;
    for (size_t i = 0; i < list->count; i++) {
        if (strncmp(list->names[i], text, size) != 0) { continue; }
        if (list->names[i][size] == '\0') { return (int)i; }
        found = (int)i; /* argp itself refuses a beginning that fits several */
    }
    return found;
}

static void refuse_flag(const struct flag_list *list, const char *command, const char *text)
{
    char word[64];
    snprintf(word, sizeof word, "%.*s", (int)strcspn(text, "="), text);
    const char *nearest = ps_suggest_nearest(word, list->names, list->count);
    fprintf(stderr, "%s: unknown flag '--%s'", command, word);
    if (nearest != NULL) { fprintf(stderr, "; did you mean '--%s'?", nearest); }
    fprintf(stderr, "\nSee all flags: %s --help\n", command);
    if (strcmp(command, "paramd launch") == 0) {
        fprintf(stderr, "Flags of the workers go behind '--': paramd launch -- --%s\n", text);
    }
    exit(PS_EXIT_USAGE);
}

/* argp says "unrecognized option" and no more, so unknown long flags are found before it runs. */
static void check_flags(const struct argp *argp, int argc, char **argv)
{
    struct flag_list list = { .count = 0 };
    collect_flags(argp, &list);
    add_flag(&list, "help", false);
    add_flag(&list, "usage", false);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) { return; }
        if (strncmp(argv[i], "--", 2) != 0) { continue; }
        const char *text = argv[i] + 2;
        int index = find_flag(&list, text);
        if (index < 0) { refuse_flag(&list, argv[0], text); }
        if (list.takes_value[index] && strchr(text, '=') == NULL) { i++; }
    }
}

void ps_options_parse(const struct argp *argp, int argc, char **argv, void *input)
{
    check_flags(argp, argc, argv);
    error_t failed = argp_parse(argp, argc, argv, ARGP_IN_ORDER, NULL, input);
    if (failed != 0) {
        fprintf(stderr, "%s: %s\n", argv[0], strerror(failed));
        exit(failed == ENOMEM ? PS_EXIT_STORAGE : PS_EXIT_USAGE);
    }
}

int64_t ps_options_number(struct argp_state *state, const char *flag, const char *argument,
                          int64_t minimum, int64_t maximum)
{
    char *end;
    errno = 0;
    long long value = strtoll(argument, &end, 10);
    bool bad = end == argument || *end != '\0' || errno != 0;
    if (bad || value < minimum || value > maximum) {
        argp_error(state, "%s: '%s' is not a whole number from %lld to %lld", flag, argument,
                   (long long)minimum, (long long)maximum);
    }
    return value;
}

uint64_t ps_options_bytes(struct argp_state *state, const char *flag, const char *argument)
{
    static const char units[] = "KMGT";
    char *end;
    double value = strtod(argument, &end);
    const char *unit = *end == '\0' ? NULL : strchr(units, *end);
    bool bad = end == argument;
    if (unit != NULL) {
        value = ldexp(value, 10 * (int)(unit - units + 1));
        end++;
    }
    if (*end == 'B') { end++; }
    /* 2^60: no machine has it, and every sum of a few of them fits. */
    if (bad || *end != '\0' || !(value >= 1.0 && value <= 0x1p60)) {
        argp_error(state, "%s: '%s' is no size; expected bytes, as in 1048576, 512M or 1.5G", flag,
                   argument);
    }
    return (uint64_t)value;
}

int64_t ps_options_duration_ms(struct argp_state *state, const char *flag, const char *argument)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = { { "", 1e3 },  { "s", 1e3 },   { "ms", 1 },
                  { "m", 6e4 }, { "min", 6e4 }, { "h", 3.6e6 } };
    char *end;
    double value = strtod(argument, &end);
    double ms = NAN;
    for (size_t i = 0; end != argument && i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].name) == 0) { ms = value * units[i].ms; }
    }
    /* 1e12 ms: 31 years. */
    if (!(ms >= 1.0 && ms <= 1e12)) {
        argp_error(state, "%s: '%s' is no duration; expected seconds, or as in 500ms, 30s, 10m, 2h",
                   flag, argument);
    }
    return (int64_t)ms;
}
