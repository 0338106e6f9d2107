/* status: one source's health in a word, with its causes and the next step for each. Threads: as the instance. */
#pragma once
#include "cli/books.h"
#include "cli/instance.h"
#include "cli/lookout.h"
#include "server/server.h"

enum health { HEALTH_HEALTHY, HEALTH_DEGRADED, HEALTH_FAILING };
const char *health_name(enum health h);
bool outcome_is_rejection(enum outcome o); /* what the books call rejected */

#define NEXT_MAX 320
struct finding {
    bool bad;       /* failing, else degraded */
    char text[640]; /* the cause */
    char next[NEXT_MAX]; /* the command that helps, or empty */
};
#define FINDINGS_MAX 16
struct source_status {
    const struct source_config *source;
    enum health health;
    bool live; /* a server runs: counts are since it started */
    struct source_counts counts;
    uint64_t rows, rows_day, dead, missed; /* rows_day: staged in the last 24 hours */
    uint64_t runs, last_run_us;            /* runs: tables that were ever pulled */
    uint64_t next_run_us;                  /* 0: none is scheduled, or no server runs */
    bool running;
    uint64_t checked_us; /* when the endpoint was last checked at the provider; 0: never */
    bool drift, broken;  /* it is not as registered; nothing is delivered */
    struct lookout_source watched; /* all 0: no server runs */
    uint64_t oldest_waiting_us; /* receive time of the oldest entry that waits to be staged, 0: none */
    struct finding findings[FINDINGS_MAX];
    size_t n_findings;
};
/* Without what has to read the journal's backlog for it: what waits, and the books. As cheap as the tables are few. */
bool status_look(struct instance *in, const struct source_config *s, struct source_status *ret, struct err *err);
bool status_read(struct instance *in, const struct source_config *s, const struct source_books *books,
                 struct source_status *ret, struct err *err);
