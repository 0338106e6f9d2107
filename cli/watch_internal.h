/* watch_internal: what the files of the watch share. Private to cli/watch*.c.
 * Threads: the watch's own, but for what its lock guards. */
#pragma once
#include "alarms/ledger.h"
#include "alarms/post.h"
#include "alarms/rhythm.h"
#include "alarms/share.h"
#include "cli/watch.h"
#include "core/log.h"
#include "server/server.h"
#include <pthread.h>

#define SECOND UINT64_C(1000000)

struct watched { /* a source */
    char *name;
    struct rhythm rhythm;
    struct share share;
    uint64_t good, bad, sent, unavailable; /* the counters at the last look; sent: see watch.c */
    double per_second;
    uint64_t usual_us, longest_us;
    uint64_t caught_up_us; /* when that was last ordered */
    unsigned tries;        /* of catching up that did not come to its end; 0: nothing is ordered */
    bool silent, unstored; /* unstored: deliveries could not be stored since */
};
struct standing {
    enum alarm_kind kind;
    char *source, *subject, *cause;
    bool marked; /* it is so, at this look */
};
struct watch {
    const struct io *io;
    const struct live *live;
    pthread_t thread;
    bool runs;
    atomic_bool stop;
    pthread_mutex_t lock;
    struct watched **sources; /* guarded by lock, for who asks; the thread alone changes them */
    size_t n_sources;
    struct standing *standing;
    size_t n_standing;
    bool loaded;
    uint64_t slow_us, looked_us, post_us;
    struct poster *poster;
    _Atomic uint64_t taken, failed, given_up;
    /* of the look that runs */
    struct instance *in;
    struct state *state;
    uint64_t now_us;
    bool slow;
};

/* watch.c */
struct watched *watch_find(struct watch *w, const char *source);
bool watch_remember(struct watch *w, const struct watched *s, struct err *err);
/* Orders a pull of the provider's log, where the configuration and the provider have it; _again: not so soon after the last. */
bool watch_catch_up(struct watch *w, struct watched *of, const char *why, struct err *err);
bool watch_catch_up_again(struct watch *w, struct watched *of, const char *why, struct err *err);

/* watch_alarms.c: what stands. */
bool watch_load_standing(struct watch *w, struct err *err);
bool watch_raise(struct watch *w, enum alarm_kind kind, const char *source, const char *subject, const char *cause,
                 const char *next, struct err *err);
bool watch_stands(struct watch *w, enum alarm_kind kind, const char *source, const char *subject);
bool watch_sweep(struct watch *w, struct err *err); /* clears what was not raised again since the last */
void watch_standing_free(struct watch *w);

/* watch_judge.c: what is so. */
bool judge_rhythm(struct watch *w, const struct source_config *s, struct watched *of, struct err *err);
bool judge_registration(struct watch *w, struct watched *of, struct err *err);
bool judge_secrets(struct watch *w, const struct source_config *s, struct err *err);
bool judge_unshipped(struct watch *w, struct err *err);

/* watch_post.c */
bool watch_post(struct watch *w, struct err *err);
