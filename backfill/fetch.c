#include "backfill/fetch.h"
#include "backfill/page.h"
#include "core/clock.h"
#include "core/codec.h"
#include "core/mem.h"
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define BACKOFF_US_DEFAULT UINT64_C(500000)
#define REDIRECTS_MAX 5
#define BACKOFF_US_MAX (UINT64_C(30) * 1000000)
#define LOOK_US 50000 /* how often the stop flag is looked at during a wait */

struct fetcher {
    const struct backfill_opts *o;
    const struct api_rule *api;
    const struct io *io;
    CURL *curl;
    struct curl_slist *headers;
    const struct error_rule *errors; /* looked at before the api's */
    size_t n_errors;
    const struct fetch_call *call; /* what is asked now; NULL: a page */
    uint64_t next_us;   /* monotonic: not before */
    uint64_t waited_us; /* for the page at hand */
    char words[CURL_ERROR_SIZE];
};

void fetched_init(struct fetched *p)
{
    memset(p, 0, sizeof *p);
    buf_init(&p->body, PAGE_BODY_MAX);
    buf_init(&p->header_text, 1 << 20);
}

void fetched_release(struct fetched *p)
{
    buf_release(&p->body);
    buf_release(&p->header_text);
}

/* Appends "Name: value", wiped afterwards. */
static bool add_line(struct curl_slist **list, struct buf *line, struct err *err)
{
    struct curl_slist *more = buf_ok(line) ? curl_slist_append(*list, buf_z(line)) : NULL;
    buf_wipe(line);
    if (!more)
        return err_set(err, ERR_NOMEM, "no memory for a request's headers");
    *list = more;
    return true;
}

static bool add_header(struct fetcher *f, const char *name, const char *before, const struct template *value,
                       const struct scope *config, struct err *err)
{
    struct buf line;
    buf_init(&line, 1 << 16);
    buf_addf(&line, "%s: %s", name, before);
    if (template_render(value, config, &line, err))
        return add_line(&f->headers, &line, err);
    buf_wipe(&line);
    return false;
}

static bool add_basic(struct fetcher *f, const struct template *value, const struct scope *config, struct err *err)
{
    struct buf line, pair;
    buf_init(&line, 1 << 16);
    buf_init(&pair, 1 << 16);
    bool ok = template_render(value, config, &pair, err);
    buf_addz(&line, "Authorization: Basic ");
    base64_encode(&line, buf_span(&pair));
    buf_wipe(&pair);
    if (ok)
        return add_line(&f->headers, &line, err);
    buf_wipe(&line);
    return false;
}

static size_t take_body(char *p, size_t size, size_t n, void *ctx)
{
    struct buf *b = ctx;
    buf_add(b, p, size * n);
    return buf_ok(b) ? size * n : 0;
}

static size_t take_header(char *p, size_t size, size_t n, void *ctx)
{
    struct buf *b = ctx;
    if (size * n > 5 && memcmp(p, "HTTP/", 5) == 0)
        buf_clear(b); /* an interim answer came before */
    buf_add(b, p, size * n);
    return size * n;
}

static bool stopped(const struct fetcher *f)
{
    return f->o->stop && *f->o->stop;
}

/* A transfer that nobody waits for any more ends at once. */
static int look_at_stop(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    return stopped(ctx);
}

static bool set_up(struct fetcher *f, const struct scope *config, struct err *err)
{
    const struct api_rule *api = f->api;
    bool ok = true;
    if (api->bearer.n_parts)
        ok = add_header(f, "Authorization", "Bearer ", &api->bearer, config, err);
    if (api->basic.n_parts)
        ok = add_basic(f, &api->basic, config, err);
    if (ok && api->auth_header)
        ok = add_header(f, api->auth_header, "", &api->auth_value, config, err);
    for (size_t i = 0; ok && i < api->n_headers; i++)
        ok = add_header(f, api->headers[i].name, "", &api->headers[i].value, config, err);
    if (!ok)
        return false;
    curl_easy_setopt(f->curl, CURLOPT_HTTPHEADER, f->headers);
    curl_easy_setopt(f->curl, CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION);
    curl_easy_setopt(f->curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(f->curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(f->curl, CURLOPT_ERRORBUFFER, f->words);
    curl_easy_setopt(f->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(f->curl, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(f->curl, CURLOPT_LOW_SPEED_LIMIT, 10L);
    curl_easy_setopt(f->curl, CURLOPT_LOW_SPEED_TIME, 30L);
    curl_easy_setopt(f->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(f->curl, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(f->curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(f->curl, CURLOPT_XFERINFOFUNCTION, look_at_stop);
    curl_easy_setopt(f->curl, CURLOPT_XFERINFODATA, f);
    curl_easy_setopt(f->curl, CURLOPT_NOPROGRESS, 0L);
    return true;
}

struct fetcher *fetcher_new(const struct backfill_opts *o, const struct scope *config, struct err *err)
{
    struct fetcher *f = mem_alloc(sizeof *f);
    *f = (struct fetcher){.o = o, .api = &o->source->manifest->api, .io = o->io, .curl = curl_easy_init()};
    if (!f->curl)
        err_set(err, ERR_NOMEM, "cannot start libcurl");
    else if (set_up(f, config, err))
        return f;
    fetcher_free(&f);
    return NULL;
}

void fetcher_free(struct fetcher **at)
{
    struct fetcher *f = *at;
    if (!f)
        return;
    for (struct curl_slist *h = f->headers; h; h = h->next)
        explicit_bzero(h->data, strlen(h->data));
    curl_slist_free_all(f->headers);
    if (f->curl)
        curl_easy_cleanup(f->curl);
    free(f);
    *at = NULL;
}

/* false: stopped meanwhile. */
static bool wait_us(struct fetcher *f, uint64_t us)
{
    const struct io *io = f->io;
    uint64_t end = io->world->monotonic_us(io) + us;
    for (;;) {
        uint64_t now = io->world->monotonic_us(io);
        if (stopped(f))
            return false;
        if (now >= end)
            return true;
        io->world->sleep_us(io, end - now < LOOK_US ? end - now : LOOK_US);
    }
}

static bool pace(struct fetcher *f)
{
    const struct io *io = f->io;
    uint64_t now = io->world->monotonic_us(io);
    if (f->next_us > now && !wait_us(f, f->next_us - now))
        return false;
    if (f->api->per_second)
        f->next_us = io->world->monotonic_us(io) + 1000000 / f->api->per_second;
    return !stopped(f);
}

static void split_headers(struct fetched *p)
{
    p->n_headers = 0;
    for (struct span rest = buf_span(&p->header_text); rest.n;) {
        struct span value, line = span_cut(rest, '\n', &rest);
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        struct span name = span_cut(line, ':', &value);
        if (value.p && p->n_headers < sizeof p->headers / sizeof *p->headers)
            p->headers[p->n_headers++] = (struct http_header){span_trim(name), span_trim(value)};
    }
}

/* What the call at hand says beside its address; *ret_own: headers of its own, for the caller to free. */
static bool set_call(struct fetcher *f, struct curl_slist **ret_own)
{
    const struct fetch_call *c = f->call;
    struct err ignored;
    *ret_own = NULL;
    if (!c) {
        curl_easy_setopt(f->curl, CURLOPT_HTTPGET, 1L);
        curl_easy_setopt(f->curl, CURLOPT_CUSTOMREQUEST, NULL);
        return true;
    }
    bool ok = true;
    for (const struct curl_slist *h = f->headers; ok && h; h = h->next) {
        struct curl_slist *more = curl_slist_append(*ret_own, h->data);
        ok = more != NULL;
        *ret_own = ok ? more : *ret_own;
    }
    for (struct span rest = c->headers; ok && rest.n;) {
        struct buf line;
        buf_init(&line, 1 << 16);
        buf_adds(&line, span_cut(rest, '\n', &rest));
        ok = add_line(ret_own, &line, &ignored);
    }
    bool has_body = c->body.p != NULL;
    curl_easy_setopt(f->curl, CURLOPT_HTTPGET, 1L);
    if (has_body) {
        curl_easy_setopt(f->curl, CURLOPT_POSTFIELDS, c->body.p);
        curl_easy_setopt(f->curl, CURLOPT_POSTFIELDSIZE, (long)c->body.n);
    }
    curl_easy_setopt(f->curl, CURLOPT_CUSTOMREQUEST, c->method);
    /* On a connection that was used before, libcurl itself sends a request again when it closes without an answer. */
    curl_easy_setopt(f->curl, CURLOPT_FRESH_CONNECT, c->method[0] == 'G' ? 0L : 1L);
    curl_easy_setopt(f->curl, CURLOPT_HTTPHEADER, *ret_own);
    return ok;
}

static void end_call(struct fetcher *f, struct curl_slist *own)
{
    for (struct curl_slist *h = own; h; h = h->next)
        explicit_bzero(h->data, strlen(h->data));
    curl_slist_free_all(own);
    if (!f->call)
        return;
    curl_easy_setopt(f->curl, CURLOPT_POSTFIELDS, NULL);
    curl_easy_setopt(f->curl, CURLOPT_FRESH_CONNECT, 0L);
    curl_easy_setopt(f->curl, CURLOPT_CUSTOMREQUEST, NULL);
    curl_easy_setopt(f->curl, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(f->curl, CURLOPT_HTTPHEADER, f->headers);
}

/* One request. false: the connection failed (f->words). */
static bool request(struct fetcher *f, const char *url, struct fetched *p)
{
    long status = 0;
    struct curl_slist *own;
    buf_clear(&p->body);
    buf_clear(&p->header_text);
    f->words[0] = 0;
    curl_easy_setopt(f->curl, CURLOPT_URL, url);
    curl_easy_setopt(f->curl, CURLOPT_WRITEDATA, &p->body);
    curl_easy_setopt(f->curl, CURLOPT_HEADERDATA, &p->header_text);
    CURLcode rc = set_call(f, &own) ? curl_easy_perform(f->curl) : CURLE_OUT_OF_MEMORY;
    end_call(f, own);
    if (rc != CURLE_OK) {
        if (!f->words[0])
            snprintf(f->words, sizeof f->words, "%s", curl_easy_strerror(rc));
        return false;
    }
    curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
    split_headers(p);
    p->status = (uint32_t)status;
    p->json = (struct json){0};
    json_parse(buf_span(&p->body), &p->json, NULL);
    p->message = (struct http_message){.method = f->call ? span_of(f->call->method) : SPAN_LIT("GET"),
                                       .url = span_of(url),
                                       .headers = p->headers,
                                       .n_headers = p->n_headers,
                                       .body = buf_span(&p->body),
                                       .status = p->status};
    return true;
}

/* A request, and where it is sent to within the same origin. false: the connection failed (f->words). */
static bool perform(struct fetcher *f, const char *url, struct fetched *p)
{
    bool ok = request(f, url, p);
    for (unsigned i = 0; ok && !f->call && i < REDIRECTS_MAX && p->status >= 301 && p->status <= 308; i++) {
        char *to = NULL;
        curl_easy_getinfo(f->curl, CURLINFO_REDIRECT_URL, &to);
        if (!to || !same_origin(span_of(to), span_of(url)))
            break;
        char *next = mem_dup(to); /* the handle's own text changes with the next request */
        ok = request(f, next, p);
        explicit_bzero(next, strlen(next));
        free(next);
    }
    p->message.url = span_of(url);
    return ok;
}

/* How long the answer asks to wait, in microseconds; 0: it does not say. */
static uint64_t asked_wait(const struct fetcher *f, const struct fetched *p)
{
    const struct api_rule *api = f->api;
    uint64_t us, now = f->io->world->now_us(f->io);
    struct span text = http_header(&p->message, span_of(api->wait_header ? api->wait_header : "Retry-After"), NULL);
    if (text.n && clock_parse_digits(text, 's', &us))
        return us ? us : 1;
    if (text.n && clock_parse_http(text, &us))
        return us > now ? us - now : 1;
    text = api->reset_header ? http_header(&p->message, span_of(api->reset_header), NULL) : (struct span){NULL, 0};
    if (!text.n || !clock_parse_digits(text, api->reset_unit == UNIT_MS ? 'm' : 's', &us))
        return 0;
    if (!api->reset_is_epoch)
        return us;
    return us > now ? us - now : 1;
}

/* What the rate header says; empty: nothing. */
static struct span calls_left(const struct fetcher *f, const struct fetched *p)
{
    const char *name = f->api->left_header;
    return name ? http_header(&p->message, span_of(name), NULL) : (struct span){NULL, 0};
}

/* No calls are left: the next request waits for the reset. */
static void note_rate(struct fetcher *f, const struct fetched *p)
{
    struct span left = calls_left(f, p);
    if (!span_eqz(left, "0"))
        return;
    uint64_t us = asked_wait(f, p);
    if (us && us <= WAIT_US_MAX)
        f->next_us = f->io->world->monotonic_us(f->io) + us;
}

static const struct error_rule *find_rule(const struct fetcher *f, const struct fetched *p)
{
    struct scope scope = {.message = &p->message, .body = p->json};
    for (size_t i = 0; i < f->n_errors + f->api->n_errors; i++) {
        const struct error_rule *r = i < f->n_errors ? &f->errors[i] : &f->api->errors[i - f->n_errors];
        if ((!r->status || r->status == p->status) && conditions_hold(r->when, r->n_when, &scope))
            return r;
    }
    return NULL;
}

/* A provider that answers 200 to everything says in the body what went wrong: a rule with conditions and no status. */
static bool good_in_name_only(const struct fetcher *f, const struct fetched *p)
{
    const struct error_rule *r = find_rule(f, p);
    return r && r->n_when && !r->status;
}

static bool rate_limited(const struct fetcher *f, const struct fetched *p)
{
    if (p->status == 429)
        return true;
    /* Some answer 403 when no calls are left. */
    struct span left = calls_left(f, p);
    bool said = http_header(&p->message, SPAN_LIT("Retry-After"), NULL).n > 0;
    return (p->status == 403 && (span_eqz(left, "0") || said)) || (p->status == 503 && said);
}

static bool describe(const struct fetcher *f, const char *url, const struct table_rule *table, const struct fetched *p,
                     const struct error_rule *rule, struct err *err)
{
    struct buf advice;
    buf_init(&advice, 4096);
    struct scope_pair words[] = {{SPAN_LIT("table.scope"), span_of(table && table->scope ? table->scope : "")}};
    struct scope scope = {.message = &p->message, .body = p->json, .words = words, .n_words = 1};
    if (rule && rule->advice.n_parts && !template_render(&rule->advice, &scope, &advice, NULL))
        buf_clear(&advice);
    if (rule && !advice.n && rule->say)
        buf_addz(&advice, rule->say);
    if (p->status == 403 && !advice.n && table && table->scope)
        buf_addf(&advice, "the credential lacks the permission '%s'", table->scope);
    struct span path = span_of(url), rest;
    path = span_cut(path, '?', &rest);
    struct span told = json_inner(json_get(json_get(p->json, SPAN_LIT("error")), SPAN_LIT("message")));
    if (!told.n)
        told = json_inner(json_get(p->json, SPAN_LIT("message")));
    if (!told.n)
        told = json_inner(json_get(json_at(json_get(p->json, SPAN_LIT("errors")), 0), SPAN_LIT("message")));
    err_set(err, ERR_INPUT, "%.*s answered %u%s%.*s%s%s%s", SPAN_ARG(path), p->status, told.n ? " \"" : "",
            (int)(told.n > 200 ? 200 : told.n), told.n ? told.p : "", told.n ? "\"" : "", advice.n ? ": " : "", buf_z(&advice));
    (void)f;
    buf_release(&advice);
    return false;
}

static uint64_t backoff(struct fetcher *f, unsigned tries)
{
    uint64_t base = f->o->backoff_us_base ? f->o->backoff_us_base : BACKOFF_US_DEFAULT;
    uint64_t most = base << (tries < 10 ? tries : 10), random = 0;
    if (most > BACKOFF_US_MAX)
        most = BACKOFF_US_MAX;
    f->io->world->random(f->io, &random, sizeof random);
    return random % (most + 1); /* full jitter */
}

/* Waits with words; FETCH_OK: go on. */
static enum fetch_end hold(struct fetcher *f, uint64_t us, const char *words, struct fetch_watch *watch, struct err *err)
{
    if (us > WAIT_US_MAX || f->waited_us + us > WAIT_US_MAX) {
        err_set(err, ERR_TRANSIENT,
                "the provider asks for a wait of %llu s, after %llu s already; the run goes on when it is started again",
                (unsigned long long)(us / 1000000), (unsigned long long)(f->waited_us / 1000000));
        return FETCH_LIMITED;
    }
    f->waited_us += us;
    bool go = true;
    for (uint64_t left = us; go && left;) { /* told each second, so that it can be shown how long it still is */
        uint64_t piece = left < 1000000 ? left : 1000000;
        watch->waiting(watch->ctx, words, f->io->world->now_us(f->io) + left);
        go = wait_us(f, piece);
        left -= piece;
    }
    watch->waiting(watch->ctx, NULL, 0);
    return go ? FETCH_OK : FETCH_STOPPED;
}

/* In the manifest's word; where it has none, by what the status means everywhere. */
static void take_cause(struct fetch_watch *watch, const struct fetched *p, const struct error_rule *rule)
{
    const char *word = p->status == 401 ? "auth" : p->status == 403 ? "scope" : p->status >= 500 ? "busy" :
                       p->status == 404 || p->status == 410 ? "gone" : "other";
    snprintf(watch->cause, sizeof watch->cause, "%s", rule && rule->cause ? rule->cause : word);
}

/* What to do about an answer that is not a page. FETCH_OK: try again. */
static enum fetch_end judge(struct fetcher *f, const char *url, const struct table_rule *table, const struct fetched *p,
                            unsigned tries, struct fetch_watch *watch, struct err *err)
{
    const struct error_rule *rule = find_rule(f, p);
    if (rate_limited(f, p)) {
        uint64_t us = asked_wait(f, p);
        watch->limits++;
        describe(f, url, table, p, rule, err);
        return tries >= 4 * TRIES_MAX ? FETCH_LIMITED : hold(f, us ? us : backoff(f, tries), "rate limit", watch, err);
    }
    /* What may have been done is not done twice by us: whoever asked looks first. */
    bool twice = !f->call || f->call->method[0] == 'G';
    bool again = twice && ((rule && rule->retry) || (p->status >= 500 && !(rule && !rule->retry && rule->cause)));
    if (again && tries < TRIES_MAX) {
        char words[48];
        snprintf(words, sizeof words, "trying again after %u", p->status);
        watch->retries++;
        return hold(f, backoff(f, tries), words, watch, err);
    }
    describe(f, url, table, p, rule, err);
    take_cause(watch, p, rule);
    bool gone = p->status == 404 || p->status == 410 || (rule && strcmp(rule->cause, "gone") == 0);
    if (p->status == 401 || (rule && strcmp(rule->cause, "auth") == 0))
        err->cls = ERR_CONFIG;
    return gone ? FETCH_GONE : FETCH_FAILED;
}

enum fetch_end fetch_page(struct fetcher *f, const char *url, const struct table_rule *table, struct fetch_watch *watch,
                          struct fetched *ret, struct err *err)
{
    f->waited_us = 0;
    for (unsigned tries = 1;; tries++) {
        if (!pace(f))
            return FETCH_STOPPED;
        enum fetch_end end;
        if (!perform(f, url, ret)) {
            if (stopped(f))
                return FETCH_STOPPED;
            if (!buf_ok(&ret->body)) {
                err_set(err, ERR_INPUT, "a page is larger than %zu MiB", PAGE_BODY_MAX >> 20);
                return FETCH_FAILED;
            }
            struct span rest, path = span_cut(span_of(url), '?', &rest);
            err_set(err, ERR_TRANSIENT, "%.*s: %s", SPAN_ARG(path), f->words);
            if (tries >= TRIES_MAX || (f->call && f->call->method[0] != 'G')) {
                snprintf(watch->cause, sizeof watch->cause, "network");
                return FETCH_FAILED;
            }
            watch->retries++;
            end = hold(f, backoff(f, tries), "trying again: the connection failed", watch, err);
        } else if (ret->status >= 200 && ret->status < 300 && !good_in_name_only(f, ret)) {
            note_rate(f, ret);
            if (ret->json.type != JSON_NONE || f->call) /* a call may be answered with nothing */
                return FETCH_OK;
            struct span rest, path = span_cut(span_of(url), '?', &rest);
            err_set(err, ERR_INPUT, "%.*s answered %u, but not with JSON", SPAN_ARG(path), ret->status);
            return FETCH_FAILED;
        } else {
            end = judge(f, url, table, ret, tries, watch, err);
        }
        if (end != FETCH_OK)
            return end;
    }
}

enum fetch_end fetch_call(struct fetcher *f, const char *url, const struct fetch_call *call, struct fetch_watch *watch,
                          struct fetched *ret, struct err *err)
{
    struct table_rule rights = {.scope = call->scope};
    f->call = call;
    f->errors = call->errors;
    f->n_errors = call->n_errors;
    watch->cause[0] = 0;
    enum fetch_end end = fetch_page(f, url, &rights, watch, ret, err);
    f->call = NULL;
    f->errors = NULL;
    f->n_errors = 0;
    return end;
}
