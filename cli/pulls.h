/* pulls: how the pulls of each table of a source are: the newest run, what is wrong with it, when the next one is due.
 *
 * A run stands in state.db as running, completed, failed, limited (it goes on by itself or when started again), paused or
 * cancelled (stopped, resumable or not). What stands there as running may not be: nobody holds the source's lock when the process
 * that pulled was killed, and one whose provider does not answer gets no pages.
 * Threads: as the instance. */
#pragma once
#include "cli/instance.h"

#define PULL_STUCK_US (UINT64_C(300) * 1000000) /* without a page, and not told to wait, it is stuck */

struct table_pull {
    const struct source_config *source;
    const struct table_rule *table; /* &manifest_events_table: the provider's feed */
    bool ordered, paused;           /* a pull is ordered; an operator paused the table */
    char status[16];                /* "": never pulled */
    bool interrupted, stuck;        /* while status is running */
    uint64_t started_us, finished_us, page_us, wait_until_us, pages, rows;
    uint64_t watermark_us;          /* 0: none */
    uint64_t every_us, next_us;     /* 0: not scheduled; next_us also 0 while no server runs */
    char waiting[64], cause[16], error[640];
};
/* Each table in use that has a list API, the feed last; `table` NULL: all. */
bool pulls_each(struct instance *in, const struct source_config *s, const struct table_rule *table,
                bool (*each)(void *ctx, const struct table_pull *p), void *ctx, struct err *err);
/* What is wrong with it, and what helps; false: nothing is. *ret_bad: somebody has to act, it does not go on by itself. */
bool pull_finding(const struct instance *in, const struct table_pull *p, bool *ret_bad, char *ret_cause, size_t cause_n,
                  char *ret_next, size_t next_n);
