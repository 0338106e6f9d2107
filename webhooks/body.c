/* The body of a call: its form, or its JSON read from left to right with what the templates mean. */
#include "core/codec.h"
#include "webhooks/internal.h"
#include <string.h>

static void add_field(struct buf *out, struct span name, struct span value)
{
    if (out->n)
        buf_addc(out, '&');
    /* Brackets stand in names as providers write them. */
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '[' || name.p[i] == ']')
            buf_addc(out, name.p[i]);
        else
            percent_encode(out, (struct span){name.p + i, 1});
    }
    buf_addc(out, '=');
    percent_encode(out, value);
}

bool body_form(const struct manage_call *c, const struct webhook_rule *flags, const struct call_scope *s, struct buf *out,
               struct err *err)
{
    struct buf value;
    bool ok = true;
    buf_init(&value, 1 << 20);
    for (size_t i = 0; ok && i < c->n_form; i++) {
        struct span name = span_of(c->form[i].name);
        bool each = name.n > 2 && memcmp(name.p + name.n - 2, "[]", 2) == 0 && strcmp(c->form[i].value.text, "{types}") == 0;
        for (size_t k = 0; each && k < s->types->n; k++)
            add_field(out, name, span_of(s->types->list[k]));
        if (each)
            continue;
        buf_clear(&value);
        ok = template_render(&c->form[i].value, &s->scope, &value, err);
        if (ok)
            add_field(out, name, buf_span(&value));
    }
    for (size_t i = 0; flags && i < flags->n_flags; i++)
        add_field(out, span_of(flags->flags[i].field),
                  names_have(s->types, flags->flags[i].type) ? SPAN_LIT("true") : SPAN_LIT("false"));
    buf_wipe(&value);
    return ok && (buf_ok(out) || err_set(err, ERR_INPUT, "the body of a call is too large"));
}

#define DEEP_MAX 10
struct open_container {
    char shut;
    bool any;
    size_t each_at; /* where its item begins; SIZE_MAX: no `each` */
    size_t type;    /* which type it is at */
};
struct json_writer {
    struct open_container open[DEEP_MAX];
    size_t depth;
    struct buf *out;
};

static void begin_value(struct json_writer *w, const char *name)
{
    if (w->depth) {
        if (w->open[w->depth - 1].any)
            buf_addc(w->out, ',');
        w->open[w->depth - 1].any = true;
    }
    if (name)
        json_write_key(w->out, name);
}

static void open_value(struct json_writer *w, const char *name, bool map, size_t each_at)
{
    begin_value(w, name);
    buf_addc(w->out, map ? '{' : '[');
    w->open[w->depth++] = (struct open_container){map ? '}' : ']', false, each_at, 0};
}

static void add_flags(struct json_writer *w, const struct webhook_rule *flags, const struct names *types)
{
    for (size_t i = 0; i < flags->n_flags; i++) {
        begin_value(w, flags->flags[i].field);
        buf_addz(w->out, names_have(types, flags->flags[i].type) ? "true" : "false");
    }
}

static void set_type(struct call_scope *s, const char *type)
{
    for (size_t i = 0; i < s->scope.n_words; i++)
        if (span_eqz(s->words[i].name, "type"))
            s->words[i].value = span_of(type);
}

static bool add_text(struct json_writer *w, const struct body_part *p, const struct call_scope *s, struct err *err)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    bool ok = template_render(&p->text, &s->scope, &text, err);
    if (ok) {
        begin_value(w, p->name);
        json_write_string(w->out, buf_span(&text));
    }
    buf_wipe(&text);
    return ok;
}

static void add_types(struct json_writer *w, const char *name, const struct names *types)
{
    if (name && !types->n)
        return; /* no types: the provider's own choice */
    begin_value(w, name);
    buf_addc(w->out, '[');
    for (size_t i = 0; i < types->n; i++) {
        if (i)
            buf_addc(w->out, ',');
        json_write_string(w->out, span_of(types->list[i]));
    }
    buf_addc(w->out, ']');
}

/* The part after this one. */
static size_t shut(struct json_writer *w, struct call_scope *s, size_t at)
{
    struct open_container *o = &w->open[w->depth - 1];
    if (o->each_at != SIZE_MAX && ++o->type < s->types->n) {
        set_type(s, s->types->list[o->type]);
        return o->each_at;
    }
    buf_addc(w->out, o->shut);
    w->depth--;
    return at + 1;
}

bool body_json(const struct manage_call *c, const struct webhook_rule *flags, struct call_scope *s, struct buf *out,
               struct err *err)
{
    struct json_writer w = {.out = out};
    for (size_t i = 0; i < c->n_json;) {
        const struct body_part *p = &c->json[i];
        switch (p->mark) {
        case BODY_MAP:
        case BODY_LIST:
            open_value(&w, p->name, p->mark == BODY_MAP, SIZE_MAX);
            if (i == 0 && flags && p->mark == BODY_MAP)
                add_flags(&w, flags, s->types);
            break;
        case BODY_EACH:
            open_value(&w, p->name, false, i + 1);
            if (s->types->n)
                set_type(s, s->types->list[0]);
            break;
        case BODY_END:
            i = shut(&w, s, i);
            continue;
        case BODY_TEXT:
            if (!add_text(&w, p, s, err))
                return false;
            break;
        case BODY_RAW:
            begin_value(&w, p->name);
            buf_addz(out, p->raw);
            break;
        case BODY_TYPES:
            add_types(&w, p->name, s->types);
            break;
        }
        i++;
    }
    return buf_ok(out) || err_set(err, ERR_INPUT, "the body of a call is too large");
}
