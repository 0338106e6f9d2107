#include "core/codec.h"
#include "sources/path_internal.h"

#define STEPS_MAX 24

const char *const path_root_names[] = {"body",      "form", "header", "query",  "method", "url",  "config", "secret",
                                       "signature", "time", "event",  "object", "record", "item", NULL};
/* What may stand alone in a call's template. */
static const char *const words[] = {"types", "type",     "id",          "since", "until",    "next",
                                    "source", "delivery", "table.scope", "user",  "password", NULL};

/* Roots whose first step is a name of its own: header.X, config.x. */
static bool root_named(enum path_root root)
{
    return root == ROOT_HEADER || root == ROOT_QUERY || root == ROOT_CONFIG || root == ROOT_SIGNATURE ||
           root == ROOT_FORM;
}

/* Roots that are plain text, with nothing below. */
static bool root_plain(enum path_root root)
{
    return root == ROOT_METHOD || root == ROOT_URL || root == ROOT_SECRET || root == ROOT_TIME || root == ROOT_WORD;
}

/* ---- reading ---- */

struct token { /* one step as written: .name, ["name"] or [] */
    struct span name;
    bool each;
};

static bool word_char(char c)
{
    return c != '.' && c != '[' && c != ']' && c != '{' && c != '}' && c != '|' && c != '?' && c != '"' && c != ' ' &&
           c != '\t' && c != '\n';
}

static struct span take_word(struct span *s)
{
    size_t n = 0;
    while (n < s->n && word_char(s->p[n]))
        n++;
    struct span word = {s->p, n};
    *s = span_skip(*s, n);
    return word;
}

/* Takes the next step off *s. NULL, or what is wrong. */
static const char *take_step(struct span *s, struct token *ret)
{
    *ret = (struct token){0};
    if (span_starts(*s, SPAN_LIT("[]"))) {
        ret->each = true;
        *s = span_skip(*s, 2);
        return NULL;
    }
    if (span_starts(*s, SPAN_LIT("[\""))) {
        struct span rest;
        ret->name = span_cut(span_skip(*s, 2), '"', &rest);
        if (!rest.p || rest.n == 0 || rest.p[0] != ']' || ret->name.n == 0)
            return "a name in brackets is written [\"name\"]";
        *s = span_skip(rest, 1);
        return NULL;
    }
    if (s->p[0] != '.')
        return "steps are written .name, [\"name\"] or []";
    *s = span_skip(*s, 1);
    ret->name = take_word(s);
    return ret->name.n ? NULL : "a step has no name";
}

static int find_word(struct span word, const char *const *list)
{
    for (int i = 0; list && list[i]; i++) {
        if (span_eqz(word, list[i]))
            return i;
    }
    return -1;
}

static void report_root(struct report *r, const struct yaml_node *at, struct span whole, struct span word,
                        const char *const *parents, bool with_words)
{
    const char *near = with_words ? nearest_word(whole, words) : NULL;
    if (!near)
        near = nearest_word(word, path_root_names);
    if (!near && parents)
        near = nearest_word(word, parents);
    if (near)
        report_at(r, at, "a path can't begin with '%.*s' (did you mean %s?)", SPAN_ARG(word), near);
    else
        report_at(r, at, "a path can't begin with '%.*s': it begins with body, header, query, form, config, event, "
                         "object, record, … or a parent table",
                  SPAN_ARG(word));
}

/* Finds the root and takes its name off *s. */
static bool take_root(const struct yaml_node *at, struct span *s, const char *const *parents, bool with_words,
                      struct path *p, struct report *r)
{
    struct span whole = *s, word = take_word(s);
    int i = with_words ? find_word(whole, words) : -1;
    if (i >= 0) {
        p->root = ROOT_WORD;
        p->name = whole;
        *s = span_skip(whole, whole.n);
        return true;
    }
    i = find_word(word, path_root_names);
    if (i >= 0) {
        p->root = (enum path_root)i;
        return true;
    }
    if (find_word(word, parents) >= 0) {
        p->root = ROOT_PARENT;
        p->name = word;
        return true;
    }
    report_root(r, at, whole, word, parents, with_words);
    return false;
}

static bool check_shape(const struct yaml_node *at, const struct path *p, struct report *r)
{
    const char *what = p->text;
    if (root_named(p->root) && p->name.n == 0 && p->root != ROOT_FORM) {
        report_at(r, at, "'%s' needs a name: %s.…", what, path_root_names[p->root]);
        return false;
    }
    if ((root_named(p->root) || root_plain(p->root)) && (p->n_steps || p->root_each)) {
        report_at(r, at, "'%s': there is nothing below %s", what, root_plain(p->root) ? "this" : "this name");
        return false;
    }
    if (p->root == ROOT_PARENT && p->n_steps == 0) {
        report_at(r, at, "'%s' needs a field: %s.…", what, what);
        return false;
    }
    return true;
}

static bool compile_one(struct arena *a, const struct yaml_node *at, struct span s, const char *const *parents,
                        bool with_words, struct path *ret, struct report *r)
{
    struct path_step steps[STEPS_MAX];
    struct path p = {.text = arena_dup(a, s)};
    s.p = p.text;
    if (!take_root(at, &s, parents, with_words, &p, r))
        return false;
    while (s.n) {
        struct token t;
        const char *why = take_step(&s, &t);
        if (!why && p.n_steps == STEPS_MAX)
            why = "too many steps";
        if (why) {
            report_at(r, at, "'%s' is no path: %s", p.text, why);
            return false;
        }
        if (root_named(p.root) && p.name.n == 0 && !t.each)
            p.name = t.name;
        else if (t.each && p.n_steps)
            steps[p.n_steps - 1].each = true;
        else if (t.each)
            p.root_each = true;
        else
            steps[p.n_steps++] = (struct path_step){.name = t.name};
    }
    if (!check_shape(at, &p, r))
        return false;
    if (p.n_steps) {
        p.steps = arena_alloc(a, p.n_steps * sizeof(*p.steps));
        memcpy(p.steps, steps, p.n_steps * sizeof(*p.steps));
    }
    *ret = p;
    return true;
}

/* The part before " or ", which is taken off *s. */
static struct span take_alternative(struct span *s)
{
    const char *at = memmem(s->p, s->n, " or ", 4);
    struct span first = at ? span_make(s->p, (size_t)(at - s->p)) : *s;
    *s = at ? span_skip(*s, first.n + 4) : (struct span){NULL, 0};
    return first;
}

bool path_compile_words(struct arena *a, const struct yaml_node *at, struct span text, const char *const *parents,
                        bool with_words, struct path *ret, struct report *r)
{
    struct path first = {0}, *last = &first;
    struct span rest = text;
    do {
        struct span one = take_alternative(&rest);
        if (one.n == 0) {
            report_at(r, at, "a path is missing");
            return false;
        }
        if (first.text) {
            struct path *next = arena_alloc(a, sizeof(*next));
            last->other = next;
            last = next;
        }
        if (!compile_one(a, at, one, parents, with_words, last, r))
            return false;
    } while (rest.p);
    first.text = arena_dup(a, text);
    *ret = first;
    return true;
}

bool path_compile(struct arena *a, const struct yaml_node *at, struct span text, const char *const *parents,
                  struct path *ret, struct report *r)
{
    return path_compile_words(a, at, text, parents, false, ret, r);
}

/* ---- evaluating ---- */

static struct value text_value(struct span text)
{
    return (struct value){.kind = text.p ? VALUE_TEXT : VALUE_ABSENT, .text = text};
}

static struct value json_value(struct json v)
{
    return (struct value){.kind = v.type == JSON_NONE ? VALUE_ABSENT : VALUE_JSON, .json = v};
}

static struct value pair_value(const struct scope_pair *pairs, size_t n, struct span name)
{
    for (size_t i = 0; i < n; i++) {
        if (span_eq(pairs[i].name, name))
            return text_value(pairs[i].value.p ? pairs[i].value : SPAN_LIT(""));
    }
    return (struct value){0};
}

static void cut_to(struct buf *b, size_t n)
{
    b->n = n;
    if (b->p)
        b->p[n] = '\0';
}

/* The first field of that name in name=value&…, decoded onto the end of scratch. */
static struct value field_value(struct span fields, struct span name, struct buf *scratch)
{
    while (fields.n) {
        struct span value, rest;
        struct span key = span_cut(span_cut(fields, '&', &rest), '=', &value);
        size_t start = scratch->n;
        bool ours = percent_decode(scratch, key, true) &&
                    span_eq(span_make(scratch->p ? scratch->p + start : "", scratch->n - start), name);
        cut_to(scratch, start);
        if (ours) {
            if (value.n && !percent_decode(scratch, value, true)) {
                cut_to(scratch, start);
                return (struct value){0};
            }
            return text_value(span_make(scratch->n > start ? scratch->p + start : "", scratch->n - start));
        }
        fields = rest.p ? rest : (struct span){NULL, 0};
    }
    return (struct value){0};
}

static struct span query_of(struct span url)
{
    struct span query;
    (void)span_cut(url, '?', &query);
    return query;
}

/* A step into a list by its place: items.0.id. */
static bool index_of(struct span name, size_t *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] < '0' || name.p[i] > '9' || n > 1000000)
            return false;
        n = n * 10 + (size_t)(name.p[i] - '0');
    }
    *ret = n;
    return name.n > 0;
}

static struct value walk_steps(const struct path *path, struct json v, struct json_memo *memo)
{
    for (size_t i = 0; !path->root_each && i < path->n_steps && v.type != JSON_NONE; i++) {
        size_t index;
        if (v.type == JSON_ARRAY && index_of(path->steps[i].name, &index))
            v = json_at(v, index);
        else
            v = json_get_memo(memo, v, path->steps[i].name);
        if (path->steps[i].each)
            break;
    }
    return json_value(v);
}

static struct value message_value(const struct path *path, const struct scope *scope, struct buf *scratch)
{
    const struct http_message *m = scope->message;
    unsigned count = 0;
    struct span header;
    switch (path->root) {
    case ROOT_URL:
        return text_value(scope->url.p ? scope->url : m ? m->url : scope->url);
    case ROOT_METHOD:
        return text_value(m ? m->method : (struct span){NULL, 0});
    case ROOT_HEADER:
        if (!m)
            return (struct value){0};
        header = http_header(m, path->name, &count);
        return count ? text_value(header.p ? header : SPAN_LIT("")) : (struct value){0};
    case ROOT_QUERY:
        return m ? field_value(query_of(m->url), path->name, scratch) : (struct value){0};
    case ROOT_FORM:
        if (m && path->name.n == 0)
            return text_value(m->body.p ? m->body : SPAN_LIT(""));
        return m ? field_value(m->body, path->name, scratch) : (struct value){0};
    default:
        return (struct value){0};
    }
}

static struct value eval_one(const struct path *path, const struct scope *scope, struct buf *scratch)
{
    switch (path->root) {
    case ROOT_BODY:
        if (scope->body.type == JSON_NONE && path->n_steps == 0 && scope->message)
            return text_value(scope->message->body.p ? scope->message->body : SPAN_LIT(""));
        return walk_steps(path, scope->body, scope->memo);
    case ROOT_EVENT:
        return walk_steps(path, scope->event, scope->memo);
    case ROOT_OBJECT:
        return walk_steps(path, scope->object, scope->memo);
    case ROOT_RECORD:
        return walk_steps(path, scope->record, scope->memo);
    case ROOT_ITEM:
        return walk_steps(path, scope->item, scope->memo);
    case ROOT_PARENT:
        for (size_t i = 0; i < scope->n_parents; i++) {
            if (span_eq(scope->parents[i].name, path->name))
                return walk_steps(path, scope->parents[i].record, scope->memo);
        }
        return (struct value){0};
    case ROOT_CONFIG:
        return pair_value(scope->config, scope->n_config, path->name);
    case ROOT_SIGNATURE:
        return pair_value(scope->signature, scope->n_signature, path->name);
    case ROOT_WORD:
        return pair_value(scope->words, scope->n_words, path->name);
    case ROOT_SECRET:
        return text_value(scope->secret);
    case ROOT_TIME:
        return text_value(scope->time);
    default:
        return message_value(path, scope, scratch);
    }
}

struct value path_eval(const struct path *path, const struct scope *scope, struct buf *scratch)
{
    struct value v = eval_one(path, scope, scratch);
    while (v.kind == VALUE_ABSENT && path->other) {
        path = path->other;
        v = eval_one(path, scope, scratch);
    }
    return v;
}

bool path_text(const struct path *path, const struct scope *scope, struct buf *out)
{
    size_t start = out->n;
    struct value v = path_eval(path, scope, out);
    if (v.kind == VALUE_TEXT) {
        /* Query and form values have been decoded onto the end of out; others are elsewhere. */
        bool decoded = out->n > start && v.text.p == out->p + start;
        if (!decoded)
            buf_adds(out, v.text);
        return true;
    }
    if (v.kind == VALUE_ABSENT || v.json.type == JSON_NULL)
        return false;
    if (v.json.type == JSON_ARRAY || v.json.type == JSON_OBJECT) {
        buf_adds(out, v.json.raw);
        return true;
    }
    return json_text(v.json, out);
}
