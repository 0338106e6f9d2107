/* webhooks: the endpoints of a source at its provider, by the calls that its manifest describes.
 *
 * A session keeps the connection, the credential and the pace of one source. Every call returns false with *err that says what
 * the provider answered and what to do. No message holds a secret of the configuration.
 * Nothing that changes something is sent twice: after a broken connection whoever asked lists first.
 * Threads: a session belongs to one thread; `stop` from any. Life: webhooks_open -> calls -> webhooks_close. */
#pragma once
#include "config/config.h"
#include "core/io.h"
#include <stdatomic.h>

struct webhooks;
struct webhooks_opts {
    const struct source_config *source;
    const struct io *io;
    const atomic_bool *stop; /* may be NULL */
    uint64_t backoff_us_base; /* 0: 500 ms */
};
/* ERR_CONFIG where the provider has no calls. */
bool webhooks_open(const struct webhooks_opts *o, struct webhooks **ret, struct err *err);
void webhooks_close(struct webhooks **w);

struct names { /* sorted, each once; owned */
    char **list;
    size_t n;
};
void names_put(struct names *n, struct span name);
void names_release(struct names *n);
bool names_equal(const struct names *a, const struct names *b);
bool names_have(const struct names *n, const char *name);
/* The events that the tables in use need; empty: the provider sends what it sends. */
void webhooks_wanted(const struct source_config *s, struct names *ret);

struct endpoint { /* owned */
    char *id, *url, *version, *error, *last; /* "" where the provider does not tell */
    struct names types;
    bool knows_types, enabled;
};
struct endpoints {
    struct endpoint *list;
    size_t n;
};
void endpoints_free(struct endpoints *e);
bool webhooks_list(struct webhooks *w, struct endpoints *ret, struct err *err);

struct endpoint_wish {
    const char *id;  /* NULL: a new one */
    const char *url;
    const struct names *types;
    struct span secret; /* what is chosen; p NULL: nothing */
};
/* *ret_id and *ret_secret (cleared; wiped by the caller): what the provider told, empty where it tells nothing. */
bool webhooks_create(struct webhooks *w, const struct endpoint_wish *wish, struct buf *ret_id, struct buf *ret_secret,
                     struct err *err);
bool webhooks_update(struct webhooks *w, const struct endpoint_wish *wish, struct err *err);
/* What some providers want after a create, and for an endpoint that was disabled; nothing where there is no such call. */
bool webhooks_confirm(struct webhooks *w, const char *id, struct err *err);
bool webhooks_enable(struct webhooks *w, const char *id, struct err *err);
bool webhooks_remove(struct webhooks *w, const char *id, struct err *err); /* one that is gone is removed */
bool webhooks_reveal(struct webhooks *w, const char *id, struct buf *ret_secret, struct err *err);
/* The provider's own call for another secret: the one of the wish, or one that the provider makes. */
bool webhooks_roll(struct webhooks *w, const struct endpoint_wish *wish, struct buf *ret_secret, struct err *err);

struct last_delivery {
    bool known, ok;
    char at[64], error[256];
};
bool webhooks_last_delivery(struct webhooks *w, const char *id, struct last_delivery *ret, struct err *err);

/* What the manifest pins endpoints to, into out; nothing where it pins nothing. */
bool webhooks_version(struct webhooks *w, struct buf *out, struct err *err);
/* What a person does at this provider, line by line, with the address and the events. */
void webhooks_clicks(const struct source_config *s, const char *url, const struct names *types, struct buf *out);
/* A secret that this provider's schemes can use: 32 random bytes. */
bool webhooks_choose_secret(const struct manifest *m, const struct io *io, struct buf *ret, struct err *err);
