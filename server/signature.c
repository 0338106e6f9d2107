/* Signature headers: one signature behind a prefix, a list of k=v entries (t=…,v1=…), or a list of tag,signature entries with
 * spaces between them. What does not carry our tag is skipped: a version that we do not know is never accepted. */
#include "server/verify_internal.h"
#include "core/codec.h"
#include <stdio.h>

static enum verdict refuse(enum verdict v, char *why, size_t size, const char *name, const char *what)
{
    snprintf(why, size, "%s %s", name, what);
    return v;
}

/* The first alternative that is there at all counts, so that nobody chooses by adding another. */
static enum verdict find_header(const struct scheme *s, const struct http_message *m, struct signature *ret, char *why,
                                size_t size)
{
    for (const char **name = s->signature.headers; *name; name++) {
        unsigned count = 0;
        struct span value = http_header(m, span_of(*name), &count);
        if (count == 0)
            continue;
        ret->name = *name;
        ret->value = span_trim(value);
        if (count > 1)
            return refuse(VERDICT_MALFORMED, why, size, *name, "is there more than once");
        if (ret->value.n == 0)
            return refuse(VERDICT_MISSING_HEADER, why, size, *name, "is empty");
        return VERDICT_OK;
    }
    ret->name = s->signature.headers[0];
    return refuse(VERDICT_MISSING_HEADER, why, size, ret->name, "is not there");
}

static enum verdict find_query(const struct scheme *s, const struct http_message *m, struct buf *text, struct signature *ret,
                               char *why, size_t size)
{
    struct path path = {.root = ROOT_QUERY, .name = span_of(s->signature.query), .text = s->signature.query};
    struct scope scope = {.message = m};
    buf_clear(text);
    ret->name = s->signature.query;
    if (!path_text(&path, &scope, text) || text->n == 0)
        return refuse(VERDICT_MISSING_HEADER, why, size, s->signature.query, "is not in the query");
    ret->value = buf_span(text);
    return VERDICT_OK;
}

enum verdict signature_find(const struct scheme *s, const struct http_message *m, struct buf *text, struct signature *ret,
                            char *why, size_t why_size)
{
    *ret = (struct signature){0};
    return s->signature.headers ? find_header(s, m, ret, why, why_size) : find_query(s, m, text, ret, why, why_size);
}

/* false: more candidates than are looked at. */
static bool add_candidate(const struct scheme *s, struct signature *sig, struct span text, struct buf *decoded)
{
    size_t at = decoded->n;
    bool ok;
    sig->n_tagged++;
    if (sig->n_tagged > CANDIDATES_MAX)
        return false;
    switch (s->signature.encoding) {
    case ENC_HEX:
        ok = hex_decode(decoded, text);
        break;
    case ENC_BASE64:
        ok = base64_decode(decoded, text);
        break;
    default:
        buf_adds(decoded, text);
        ok = buf_ok(decoded);
        break;
    }
    if (ok && decoded->n > at)
        sig->candidates[sig->n_candidates++] = (struct candidate){at, decoded->n - at};
    else
        decoded->n = at;
    return true;
}

/* tag,signature tag,signature */
static bool split_tagged(const struct scheme *s, struct signature *sig, struct buf *decoded)
{
    struct span tag = span_of(s->signature.pick), rest = sig->value;
    while (rest.p) {
        struct span entry = span_trim(span_cut(rest, ' ', &rest));
        if (span_starts(entry, tag)) {
            if (!add_candidate(s, sig, span_skip(entry, tag.n), decoded))
                return false;
        } else if (entry.n && memchr(entry.p, ',', entry.n)) {
            sig->n_other++;
        }
    }
    return true;
}

/* k=v,k=v */
static bool split_pairs(const struct scheme *s, struct signature *sig, struct buf *decoded)
{
    struct span pick = span_of(s->signature.pick), rest = sig->value;
    while (rest.p) {
        struct span value, entry = span_trim(span_cut(rest, s->signature.list, &rest));
        struct span name = span_cut(entry, '=', &value);
        if (!value.p)
            continue;
        if (span_eq(name, pick)) {
            if (!add_candidate(s, sig, value, decoded))
                return false;
            continue;
        }
        if (sig->n_fields == SIGNATURE_FIELDS_MAX)
            return false;
        sig->fields[sig->n_fields++] = (struct scope_pair){name, value};
        sig->n_other++;
    }
    return true;
}

/* The field that carries the time must be there once: of two, one would be checked and the other perhaps signed. */
static bool time_is_clear(const struct scheme *s, const struct signature *sig)
{
    unsigned n = 0;
    if (!s->time.present || s->time.from.root != ROOT_SIGNATURE)
        return true;
    for (size_t i = 0; i < sig->n_fields; i++)
        n += span_eq(sig->fields[i].name, s->time.from.name);
    return n == 1;
}

enum verdict signature_split(const struct scheme *s, struct signature *sig, struct buf *decoded, char *why, size_t why_size)
{
    buf_clear(decoded);
    if (s->signature.prefix) {
        struct span prefix = span_of(s->signature.prefix);
        if (!span_starts(sig->value, prefix)) {
            snprintf(why, why_size, "%s does not begin with %s", sig->name, s->signature.prefix);
            return VERDICT_MALFORMED;
        }
        sig->value = span_skip(sig->value, prefix.n);
    }
    bool few = s->signature.list == 0     ? add_candidate(s, sig, sig->value, decoded)
               : s->signature.list == ' ' ? split_tagged(s, sig, decoded)
                                          : split_pairs(s, sig, decoded);
    if (!few)
        return refuse(VERDICT_MALFORMED, why, why_size, sig->name, "has more entries than any provider sends");
    if (sig->n_tagged == 0 && sig->n_other == 0)
        return refuse(VERDICT_MALFORMED, why, why_size, sig->name, "is not in the form of this scheme");
    if (!time_is_clear(s, sig)) {
        snprintf(why, why_size, "%s must carry %.*s= once", sig->name, SPAN_ARG(s->time.from.name));
        return VERDICT_MALFORMED;
    }
    if (sig->n_tagged && sig->n_candidates == 0) {
        static const char *const encodings[] = {"hex digits", "base64", "text"};
        snprintf(why, why_size, "the signature in %s is not %s", sig->name, encodings[s->signature.encoding]);
        return VERDICT_MALFORMED;
    }
    return VERDICT_OK;
}
