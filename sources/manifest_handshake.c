/* `handshake`: what tells a proof of ownership from an event, what it must hold, and what is answered. */
#include "sources/reader.h"
#include <regex.h>

/* ---- the answer ---- */

static bool token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Headers that say where a message ends, or that the answer has anyway. */
static bool is_ours(struct span name)
{
    static const char *const ours[] = {"Connection", "Content-Length", "Content-Type", "Date", "Keep-Alive", "Trailer",
                                       "Transfer-Encoding", "Upgrade", "X-Content-Type-Options"};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (span_ieq(name, span_of(ours[i])))
            return true;
    return false;
}

static void check_header_name(struct reader *rd, const struct yaml_node *key)
{
    struct span name = yaml_text(key);
    bool ok = name.n > 0;
    for (size_t i = 0; i < name.n; i++)
        ok = ok && token_char(name.p[i]);
    if (!ok)
        report_at(rd->report, key, "'%.*s' is no header's name", SPAN_ARG(name));
    else if (is_ours(name))
        report_at(rd->report, key, "'%.*s' is set by the server itself", SPAN_ARG(name));
}

static void read_answer_headers(struct reader *rd, const struct yaml_node *n, struct handshake_rule *h)
{
    if (!n)
        return;
    if (yaml_kind(n) != YAML_MAP || yaml_count(n) == 0) {
        report_at(rd->report, n, "must be a map of headers, like {X-Hook-Secret: \"{header.X-Hook-Secret}\"}");
        return;
    }
    h->headers = arena_alloc(rd->arena, yaml_count(n) * sizeof(*h->headers));
    for (size_t i = 0; i < yaml_count(n); i++) {
        struct header_rule *header = &h->headers[h->n_headers++];
        check_header_name(rd, yaml_key(n, i));
        header->name = arena_dup(rd->arena, yaml_text(yaml_key(n, i)));
        (void)read_template(rd, yaml_value(n, i), &header->value);
    }
}

/* A number, true, false or null as JSON spells it, without quotes; anything else is a text. */
static bool is_raw(const struct yaml_node *n)
{
    struct json v;
    struct err ignored;
    return yaml_kind(n) == YAML_SCALAR && !yaml_quoted(n) && json_parse(yaml_text(n), &v, &ignored) &&
           v.type >= JSON_NULL && v.type <= JSON_NUMBER;
}

static void read_json(struct reader *rd, const struct yaml_node *n, struct handshake_rule *h)
{
    if (!n)
        return;
    if (yaml_kind(n) != YAML_MAP || yaml_count(n) == 0) {
        report_at(rd->report, n, "must be a map of the body's members, like {challenge: \"{body.challenge}\"}");
        return;
    }
    h->content_type = "application/json";
    h->json = arena_alloc(rd->arena, yaml_count(n) * sizeof(*h->json));
    for (size_t i = 0; i < yaml_count(n); i++) {
        struct answer_member *m = &h->json[h->n_json++];
        m->name = arena_dup(rd->arena, yaml_text(yaml_key(n, i)));
        if (is_raw(yaml_value(n, i)))
            m->raw = arena_dup(rd->arena, yaml_text(yaml_value(n, i)));
        else
            (void)read_template(rd, yaml_value(n, i), &m->text);
    }
}

/* What is echoed is not ours: no reader may take it for markup. */
static void read_content_type(struct reader *rd, const struct yaml_node *n, const char **ret)
{
    const char *type = NULL;
    read_text(rd, n, &type);
    if (!type)
        return;
    bool ok = strchr(type, '/') != NULL;
    for (const char *p = type; *p; p++)
        ok = ok && *p >= ' ' && *p <= '~';
    if (!ok)
        report_at(rd->report, n, "'%s' is no content type, like text/plain", type);
    else if (strcasestr(type, "html") || strcasestr(type, "xml") || strcasestr(type, "javascript"))
        report_at(rd->report, n, "'%s': an answer that echoes what was sent must not be run or drawn", type);
    else
        *ret = type;
}

static void read_reply(struct reader *rd, const struct yaml_node *n, struct handshake_rule *h)
{
    static const char *const keys[] = {"status", "text", "json", "content_type", "headers", NULL};
    if (!read_map(rd, n, keys))
        return;
    const struct yaml_node *text = yaml_get(n, "text"), *json = yaml_get(n, "json");
    read_u32(rd, yaml_get(n, "status"), 200, 599, &h->status);
    rd->shaking = true;
    (void)read_template(rd, text, &h->text);
    read_json(rd, json, h);
    read_answer_headers(rd, yaml_get(n, "headers"), h);
    rd->shaking = false;
    read_content_type(rd, yaml_get(n, "content_type"), &h->content_type);
    if (text && json)
        report_at(rd->report, json, "either `text` or `json`");
    if ((h->status == 204 || h->status == 304) && (text || json))
        report_at(rd->report, text ? text : json, "an answer with status %u has no body", h->status);
}

/* ---- what it must look like ---- */

static void check_pattern(struct reader *rd, const struct yaml_node *at, const char *pattern)
{
    regex_t re;
    char why[128];
    int code = regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB);
    if (code == 0) {
        regfree(&re);
        return;
    }
    regerror(code, &re, why, sizeof(why));
    report_at(rd->report, at, "'%s' is no regular expression: %s", pattern, why);
}

static void read_shapes(struct reader *rd, const struct yaml_node *n, struct handshake_rule *h)
{
    if (!n)
        return;
    if (yaml_kind(n) != YAML_MAP || yaml_count(n) == 0) {
        report_at(rd->report, n, "must be a map of paths and patterns, like {query.challenge: \"^[0-9a-f]{32}$\"}");
        return;
    }
    struct reader own = *rd;
    own.roots = ROOTS_PROOF;
    h->shapes = arena_alloc(rd->arena, yaml_count(n) * sizeof(*h->shapes));
    for (size_t i = 0; i < yaml_count(n); i++) {
        struct shape_rule *s = &h->shapes[h->n_shapes];
        read_text(rd, yaml_value(n, i), &s->pattern);
        if (!read_path(&own, yaml_key(n, i), false, &s->path) || !s->pattern)
            continue;
        h->n_shapes++;
        check_pattern(rd, yaml_value(n, i), s->pattern);
    }
}

static bool has_shape(const struct handshake_rule *h, const struct path *p)
{
    if (!(ROOTS_PROOF & (1u << p->root)))
        return true; /* the sender does not choose it */
    for (size_t i = 0; i < h->n_shapes; i++)
        if (strcmp(h->shapes[i].path.text, p->text) == 0)
            return true;
    return false;
}

/* Who may have anything hashed with a key that also signs events needs no key. */
static void check_oracle(struct reader *rd, const struct yaml_node *at, const struct handshake_rule *h, const struct template *t)
{
    for (size_t i = 0; !h->verified && i < t->n_parts; i++) {
        const struct template_part *part = &t->parts[i];
        const struct path *bad = part->literal || !part->key || has_shape(h, &part->path) ? NULL : &part->path;
        for (size_t k = 0; !bad && !part->literal && part->key && k < part->n_joined; k++)
            bad = has_shape(h, &part->joined[k]) ? NULL : &part->joined[k];
        if (bad)
            report_at(rd->report, at, "whoever asks would get an HMAC of whatever '%s' holds: say what that looks like, as "
                      "`shape: {%s: \"^[0-9a-f]{20,64}$\"}`", bad->text, bad->text);
    }
}

static void check_oracles(struct reader *rd, const struct yaml_node *answer, const struct handshake_rule *h)
{
    const struct yaml_node *json = yaml_get(answer, "json"), *headers = yaml_get(answer, "headers");
    check_oracle(rd, yaml_get(answer, "text"), h, &h->text);
    for (size_t i = 0; i < h->n_json; i++)
        check_oracle(rd, yaml_value(json, i), h, &h->json[i].text);
    for (size_t i = 0; i < h->n_headers; i++)
        check_oracle(rd, yaml_value(headers, i), h, &h->headers[i].value);
}

/* ---- what else a handshake does ---- */

/* Host names: labels of letters, digits and -; a * only where a subdomain stands, and never all that pins it. */
static bool host_ok(struct span host)
{
    size_t labels = 0, last_star = 0;
    for (struct span rest = host; rest.p;) {
        struct span label = span_cut(rest, '.', &rest);
        labels++;
        if (label.n == 0)
            return false;
        for (size_t i = 0; i < label.n; i++) {
            char c = label.p[i];
            if (c == '*')
                last_star = labels;
            else if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
                return false;
        }
    }
    return labels >= 2 && (last_star == 0 || last_star + 2 <= labels);
}

static void read_fetch(struct reader *rd, const struct yaml_node *n, struct handshake_rule *h)
{
    const struct yaml_node *fetch = yaml_get(n, "fetch"), *hosts = yaml_get(n, "hosts");
    struct reader own = *rd;
    own.roots = ROOTS_PROOF;
    h->has_fetch = fetch && read_path(&own, fetch, false, &h->fetch);
    read_strings(rd, hosts, &h->hosts);
    for (size_t i = 0; h->hosts && h->hosts[i]; i++)
        if (!host_ok(span_of(h->hosts[i])))
            report_at(rd->report, yaml_kind(hosts) == YAML_LIST ? yaml_item(hosts, i) : hosts,
                      "'%s' is no host name; small letters, and a * only before the domain, like sns.*.example.com", h->hosts[i]);
    if (fetch && !hosts)
        report_at(rd->report, fetch, "`fetch` needs `hosts`: where the URL may lead");
    if (hosts && !fetch)
        report_at(rd->report, hosts, "`hosts` is for `fetch`: the path of a URL");
    if (fetch && !h->verified)
        report_at(rd->report, fetch, "only a verified request may make us fetch something: leave out `verified: false`");
}

static void read_secret(struct reader *rd, const struct yaml_node *n, struct handshake_rule *h)
{
    struct reader own = *rd;
    own.roots = ROOTS_PROOF;
    if (!n)
        return;
    h->has_secret = read_path(&own, n, false, &h->secret);
    if (h->has_secret && !rd->m->generic && rd->m->n_schemes == 0)
        report_at(rd->report, n, "nothing is verified by it: `verify` has no scheme");
}

static void read_handshake(struct reader *rd, const struct yaml_node *n, struct handshake_rule *h)
{
    static const char *const keys[] = {"when",  "verified", "must",  "shape",  "refuse",
                                       "secret", "fetch",   "hosts", "answer", NULL};
    h->verified = true;
    h->status = 200;
    h->refuse = 403;
    h->content_type = "text/plain";
    if (!read_map(rd, n, keys))
        return;
    if (!yaml_get(n, "when"))
        report_at(rd->report, n, "no `when`; what tells a handshake from an event");
    if (!yaml_get(n, "answer"))
        report_at(rd->report, n, "no `answer`; {status, text}");
    rd->shaking = true; /* a condition may compare with a secret */
    read_conditions(rd, yaml_get(n, "when"), &h->when, &h->n_when);
    read_conditions(rd, yaml_get(n, "must"), &h->must, &h->n_must);
    rd->shaking = false;
    read_bool(rd, yaml_get(n, "verified"), &h->verified);
    read_u32(rd, yaml_get(n, "refuse"), 400, 499, &h->refuse);
    read_shapes(rd, yaml_get(n, "shape"), h);
    read_secret(rd, yaml_get(n, "secret"), h);
    read_fetch(rd, n, h);
    read_reply(rd, yaml_get(n, "answer"), h);
    check_oracles(rd, yaml_get(n, "answer"), h);
}

void manifest_read_handshakes(struct reader *rd, const struct yaml_node *n)
{
    if (!n)
        return;
    bool list = yaml_kind(n) == YAML_LIST;
    size_t count = list ? yaml_count(n) : 1;
    rd->roots = ROOTS_REQUEST;
    rd->secrets = false;
    rd->m->handshakes = arena_alloc(rd->arena, (count + 1) * sizeof(*rd->m->handshakes));
    for (size_t i = 0; i < count; i++)
        read_handshake(rd, list ? yaml_item(n, i) : n, &rd->m->handshakes[i]);
    rd->m->n_handshakes = count;
}

/* ---- questions ---- */

bool manifest_delivers_secrets(const struct manifest *m)
{
    for (size_t i = 0; i < m->n_handshakes; i++)
        if (m->handshakes[i].has_secret)
            return true;
    return false;
}

static bool host_matches(struct span pattern, struct span host)
{
    while (pattern.p && host.p) {
        struct span want = span_cut(pattern, '.', &pattern), label = span_cut(host, '.', &host);
        if (label.n == 0 || !glob_match(want, label))
            return false;
    }
    return !pattern.p && !host.p;
}

bool manifest_host_is_pinned(const char *const *hosts, struct span host)
{
    for (size_t i = 0; hosts && hosts[i]; i++)
        if (host_matches(span_of(hosts[i]), host))
            return true;
    return false;
}
