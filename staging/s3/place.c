#include "staging/s3/place.h"
#include "core/codec.h"
#include "core/mem.h"
#include <stdlib.h>

#define PATH_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._=-/"
#define HOST_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:[]"

bool s3_endpoint_parse(const char *url, char **ret_scheme, char **ret_authority, char **ret_path)
{
    struct span s = span_of(url), rest;
    size_t scheme = span_starts(s, SPAN_LIT("https://")) ? 5 : span_starts(s, SPAN_LIT("http://")) ? 4 : 0;
    if (!scheme)
        return false;
    rest = span_skip(s, scheme + 3);
    size_t host = strspn(rest.p, HOST_CHARS), path = rest.n - host;
    if (!host || (path && rest.p[host] != '/') || strspn(rest.p + host, PATH_CHARS) != path)
        return false;
    while (path && rest.p[host + path - 1] == '/')
        path--;
    *ret_scheme = mem_dup_span((struct span){url, scheme});
    *ret_authority = mem_dup_span((struct span){rest.p, host});
    *ret_path = mem_dup_span((struct span){rest.p + host, path});
    return true;
}

static void add_path(struct buf *out, const char *path)
{
    struct span rest = span_of(path);
    while (rest.p) {
        percent_encode(out, span_cut(rest, '/', &rest));
        if (rest.p)
            buf_addc(out, '/');
    }
}

void s3_url_write(struct buf *out, const struct s3_place *p, const char *authority, const char *key,
                  const struct s3_param *params,
                  size_t n_params)
{
    const struct s3_param *sorted[S3_PARAMS_MAX];
    size_t n = 0;
    buf_addf(out, "%s://", p->scheme);
    if (p->virtual_style && !authority)
        buf_addf(out, "%s.", p->bucket);
    buf_addf(out, "%s%s/", authority ? authority : p->authority, p->path);
    if (!p->virtual_style)
        buf_addf(out, "%s%s", p->bucket, key ? "/" : "");
    if (key) {
        add_path(out, p->prefix);
        add_path(out, key);
    }
    for (; n < n_params && n < S3_PARAMS_MAX; n++) {
        size_t at = n;
        for (; at && strcmp(sorted[at - 1]->name, params[n].name) > 0; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = &params[n];
    }
    for (size_t i = 0; i < n; i++) {
        buf_addc(out, i ? '&' : '?');
        percent_encode(out, span_of(sorted[i]->name));
        buf_addc(out, '=');
        percent_encode(out, span_of(sorted[i]->value));
    }
}
