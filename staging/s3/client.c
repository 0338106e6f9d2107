#include "staging/s3/client.h"
#include "core/clock.h"
#include "core/mem.h"
#include "staging/s3/sign_v2.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define TRIES_MAX 5
#define STOP_US (UINT64_C(8) * 1000000)
#define TURNS_MAX 3 /* redirects and regions of one request */

struct s3_client {
    const struct io *io;
    const struct objects_config *o;
    struct s3_pool *pool;
    struct s3_credentials *credentials;
    struct s3_place place;
    char *scheme, *authority, *path; /* of place; authority NULL: Amazon's, by region */
    atomic_ullong stop_us; /* monotonic; 0: not asked to */
    pthread_mutex_t lock; /* region */
    char region[40];
};

struct s3_client *s3_client_new(const struct io *io, const struct objects_config *o, struct err *err)
{
    struct s3_client *c = mem_alloc(sizeof(*c));
    c->io = io;
    c->o = o;
    pthread_mutex_init(&c->lock, NULL);
    (void)snprintf(c->region, sizeof(c->region), "%s", o->region);
    if (!o->endpoint) {
        c->scheme = mem_dup("https");
        c->path = mem_dup("");
    } else if (!s3_endpoint_parse(o->endpoint, &c->scheme, &c->authority, &c->path)) {
        (void)err_set(err, ERR_CONFIG,
                      "staging.objects.endpoint '%s' is no address of a store, such as https://minio.example.com:9000",
                      o->endpoint);
        s3_client_free(&c);
        return NULL;
    }
    c->place = (struct s3_place){.scheme = c->scheme, .path = c->path, .bucket = o->bucket, .prefix = o->prefix,
                                 .virtual_style = o->style == STYLE_VIRTUAL};
    c->pool = s3_pool_new(o->ca_file, &c->stop_us);
    c->credentials = s3_credentials_new(io, o, o->region);
    return c;
}

void s3_client_free(struct s3_client **cp)
{
    struct s3_client *c = *cp;
    if (!c)
        return;
    s3_pool_free(&c->pool);
    s3_credentials_free(&c->credentials);
    pthread_mutex_destroy(&c->lock);
    free(c->scheme);
    free(c->authority);
    free(c->path);
    free(c);
    *cp = NULL;
}

void s3_client_stop(struct s3_client *c)
{
    atomic_store(&c->stop_us, c->io->world->monotonic_us(c->io) + STOP_US);
}

const struct s3_place *s3_client_place(const struct s3_client *c)
{
    return &c->place;
}

/* One request on its way: what its earlier tries have learned. */
struct journey {
    struct s3_client *c;
    const struct s3_request *r;
    char region[40];
    char *elsewhere;  /* a URL that the store sent us to, or NULL */
    unsigned tries, turns;
    bool renew, renewed;
    uint64_t received; /* bytes that `piece` has had */
    char etag[160];    /* of what it had them from */
    bool enough;
};

static bool count_piece(void *ctx, struct span bytes)
{
    struct journey *j = ctx;
    j->received += bytes.n;
    if (j->r->piece(j->r->ctx, bytes))
        return true;
    j->enough = true;
    return false;
}

static void write_url(struct journey *j, struct buf *url)
{
    struct s3_place p = j->c->place;
    char amazon[80];
    if (j->elsewhere) {
        buf_addz(url, j->elsewhere);
        return;
    }
    (void)snprintf(amazon, sizeof(amazon), "s3.%s.amazonaws.com", j->region);
    p.authority = j->c->authority ? j->c->authority : amazon;
    s3_url_write(url, &p, NULL, j->r->key, j->r->params, j->r->n_params);
}

static bool send_once(struct journey *j, struct s3_reply *reply, struct err *err)
{
    const struct s3_request *r = j->r;
    const char *headers[S3_HEADERS_MAX + 5];
    char range[64], match[200], date[CLOCK_TEXT_MAX + 8] = "Date: ";
    size_t n = 0;
    struct buf url = {0}, authorization = {0};
    struct s3_keys keys = {0};
    *reply = (struct s3_reply){0};
    if (!s3_credentials_get(j->c->credentials, j->renew, &keys, err))
        return false;
    j->renew = false;
    for (; n < S3_HEADERS_MAX && r->headers[n]; n++)
        headers[n] = r->headers[n];
    if (j->received) {
        (void)snprintf(range, sizeof(range), "Range: bytes=%llu-", (unsigned long long)j->received);
        headers[n++] = range;
        (void)snprintf(match, sizeof(match), "If-Match: %s", j->etag);
        if (*j->etag)
            headers[n++] = match;
    }
    headers[n] = NULL;
    write_url(j, &url);
    if (j->c->o->v2) {
        clock_http(j->c->io->world->now_us(j->c->io), date + strlen("Date: "));
        struct s3_v2 v2 = {.method = r->method, .date = date + strlen("Date: "), .headers = headers, .place = &j->c->place,
                           .key = r->key, .params = r->params, .n_params = r->n_params};
        s3_v2_header(&authorization, &v2, &keys);
        headers[n++] = date;
        headers[n++] = buf_z(&authorization);
        headers[n] = NULL;
    }
    struct s3_http h = {.method = r->method, .url = buf_z(&url), .headers = headers, .body = r->body,
                        .keys = j->c->o->v2 ? NULL : &keys,
                        .region = j->region,
                        .from = j->received,
                        .piece = r->piece ? count_piece : NULL, .ctx = j};
    bool ok = buf_ok(&url) ? s3_http(j->c->pool, &h, reply, err) : err_set(err, ERR_NOMEM, "out of memory for a URL");
    if (r->piece && *reply->etag)
        (void)snprintf(j->etag, sizeof(j->etag), "%s", reply->etag);
    s3_keys_wipe(&keys);
    buf_release(&url);
    buf_wipe(&authorization);
    return ok;
}

static void learn_region(struct journey *j, const char *region)
{
    struct s3_client *c = j->c;
    (void)snprintf(j->region, sizeof(j->region), "%s", region);
    pthread_mutex_lock(&c->lock);
    (void)snprintf(c->region, sizeof(c->region), "%s", region);
    pthread_mutex_unlock(&c->lock);
}

/* Where the store sends us, as a whole URL; only over TLS where we speak TLS. */
static bool take_location(struct journey *j, const struct s3_reply *reply, const struct s3_error *e)
{
    struct buf url = {0};
    struct span from = span_of(reply->location);
    bool tls = strcmp(j->c->scheme, "https") == 0;
    if (from.n) {
        buf_adds(&url, from);
    } else if (*e->endpoint && !strpbrk(e->endpoint, "/?#@ ")) {
        struct s3_place p = j->c->place;
        size_t bucket = strlen(p.bucket);
        /* It may name the bucket in its host, too. */
        p.virtual_style = strncmp(e->endpoint, p.bucket, bucket) == 0 && e->endpoint[bucket] == '.';
        s3_url_write(&url, &p, e->endpoint, j->r->key, j->r->params, j->r->n_params);
    }
    bool ok = url.n && buf_ok(&url) && (span_starts(buf_span(&url), SPAN_LIT("https://")) ||
                                        (!tls && span_starts(buf_span(&url), SPAN_LIT("http://"))));
    if (ok) {
        free(j->elsewhere);
        j->elsewhere = buf_take(&url, NULL);
    }
    buf_release(&url);
    return ok;
}

enum next { NEXT_GIVE, NEXT_AGAIN, NEXT_WAIT, NEXT_FAIL };

/* What follows an answer. */
static enum next decide(struct journey *j, const struct s3_reply *reply, struct s3_error *e, enum s3_verdict *verdict)
{
    *verdict = s3_judge(reply->status, e);
    const char *region = *e->region ? e->region : reply->region;
    bool other = *region && strcmp(region, j->region) != 0;
    if (*verdict == S3_REGION || (other && (reply->status == 301 || reply->status == 400))) {
        if (!other || j->turns++ >= TURNS_MAX)
            return NEXT_FAIL;
        learn_region(j, region);
        return NEXT_AGAIN;
    }
    switch (*verdict) {
    case S3_DONE:
    case S3_ABSENT:
    case S3_EXISTS:
        return NEXT_GIVE;
    case S3_UNCONDITIONAL:
        return j->r->conditional ? NEXT_GIVE : NEXT_FAIL;
    case S3_RETRY:
        return NEXT_WAIT;
    case S3_REDIRECT:
        return j->turns++ < TURNS_MAX && take_location(j, reply, e) ? NEXT_AGAIN : NEXT_FAIL;
    case S3_REGION:
        return NEXT_FAIL;
    case S3_RENEW:
    case S3_REFUSED:
        break;
    }
    /* Keys that were replaced in their files are told apart from wrong ones by one more look. */
    if (j->renewed || (*verdict != S3_RENEW && reply->status != 403))
        return NEXT_FAIL;
    j->renew = j->renewed = true;
    return NEXT_AGAIN;
}

static bool wait_and_go_on(struct journey *j)
{
    uint64_t random = 0;
    const struct io *io = j->c->io;
    if (++j->tries >= TRIES_MAX || atomic_load(&j->c->stop_us))
        return false;
    (void)io->world->random(io, &random, sizeof(random));
    io->world->sleep_us(io, s3_backoff_us(j->tries, random));
    return true;
}

static const char *what(const struct s3_request *r, char *to, size_t n)
{
    (void)snprintf(to, n, "%s %.200s", r->method, r->key ? r->key : r->n_params ? "the list of the bucket" : "the bucket");
    return to;
}

static bool travel(struct journey *j, struct s3_reply *ret, enum s3_verdict *ret_verdict, struct err *err)
{
    char words[240];
    for (;;) {
        struct s3_error e = {0};
        enum s3_verdict verdict;
        if (!send_once(j, ret, err)) {
            s3_reply_release(ret);
            if (j->enough || (err->cls != ERR_TRANSIENT) || !wait_and_go_on(j))
                return err_prefix(err, "%s", what(j->r, words, sizeof(words)));
            continue;
        }
        if (ret->body.n && !(j->r->piece && ret->status < 300))
            (void)s3_error_read(buf_span(&ret->body), &e);
        enum next next = decide(j, ret, &e, &verdict);
        if (next == NEXT_GIVE) {
            *ret_verdict = verdict;
            return true;
        }
        long status = ret->status;
        s3_reply_release(ret);
        if (next == NEXT_AGAIN || (next == NEXT_WAIT && wait_and_go_on(j)))
            continue;
        return s3_explain(err, status, &e, j->c->place.bucket, j->region, what(j->r, words, sizeof(words)));
    }
}

bool s3_call(struct s3_client *c, const struct s3_request *r, struct s3_reply *ret, enum s3_verdict *ret_verdict,
             unsigned *ret_tries,
             struct err *err)
{
    struct err own;
    struct journey j = {.c = c, .r = r};
    pthread_mutex_lock(&c->lock);
    memcpy(j.region, c->region, sizeof(j.region));
    pthread_mutex_unlock(&c->lock);
    bool ok = travel(&j, ret, ret_verdict, err ? err : &own);
    if (ret_tries)
        *ret_tries = j.tries + 1;
    free(j.elsewhere);
    return ok;
}
