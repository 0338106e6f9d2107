/* managed: a source's endpoint and its secret, brought to where they should be.
 *
 * Each step is written down before the next: state.db knows the endpoints that were registered here and how far a rotation is,
 * the vault holds the secrets. What was stopped goes on when it is run again; what is as it should be is left alone.
 *
 *   rotation   (none) ──▶ added ──▶ moving ──▶ moved ──▶ (none)
 *              added: the new secret verifies here (where the provider makes it: there is none yet)
 *              moving: the provider is being told; moved: it was told, both secrets verify
 *   The old secret is retired when the grace is over, or when it was unused for so long and the new one was used.
 *
 * Threads: one a value. */
#pragma once
#include "staging/state.h"
#include "webhooks/vault.h"
#include "webhooks/webhooks.h"

/* What a running server does for us; all NULL where there is none. */
struct door_hooks {
    void *ctx;
    void (*look)(void *ctx);                                            /* at the secrets' files, now */
    bool (*take)(void *ctx, struct span secret, struct err *err);       /* verifies from now on */
    bool (*drop)(void *ctx, const char *id, struct err *err);           /* verifies no more */
    void (*expect)(void *ctx, uint64_t until_us);                       /* what no secret fits is told 503 until then */
    bool (*settle)(void *ctx, const struct settlement *by, struct err *err); /* which of those that handshakes brought */
    bool (*used)(void *ctx, const char *id, uint64_t *ret_last_used_us); /* false: it is not held */
};
struct managed {
    const struct config *config;
    const struct source_config *source;
    const struct io *io;
    const atomic_bool *stop;
    struct state *state;
    struct door_hooks door;
    struct webhooks *api; /* NULL: the provider has none */
    struct vault *vault;  /* NULL: the secret is none of ours */
    const char *url;      /* where the provider posts to; NULL: what is registered stays */
    void (*say)(void *ctx, const char *line); /* what was done, line by line; never a secret */
    void *say_ctx;
};
/* Opens `api` and `vault`; the rest is the caller's. */
bool managed_open(struct managed *m, struct err *err);
void managed_close(struct managed *m);

struct found { /* what the provider has of ours */
    struct endpoints all;
    struct endpoint **ours; /* borrows `all` */
    size_t n;
    char *registered_url; /* what was registered last, or "" */
    bool gone;            /* one that was registered here is not there any more */
};
bool managed_find(struct managed *m, struct found *ret, struct err *err);
void found_free(struct found *f);

/* Makes the provider have the endpoint with this url and the wanted events, enabled, and its secret stored. */
bool managed_register(struct managed *m, bool *ret_changed, struct err *err);
/* Removes all of ours. */
bool managed_unregister(struct managed *m, size_t *ret_n, struct err *err);

struct rotate_opts {
    uint64_t grace_us, unused_us;
    struct span given; /* the new secret, by a person; p NULL: none */
    struct span clicks; /* what to tell a person */
};
enum rotate_end { ROTATION_DONE, ROTATION_WAITS, ROTATION_NEEDS_PERSON, ROTATION_FAILED };
/* One step; ROTATION_WAITS: call again in a second, or another day. `wait` says for what. */
enum rotate_end managed_rotate(struct managed *m, const struct rotate_opts *o, struct buf *wait, struct err *err);

/* managed_say("…", …): a line to whoever asked. */
void managed_say(struct managed *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Stores a secret and lets the running server take it up. `id` takes its id. */
bool managed_store(struct managed *m, enum vault_place place, struct span secret, char id[SECRET_ID_MAX], struct err *err);
