#include "core/codec.h"
#include "sources/path_internal.h"

bool glob_match(struct span pattern, struct span text)
{
    size_t p = 0, t = 0, star = (size_t)-1, from = 0;
    while (t < text.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            from = t;
        } else if (p < pattern.n && pattern.p[p] == text.p[t]) {
            p++;
            t++;
        } else if (star != (size_t)-1) {
            p = star + 1; /* the last star takes one more */
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

/* ---- reading ---- */

static bool add_value(struct arena *a, const struct yaml_node *v, struct condition *c, struct report *r)
{
    if (yaml_kind(v) != YAML_SCALAR) {
        report_at(r, v, "must be a value; `present` and `absent` say whether there is one");
        return false;
    }
    struct span text = yaml_text(v);
    c->values[c->n_values++] = (struct span){arena_dup(a, text), text.n};
    return true;
}

static bool read_right(struct arena *a, const struct yaml_node *v, struct condition *c, struct report *r)
{
    struct span text = yaml_text(v);
    size_t n = yaml_count(v);
    switch (yaml_kind(v)) {
    case YAML_LIST:
        if (n == 0) {
            report_at(r, v, "an empty list never holds");
            return false;
        }
        c->values = arena_alloc(a, n * sizeof(*c->values));
        for (size_t i = 0; i < n; i++) {
            if (!add_value(a, yaml_item(v, i), c, r))
                return false;
        }
        return true;
    case YAML_SCALAR:
        if (!yaml_quoted(v) && (span_eqz(text, "present") || span_eqz(text, "absent"))) {
            c->kind = text.p[0] == 'p' ? COND_PRESENT : COND_ABSENT;
            return true;
        }
        if (!yaml_quoted(v) && span_starts(text, SPAN_LIT("config."))) {
            c->kind = COND_PATH;
            return path_compile(a, v, text, NULL, &c->other, r);
        }
        c->values = arena_alloc(a, sizeof(*c->values));
        return add_value(a, v, c, r);
    default:
        report_at(r, v, "must be a value, a list of values, present, absent or config.…");
        return false;
    }
}

static bool has_each(const struct path *p)
{
    bool each = p->root_each;
    for (size_t i = 0; i < p->n_steps; i++)
        each = each || p->steps[i].each;
    return each;
}

bool conditions_compile(struct arena *a, const struct yaml_node *map, const char *const *parents,
                        struct condition **ret, size_t *ret_n, struct report *r)
{
    size_t n = yaml_count(map);
    if (yaml_kind(map) != YAML_MAP || n == 0) {
        report_at(r, map, "must be a map of conditions, like {body.status: paid}");
        return false;
    }
    struct condition *c = arena_alloc(a, n * sizeof(*c));
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        const struct yaml_node *key = yaml_key(map, i);
        if (!path_compile(a, key, yaml_text(key), parents, &c[i].path, r)) {
            ok = false;
            continue;
        }
        if (has_each(&c[i].path)) {
            report_at(r, key, "a condition speaks of one value, not of each");
            ok = false;
        }
        ok = read_right(a, yaml_value(map, i), &c[i], r) && ok;
    }
    if (!ok)
        return false;
    *ret = c;
    *ret_n = n;
    return true;
}

/* ---- judging ---- */

static bool matches(const struct condition *c, struct span text, const struct scope *scope)
{
    for (size_t i = 0; i < c->n_values; i++) {
        if (glob_match(c->values[i], text))
            return true;
    }
    if (c->kind != COND_PATH)
        return false;
    struct buf other;
    buf_init(&other, 0);
    bool same = path_text(&c->other, scope, &other) && ct_equal(buf_span(&other), text); /* it may be a secret */
    buf_release(&other);
    return same;
}

static bool holds(const struct condition *c, const struct scope *scope, struct buf *text)
{
    buf_clear(text);
    struct value v = path_eval(&c->path, scope, text);
    if (c->kind == COND_PRESENT || c->kind == COND_ABSENT)
        return (v.kind != VALUE_ABSENT) == (c->kind == COND_PRESENT);
    buf_clear(text);
    return path_text(&c->path, scope, text) && matches(c, buf_span(text), scope);
}

bool conditions_hold(const struct condition *c, size_t n, const struct scope *scope)
{
    struct buf text;
    if (n == 0)
        return true;
    buf_init(&text, 0);
    bool all = true;
    for (size_t i = 0; all && i < n; i++)
        all = holds(&c[i], scope, &text);
    buf_release(&text);
    return all;
}
