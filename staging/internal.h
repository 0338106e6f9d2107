/* internal: the stager's own state, shared by its files. Private to staging. */
#pragma once
#include "core/pulse.h"
#include "staging/cut.h"
#include "staging/following.h"
#include "staging/ledger.h"
#include "staging/stager.h"
#include <pthread.h>
#include <stdatomic.h>

struct lane_work {
    struct lane *lane;
    const char *name;
    struct reader *reader; /* NULL: position not loaded yet */
    struct cut *cut;
    uint64_t next;         /* the committed position */
    uint64_t at;           /* the lowest sequence that was not read yet */
    bool repeat;           /* a recorded range is being repeated: first..last */
    uint64_t first, last;
    uint64_t opened_us;    /* monotonic: when the cut got its first entry */
    uint64_t retry_us;     /* monotonic: not before, after a failure */
    unsigned failures;     /* in a row */
    atomic_bool cut_now;
    uint64_t archived;     /* the lowest sequence that is not archived; 0: not loaded */
};

/* What may not get on, by itself: the lanes by their numbers, and what works behind them. */
enum { TROUBLE_ARCHIVE = LANE_COUNT, TROUBLE_COMPACT, TROUBLES };

struct stager {
    struct stager_opts o;
    struct state state;
    struct following following;
    const struct config *adopted; /* o.config, held; NULL: the one it was made with */
    struct staged_source unknown;
    struct lane_work lanes[LANE_COUNT];
    bool hurries; /* works as other threads do */
    uint64_t compact_us;  /* monotonic: when it is looked for objects to join */
    bool joins_whole;     /* no crash left one half done */
    uint64_t archive_us;  /* monotonic: not before, after a failure */
    atomic_bool busy; /* much is waiting */
    uint64_t cleaned_us, looked_us; /* monotonic: when it was cleaned, and looked at whether it is nearly full */
    pthread_mutex_t work; /* everything above: a step, a drain, a retry */
    atomic_bool stop;
    struct pulse pulse;
    uint64_t beats_seen; /* of who asks whether it moves */
    pthread_mutex_t lock; /* trouble; taken alone or within `work` */
    struct err trouble[TROUBLES];
    uint64_t trouble_us[TROUBLES];
};

/* NULL: no such source in the configuration. */
const struct staged_source *stager_source(struct stager *s, struct span name);
/* Seals, records, publishes. Takes what is in the cut; on failure the caller clears it. */
bool stager_store_cut(struct stager *s, struct cut *c, uint64_t first, uint64_t last, struct err *err);
uint64_t stager_now(const struct stager *s);
