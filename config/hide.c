/* Keeping literal secrets out of messages.
 *
 * A message shows its line of the file, so a secret that somebody wrote there would be shown by a mistake that has
 * nothing to do with it. Three nets, from coarse to fine:
 *   1. A file without a tree (syntax, anchors, doubled keys): its messages keep the keys of their lines, not the values.
 *   2. What begins like a provider's credential, wherever it stands: refused, and nothing else is said of the file.
 *   3. Values where a secret belongs, or whose place is unknown: hidden from the lines of all messages. */
#include "config/internal.h"
#include <stdlib.h>

static const char *const beginnings[] = {
    "whsec_", "sk_live_", "sk_test_", "rk_live_", "rk_test_", "shpss_", "shpat_", "shpca_", "shppa_",      "xoxb-",       "xoxp-",
    "xoxa-",  "xapp-",    "ghp_",     "gho_",     "ghs_",     "ghu_",   "ghr_",   "glpat-",
    "github_pat_", "-----BEGIN ", "pat-na1-",
    "SG.",    "Bearer ",  NULL};

static bool is_credential(struct span s)
{
    for (size_t i = 0; beginnings[i]; i++)
        if (span_starts(s, span_of(beginnings[i])) && s.n > strlen(beginnings[i]))
            return true;
    return false;
}

static bool is_word(struct span s, const char *const *words)
{
    for (size_t i = 0; words[i]; i++)
        if (span_eqz(s, words[i]))
            return true;
    return false;
}

/* Is this the path (below a secret's place) of where it is said to be: file, env, retire_at? */
static bool is_reference(struct span path)
{
    static const char *const words[] = {"file", "env", "retire_at", NULL};
    while (path.n && path.p[0] == '[') { /* secrets[0] */
        struct span rest;
        (void)span_cut(path, ']', &rest);
        path = rest;
    }
    return path.n && path.p[0] == '.' && is_word(span_skip(path, 1), words);
}

/* May a message show the value of this field of config? `rest` is what follows the field's name. */
static bool field_shown(const struct manifest *m, struct span field, struct span rest)
{
    const struct field_rule *f = m ? manifest_field(m, field) : NULL;
    return is_reference(rest) || (f && !f->secret && !rest.n);
}

/* May a message show the value at this path below a source? Tables and verify are maps of the user's own words. */
static bool source_shown(const struct manifest *m, struct span path)
{
    size_t n = 0;
    while (n < path.n && path.p[n] != '.' && path.p[n] != '[')
        n++;
    struct span key = {path.p, n}, rest = span_skip(path, n);
    if (span_eqz(key, "secrets"))
        return is_reference(rest);
    if (!span_eqz(key, "config"))
        return is_word(key, config_source_keys) && (!rest.n || span_eqz(key, "tables") || span_eqz(key, "verify"));
    if (!rest.n || rest.p[0] != '.')
        return false;
    rest = span_skip(rest, 1);
    for (n = 0; n < rest.n && rest.p[n] != '.' && rest.p[n] != '[';)
        n++;
    return field_shown(m, (struct span){rest.p, n}, span_skip(rest, n));
}

/* A property's value is shown where it is none of librdkafka's secrets, or says where one is. */
static bool property_shown(struct span property, bool is_key)
{
    static const char *const words[] = {".file", ".env", NULL};
    struct span at = property;
    bool reference = false;
    for (size_t i = 0; words[i]; i++) {
        size_t n = strlen(words[i]);
        if (at.n > n && memcmp(at.p + at.n - n, words[i], n) == 0) {
            at.n -= n;
            reference = true;
        }
    }
    return is_key || reference || !config_kafka_is_secret(at);
}

#define PROPERTIES SPAN_LIT("staging.kafka.properties.")

static bool top_shown(struct span path)
{
    if (span_starts(path, PROPERTIES))
        return property_shown(span_skip(path, PROPERTIES.n), false);
    for (const struct key_row *k = config_keys; k->path; k++)
        if (span_eqz(path, k->path))
            return true;
    return span_eqz(path, "include") || span_starts(path, SPAN_LIT("include[")) || span_starts(path, SPAN_LIT("proxies["));
}

/* Keys of the maps that we know are shown, since they may be slips. */
static bool top_key_shown(struct span path)
{
    if (span_starts(path, PROPERTIES))
        return property_shown(span_skip(path, PROPERTIES.n), true);
    size_t n = path.n;
    while (n && path.p[n - 1] != '.')
        n--;
    if (!n)
        return true;
    for (const struct key_row *k = config_keys; k->path; k++)
        if (span_starts(span_of(k->path), (struct span){path.p, n}))
            return true;
    return false;
}

/* A tree walked with a stack of its own: what is written decides how deep it is. */
struct place {
    const struct yaml_node *node;
    bool is_key;
};
struct walk {
    struct place *todo;
    size_t n, cap;
};

static void push(struct walk *w, const struct yaml_node *n, bool is_key)
{
    if (w->n == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 64;
        w->todo = mem_grow(w->todo, w->cap * sizeof(*w->todo));
    }
    w->todo[w->n++] = (struct place){n, is_key};
}

/* The next scalar below what was pushed, in the file's order; false at the end. */
static bool next_scalar(struct walk *w, struct place *ret)
{
    while (w->n) {
        struct place at = w->todo[--w->n];
        if (yaml_kind(at.node) == YAML_SCALAR) {
            *ret = at;
            return true;
        }
        for (size_t i = yaml_count(at.node); i > 0; i--) {
            if (yaml_kind(at.node) == YAML_MAP) {
                push(w, yaml_value(at.node, i - 1), false);
                push(w, yaml_key(at.node, i - 1), true);
            } else {
                push(w, yaml_item(at.node, i - 1), false);
            }
        }
    }
    return false;
}

/* Net 2. */
static bool refuse_credentials(struct loading *l, const struct yaml_node *root)
{
    const char *name = l->names[l->n_files - 1];
    struct walk w = {0};
    struct place at;
    bool ok = true;
    push(&w, root, false);
    while (next_scalar(&w, &at)) {
        if (!is_credential(yaml_text(at.node)))
            continue;
        ok = false;
        /* Without the line and the path: others can stand on it, and this one may be a key. */
        report_plain(l->r, "%s:%u:%u: this looks like a secret; none is written into the file: write {file: "
                           "./secrets/name} or {env: NAME}", name, yaml_line(at.node), yaml_col(at.node));
    }
    free(w.todo);
    return ok;
}

static bool is_one_word(struct span path)
{
    return !memchr(path.p, '.', path.n) && !memchr(path.p, '[', path.n);
}

/* Keys of a source and names of fields are shown, since they may be slips; what stands where only file: and env:
 * may is not. */
static bool key_shown(const struct manifest *m, struct span path)
{
    if (is_one_word(path) || source_shown(m, path))
        return true;
    return span_starts(path, SPAN_LIT("config.")) && is_one_word(span_skip(path, 7));
}

/* Net 3, below one source. */
static void hide_in_source(struct loading *l, const struct yaml_node *key, const struct yaml_node *source)
{
    const struct yaml_node *named = yaml_get(source, "manifest");
    struct report unheard; /* what is wrong with the manifest is told when the source is read */
    struct buf path;
    struct walk w = {0};
    struct place at;
    report_init(&unheard);
    buf_init(&path, 0);
    struct manifest *m = manifest_load(l->c->dir, yaml_text(named ? named : key), &unheard, NULL);
    yaml_path(key, &path);
    size_t before = path.n + 1;
    push(&w, source, false);
    while (next_scalar(&w, &at)) {
        buf_clear(&path);
        yaml_path(at.node, &path);
        struct span below = span_skip(buf_span(&path), before);
        if (!(at.is_key ? key_shown(m, below) : source_shown(m, below)))
            yaml_hide(at.node);
    }
    free(w.todo);
    buf_release(&path);
    manifest_free(&m);
    report_release(&unheard);
}

/* Net 3, outside of sources. */
static void hide_elsewhere(const struct yaml_node *value)
{
    struct buf path;
    struct walk w = {0};
    struct place at;
    buf_init(&path, 0);
    push(&w, value, false);
    while (next_scalar(&w, &at)) {
        buf_clear(&path);
        yaml_path(at.node, &path);
        if (!(at.is_key ? top_key_shown : top_shown)(buf_span(&path)))
            yaml_hide(at.node);
    }
    free(w.todo);
    buf_release(&path);
}

bool config_hide_secrets(struct loading *l, const struct yaml_node *root)
{
    if (!refuse_credentials(l, root))
        return false;
    for (size_t i = 0; yaml_kind(root) == YAML_MAP && i < yaml_count(root); i++) {
        const struct yaml_node *value = yaml_value(root, i);
        bool sources = span_eqz(yaml_text(yaml_key(root, i)), "sources") && yaml_kind(value) == YAML_MAP;
        for (size_t k = 0; sources && k < yaml_count(value); k++)
            hide_in_source(l, yaml_key(value, k), yaml_value(value, k));
        if (!sources)
            hide_elsewhere(value);
    }
    return true;
}

static bool is_key_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* One line of the file: words that a colon follows stay, other words become stars. */
static void add_blanked_line(struct buf *out, struct span s)
{
    bool may_be_key = true; /* at the line's beginning, after - { [ and , */
    for (size_t i = 0; i < s.n;) {
        size_t n = 0;
        while (may_be_key && i + n < s.n && is_key_character(s.p[i + n]))
            n++;
        if (n && i + n < s.n && s.p[i + n] == ':' && (i + n + 1 == s.n || s.p[i + n + 1] == ' ')) {
            buf_add(out, s.p + i, n + 1);
            i += n + 1;
            may_be_key = false;
            continue;
        }
        char c = s.p[i++];
        if (strchr("{[,", c))
            may_be_key = true;
        else if (c != ' ' && c != '-')
            may_be_key = false;
        if (strchr(" -{}[],:#\"'&*!|>", c))
            buf_addc(out, c);
        else if (((unsigned char)c & 0xc0) != 0x80) /* one star a character, so that the marks below stand right */
            buf_addc(out, '*');
    }
}

void config_add_blanked(struct report *to, const struct report *from)
{
    struct span rest = buf_span(&from->text);
    while (rest.n) {
        struct span line = span_cut(rest, '\n', &rest), text = span_trim(line), number = text;
        while (number.n && number.p[0] >= '0' && number.p[0] <= '9')
            number = span_skip(number, 1);
        if (number.n < text.n && span_starts(number, SPAN_LIT(" | "))) { /* "   13 | the line" */
            struct span shown = span_skip(number, 3);
            buf_add(&to->text, line.p, (size_t)(shown.p - line.p));
            add_blanked_line(&to->text, shown);
        } else {
            buf_adds(&to->text, line);
        }
        buf_addc(&to->text, '\n');
    }
    to->count += from->count;
}
