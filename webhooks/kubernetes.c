#include "webhooks/kubernetes.h"
#include "core/codec.h"
#include "core/io.h"
#include "core/json.h"
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define ANSWER_MAX ((size_t)4 << 20)

struct exchange {
    CURL *curl;
    struct buf url, token, ca, answer;
    struct curl_slist *headers;
    long status;
    char words[CURL_ERROR_SIZE];
};

static size_t take(char *p, size_t size, size_t n, void *ctx)
{
    struct buf *b = ctx;
    buf_add(b, p, size * n);
    return buf_ok(b) ? size * n : 0;
}

static bool read_account(const struct kubernetes *k, const char *name, struct buf *out, struct err *err)
{
    char path[4096], *text;
    size_t n;
    snprintf(path, sizeof path, "%s/%s", k->config->account, name);
    if (!io_read_file(io_posix(), path, 1 << 20, &text, &n, err))
        return err_prefix(err, "the service account");
    buf_adds(out, span_trim_lines(span_make(text, n)));
    explicit_bzero(text, n);
    free(text);
    return true;
}

static bool find_url(const struct kubernetes *k, struct buf *url, struct err *err)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    if (k->config->api)
        buf_addz(url, k->config->api);
    else if (host && *host)
        buf_addf(url, strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port && *port ? port : "443");
    else
        return err_set(err, ERR_CONFIG, "kubernetes.secret is set, but this is no pod: KUBERNETES_SERVICE_HOST is not there; set "
                                        "kubernetes.api, or leave kubernetes.secret out");
    if (!span_starts(buf_span(url), SPAN_LIT("https://")))
        return err_set(err, ERR_CONFIG, "kubernetes.api must begin with https://");
    while (url->n && url->p[url->n - 1] == '/')
        url->p[--url->n] = 0;
    buf_addz(url, "/api/v1/namespaces/");
    if (k->config->namespace_)
        percent_encode(url, span_of(k->config->namespace_));
    else if (!read_account(k, "namespace", url, err))
        return false;
    buf_addz(url, "/secrets/");
    percent_encode(url, span_of(k->config->secret));
    return true;
}

static bool add_header(struct exchange *x, const char *line, struct err *err)
{
    struct curl_slist *more = curl_slist_append(x->headers, line);
    if (!more)
        return err_set(err, ERR_NOMEM, "no memory for a request's headers");
    x->headers = more;
    return true;
}

static void end(struct exchange *x)
{
    for (struct curl_slist *h = x->headers; h; h = h->next)
        explicit_bzero(h->data, strlen(h->data));
    curl_slist_free_all(x->headers);
    if (x->curl)
        curl_easy_cleanup(x->curl);
    buf_release(&x->url);
    buf_release(&x->ca);
    buf_wipe(&x->token);
    buf_wipe(&x->answer);
}

static bool begin(struct exchange *x, const struct kubernetes *k, struct err *err)
{
    *x = (struct exchange){.curl = curl_easy_init()};
    buf_init(&x->url, 1 << 16);
    buf_init(&x->token, 1 << 20);
    buf_init(&x->ca, 4096);
    buf_init(&x->answer, ANSWER_MAX);
    if (!x->curl)
        return err_set(err, ERR_NOMEM, "cannot start libcurl");
    buf_addz(&x->token, "Authorization: Bearer ");
    buf_addf(&x->ca, "%s/ca.crt", k->config->account);
    return find_url(k, &x->url, err) && read_account(k, "token", &x->token, err) && add_header(x, buf_z(&x->token), err) &&
           add_header(x, "Accept: application/json", err);
}

static bool perform(struct exchange *x, struct err *err)
{
    curl_easy_setopt(x->curl, CURLOPT_URL, buf_z(&x->url));
    curl_easy_setopt(x->curl, CURLOPT_HTTPHEADER, x->headers);
    curl_easy_setopt(x->curl, CURLOPT_CAINFO, buf_z(&x->ca));
    curl_easy_setopt(x->curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(x->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(x->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(x->curl, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(x->curl, CURLOPT_TIMEOUT, 30L);
    curl_easy_setopt(x->curl, CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION);
    curl_easy_setopt(x->curl, CURLOPT_ERRORBUFFER, x->words);
    curl_easy_setopt(x->curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(x->curl, CURLOPT_WRITEDATA, &x->answer);
    CURLcode rc = curl_easy_perform(x->curl);
    if (rc != CURLE_OK)
        return err_set(err, ERR_TRANSIENT, "the API server: %s", x->words[0] ? x->words : curl_easy_strerror(rc));
    curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &x->status);
    return true;
}

static bool judge(const struct kubernetes *k, const struct exchange *x, const char *verb, struct err *err)
{
    const char *name = k->config->secret;
    if (x->status >= 200 && x->status < 300)
        return true;
    if (x->status == 404)
        return err_set(err, ERR_CONFIG, "there is no Secret '%s'; make it: kubectl create secret generic %s", name, name);
    if (x->status == 403)
        return err_set(err, ERR_CONFIG,
                       "the service account may not %s the Secret '%s': its Role needs the verbs get and patch on "
                                        "secrets with resourceNames: [%s]", verb, name, name);
    if (x->status == 401)
        return err_set(err, ERR_CONFIG, "the API server refuses the service account's token");
    return err_set(err, x->status >= 500 ? ERR_TRANSIENT : ERR_INPUT, "the API server answered %ld", x->status);
}

bool kubernetes_read(const struct kubernetes *k, const char *key, struct buf *out, struct err *err)
{
    struct exchange x;
    struct json root = {0};
    buf_clear(out);
    bool ok = begin(&x, k, err) && perform(&x, err) && judge(k, &x, "read", err) &&
              (json_parse(buf_span(&x.answer), &root, NULL) || err_set(err, ERR_INPUT, "the API server answered no JSON"));
    struct json value = json_get(json_get(root, SPAN_LIT("data")), span_of(key));
    if (ok && value.type == JSON_STRING && !base64_decode(out, json_inner(value)))
        ok = err_set(err, ERR_INPUT, "the Secret '%s' has no base64 at %s", k->config->secret, key);
    while (out->n && (out->p[out->n - 1] == '\n' || out->p[out->n - 1] == '\r'))
        out->p[--out->n] = 0;
    end(&x);
    return ok;
}

bool kubernetes_write(const struct kubernetes *k, const struct kubernetes_change *c, size_t n, struct err *err)
{
    struct exchange x;
    struct buf body;
    buf_init(&body, 1 << 20);
    buf_addz(&body, "{\"data\":{");
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_addc(&body, ',');
        json_write_key(&body, c[i].key);
        buf_addz(&body, c[i].value.p ? "\"" : "null");
        if (c[i].value.p) {
            base64_encode(&body, c[i].value);
            buf_addc(&body, '"');
        }
    }
    buf_addz(&body, "}}");
    bool ok = begin(&x, k, err) && add_header(&x, "Content-Type: application/merge-patch+json", err);
    if (ok) {
        curl_easy_setopt(x.curl, CURLOPT_POSTFIELDS, buf_z(&body));
        curl_easy_setopt(x.curl, CURLOPT_POSTFIELDSIZE, (long)body.n);
        curl_easy_setopt(x.curl, CURLOPT_CUSTOMREQUEST, "PATCH");
        ok = perform(&x, err) && judge(k, &x, "patch", err);
    }
    end(&x);
    buf_wipe(&body);
    return ok;
}
