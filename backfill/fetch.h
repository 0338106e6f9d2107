/* fetch: one page over HTTP, with the patience that the provider asks for. For backfill/, and for the
 * calls of webhooks/.
 *
 * A fetcher keeps one connection alive, the pace (per_second), what the rate headers said, and the budget of retries.
 * Tries again: 429 and 503 after Retry-After or the reset header, other 5xx and broken connections after a backoff with full
 * jitter, what the manifest's `errors` say to retry. Gives up after TRIES_MAX tries of a page, or when the
 * waits for it are longer than WAIT_US_MAX together.
 * A call that changes something is tried again only where the provider asked for a wait.
 * The API key is in no message. Redirects are followed within the same origin only: a key must not travel to another host.
 * Threads: one. Life: fetcher_new -> fetch_page* -> fetcher_free. */
#pragma once
#include "backfill/backfill.h"

#define PAGE_BODY_MAX ((size_t)64 << 20)
#define TRIES_MAX 8
#define WAIT_US_MAX (UINT64_C(600) * 1000000)

struct fetcher;
struct fetched {
    uint32_t status;
    struct buf body;
    struct buf header_text;              /* what `headers` borrow */
    struct http_header headers[64];
    size_t n_headers;
    struct http_message message;         /* of the answer; borrows the rest */
    struct json json;                    /* the body, once the status is 2xx */
};
enum fetch_end {
    FETCH_OK,
    FETCH_GONE,    /* 404: this parent has no such list any more */
    FETCH_STOPPED, /* the stop flag */
    FETCH_LIMITED, /* the provider wants a longer wait than we give */
    FETCH_FAILED,  /* *err says why and what to do */
};
/* `waiting` is told before each wait (NULL words: it is over). */
struct fetch_watch {
    void *ctx;
    void (*waiting)(void *ctx, const char *words, uint64_t until_us);
    unsigned retries, limits; /* counted here */
    char cause[16];           /* of what ended it: the manifest's word, or network; "" */
};
struct fetcher *fetcher_new(const struct backfill_opts *o, const struct scope *config, struct err *err);
void fetcher_free(struct fetcher **f);
void fetched_init(struct fetched *p);
void fetched_release(struct fetched *p);
/* `scope_of_table`: for {table.scope} in advice. The url is absolute and without credentials. */
enum fetch_end fetch_page(struct fetcher *f, const char *url, const struct table_rule *table, struct fetch_watch *watch,
                          struct fetched *ret, struct err *err);

struct fetch_call { /* anything but a page */
    const char *method;
    struct span headers; /* "Name: value" lines, beside the api's */
    struct span body;    /* p NULL: none */
    const char *scope;   /* the permission that it needs, for {table.scope} */
    const struct error_rule *errors; /* before the api's */
    size_t n_errors;
};
/* An answer of 2xx need not be JSON. watch->cause: what the manifest calls the refusal, "" where there was none. */
enum fetch_end fetch_call(struct fetcher *f, const char *url, const struct fetch_call *call, struct fetch_watch *watch,
                          struct fetched *ret, struct err *err);
