#include "core/codec.h"
#include "sources/path_internal.h"
#include <openssl/crypto.h>
#include <stdlib.h>

#define PARTS_MAX 32
#define FIELDS_MAX 512 /* of a form that is sorted */

/* In the order of enum template_filter. */
static const char *const filter_names[] = {"sha256", "hex",         "crc32",     "sorted",      "percent", "sha1",
                                           "base64", "last",        "hmac-sha256", "hmac-sha1", "hmac-sha512", NULL};

/* ---- reading ---- */

struct template_reader {
    struct arena *arena;
    const struct yaml_node *at;
    const char *const *parents;
    struct report *report;
    struct template_part parts[PARTS_MAX];
    size_t n;
    struct buf literal; /* not yet closed */
};

static bool add_part(struct template_reader *t, struct template_part part)
{
    if (t->n == PARTS_MAX) {
        report_at(t->report, t->at, "a template with more than %d parts", PARTS_MAX);
        return false;
    }
    t->parts[t->n++] = part;
    return true;
}

static bool close_literal(struct template_reader *t)
{
    if (t->literal.n == 0)
        return true;
    struct span text = {arena_dup(t->arena, buf_span(&t->literal)), t->literal.n};
    buf_clear(&t->literal);
    return add_part(t, (struct template_part){.literal = true, .text = text});
}

static uint8_t find_filter(struct template_reader *t, struct span name)
{
    for (size_t i = 0; filter_names[i]; i++)
        if (span_eqz(name, filter_names[i]))
            return (uint8_t)(i + 1);
    const char *near = nearest_word(name, filter_names);
    report_at(t->report, t->at,
              "no such filter '%.*s'%s%s%s; there are sha256, sha1, hex, base64, crc32, sorted, percent, last, hmac-sha256, "
              "hmac-sha1, hmac-sha512",
              SPAN_ARG(name), near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
    return FILTER_NONE;
}

/* What follows the name of an HMAC: the path of its key, and a digest where that is the key. */
static bool read_key(struct template_reader *t, struct span name, struct span text, struct template_part *part)
{
    static const char *const digests[] = {"sha256", "sha1", NULL};
    struct span digest, path = span_cut(text, ' ', &digest);
    if (path.n == 0) {
        report_at(t->report, t->at, "'%.*s' needs its key: %.*s secret, or %.*s config.…", SPAN_ARG(name), SPAN_ARG(name),
                  SPAN_ARG(name));
        return false;
    }
    if (part->key) {
        report_at(t->report, t->at, "more than one HMAC in one pair of braces");
        return false;
    }
    struct template_key *key = arena_alloc(t->arena, sizeof(*key));
    digest = span_trim(digest);
    if (span_eqz(digest, digests[0])) {
        key->digest = FILTER_SHA256;
    } else if (span_eqz(digest, digests[1])) {
        key->digest = FILTER_SHA1;
    } else if (digest.n) {
        const char *near = nearest_word(digest, digests);
        report_at(t->report, t->at, "a key can be taken as it is, or by its sha256 or sha1, not '%.*s'%s%s%s", SPAN_ARG(digest),
                  near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
        return false;
    }
    part->key = key;
    return path_compile_words(t->arena, t->at, path, NULL, false, &key->path, t->report);
}

static bool check_sorted(struct template_reader *t, const struct template_part *part, size_t n)
{
    if (part->filters[0] == FILTER_SORTED && (part->path.root != ROOT_FORM || part->path.name.n > 0)) {
        report_at(t->report, t->at, "'sorted' is for all fields of a form: {form|sorted}");
        return false;
    }
    for (size_t i = 1; i < n; i++) {
        if (part->filters[i] == FILTER_SORTED) {
            report_at(t->report, t->at, "'sorted' must be the first filter");
            return false;
        }
    }
    return true;
}

static bool read_filters(struct template_reader *t, struct span filters, struct template_part *part)
{
    size_t n = 0;
    while (filters.p) {
        struct span key, name = span_cut(span_trim(span_cut(filters, '|', &filters)), ' ', &key);
        uint8_t filter = find_filter(t, name);
        if (!filter)
            return false;
        if (n == sizeof(part->filters)) {
            report_at(t->report, t->at, "more than %zu filters", sizeof(part->filters));
            return false;
        }
        part->filters[n++] = filter;
        if (filter >= FILTER_HMAC_SHA256) {
            if (!read_key(t, name, span_trim(key), part))
                return false;
        } else if (key.p) {
            report_at(t->report, t->at, "'%.*s' takes nothing: '%.*s' is too much", SPAN_ARG(name), SPAN_ARG(key));
            return false;
        }
    }
    return check_sorted(t, part, n);
}

/* The part before " + ", which is taken off *s. */
static struct span take_joined(struct span *s)
{
    const char *at = s->n ? memmem(s->p, s->n, " + ", 3) : NULL;
    struct span first = at ? span_make(s->p, (size_t)(at - s->p)) : *s;
    *s = at ? span_skip(*s, first.n + 3) : (struct span){NULL, 0};
    return span_trim(first);
}

static bool read_joined(struct template_reader *t, struct span rest, struct template_part *part)
{
    if (part->optional) {
        report_at(t->report, t->at, "'?' is for one path alone");
        return false;
    }
    part->joined = arena_alloc(t->arena, PARTS_MAX * sizeof(*part->joined));
    while (rest.p) {
        if (part->n_joined == PARTS_MAX) {
            report_at(t->report, t->at, "more than %d paths are joined", PARTS_MAX);
            return false;
        }
        struct path *next = &part->joined[part->n_joined++];
        if (!path_compile_words(t->arena, t->at, take_joined(&rest), t->parents, true, next, t->report))
            return false;
    }
    return true;
}

static bool read_placeholder(struct template_reader *t, struct span inside)
{
    struct template_part part = {0};
    struct span filters, path = span_trim(span_cut(inside, '|', &filters));
    if (path.n && path.p[path.n - 1] == '?') {
        part.optional = true;
        path.n--;
    }
    if (path.n == 0) {
        report_at(t->report, t->at, "empty braces; a literal brace is written {{ or }}");
        return false;
    }
    struct span rest = path, first = take_joined(&rest);
    return path_compile_words(t->arena, t->at, first, t->parents, true, &part.path, t->report) &&
           (!rest.p || read_joined(t, rest, &part)) && read_filters(t, filters, &part) && add_part(t, part);
}

static bool read_parts(struct template_reader *t, struct span s)
{
    while (s.n) {
        char c = s.p[0];
        if ((c == '{' || c == '}') && s.n > 1 && s.p[1] == c) {
            buf_addc(&t->literal, c);
            s = span_skip(s, 2);
        } else if (c == '}') {
            report_at(t->report, t->at, "a '}' without its '{'; a literal brace is written }}");
            return false;
        } else if (c == '{') {
            struct span rest, inside = span_cut(span_skip(s, 1), '}', &rest);
            if (!rest.p || (inside.n && memchr(inside.p, '{', inside.n))) {
                report_at(t->report, t->at, "a '{' without its '}'; a literal brace is written {{");
                return false;
            }
            if (!close_literal(t) || !read_placeholder(t, inside))
                return false;
            s = rest;
        } else {
            buf_addc(&t->literal, c);
            s = span_skip(s, 1);
        }
    }
    return close_literal(t);
}

bool template_compile(struct arena *a, const struct yaml_node *at, struct span text, const char *const *parents,
                      struct template *ret, struct report *r)
{
    struct template_reader t = {.arena = a, .at = at, .parents = parents, .report = r};
    const char *copy = arena_dup(a, text);
    buf_init(&t.literal, 0);
    bool ok = read_parts(&t, (struct span){copy, text.n});
    buf_release(&t.literal);
    if (!ok)
        return false;
    struct template made = {.text = copy, .n_parts = t.n};
    if (t.n) {
        made.parts = arena_alloc(a, t.n * sizeof(*made.parts));
        memcpy(made.parts, t.parts, t.n * sizeof(*made.parts));
    }
    *ret = made;
    return true;
}

/* ---- rendering ---- */

static uint32_t crc32_of(struct span s)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < s.n; i++) {
        crc ^= (unsigned char)s.p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
    }
    return ~crc;
}

struct form_field {
    size_t name, name_n, value_n; /* places in the decoded text: name, then value */
    const struct buf *text;
};

static int compare_fields(const void *left, const void *right)
{
    const struct form_field *a = left, *b = right;
    size_t n = a->name_n < b->name_n ? a->name_n : b->name_n;
    int order = n ? memcmp(a->text->p + a->name, b->text->p + b->name, n) : 0;
    if (order == 0)
        order = (a->name_n > b->name_n) - (a->name_n < b->name_n);
    return order ? order : (a->name > b->name) - (a->name < b->name);
}

/* All fields of a form by name: name and value, decoded, without anything between. false: a bad escape, too many. */
static bool sort_form(struct span form, struct buf *out)
{
    struct buf text;
    struct form_field *fields = mem_alloc(FIELDS_MAX * sizeof(*fields));
    size_t n = 0;
    bool ok = true;
    buf_init(&text, 0);
    while (ok && form.n) {
        struct span rest, value, name = span_cut(span_cut(form, '&', &rest), '=', &value);
        struct form_field f = {.name = text.n, .text = &text};
        ok = n < FIELDS_MAX && percent_decode(&text, name, true);
        f.name_n = text.n - f.name;
        ok = ok && (!value.n || percent_decode(&text, value, true));
        f.value_n = text.n - f.name - f.name_n;
        if (ok)
            fields[n++] = f;
        form = rest;
    }
    if (n)
        qsort(fields, n, sizeof(*fields), compare_fields);
    for (size_t i = 0; ok && i < n; i++) {
        if (fields[i].name_n + fields[i].value_n)
            buf_add(out, text.p + fields[i].name, fields[i].name_n + fields[i].value_n);
    }
    free(fields);
    buf_release(&text);
    return ok;
}

/* What the HMAC is keyed with, into out. false: it is absent. */
static bool key_of(const struct template_key *key, const struct scope *scope, struct buf *out)
{
    unsigned char digest[32];
    if (!path_text(&key->path, scope, out))
        return false;
    if (key->digest == FILTER_NONE)
        return true;
    if (key->digest == FILTER_SHA256)
        sha256(buf_span(out), digest);
    else
        sha1(buf_span(out), digest);
    OPENSSL_cleanse(out->p, out->n);
    buf_clear(out);
    buf_add(out, digest, key->digest == FILTER_SHA256 ? 32 : 20);
    OPENSSL_cleanse(digest, sizeof(digest));
    return true;
}

static bool apply_hmac(enum hmac_digest kind, const struct template_key *key, const struct scope *scope, struct span in,
                       struct buf *out)
{
    unsigned char digest[HMAC_BYTES_MAX];
    struct buf text;
    buf_init(&text, 1 << 16);
    bool ok = key_of(key, scope, &text) && buf_ok(&text);
    if (ok)
        buf_add(out, digest, hmac(kind, buf_span(&text), in, digest));
    buf_wipe(&text);
    return ok;
}

/* in -> out, which is empty. */
static bool apply_filter(const struct template_part *part, uint8_t filter, const struct scope *scope, struct span in,
                         struct buf *out)
{
    unsigned char digest[32];
    switch (filter) {
    case FILTER_SHA256:
        sha256(in, digest);
        buf_add(out, digest, sizeof(digest));
        return true;
    case FILTER_SHA1:
        sha1(in, digest);
        buf_add(out, digest, 20);
        return true;
    case FILTER_HMAC_SHA256:
        return apply_hmac(HMAC_SHA256, part->key, scope, in, out);
    case FILTER_HMAC_SHA1:
        return apply_hmac(HMAC_SHA1, part->key, scope, in, out);
    case FILTER_HMAC_SHA512:
        return apply_hmac(HMAC_SHA512, part->key, scope, in, out);
    case FILTER_HEX:
        hex_encode(out, in);
        return true;
    case FILTER_BASE64:
        base64_encode(out, in);
        return true;
    case FILTER_LAST: {
        const char *slash = in.n ? memrchr(in.p, '/', in.n) : NULL;
        buf_adds(out, slash ? span_skip(in, (size_t)(slash - in.p) + 1) : in);
        return true;
    }
    case FILTER_CRC32:
        buf_addf(out, "%lu", (unsigned long)crc32_of(in));
        return true;
    case FILTER_SORTED:
        return sort_form(in, out);
    case FILTER_PERCENT:
        percent_encode(out, in);
        return true;
    default:
        return false;
    }
}

/* The whole body and whole form of a message are its bytes as received. */
static bool part_text(const struct path *path, const struct scope *scope, struct buf *out)
{
    if (path->root == ROOT_BODY && path->n_steps == 0 && scope->message) {
        buf_adds(out, scope->message->body);
        return true;
    }
    return path_text(path, scope, out);
}

static bool joined_text(const struct template_part *part, const struct scope *scope, struct buf *out)
{
    bool there = part_text(&part->path, scope, out);
    for (size_t i = 0; there && i < part->n_joined; i++)
        there = part_text(&part->joined[i], scope, out);
    return there;
}

static bool render_filtered(const struct template_part *part, const struct scope *scope, struct buf *out, bool *ret_there)
{
    struct buf a, b;
    buf_init(&a, 0);
    buf_init(&b, 0);
    *ret_there = joined_text(part, scope, &a);
    bool ok = true;
    for (size_t i = 0; *ret_there && ok && i < sizeof(part->filters) && part->filters[i]; i++) {
        buf_clear(&b);
        ok = apply_filter(part, part->filters[i], scope, buf_span(&a), &b);
        struct buf spare = a;
        a = b;
        b = spare;
    }
    ok = ok && buf_ok(&a) && buf_ok(&b);
    if (ok && *ret_there)
        buf_adds(out, buf_span(&a));
    if (part->n_joined || part->path.root == ROOT_CONFIG || part->path.root == ROOT_SECRET) {
        buf_wipe(&a); /* secrets may have been in them */
        buf_wipe(&b);
    }
    buf_release(&a);
    buf_release(&b);
    return ok;
}

bool template_render(const struct template *t, const struct scope *scope, struct buf *out, struct err *err)
{
    for (size_t i = 0; i < t->n_parts; i++) {
        const struct template_part *part = &t->parts[i];
        bool there = true;
        if (part->literal) {
            buf_adds(out, part->text);
            continue;
        }
        bool plain = !part->filters[0] && !part->n_joined;
        if (!plain && !render_filtered(part, scope, out, &there))
            return err_set(err, ERR_INPUT, "%s can't be written as the template asks", part->path.text);
        if (plain)
            there = part_text(&part->path, scope, out);
        if (!there && !part->optional)
            return err_set(err, ERR_INPUT, "%s is absent", part->path.text);
    }
    if (!buf_ok(out))
        return err_set(err, ERR_NOMEM, "a rendered text is too long");
    return true;
}
