#include "server/verify_internal.h"
#include "core/clock.h"
#include "core/codec.h"
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>

/* One request before one scheme. */
struct judging {
    const struct verifier *v;
    const struct verify_scheme *s;
    const struct http_message *m;
    struct scope scope;
    struct verify_scratch *scratch;
    struct signature sig;
    struct signed_part parts[SIGNED_PARTS_MAX];
    uint64_t now_us, tolerance_us, time_us;
    char time_text[64];
    struct verify_result *ret;
};

static void step(struct verify_result *ret, bool ok, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void step(struct verify_result *ret, bool ok, const char *fmt, ...)
{
    if (!ret->steps || ret->n_steps == VERIFY_STEPS_MAX)
        return;
    struct verify_step *s = &ret->steps[ret->n_steps++];
    s->ok = ok;
    s->ids_at = 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->text, sizeof s->text, fmt, ap);
    va_end(ap);
}

/* ---- the signed text ---- */

static enum verdict refuse(char *why, size_t size, enum verdict v, struct span name, const char *what)
{
    snprintf(why, size, "%.*s %s", SPAN_ARG(name), what);
    return v;
}

/* A header that is hashed, or that has to be there, must be there once: of two, another reader might take the other. */
static enum verdict header_once(const struct http_message *m, struct span name, bool optional, char *why, size_t size)
{
    unsigned count = 0;
    struct span value = http_header(m, name, &count);
    if (count > 1)
        return refuse(why, size, VERDICT_MALFORMED, name, "is there more than once");
    if (count == 0 && !optional)
        return refuse(why, size, VERDICT_MISSING_HEADER, name, "is not there");
    if (count == 1 && span_trim(value).n == 0 && !optional)
        return refuse(why, size, VERDICT_MISSING_HEADER, name, "is empty");
    return VERDICT_OK;
}

/* The same for a path, with what stands after its `or`. */
static enum verdict path_once(const struct http_message *m, const struct path *path, bool optional, char *why, size_t size)
{
    for (; path && path->root == ROOT_HEADER; path = path->other) {
        unsigned count = 0;
        http_header(m, path->name, &count);
        if (count || !path->other)
            return header_once(m, path->name, optional, why, size);
    }
    return VERDICT_OK;
}

enum verdict signed_parts(const struct scheme *s, const struct scope *scope, struct buf *text,
                          struct signed_part parts[SIGNED_PARTS_MAX], char *why, size_t why_size)
{
    const struct template *t = &s->signed_text;
    buf_clear(text);
    for (size_t i = 0; i < t->n_parts && i < SIGNED_PARTS_MAX; i++) {
        const struct template_part *from = &t->parts[i];
        struct signed_part *to = &parts[i];
        *to = (struct signed_part){.kind = PART_TEXT, .at = text->n};
        if (from->literal) {
            to->literal = from->text;
            continue;
        }
        if (from->path.root == ROOT_BODY && from->path.n_steps == 0 && !from->filters[0]) {
            to->kind = PART_BODY;
            continue;
        }
        if (from->path.root == ROOT_SECRET) {
            to->kind = PART_SECRET;
            continue;
        }
        struct template one = {.parts = &t->parts[i], .n_parts = 1, .text = t->text};
        struct err err = {0};
        if (!template_render(&one, scope, text, &err)) {
            snprintf(why, why_size, "%.*s", (int)(why_size - 1), err.msg);
            return VERDICT_MALFORMED;
        }
        to->n = text->n - to->at;
    }
    return VERDICT_OK;
}

struct span part_span(const struct signed_part *part, struct span text, struct span body, struct span secret)
{
    if (part->kind == PART_BODY)
        return body;
    if (part->kind == PART_SECRET)
        return secret;
    return part->literal.p ? part->literal : (struct span){text.p + part->at, part->n};
}

size_t mac_of(const struct verify_key *key, const struct signed_part *parts, size_t n, struct span text, struct span body,
              struct span secret, unsigned char out[DIGEST_BYTES_MAX])
{
    EVP_MAC_CTX *c = EVP_MAC_CTX_dup(key->mac);
    bool ok = c != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        struct span s = part_span(&parts[i], text, body, secret);
        if (s.n)
            ok = EVP_MAC_update(c, (const unsigned char *)s.p, s.n) == 1;
    }
    size_t size = 0;
    ok = ok && EVP_MAC_final(c, out, &size, DIGEST_BYTES_MAX) == 1;
    EVP_MAC_CTX_free(c);
    return ok ? size : 0;
}

/* ---- the time ---- */

static bool time_parse(struct span text, enum time_unit unit, uint64_t *ret)
{
    if (unit == UNIT_ISO8601)
        return clock_parse_iso(text, ret);
    return clock_parse_digits(text, unit == UNIT_MS ? 'm' : 's', ret);
}

static enum verdict read_time(struct judging *j, char *why, size_t size)
{
    const struct time_rule *t = &j->s->rule->time;
    struct buf text;
    buf_init(&text, sizeof j->time_text - 1);
    bool there = path_text(&t->from, &j->scope, &text) && buf_ok(&text);
    memcpy(j->time_text, text.p ? text.p : "", text.n);
    j->scope.time = (struct span){j->time_text, text.n};
    buf_release(&text);
    if (!t->is_signed)
        return VERDICT_OK;
    if (!there || !time_parse(j->scope.time, t->unit, &j->time_us)) {
        static const char *const forms[] = {"a time", "a time in whole seconds", "a time in whole milliseconds",
                                            "an ISO 8601 time"};
        snprintf(why, size, "%s is not %s", t->from.text, forms[t->unit]);
        return VERDICT_MALFORMED;
    }
    return VERDICT_OK;
}

static enum verdict judge_window(struct judging *j)
{
    const struct time_rule *t = &j->s->rule->time;
    if (!t->present || !t->is_signed)
        return VERDICT_OK;
    uint64_t past = j->tolerance_us == UINT64_MAX ? t->past_us : j->tolerance_us;
    uint64_t future = j->tolerance_us == UINT64_MAX ? t->future_us : j->tolerance_us;
    bool ahead = j->time_us > j->now_us, limited = ahead ? t->has_future && t->future_us : t->has_past && t->past_us;
    uint64_t away = ahead ? j->time_us - j->now_us : j->now_us - j->time_us, allowed = ahead ? future : past;
    char at[CLOCK_TEXT_MAX];
    clock_iso_s(j->time_us, at);
    bool ok = !limited || away <= allowed;
    if (limited)
        step(j->ret, ok, "time %s, %llu s %s (%llu s allowed)", at, (unsigned long long)(away / 1000000),
             ahead ? "ahead" : "old", (unsigned long long)(allowed / 1000000));
    else
        step(j->ret, true, "time %s, %llu s %s (not limited)", at, (unsigned long long)(away / 1000000), ahead ? "ahead" : "old");
    return ok ? VERDICT_OK : VERDICT_EXPIRED;
}

/* ---- the signature ---- */

/* Compares with every candidate, without stopping at the first that is equal. */
static bool any_equal(const struct judging *j, struct span computed)
{
    unsigned equal = 0;
    for (size_t i = 0; i < j->sig.n_candidates; i++) {
        const struct candidate *c = &j->sig.candidates[i];
        equal |= ct_equal((struct span){j->scratch->decoded.p + c->at, c->n}, computed);
    }
    return equal != 0;
}

static bool mac_matches(struct judging *j, const struct verify_key *key)
{
    const struct held_secret *held = &j->v->secrets[key->secret];
    unsigned char digest[DIGEST_BYTES_MAX];
    size_t n = mac_of(key, j->parts, j->s->rule->signed_text.n_parts, buf_span(&j->scratch->text), j->m->body,
                      (struct span){held->text, held->n}, digest);
    return n == digest_bytes(j->s->rule->algorithm) && any_equal(j, span_make(digest, n));
}

static bool ed25519_matches(struct judging *j, const struct verify_key *key)
{
    struct buf *whole = &j->scratch->whole;
    buf_clear(whole);
    for (size_t i = 0; i < j->s->rule->signed_text.n_parts; i++)
        buf_adds(whole, part_span(&j->parts[i], buf_span(&j->scratch->text), j->m->body, (struct span){"", 0}));
    bool match = false;
    for (size_t i = 0; buf_ok(whole) && i < j->sig.n_candidates; i++) {
        const struct candidate *c = &j->sig.candidates[i];
        EVP_MD_CTX *md = c->n == 64 ? EVP_MD_CTX_new() : NULL;
        struct span s = buf_span(whole);
        if (md && EVP_DigestVerifyInit(md, NULL, NULL, NULL, key->public_key) == 1 &&
            EVP_DigestVerify(md, (const unsigned char *)j->scratch->decoded.p + c->at, c->n, (const unsigned char *)s.p,
                             s.n) == 1)
            match = true;
        EVP_MD_CTX_free(md);
    }
    if (whole->cap > (1u << 20))
        buf_release(whole); /* one large request must not be paid for as long as the thread lives */
    return match;
}

/* Tokens are compared by their hashes, so that not even their length shows. */
static bool token_matches(struct judging *j, const struct verify_key *key)
{
    unsigned equal = 0;
    for (size_t i = 0; i < j->sig.n_candidates; i++) {
        const struct candidate *c = &j->sig.candidates[i];
        unsigned char digest[32];
        sha256((struct span){j->scratch->decoded.p + c->at, c->n}, digest);
        equal |= ct_equal(span_make(digest, 32), span_make(key->token, 32));
    }
    return equal != 0;
}

/* Authorization: Basic base64(user:password); the secret is user:password. */
static enum verdict basic_candidate(struct judging *j, char *why, size_t size)
{
    struct span value = j->sig.value, word = SPAN_LIT("Basic ");
    buf_clear(&j->scratch->decoded);
    if (value.n < word.n || strncasecmp(value.p, word.p, word.n) != 0 ||
        !base64_decode(&j->scratch->decoded, span_trim(span_skip(value, word.n)))) {
        snprintf(why, size, "%s is not Basic and base64", j->sig.name);
        return VERDICT_MALFORMED;
    }
    j->sig.candidates[0] = (struct candidate){0, j->scratch->decoded.n};
    j->sig.n_candidates = j->sig.n_tagged = 1;
    return VERDICT_OK;
}

static bool key_matches(struct judging *j, const struct verify_key *key)
{
    switch (j->s->rule->algorithm) {
    case ALG_ED25519:
        return ed25519_matches(j, key);
    case ALG_TOKEN:
    case ALG_BASIC:
        return token_matches(j, key);
    default:
        return mac_matches(j, key);
    }
}

static void tell_mismatch(struct judging *j, size_t n_keys)
{
    char ids[160];
    size_t at = 0;
    ids[0] = 0;
    for (size_t i = 0; i < j->s->n_keys && at + SECRET_ID_MAX + 4 < sizeof ids; i++) {
        const struct verify_key *k = &j->s->keys[i];
        if (key_is_active(j->v, k, j->now_us))
            at += (size_t)snprintf(ids + at, sizeof ids - at, "%s%s", at ? ", " : "", j->v->secrets[k->secret].id);
    }
    const char *what = j->s->rule->signature.pick ? j->s->rule->signature.pick : j->s->rule->name;
    if (j->sig.n_tagged == 0)
        step(j->ret, false, "%s has no %s entry; other versions are never taken", j->sig.name, what);
    else
        step(j->ret, false, "%s matches none of %zu secret%s: %s", what, n_keys, n_keys == 1 ? "" : "s", ids);
    struct verify_step *last = j->ret->steps && j->ret->n_steps ? &j->ret->steps[j->ret->n_steps - 1] : NULL;
    size_t n = last ? strlen(last->text) : 0;
    if (last && j->sig.n_tagged && at && n > at && strcmp(last->text + n - at, ids) == 0)
        last->ids_at = n - at;
}

static enum verdict judge_signature(struct judging *j)
{
    size_t n_keys = 0, matched = SIZE_MAX;
    for (size_t i = 0; i < j->s->n_keys; i++) {
        const struct verify_key *key = &j->s->keys[i];
        if (!key_is_active(j->v, key, j->now_us))
            continue;
        n_keys++;
        bool match = key_matches(j, key);
        if (match && matched == SIZE_MAX)
            matched = key->secret;
    }
    if (matched == SIZE_MAX) {
        tell_mismatch(j, n_keys);
        return VERDICT_BAD_SIGNATURE;
    }
    snprintf(j->ret->secret, sizeof j->ret->secret, "%s", j->v->secrets[matched].id);
    j->ret->secret_index = matched;
    step(j->ret, true, "%s matches secret %s", j->s->rule->name, j->v->secrets[matched].id);
    return VERDICT_OK;
}

/* ---- one scheme, all schemes ---- */

/* All that must be there and have a form, before any secret is touched. */
static enum verdict read_request(struct judging *j, char *why, size_t size)
{
    const struct scheme *rule = j->s->rule;
    enum verdict v = signature_find(rule, j->m, &j->scratch->text, &j->sig, why, size);
    for (const char **name = rule->require; v == VERDICT_OK && name && *name; name++)
        v = header_once(j->m, span_of(*name), false, why, size);
    /* What is absent comes before what is malformed, so the headers that the signed text takes are looked at first. */
    for (size_t i = 0; v == VERDICT_OK && i < rule->signed_text.n_parts; i++) {
        const struct template_part *part = &rule->signed_text.parts[i];
        if (!part->literal)
            v = path_once(j->m, &part->path, part->optional, why, size);
    }
    if (v == VERDICT_OK && rule->time.present && rule->time.is_signed)
        v = path_once(j->m, &rule->time.from, false, why, size);
    if (v == VERDICT_OK)
        v = rule->algorithm == ALG_BASIC ? basic_candidate(j, why, size)
                                         : signature_split(rule, &j->sig, &j->scratch->decoded, why, size);
    if (v != VERDICT_OK)
        return v;
    j->scope.signature = j->sig.fields;
    j->scope.n_signature = j->sig.n_fields;
    if (rule->time.present)
        v = read_time(j, why, size);
    return v == VERDICT_OK ? signed_parts(rule, &j->scope, &j->scratch->text, j->parts, why, size) : v;
}

static enum verdict judge(struct judging *j)
{
    char why[200] = "";
    enum verdict v = read_request(j, why, sizeof why);
    if (v != VERDICT_OK) {
        step(j->ret, false, "%s", why);
        return v;
    }
    step(j->ret, true, "%s present, %zu %s candidate%s", j->sig.name, j->sig.n_candidates,
         j->s->rule->signature.pick ? j->s->rule->signature.pick : j->s->rule->name, j->sig.n_candidates == 1 ? "" : "s");
    v = judge_signature(j);
    if (v != VERDICT_OK) {
        struct judging quiet = *j; /* a fresh time beside a wrong signature is a hint worth printing */
        if (j->ret->steps)
            (void)judge_window(&quiet);
        return v;
    }
    return judge_window(j);
}

static bool scheme_applies(const struct verifier *v, const struct verify_scheme *s, const struct scope *scope, uint64_t now_us)
{
    bool active = false;
    for (size_t k = 0; k < s->n_keys && !active; k++)
        active = key_is_active(v, &s->keys[k], now_us);
    return s->on && active && (s->rule->n_when == 0 || conditions_hold(s->rule->when, s->rule->n_when, scope));
}

/* How telling a failure is: the first scheme whose signature was really there speaks for the request. */
static int weight(const struct judging *j, enum verdict v)
{
    if (v == VERDICT_MISSING_HEADER)
        return 1;
    return j->sig.n_tagged ? 3 : 2;
}

enum verdict verify_request(const struct verifier *v, const struct http_message *m, uint64_t now_us, uint64_t tolerance_us,
                            struct span public_url, struct verify_scratch *scratch, struct verify_result *ret)
{
    struct err ignored;
    struct verify_step *steps = ret->steps;
    *ret = (struct verify_result){.verdict = VERDICT_CANNOT_JUDGE, .steps = steps};
    struct scope scope = {.message = m, .url = public_url, .config = v->config, .n_config = v->n_config};
    if (public_url.n == 0)
        scope.url = m->url;
    if (v->needs_json && !json_parse(m->body, &scope.body, &ignored))
        scope.body = (struct json){0};
    if (!verifier_can_judge(v, now_us)) {
        step(ret, false, "no secret is loaded%s", v->n_secrets ? " that fits a scheme and is not retired" : "");
        return VERDICT_CANNOT_JUDGE;
    }
    int best = 0;
    for (size_t i = 0; i < v->n_schemes; i++) {
        struct judging j = {.v = v, .s = &v->schemes[i], .m = m, .scope = scope, .scratch = scratch, .now_us = now_us,
                            .tolerance_us = tolerance_us, .ret = ret};
        if (!scheme_applies(v, j.s, &scope, now_us))
            continue;
        enum verdict one = judge(&j);
        if (one == VERDICT_OK || weight(&j, one) > best) {
            best = weight(&j, one);
            ret->verdict = one;
            ret->scheme = j.s->rule->name;
            ret->time_us = j.time_us;
        }
        if (one == VERDICT_OK)
            return one;
        ret->secret[0] = 0;
    }
    if (best == 0) {
        step(ret, false, "no scheme's conditions hold for this request");
        ret->verdict = VERDICT_MISSING_HEADER;
    }
    return ret->verdict;
}
