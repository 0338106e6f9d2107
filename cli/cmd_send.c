/* send: signs an event as the provider would and posts it: a test of the whole way in, signature and all. */
#include "cli/example.h"
#include "cli/registry.h"
#include "core/clock.h"
#include "server/server.h"
#include "server/verify.h"
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define SEND_MAX 1000000
#define ANSWER_MAX ((size_t)64 << 10)

struct sending {
    const struct source_config *source;
    const struct config *config;
    const struct command_io *io;
    struct verifier *verifier; /* NULL: the source takes what is not signed */
    const char *type;
    struct span data; /* the body, when given */
    bool json;
    char url[1024];
    bool unchecked; /* it is this machine's own certificate */
    CURL *curl;
    struct buf answer, entry; /* of the request at hand: body, Sluice-Entry */
};

static size_t take_answer(char *p, size_t size, size_t n, void *ctx)
{
    struct sending *s = ctx;
    if (s->answer.n + size * n < ANSWER_MAX)
        buf_add(&s->answer, p, size * n);
    return size * n;
}

static size_t take_header(char *p, size_t size, size_t n, void *ctx)
{
    struct sending *s = ctx;
    struct span value, name = span_cut((struct span){p, size * n}, ':', &value);
    if (value.p && span_ieq(name, SPAN_LIT("Sluice-Entry"))) {
        value = span_trim(value);
        while (value.n && (value.p[value.n - 1] == '\n' || value.p[value.n - 1] == '\r'))
            value.n--;
        buf_clear(&s->entry);
        buf_adds(&s->entry, value);
    }
    return size * n;
}

static bool add_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *more = curl_slist_append(*list, line);
    if (more)
        *list = more;
    return more != NULL;
}

/* The event's own headers, then those of the signature that are not among them. */
static bool add_headers(const struct example *e, struct span signature, struct curl_slist **list)
{
    struct buf line;
    buf_init(&line, 1 << 20);
    bool ok = add_line(list, "Content-Type: application/json") && add_line(list, "Expect:");
    for (size_t i = 0; ok && i < e->n_headers; i++) {
        buf_clear(&line);
        buf_addf(&line, "%.*s: %.*s", SPAN_ARG(e->headers[i].name), SPAN_ARG(e->headers[i].value));
        ok = add_line(list, buf_z(&line));
    }
    for (struct span rest = signature; ok && rest.n;) {
        struct span value, one = span_cut(rest, '\n', &rest), name = span_cut(one, ':', &value);
        bool known = false;
        for (size_t i = 0; i < e->n_headers; i++)
            known = known || span_ieq(e->headers[i].name, name);
        buf_clear(&line);
        buf_adds(&line, one);
        ok = known || add_line(list, buf_z(&line));
    }
    buf_release(&line);
    return ok;
}

static bool post(struct sending *s, struct span body, const struct curl_slist *headers, long *ret_status, struct err *err)
{
    char words[CURL_ERROR_SIZE] = "";
    buf_clear(&s->answer);
    buf_clear(&s->entry);
    curl_easy_setopt(s->curl, CURLOPT_URL, s->url);
    curl_easy_setopt(s->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(s->curl, CURLOPT_POSTFIELDS, body.p);
    curl_easy_setopt(s->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
    curl_easy_setopt(s->curl, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(s->curl, CURLOPT_WRITEDATA, s);
    curl_easy_setopt(s->curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(s->curl, CURLOPT_HEADERDATA, s);
    curl_easy_setopt(s->curl, CURLOPT_ERRORBUFFER, words);
    curl_easy_setopt(s->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(s->curl, CURLOPT_TIMEOUT, 60L);
    curl_easy_setopt(s->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(s->curl, CURLOPT_SSL_VERIFYPEER, s->unchecked ? 0L : 1L);
    curl_easy_setopt(s->curl, CURLOPT_SSL_VERIFYHOST, s->unchecked ? 0L : 2L);
    CURLcode rc = curl_easy_perform(s->curl);
    if (rc == CURLE_COULDNT_CONNECT)
        return err_set(err, ERR_INPUT, "nothing listens at %s; start the server with `sluice serve`", s->url);
    if (rc != CURLE_OK)
        return err_set(err, ERR_INPUT, "%s: %s", s->url, words[0] ? words : curl_easy_strerror(rc));
    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, ret_status);
    return true;
}

static void tell(const struct sending *s, struct span id, long status)
{
    FILE *out = s->io->out;
    struct span answer = buf_span(&s->answer), entry = buf_span(&s->entry);
    bool ok = status >= 200 && status < 300;
    while (answer.n && answer.p[answer.n - 1] == '\n')
        answer.n--;
    if (s->json) {
        struct buf line;
        buf_init(&line, (size_t)1 << 20);
        buf_addf(&line, "{\"status\":%ld,\"entry\":", status);
        json_write_string(&line, entry);
        buf_addz(&line, ",\"answer\":");
        json_write_string(&line, answer);
        fprintf(out, "%s}\n", buf_z(&line));
        buf_release(&line);
        return;
    }
    fprintf(out, "%s %ld  %.*s", ok ? glyph_ok(s->io) : glyph_bad(s->io), status, SPAN_ARG(id));
    if (entry.n)
        fprintf(out, "  %.*s", SPAN_ARG(entry));
    if (answer.n && !ok)
        fprintf(out, "  %.*s", SPAN_ARG(answer));
    fprintf(out, "\n");
}

static bool send_one(struct sending *s, uint64_t number, uint64_t now_us, bool *ret_taken, struct err *err)
{
    struct example e = {0};
    struct curl_slist *headers = NULL;
    struct buf signature;
    char id[64];
    long status = 0;
    snprintf(id, sizeof id, "example_%llx_%llu", (unsigned long long)now_us / 1000, (unsigned long long)number);
    buf_init(&signature, (size_t)1 << 20);
    bool ok = example_make(s->source, s->type, id, now_us, &e, err);
    struct span body = s->data.p ? s->data : buf_span(&e.body);
    char *public_url = server_public_url(s->config, s->source);
    const char *url = public_url[0] ? public_url : s->url;
    ok = ok && (!s->verifier || verify_sign(s->verifier, span_of(url), body, e.id, now_us, &signature, err));
    ok = ok && (add_headers(&e, buf_span(&signature), &headers) || err_set(err, ERR_NOMEM, "no memory for the headers"));
    ok = ok && post(s, body, headers, &status, err);
    if (ok)
        tell(s, e.id, status);
    *ret_taken = ok && status >= 200 && status < 300;
    free(public_url);
    curl_slist_free_all(headers);
    buf_release(&signature);
    example_release(&e);
    return ok;
}

static int send_all(struct sending *s, const struct io *io, uint64_t count)
{
    uint64_t taken = 0, sent = 0;
    struct err err = {0};
    bool ok = s->source->unverified || verifier_new(s->source, NULL, 0, &s->verifier, NULL, &err);
    s->curl = curl_easy_init();
    ok = ok && (s->curl || err_set(&err, ERR_NOMEM, "cannot start libcurl"));
    while (ok && sent < count && !*s->io->stop) {
        bool one = false;
        ok = send_one(s, sent + 1, io->world->now_us(io), &one, &err);
        sent += ok;
        taken += one;
    }
    if (s->curl)
        curl_easy_cleanup(s->curl);
    verifier_free(&s->verifier);
    buf_release(&s->answer);
    buf_release(&s->entry);
    if (!ok)
        return command_fail(s->io, &err);
    if (!s->json && sent > 1)
        fprintf(s->io->out, "%llu of %llu accepted\n", (unsigned long long)taken, (unsigned long long)sent);
    return taken == count ? EXIT_DONE : EXIT_FAILED;
}

/* Where the configured server listens, as this machine reaches it. */
static bool take_url(struct sending *s, const struct config *c, const char *url, struct err *err)
{
    const char *host = c->listen.host;
    if (url) {
        snprintf(s->url, sizeof s->url, "%s", url);
        return strlen(url) < sizeof s->url || err_set(err, ERR_INPUT, "--url is longer than %zu bytes", sizeof s->url - 1);
    }
    if (c->listen.port == 0)
        return err_set(err, ERR_CONFIG, "listen has port 0, so the port is not known here; give --url");
    if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0)
        host = *host == ':' ? "::1" : "127.0.0.1";
    bool v6 = strchr(host, ':') != NULL;
    struct address a;
    snprintf(s->url, sizeof s->url, "http%s://%s%s%s:%u/in/%s", c->tls_cert ? "s" : "", v6 ? "[" : "", host, v6 ? "]" : "",
             c->listen.port, s->source->name);
    /* A certificate for the public name says nothing of 127.0.0.1, and nobody stands between this machine and itself. */
    bool own = strcmp(host, "localhost") == 0 || (address_parse(span_of(host), &a) && address_is_loopback(&a));
    s->unchecked = c->tls_cert && own;
    if (s->unchecked)
        fprintf(s->io->err, "the certificate is not checked: %s is this machine's own\n", s->url);
    return true;
}

int cmd_send(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *name, *data = NULL, *type = NULL, *url = NULL, *many = "1";
    const struct opt spec[] = {{"--data", OPT_VALUE, &data},
                               {"--type", OPT_VALUE, &type},
                               {"--url", OPT_VALUE, &url},
                               {"--count", OPT_VALUE, &many},
                               {NULL, 0, NULL}};
    int n;
    char *end;
    if (!command_options(a, io, "send", spec, &name, 1, 1, &n))
        return EXIT_USAGE;
    uint64_t count = strtoull(many, &end, 10);
    if (*end || *many == '-' || count < 1 || count > SEND_MAX) {
        fprintf(io->err, "sluice send: --count %s is not a number from 1 to %d\n", many, SEND_MAX);
        return EXIT_USAGE;
    }
    struct sending s = {.source = instance_source(in, name, io), .config = in->config, .io = io, .type = type, .json = a->json};
    struct err err = {0};
    if (!s.source)
        return EXIT_USAGE;
    if (!take_url(&s, in->config, url, &err))
        return command_fail(io, &err);
    if (data)
        s.data = a->input.p ? a->input : SPAN_LIT("");
    buf_init(&s.answer, ANSWER_MAX);
    buf_init(&s.entry, 1 << 16);
    return send_all(&s, in->io, count);
}
