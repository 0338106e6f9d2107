#include "alarms/post.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/mem.h"
#include "server/verify.h"
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_S 10L
#define ANSWER_MAX ((size_t)300) /* of it is told */
#define BODY_MAX ((size_t)64 << 10)

/* How a Standard Webhook is signed, in the language in which manifests say it. */
static const char manifest_text[] =
    "sluice: 1\nname: alarms\ntitle: Alarms\nstatus: ga\ndocs: https://www.standardwebhooks.com\n"
    "verify:\n  v1:\n    algorithm: hmac-sha256\n"
    "    signature: {header: webhook-signature, list: \" \", pick: \"v1,\", encoding: base64}\n"
    "    key: {encoding: base64, strip: whsec_}\n"
    "    time: {from: header.webhook-timestamp, unit: s, past: 300s, future: 300s}\n"
    "    signed: \"{header.webhook-id}.{time}.{body}\"\n    require: [header.webhook-id]\n"
    "event: {id: body.id, type: body.type, object: body.data}\n";

struct poster {
    const struct io *io;
    char *node;
    const atomic_bool *stop;
    CURL *curl;
    struct manifest *manifest;
    struct buf answer;
};

struct poster *poster_new(const struct io *io, const char *node, const atomic_bool *stop)
{
    struct poster *p = mem_alloc(sizeof *p);
    *p = (struct poster){.io = io, .node = mem_dup(node), .stop = stop};
    buf_init(&p->answer, ANSWER_MAX + 1);
    return p;
}

void poster_free(struct poster **at)
{
    struct poster *p = *at;
    if (!p)
        return;
    *at = NULL;
    if (p->curl)
        curl_easy_cleanup(p->curl);
    manifest_free(&p->manifest);
    buf_release(&p->answer);
    free(p->node);
    free(p);
}

/* ---- bodies ---- */

static void add_escaped(struct buf *out, struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '&')
            buf_addz(out, "&amp;");
        else if (s.p[i] == '<')
            buf_addz(out, "&lt;");
        else if (s.p[i] == '>')
            buf_addz(out, "&gt;");
        else
            buf_addc(out, s.p[i]);
    }
}

static void write_line(struct buf *out, const struct post *p, const char *node)
{
    const struct alarm *a = &p->alarm;
    struct buf text;
    char at[CLOCK_TEXT_MAX];
    bool over = a->cleared_us != 0;
    buf_init(&text, BODY_MAX);
    clock_iso_s(p->at_us, at);
    buf_addf(&text, "%s *", over ? ":white_check_mark: cleared:" : ":rotating_light:");
    add_escaped(&text, a->source.n ? a->source : SPAN_LIT("sluice"));
    buf_addc(&text, '*');
    if (a->subject.n) {
        buf_addc(&text, ' ');
        add_escaped(&text, a->subject);
    }
    buf_addz(&text, ": ");
    add_escaped(&text, a->cause);
    if (!over && a->next.n) {
        buf_addz(&text, "\n→ ");
        add_escaped(&text, a->next);
    }
    buf_addf(&text, "\n_%s, node %s_", at, node);
    buf_addz(out, "{\"text\":");
    json_write_string(out, buf_span(&text));
    buf_addc(out, '}');
    buf_release(&text);
}

static void add_member(struct buf *out, const char *name, struct span value)
{
    buf_addf(out, ",\"%s\":", name);
    json_write_string(out, value);
}

static void write_event(struct buf *out, const struct post *p, const char *node)
{
    const struct alarm *a = &p->alarm;
    char at[CLOCK_TEXT_MAX];
    clock_iso_us(p->at_us, at);
    buf_addf(out, "{\"type\":\"sluice.alarm.%s\",\"timestamp\":\"%s\",\"data\":{\"kind\":",
             a->cleared_us ? "cleared" : "raised", at);
    json_write_string(out, a->kind);
    add_member(out, "source", a->source);
    add_member(out, "subject", a->subject);
    add_member(out, "cause", a->cause);
    add_member(out, "next", a->next);
    clock_iso_us(a->raised_us, at);
    add_member(out, "raised_at", span_of(at));
    if (a->cleared_us) {
        clock_iso_us(a->cleared_us, at);
        add_member(out, "cleared_at", span_of(at));
    } else {
        buf_addz(out, ",\"cleared_at\":null");
    }
    add_member(out, "node", span_of(node));
    buf_addz(out, "}}");
}

void post_write(struct buf *out, const struct post *what, const char *node, bool slack)
{
    if (slack)
        write_line(out, what, node);
    else
        write_event(out, what, node);
}

/* ---- sending ---- */

static size_t take_answer(char *p, size_t size, size_t n, void *ctx)
{
    struct buf *b = ctx;
    size_t room = ANSWER_MAX > b->n ? ANSWER_MAX - b->n : 0;
    buf_add(b, p, size * n < room ? size * n : room);
    return size * n;
}

static int look_at_stop(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct poster *p = ctx;
    (void)a, (void)b, (void)c, (void)d;
    return p->stop && *p->stop;
}

/* The host, for words and for the form that goes with it. */
static void host_of(const char *url, char out[256])
{
    CURLU *u = curl_url();
    char *host = NULL;
    snprintf(out, 256, "the receiver");
    if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK)
        snprintf(out, 256, "%s", host);
    curl_free(host);
    curl_url_cleanup(u);
}

static bool is_slack(const struct config *c, const char *host)
{
    static const char end[] = ".slack.com";
    size_t n = strlen(host), k = sizeof end - 1;
    return c->alarms_format == ALARMS_SLACK || (c->alarms_format == ALARMS_AUTO && n > k && strcmp(host + n - k, end) == 0);
}

/* The headers of the signature, a line each. */
static bool sign(struct poster *p, const struct config *c, struct span body, struct span id, struct buf *out, struct err *err)
{
    struct verify_secret secret = {0};
    struct verifier *v = NULL;
    struct report report;
    char *text;
    size_t n;
    report_init(&report);
    if (!p->manifest)
        p->manifest = manifest_parse("alarms", SPAN_LIT(manifest_text), &report);
    report_release(&report);
    if (!p->manifest)
        return err_set(err, ERR_BUG, "the form of signatures cannot be read");
    if (!secret_read(&c->alarms_secret, &text, &n, err))
        return err_prefix(err, "alarms.secret");
    secret.text = (struct span){text, n};
    bool ok = verifier_of(p->manifest, &secret, 1, NULL, 0, NULL, &v, err) &&
              verify_sign(v, (struct span){"", 0}, body, id, p->io->world->now_us(p->io), out, err);
    verifier_free(&v);
    secret_free(&text, n);
    return ok;
}

static bool add_lines(struct curl_slist **list, struct span lines)
{
    struct buf one;
    bool ok = true;
    buf_init(&one, 1 << 16);
    for (struct span rest = lines; ok && rest.n;) {
        struct span line = span_cut(rest, '\n', &rest);
        buf_clear(&one);
        buf_adds(&one, line);
        struct curl_slist *more = curl_slist_append(*list, buf_z(&one));
        ok = more != NULL;
        *list = more ? more : *list;
    }
    buf_release(&one);
    return ok;
}

static bool post_once(struct poster *p, const char *url, const char *host, struct span body, const struct curl_slist *headers,
                      struct err *err)
{
    char words[CURL_ERROR_SIZE] = "";
    long status = 0;
    if (!p->curl && !(p->curl = curl_easy_init()))
        return err_set(err, ERR_NOMEM, "cannot start libcurl");
    buf_clear(&p->answer);
    curl_easy_setopt(p->curl, CURLOPT_URL, url);
    curl_easy_setopt(p->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(p->curl, CURLOPT_POSTFIELDS, body.p);
    curl_easy_setopt(p->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
    curl_easy_setopt(p->curl, CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION);
    curl_easy_setopt(p->curl, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(p->curl, CURLOPT_WRITEDATA, &p->answer);
    curl_easy_setopt(p->curl, CURLOPT_ERRORBUFFER, words);
    curl_easy_setopt(p->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(p->curl, CURLOPT_TIMEOUT, TIMEOUT_S);
    curl_easy_setopt(p->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(p->curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(p->curl, CURLOPT_XFERINFOFUNCTION, look_at_stop);
    curl_easy_setopt(p->curl, CURLOPT_XFERINFODATA, p);
    curl_easy_setopt(p->curl, CURLOPT_NOPROGRESS, 0L);
    CURLcode rc = curl_easy_perform(p->curl);
    if (rc != CURLE_OK)
        return err_set(err, ERR_TRANSIENT, "%s: %s", host, curl_easy_strerror(rc));
    curl_easy_getinfo(p->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && status < 300)
        return true;
    struct buf seen;
    buf_init(&seen, 4 * ANSWER_MAX);
    for (size_t i = 0; i < p->answer.n; i++) /* who reads it may sit at a terminal */
        buf_addc(&seen, p->answer.p[i] >= 0x20 && p->answer.p[i] < 0x7f ? p->answer.p[i] : '?');
    err_set(err, ERR_TRANSIENT, "%s answered %ld%s%s", host, status, seen.n ? ": " : "", buf_z(&seen));
    buf_release(&seen);
    return false;
}

bool poster_send(struct poster *p, const struct config *c, const struct post *what, struct err *err)
{
    struct curl_slist *headers = NULL;
    struct buf body, lines;
    char *url, host[256];
    size_t n;
    if (!secret_read(&c->alarms_post, &url, &n, err))
        return err_prefix(err, "alarms.post");
    buf_init(&body, BODY_MAX);
    buf_init(&lines, BODY_MAX);
    host_of(url, host);
    bool slack = is_slack(c, host);
    post_write(&body, what, p->node, slack);
    buf_addz(&lines, "Content-Type: application/json\n");
    bool ok = slack || !c->alarms_secret.at || sign(p, c, buf_span(&body), what->message, &lines, err);
    if (ok && !slack && !c->alarms_secret.at)
        buf_addf(&lines, "webhook-id: %.*s\n", SPAN_ARG(what->message)); /* by which a repeated one is known */
    ok = ok && (add_lines(&headers, buf_span(&lines)) || err_set(err, ERR_NOMEM, "no memory for the headers"));
    ok = ok && post_once(p, url, host, buf_span(&body), headers, err);
    curl_slist_free_all(headers);
    buf_release(&body);
    buf_release(&lines);
    secret_free(&url, n);
    return ok;
}
