#include "staging/s3/sign_v2.h"
#include "core/codec.h"
#include <stdio.h>

static struct span header_value(const struct s3_v2 *r, struct span name)
{
    for (size_t i = 0; r->headers[i]; i++) {
        struct span value, found = span_cut(span_of(r->headers[i]), ':', &value);
        if (value.p && span_ieq(found, name))
            return span_trim(value);
    }
    return (struct span){"", 0};
}

static void add_amz_headers(struct buf *out, const struct s3_v2 *r)
{
    for (size_t i = 0; r->headers[i]; i++) {
        struct span value, name = span_cut(span_of(r->headers[i]), ':', &value);
        if (value.p && span_starts(name, SPAN_LIT("x-amz-")))
            buf_addf(out, "%.*s:%.*s\n", SPAN_ARG(name), SPAN_ARG(span_trim(value)));
    }
}

/* Of the parameters, those that name a part of the object rather than choose among the answer. */
static void add_subresources(struct buf *out, const struct s3_v2 *r)
{
    static const char *const names[] = {"partNumber", "uploadId", "uploads"}; /* in order */
    char before = '?';
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (size_t k = 0; k < r->n_params; k++) {
            if (strcmp(r->params[k].name, names[i]) != 0)
                continue;
            buf_addf(out, "%c%s%s%s", before, names[i], *r->params[k].value ? "=" : "", r->params[k].value);
            before = '&';
        }
    }
}

void s3_v2_text(struct buf *out, const struct s3_v2 *r)
{
    struct buf url = {0};
    struct s3_place path = {.scheme = "", .authority = "", .path = "", .bucket = r->place->bucket, .prefix = r->place->prefix};
    buf_addf(out, "%s\n\n%.*s\n%s\n", r->method, SPAN_ARG(header_value(r, SPAN_LIT("content-type"))), r->date);
    add_amz_headers(out, r);
    s3_url_write(&url, &path, NULL, r->key, NULL, 0);
    buf_addf(out, "%s%s", buf_z(&url) + strlen("://"), !r->key && r->place->virtual_style ? "/" : "");
    add_subresources(out, r);
    buf_release(&url);
}

void s3_v2_header(struct buf *out, const struct s3_v2 *r, const struct s3_keys *keys)
{
    struct buf text = {0};
    unsigned char mac[HMAC_BYTES_MAX];
    s3_v2_text(&text, r);
    size_t n = hmac(HMAC_SHA1, span_of(keys->secret), buf_span(&text), mac);
    buf_addf(out, "Authorization: AWS %s:", keys->access);
    base64_encode(out, (struct span){(const char *)mac, n});
    buf_release(&text);
}
