#include "cli/example.h"
#include "core/clock.h"
#include <stdio.h>
#include <stdlib.h>

#define MEMBERS_MAX 48
#define STEPS_MAX 16
#define TEXT_MAX ((size_t)64 << 10) /* of all values: reserved at once, because spans borrow it */

/* One member of the body that is being made: where, and its value as JSON. */
struct member {
    struct span steps[STEPS_MAX];
    size_t n_steps;
    struct span json;
};
struct making {
    const struct source_config *source;
    struct example *e;
    struct member members[MEMBERS_MAX];
    size_t n_members;
    uint64_t now_us;
};

static struct span keep(struct making *m, struct span s)
{
    size_t at = m->e->text.n;
    buf_adds(&m->e->text, s);
    return (struct span){m->e->text.p + at, buf_ok(&m->e->text) ? s.n : 0};
}

static struct span as_json(struct making *m, struct span text, bool bare)
{
    size_t at = m->e->text.n;
    if (bare)
        buf_adds(&m->e->text, text);
    else
        json_write_string(&m->e->text, text);
    return (struct span){m->e->text.p + at, m->e->text.n - at};
}

static bool same_place(const struct member *a, const struct member *b)
{
    size_t n = a->n_steps < b->n_steps ? a->n_steps : b->n_steps;
    for (size_t i = 0; i < n; i++)
        if (!span_eq(a->steps[i], b->steps[i]))
            return false;
    return true;
}

/* The first value of a place stays: id and type come before what conditions ask for. */
static void add_member(struct making *m, struct member member)
{
    for (size_t i = 0; i < m->n_members; i++)
        if (same_place(&m->members[i], &member))
            return;
    if (m->n_members < MEMBERS_MAX && member.n_steps)
        m->members[m->n_members++] = member;
}

static void add_header(struct making *m, struct span name, struct span value)
{
    struct example *e = m->e;
    for (size_t i = 0; i < e->n_headers; i++)
        if (span_ieq(e->headers[i].name, name))
            return;
    if (e->n_headers < EXAMPLE_HEADERS_MAX)
        e->headers[e->n_headers++] = (struct http_header){name, value};
}

/* Gives the path a value; `bare`: a number or a truth value. Roots that are neither body nor header are not ours to set. */
static void set(struct making *m, const struct path *path, struct span text, bool bare)
{
    struct member member = {.n_steps = path->n_steps};
    if (path->root == ROOT_HEADER)
        add_header(m, path->name, keep(m, text));
    if (path->root != ROOT_BODY || path->n_steps > STEPS_MAX || path->root_each)
        return;
    for (size_t i = 0; i < path->n_steps; i++) {
        if (path->steps[i].each)
            return;
        member.steps[i] = path->steps[i].name;
    }
    member.json = as_json(m, text, bare);
    add_member(m, member);
}

static void set_template(struct making *m, const struct template *t, struct span text)
{
    if (t->n_parts == 1 && !t->parts[0].literal)
        set(m, &t->parts[0].path, text, false);
}

static struct span config_text(const struct making *m, const struct path *path)
{
    for (size_t i = 0; path->root == ROOT_CONFIG && i < m->source->n_values; i++)
        if (!m->source->values[i].secret && span_eqz(path->name, m->source->values[i].name))
            return span_of(m->source->values[i].text);
    const struct field_rule *f = path->root == ROOT_CONFIG ? manifest_field(m->source->manifest, path->name) : NULL;
    return f && f->fallback ? span_of(f->fallback) : (struct span){NULL, 0};
}

static void set_conditions(struct making *m, const struct condition *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct span text = {NULL, 0};
        if (c[i].kind == COND_VALUES && c[i].n_values && !memchr(c[i].values[0].p, '*', c[i].values[0].n))
            text = c[i].values[0];
        else if (c[i].kind == COND_PATH)
            text = config_text(m, &c[i].other);
        if (text.p)
            set(m, &c[i].path, text, span_eqz(text, "true") || span_eqz(text, "false"));
    }
}

/* The time in a unit, as JSON or as a header's text. */
static struct span time_text(struct making *m, enum time_unit unit, bool *ret_bare)
{
    char text[CLOCK_TEXT_MAX];
    *ret_bare = unit == UNIT_S || unit == UNIT_MS;
    if (*ret_bare)
        snprintf(text, sizeof text, "%llu", (unsigned long long)(unit == UNIT_MS ? m->now_us / 1000 : m->now_us / 1000000));
    else
        clock_iso_us(m->now_us, text);
    return keep(m, span_of(text));
}

/* A column of the object. */
static void set_column(struct making *m, const struct table_rule *t, const char *column, struct span text, bool bare)
{
    const struct manifest *man = m->source->manifest;
    const struct path *at = t->has_object ? &t->object : man->event.has_object ? &man->event.object : NULL;
    struct member member = {0};
    if (t->has_each || (at && (at->root != ROOT_BODY || at->n_steps >= STEPS_MAX)))
        return;
    for (size_t i = 0; at && i < at->n_steps; i++)
        member.steps[member.n_steps++] = at->steps[i].name;
    member.steps[member.n_steps++] = span_of(column);
    member.json = as_json(m, text, bare);
    add_member(m, member);
}

static bool takes(const struct table_rule *t, const char *type)
{
    for (const char **glob = t->types; glob && *glob; glob++)
        if (glob_match(span_of(*glob), span_of(type)))
            return true;
    size_t n = t->kind ? strlen(t->kind) : 0;
    return t->kind && !t->types && (strncmp(type, t->kind, n) == 0 && (type[n] == 0 || type[n] == '.'));
}

/* The table that an event of this type is for; with type NULL the first that events reach, and a type for it. */
static const struct table_rule *choose(const struct manifest *man, const char **type, char made[256])
{
    for (size_t i = 0; i < man->n_tables; i++) {
        const struct table_rule *t = &man->tables[i];
        if (*type && takes(t, *type))
            return t;
        if (*type || t->has_each || (!t->kind && !t->types))
            continue;
        const char *glob = t->types ? t->types[0] : NULL, *star = glob ? strchr(glob, '*') : NULL;
        if (!glob)
            snprintf(made, 256, "%s.updated", t->kind);
        else if (star)
            snprintf(made, 256, "%.*supdated", (int)(star - glob), glob);
        else
            snprintf(made, 256, "%s", glob);
        *type = made;
        return t;
    }
    if (!*type)
        *type = "example.sent";
    return NULL;
}

static void set_object(struct making *m, const struct table_rule *t, const char *id)
{
    const struct event_rule *rule = &m->source->manifest->event;
    bool bare;
    set_conditions(m, t->when, t->n_when);
    if (t->kind && rule->has_kind)
        set(m, &rule->kind, span_of(t->kind), false);
    for (size_t i = 0; i < t->n_key; i++)
        set_column(m, t, t->key[i], span_of(id), false);
    for (const char **v = t->version; v && *v; v++) {
        struct span text = time_text(m, t->version_unit == UNIT_NONE ? UNIT_ISO8601 : t->version_unit, &bare);
        set_column(m, t, *v, text, bare);
    }
}

static void write_level(const struct making *m, const bool in[MEMBERS_MAX], size_t depth, struct buf *out);

static void write_member(const struct making *m, size_t first, bool in[MEMBERS_MAX], size_t depth, struct buf *out)
{
    struct span name = m->members[first].steps[depth];
    bool below[MEMBERS_MAX] = {false};
    json_write_string(out, name);
    buf_addc(out, ':');
    for (size_t i = first; i < m->n_members; i++) {
        below[i] = in[i] && span_eq(m->members[i].steps[depth], name);
        in[i] = in[i] && !below[i];
    }
    if (m->members[first].n_steps == depth + 1)
        buf_adds(out, m->members[first].json);
    else
        write_level(m, below, depth + 1, out);
}

/* The members below one place as an object; as deep as a path has steps. */
static void write_level(const struct making *m, const bool in[MEMBERS_MAX], size_t depth, struct buf *out)
{
    bool left[MEMBERS_MAX], any = false;
    memcpy(left, in, sizeof left);
    buf_addc(out, '{');
    for (size_t i = 0; i < m->n_members; i++) {
        if (!left[i])
            continue;
        if (any)
            buf_addc(out, ',');
        any = true;
        write_member(m, i, left, depth, out);
    }
    buf_addc(out, '}');
}

bool example_make(const struct source_config *s, const char *type, const char *id, uint64_t now_us, struct example *ret,
                  struct err *err)
{
    const struct event_rule *rule = &s->manifest->event;
    struct making *m = mem_alloc(sizeof *m);
    *m = (struct making){.source = s, .e = ret, .now_us = now_us};
    *ret = (struct example){0};
    buf_init(&ret->text, TEXT_MAX);
    buf_init(&ret->body, TEXT_MAX);
    buf_reserve(&ret->text, TEXT_MAX - 1);
    char made[256];
    bool bare;
    const struct table_rule *table = choose(s->manifest, &type, made);
    ret->id = keep(m, span_of(id));
    if (!rule->id_is_body_hash)
        set_template(m, &rule->id, ret->id);
    set_template(m, &rule->type, span_of(type));
    if (rule->has_time) {
        struct span text = time_text(m, rule->time_unit, &bare);
        set(m, &rule->time, text, bare);
    }
    set_conditions(m, rule->only, rule->n_only);
    set_conditions(m, rule->must, rule->n_must);
    if (table)
        set_object(m, table, id);
    if (m->n_members == 0)
        add_member(m, (struct member){.steps = {SPAN_LIT("example")}, .n_steps = 1, .json = as_json(m, ret->id, false)});
    bool all[MEMBERS_MAX];
    memset(all, true, sizeof all);
    write_level(m, all, 0, &ret->body);
    free(m);
    bool ok = buf_ok(&ret->text) && buf_ok(&ret->body);
    if (!ok)
        example_release(ret);
    return ok || err_set(err, ERR_INPUT, "no example can be made of %s's events; give a body with --data", s->manifest->name);
}

void example_release(struct example *e)
{
    buf_release(&e->text);
    buf_release(&e->body);
}
