/* internal: what the files of webhooks/ share.
 * session.c  calls and what they say     list.c   what the provider tells of its endpoints
 * body.c     forms and JSON              names.c  event types */
#pragma once
#include "backfill/call_address.h"
#include "backfill/fetch.h"
#include "backfill/hide.h"
#include "webhooks/webhooks.h"

struct webhooks {
    struct backfill_opts opts; /* what the fetcher looks at */
    const struct source_config *source;
    const struct webhook_rule *rule;
    const struct io *io;
    struct scope_pair *pairs;
    size_t n_pairs;
    struct fetcher *fetcher;
    struct fetch_watch watch;
    struct fetched answer;
    struct buf url; /* of the answer, which borrows it; may hold a secret */
};

#define WORDS_MAX 8
struct call_scope { /* what the templates of a call mean */
    struct scope scope;
    struct scope_pair words[WORDS_MAX];
    const struct names *types;
    struct buf joined; /* {types} within a text */
};
/* body.c: a form, or JSON. `flags`: the type switches go in, too. */
bool body_form(const struct manage_call *c, const struct webhook_rule *flags, const struct call_scope *s, struct buf *out,
               struct err *err);
bool body_json(const struct manage_call *c, const struct webhook_rule *flags, struct call_scope *s, struct buf *out,
               struct err *err);

/* session.c: sends it; the answer is in w->answer. `url` NULL: the call's own address; else the next page's. */
bool session_call(struct webhooks *w, const struct manage_call *c, const struct endpoint_wish *wish, const char *url,
                  const char *next, struct err *err);
