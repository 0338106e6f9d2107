#include "staging/s3/answer.h"
#include "staging/s3/xml.h"
#include <stdio.h>

#define TEXT_MAX ((size_t)8 << 10)
#define BACKOFF_US (UINT64_C(100) * 1000)
#define BACKOFF_MAX_US (UINT64_C(4000) * 1000)

static void keep(char *to, size_t n, const struct buf *text)
{
    size_t k = 0;
    for (size_t i = 0; i < text->n && k + 1 < n; i++) {
        if (text->p[i] >= ' ' && text->p[i] <= '~')
            to[k++] = text->p[i];
    }
    to[k] = '\0';
}

bool s3_error_read(struct span body, struct s3_error *ret)
{
    struct xml x;
    struct buf text;
    bool ok = false, bad = false;
    *ret = (struct s3_error){0};
    buf_init(&text, TEXT_MAX);
    xml_init(&x, body);
    for (enum xml_event e = xml_next(&x); e != XML_END && !bad; e = xml_next(&x)) {
        struct span name = xml_name(&x);
        bad = e == XML_BAD;
        if (e == XML_OPEN) {
            ok = ok || span_eqz(name, "Error");
            buf_clear(&text);
        }
        /* Deeper than the error's own fields (or STS' <ErrorResponse><Error>) nothing is meant for us. */
        if (e != XML_TEXT || !ok || x.depth > 3 || !xml_text(&x, &text))
            continue;
        if (span_eqz(name, "Code"))
            keep(ret->code, sizeof(ret->code), &text);
        else if (span_eqz(name, "Message"))
            keep(ret->message, sizeof(ret->message), &text);
        else if (span_eqz(name, "Region"))
            keep(ret->region, sizeof(ret->region), &text);
        else if (span_eqz(name, "Endpoint"))
            keep(ret->endpoint, sizeof(ret->endpoint), &text);
    }
    buf_release(&text);
    if (!ok || bad)
        *ret = (struct s3_error){0};
    return ok && !bad;
}

struct paging {
    const char *item; /* the element of one */
    bool (*each)(void *ctx, struct span key, struct span upload);
    void *ctx;
    struct buf text, key, upload;
    bool stopped;
};

static void take_page_field(struct paging *p, struct span name, struct s3_list *ret)
{
    struct span s = buf_span(&p->text);
    if (span_eqz(name, "IsTruncated")) {
        ret->truncated = span_eqz(s, "true");
    } else if (span_eqz(name, "NextContinuationToken") || span_eqz(name, "NextKeyMarker")) {
        buf_clear(&ret->next);
        buf_adds(&ret->next, s);
    } else if (span_eqz(name, "NextUploadIdMarker")) {
        buf_clear(&ret->next_upload);
        buf_adds(&ret->next_upload, s);
    }
}

static void take_item_field(struct paging *p, struct span name)
{
    struct buf *to = span_eqz(name, "Key") ? &p->key : span_eqz(name, "UploadId") ? &p->upload : NULL;
    if (!to)
        return;
    buf_clear(to);
    buf_adds(to, buf_span(&p->text));
}

/* An element was closed: its name still stands behind those that are open. */
static void take_close(struct paging *p, const struct xml *x, struct s3_list *ret)
{
    struct span closed = x->names[x->depth];
    if (x->depth == 2 && span_eqz(x->names[1], p->item)) {
        take_item_field(p, closed);
    } else if (x->depth == 1 && span_eqz(closed, p->item)) {
        if (p->key.n && !p->stopped && !p->each(p->ctx, buf_span(&p->key), buf_span(&p->upload)))
            p->stopped = true;
        buf_clear(&p->key);
        buf_clear(&p->upload);
    } else if (x->depth == 1) {
        take_page_field(p, closed, ret);
    }
}

/* <Root><Item><Key/><UploadId/>…</Item>… and fields of the page beside the items. */
static bool read_page(struct span body, struct paging *p, struct s3_list *ret)
{
    struct xml x;
    bool ok = true;
    xml_init(&x, body);
    buf_init(&p->text, TEXT_MAX);
    buf_init(&p->key, TEXT_MAX);
    buf_init(&p->upload, TEXT_MAX);
    ret->truncated = false;
    buf_clear(&ret->next);
    buf_clear(&ret->next_upload);
    for (enum xml_event e = xml_next(&x); ok && e != XML_END; e = ok ? xml_next(&x) : XML_BAD) {
        if (e == XML_BAD) {
            ok = false;
        } else if (e == XML_TEXT) {
            ok = xml_text(&x, &p->text);
        } else {
            if (e == XML_CLOSE)
                take_close(p, &x, ret);
            buf_clear(&p->text);
        }
    }
    buf_release(&p->text);
    buf_release(&p->key);
    buf_release(&p->upload);
    return ok && buf_ok(&ret->next) && buf_ok(&ret->next_upload);
}

struct keys_only {
    bool (*each)(void *ctx, struct span key);
    void *ctx;
};

static bool give_key(void *ctx, struct span key, struct span upload)
{
    struct keys_only *k = ctx;
    (void)upload;
    return k->each(k->ctx, key);
}

bool s3_list_read(struct span body, bool (*each)(void *ctx, struct span key), void *ctx, struct s3_list *ret)
{
    struct keys_only k = {each, ctx};
    struct paging p = {.item = "Contents", .each = give_key, .ctx = &k};
    return read_page(body, &p, ret);
}

bool s3_uploads_read(struct span body, bool (*each)(void *ctx, struct span key, struct span upload), void *ctx,
                     struct s3_list *ret)
{
    struct paging p = {.item = "Upload", .each = each, .ctx = ctx};
    return read_page(body, &p, ret);
}

void s3_list_release(struct s3_list *l)
{
    buf_release(&l->next);
    buf_release(&l->next_upload);
}

bool s3_element(struct span body, const char *name, struct buf *out)
{
    struct xml x;
    bool open = false;
    xml_init(&x, body);
    for (enum xml_event e = xml_next(&x); e != XML_END && e != XML_BAD; e = xml_next(&x)) {
        if (e == XML_OPEN)
            open = span_eqz(xml_name(&x), name);
        else if (e == XML_TEXT && open && span_eqz(xml_name(&x), name))
            return xml_text(&x, out);
    }
    return false;
}

static bool is(const struct s3_error *e, const char *code)
{
    return strcmp(e->code, code) == 0;
}

/* What goes by itself, whatever the status. */
static bool is_passing(const struct s3_error *e)
{
    static const char *const codes[] = {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling",
                                        "ThrottlingException", "RequestLimitExceeded", "OperationAborted",
                                        "ConditionalRequestConflict"};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (is(e, codes[i]))
            return true;
    }
    return false;
}

enum s3_verdict s3_judge(long status, const struct s3_error *e)
{
    if (is_passing(e))
        return S3_RETRY; /* also in a 200 whose body tells of the failure that came after its head */
    if (status >= 200 && status < 300)
        return *e->code ? S3_REFUSED : S3_DONE;
    if ((is(e, "AuthorizationHeaderMalformed") || is(e, "IllegalLocationConstraintException")) && *e->region)
        return S3_REGION;
    if (is(e, "PermanentRedirect") || status == 301 || status == 302 || status == 307 || status == 308)
        return S3_REDIRECT;
    if (is(e, "ExpiredToken") || is(e, "ExpiredTokenException") || is(e, "RequestExpired"))
        return S3_RENEW;
    if (is(e, "NoSuchBucket"))
        return S3_REFUSED;
    switch (status) {
    case 404:
        return S3_ABSENT;
    case 412:
        return S3_EXISTS;
    case 501:
        return S3_UNCONDITIONAL;
    case 408:
    case 409:
    case 425:
    case 429:
        return S3_RETRY;
    default:
        return status >= 500 ? S3_RETRY : S3_REFUSED;
    }
}

/* What to do comes first: a list of troubles may cut the end off. */
static bool refuse(struct err *err, const char *advice, long status, const struct s3_error *e, const char *what)
{
    return err_set(err, ERR_CONFIG, "%s (%s: %ld%s%s%s%s)", advice, what, status, *e->code ? " " : "", e->code,
                   *e->message ? ": " : "",
                   e->message);
}

bool s3_explain(struct err *err, long status, const struct s3_error *e, const char *bucket, const char *region, const char *what)
{
    char advice[320];
    if (is(e, "NoSuchBucket"))
        (void)snprintf(advice, sizeof(advice), "there is no bucket '%s'; make it, or correct staging.objects.url", bucket);
    else if (is(e, "InvalidAccessKeyId") || is(e, "InvalidClientTokenId"))
        (void)snprintf(advice, sizeof(advice),
                       "the store does not know the access key; correct staging.objects.access_key or the "
                                               "place where the credentials come from");
    else if (is(e, "SignatureDoesNotMatch"))
        (void)snprintf(advice, sizeof(advice),
                       "the secret key does not belong to the access key; correct staging.objects.secret_key, "
                                               "or staging.objects.signature where the store speaks the other version");
    else if (is(e, "RequestTimeTooSkewed"))
        (void)snprintf(advice, sizeof(advice), "this machine's clock is wrong by more than the store allows; set it (NTP)");
    else if (is(e, "InvalidToken") || is(e, "ExpiredToken") || is(e, "ExpiredTokenException"))
        (void)snprintf(advice, sizeof(advice),
                       "the session token is not valid any more; renew it where the credentials come from");
    else if (is(e, "AuthorizationHeaderMalformed") || is(e, "PermanentRedirect") || status == 301)
        (void)snprintf(advice, sizeof(advice), "the bucket '%s' is not in region %s%s%s; correct staging.objects.region", bucket,
                       region,
                       *e->region ? ", but in " : "", e->region);
    else if (status == 403 || is(e, "AccessDenied"))
        (void)snprintf(advice, sizeof(advice), "access denied; the credentials need s3:PutObject, GetObject, DeleteObject, "
                                               "AbortMultipartUpload and ListBucket on '%s'", bucket);
    else if (status == 401)
        (void)snprintf(advice, sizeof(advice), "the store asks for other credentials");
    else if (status >= 500 || status == 429 || status == 408)
        return err_set(err, ERR_TRANSIENT, "the store is overloaded or out of order; it is tried again (%s: %ld %s)", what,
                       status,
                       e->code);
    else
        (void)snprintf(advice, sizeof(advice), "the store refuses the request");
    return refuse(err, advice, status, e, what);
}

uint64_t s3_backoff_us(unsigned tries, uint64_t random)
{
    unsigned doubled = tries ? tries - 1 : 0;
    uint64_t most = BACKOFF_US << (doubled < 6 ? doubled : 6);
    most = most < BACKOFF_MAX_US ? most : BACKOFF_MAX_US;
    return random % most + 1;
}
