/* What becomes of the pushes that a dead incarnation left open. Pure. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/resolution.h"

#include <stdbool.h>

static const struct ps_open_push *find_open(const struct ps_survey *survey, uint64_t seq)
{
    for (size_t i = 0; i < survey->open_count; i++) {
        if (survey->open[i].seq == seq) { return &survey->open[i]; }
    }
    return NULL;
}

/* Whether a task has the push staged, or has committed it before. */
static bool holds(const struct ps_survey *survey, uint64_t seq)
{
    const struct ps_open_push *open = find_open(survey, seq);
    return survey->committed >= seq || (open != NULL && open->complete);
}

static bool is_burnt_anywhere(const struct ps_survey *surveys, uint32_t task_count, uint64_t seq)
{
    for (uint32_t task = 0; task < task_count; task++) {
        const struct ps_open_push *open = find_open(&surveys[task], seq);
        if (open != NULL && open->burnt) { return true; }
    }
    return false;
}

/* Whether every task that the push touched holds it; false if nobody knows the push. */
static bool is_staged_everywhere(const struct ps_survey *surveys, uint32_t task_count, uint64_t seq)
{
    for (uint32_t task = 0; task < task_count; task++) {
        const struct ps_open_push *open = find_open(&surveys[task], seq);
        if (open == NULL) { continue; }
        for (size_t i = 0; i < open->touched_count; i++) {
            uint32_t touched = open->touched[i];
            if (touched >= task_count || !holds(&surveys[touched], seq)) { return false; }
        }
        return true;
    }
    return false;
}

struct ps_resolution ps_resolve(const struct ps_survey *surveys, uint32_t task_count)
{
    struct ps_resolution resolution = { .commit_through = 0, .burnt_count = 0 };
    uint64_t lowest = UINT64_MAX;
    for (uint32_t task = 0; task < task_count; task++) {
        uint64_t committed = surveys[task].committed;
        if (committed > resolution.commit_through) { resolution.commit_through = committed; }
        if (committed < lowest) { lowest = committed; }
    }
    for (uint64_t seq = lowest + 1;; seq++) {
        bool committed = seq <= resolution.commit_through;
        bool burnt = is_burnt_anywhere(surveys, task_count, seq);
        if (!committed && !burnt && !is_staged_everywhere(surveys, task_count, seq)) { break; }
        if (burnt) {
            if (resolution.burnt_count == PS_MAX_OPEN_PUSHES) { break; }
            resolution.burnt[resolution.burnt_count++] = seq;
        }
        if (!committed) { resolution.commit_through = seq; }
    }
    return resolution;
}
