/* internal: the merger from the inside: pass.c does the work of one pass, merger.c follows. Private to merge. */
#pragma once
#include "merge/lock.h"
#include "merge/merge.h"
#include "staging/controls.h"
#include "staging/state.h"
#include <pthread.h>
#include <stdatomic.h>

struct merger {
    const struct config *config;
    const struct config *adopted; /* the same, held; NULL: the one it was made with */
    struct store *store;
    const struct io *io;
    const char *data_dir;
    struct target *target;
    struct target_lock lock;
    atomic_bool stop;
    bool (*gives_way)(void *ctx); /* NULL: never */
    void *gives_way_ctx;
    struct state orders;        /* where operators' orders stand (staging/controls.h); opened when first looked at */
    bool orders_open;
    /* one pass */
    struct buf keys;            /* objects to merge, NUL-terminated texts */
    struct buf bad;             /* objects that failed in this pass, the same */
    size_t n_keys, n_bad;
    bool recent;                /* look at the newest folders only */
    uint64_t held, held_before; /* the paused tables of this pass and of the one before, as a sum of hashes */
    uint64_t listing_us;        /* time spent on listing */
    struct state state;         /* from the first settling on: opening it costs a sync */
    bool unsettled;             /* objects were merged since the books were settled, or may have been before the start */
    uint64_t settled_us;        /* when that was tried last, monotonic */
    struct err first;           /* the first failure of an object */
    /* between threads, under `mutex` */
    pthread_mutex_t mutex;
    pthread_cond_t changed;     /* on the monotonic clock */
    bool woken;
    const struct config *next;  /* held: from the next pass on; NULL: none */
    char words[720];
    uint64_t since_us;          /* 0: healthy */
};
