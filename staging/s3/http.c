#include "staging/s3/http.h"
#include "core/codec.h"
#include "core/mem.h"
#include "core/pulse.h"
#include "staging/s3/credentials.h"
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define IDLE_MAX 4
#define CONNECT_S 10L
#define STILL_S 30L
#define FETCH_S 20L

struct s3_pool {
    char *ca_file;
    const atomic_ullong *until;
    pthread_mutex_t lock; /* idle */
    CURL *idle[IDLE_MAX];
    size_t n_idle;
};

struct s3_pool *s3_pool_new(const char *ca_file, const atomic_ullong *until)
{
    struct s3_pool *p = mem_alloc(sizeof(*p));
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    *p = (struct s3_pool){.ca_file = mem_dup(ca_file), .until = until};
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

void s3_pool_free(struct s3_pool **pp)
{
    struct s3_pool *p = *pp;
    if (!p)
        return;
    for (size_t i = 0; i < p->n_idle; i++)
        curl_easy_cleanup(p->idle[i]);
    pthread_mutex_destroy(&p->lock);
    free(p->ca_file);
    free(p);
    *pp = NULL;
}

static CURL *take_handle(struct s3_pool *p)
{
    CURL *curl = NULL;
    pthread_mutex_lock(&p->lock);
    if (p->n_idle)
        curl = p->idle[--p->n_idle];
    pthread_mutex_unlock(&p->lock);
    return curl ? curl : curl_easy_init();
}

/* A handle keeps its connections and forgets the rest, keys among it. */
static void give_handle(struct s3_pool *p, CURL *curl)
{
    curl_easy_reset(curl);
    pthread_mutex_lock(&p->lock);
    bool kept = p->n_idle < IDLE_MAX;
    if (kept)
        p->idle[p->n_idle++] = curl;
    pthread_mutex_unlock(&p->lock);
    if (!kept)
        curl_easy_cleanup(curl);
}

void s3_reply_release(struct s3_reply *r)
{
    buf_release(&r->body);
    *r = (struct s3_reply){0};
}

struct transfer {
    CURL *curl;
    const struct s3_http *h;
    struct s3_reply *reply;
    const atomic_ullong *until;
    struct span left; /* of the body to be sent */
    uint64_t skip;    /* bytes that the reader had from an earlier try */
};

static void keep_value(char *to, size_t n, struct span value)
{
    size_t k = value.n < n - 1 ? value.n : 0; /* half of one would be another one */
    memcpy(to, value.p, k);
    to[k] = '\0';
}

static size_t take_header(char *p, size_t size, size_t n, void *ctx)
{
    struct s3_reply *r = ((struct transfer *)ctx)->reply;
    struct span value, line = {p, size * n};
    while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
        line.n--;
    if (span_starts(line, SPAN_LIT("HTTP/"))) { /* an interim answer may have come before */
        r->etag[0] = r->location[0] = r->region[0] = '\0';
        r->length = UINT64_MAX;
        return size * n;
    }
    struct span name = span_cut(line, ':', &value);
    value = span_trim(value);
    if (!value.p)
        return size * n;
    if (span_ieq(name, SPAN_LIT("etag")))
        keep_value(r->etag, sizeof(r->etag), value);
    else if (span_ieq(name, SPAN_LIT("location")))
        keep_value(r->location, sizeof(r->location), value);
    else if (span_ieq(name, SPAN_LIT("x-amz-bucket-region")))
        keep_value(r->region, sizeof(r->region), value);
    return size * n;
}

static size_t take_body(char *p, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    long status = 0;
    (void)curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    if (t->h->piece && (status == 200 || status == 206)) {
        size_t had = status == 200 && t->skip < size * n ? (size_t)t->skip : status == 200 ? size * n : 0;
        t->skip -= had;
        if (had == size * n || t->h->piece(t->h->ctx, (struct span){p + had, size * n - had}))
            return size * n;
        t->reply->stopped = true;
        return 0;
    }
    buf_add(&t->reply->body, p, size * n);
    return buf_ok(&t->reply->body) ? size * n : 0;
}

static size_t give_body(char *p, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    size_t k = size * n < t->left.n ? size * n : t->left.n;
    memcpy(p, t->left.p, k);
    t->left = span_skip(t->left, k);
    return k;
}

static int rewind_body(void *ctx, curl_off_t offset, int origin)
{
    struct transfer *t = ctx;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > t->h->body.n)
        return CURL_SEEKFUNC_FAIL;
    t->left = span_skip(t->h->body, (size_t)offset);
    return CURL_SEEKFUNC_OK;
}

static bool past(unsigned long long until_us)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return until_us && (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000 >= until_us;
}

static int look_at_stop(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct transfer *t = ctx;
    (void)a, (void)b, (void)c, (void)d;
    pulse_beat(); /* curl has time limits of its own */
    return t->until && past(atomic_load(t->until));
}

static void set_basics(CURL *curl, struct transfer *t, const char *ca_file, char *words)
{
    curl_easy_setopt(curl, CURLOPT_URL, t->h->url);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, words);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 100L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, STILL_S);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_at_stop);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    if (ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
}

static void set_method(CURL *curl, struct transfer *t)
{
    const struct s3_http *h = t->h;
    if (strcmp(h->method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (strcmp(h->method, "PUT") == 0) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)h->body.n);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_body);
        curl_easy_setopt(curl, CURLOPT_READDATA, t);
        curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, rewind_body);
        curl_easy_setopt(curl, CURLOPT_SEEKDATA, t);
    } else if (strcmp(h->method, "POST") == 0) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)h->body.n);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, h->body.n ? h->body.p : "");
    } else if (strcmp(h->method, "GET") != 0) {
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, h->method);
    }
}

static struct curl_slist *headers_of(const struct s3_http *h)
{
    struct curl_slist *list = NULL;
    struct buf line = {0};
    unsigned char hash[32];
    list = curl_slist_append(list, "Expect:"); /* its round trip costs more than a refused part */
    for (size_t i = 0; h->headers && h->headers[i]; i++)
        list = curl_slist_append(list, h->headers[i]);
    if (h->keys) {
        sha256(h->body, hash);
        buf_addz(&line, "x-amz-content-sha256: ");
        hex_encode(&line, (struct span){(const char *)hash, sizeof(hash)});
        list = curl_slist_append(list, buf_z(&line));
        if (h->keys->token) {
            buf_clear(&line);
            buf_addf(&line, "x-amz-security-token: %s", h->keys->token);
            list = curl_slist_append(list, buf_z(&line));
        }
    }
    buf_wipe(&line);
    return list;
}

static void set_signature(CURL *curl, const struct s3_http *h)
{
    char scope[80];
    if (!h->keys)
        return;
    (void)snprintf(scope, sizeof(scope), "aws:amz:%s:s3", h->region);
    curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, scope);
    curl_easy_setopt(curl, CURLOPT_USERNAME, h->keys->access);
    curl_easy_setopt(curl, CURLOPT_PASSWORD, h->keys->secret);
}

static bool no_answer(CURLcode rc, const char *words, struct err *err)
{
    const char *why = *words ? words : curl_easy_strerror(rc);
    switch (rc) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_URL_MALFORMAT:
        return err_set(err, ERR_CONFIG, "%s", why);
    case CURLE_OUT_OF_MEMORY:
        return err_set(err, ERR_NOMEM, "out of memory for a request");
    case CURLE_ABORTED_BY_CALLBACK:
        return err_set(err, ERR_STOPPED, "asked to stop");
    default:
        return err_set(err, ERR_TRANSIENT, "%s", why);
    }
}

static bool perform(CURL *curl, const struct s3_http *h, const char *ca_file, const atomic_ullong *until, struct s3_reply *ret,
                    struct err *err)
{
    char words[CURL_ERROR_SIZE] = "";
    curl_off_t length = -1;
    struct transfer t = {.curl = curl, .h = h, .reply = ret, .until = until, .left = h->body, .skip = h->from};
    *ret = (struct s3_reply){.length = UINT64_MAX};
    buf_init(&ret->body, S3_BODY_MAX);
    struct curl_slist *headers = headers_of(h);
    set_basics(curl, &t, ca_file, words);
    set_method(curl, &t);
    set_signature(curl, h);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    CURLcode rc = curl_easy_perform(curl);
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &ret->status);
    (void)curl_easy_getinfo(curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length >= 0)
        ret->length = (uint64_t)length;
    curl_slist_free_all(headers);
    return rc == CURLE_OK || (rc == CURLE_WRITE_ERROR && ret->stopped) || no_answer(rc, words, err);
}

bool s3_http(struct s3_pool *p, const struct s3_http *h, struct s3_reply *ret, struct err *err)
{
    CURL *curl = take_handle(p);
    if (!curl) {
        *ret = (struct s3_reply){0};
        return err_set(err, ERR_NOMEM, "cannot start libcurl");
    }
    bool ok = perform(curl, h, p->ca_file, p->until, ret, err);
    give_handle(p, curl);
    return ok;
}

bool s3_fetch(const char *url, const char *header, struct span form, const char *ca_file, struct s3_reply *ret, struct err *err)
{
    const char *headers[] = {header, NULL};
    struct s3_http h = {.method = form.n ? "POST" : "GET", .url = url, .headers = headers, .body = form};
    CURL *curl = curl_easy_init();
    if (!curl)
        return err_set(err, ERR_NOMEM, "cannot start libcurl");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, FETCH_S);
    bool ok = perform(curl, &h, ca_file, NULL, ret, err);
    curl_easy_cleanup(curl);
    if (!ok)
        (void)err_prefix(err, "the credentials");
    return ok;
}
