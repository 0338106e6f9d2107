/* lookout_internal: what the files of the lookout share. Private to cli/lookout*.c.
 * Threads: the lookout's own, but for what its lock guards. */
#pragma once
#include "alarms/ledger.h"
#include "alarms/post.h"
#include "alarms/rhythm.h"
#include "alarms/share.h"
#include "cli/lookout.h"
#include "core/log.h"
#include "server/server.h"
#include <pthread.h>

#define SECOND UINT64_C(1000000)

struct watched { /* a source */
    char *name;
    struct rhythm rhythm;
    struct share share;
    uint64_t good, bad, sent, unavailable; /* the counters at the last look; sent: see lookout.c */
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
struct lookout {
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
    struct state kept; /* between looks: to open it each second would write its log each second */
    bool keeps;
    uint64_t now_us;
    bool slow;
};

/* lookout.c */
struct watched *lookout_find(struct lookout *w, const char *source);
bool lookout_remember(struct lookout *w, const struct watched *s, struct err *err);
/* Orders a pull of the provider's log, where the configuration and the provider have it; _again: not so soon after the last. */
bool lookout_catch_up(struct lookout *w, struct watched *of, const char *why, struct err *err);
bool lookout_catch_up_again(struct lookout *w, struct watched *of, const char *why, struct err *err);

/* lookout_alarms.c: what stands. */
bool lookout_load_standing(struct lookout *w, struct err *err);
bool lookout_raise(struct lookout *w, enum alarm_kind kind, const char *source, const char *subject, const char *cause,
                 const char *next, struct err *err);
bool lookout_stands(struct lookout *w, enum alarm_kind kind, const char *source, const char *subject);
bool lookout_sweep(struct lookout *w, struct err *err); /* clears what was not raised again since the last */
void lookout_standing_free(struct lookout *w);

/* lookout_judge.c: what is so. */
bool judge_rhythm(struct lookout *w, const struct source_config *s, struct watched *of, struct err *err);
bool judge_registration(struct lookout *w, struct watched *of, struct err *err);
bool judge_secrets(struct lookout *w, const struct source_config *s, struct err *err);
bool judge_unshipped(struct lookout *w, struct err *err);

/* lookout_post.c */
bool lookout_post(struct lookout *w, struct err *err);
