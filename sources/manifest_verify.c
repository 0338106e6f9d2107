#include "sources/reader.h"

static const char *const algorithms[] = {"hmac-sha256", "hmac-sha1", "hmac-sha512", "ed25519", "token", "basic", NULL};

static bool is_shared(const struct scheme *s) /* the credential itself is sent */
{
    return s->algorithm == ALG_TOKEN || s->algorithm == ALG_BASIC;
}

static void read_list(struct reader *rd, const struct yaml_node *n, struct signature_rule *s)
{
    const struct yaml_node *list = yaml_get(n, "list"), *pick = yaml_get(n, "pick");
    struct span separator = yaml_text(list);
    if (separator.n == 1 && strchr(",; ", separator.p[0]))
        s->list = separator.p[0];
    else if (list)
        report_at(rd->report, list, "must be what stands between the entries: \",\", \";\" or \" \"");
    read_text(rd, pick, &s->pick);
    if (list && !pick)
        report_at(rd->report, list, "`list` needs `pick`: which entries of the list are signatures");
    if (pick && !list)
        report_at(rd->report, pick, "`pick` needs `list`: what stands between the entries");
    if (!s->list || !s->pick)
        return;
    size_t n_pick = strlen(s->pick);
    if (s->list == ' ' && (n_pick < 2 || s->pick[n_pick - 1] != ','))
        report_at(rd->report, pick, "in a list with spaces '%s' must be a tag with its comma, like \"v1,\"", s->pick);
    if (s->list != ' ' && strpbrk(s->pick, "=,; "))
        report_at(rd->report, pick, "'%s' must be the key of k=v entries, like v1", s->pick);
}

static void read_signature(struct reader *rd, const struct yaml_node *n, struct scheme *s)
{
    static const char *const keys[] = {"header", "query", "prefix", "list", "pick", "encoding", NULL};
    static const char *const encodings[] = {"hex", "base64", NULL};
    unsigned encoding;
    if (!read_map(rd, n, keys))
        return;
    read_strings(rd, yaml_get(n, "header"), &s->signature.headers);
    read_text(rd, yaml_get(n, "query"), &s->signature.query);
    read_text(rd, yaml_get(n, "prefix"), &s->signature.prefix);
    if (!yaml_get(n, "header") == !yaml_get(n, "query"))
        report_at(rd->report, n, "must say where the signature is: `header` or `query`");
    read_list(rd, n, &s->signature);
    s->signature.encoding = ENC_UTF8;
    if (read_word(rd, yaml_get(n, "encoding"), encodings, &encoding))
        s->signature.encoding = (enum encoding)(ENC_HEX + encoding);
    if (is_shared(s) && yaml_get(n, "encoding"))
        report_at(rd->report, yaml_get(n, "encoding"), "a %s is compared as it stands", algorithms[s->algorithm]);
    if (!is_shared(s) && !yaml_get(n, "encoding"))
        report_at(rd->report, n, "no `encoding`; hex or base64");
    if (!is_shared(s) && s->signature.query)
        report_at(rd->report, yaml_get(n, "query"), "only a token can be in the query");
}

static void read_key(struct reader *rd, const struct yaml_node *n, struct key_rule *key)
{
    static const char *const keys[] = {"encoding", "strip", NULL};
    static const char *const encodings[] = {"hex", "base64", "utf8", NULL};
    unsigned encoding;
    if (!read_map(rd, n, keys))
        return;
    if (read_word(rd, yaml_get(n, "encoding"), encodings, &encoding))
        key->encoding = (enum encoding)(ENC_HEX + encoding);
    read_text(rd, yaml_get(n, "strip"), &key->strip);
}

static void read_time(struct reader *rd, const struct yaml_node *n, struct scheme *s)
{
    static const char *const keys[] = {"from", "unit", "past", "future", "signed", NULL};
    struct time_rule *t = &s->time;
    struct reader own = *rd;
    if (!read_map(rd, n, keys))
        return;
    own.roots = ROOT(HEADER) | ROOT(SIGNATURE) | ROOT(BODY) | ROOT(QUERY) | ROOT(FORM);
    t->is_signed = true;
    t->present = read_path(&own, yaml_get(n, "from"), false, &t->from);
    if (!yaml_get(n, "from"))
        report_at(rd->report, n, "no `from`; the path of the time, like header.X-Timestamp");
    if (!yaml_get(n, "unit"))
        report_at(rd->report, n, "no `unit`; s, ms or iso8601");
    read_unit(rd, yaml_get(n, "unit"), &t->unit);
    read_duration(rd, yaml_get(n, "past"), &t->past_us);
    read_duration(rd, yaml_get(n, "future"), &t->future_us);
    read_bool(rd, yaml_get(n, "signed"), &t->is_signed);
    t->has_past = yaml_get(n, "past") != NULL;
    t->has_future = yaml_get(n, "future") != NULL;
    if (t->present && t->from.root == ROOT_SIGNATURE && (!s->signature.list || s->signature.list == ' '))
        report_at(rd->report, yaml_get(n, "from"), "'%s' needs a signature header that is a list of k=v entries",
                  t->from.text);
}

/* Whether the time is among what is signed: an age that anyone could change must not decide. */
static bool covers_time(const struct scheme *s)
{
    for (size_t i = 0; i < s->signed_text.n_parts; i++) {
        const struct template_part *part = &s->signed_text.parts[i];
        if (part->literal)
            continue;
        if (part->path.root == ROOT_TIME || strcmp(part->path.text, s->time.from.text) == 0)
            return true;
        if (part->path.root == ROOT_BODY && part->path.n_steps == 0 &&
            (s->time.from.root == ROOT_BODY || s->time.from.root == ROOT_FORM))
            return true;
    }
    return false;
}

static void check_signed(struct reader *rd, const struct yaml_node *n, const struct scheme *s)
{
    const struct yaml_node *text = yaml_get(n, "signed"), *time = yaml_get(n, "time");
    if (is_shared(s)) {
        if (text)
            report_at(rd->report, text, "nothing is signed by a %s", algorithms[s->algorithm]);
        if (time)
            report_at(rd->report, time, "a %s has no time", algorithms[s->algorithm]);
        return;
    }
    if (!text)
        report_at(rd->report, n, "no `signed`; the text that is signed, like \"{time}.{body}\"");
    for (size_t i = 0; !time && i < s->signed_text.n_parts; i++) {
        if (!s->signed_text.parts[i].literal && s->signed_text.parts[i].path.root == ROOT_TIME)
            report_at(rd->report, text, "{time} needs `time`: where the time is");
    }
    if (s->time.present && s->time.is_signed && s->signed_text.n_parts && !covers_time(s))
        report_at(rd->report, time, "the time is no part of `signed`: put {time} there, or say `signed: false`");
}

static void read_enabled(struct reader *rd, const struct yaml_node *n, struct scheme *s)
{
    struct path p;
    struct reader own = *rd;
    own.roots = ROOTS_CONFIG;
    if (!n || !read_path(&own, n, false, &p))
        return;
    const struct field_rule *field = manifest_field(rd->m, p.name);
    if (field->type != FIELD_SWITCH)
        report_at(rd->report, n, "'%s' must be a field of `type: switch`", p.text);
    s->enabled = field->name;
}

static void read_scheme(struct reader *rd, const struct yaml_node *key, const struct yaml_node *n, struct scheme *s)
{
    static const char *const keys[] = {"algorithm", "signature", "key", "time", "signed", "when", "require", "enabled",
                                       NULL};
    static const char *const basic_header[] = {"Authorization"};
    unsigned algorithm;
    s->name = arena_dup(rd->arena, yaml_text(key));
    s->key.encoding = ENC_UTF8;
    if (!read_map(rd, n, keys))
        return;
    const struct yaml_node *signature = yaml_get(n, "signature");
    if (!yaml_get(n, "algorithm"))
        report_at(rd->report, n, "no `algorithm`; one of hmac-sha256, hmac-sha1, hmac-sha512, ed25519, token, basic");
    if (read_word(rd, yaml_get(n, "algorithm"), algorithms, &algorithm))
        s->algorithm = (enum algorithm)algorithm;
    read_signature(rd, signature, s);
    if (s->algorithm == ALG_BASIC && !signature) {
        s->signature.headers = arena_alloc(rd->arena, 2 * sizeof(char *));
        s->signature.headers[0] = basic_header[0];
    } else if (!signature) {
        report_at(rd->report, n, "no `signature`; where it is, like {header: X-Signature, encoding: hex}");
    }
    read_key(rd, yaml_get(n, "key"), &s->key);
    read_time(rd, yaml_get(n, "time"), s);
    (void)read_template(rd, yaml_get(n, "signed"), &s->signed_text);
    read_conditions(rd, yaml_get(n, "when"), &s->when, &s->n_when);
    read_headers(rd, yaml_get(n, "require"), &s->require);
    read_enabled(rd, yaml_get(n, "enabled"), s);
    check_signed(rd, n, s);
}

void manifest_read_schemes(struct reader *rd, const struct yaml_node *n)
{
    struct manifest *m = rd->m;
    struct span word = yaml_text(n);
    if (yaml_kind(n) == YAML_SCALAR && (span_eqz(word, "configured") || span_eqz(word, "none"))) {
        m->generic = span_eqz(word, "configured");
        return;
    }
    if (yaml_kind(n) != YAML_MAP || yaml_count(n) == 0) {
        report_at(rd->report, n, "must be a map of schemes (name: {algorithm: …}); or `configured`: it comes from the "
                                 "configuration; or `none`: the provider signs nothing");
        return;
    }
    rd->roots = ROOTS_VERIFY;
    rd->secrets = true;
    size_t count = yaml_count(n);
    m->schemes = arena_alloc(rd->arena, count * sizeof(*m->schemes));
    for (size_t i = 0; i < count; i++)
        read_scheme(rd, yaml_key(n, i), yaml_value(n, i), &m->schemes[i]);
    m->n_schemes = count;
}

bool manifest_add_schemes(struct manifest *m, const struct yaml_node *verify, struct report *r)
{
    unsigned before = r->count;
    struct reader rd = {.arena = m->arena, .report = r, .m = m};
    manifest_read_schemes(&rd, verify);
    if (r->count == before && m->n_schemes == 0)
        report_at(r, verify, "must be a map of schemes (name: {algorithm: …})");
    if (r->count != before)
        m->n_schemes = 0;
    else
        m->generic = false;
    return r->count == before;
}
